package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
)

// statements are the few that sending repeats all the time. bun writes
// arguments into a statement, so that every execution is parsed and planned
// anew; these go past it and are prepared once on each connection, with ?1, ?2
// … for their arguments on both databases. Safe for concurrent use.
type statements struct {
	mu                  sync.Mutex
	claim, record, read *sql.Stmt // of deliveries
	notices             struct{ find, claim, read, stopped, record, attempt, file *sql.Stmt }
	hits                struct{ known, given, mails, add, moments *sql.Stmt }
	key                 *sql.Stmt
}

// wanted pairs each with its text for this database.
func (s *Store) wanted() []struct {
	statement **sql.Stmt
	text      string
} {
	h := &s.hot
	return []struct {
		statement **sql.Stmt
		text      string
	}{
		{&h.claim, claimWindow},
		{&h.record, s.pick(recordPostgres, recordSQLite)},
		{&h.read, s.pick(readWindowPostgres, readWindowSQLite)},
		{&h.notices.find, findTypeVersion},
		{&h.notices.claim, s.among(claimNotices)},
		{&h.notices.read, s.among(readNotices)},
		{&h.notices.stopped, s.among(readStopped)},
		{&h.notices.record, recordNotice},
		{&h.notices.attempt, addAttempt},
		{&h.notices.file, addNoticeFile},
		{&h.hits.known, s.pick(knownPostgres, knownSQLite)},
		{&h.hits.given, s.pick(givenPostgres, givenSQLite)},
		{&h.hits.mails, s.pick(mailsPostgres, mailsSQLite)},
		{&h.hits.add, s.pick(addHitPostgres, addHitSQLite)},
		{&h.hits.moments, s.pick(addMomentsPostgres, addMomentsSQLite)},
		{&h.key, findKey},
	}
}

// among puts the test for being one of the ids of an argument, which is ids(),
// in the place of IN IDS.
func (s *Store) among(text string) string {
	return strings.ReplaceAll(text, "IN IDS", s.pick("= ANY(?1::bigint[])", "IN (SELECT value FROM json_each(?1))"))
}

// prepare makes the statements, once there is a schema. It must not be called
// within a transaction: it takes a connection, and when all are in
// transactions that wait for this one, there is none.
func (s *Store) prepare(ctx context.Context) error {
	s.hot.mu.Lock()
	defer s.hot.mu.Unlock()
	for _, want := range s.wanted() {
		if *want.statement != nil {
			continue
		}
		text := strings.ReplaceAll(want.text, "?", "$")
		if s.Single() {
			text = strings.ReplaceAll(want.text, " FOR SHARE", "") // it has one writer
		}
		var err error
		if *want.statement, err = s.db.DB.PrepareContext(ctx, text); err != nil { //nolint:sqlclosecheck // Close does
			return translate("prepare statements", err)
		}
	}
	return nil
}

func (s *Store) closePrepared() (err error) {
	s.hot.mu.Lock()
	defer s.hot.mu.Unlock()
	for _, want := range s.wanted() {
		if *want.statement != nil {
			err = errors.Join(err, (*want.statement).Close())
		}
	}
	return err
}

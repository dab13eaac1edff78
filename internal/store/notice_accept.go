package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

const (
	// acceptMost, acceptNotices and acceptBytes bound what is taken in with one
	// transaction; a single call may have more.
	acceptMost, acceptNotices, acceptBytes = 64, 2000, 2 << 20
	// acceptLimit bounds one such transaction: it is not given up with any one caller.
	acceptLimit = 10 * time.Second
	// acceptTries is how often it is tried when another one was in its way.
	acceptTries = 3
	// noticeBatch is the most rows of one statement.
	noticeBatch = 250
)

// acceptance is a call on its way into the ledger.
type acceptance struct {
	call   posthaste.NoticeCall
	answer func(posthaste.NoticeCall) (json.RawMessage, error)
	err    error
	done   chan struct{} // closed when call and err are final
}

// doorway is where calls wait for each other. A commit costs a write to the
// disk, however much it holds: whoever comes while one is under way shares the next.
type doorway struct {
	mu      sync.Mutex
	waiting []*acceptance
	turn    chan struct{} // full while as many transactions run as may
}

// join adds one to those who wait.
func (d *doorway) join(a *acceptance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = append(d.waiting, a)
}

// next takes the first of those who wait, as many as go into one transaction.
func (d *doorway) next() []*acceptance {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, notices, bytes := 0, 0, 0
	for n < len(d.waiting) && n < acceptMost {
		call := d.waiting[n].call
		notices, bytes = notices+len(call.Notices), bytes+size(call)
		if n > 0 && (notices > acceptNotices || bytes > acceptBytes) {
			break
		}
		n++
	}
	batch := slices.Clone(d.waiting[:n])
	d.waiting = slices.Delete(d.waiting, 0, n)
	return batch
}

// leave takes one that gave up from those who wait, and reports whether it
// still waited.
func (d *doorway) leave(a *acceptance) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := slices.Index(d.waiting, a)
	if at >= 0 {
		d.waiting = slices.Delete(d.waiting, at, at+1)
	}
	return at >= 0
}

// size is about how many bytes a call has.
func size(c posthaste.NoticeCall) int {
	n := len(c.Data)
	for _, f := range c.Files {
		n += len(f.Content)
	}
	for _, notice := range c.Notices {
		n += len(notice.Data)
	}
	return n
}

// AcceptNotices takes a call in, all of it or nothing: its notices stand in the
// ledger, queued, once it returns, and a recipient who was not known is now.
// answer makes what the caller is told, of the call with its ids. A call whose
// key and Idempotency were used before is given back with the answer of then;
// with another body it is a Conflict. The caller publishes the notices. When ctx
// ends before its turn the call is not taken in; after that it is waited for.
func (s *Store) AcceptNotices(ctx context.Context, call posthaste.NoticeCall, answer func(posthaste.NoticeCall) (json.RawMessage, error)) (posthaste.NoticeCall, error) {
	a := &acceptance{call: call, answer: answer, done: make(chan struct{})}
	s.door.join(a)
	for {
		select {
		case <-a.done:
			return a.call, a.err
		case <-ctx.Done():
			if s.door.leave(a) {
				return call, translate("accept notices", ctx.Err())
			}
			<-a.done // within acceptLimit
			return a.call, a.err
		case s.door.turn <- struct{}{}:
			s.acceptNext(ctx)
		}
	}
}

// acceptNext takes the next calls in and tells each what came of it, whatever happens.
func (s *Store) acceptNext(ctx context.Context) {
	defer func() { <-s.door.turn }()
	batch := s.door.next()
	if len(batch) == 0 {
		return
	}
	err := errors.New("accept notices: it was not finished")
	defer func() {
		for _, a := range batch {
			if a.err == nil {
				a.err = err
			}
			close(a.done)
		}
	}()
	// In one order, so that two transactions with the same keys do not wait for each other.
	slices.SortStableFunc(batch, func(a, b *acceptance) int {
		return cmp.Or(cmp.Compare(a.call.KeyID, b.call.KeyID), cmp.Compare(a.call.Idempotency, b.call.Idempotency))
	})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), acceptLimit)
	defer cancel()
	if err = s.prepare(ctx); err != nil {
		return
	}
	if err = s.acceptBatch(ctx, batch); err != nil && len(batch) > 1 && !errors.Is(err, posthaste.Unavailable) {
		for _, a := range batch { // what is wrong with one call concerns no other
			a.err = s.acceptBatch(ctx, []*acceptance{a})
		}
		err = nil
	}
	for _, a := range batch {
		if err == nil && a.err == nil && a.call.ID == 0 { // its key was used before
			a.err = translate("find notice call", findAnswer(ctx, s.db, &a.call))
		}
	}
}

// acceptBatch takes calls in with one transaction, which is tried again when
// another one was in its way.
func (s *Store) acceptBatch(ctx context.Context, batch []*acceptance) (err error) {
	for range acceptTries {
		if err = s.acceptOnce(ctx, batch); !inTheWay(err) {
			break
		}
	}
	return err
}

func (s *Store) acceptOnce(ctx context.Context, batch []*acceptance) error {
	return s.inTx(ctx, "accept notices", func(ctx context.Context, tx bun.Tx) error {
		now := time.Now().UTC().Truncate(time.Microsecond)
		fresh, err := addCalls(ctx, tx, batch, now)
		if err != nil || len(fresh) == 0 {
			return err
		}
		if err := s.findOrAddRecipients(ctx, tx, fresh, now); err != nil {
			return err
		}
		if err := addNotices(ctx, tx, fresh, now); err != nil {
			return err
		}
		return s.finishCalls(ctx, tx, fresh)
	})
}

// addCalls gives the calls their ids, and back those that were not taken in before.
func addCalls(ctx context.Context, tx bun.Tx, batch []*acceptance, now time.Time) (fresh []*acceptance, err error) {
	rows := make([]bun.TupleValues, len(batch))
	for i, a := range batch {
		a.call.ID = 0 // a transaction may be begun again
		c := a.call
		// The answer comes later: until then its place tells which call a row is.
		rows[i] = bun.Tuple([]any{c.Type.ID, c.Type.Version, c.KeyID, c.Idempotency, c.BodyHash, strconv.Itoa(i), string(c.Data), 0, micros(now)})
	}
	var added []struct {
		ID     int64
		Answer int
	}
	// notice_calls_idempotency is the index of the conflict: the second of two
	// calls at once waits here for the first to be committed.
	if err := tx.NewRaw(`INSERT INTO notice_calls (type_id, type_version, key_id, idempotency, body_hash, answer, data, forgotten, created_at)
		VALUES ? ON CONFLICT (key_id, idempotency) WHERE idempotency <> '' DO NOTHING RETURNING id, answer`, bun.List(rows)).Scan(ctx, &added); err != nil {
		return nil, err
	}
	for _, r := range added {
		batch[r.Answer].call.ID = r.ID
		fresh = append(fresh, batch[r.Answer])
	}
	return fresh, nil
}

// findOrAddRecipients sets the RecipientID of each notice. One that exists stays as it is.
func (s *Store) findOrAddRecipients(ctx context.Context, tx bun.Tx, batch []*acceptance, now time.Time) error {
	notices := map[string]posthaste.Notice{}
	for _, a := range batch {
		for _, n := range a.call.Notices {
			notices[n.Canonical] = n
		}
	}
	ids, strangers := make(map[string]int64, len(notices)), map[int64]bool{}
	// In order, so that two transactions with the same addresses do not wait for each other.
	for part := range slices.Chunk(slices.Sorted(maps.Keys(notices)), noticeBatch) {
		find := func() error {
			var found []struct {
				ID, Stranger int64
				Canonical    string
			}
			err := tx.NewRaw("SELECT id, canonical, stranger FROM recipients WHERE canonical IN (?)", bun.List(part)).Scan(ctx, &found)
			for _, f := range found {
				ids[f.Canonical] = f.ID
				strangers[f.ID] = f.Stranger == 1
			}
			return err
		}
		if err := find(); err != nil {
			return err
		}
		fresh := slices.DeleteFunc(part, func(canonical string) bool { return ids[canonical] != 0 })
		if len(fresh) == 0 {
			continue
		}
		if err := s.addNoticed(ctx, tx, notices, fresh, now); err != nil {
			return err
		}
		part = fresh
		if err := find(); err != nil {
			return err
		}
	}
	var served []int64
	for _, a := range batch {
		for i := range a.call.Notices {
			id := ids[a.call.Notices[i].Canonical]
			a.call.Notices[i].RecipientID = id
			if key := a.call.Type.Key; strangers[id] && key != posthaste.ConfirmNotice && key != posthaste.DataNotice {
				served = append(served, id)
			}
		}
	}
	if len(served) == 0 {
		return nil
	}
	_, err := exec(ctx, tx, "UPDATE recipients SET stranger = 0 WHERE id IN (?)", bun.List(served))
	return err
}

// addNoticed adds recipients of notices who are not known.
func (s *Store) addNoticed(ctx context.Context, tx bun.Tx, notices map[string]posthaste.Notice, fresh []string, now time.Time) error {
	rows := make([]bun.TupleValues, len(fresh))
	for i, canonical := range fresh {
		n := notices[canonical]
		rows[i] = bun.Tuple([]any{n.Email, canonical, s.keys.HashAddress(canonical), s.keys.AddressKey(), n.Name, n.Locale, "", "{}", micros(now), micros(now)})
	}
	if _, err := exec(ctx, tx, `INSERT INTO recipients (email, canonical, address_hash, key_id, name, locale, time_zone, attributes, created_at, updated_at)
		VALUES ? ON CONFLICT (canonical) DO NOTHING`, bun.List(rows)); err != nil {
		return err
	}
	return s.carryOver(ctx, tx, fresh...)
}

// addNotices writes the notices of all calls and gives them their ids.
func addNotices(ctx context.Context, tx bun.Tx, batch []*acceptance, now time.Time) error {
	var rows []bun.TupleValues
	calls := make(map[int64]*posthaste.NoticeCall, len(batch))
	for _, a := range batch {
		c := &a.call
		calls[c.ID] = c
		for i := range c.Notices {
			n := &c.Notices[i]
			n.CallID, n.TypeID, n.TypeVersion, n.Type, n.State, n.Actor = c.ID, c.Type.ID, c.Type.Version, c.Type.Key, posthaste.NoticeQueued, c.Origin.Actor
			n.CreatedAt, n.ChangedAt, n.ValidUntil = now, now, c.ValidUntil
			metadata, err := attributesJSON(n.Metadata)
			if err != nil {
				return err
			}
			rows = append(rows, bun.Tuple([]any{c.ID, i, n.TypeID, n.TypeVersion, n.RecipientID, n.Name, n.Locale, string(n.Data), n.ExternalID, metadata,
				n.Actor, string(n.State), 0, "", 0, micros(n.ValidUntil), micros(now), "", 0, "", "", micros(now), micros(now)}))
		}
	}
	for part := range slices.Chunk(rows, noticeBatch) {
		var added []struct{ ID, CallID, Number int64 }
		if err := tx.NewRaw(`INSERT INTO notices (call_id, number, type_id, type_version, recipient_id, name, locale, data, external_id, metadata,
			actor, state, attempts, owner, due_at, valid_until, published_at, stage, code, enhanced, reply, created_at, changed_at)
			VALUES ? RETURNING id, call_id, number`, bun.List(part)).Scan(ctx, &added); err != nil {
			return err
		}
		for _, r := range added {
			calls[r.CallID].Notices[r.Number].ID = r.ID
		}
	}
	return nil
}

// ownNames gives the caller's own names for a notice, for the audit log: those
// of the request, and over them those of the notice.
func ownNames(request map[string]string, n posthaste.Notice) map[string]string {
	named := maps.Clone(request)
	if named == nil {
		named = map[string]string{}
	}
	if n.ExternalID != "" {
		named["external_id"] = n.ExternalID
	}
	maps.Copy(named, n.Metadata)
	return named
}

const addNoticeFile = "INSERT INTO notice_files (call_id, number, name, content_type, content_id, content) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"

// finishCalls writes what else belongs to the calls: files, audit, answers.
func (s *Store) finishCalls(ctx context.Context, tx bun.Tx, batch []*acceptance) error {
	addFile := tx.StmtContext(ctx, s.hot.notices.file) //nolint:sqlclosecheck // it ends with the transaction
	var entries []posthaste.AuditEntry
	answers := make([]bun.TupleValues, len(batch))
	for i, a := range batch {
		c := &a.call
		for number, f := range c.Files {
			if _, err := addFile.ExecContext(ctx, c.ID, number, f.Name, f.ContentType, f.ContentID, f.Content); err != nil {
				return err
			}
		}
		for _, n := range c.Notices {
			origin := c.Origin
			origin.Metadata = ownNames(c.Origin.Metadata, n)
			entries = append(entries, didBy(origin, "notice.accept", noticeObject(n.ID), "type", c.Type.Key))
		}
		var err error
		if c.Answer, err = a.answer(*c); err != nil {
			return err
		}
		kept := ""
		if c.Idempotency != "" {
			kept = string(c.Answer)
		}
		answers[i] = bun.Tuple([]any{c.ID, kept})
	}
	if err := s.appendAudit(ctx, tx, entries...); err != nil {
		return err
	}
	_, err := exec(ctx, tx, `WITH v (id, answer) AS (VALUES ?) UPDATE notice_calls SET answer = v.answer FROM v WHERE notice_calls.id = v.id`, bun.List(answers))
	return err
}

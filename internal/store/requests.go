package store

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

type requestRow struct {
	ID, RecipientID           int64
	Kind                      posthaste.RequestKind
	Channel                   posthaste.Channel
	Actor, Reason             string
	State                     posthaste.RequestState
	CreatedAt, DueAt, EndedAt int64
	Receipt, NewAddress       string
	Moved                     int64 // of a single one
}

const requestColumns = "id, recipient_id, kind, channel, actor, reason, state, created_at, due_at, ended_at, receipt, new_address"

func (r requestRow) request() (posthaste.Request, error) {
	q := posthaste.Request{ID: r.ID, RecipientID: r.RecipientID, Kind: r.Kind, Channel: r.Channel, Actor: r.Actor, Reason: r.Reason, State: r.State,
		CreatedAt: instant(r.CreatedAt), DueAt: instant(r.DueAt), EndedAt: instant(r.EndedAt),
		NewAddress: r.NewAddress, Moved: r.Moved > 0}
	if r.Receipt == "" {
		return q, nil
	}
	return q, json.Unmarshal([]byte(r.Receipt), &q.Receipt)
}

// requestsPerDay is how many links one person is sent in a day, at most, however often they are asked for.
const requestsPerDay = 5

// AddRequest records what somebody asks for about the data of a canonical
// address, and when it is due. If nothing is held about it, that ends it at
// once. mail tells whether a link may be sent; too many a day are not. Conflict
// when the new address of a correction is somebody else's.
func (s *Store) AddRequest(ctx context.Context, canonical string, q posthaste.Request) (_ posthaste.Request, mail bool, err error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	q.State, q.CreatedAt, q.DueAt = posthaste.RequestOpen, now, now.Add(posthaste.RequestDue)
	err = s.inTx(ctx, "add request", func(ctx context.Context, tx bun.Tx) error {
		r, err := findResident(ctx, tx, "canonical = ?", canonical)
		if err != nil {
			return err
		}
		q.RecipientID = r.ID
		hash, newHash := r.AddressHash, []byte{}
		if r.ID == 0 {
			q.State, q.EndedAt, q.NewAddress, hash = posthaste.RequestNothing, now, "", s.keys.HashAddress(canonical)
		} else if mail, err = s.linkAllowed(ctx, tx, canonical, now); err != nil {
			return err
		}
		if q.NewAddress != "" {
			few := func(address string) (bool, error) {
				if !mail {
					return false, nil
				}
				return s.linkAllowed(ctx, tx, address, now)
			}
			if newHash, mail, err = s.addressee(ctx, tx, &q, few); err != nil {
				return err
			}
		}
		if err := tx.NewRaw(`INSERT INTO requests (kind, recipient_id, address_hash, channel, actor, reason, state, created_at, due_at, ended_at, receipt, new_address, new_hash)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?) RETURNING id`, q.Kind, q.RecipientID, hash, q.Channel, q.Actor, q.Reason, q.State, micros(q.CreatedAt), micros(q.DueAt),
			micros(q.EndedAt), q.NewAddress, newHash).Scan(ctx, &q.ID); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "request.add", object("request", q.ID), "kind", string(q.Kind), "channel", string(q.Channel),
			"recipient_id", strconv.FormatInt(q.RecipientID, 10)))
	})
	return q, mail, err
}

// linkAllowed reports whether a mailbox may be sent another link: of those about
// its own person, and of those that are to make it another's.
func (s *Store) linkAllowed(ctx context.Context, tx bun.Tx, canonical string, now time.Time) (bool, error) {
	var sent int64
	// requests_by_address and requests_by_new_address are the indexes of this scan.
	err := tx.NewRaw("SELECT count(*) FROM requests WHERE (address_hash IN (?0) OR new_hash IN (?0)) AND created_at > ?1 AND state <> ?2",
		bun.List(s.addressHashes(canonical)), micros(now.Add(-24*time.Hour)), posthaste.RequestWithdrawn).Scan(ctx, &sent)
	return sent < requestsPerDay, err
}

// FindRequest gives the request of that id, or NotFound.
func (s *Store) FindRequest(ctx context.Context, id int64) (posthaste.Request, error) {
	var row requestRow
	if err := s.db.NewRaw("SELECT "+requestColumns+`, (SELECT count(*) FROM recipients r WHERE r.id = requests.recipient_id AND r.address_since > requests.created_at) AS moved
		FROM requests WHERE id = ?`, id).Scan(ctx, &row); err != nil {
		return posthaste.Request{}, noSuch(translate("find request", err), "request")
	}
	return row.request()
}

// ListRequests gives up to limit requests older than the id before, newest
// first; 0 starts with the newest. With a state, only those in it.
func (s *Store) ListRequests(ctx context.Context, state posthaste.RequestState, before int64, limit int) ([]posthaste.Request, error) {
	return listRequests(ctx, s.db.NewRaw("SELECT "+requestColumns+" FROM requests WHERE (?0 = '' OR state = ?0) AND (?1 = 0 OR id < ?1) ORDER BY id DESC LIMIT ?2",
		state, before, limit))
}

func listRequests(ctx context.Context, query *bun.RawQuery) ([]posthaste.Request, error) {
	var rows []requestRow
	if err := query.Scan(ctx, &rows); err != nil {
		return nil, translate("list requests", err)
	}
	requests := make([]posthaste.Request, len(rows))
	for i, r := range rows {
		var err error
		if requests[i], err = r.request(); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// EndRequest notes that the person saw the data; a request that has ended stays as it is.
func (s *Store) EndRequest(ctx context.Context, id int64) error {
	return s.inTx(ctx, "end request", func(ctx context.Context, tx bun.Tx) error {
		ended, err := exec(ctx, tx, "UPDATE requests SET state = ?, ended_at = ? WHERE id = ? AND state = ?", posthaste.RequestDone, micros(time.Now()), id, posthaste.RequestOpen)
		if err != nil || ended == 0 {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "request.end", object("request", id)))
	})
}

// ExpireRequests ends those whose link was not used in time, and gives how many.
func (s *Store) ExpireRequests(ctx context.Context, now time.Time) (expired int64, err error) {
	err = s.inTx(ctx, "expire requests", func(ctx context.Context, tx bun.Tx) error {
		expired, err = s.endOpen(ctx, tx, posthaste.RequestExpired, now, "created_at <= ?", micros(now.Add(-posthaste.LinkKept)))
		return err
	})
	return expired, err
}

// WithdrawRequest ends one whose link could not be sent: it does not count as one
// that was. A request that has ended stays as it is.
func (s *Store) WithdrawRequest(ctx context.Context, id int64) error {
	return s.inTx(ctx, "withdraw request", func(ctx context.Context, tx bun.Tx) error {
		_, err := s.endOpen(ctx, tx, posthaste.RequestWithdrawn, time.Now(), "id = ?", id)
		return err
	})
}

// endVerbs are what the audit log says of requests that end without what they asked for.
var endVerbs = map[posthaste.RequestState]string{posthaste.RequestExpired: "request.expire", posthaste.RequestWithdrawn: "request.withdraw"}

// endOpen ends open requests without what they asked for, and gives how many. Who
// was added for the link of one goes with it.
func (s *Store) endOpen(ctx context.Context, tx bun.Tx, to posthaste.RequestState, now time.Time, which string, args ...any) (int64, error) {
	var rows []struct {
		ID         int64
		NewAddress string
	}
	if err := tx.NewRaw("SELECT id, new_address FROM requests WHERE state = 'open' AND "+which+" ORDER BY id"+s.lock(), args...).
		Scan(ctx, &rows); err != nil || len(rows) == 0 {
		return 0, err
	}
	ids, entries := make([]int64, len(rows)), make([]posthaste.AuditEntry, len(rows))
	for i, r := range rows {
		ids[i], entries[i] = r.ID, did(ctx, endVerbs[to], object("request", r.ID))
	}
	if _, err := exec(ctx, tx, "UPDATE requests SET state = ?, ended_at = ?, new_address = '' WHERE id IN (?)", to, micros(now), bun.List(ids)); err != nil {
		return 0, err
	}
	for _, r := range rows {
		if r.NewAddress == "" {
			continue
		}
		if err := s.forgetAddressee(ctx, tx, r.NewAddress); err != nil {
			return 0, err
		}
	}
	return int64(len(ids)), s.appendAudit(ctx, tx, entries...)
}

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
	Receipt                   string
}

const requestColumns = "id, recipient_id, kind, channel, actor, reason, state, created_at, due_at, ended_at, receipt"

func (r requestRow) request() (posthaste.Request, error) {
	q := posthaste.Request{ID: r.ID, RecipientID: r.RecipientID, Kind: r.Kind, Channel: r.Channel, Actor: r.Actor, Reason: r.Reason, State: r.State,
		CreatedAt: instant(r.CreatedAt), DueAt: instant(r.DueAt), EndedAt: instant(r.EndedAt)}
	if r.Receipt == "" {
		return q, nil
	}
	return q, json.Unmarshal([]byte(r.Receipt), &q.Receipt)
}

// requestsPerDay is how many links one person is sent in a day, at most, however often they are asked for.
const requestsPerDay = 5

// AddRequest records what somebody asks for about the data of a canonical
// address, and when it is due. If nothing is held about it, that ends it at
// once. mail tells whether a link may be sent; too many a day are not.
func (s *Store) AddRequest(ctx context.Context, canonical string, q posthaste.Request) (_ posthaste.Request, mail bool, err error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	q.State, q.CreatedAt, q.DueAt = posthaste.RequestOpen, now, now.Add(posthaste.RequestDue)
	err = s.inTx(ctx, "add request", func(ctx context.Context, tx bun.Tx) error {
		var known []struct {
			ID          int64
			AddressHash []byte
		}
		if err := tx.NewRaw("SELECT id, address_hash FROM recipients WHERE canonical = ?", canonical).Scan(ctx, &known); err != nil {
			return err
		}
		hash := s.keys.HashAddress(canonical)
		if len(known) == 0 {
			q.State, q.EndedAt = posthaste.RequestNothing, now
		} else {
			q.RecipientID, hash = known[0].ID, known[0].AddressHash
		}
		var sent int64
		// requests_by_address is the index of this scan.
		if err := tx.NewRaw("SELECT count(*) FROM requests WHERE address_hash IN (?) AND created_at > ?", bun.List(s.addressHashes(canonical)), micros(now.Add(-24*time.Hour))).Scan(ctx, &sent); err != nil {
			return err
		}
		mail = q.State == posthaste.RequestOpen && sent < requestsPerDay
		if err := tx.NewRaw(`INSERT INTO requests (kind, recipient_id, address_hash, channel, actor, reason, state, created_at, due_at, ended_at, receipt)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '') RETURNING id`, q.Kind, q.RecipientID, hash, q.Channel, q.Actor, q.Reason, q.State, micros(q.CreatedAt), micros(q.DueAt),
			micros(q.EndedAt)).Scan(ctx, &q.ID); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "request.add", object("request", q.ID), "kind", string(q.Kind), "channel", string(q.Channel),
			"recipient_id", strconv.FormatInt(q.RecipientID, 10)))
	})
	return q, mail, err
}

// FindRequest gives the request of that id, or NotFound.
func (s *Store) FindRequest(ctx context.Context, id int64) (posthaste.Request, error) {
	var row requestRow
	if err := s.db.NewRaw("SELECT "+requestColumns+" FROM requests WHERE id = ?", id).Scan(ctx, &row); err != nil {
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
		var ids []int64
		if err := tx.NewRaw("UPDATE requests SET state = ?, ended_at = ? WHERE state = ? AND created_at <= ? RETURNING id",
			posthaste.RequestExpired, micros(now), posthaste.RequestOpen, micros(now.Add(-posthaste.LinkKept))).Scan(ctx, &ids); err != nil {
			return err
		}
		expired = int64(len(ids))
		entries := make([]posthaste.AuditEntry, len(ids))
		for i, id := range ids {
			entries[i] = did(ctx, "request.expire", object("request", id))
		}
		return s.appendAudit(ctx, tx, entries...)
	})
	return expired, err
}

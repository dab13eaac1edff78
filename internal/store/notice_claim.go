package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// ids makes an argument of ids for a prepared statement.
func (s *Store) ids(of []int64) any {
	if !s.Single() {
		return of
	}
	text, _ := json.Marshal(of) // numbers always can be
	return string(text)
}

const claimNotices = `UPDATE notices SET state = 'claimed', owner = ?2, changed_at = ?3 WHERE id IN IDS AND state = 'queued' RETURNING id`

// ClaimNotices makes worker the one that hands over those of the notices that
// are queued, and gives them with what each needs, in the order of their ids.
// The claim is committed before suppressions are read: see ListSending.
func (s *Store) ClaimNotices(ctx context.Context, ids []int64, worker string) ([]posthaste.NoticeMail, error) {
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	var claimed []int64
	err := s.inTx(ctx, "claim notices", func(ctx context.Context, tx bun.Tx) error {
		claim := tx.StmtContext(ctx, s.hot.notices.claim) //nolint:sqlclosecheck // it ends with the transaction
		rows, err := claim.QueryContext(ctx, s.ids(ids), worker, micros(time.Now()))
		if err != nil {
			return err
		}
		defer rows.Close()
		claimed = claimed[:0]
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return err
			}
			claimed = append(claimed, id)
		}
		return rows.Err()
	})
	if err != nil || len(claimed) == 0 {
		return nil, err
	}
	slices.Sort(claimed)
	return s.readNotices(ctx, claimed)
}

// Each row is found by primary keys; notices_by_call has no part in it.
const readNotices = `SELECT n.id, n.call_id, n.type_id, n.type_version, n.recipient_id, t.key, n.name, n.locale, n.data, n.external_id, n.attempts, n.valid_until,
		n.created_at, c.data, EXISTS (SELECT 1 FROM notice_files f WHERE f.call_id = n.call_id), coalesce(r.id, 0), coalesce(r.email, ''), coalesce(r.name, ''),
		coalesce(r.locale, ''), coalesce(r.time_zone, '')
	FROM notices n JOIN notice_types t ON t.id = n.type_id JOIN notice_calls c ON c.id = n.call_id LEFT JOIN recipients r ON r.id = n.recipient_id
	WHERE n.id IN IDS ORDER BY n.id`

// readNotices reads the people first and what stops them after, so that no
// suppression is older than the rest.
func (s *Store) readNotices(ctx context.Context, ids []int64) ([]posthaste.NoticeMail, error) {
	mails, err := scanNotices(s.hot.notices.read.QueryContext(ctx, s.ids(ids)))
	if err != nil {
		return nil, translate("read notices", err)
	}
	stopped, err := scanStopped(s.hot.notices.stopped.QueryContext(ctx, s.ids(ids)))
	if err != nil {
		return nil, translate("read suppressions", err)
	}
	for i := range mails {
		mails[i].Stopped = stopped[mails[i].ID]
	}
	return mails, nil
}

func scanNotices(rows *sql.Rows, err error) (mails []posthaste.NoticeMail, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var m posthaste.NoticeMail
		var data, callData string
		var validUntil, createdAt int64
		r := &m.Recipient
		if err := rows.Scan(&m.ID, &m.CallID, &m.TypeID, &m.TypeVersion, &m.RecipientID, &m.Type, &m.Name, &m.Locale, &data, &m.ExternalID, &m.Attempts, &validUntil,
			&createdAt, &callData, &m.HasFiles, &r.ID, &r.Email, &r.Name, &r.Locale, &r.TimeZone); err != nil {
			return nil, err
		}
		m.Data, m.CallData = json.RawMessage(data), json.RawMessage(callData)
		m.State, m.ValidUntil, m.CreatedAt = posthaste.NoticeClaimed, instant(validUntil), instant(createdAt)
		mails = append(mails, m)
	}
	return mails, rows.Err()
}

// What suppresses an address or a type; never a topic's opt-out.
const readStopped = `SELECT n.id, x.reason FROM notices n JOIN recipients r ON r.id = n.recipient_id
	JOIN suppressions x ON x.address_hash = r.address_hash AND x.topic_id IN (0, -n.type_id) AND x.reason <> 'erased' WHERE n.id IN IDS ORDER BY x.id`

func scanStopped(rows *sql.Rows, err error) (map[int64][]posthaste.Reason, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	stopped := map[int64][]posthaste.Reason{}
	for rows.Next() {
		var id int64
		var reason string
		if err := rows.Scan(&id, &reason); err != nil {
			return nil, err
		}
		stopped[id] = append(stopped[id], posthaste.Reason(strings.Clone(reason)))
	}
	return stopped, rows.Err()
}

// FindNoticeFiles gives the attachments and images of a call, in its order.
func (s *Store) FindNoticeFiles(ctx context.Context, callID int64) ([]posthaste.NoticeFile, error) {
	var rows []struct {
		Name, ContentType, ContentID string
		Content                      []byte
	}
	if err := s.db.NewRaw("SELECT name, content_type, content_id, content FROM notice_files WHERE call_id = ? ORDER BY number", callID).Scan(ctx, &rows); err != nil {
		return nil, translate("find files", err)
	}
	files := make([]posthaste.NoticeFile, len(rows))
	for i, r := range rows {
		files[i] = posthaste.NoticeFile(r)
	}
	return files, nil
}

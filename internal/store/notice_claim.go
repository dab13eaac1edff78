package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// ClaimNotices makes worker the one that hands over those of the notices that
// are queued, and gives them with what each needs, in the order of their ids.
// The claim is committed before suppressions are read: see ListSending.
func (s *Store) ClaimNotices(ctx context.Context, ids []int64, worker string) ([]posthaste.NoticeMail, error) {
	var claimed []int64
	err := s.inTx(ctx, "claim notices", func(ctx context.Context, tx bun.Tx) error {
		return tx.NewRaw("UPDATE notices SET state = ?, owner = ?, changed_at = ? WHERE id IN (?) AND state = ? RETURNING id",
			posthaste.NoticeClaimed, worker, micros(time.Now()), bun.List(ids), posthaste.NoticeQueued).Scan(ctx, &claimed)
	})
	if err != nil || len(claimed) == 0 {
		return nil, err
	}
	slices.Sort(claimed)
	return s.readNotices(ctx, claimed)
}

// readNotices reads the people first and what stops them after, so that no
// suppression is older than the rest.
func (s *Store) readNotices(ctx context.Context, ids []int64) ([]posthaste.NoticeMail, error) {
	var rows []struct {
		noticeRow
		Data, CallData                               string
		PersonID                                     int64
		PersonName, PersonLocale, PersonZone, Fields string
	}
	if err := s.db.NewRaw("SELECT "+noticeColumns+`, n.data, c.data AS call_data, coalesce(r.id, 0) AS person_id, coalesce(r.name, '') AS person_name,
		coalesce(r.locale, '') AS person_locale, coalesce(r.time_zone, '') AS person_zone, coalesce(r.attributes, '{}') AS fields`+
		noticeTables+"JOIN notice_calls c ON c.id = n.call_id WHERE n.id IN (?) ORDER BY n.id", bun.List(ids)).Scan(ctx, &rows); err != nil {
		return nil, translate("read notices", err)
	}
	stopped, err := s.stopped(ctx, ids)
	if err != nil {
		return nil, err
	}
	mails := make([]posthaste.NoticeMail, len(rows))
	for i, r := range rows {
		n, err := r.notice()
		if err != nil {
			return nil, err
		}
		n.Data = json.RawMessage(r.Data)
		mails[i] = posthaste.NoticeMail{Notice: n, CallData: json.RawMessage(r.CallData), Stopped: stopped[n.ID],
			Recipient: posthaste.Recipient{ID: r.PersonID, Email: r.Email, Name: r.PersonName, Locale: r.PersonLocale, TimeZone: r.PersonZone}}
		if len(r.Fields) > 2 { // more than {}
			if err := json.Unmarshal([]byte(r.Fields), &mails[i].Recipient.Attributes); err != nil {
				return nil, err
			}
		}
	}
	return mails, nil
}

// stopped gives by notice what suppresses its address or its type; never a topic's opt-out.
func (s *Store) stopped(ctx context.Context, ids []int64) (map[int64][]posthaste.Reason, error) {
	var rows []struct {
		ID     int64
		Reason posthaste.Reason
	}
	err := s.db.NewRaw(`SELECT n.id, x.reason FROM notices n JOIN recipients r ON r.id = n.recipient_id
		JOIN suppressions x ON x.address_hash = r.address_hash AND x.topic_id IN (0, -n.type_id) WHERE n.id IN (?) ORDER BY x.id`, bun.List(ids)).Scan(ctx, &rows)
	stopped := make(map[int64][]posthaste.Reason, len(rows))
	for _, r := range rows {
		stopped[r.ID] = append(stopped[r.ID], r.Reason)
	}
	return stopped, translate("read suppressions", err)
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

package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// Export reads all that is held about a recipient, of one moment, or NotFound.
// receivers say who else gets any of it.
func (s *Store) Export(ctx context.Context, recipientID int64, receivers []string) (posthaste.Export, error) {
	out := posthaste.Export{MadeAt: time.Now().UTC().Truncate(time.Microsecond), Receivers: slices.Clone(receivers)}
	options := &sql.TxOptions{ReadOnly: !s.Single(), Isolation: sql.LevelRepeatableRead}
	if s.Single() { // each of whose transactions sees one moment
		options = nil
	}
	err := s.db.RunInTx(ctx, options, func(ctx context.Context, tx bun.Tx) error {
		r, err := findRecipient(ctx, tx, "id = ?", recipientID)
		if err != nil {
			return err
		}
		if r.Attributes == nil {
			r.Attributes = map[string]string{}
		}
		out.Person = posthaste.ExportPerson(r)
		e := exporting{tx: tx, id: recipientID, names: map[int64]string{posthaste.AllTopics: "all"}}
		for _, read := range []func(context.Context, *posthaste.Export) error{e.readNames, e.readConsents, e.readSignUps, e.readSuppressions, e.readMailings, e.readNotices,
			e.readHits, e.readRequests, e.readLog, e.readReceivers} {
			if err := read(ctx, &out); err != nil {
				return err
			}
		}
		return nil
	})
	return out, noSuch(translate("export recipient", err), "recipient")
}

// exporting reads what is held about one recipient, table by table.
type exporting struct {
	tx    bun.Tx
	id    int64
	names map[int64]string // of topics, and of the topics that notice types are
}

func (e exporting) readNames(ctx context.Context, _ *posthaste.Export) error {
	var rows []struct {
		ID   int64
		Name string
	}
	if err := e.tx.NewRaw(`SELECT id, name FROM topics UNION ALL SELECT -t.id, v.name FROM notice_types t
		JOIN notice_type_versions v ON v.type_id = t.id AND v.version = t.version`).Scan(ctx, &rows); err != nil {
		return err
	}
	for _, r := range rows {
		e.names[r.ID] = r.Name
	}
	return nil
}

func (e exporting) readConsents(ctx context.Context, out *posthaste.Export) error {
	ledger, err := listConsents(ctx, e.tx, e.id)
	out.Consents = make([]posthaste.ExportConsent, len(ledger))
	for i, c := range ledger {
		out.Consents[i] = posthaste.ExportConsent{At: c.At, Purpose: c.Purpose, Decision: c.Decision, Channel: c.Channel, Source: c.Source, Wording: c.Wording,
			Language: c.Language, Policy: c.Policy, Network: c.Network.String(), Actor: c.Actor}
		if c.TopicID != 0 {
			out.Consents[i].Name = e.names[c.TopicID]
		}
	}
	return err
}

func (e exporting) readSignUps(ctx context.Context, out *posthaste.Export) error {
	var rows []signUpRow
	if err := e.tx.NewRaw("SELECT "+signUpColumns+" FROM sign_ups WHERE recipient_id = ? ORDER BY id", e.id).Scan(ctx, &rows); err != nil {
		return err
	}
	out.SignUps = make([]posthaste.ExportSignUp, len(rows))
	for i, r := range rows {
		u, err := r.signUp(ctx, e.tx)
		if err != nil {
			return err
		}
		x := posthaste.ExportSignUp{RequestedAt: u.RequestedAt, ConfirmedAt: orNil(u.ConfirmedAt), Form: u.Form.Title, Name: u.Name, Language: u.Language,
			Network: u.Network.String(), ConfirmedNetwork: u.ConfirmedNetwork.String(), MessageID: u.MessageID}
		for _, c := range u.Choices {
			x.Wordings = append(x.Wordings, c.Wording)
		}
		out.SignUps[i] = x
	}
	return nil
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// bounceRule is the rule of the one decision about a person that the program makes by itself.
const bounceRule = "An address of which its own mail server says for good that it does not exist (RFC 3463 status 5.1.1 and its like) is sent nothing more."

func (e exporting) readSuppressions(ctx context.Context, out *posthaste.Export) error {
	var rows []suppressionRow
	if err := e.tx.NewRaw("SELECT "+suppressionColumns+" FROM suppressions WHERE address_hash = (SELECT address_hash FROM recipients WHERE id = ?) ORDER BY id", e.id).
		Scan(ctx, &rows); err != nil {
		return err
	}
	out.Suppressions, out.Decisions = make([]posthaste.ExportSuppression, len(rows)), []posthaste.ExportDecision{}
	for i, r := range rows {
		x := r.suppression()
		out.Suppressions[i] = posthaste.ExportSuppression{At: x.CreatedAt, Scope: e.names[x.TopicID], Reason: x.Reason, Evidence: x.Evidence, Actor: x.Actor}
		if x.Reason == posthaste.HardBounce {
			out.Decisions = append(out.Decisions, posthaste.ExportDecision{At: x.CreatedAt, Decision: string(x.Reason), Rule: bounceRule, Input: x.Evidence,
				Reversal: fmt.Sprintf("customer service can lift it (suppression %d), and a confirmed sign-up does", x.ID)})
		}
	}
	return nil
}

func (e exporting) readMailings(ctx context.Context, out *posthaste.Export) error {
	var rows []struct {
		At, TopicID       int64
		Campaign, Subject string
		State             posthaste.DeliveryState
		Attempts          int
		Code              int
		Enhanced, Reply   string
		Measured          posthaste.Measured
	}
	// deliveries (recipient_id, campaign_id) is the index of this scan.
	if err := e.tx.NewRaw(`SELECT d.changed_at AS at, k.topic_id, k.name AS campaign, k.subject, d.state, d.attempts, d.code, d.enhanced, d.reply, d.measured
		FROM deliveries d JOIN campaigns k ON k.id = d.campaign_id WHERE d.recipient_id = ? ORDER BY d.campaign_id`, e.id).Scan(ctx, &rows); err != nil {
		return err
	}
	out.Mailings = make([]posthaste.ExportMailing, len(rows))
	for i, r := range rows {
		out.Mailings[i] = posthaste.ExportMailing{At: instant(r.At), Campaign: r.Campaign, Subject: r.Subject, Topic: e.names[r.TopicID], State: r.State,
			Attempts: r.Attempts, Answer: answerText(r.Code, r.Enhanced, r.Reply), Measured: r.Measured.Purposes()}
	}
	return nil
}

// answerText is what a server answered, as one text.
func answerText(code int, enhanced, reply string) string {
	if code == 0 {
		return reply
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%d %s %s", code, enhanced, reply)), " ")
}

func (e exporting) readNotices(ctx context.Context, out *posthaste.Export) error {
	var rows []struct {
		ID, CreatedAt               int64
		Type, Name, Locale          string
		State                       posthaste.NoticeState
		Data, CallData              string
		ExternalID, Metadata, Actor string
	}
	// notices_by_recipient is the index of this scan.
	if err := e.tx.NewRaw(`SELECT n.id, n.created_at, t.key AS type, n.name, n.locale, n.state, n.data, c.data AS call_data, n.external_id, n.metadata, n.actor
		FROM notices n JOIN notice_types t ON t.id = n.type_id JOIN notice_calls c ON c.id = n.call_id WHERE n.recipient_id = ? ORDER BY n.id`, e.id).Scan(ctx, &rows); err != nil {
		return err
	}
	attempts, err := e.attempts(ctx)
	if err != nil {
		return err
	}
	out.Notices = make([]posthaste.ExportNotice, len(rows))
	for i, r := range rows {
		x := posthaste.ExportNotice{At: instant(r.CreatedAt), Type: r.Type, Name: r.Name, Locale: r.Locale, State: r.State, Attempts: attempts[r.ID],
			ExternalID: r.ExternalID, Actor: r.Actor}
		if err := json.Unmarshal([]byte(r.Metadata), &x.Metadata); err != nil {
			return err
		}
		// Those of our own have links that work; they went to the same mailbox.
		if own := r.Type == posthaste.ConfirmNotice || r.Type == posthaste.DataNotice; !own {
			for _, text := range []string{r.CallData, r.Data} { // as mergeData puts them
				if text != "" {
					if err := json.Unmarshal([]byte(text), &x.Data); err != nil {
						return err
					}
				}
			}
		}
		out.Notices[i] = x
	}
	return nil
}

func (e exporting) attempts(ctx context.Context) (map[int64][]posthaste.ExportAttempt, error) {
	var rows []struct {
		NoticeID, At    int64
		State           posthaste.NoticeState
		Code            int
		Enhanced, Reply string
	}
	if err := e.tx.NewRaw(`SELECT a.notice_id, a.at, a.state, a.code, a.enhanced, a.reply FROM notice_attempts a JOIN notices n ON n.id = a.notice_id
		WHERE n.recipient_id = ? ORDER BY a.notice_id, a.number`, e.id).Scan(ctx, &rows); err != nil {
		return nil, err
	}
	attempts := map[int64][]posthaste.ExportAttempt{}
	for _, r := range rows {
		attempts[r.NoticeID] = append(attempts[r.NoticeID], posthaste.ExportAttempt{At: instant(r.At), State: r.State, Answer: answerText(r.Code, r.Enhanced, r.Reply)})
	}
	return attempts, nil
}

func (e exporting) readHits(ctx context.Context, out *posthaste.Export) error {
	var rows []struct {
		At                      int64
		Kind                    posthaste.HitKind
		Campaign, Link, Network string
		Region, Rule            string
		Agent, Place            string
		Burst2, Burst10         int
		Class                   posthaste.HitClass
	}
	// deliveries (recipient_id, campaign_id) and the primary key of hits are the indexes of this scan.
	if err := e.tx.NewRaw(`SELECT h.at, h.kind, k.name AS campaign, coalesce(l.url, '') AS link, h.network, h.region, h.class, h.rule, h.agent, h.place, h.burst2, h.burst10 FROM deliveries d JOIN hits h ON h.campaign_id = d.campaign_id AND h.number = d.number JOIN campaigns k ON k.id = h.campaign_id
		LEFT JOIN links l ON l.campaign_id = h.campaign_id AND l.number = h.link WHERE d.recipient_id = ?0 AND h.recipient_id = ?0 ORDER BY h.at, h.id`, e.id).Scan(ctx, &rows); err != nil {
		return err
	}
	out.Hits = make([]posthaste.ExportHit, len(rows))
	for i, r := range rows {
		out.Hits[i] = posthaste.ExportHit{At: instant(r.At), Kind: r.Kind, Campaign: r.Campaign, Link: r.Link, Network: r.Network, Region: r.Region, Class: r.Class, Rule: r.Rule, Agent: r.Agent, Place: r.Place, In2s: r.Burst2, In10s: r.Burst10}
	}
	return nil
}

func (e exporting) readRequests(ctx context.Context, out *posthaste.Export) error {
	requests, err := listRequests(ctx, e.tx.NewRaw("SELECT "+requestColumns+" FROM requests WHERE recipient_id = ? ORDER BY id", e.id))
	out.Requests = make([]posthaste.ExportRequest, len(requests))
	for i, q := range requests {
		out.Requests[i] = posthaste.ExportRequest{At: q.CreatedAt, Kind: q.Kind, Channel: q.Channel, State: q.State, DueAt: q.DueAt, EndedAt: orNil(q.EndedAt), Actor: q.Actor, Reason: q.Reason,
			NewAddress: q.NewAddress}
	}
	return err
}

func (e exporting) readLog(ctx context.Context, out *posthaste.Export) error {
	// audit_by_object is the index of this scan.
	entries, err := listAudit(ctx, e.tx.NewRaw("SELECT "+auditColumns+" FROM audit WHERE object = ? ORDER BY id", object("recipient", e.id)))
	out.Log = make([]posthaste.ExportLogEntry, len(entries))
	for i, l := range entries {
		out.Log[i] = posthaste.ExportLogEntry{At: l.At, Actor: l.Actor, Action: l.Action, Reason: l.Reason, Network: l.Network.String(), Region: l.Region}
	}
	return err
}

// readReceivers adds the webhooks: what they are told is of notices, by id.
func (e exporting) readReceivers(ctx context.Context, out *posthaste.Export) error {
	var urls []string
	if err := e.tx.NewRaw("SELECT url FROM webhooks WHERE disabled_at = 0 ORDER BY id").Scan(ctx, &urls); err != nil {
		return err
	}
	for _, text := range urls {
		if u, err := url.Parse(text); err == nil {
			out.Receivers = append(out.Receivers, u.Host+": what becomes of notices, by their number and the name that the system which asked for them gave, and no address; so that this system knows")
		}
	}
	return nil
}

package store

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// The guard against list bombing: somebody who signs up others, to flood their
// mailboxes or ours. It looks at keyed hashes of addresses and at networks.
const (
	signUpsPerAddress = 3 // per day; each sends a mail
	signUpsPerNetwork = 30
	signUpsOfAll      = 2000 // per minute, whoever makes them
	networkWindow     = time.Hour
	// signUpLock is the key of the advisory lock that has sign-ups counted one by one.
	signUpLock = 0x706f7377
)

// AddSignUp stores what somebody asked for in a form, finds or adds the
// recipient of its address, and gives both ids. NotFound-free and silent about
// who is known: allowed tells only whether a mail may be sent, or too many were.
func (s *Store) AddSignUp(ctx context.Context, u posthaste.SignUp) (_ posthaste.SignUp, allowed bool, err error) {
	choices, err := json.Marshal(u.Choices)
	if err != nil {
		return u, false, err
	}
	u.RequestedAt = time.Now().UTC().Truncate(time.Microsecond)
	err = s.inTx(ctx, "add sign-up", func(ctx context.Context, tx bun.Tx) error {
		if _, err := exec(ctx, tx, s.pick("SELECT pg_advisory_xact_lock(?)", "SELECT ?"), signUpLock); err != nil {
			return err
		}
		if allowed, err = signUpAllowed(ctx, tx, s.addressHashes(u.Canonical), u); err != nil || !allowed {
			return err
		}
		if u.RecipientID, err = s.findOrAddStranger(ctx, tx, u); err != nil {
			return err
		}
		if err := tx.NewRaw(`INSERT INTO sign_ups (form_id, form_version, recipient_id, address_hash, name, language, choices, network, requested_at, message_id,
			confirmed_at, confirmed_network) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', 0, '') RETURNING id`, u.Form.ID, u.Form.Version, u.RecipientID,
			s.keys.HashAddress(u.Canonical), u.Name, u.Language, string(choices), u.Network.String(), micros(u.RequestedAt)).Scan(ctx, &u.ID); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "sign_up.request", object("sign_up", u.ID), "form", u.Form.Key, "version", strconv.FormatInt(u.Form.Version, 10)))
	})
	return u, allowed, err
}

func signUpAllowed(ctx context.Context, tx bun.Tx, hashes [][]byte, u posthaste.SignUp) (bool, error) {
	now := u.RequestedAt
	var row struct{ Address, Network, Everybody int64 }
	// sign_ups_by_address, sign_ups_by_network and sign_ups_unconfirmed are the indexes of these scans.
	err := tx.NewRaw(`SELECT (SELECT count(*) FROM sign_ups WHERE address_hash IN (?) AND requested_at > ?) AS address,
		(SELECT count(*) FROM sign_ups WHERE network = ? AND network <> '' AND requested_at > ?) AS network,
		(SELECT count(*) FROM sign_ups WHERE confirmed_at = 0 AND requested_at > ?) AS everybody`,
		bun.List(hashes), micros(now.Add(-24*time.Hour)), u.Network.String(), micros(now.Add(-networkWindow)), micros(now.Add(-time.Minute))).Scan(ctx, &row)
	return row.Address < signUpsPerAddress && row.Network < signUpsPerNetwork && row.Everybody < signUpsOfAll, err
}

// findOrAddStranger gives the id of an address; a recipient who exists stays as he is.
func (s *Store) findOrAddStranger(ctx context.Context, tx bun.Tx, u posthaste.SignUp) (int64, error) {
	var row struct{ ID, CreatedAt int64 }
	now := micros(u.RequestedAt)
	// The empty update makes RETURNING answer for a row that exists.
	if err := tx.NewRaw(`INSERT INTO recipients (email, canonical, address_hash, key_id, name, locale, time_zone, attributes, created_at, updated_at, stranger)
		VALUES (?, ?, ?, ?, '', ?, '', '{}', ?, ?, 1) ON CONFLICT (canonical) DO UPDATE SET canonical = excluded.canonical RETURNING id, created_at`,
		u.Email, u.Canonical, s.keys.HashAddress(u.Canonical), s.keys.AddressKey(), u.Language, now, now).Scan(ctx, &row); err != nil || row.CreatedAt != now {
		return row.ID, err
	}
	return row.ID, s.carryOver(ctx, tx, u.Canonical)
}

// NoteConfirmationMail keeps the Message-ID of the mail that asks to confirm a sign-up.
func (s *Store) NoteConfirmationMail(ctx context.Context, id int64, messageID string) error {
	return s.inTx(ctx, "note confirmation mail", func(ctx context.Context, tx bun.Tx) error {
		_, err := exec(ctx, tx, "UPDATE sign_ups SET message_id = ? WHERE id = ?", messageID, id)
		return err
	})
}

type signUpRow struct {
	ID, FormID, FormVersion, RecipientID int64
	AddressHash                          []byte
	Name, Language, Choices, Network     string
	RequestedAt                          int64
	MessageID                            string
	ConfirmedAt                          int64
	ConfirmedNetwork                     string
}

const signUpColumns = "id, form_id, form_version, recipient_id, address_hash, name, language, choices, network, requested_at, message_id, confirmed_at, confirmed_network"

func (r signUpRow) signUp(ctx context.Context, db bun.IDB) (u posthaste.SignUp, err error) {
	u = posthaste.SignUp{ID: r.ID, RecipientID: r.RecipientID, Name: r.Name, Language: r.Language, Network: posthaste.ParseNetwork(r.Network),
		RequestedAt: instant(r.RequestedAt), MessageID: r.MessageID, ConfirmedAt: instant(r.ConfirmedAt), ConfirmedNetwork: posthaste.ParseNetwork(r.ConfirmedNetwork)}
	if err := json.Unmarshal([]byte(r.Choices), &u.Choices); err != nil {
		return u, err
	}
	u.Form, err = findForm(ctx, db, "f.id = ? AND v.version = ?", r.FormID, r.FormVersion)
	return u, err
}

// FindSignUp gives the sign-up of that id, or NotFound: it was removed, since
// nobody confirmed it in time or the person was erased; or the person has another
// address since, so that its link is in the wrong mailbox.
func (s *Store) FindSignUp(ctx context.Context, id int64) (posthaste.SignUp, error) {
	return findSignUp(ctx, s.db, id, "")
}

func findSignUp(ctx context.Context, db bun.IDB, id int64, lock string) (posthaste.SignUp, error) {
	var row signUpRow
	if err := db.NewRaw("SELECT "+signUpColumns+" FROM sign_ups WHERE id = ? AND NOT EXISTS (SELECT 1 FROM recipients r WHERE r.id = sign_ups.recipient_id AND r.address_since > sign_ups.requested_at)"+lock, id).Scan(ctx, &row); err != nil {
		return posthaste.SignUp{}, noSuch(translate("find sign-up", err), "sign-up")
	}
	return row.signUp(ctx, db)
}

// ConfirmSignUp makes what was asked for consent, and with it takes back what
// the person, or the address's own server, said against mail to it before:
// nothing else than a confirmed sign-up does. What an operator entered stays. Of
// somebody who had stopped all mail, or had been erased, no other topic comes
// back with it. Confirming again changes nothing.
func (s *Store) ConfirmSignUp(ctx context.Context, id int64, from posthaste.Network) (posthaste.SignUp, error) {
	var u posthaste.SignUp
	err := s.inTx(ctx, "confirm sign-up", func(ctx context.Context, tx bun.Tx) (err error) {
		if u, err = findSignUp(ctx, tx, id, s.pick(" FOR UPDATE", "")); err != nil || !u.ConfirmedAt.IsZero() {
			return err
		}
		u.ConfirmedAt, u.ConfirmedNetwork = time.Now().UTC().Truncate(time.Microsecond), from
		if _, err := exec(ctx, tx, "UPDATE sign_ups SET confirmed_at = ?, confirmed_network = ? WHERE id = ?", micros(u.ConfirmedAt), from.String(), id); err != nil {
			return err
		}
		there, err := exec(ctx, tx, `UPDATE recipients SET name = CASE WHEN name = '' THEN ? ELSE name END, locale = CASE WHEN locale = '' THEN ? ELSE locale END
			WHERE id = ? AND address_since <= ?`, u.Name, u.Language, u.RecipientID, micros(u.RequestedAt))
		if err != nil {
			return err
		}
		if there == 0 { // the address became another one in this moment
			return notFound("there is no such sign-up")
		}
		entries := make([]posthaste.Consent, len(u.Choices))
		for i, c := range u.Choices {
			e := u.Evidence(c)
			entries[i] = posthaste.Consent{RecipientID: u.RecipientID, Purpose: c.Purpose, TopicID: c.TopicID, Decision: posthaste.Given, Channel: posthaste.ByForm,
				Source: e.Source, Wording: e.Wording, Language: e.Language, Policy: e.Policy, SignUpID: u.ID, Network: from}
		}
		changed, err := renewConsents(ctx, tx, entries)
		if err != nil {
			return err
		}
		if err := s.liftFor(ctx, tx, u); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, append(consentEntries(ctx, changed), did(ctx, "sign_up.confirm", object("sign_up", id)))...)
	})
	return u, err
}

// liftedByConfirming are the reasons that a confirmed sign-up takes back.
var liftedByConfirming = []posthaste.Reason{posthaste.OptedOut, posthaste.Complaint, posthaste.HardBounce, posthaste.Erased}

// liftFor takes back what stops the topics of a sign-up, and only those.
func (s *Store) liftFor(ctx context.Context, tx bun.Tx, u posthaste.SignUp) error {
	var topics []int64
	for _, c := range u.Choices {
		if c.Purpose == posthaste.ForTopic {
			topics = append(topics, c.TopicID)
		}
	}
	if len(topics) == 0 {
		return nil
	}
	const ofRecipient = "address_hash = (SELECT address_hash FROM recipients WHERE id = ?) AND reason IN (?)"
	// That the address exists after all says nothing about what the person wants.
	if _, err := exec(ctx, tx, "DELETE FROM suppressions WHERE topic_id = 0 AND "+ofRecipient, u.RecipientID, bun.List([]posthaste.Reason{posthaste.HardBounce})); err != nil {
		return err
	}
	stopped, err := exec(ctx, tx, "DELETE FROM suppressions WHERE topic_id = 0 AND "+ofRecipient, u.RecipientID, bun.List(liftedByConfirming))
	if err != nil {
		return err
	}
	if _, err := exec(ctx, tx, "DELETE FROM suppressions WHERE topic_id IN (?) AND "+ofRecipient, bun.List(topics), u.RecipientID, bun.List(liftedByConfirming)); err != nil {
		return err
	}
	if stopped == 0 {
		return nil
	}
	var others []int64
	if err := tx.NewRaw("SELECT topic_id FROM consent_states WHERE recipient_id = ? AND purpose = 'topic' AND decision = 'given'", u.RecipientID).Scan(ctx, &others); err != nil {
		return err
	}
	others = slices.DeleteFunc(others, func(id int64) bool { return slices.Contains(topics, id) })
	withdrawn := make([]posthaste.Consent, len(others))
	for i, topic := range others {
		withdrawn[i] = posthaste.Consent{RecipientID: u.RecipientID, Purpose: posthaste.ForTopic, TopicID: topic, Decision: posthaste.Withdrawn, Channel: posthaste.ByForm, SignUpID: u.ID}
	}
	changed, err := appendConsents(ctx, tx, withdrawn)
	if err != nil {
		return err
	}
	if err := s.appendAudit(ctx, tx, consentEntries(ctx, changed)...); err != nil {
		return err
	}
	return staySilent(ctx, tx, u.RecipientID)
}

// WithdrawSignUp removes one whose mail could not be sent, so that it does not
// count as one that was, and who was added for it. A confirmed one stays.
func (s *Store) WithdrawSignUp(ctx context.Context, id int64) error {
	return s.inTx(ctx, "withdraw sign-up", func(ctx context.Context, tx bun.Tx) error {
		var of []int64
		if err := tx.NewRaw("DELETE FROM sign_ups WHERE id = ? AND confirmed_at = 0 RETURNING recipient_id", id).Scan(ctx, &of); err != nil || len(of) == 0 {
			return err
		}
		if err := s.forgetStranger(ctx, tx, of[0], forgetAny); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "sign_up.withdraw", object("sign_up", id)))
	})
}

// PurgeSignUps removes up to limit sign-ups that nobody confirmed since an
// instant, with the recipients that were added for them and are known for
// nothing else, and gives how many sign-ups.
func (s *Store) PurgeSignUps(ctx context.Context, before time.Time, limit int) (purged int64, err error) {
	err = s.inTx(ctx, "purge sign-ups", func(ctx context.Context, tx bun.Tx) error {
		var rows []struct{ ID, RecipientID int64 }
		// sign_ups_unconfirmed is the index of this scan.
		if err := tx.NewRaw("SELECT id, recipient_id FROM sign_ups WHERE confirmed_at = 0 AND requested_at < ? ORDER BY requested_at LIMIT ?",
			micros(before), limit).Scan(ctx, &rows); err != nil || len(rows) == 0 {
			return err
		}
		ids, recipients := make([]int64, len(rows)), make([]int64, len(rows))
		for i, r := range rows {
			ids[i], recipients[i] = r.ID, r.RecipientID
		}
		if purged, err = exec(ctx, tx, "DELETE FROM sign_ups WHERE id IN (?) AND confirmed_at = 0", bun.List(ids)); err != nil {
			return err
		}
		slices.Sort(recipients)
		for _, id := range slices.Compact(recipients) {
			if err := s.forgetStranger(ctx, tx, id, before); err != nil {
				return err
			}
		}
		return nil
	})
	return purged, err
}

// forgetAny is after any time at which a stranger was added.
var forgetAny = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// forgetStranger erases a recipient of whom nothing is known but sign-ups that
// were never confirmed, or a correction that was not, and the mails that asked to
// confirm them.
func (s *Store) forgetStranger(ctx context.Context, tx bun.Tx, id int64, before time.Time) error {
	var strangers int64
	if err := tx.NewRaw(`SELECT count(*) FROM recipients r WHERE r.id = ? AND r.stranger = 1 AND r.created_at < ? AND NOT EXISTS (SELECT 1 FROM sign_ups u WHERE u.recipient_id = r.id)
		AND NOT EXISTS (SELECT 1 FROM requests q WHERE q.new_hash = r.address_hash AND q.new_address <> '')`, id, micros(before)).Scan(ctx, &strangers); err != nil || strangers == 0 {
		return err
	}
	// Anybody can enter an address: that must not wipe what a suppression of it rests on.
	_, err := s.eraseRows(ctx, tx, id, "evidence")
	return err
}

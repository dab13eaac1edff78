package store

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
	"posthaste/internal/address"
)

// CorrectRecipient puts right what is held about a recipient, and tells whether
// anything changed. NotFound when there is none of that id; Invalid when there
// would be too many attributes.
func (s *Store) CorrectRecipient(ctx context.Context, id int64, c posthaste.Correction) (after posthaste.Recipient, changed bool, err error) {
	err = s.inTx(ctx, "correct recipient", func(ctx context.Context, tx bun.Tx) error {
		before, err := findRecipient(ctx, tx, "id = ?"+s.lock(), id)
		if err != nil {
			return noSuch(translate("find recipient", err), "recipient")
		}
		after = before.Correct(c)
		fields := after.Differs(before)
		if changed = len(fields) > 0; !changed {
			return nil
		}
		if len(after.Attributes) > posthaste.AttributesMost {
			return posthaste.Refuse("attributes", "would be more than "+strconv.Itoa(posthaste.AttributesMost))
		}
		if err := addAttributeNames(ctx, tx, slices.Collect(maps.Keys(after.Attributes))); err != nil {
			return err
		}
		attributes, err := attributesJSON(after.Attributes)
		if err != nil {
			return err
		}
		after.UpdatedAt = time.Now().UTC().Truncate(time.Microsecond)
		if _, err := exec(ctx, tx, "UPDATE recipients SET name = ?, locale = ?, time_zone = ?, attributes = ?, updated_at = ? WHERE id = ?",
			after.Name, after.Locale, after.TimeZone, attributes, micros(after.UpdatedAt), id); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "recipient.change", object("recipient", id), "fields", strings.Join(fields, " ")))
	})
	return after, changed, err
}

// resident is a recipient and how their address is known.
type resident struct {
	ID, Stranger int64
	Canonical    string
	AddressHash  []byte
}

func findResident(ctx context.Context, tx bun.Tx, where string, arg any) (resident, error) {
	var found []resident
	err := tx.NewRaw("SELECT id, stranger, canonical, address_hash FROM recipients WHERE "+where, arg).Scan(ctx, &found)
	if err != nil || len(found) == 0 {
		return resident{}, err
	}
	return found[0], nil
}

// lock is behind a query whose rows must stay as they are until the transaction
// ends. Requests are locked before recipients.
func (s *Store) lock() string { return s.pick(" FOR UPDATE", "") }

// addressee has a link to a new address of a recipient: its owner is a stranger
// until they confirm, so that the mail has somebody to go to. Conflict when the
// address is somebody else's. Of several corrections the latest counts.
func (s *Store) addressee(ctx context.Context, tx bun.Tx, q *posthaste.Request, allowed func(canonical string) (bool, error)) (hash []byte, mail bool, err error) {
	addr, err := address.Parse(q.NewAddress)
	if err != nil {
		return nil, false, err
	}
	holder, err := findResident(ctx, tx, "canonical = ?", addr.Canonical())
	if err != nil {
		return nil, false, err
	}
	if holder.ID != q.RecipientID && holder.ID != 0 && holder.Stranger == 0 {
		return nil, false, addressInUse()
	}
	if _, err := s.endOpen(ctx, tx, posthaste.RequestExpired, q.CreatedAt, "recipient_id = ? AND kind = ?", q.RecipientID, posthaste.CorrectionRequest); err != nil {
		return nil, false, err
	}
	hash = s.keys.HashAddress(addr.Canonical())
	if mail, err = allowed(addr.Canonical()); err != nil || !mail {
		q.NewAddress = "" // nobody can confirm it
		return hash, false, err
	}
	_, err = s.findOrAddStranger(ctx, tx, posthaste.SignUp{Email: addr.String(), Canonical: addr.Canonical(), RequestedAt: q.CreatedAt})
	return hash, true, err
}

func addressInUse() error { return conflict("this address is in use already") }

// CorrectAddress makes the address to which the link of a correction went the
// recipient's, since whoever reads that mailbox has said so. What keeps the
// address before silent keeps the new one silent too, and the one before as
// well. Links that went to the mailbox before work no more. NotFound when the
// request has ended otherwise, or the person was erased; Conflict when the
// address is somebody else's by now: the request stays open then. Doing it again
// changes nothing. A mail that is being handed over at this moment still goes to
// the address before.
func (s *Store) CorrectAddress(ctx context.Context, requestID int64) (err error) {
	for range rekeyTries {
		err = s.inTx(ctx, "correct address", func(ctx context.Context, tx bun.Tx) error { return s.correctOnce(ctx, tx, requestID) })
		if !inTheWay(err) {
			break
		}
	}
	return err
}

func (s *Store) correctOnce(ctx context.Context, tx bun.Tx, requestID int64) error {
	var q struct {
		RecipientID int64
		State       posthaste.RequestState
		NewAddress  string
	}
	if err := tx.NewRaw("SELECT recipient_id, state, new_address FROM requests WHERE id = ? AND kind = ?"+s.lock(), requestID, posthaste.CorrectionRequest).
		Scan(ctx, &q); err != nil {
		return noSuch(translate("find request", err), "request")
	}
	if q.State == posthaste.RequestDone && q.RecipientID != 0 {
		return nil
	}
	if q.State != posthaste.RequestOpen || q.NewAddress == "" {
		return notFound("this link is not valid any more")
	}
	addr, err := address.Parse(q.NewAddress)
	if err != nil {
		return err
	}
	r, err := findResident(ctx, tx, "id = ?"+s.lock(), q.RecipientID)
	if err != nil {
		return err
	}
	if r.ID == 0 {
		return notFound("this link is not valid any more")
	}
	now := time.Now()
	if _, err := exec(ctx, tx, "UPDATE requests SET state = ?, ended_at = ?, new_address = '' WHERE id = ?", posthaste.RequestDone, micros(now), requestID); err != nil {
		return err
	}
	if r.Canonical != addr.Canonical() {
		if err := s.move(ctx, tx, r, addr, now); err != nil {
			return err
		}
	} else if _, err := exec(ctx, tx, "UPDATE recipients SET email = ?, updated_at = ? WHERE id = ?", addr.String(), micros(now), r.ID); err != nil { // another spelling of the same mailbox
		return err
	}
	return s.appendAudit(ctx, tx, did(ctx, "recipient.correct_address", object("recipient", r.ID), "request", strconv.FormatInt(requestID, 10)))
}

// move gives a recipient another canonical address.
func (s *Store) move(ctx context.Context, tx bun.Tx, r resident, to address.Address, now time.Time) error {
	holder, err := findResident(ctx, tx, "canonical = ?"+s.lock(), to.Canonical())
	if err != nil {
		return err
	}
	// Whoever has read the hash of now, to add a suppression under it, comes before
	// this; whoever comes later reads the new one. It goes before all that touches
	// suppressions, or two corrections would wait for each other.
	if _, err := exec(ctx, tx, s.pick("LOCK TABLE suppressions IN SHARE ROW EXCLUSIVE MODE", "SELECT 1")); err != nil {
		return err
	}
	if err := s.makeRoom(ctx, tx, r.ID, holder); err != nil {
		return err
	}
	if err := s.carryOver(ctx, tx, to.Canonical()); err != nil {
		return err
	}
	hash, key := s.keys.HashAddress(to.Canonical()), s.keys.AddressKey()
	if _, err := exec(ctx, tx, "UPDATE recipients SET email = ?, canonical = ?, address_hash = ?, key_id = ?, address_since = ?, updated_at = ? WHERE id = ?",
		to.String(), to.Canonical(), hash, key, micros(now), micros(now), r.ID); err != nil {
		return err
	}
	// With their times: an erasure of long ago is none of now. That a mailbox does
	// not exist was said of the one before alone.
	if _, err := exec(ctx, tx, `INSERT INTO suppressions (address_hash, key_id, topic_id, reason, evidence, actor, created_at)
		SELECT ?0?1, ?2, topic_id, reason, evidence, actor, created_at FROM suppressions WHERE address_hash IN (?3) AND reason <> ?4
		ORDER BY created_at DESC, id ON CONFLICT DO NOTHING`, hash, s.asBytes(), key, bun.List(append(s.addressHashes(r.Canonical), r.AddressHash)), posthaste.HardBounce); err != nil {
		return err
	}
	_, err = s.endOpen(ctx, tx, posthaste.RequestExpired, now, "recipient_id = ?", r.ID)
	return err
}

// makeRoom has whoever holds an address leave it: who was added for the link, or
// by a sign-up that nobody confirmed, goes, and their mails are the recipient's.
func (s *Store) makeRoom(ctx context.Context, tx bun.Tx, recipientID int64, holder resident) error {
	switch {
	case holder.ID == 0:
		return nil
	case holder.Stranger == 0:
		return addressInUse()
	}
	if _, err := exec(ctx, tx, "UPDATE notices SET recipient_id = ? WHERE recipient_id = ?", recipientID, holder.ID); err != nil {
		return err
	}
	_, err := s.eraseRows(ctx, tx, holder.ID, "evidence")
	return err
}

// forgetAddressee erases who was added for a link to a new address, unless they
// are known for something else.
func (s *Store) forgetAddressee(ctx context.Context, tx bun.Tx, email string) error {
	addr, err := address.Parse(email)
	if err != nil {
		return err
	}
	holder, err := findResident(ctx, tx, "canonical = ?"+s.lock(), addr.Canonical())
	if err != nil || holder.ID == 0 {
		return err
	}
	return s.forgetStranger(ctx, tx, holder.ID, forgetAny)
}

package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"posthaste"
	"posthaste/internal/store"
	"posthaste/internal/testkit"
)

// rotate has the secret file get its next line.
func rotate(tb testing.TB, s *store.Store, lines int) {
	tb.Helper()
	must(tb, s.UseKeys(tb.Context(), testKeys{lines - 1}))
}

// rekeyAll finishes a rotation in steps of two and gives what it did.
func rekeyAll(tb testing.TB, s *store.Store) (all store.Rekeyed) {
	tb.Helper()
	for step := (store.Rekeyed{}); ; {
		var err error
		step, err = s.Rekey(tb.Context(), step.Last, 2)
		must(tb, err)
		if step.Last == 0 {
			must(tb, s.FinishRekey(tb.Context()))
			return all
		}
		all.Recipients, all.Suppressions, all.Doubles = all.Recipients+step.Recipients, all.Suppressions+step.Suppressions, all.Doubles+step.Doubles
	}
}

// checkHashes wants every recipient's hash to be what its key makes of the
// address, and all suppressions of the address under that one.
func checkHashes(tb testing.TB, db *sql.DB, lines int) {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), "SELECT canonical, address_hash, key_id FROM recipients")
	must(tb, err)
	defer rows.Close()
	known, right := map[string]string{}, map[string]int{}
	for rows.Next() {
		var canonical string
		var hash []byte
		var key int
		must(tb, rows.Scan(&canonical, &hash, &key))
		for line := 1; line <= lines; line++ {
			here := hashUnder(line, canonical)
			if max(key, 1) == line {
				if !bytes.Equal(here, hash) {
					tb.Errorf("%s is not hashed under its key %d", canonical, key)
				}
				right[string(here)] = line
				continue
			}
			known[string(here)] = canonical
		}
	}
	must(tb, rows.Err())
	found, err := db.QueryContext(tb.Context(), "SELECT address_hash, reason, key_id FROM suppressions")
	must(tb, err)
	defer found.Close()
	for found.Next() {
		var hash []byte
		var reason string
		var key int
		must(tb, found.Scan(&hash, &reason, &key))
		if line := right[string(hash)]; line > 0 && line != max(key, 1) {
			tb.Errorf("%s is under key %d and says %d", reason, line, key)
		}
		if canonical := known[string(hash)]; canonical != "" {
			tb.Errorf("%s of %s is under another hash than the recipient", reason, canonical)
		}
	}
	must(tb, found.Err())
}

// silencers make the topic's mail to an address stop, each in one way.
var silencers = map[string]func(r rotation, address string){
	"opted-out": func(r rotation, address string) { optOut(r.tb, r.s, r.add(address), r.topic.ID) },
	"stopped":   func(r rotation, address string) { optOut(r.tb, r.s, r.add(address), posthaste.AllTopics) },
	"complained": func(r rotation, address string) {
		r.add(address)
		r.suppress(address, posthaste.Complaint)
	},
	"bounced": func(r rotation, address string) {
		r.add(address)
		r.suppress(address, posthaste.HardBounce)
	},
	"unknown": func(r rotation, address string) { r.suppress(address, posthaste.OptedOut) },
	"erased":  func(r rotation, address string) { erase(r.tb, r.s, r.add(address)) },
	"opted-out-and-erased": func(r rotation, address string) {
		id := r.add(address)
		optOut(r.tb, r.s, id, r.topic.ID)
		erase(r.tb, r.s, id)
	},
}

// returns have an address become known, or be looked at, again.
var returns = map[string]func(r rotation, address string){
	"import": func(rotation, string) {}, // which is how all of them end
	"put":    func(r rotation, address string) { r.add(address) },
	"notice": func(r rotation, address string) { accept(r.tb, r.s, callFor(r.notice, "", address)) },
	"sign-up": func(r rotation, address string) {
		if _, ok := signUp(r.tb, r.s, r.form, address, "", r.topic); !ok {
			r.tb.Error("the sign-up was not let in")
		}
	},
	"suppress": func(r rotation, address string) {
		for _, x := range r.list(address) { // which is there already
			again, err := r.s.Suppress(r.tb.Context(), address, posthaste.Suppression{TopicID: x.TopicID, Reason: x.Reason})
			if must(r.tb, err); again.ID != x.ID {
				r.tb.Errorf("%s of %s is there twice", x.Reason, address)
			}
		}
		r.suppress(address, posthaste.Manual)
	},
	"list": func(r rotation, address string) {
		if len(r.list(address)) == 0 {
			r.tb.Errorf("nothing is listed of %s", address)
		}
	},
}

// rotation is a database whose secret is rotated.
type rotation struct {
	tb     testing.TB
	s      *store.Store
	form   posthaste.Form
	topic  posthaste.Topic
	notice posthaste.NoticeType
}

func newRotation(tb testing.TB, s *store.Store) rotation {
	tb.Helper()
	f, topics := form(tb, s, "weekly")
	return rotation{tb, s, f, topics[0], noticeType(tb, s, "account", posthaste.Necessary)}
}

func (r rotation) add(address string) int64 {
	r.tb.Helper()
	added, _, err := r.s.PutRecipient(r.tb.Context(), posthaste.Recipient{Email: address}, address)
	must(r.tb, err)
	return added.ID
}

func (r rotation) suppress(address string, reason posthaste.Reason) {
	r.tb.Helper()
	_, err := r.s.Suppress(r.tb.Context(), address, posthaste.Suppression{Reason: reason, Evidence: "e", Actor: "a"})
	must(r.tb, err)
}

func (r rotation) list(address string) []posthaste.Suppression {
	r.tb.Helper()
	found, err := r.s.ListSuppressions(r.tb.Context(), address, 0, 10)
	must(r.tb, err)
	return found
}

// bringIn imports addresses with consent to the topic.
func (r rotation) bringIn(addresses ...string) {
	r.tb.Helper()
	_, err := r.s.Import(r.tb.Context(), posthaste.Import{TopicID: r.topic.ID, Evidence: evidence}, rowsOf(addresses...))
	must(r.tb, err)
}

func (r rotation) allowed(address string) bool {
	r.tb.Helper()
	known, err := r.s.FindRecipientByAddress(r.tb.Context(), address)
	if errors.Is(err, posthaste.NotFound) {
		return false
	}
	must(r.tb, err)
	return allowed(r.tb, r.s, r.topic, known.ID)
}

// TestSilenceOutlastsRotations has every way to become silent meet every way to
// come back, with the secret rotated once and twice between them, and the
// database re-keyed or not.
func TestSilenceOutlastsRotations(t *testing.T) {
	t.Parallel()
	for _, schedule := range []string{"-", "rk", "r", "rkrk", "rr", "rrk", "rkr"} { // r: a line more, k: re-keyed
		t.Run(schedule, func(t *testing.T) {
			t.Parallel()
			onBothAt(t, func(t *testing.T, s *store.Store, url string) { silenceOutlasts(newRotation(t, s), schedule, url) })
		})
	}
}

func silenceOutlasts(r rotation, schedule, url string) {
	r.tb.Helper()
	db, lines := testkit.RawSQL(r.tb, url), 1
	r.bringIn("control@example.com")
	var silent []string
	before := map[string]string{}
	for how, silence := range silencers {
		for back := range returns {
			address := how + "." + back + "@example.com"
			silence(r, address)
			silent = append(silent, address)
			before[address] = said(r.list(address))
		}
	}
	for _, step := range schedule {
		switch step {
		case 'r':
			lines++
			rotate(r.tb, r.s, lines)
		case 'k':
			rekeyAll(r.tb, r.s)
		}
		checkHashes(r.tb, db, lines)
	}
	for _, address := range silent {
		_, back, _ := strings.Cut(strings.TrimSuffix(address, "@example.com"), ".")
		returns[back](r, address)
	}
	checkHashes(r.tb, db, lines)
	r.bringIn(append(silent, "control2@example.com")...)
	checkHashes(r.tb, db, lines)
	for _, address := range silent {
		if r.allowed(address) {
			r.tb.Errorf("%s gets mail", address)
		}
		if after := said(r.list(address)); after != before[address] && !strings.Contains(address, ".suppress@") {
			r.tb.Errorf("%s: what is suppressed was %s and is %s", address, before[address], after)
		}
		for _, x := range r.list(address) {
			if strings.HasPrefix(address, "erased") && (x.KeyID != int64(lines) || !bytes.Equal(x.AddressHash, hashUnder(lines, address))) {
				r.tb.Errorf("%s came back and is under key %d", address, x.KeyID)
			}
		}
	}
	if !r.allowed("control@example.com") || !r.allowed("control2@example.com") {
		r.tb.Error("whoever said nothing gets no mail")
	}
	c, err := r.s.Freeze(r.tb.Context(), scheduled(r.tb, r.s, r.topic).ID)
	must(r.tb, err)
	if n := counts(r.tb, r.s, c.ID); n.Queued != 2 {
		r.tb.Errorf("a campaign goes to %d, want 2: %+v", n.Queued, n)
	}
	// An erasure and an opt-out of a topic stop no notices, but what "suppress" does.
	all, stopped, err := r.s.CountAudience(r.tb.Context(), posthaste.Campaign{TopicID: posthaste.TypeAsTopic(r.notice.ID), Announcement: posthaste.Announcement{Kind: posthaste.Necessary}})
	must(r.tb, err)
	if want := int64(4*len(returns) + 3); stopped != want {
		r.tb.Errorf("an announcement to %d is stopped for %d, want %d", all, stopped, want)
	}
}

// said tells what is suppressed, but under which hash.
func said(found []posthaste.Suppression) string {
	var b strings.Builder
	for _, x := range found {
		fmt.Fprintf(&b, "%d %d %s %q %q %d; ", x.ID, x.TopicID, x.Reason, x.Evidence, x.Actor, x.CreatedAt.UnixMicro())
	}
	return b.String()
}

// TestInterruptedRotation stops after every step: what has come and what has not
// holds alike, and the next run finishes the rest.
func TestInterruptedRotation(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		r, db := newRotation(t, s), testkit.RawSQL(t, url)
		var silent []string
		for i := range 7 {
			address := email(i)
			silent = append(silent, address)
			r.bringIn(address)
			optOut(t, s, r.add(address), r.topic.ID)
		}
		undoable := optOut(t, s, r.add(silent[0]), posthaste.AllTopics)
		erase(t, s, r.add("erased@example.com"))
		rotate(t, s, 2)
		var last int64
		for step := range 3 {
			done, err := s.Rekey(t.Context(), last, 2)
			must(t, err)
			last = done.Last
			checkHashes(t, db, 2)
			// One who has come and one who has not, each suppressed by address, and found.
			for _, address := range []string{silent[0], silent[6]} {
				r.suppress(address, posthaste.Manual)
				if found := r.list(address); len(found) < 2 || r.allowed(address) {
					t.Errorf("step %d: %s has %d suppressions, mail %t", step, address, len(found), r.allowed(address))
				}
			}
			checkHashes(t, db, 2)
			r.bringIn(append(silent, "new"+strconv.Itoa(step)+"@example.com")...)
			for _, address := range silent {
				if r.allowed(address) {
					t.Errorf("step %d: %s gets mail", step, address)
				}
			}
		}
		if known, suppressed, err := s.CountOlder(t.Context()); err != nil || known != 1 || suppressed != 3 {
			t.Errorf("%d recipients and %d suppressions are under the older key, %v", known, suppressed, err)
		}
		rest := rekeyAll(t, s)
		if rest.Recipients != 1 || rest.Suppressions != 2 || rest.Doubles != 0 {
			t.Errorf("the rest: %+v", rest)
		}
		if known, suppressed, err := s.CountOlder(t.Context()); err != nil || known != 0 || suppressed != 1 {
			t.Errorf("%d recipients and %d suppressions are under the older key, %v", known, suppressed, err)
		}
		if again := rekeyAll(t, s); again != (store.Rekeyed{}) {
			t.Errorf("a second run: %+v", again)
		}
		must(t, s.UndoOptOut(t.Context(), posthaste.OptOut{RecipientID: r.add(silent[0])}, undoable))
		entries, err := s.ListAudit(t.Context(), posthaste.AuditFilter{Action: "secret.rekey"}, 0, 10)
		must(t, err)
		var recipients, suppressions int
		for _, e := range entries {
			var n, m int
			_, err := fmt.Sscan(e.Details["recipients"]+" "+e.Details["suppressions"]+" "+e.Details["key_id"], &n, &m, new(int))
			must(t, err)
			recipients, suppressions = recipients+n, suppressions+m
		}
		if len(entries) != 4 || recipients != 7 || suppressions != 9 {
			t.Errorf("the log tells of %d recipients and %d suppressions in %d steps", recipients, suppressions, len(entries))
		}
		checkHashes(t, db, 2)
	})
}

// TestLimitsOutlastRotations counts sign-ups and requests of an address under
// all of its hashes.
func TestLimitsOutlastRotations(t *testing.T) {
	t.Parallel()
	for name, rekey := range map[string]bool{"re-keyed": true, "not yet": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBothAt(t, func(t *testing.T, s *store.Store, url string) {
				r := newRotation(t, s)
				ask := func() bool {
					_, mail, err := s.AddRequest(t.Context(), "ada@example.com", posthaste.Request{Kind: posthaste.AccessRequest, Channel: posthaste.ByDesk})
					must(t, err)
					return mail
				}
				for range 3 {
					if _, ok := signUp(t, s, r.form, "ada@example.com", "", r.topic); !ok {
						t.Fatal("too early")
					}
				}
				for range 5 {
					if !ask() {
						t.Fatal("too early")
					}
				}
				rotate(t, s, 2)
				if rekey {
					rekeyAll(t, s)
					var old int
					must(t, testkit.RawSQL(t, url).QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM sign_ups u JOIN recipients r ON r.address_hash <> u.address_hash) + (SELECT count(*) FROM requests q JOIN recipients r ON r.address_hash <> q.address_hash)").Scan(&old))
					if old != 0 {
						t.Errorf("%d sign-ups and requests are under the older key", old)
					}
				}
				if _, ok := signUp(t, s, r.form, "ada@example.com", "", r.topic); ok {
					t.Error("after the rotation sign-ups are counted from the start")
				}
				if ask() {
					t.Error("after the rotation requests are counted from the start")
				}
			})
		})
	}
}

// TestBindAddressKey lets a process run only with the newest line, and change it only alone.
func TestBindAddressKey(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		must(t, s.BindSecret(t.Context(), "one"))
		must(t, s.BindSecret(t.Context(), "one"))
		other, err := store.Open(t.Context(), url, testKeys{})
		must(t, err)
		must(t, other.Ping(t.Context()))
		if !s.Single() {
			wantKind(t, s.Alone(t.Context()), posthaste.Conflict)
			wantKind(t, s.UseKeys(t.Context(), testKeys{1}), posthaste.Conflict)
			if x, err := s.Suppress(t.Context(), "a@example.com", posthaste.Suppression{Reason: posthaste.Manual}); err != nil || x.KeyID != 1 {
				t.Errorf("it goes on under key %d, %v", x.KeyID, err)
			}
		}
		must(t, other.BindSecret(t.Context(), "one")) // nothing has changed
		must(t, other.Close())
		must(t, s.Alone(t.Context()))
		rotate(t, s, 2)
		must(t, s.BindSecret(t.Context(), "one"))
		must(t, s.CheckSecret(t.Context(), "one"))

		old := openWith(t, url, testKeys{})
		for name, err := range map[string]error{"bind": old.BindSecret(t.Context(), "one"), "check": old.CheckSecret(t.Context(), "one")} {
			wantKind(t, err, posthaste.Conflict)
			if err != nil && !strings.Contains(err.Error(), "lacks line 2 (fingerprint print2)") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if s.Single() {
			_, err := old.Own(t.Context())
			wantKind(t, err, posthaste.Conflict)
		}
		wantKind(t, openWith(t, url, otherLine{testKeys{1}}).CheckSecret(t.Context(), "one"), posthaste.Conflict)
		entries, err := s.ListAudit(t.Context(), posthaste.AuditFilter{Action: "secret.rotate"}, 0, 10)
		must(t, err)
		if len(entries) != 1 || entries[0].Object != "secret" || entries[0].Details["key_id"] != "2" {
			t.Errorf("audit %+v", entries)
		}
	})
}

// otherLine stands for a file whose last line has the id of another one's.
type otherLine struct{ testKeys }

func (otherLine) AddressKeyPrint(id int) string { return "another" + strconv.Itoa(id) }

// TestNewerLineNeedsTheDatabaseAlone: a file that got a line by hand, or a
// backup from before a rotation.
func TestNewerLineNeedsTheDatabaseAlone(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		must(t, s.BindSecret(t.Context(), "one"))
		release, err := s.Own(t.Context())
		must(t, err)
		newer := openWith(t, url, testKeys{2})
		must(t, newer.CheckSecret(t.Context(), "one"))
		wantKind(t, newer.BindSecret(t.Context(), "one"), posthaste.Conflict)
		must(t, s.CheckSecret(t.Context(), "one"))
		must(t, release())
		if !s.Single() {
			must(t, s.Close())
		}
		must(t, newer.BindSecret(t.Context(), "one"))
		wantKind(t, openWith(t, url, testKeys{1}).CheckSecret(t.Context(), "one"), posthaste.Conflict)
	})
}

// TestRestoreAcrossRotations puts suppressions into force that were kept outside
// of the database under an older key than its recipients have, and under a newer one.
func TestRestoreAcrossRotations(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		r, db := newRotation(t, s), testkit.RawSQL(t, url)
		addresses := []string{"old@example.com", "new@example.com", "both@example.com", "gone@example.com", "back@example.com"}
		r.bringIn(addresses[0], addresses[1], addresses[2])
		at := time.UnixMicro(1_795_000_000_000_000).UTC()
		kept := func(line int, address string) posthaste.Suppression {
			return posthaste.Suppression{AddressHash: hashUnder(line, address), KeyID: int64(line), TopicID: r.topic.ID, Reason: posthaste.OptedOut, CreatedAt: at}
		}
		batch := []posthaste.Suppression{kept(1, addresses[0]), kept(2, addresses[1]), kept(1, addresses[2]), kept(2, addresses[2]), kept(1, addresses[3]), kept(1, addresses[4])}
		restore := func() (missing int64) {
			t.Helper()
			added, err := s.RestoreSuppressions(t.Context(), batch)
			must(t, err)
			for step := (store.Rekeyed{}); ; {
				step, err = s.RejoinSuppressions(t.Context(), step.Last, 2)
				must(t, err)
				if added -= step.Doubles; step.Last == 0 {
					return added
				}
			}
		}
		must(t, s.UseKeys(t.Context(), testKeys{1})) // the backup is from before that
		if missing := restore(); missing != 5 {
			t.Errorf("%d were missing, want 5", missing)
		}
		checkHashes(t, db, 2)
		if missing := restore(); missing != 0 {
			t.Errorf("a second time %d were missing", missing)
		}
		r.bringIn(addresses...)
		checkHashes(t, db, 2)
		for _, address := range addresses {
			if found := r.list(address); r.allowed(address) || len(found) != 1 || !found[0].CreatedAt.Equal(at) || found[0].KeyID != 2 {
				t.Errorf("%s gets mail %t: %+v", address, r.allowed(address), found)
			}
		}
	})
}

// TestLatestErasureCounts: of two under different keys the later one tells
// whether a backup has the person back.
func TestLatestErasureCounts(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		r := newRotation(t, s)
		id := r.add("ada@example.com")
		rotate(t, s, 3)
		erased := func(line int, at time.Duration) posthaste.Suppression {
			return posthaste.Suppression{AddressHash: hashUnder(line, "ada@example.com"), KeyID: int64(line), Reason: posthaste.Erased, CreatedAt: time.Now().Add(at)}
		}
		_, err := s.RestoreSuppressions(t.Context(), []posthaste.Suppression{erased(2, time.Hour), erased(1, -time.Hour)})
		must(t, err)
		done, err := s.RejoinSuppressions(t.Context(), 0, 10)
		must(t, err)
		if ids, err := s.ListErasedAgain(t.Context(), 10); err != nil || !slices.Equal(ids, []int64{id}) || done.Suppressions != 1 || done.Doubles != 1 {
			t.Errorf("to be erased again: %v, %v; %+v", ids, err, done)
		}
	})
}

// TestRekeyBesideAService re-keys while people opt out, are suppressed, erased
// and imported again: on PostgreSQL the service may be up again by then.
func TestRekeyBesideAService(t *testing.T) {
	t.Parallel()
	const people, hands = 120, 6
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		r := newRotation(t, s)
		var addresses []string
		ids := make([]int64, people)
		for i := range people {
			addresses = append(addresses, email(i))
		}
		r.bringIn(addresses...)
		for i := range ids {
			ids[i] = recipient(t, s, i).ID
		}
		rotate(t, s, 2)
		var running errgroup.Group
		for hand := range hands {
			running.Go(func() error {
				for i := hand; i < people; i += hands {
					if err := withdraw(t.Context(), s, i, ids[i], r.topic.ID); err != nil {
						return fmt.Errorf("person %d: %w", i, err)
					}
				}
				return nil
			})
		}
		rekeyAll(t, s)
		must(t, running.Wait())
		checkHashes(t, testkit.RawSQL(t, url), 2)
		r.bringIn(addresses...)
		for _, address := range addresses {
			if r.allowed(address) {
				t.Errorf("%s gets mail", address)
			}
		}
	})
}

// withdraw silences one person in one of four ways, trying again when something was in its way.
func withdraw(ctx context.Context, s *store.Store, n int, id, topicID int64) error {
	steps := []func() error{
		func() error {
			_, err := s.OptOut(ctx, posthaste.OptOut{RecipientID: id, TopicID: topicID, Channel: posthaste.ByOneClick})
			return err
		},
		func() error {
			_, err := s.Suppress(ctx, email(n), posthaste.Suppression{TopicID: topicID, Reason: posthaste.Complaint})
			return err
		},
		func() error { return s.SuppressErased(ctx, id) },
		func() error { _, err := s.Erase(ctx, id, 0); return err },
		func() error {
			_, err := s.Import(ctx, posthaste.Import{TopicID: topicID, Evidence: evidence}, rowsOf(email(n)))
			return err
		},
	}
	ways := [][]int{{0}, {1}, {2, 3}, {0, 2, 3, 4}}
	for _, step := range ways[n%len(ways)] {
		err := steps[step]()
		for errors.Is(err, posthaste.Unavailable) {
			err = steps[step]()
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	return nil
}

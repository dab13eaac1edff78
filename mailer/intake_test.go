package mailer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/internal/bus"
	"posthaste/internal/testkit"
	"posthaste/mailer"
)

// withTypes makes a house that knows types of every shape.
func withTypes(tb testing.TB) *noticeHouse {
	tb.Helper()
	h := buildNotices(tb)
	h.add(receipt())
	ours, given, bare := receipt(), receipt(), receipt()
	ours.Key, ours.Keys = "ours", []string{"crm", "erp"}
	h.add(ours)
	given.Key, given.Format, given.Subject, given.Body, given.Schema = "given", posthaste.AsGiven, "", "", nil
	h.add(given)
	bare.Key, bare.Subject = "bare", "{{ data.greeting }}"
	h.add(bare)
	return h
}

func TestIntakeRefuses(t *testing.T) {
	t.Parallel()
	h := withTypes(t)
	type call = posthaste.NoticeCall
	data := func(text string) func(*call) { return func(c *call) { c.Data = json.RawMessage(text) } }
	own := func(text string) func(*call) {
		return func(c *call) { c.Notices[0].Data = json.RawMessage(text) }
	}
	files := func(files ...posthaste.NoticeFile) func(*call) { return func(c *call) { c.Files = files } }
	file := func(change func(*posthaste.NoticeFile)) func(*call) {
		f := posthaste.NoticeFile{Name: "a.pdf", ContentType: "application/pdf", Content: []byte("x")}
		change(&f)
		return files(posthaste.NoticeFile{Name: "b.txt", ContentType: "text/plain", Content: []byte("x")}, f)
	}
	tests := []struct {
		name, key string
		change    func(*call)
		kind      posthaste.Kind
		want      []string // of the faults, name and reason
	}{
		{"no such type", "none", nil, posthaste.Invalid, []string{"/type is no notice type; GET /api/v1/notice-types lists them"}},
		{"key not allowed", "ours", nil, posthaste.Forbidden, []string{"/type does not allow this key"}},
		{"key not allowed, whatever else is wrong", "ours", data(`{}`), posthaste.Forbidden, []string{"/type does not allow this key"}},
		{"past", "receipt", func(c *call) { c.ValidUntil = time.Now().Add(-time.Second) }, posthaste.Invalid, []string{"/valid_until is past"}},
		{"too far", "receipt", func(c *call) { c.ValidUntil = time.Now().Add(14*24*time.Hour + time.Minute) }, posthaste.Invalid, []string{"/valid_until must be within 14 days"}},

		{"data missing", "receipt", data(``), posthaste.Invalid, []string{"/data/order is missing"}},
		{"data wrong", "receipt", data(`{"order": {"id": 7, "items": ["a", {}]}}`), posthaste.Invalid, []string{"/data/order/id got number, want string", "/data/order/items/1 got object, want string"}},
		{"data not JSON", "receipt", data(`{"order"`), posthaste.Invalid, []string{"/data is not JSON"}},
		{"line break in the subject", "receipt", data(`{"order": {"id": "A\r\nBcc: x@example.com"}}`), posthaste.Invalid, []string{"/data subject data.order.id holds a line break or NUL, which cannot stand in a header"}},
		{"empty subject", "bare", nil, posthaste.Invalid, []string{"/data subject is empty with these data"}},
		{"long subject", "bare", data(`{"order": {"id": "A"}, "greeting": "` + strings.Repeat("é", 1001) + `"}`), posthaste.Invalid, []string{"/data subject is too long"}},
		{"own data wrong", "receipt", own(`{"order": {"id": 7}}`), posthaste.Invalid, []string{"/to/data/order/id got number, want string"}},
		{"own data are a list", "receipt", own(`[]`), posthaste.Invalid, []string{"/to/data must be an object"}},

		{"given nothing", "given", data(`{}`), posthaste.Invalid, []string{"/data/subject is missing"}},
		{"given too much", "given", data(`{"subject": "s", "text": "t", "body": "b"}`), posthaste.Invalid, []string{"/data has fields that the schema does not: body"}},
		{"given a script", "given", data(`{"subject": "s", "html": "<p>\n<script>x</script>"}`), posthaste.Invalid, []string{"/data/html line 2, column 1: the element <script> cannot be used: mail clients run no scripts"}},
		{"given two faults", "given", data(`{"subject": " ", "text": "Buy now"}`), posthaste.Invalid, []string{"/data/subject is empty",
			`/data/text line 1, column 1: "Buy now" sounds like an offer; a notice carries no promotion: send it as a campaign, to those who chose it`}},
		{"given a line break", "given", data(`{"subject": "a\r\nBcc: x", "text": "t"}`), posthaste.Invalid, []string{"/data/subject has a line break"}},
		{"given one's own", "given", func(c *call) {
			c.Data, c.Notices[0].Data = nil, json.RawMessage(`{"subject": "s", "text": "", "html": " "}`)
		}, posthaste.Invalid, []string{"/to/data/text is empty, and there is no html"}},

		{"program", "receipt", file(func(f *posthaste.NoticeFile) { f.Name = "Setup.EXE" }), posthaste.Invalid, []string{"/attachments/1/name is of a kind that mailbox providers refuse"}},
		{"program behind dots", "receipt", file(func(f *posthaste.NoticeFile) { f.Name = "a.pdf.js. . " }), posthaste.Invalid, []string{"/attachments/1/name is of a kind that mailbox providers refuse"}},
		{"page", "receipt", file(func(f *posthaste.NoticeFile) { f.Name = "a.html" }), posthaste.Invalid, []string{"/attachments/1/name is of a kind that mailbox providers refuse"}},
		{"no name", "receipt", file(func(f *posthaste.NoticeFile) { f.Name = "" }), posthaste.Invalid, []string{"/attachments/1/name must not be empty"}},
		{"name of two lines", "receipt", file(func(f *posthaste.NoticeFile) { f.Name = "a\r\nX: y" }), posthaste.Invalid, []string{"/attachments/1/name has a line break"}},
		{"no type of content", "receipt", file(func(f *posthaste.NoticeFile) { f.ContentType = "pdf" }), posthaste.Invalid, []string{"/attachments/1/content_type must be of the form type/subtype, without parameters"}},
		{"empty file", "receipt", file(func(f *posthaste.NoticeFile) { f.Content = nil }), posthaste.Invalid, []string{"/attachments/1/content is empty"}},
		{"image that is none", "receipt", file(func(f *posthaste.NoticeFile) { f.ContentID, f.ContentType = "a", "image/svg+xml" }), posthaste.Invalid,
			[]string{"/attachments/1/content_type of an image in the text must be one of image/png, image/jpeg, image/gif, image/webp"}},
		{"bad content id", "receipt", file(func(f *posthaste.NoticeFile) { f.ContentID, f.ContentType = "a b", "image/png" }), posthaste.Invalid, []string{"/attachments/1/content_id may have letters, digits, dots, hyphens and one @"}},
		{"content id twice", "receipt", files(image("a"), image("b"), image("a"), image("a")), posthaste.Invalid, []string{"/attachments/2/content_id is that of another file too", "/attachments/3/content_id is that of another file too"}},
		{"too many files", "receipt", files(make([]posthaste.NoticeFile, 51)...), posthaste.Invalid, nil},
		{"files too large together", "receipt", files(large(5<<20), large(5<<20), large(1)), posthaste.Invalid, []string{"/attachments are 10485761 bytes together; at most 10485760 are possible"}},
		{"several at once", "receipt", func(c *call) {
			c.ValidUntil, c.Data, c.Files = time.Unix(1, 0), json.RawMessage(`{}`), []posthaste.NoticeFile{large(0)}
		}, posthaste.Invalid, []string{"/valid_until is past", "/attachments/0/content is empty", "/data/order is missing"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := callTo(tt.key, "ann@example.com")
			if tt.change != nil {
				tt.change(&c)
			}
			_, err := h.intake.Accept(t.Context(), c, answer)
			if !errors.Is(err, tt.kind) {
				t.Fatalf("got %v", err)
			}
			got := faultLines(posthaste.FieldsOf(err))
			if tt.want == nil { // the last of many
				got, tt.want = got[len(got)-1:], []string{"/attachments must be at most 50"}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	if kept, err := h.store.ListNotices(t.Context(), posthaste.NoticeFilter{}, 0, 10); err != nil || len(kept) > 0 {
		t.Errorf("what was refused is in the ledger: %+v (%v)", kept, err)
	}
	if _, err := h.store.FindRecipientByAddress(t.Context(), "ann@example.com"); !errors.Is(err, posthaste.NotFound) {
		t.Errorf("a recipient is known of calls that were refused: %v", err)
	}
}

func faultLines(fields []posthaste.Field) (lines []string) {
	for _, f := range fields {
		lines = append(lines, f.Name+" "+f.Reason)
	}
	return lines
}

func image(id string) posthaste.NoticeFile {
	return posthaste.NoticeFile{Name: id + ".png", ContentType: "image/png", ContentID: id, Content: []byte("x")}
}

func large(size int) posthaste.NoticeFile {
	return posthaste.NoticeFile{Name: "a.bin", ContentType: "application/octet-stream", Content: make([]byte, size)}
}

// TestIntakeTakesFiles up to the bounds that the ones above are over.
func TestIntakeTakesFiles(t *testing.T) {
	t.Parallel()
	h := withTypes(t)
	many := make([]posthaste.NoticeFile, 50)
	for i := range many {
		many[i] = large(1 << 10)
	}
	many[0], many[1], many[2] = image("a"), image("b@example"), large(10<<20-47<<10-2)
	many[3].Name = "exe.tar.gz"
	c := callTo("receipt", "ann@example.com")
	c.Files, c.ValidUntil = many, time.Now().Add(14*24*time.Hour-time.Minute)
	id := h.accept(c)[0]
	n, _ := h.find(id)
	kept, err := h.store.FindNoticeFiles(t.Context(), n.CallID)
	must(t, err)
	if !reflect.DeepEqual(many, kept) { // it is quicker with large files
		t.Errorf("the files are kept otherwise than they came: %d of %d", len(kept), len(many))
	}
}

// TestIntakeOfSeveral: each recipient's own fault is his alone, a fault of what
// all have in common is everybody's.
func TestIntakeOfSeveral(t *testing.T) {
	t.Parallel()
	h := withTypes(t)
	type refused = posthaste.NoticeRefusal
	tests := []struct {
		name    string
		change  func(*posthaste.NoticeCall) // of a call to four
		index   []int                       // of those who get one
		refused []string                    // index, name and reason
		fail    []string                    // of the whole call
	}{
		{"all get one", func(*posthaste.NoticeCall) {}, []int{0, 1, 2, 3}, nil, nil},
		{"one's data", func(c *posthaste.NoticeCall) { c.Notices[3].Data = json.RawMessage(`{"order": {"items": [1]}}`) }, []int{0, 1, 2},
			[]string{"3 /to/3/data/order/id is missing", "3 /to/3/data/order/items/0 got number, want string"}, nil},
		{"one's subject", func(c *posthaste.NoticeCall) { c.Notices[0].Data = json.RawMessage(`{"order": {"id": "a\nb"}}`) }, []int{1, 2, 3},
			[]string{"0 /to/0/data subject data.order.id holds a line break or NUL, which cannot stand in a header"}, nil},
		{"addresses twice", func(c *posthaste.NoticeCall) {
			c.Notices[2].Canonical, c.Notices[3].Canonical = c.Notices[1].Canonical, c.Notices[1].Canonical
		}, []int{0, 1},
			[]string{"2 /to/2/email is the same address as /to/1", "3 /to/3/email is the same address as /to/1"}, nil},
		{"an address again after one that was refused", func(c *posthaste.NoticeCall) {
			c.Notices[1].Data, c.Notices[2].Canonical = json.RawMessage(`{"order": 1}`), c.Notices[1].Canonical
		}, []int{0, 2, 3}, []string{"1 /to/1/data/order got number, want object"}, nil},
		{"some who were refused before", func(c *posthaste.NoticeCall) {
			c.Notices = c.Notices[2:]
			c.Refused = []refused{{Index: 0, Fields: []posthaste.Field{{Name: "/to/0/email", Reason: "has no @"}}}, {Index: 1, Fields: []posthaste.Field{{Name: "/to/1/name", Reason: "is too long"}}}}
			c.Notices[1].Data = json.RawMessage(`{"order": 1}`)
		}, []int{2}, []string{"0 /to/0/email has no @", "1 /to/1/name is too long", "3 /to/3/data/order got number, want object"}, nil},
		{"the last who is left", func(c *posthaste.NoticeCall) {
			c.Notices = c.Notices[3:]
			c.Refused = []refused{{Index: 0, Fields: []posthaste.Field{{Name: "/to/0/email", Reason: "has no @"}}}}
			c.Notices[0].Data = json.RawMessage(`{"order": 1}`)
		}, nil, nil, []string{"/to/0/email has no @", "/to/3/data/order got number, want object"}},
		{"data of all", func(c *posthaste.NoticeCall) { c.Data = json.RawMessage(`{"order": {}}`) }, nil, nil, []string{"/data/order/id is missing"}},
		{"data of all but one", func(c *posthaste.NoticeCall) {
			c.Data, c.Notices[0].Data = json.RawMessage(`{"order": {}}`), json.RawMessage(orderData)
		}, nil, nil, []string{"/data/order/id is missing"}},
		{"data that each completes", func(c *posthaste.NoticeCall) {
			c.Data = json.RawMessage(`{"greeting": "Hello"}`)
			for i := range c.Notices {
				c.Notices[i].Data = json.RawMessage(orderData)
			}
		}, []int{0, 1, 2, 3}, nil, nil},
		{"data of nobody", func(c *posthaste.NoticeCall) {
			for i := range c.Notices {
				c.Notices[i].Data = json.RawMessage(`{"order": 1}`)
			}
		}, nil, nil, []string{"/to/0/data/order got number, want object", "/to/1/data/order got number, want object", "/to/2/data/order got number, want object", "/to/3/data/order got number, want object"}},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var to []string
			for n := range 4 {
				to = append(to, fmt.Sprintf("r%d-%d@example.com", i, n))
			}
			c := callTo("receipt", to...)
			tt.change(&c)
			got, err := h.intake.Accept(t.Context(), c, answer)
			if d := cmp.Diff(tt.fail, faultLines(posthaste.FieldsOf(err))); d != "" || (err != nil) != (tt.fail != nil) {
				t.Fatalf("%v: %s", err, d)
			}
			if err != nil {
				return
			}
			var index []int
			for _, n := range got.Notices {
				index = append(index, n.Index)
				if kept, _ := h.find(n.ID); kept.Email != to[n.Index] || kept.State != posthaste.NoticeQueued || !kept.ValidUntil.Equal(got.ValidUntil) {
					t.Errorf("notice %d: %+v", n.Index, kept)
				}
			}
			var lines []string
			for _, r := range got.Refused {
				for _, line := range faultLines(r.Fields) {
					lines = append(lines, fmt.Sprint(r.Index, " ", line))
				}
			}
			if d := cmp.Diff(tt.index, index) + cmp.Diff(tt.refused, lines); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestIntakeTakesTheTypesValidity(t *testing.T) {
	t.Parallel()
	h := withTypes(t)
	before := time.Now()
	n, _ := h.find(h.accept(callTo("receipt", "ann@example.com"))[0])
	if left := n.ValidUntil.Sub(before); left < time.Hour || left > time.Hour+5*time.Second {
		t.Errorf("without a valid_until it is valid for %s, want the type's hour", left)
	}
	c := callTo("receipt", "bob@example.com")
	c.ValidUntil = before.Add(90 * time.Second).Truncate(time.Microsecond)
	if n, _ := h.find(h.accept(c)[0]); !n.ValidUntil.Equal(c.ValidUntil) {
		t.Errorf("it is valid until %s, want %s", n.ValidUntil, c.ValidUntil)
	}
	allowed := callTo("ours", "ann@example.com")
	allowed.Origin.Actor = "erp"
	h.accept(allowed)
}

// TestARepeatedCallGetsItsFirstAnswer, byte for byte, whatever has become of the
// type, its keys and the time meanwhile.
func TestARepeatedCallGetsItsFirstAnswer(t *testing.T) {
	t.Parallel()
	h := withTypes(t)
	call := func() posthaste.NoticeCall {
		c := callTo("receipt", "ann@example.com", "bob@example.com", "ann@example.com")
		c.Idempotency, c.ValidUntil = "order-7", time.Now().Add(time.Hour).Truncate(time.Microsecond)
		c.BodyHash = []byte("body")
		return c
	}
	first, err := h.intake.Accept(t.Context(), call(), answer)
	must(t, err)
	if first.Repeated || len(first.Refused) != 1 {
		t.Fatalf("first call: %+v", first)
	}
	kind, err := h.store.FindNoticeType(t.Context(), "receipt")
	must(t, err)
	changed := kind
	changed.Schema, changed.Subject, changed.Body, changed.Keys = json.RawMessage(`{"type": "object", "required": ["total"]}`), "Other", "Other", []string{"crm"}
	again := func(name string, change func(*posthaste.NoticeCall)) {
		t.Helper()
		c := call()
		change(&c)
		got, err := h.intake.Accept(t.Context(), c, func(posthaste.NoticeCall) (json.RawMessage, error) {
			return nil, errors.New("it is answered anew")
		})
		if err != nil || !got.Repeated || string(got.Answer) != string(first.Answer) {
			t.Errorf("%s: %s (%v), want %s", name, got.Answer, err, first.Answer)
		}
	}
	again("at once", func(*posthaste.NoticeCall) {})
	again("after its time", func(c *posthaste.NoticeCall) { c.ValidUntil = time.Now().Add(-time.Hour) })
	_, err = h.store.SaveNoticeType(t.Context(), changed)
	must(t, err)
	again("after the type was changed", func(*posthaste.NoticeCall) {})
	again("with a type that is gone", func(c *posthaste.NoticeCall) { c.Type.Key = "none" })

	for name, change := range map[string]func(*posthaste.NoticeCall){
		"another body":                    func(c *posthaste.NoticeCall) { c.BodyHash = []byte("other") },
		"another body of a type it may":   func(c *posthaste.NoticeCall) { c.Type.Key, c.BodyHash = "bare", []byte("other") },
		"another body that would do well": func(c *posthaste.NoticeCall) { c.Type.Key, c.BodyHash, c.Origin.Actor = "ours", []byte("other"), "crm" },
	} {
		c := call()
		change(&c)
		_, err := h.intake.Accept(t.Context(), c, answer)
		if fields := faultLines(posthaste.FieldsOf(err)); !errors.Is(err, posthaste.Conflict) || len(fields) != 1 || fields[0] != "Idempotency-Key was used with another request" {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := call()
	other.KeyID, other.Type.Key, other.Origin.Actor = 2, "ours", "erp"
	if got, err := h.intake.Accept(t.Context(), other, answer); err != nil || got.Repeated || got.ID == first.ID {
		t.Errorf("the same Idempotency-Key of another API key: %+v (%v)", got, err)
	}
	found, err := h.store.ListNotices(t.Context(), posthaste.NoticeFilter{CallID: first.ID}, 0, 10)
	must(t, err)
	if len(found) != 2 {
		t.Errorf("%d notices of the repeated call, want 2", len(found))
	}
}

// TestManyAtOnceAreOne: clients that lost an answer repeat themselves, maybe at once.
func TestManyAtOnceAreOne(t *testing.T) {
	t.Parallel()
	h := withTypes(t)
	calls := make([]posthaste.NoticeCall, 12)
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			c := callTo("receipt", "ann@example.com")
			c.Idempotency = "k"
			var err error
			if calls[i], err = h.intake.Accept(t.Context(), c, answer); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	fresh := 0
	for _, c := range calls {
		if !c.Repeated {
			fresh++
		}
		if string(c.Answer) != string(calls[0].Answer) {
			t.Errorf("answers %s and %s", c.Answer, calls[0].Answer)
		}
	}
	if fresh != 1 {
		t.Errorf("%d were taken in", fresh)
	}
}

// deafBus takes no notices.
type deafBus struct{ *bus.Bus }

func (deafBus) PublishNotices(context.Context, []int64) error { return posthaste.Unavailable }

// slowBus takes none either, and does not say so.
type slowBus struct{ *bus.Bus }

func (slowBus) PublishNotices(ctx context.Context, _ []int64) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestNoticesAreTakenInWithoutTheBroker, and sent once the scheduler reaches it.
func TestNoticesAreTakenInWithoutTheBroker(t *testing.T) {
	t.Parallel()
	for name, publisher := range map[string]func(*bus.Bus) mailer.NoticePublisher{
		"refuses":         func(b *bus.Bus) mailer.NoticePublisher { return deafBus{b} },
		"does not answer": func(b *bus.Bus) mailer.NoticePublisher { return slowBus{b} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := withTypes(t)
			h.intake = mailer.NewNoticeIntake(h.store, h.composer, publisher(h.bus))
			sink := testkit.NewSink(t, testkit.SinkOptions{})
			h.run(dialerPatient(t, sink.URL()), 1)
			began := time.Now()
			ids := h.accept(callTo("receipt", "ann@example.com", "bob@example.com"))
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("the caller waited %s", took)
			}
			for _, id := range ids {
				if n, _ := h.find(id); n.State != posthaste.NoticeQueued {
					t.Errorf("%s without a broker", n.State)
				}
			}
			h.schedule()
			h.until(ids, posthaste.NoticeAccepted, posthaste.NoticeAccepted)
			if got := sink.Count(); got != 2 {
				t.Errorf("%d were sent", got)
			}
		})
	}
}

package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/internal/web"
)

// Limits of a call for notices.
const (
	noticeBodyLimit = 16 << 20 // 10 MiB of files in base64, and the rest
	recipientsMost  = 1000
	idLimit         = 200 // characters of an external id
	metadataMost    = 20
	metadataKey     = 64  // characters
	metadataValue   = 500 // characters
	idempotencyMost = 255
)

// recipientInput is whom a notice is for. Its data are put over those of the call.
type recipientInput struct {
	Email      string            `json:"email"`
	Name       string            `json:"name"`
	Locale     string            `json:"locale"`
	Data       json.RawMessage   `json:"data"`
	ExternalID string            `json:"external_id"`
	Metadata   map[string]string `json:"metadata"`
}

type noticeInput struct {
	Type        string          `json:"type"`
	To          json.RawMessage `json:"to"` // one recipient, or a list of them
	Data        json.RawMessage `json:"data"`
	Attachments []struct {
		Name        string `json:"name"`
		ContentType string `json:"content_type"`
		ContentID   string `json:"content_id"` // of an image that the HTML shows as cid:
		Content     string `json:"content"`    // base64
	} `json:"attachments"`
	ValidUntil string            `json:"valid_until"` // RFC 3339
	ExternalID string            `json:"external_id"` // of every recipient without one
	Metadata   map[string]string `json:"metadata"`    // of every recipient, under its own
}

// noticeResult is what became of one recipient of a call.
type noticeResult struct {
	Index      int                   `json:"index"`
	ID         int64                 `json:"id,omitempty"`
	State      posthaste.NoticeState `json:"state,omitempty"`
	ExternalID string                `json:"external_id,omitempty"`
	Errors     []posthaste.Field     `json:"errors,omitempty"` // it gets none
}

type noticeAnswer struct {
	Call       int64          `json:"call"`
	Type       string         `json:"type"`
	Version    int64          `json:"type_version"`
	ValidUntil time.Time      `json:"valid_until"`
	Queued     int            `json:"queued"`
	Refused    int            `json:"refused"`
	Results    []noticeResult `json:"results"`
}

// sendNotices answers 202 once the notices are in the ledger for good.
func (a *API) sendNotices(c echo.Context) error {
	call, err := readNotices(c)
	if err != nil {
		return pointers(err)
	}
	k := keyOf(c)
	call.KeyID, call.Origin = k.ID, web.OriginOf(c)
	call, err = a.intake.Accept(c.Request().Context(), call, AnswerNotices)
	if err != nil {
		return err
	}
	if call.Repeated {
		c.Response().Header().Set("Idempotency-Replayed", "true")
	} else {
		a.meter.CountNotices(k, len(call.Notices))
	}
	return c.JSONBlob(http.StatusAccepted, call.Answer)
}

// AnswerNotices makes what the caller is told of a call that was taken in.
func AnswerNotices(call posthaste.NoticeCall) (json.RawMessage, error) {
	out := noticeAnswer{Call: call.ID, Type: call.Type.Key, Version: call.Type.Version, ValidUntil: call.ValidUntil.UTC(),
		Queued: len(call.Notices), Refused: len(call.Refused)}
	for _, n := range call.Notices {
		out.Results = append(out.Results, noticeResult{Index: n.Index, ID: n.ID, State: n.State, ExternalID: n.ExternalID})
	}
	for _, r := range call.Refused {
		out.Results = append(out.Results, noticeResult{Index: r.Index, Errors: r.Fields})
	}
	slices.SortFunc(out.Results, func(a, b noticeResult) int { return a.Index - b.Index })
	return json.Marshal(out)
}

func readNotices(c echo.Context) (call posthaste.NoticeCall, err error) {
	var in noticeInput
	var f faults
	hash := sha256.New()
	c.Request().Body = io.NopCloser(io.TeeReader(c.Request().Body, hash))
	if err := readUpTo(c, &in, noticeBodyLimit); err != nil {
		return call, err
	}
	call.Idempotency, call.BodyHash = c.Request().Header.Get("Idempotency-Key"), hash.Sum(nil)
	f.idempotency(call.Idempotency)
	call.Type.Key, call.Data = in.Type, in.Data
	if in.Type == "" {
		f.add("/type", "must be the key of a notice type")
	}
	if len(in.Data) > 0 && in.Data[0] != '{' {
		f.add("/data", "must be an object")
	}
	call.ValidUntil = f.instant("/valid_until", in.ValidUntil)
	for i, file := range in.Attachments {
		content, err := base64.StdEncoding.DecodeString(file.Content)
		if err != nil {
			f.add(fmt.Sprintf("/attachments/%d/content", i), "must be base64 (RFC 4648 section 4), with its padding")
		}
		call.Files = append(call.Files, posthaste.NoticeFile{Name: file.Name, ContentType: file.ContentType, ContentID: file.ContentID, Content: content})
	}
	f.line("/external_id", in.ExternalID, false, idLimit)
	f.metadata("/metadata", in.Metadata)
	recipients, several, err := splitRecipients(in.To)
	if err != nil {
		return call, err
	}
	for i, raw := range recipients {
		at := "/to"
		if several {
			at = fmt.Sprintf("/to/%d", i)
		}
		var own faults
		var r recipientInput
		if err := strictly(raw, &r); err != nil {
			own = append(own, posthaste.FieldsOf(under(at, err))...)
		}
		n := own.notice(at, r)
		n.Index = i
		n.ExternalID = firstOf(r.ExternalID, in.ExternalID)
		n.Metadata = over(in.Metadata, r.Metadata)
		switch {
		case len(own) == 0:
			call.Notices = append(call.Notices, n)
		case several && len(recipients) > 1:
			call.Refused = append(call.Refused, posthaste.NoticeRefusal{Index: i, Fields: own})
		default:
			f = append(f, own...)
		}
	}
	return call, f.err()
}

// splitRecipients takes one recipient or a list apart; several tells which.
func splitRecipients(raw json.RawMessage) (recipients []json.RawMessage, several bool, err error) {
	switch {
	case len(raw) == 0 || raw[0] != '{' && raw[0] != '[':
		return nil, false, posthaste.Refuse("/to", `must be a recipient, as in {"email": "ada@example.com"}, or a list of them`)
	case raw[0] == '{':
		return []json.RawMessage{raw}, false, nil
	}
	if err := strictly(raw, &recipients); err != nil {
		return nil, true, under("/to", err)
	}
	if len(recipients) == 0 || len(recipients) > recipientsMost {
		return nil, true, posthaste.Refuse("/to", fmt.Sprintf("must have 1 to %d recipients", recipientsMost))
	}
	return recipients, true, nil
}

// strictly decodes a part of a body as read does the whole.
func strictly(raw json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return refuseJSON(err)
	}
	return nil
}

// pointers names the fields of an error by JSON pointers (RFC 6901) instead of dots.
func pointers(err error) error {
	fields := posthaste.FieldsOf(err)
	for i, f := range fields {
		switch {
		case f.Name == "body":
			fields[i].Name = "" // the whole
		case !strings.HasPrefix(f.Name, "/") && !strings.Contains(f.Name, "-"): // which only names of header fields have
			fields[i].Name = "/" + strings.ReplaceAll(f.Name, ".", "/")
		}
	}
	return err
}

// under puts the fields of an error below a pointer.
func under(at string, err error) error {
	fields := posthaste.FieldsOf(pointers(err))
	for i := range fields {
		fields[i].Name = at + fields[i].Name
	}
	return err
}

// notice checks one recipient; one that could not be read is at fault already.
func (f *faults) notice(at string, r recipientInput) posthaste.Notice {
	if len(*f) > 0 {
		return posthaste.Notice{}
	}
	addr, err := address.Parse(r.Email)
	if err != nil {
		*f = append(*f, posthaste.FieldsAs(err, at+"/email")...)
	}
	f.line(at+"/name", r.Name, false, address.MaxName)
	f.locale(at+"/locale", r.Locale)
	f.line(at+"/external_id", r.ExternalID, false, idLimit)
	f.metadata(at+"/metadata", r.Metadata)
	if len(r.Data) > 0 && r.Data[0] != '{' {
		f.add(at+"/data", "must be an object")
	}
	return posthaste.Notice{Email: addr.String(), Canonical: addr.Canonical(), Name: r.Name, Locale: r.Locale, Data: r.Data}
}

func (f *faults) idempotency(key string) {
	if len(key) > idempotencyMost || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		f.add("Idempotency-Key", fmt.Sprintf("must have at most %d printable ASCII characters", idempotencyMost))
	}
}

func (f *faults) metadata(name string, metadata map[string]string) {
	if len(metadata) > metadataMost {
		f.add(name, fmt.Sprintf("must have at most %d entries", metadataMost))
		return
	}
	for key, value := range metadata {
		f.line(name, key, true, metadataKey)
		f.text(name+"/"+key, value, metadataValue)
	}
}

func firstOf(text, otherwise string) string {
	if text != "" {
		return text
	}
	return otherwise
}

// over puts one map over another.
func over(below, above map[string]string) map[string]string {
	if len(above) == 0 {
		return below
	}
	both := make(map[string]string, len(below)+len(above))
	for _, m := range []map[string]string{below, above} {
		for key, value := range m {
			both[key] = value
		}
	}
	return both
}

type noticeView struct {
	ID         int64                 `json:"id"`
	Call       int64                 `json:"call"`
	Type       string                `json:"type"`
	Version    int64                 `json:"type_version"`
	To         noticePerson          `json:"to"`
	MessageID  string                `json:"message_id,omitempty"` // as in the mail, to find it in the next hop's log; not in lists
	State      posthaste.NoticeState `json:"state"`
	Attempts   int                   `json:"attempts"`
	RetryAt    *time.Time            `json:"retry_at,omitempty"`
	ValidUntil time.Time             `json:"valid_until"`
	Reply      replyView             `json:"reply"` // of the last attempt
	Log        []attemptView         `json:"log,omitempty"`
	ExternalID string                `json:"external_id,omitempty"`
	Metadata   map[string]string     `json:"metadata,omitempty"`
	Actor      string                `json:"actor"`
	CreatedAt  time.Time             `json:"created_at"`
	ChangedAt  time.Time             `json:"changed_at"`
}

type noticePerson struct {
	Recipient int64  `json:"recipient"`
	Email     string `json:"email,omitempty"` // none once the recipient is erased
	Name      string `json:"name,omitempty"`
	Locale    string `json:"locale,omitempty"`
}

type attemptView struct {
	At    time.Time             `json:"at"`
	State posthaste.NoticeState `json:"state"` // that it led to
	Reply replyView             `json:"reply"`
}

func viewNotice(n posthaste.Notice) noticeView {
	v := noticeView{ID: n.ID, Call: n.CallID, Type: n.Type, Version: n.TypeVersion, To: noticePerson{n.RecipientID, n.Email, n.Name, n.Locale},
		State: n.State, Attempts: n.Attempts, ValidUntil: n.ValidUntil, Reply: viewReply(n.Reply), ExternalID: n.ExternalID, Metadata: n.Metadata,
		Actor: n.Actor, CreatedAt: n.CreatedAt, ChangedAt: n.ChangedAt}
	if n.State == posthaste.NoticeDeferred {
		v.RetryAt = orNull(n.DueAt)
	}
	return v
}

// viewNoticeWith shows the attempts too.
func viewNoticeWith(n posthaste.Notice, attempts []posthaste.Attempt) noticeView {
	v := viewNotice(n)
	for _, t := range attempts {
		v.Log = append(v.Log, attemptView{t.At, t.State, viewReply(t.Reply)})
	}
	return v
}

func (a *API) showNotice(c echo.Context) error {
	number, err := id(c, "notice")
	if err != nil {
		return err
	}
	n, attempts, err := a.store.FindNotice(c.Request().Context(), number)
	if err != nil {
		return err
	}
	if err := a.noteRead(c, "notice.read", "notice/"+strconv.FormatInt(n.ID, 10)); err != nil {
		return err
	}
	v := viewNoticeWith(n, attempts)
	if v.MessageID, err = a.notices.MessageID(c.Request().Context(), n); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, v)
}

func (a *API) listNotices(c echo.Context) error {
	before, limit, err := page(c, "type", "state", "email", "external_id", "call")
	if err != nil {
		return err
	}
	var f faults
	filter := posthaste.NoticeFilter{Type: c.QueryParam("type"), State: stateOf(&f, c, posthaste.NoticeStates), ExternalID: c.QueryParam("external_id")}
	if text := c.QueryParam("call"); text != "" {
		if filter.CallID, err = strconv.ParseInt(text, 10, 64); err != nil || filter.CallID < 1 {
			f.add("call", "must be the id of a call")
		}
	}
	if text := c.QueryParam("email"); text != "" {
		addr, err := address.Parse(text)
		f = append(f, posthaste.FieldsAs(err, "email")...)
		filter.Canonical = addr.Canonical()
	}
	if err := f.err(); err != nil {
		return err
	}
	if err := a.noteRead(c, "notice.list", "notices"); err != nil {
		return err
	}
	found, err := a.store.ListNotices(c.Request().Context(), filter, before, limit+1)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(found, limit, viewNotice, func(n posthaste.Notice) int64 { return n.ID }))
}

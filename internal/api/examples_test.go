package api_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste"
	"posthaste/mailer"
)

// step is what an operation needs to succeed in a fresh house.
type step struct {
	after []string                    // operations with their examples, in this order
	also  func(*house, steps)         // what no operation does
	twice bool                        // it succeeds again
	gives func(map[string]any) string // what its answer is known by
	param string                      // as this parameter of paths
	query string                      // a parameter that is needed and names what was made
}

// byID and byKey are what most answers are known by.
func byID(answer map[string]any) string  { return at(answer, "id") }
func byKey(answer map[string]any) string { return at(answer, "key") }

// flow says of each operation what goes before it. Those that need nothing are
// not in it.
var flow = map[string]step{
	"importRecipients":            {after: []string{"addTopic weekly-news"}},
	"showRecipient":               {after: []string{"putRecipient ada"}},
	"putRecipient":                {twice: true},
	"listConsents":                {after: []string{"recordConsent given"}},
	"correctRecipient":            {after: []string{"putRecipient ada"}},
	"eraseRecipient":              {after: []string{"putRecipient ada"}},
	"exportRecipient":             {after: []string{"recordConsent given"}},
	"why":                         {after: []string{"putRecipient ada"}, also: sendCampaign, query: "campaign"},
	"addForm":                     {after: []string{"addTopic weekly-news"}, param: "form", gives: byKey},
	"listForms":                   {after: []string{"addForm news"}},
	"showForm":                    {after: []string{"addForm news"}},
	"saveForm":                    {after: []string{"addForm news"}},
	"embedForm":                   {after: []string{"addForm news"}},
	"addDeskRequest":              {after: []string{"addTopic weekly-news", "putRecipient ada"}},
	"listDeskRequests":            {after: []string{"addDeskRequest access"}},
	"recordConsent":               {after: []string{"addTopic weekly-news", "putRecipient ada"}},
	"addCampaign":                 {after: []string{"addTopic weekly-news", "importRecipients people"}, param: "campaign", gives: byID},
	"changeCampaign":              {after: []string{"addCampaign june"}},
	"showCampaign":                {also: sendCampaign},
	"showReport":                  {also: sendCampaign},
	"getReportFile":               {also: sendCampaign},
	"listTopicReports":            {also: sendCampaign},
	"getTopicReportFile":          {also: sendCampaign},
	"scheduleCampaign":            {after: []string{"addCampaign june"}},
	"unscheduleCampaign":          {after: []string{"scheduleCampaign wall-clock"}},
	"pauseCampaign":               {also: sendCampaign},
	"resumeCampaign":              {after: []string{"pauseCampaign"}},
	"cancelCampaign":              {after: []string{"addCampaign june"}},
	"sendTest":                    {after: []string{"addCampaign june", "recordConsent given"}, also: answerTests},
	"previewCampaign":             {after: []string{"addCampaign june", "recordConsent given"}},
	"listDeliveries":              {also: sendCampaign},
	"resolveDelivery":             {also: sendCampaign},
	"addSuppression":              {after: []string{"addTopic weekly-news", "putRecipient ada"}, twice: true, param: "suppression", gives: byID},
	"listSuppressions":            {after: []string{"addSuppression topic"}},
	"liftSuppression":             {after: []string{"addSuppression topic"}},
	"addNoticeType":               {param: "type", gives: byKey},
	"listNoticeTypes":             {after: []string{"addNoticeType receipt"}},
	"showNoticeType":              {after: []string{"addNoticeType receipt"}},
	"saveNoticeType":              {after: []string{"addNoticeType receipt"}},
	"previewNotice":               {after: []string{"addNoticeType receipt"}},
	"sendNotices":                 {after: []string{"addNoticeType receipt"}, param: "notice", gives: func(m map[string]any) string { return at(list(m, "results")[0], "id") }},
	"listNotices":                 {after: []string{"sendNotices one"}},
	"showNotice":                  {after: []string{"sendNotices one"}, also: deferNotice},
	"addAnnouncement":             {after: []string{"addTopic weekly-news", "addNoticeType policy"}, param: "announcement", gives: byID},
	"listAnnouncements":           {after: []string{"addAnnouncement everybody", "addAnnouncement segment"}},
	"showAnnouncement":            {after: []string{"addAnnouncement everybody"}, also: freezeAnnouncement},
	"pauseAnnouncement":           {after: []string{"addAnnouncement everybody"}, also: freezeAnnouncement},
	"resumeAnnouncement":          {after: []string{"pauseAnnouncement"}},
	"cancelAnnouncement":          {after: []string{"addAnnouncement everybody"}},
	"listAnnouncementDeliveries":  {after: []string{"addAnnouncement everybody"}, also: freezeAnnouncement},
	"resolveAnnouncementDelivery": {after: []string{"addAnnouncement everybody"}, also: freezeAnnouncement},
	"addWebhook":                  {param: "webhook", gives: byID},
	"listWebhooks":                {after: []string{"addWebhook shop"}},
	"getWebhook":                  {after: []string{"addWebhook shop"}},
	"changeWebhook":               {after: []string{"addWebhook shop"}},
	"deleteWebhook":               {after: []string{"addWebhook shop"}},
	"rotateWebhook":               {after: []string{"addWebhook shop"}},
	"listWebhookMessages":         {after: []string{"addWebhook shop", "sendNotices one"}, also: loseMessage},
	"replayWebhook":               {after: []string{"addWebhook shop", "sendNotices one"}, also: loseMessage},
	"replayWebhookMessage":        {after: []string{"addWebhook shop", "sendNotices one"}, also: loseMessage},
	"revokeKey":                   {after: []string{"addKey shop"}},
	"listUsage":                   {also: useKey},
	"listAudit":                   {after: []string{"addKey shop", "sendNotices one"}},
}

func sendCampaign(h *house, s steps) {
	s.ids["campaign"], s.ids["topic"] = fmt.Sprint(h.sending().ID), h.topic.Key
}

func freezeAnnouncement(h *house, s steps) { h.freeze(s.id("announcement")) }

func answerTests(h *house, _ steps) {
	h.workers.reply = posthaste.Reply{Stage: posthaste.AtDot, Code: 250, Enhanced: "2.0.0", Text: "queued as 4F2"}
}

func deferNotice(h *house, s steps) { h.attempt(s.id("notice"), posthaste.NoticeDeferred) }

// loseMessage has a webhook never take what it was told.
func loseMessage(h *house, s steps) {
	h.attempt(s.id("notice"), posthaste.NoticeBounced)
	messages, err := h.store.ListWebhookMessages(h.tb.Context(), s.id("webhook"), "", 0, 10)
	must(h.tb, err)
	must(h.tb, h.store.RecordWebhook(h.tb.Context(), []posthaste.WebhookOutcome{{ID: messages[0].ID, State: posthaste.WebhookDead, Status: 500, Fault: "answered 500"}}))
	s.ids["message"] = fmt.Sprint(messages[0].ID)
}

func useKey(h *house, _ steps) {
	must(h.tb, h.store.AddUsage(h.tb.Context(), []posthaste.Usage{{Key: "desk", Day: time.Now().UTC().Format(time.DateOnly), Scope: posthaste.SendNotices, Requests: 3, Refused: 1, Notices: 2}}, time.Now()))
}

// attempt has a worker try a notice, and come to a state.
func (h *house) attempt(id int64, state posthaste.NoticeState) {
	h.tb.Helper()
	_, err := h.store.ClaimNotices(h.tb.Context(), []int64{id}, "worker")
	must(h.tb, err)
	outcome := posthaste.NoticeOutcome{ID: id, State: state, Reply: posthaste.Reply{Stage: posthaste.AtRcpt, Code: 451, Enhanced: "4.3.2", Text: "not now"}, Tried: true, At: time.Now()}
	if state == posthaste.NoticeDeferred {
		outcome.RetryAt = time.Now().Add(time.Minute)
	}
	must(h.tb, h.store.RecordNotices(h.tb.Context(), "worker", []posthaste.NoticeOutcome{outcome}))
}

func (h *house) lastNotice() int64 {
	h.tb.Helper()
	found, err := h.store.ListNotices(h.tb.Context(), posthaste.NoticeFilter{}, 0, 1)
	must(h.tb, err)
	return found[0].ID
}

// steps runs operations of the document in one house.
type steps struct {
	h   *house
	d   *document
	ids map[string]string // of what was made, by the parameter that names it
}

func (s steps) id(param string) int64 {
	s.h.tb.Helper()
	n, err := strconv.ParseInt(s.ids[param], 10, 64)
	must(s.h.tb, err)
	return n
}

func (s steps) operation(id string) operation {
	s.h.tb.Helper()
	for _, o := range s.d.operations {
		if o.ID == id {
			return o
		}
	}
	s.h.tb.Fatalf("there is no operation %s", id)
	return operation{}
}

// prepare does all that goes before an operation, each once.
func (s steps) prepare(id string) {
	s.h.tb.Helper()
	for _, name := range flow[id].after {
		if s.ids[name] == "" {
			s.run(name)
		}
	}
	if also := flow[id].also; also != nil {
		also(s.h, s)
	}
}

// run prepares for an operation and sends it with one of its examples.
func (s steps) run(name string) *httptest.ResponseRecorder {
	s.h.tb.Helper()
	id, example, _ := strings.Cut(name, " ")
	s.prepare(id)
	s.ids[name] = "done"
	return s.send(s.operation(id), example, false)
}

// request is one that the document describes: with the examples of the
// parameters that are needed, or of all. further is put behind the query.
func (s steps) request(o operation, example string, everyParameter bool, further url.Values) call {
	c := call{method: o.Method, path: "/api/v1" + o.Path, header: []string{"X-Request-Id", "their-7", "Audit-Reason", "T-17", "Audit-Metadata", `{"system":"crm"}`}}
	query := maps.Clone(further)
	for name, pointer := range s.d.parameters(o) {
		p := object(s.d.find(pointer))
		value := fmt.Sprint(p["example"])
		switch given := p["example"] != nil; {
		case p["in"] == "path":
			c.path = strings.ReplaceAll(c.path, "{"+name+"}", url.PathEscape(firstText(s.ids[name], value)))
		case p["in"] == "query" && given && (everyParameter || p["required"] == true):
			query.Add(name, value)
		case p["in"] == "header" && given:
			c.header = append(c.header, name, value+example)
		}
	}
	if name := flow[o.ID].query; name != "" && !query.Has(name) {
		query.Set(name, s.ids[name])
	}
	if len(query) > 0 {
		c.path += "?" + query.Encode()
	}
	c.kind, c.body = s.d.example(o, example)
	return c
}

// send makes a request that must succeed.
func (s steps) send(o operation, example string, everyParameter bool) *httptest.ResponseRecorder {
	s.h.tb.Helper()
	c := s.request(o, example, everyParameter, url.Values{})
	w := s.h.do(c)
	if w.Code >= 300 {
		s.h.tb.Fatalf("%s %s: %s %s %s\nis answered %d %s", o.ID, example, c.method, c.path, c.body, w.Code, w.Body)
	}
	if gives := flow[o.ID].gives; gives != nil {
		answer := map[string]any{}
		must(s.h.tb, json.Unmarshal(w.Body.Bytes(), &answer))
		s.ids[flow[o.ID].param] = gives(answer)
	}
	return w
}

func firstText(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// day is the beginning of an instant. Days pass, and the examples stay as they are.
var day = regexp.MustCompile(`\d{4}-\d\d-\d\dT`)

// example gives the content type and the body of an example, with days that are to come.
func (d *document) example(o operation, name string) (kind, body string) {
	request, _ := d.follow(o.pointer + "/requestBody")
	for kind, media := range child(request, "content") {
		switch value := child(child(media, "examples"), name)["value"].(type) {
		case string:
			return kind, value
		case map[string]any:
			text, _ := json.Marshal(value) // it was JSON before
			return kind, day.ReplaceAllString(string(text), time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly)+"T")
		}
	}
	return "-", ""
}

func (d *document) examples(o operation) []string {
	request, _ := d.follow(o.pointer + "/requestBody")
	for _, media := range child(request, "content") {
		return slices.Sorted(maps.Keys(child(media, "examples")))
	}
	return []string{""}
}

// furnished is a house whose campaigns are checked by the real composer.
func furnished(tb testing.TB) *house {
	tb.Helper()
	h := open(tb)
	h.serve(h.store, mailer.NewComposer(h.store, nil, h.keys, mailer.Sender{Name: "Example Shop", PostalAddress: "1 Sample Street", PublicURL: "https://mail.example.com",
		BounceDomain: "bounces.example.com", ListDomain: "lists.example.com"}))
	return h
}

// TestExamplesRun sends every example of the document, and every operation
// without a body, each to a house in which all that it needs was done before.
// Every success that the document knows must be seen.
func TestExamplesRun(t *testing.T) {
	t.Parallel()
	d := theDocument(t)
	var mu sync.Mutex
	seen := map[string]bool{}
	all := t.Run("all", func(t *testing.T) {
		for _, o := range d.operations {
			for _, example := range d.examples(o) {
				t.Run(o.ID+" "+example, func(t *testing.T) {
					t.Parallel()
					for _, status := range runExample(t, d, o, example) {
						mu.Lock()
						seen[fmt.Sprint(o.ID, " ", status)] = true
						mu.Unlock()
					}
				})
			}
		}
	})
	if !all || strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		return // some failed, or only some were asked for
	}
	for _, o := range d.operations {
		for status := range child(o.object, "responses") {
			if status < "300" && !seen[o.ID+" "+status] {
				t.Errorf("%s was never answered %s", o.ID, status)
			}
		}
	}
}

func runExample(t *testing.T, d *document, o operation, example string) (statuses []int) {
	s := steps{h: furnished(t), d: d, ids: map[string]string{}}
	if o.Method != "GET" {
		s.prepare(o.ID)
		s.refuses(o, example)
		w := s.send(o, example, false)
		s.audited(o, w)
		statuses = append(statuses, w.Code)
		if flow[o.ID].twice {
			statuses = append(statuses, s.send(o, example, false).Code)
		}
		return statuses
	}
	w := s.run(o.ID)
	s.audited(o, w)
	if strings.Contains(w.Body.String(), `"items":[]`) {
		t.Errorf("an empty list proves nothing: %s", w.Body)
	}
	for name, pointer := range d.parameters(o) {
		if object(d.find(pointer))["in"] == "query" {
			other := s.h.do(s.request(o, "", false, url.Values{name: {"nonsense"}}))
			if other.Code == 200 && other.Body.String() == w.Body.String() {
				t.Errorf("the parameter %s is documented and has no effect", name)
			}
		}
	}
	return append(statuses, w.Code, s.send(o, example, true).Code)
}

// tellsOfNobody are the operations that change nothing and show nothing about
// people: they alone leave no trace in the audit log.
var tellsOfNobody = []string{"listTopics", "listCampaigns", "showCampaign", "showReport", "getReportFile", "listTopicReports", "getTopicReportFile", "listNoticeTypes", "showNoticeType", "previewNotice", "listAnnouncements", "showAnnouncement",
	"listWebhooks", "getWebhook", "showDocument", "listWebhookMessages", "listForms", "showForm", "embedForm", "listKeys", "listUsage", "showAuditHead", "showInventory"}

// audited wants the log to know of an operation that succeeded, with all that
// the caller said of it.
func (s steps) audited(o operation, w *httptest.ResponseRecorder) {
	s.h.tb.Helper()
	found, err := s.h.store.ListAudit(s.h.tb.Context(), posthaste.AuditFilter{RequestID: w.Header().Get("X-Request-Id")}, 0, 10)
	must(s.h.tb, err)
	if len(found) == 0 != slices.Contains(tellsOfNobody, o.ID) {
		s.h.tb.Errorf("%s %d left %d entries in the audit log", o.ID, w.Code, len(found))
	}
	for _, e := range found {
		if e.Actor != "desk" || e.CallerID != "their-7" || e.Reason != "T-17" || e.Metadata["system"] != "crm" || e.Network.String() != "192.0.2.0/24" || !strings.Contains(e.Object, "/") && !strings.HasSuffix(e.Object, "s") && e.Object != "audit" {
			s.h.tb.Errorf("%s: entry %+v", o.ID, e)
		}
	}
}

// refuses has an operation refuse fields that are not documented, at any depth,
// know those that are, and miss those that it needs.
func (s steps) refuses(o operation, example string) {
	s.h.tb.Helper()
	c := s.request(o, example, false, url.Values{})
	if c.kind != "application/json" {
		return
	}
	var fields map[string]json.RawMessage
	must(s.h.tb, json.Unmarshal([]byte(c.body), &fields))
	_, pointer := s.d.follow(o.pointer + "/requestBody")
	schema, _ := s.d.follow(pointer + "/content/application~1json/schema")
	refuse := func(body string) (p problem) {
		c.body = body
		w := s.h.do(c)
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 422 {
			s.h.tb.Errorf("%s %s: %d, want 422: %s", o.ID, body, w.Code, w.Body)
		}
		return p
	}
	for _, body := range s.d.unknown(schema) {
		p := refuse(body) // perhaps of more, since parts are read apart
		p.Errors = slices.DeleteFunc(p.Errors, func(f posthaste.Field) bool { return !strings.Contains(f.Reason, "is not a field") })
		if len(p.Errors) != 1 || !strings.HasSuffix(p.Errors[0].Name, "nonsense") {
			s.h.tb.Errorf("%s: %s: unknown are %v, and should be nonsense", o.ID, body, p.Errors)
		}
	}
	for _, name := range texts(list(schema, "required")) {
		refuse(with(s.h.tb, fields, name, ""))
	}
}

// unknown gives bodies of a schema in each of which one documented field, which
// the code must know, stands before one that it must not.
func (d *document) unknown(schema map[string]any) (bodies []string) {
	for name, field := range d.fields(schema) {
		bodies = append(bodies, `{"`+name+`":null,"nonsense":1}`)
		around := `{"` + name + `":%s}`
		if items := child(field, "items"); items != nil {
			field, around = items, `{"`+name+`":[%s]}`
		}
		for _, inner := range d.unknown(field) {
			bodies = append(bodies, fmt.Sprintf(around, inner))
		}
	}
	return bodies
}

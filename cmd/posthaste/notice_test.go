package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"posthaste"
	"posthaste/internal/testkit"
)

// noticeType is one as an operator would register it; more is further JSON fields.
func noticeType(key, more string) string {
	return `{"key": "` + key + `", "name": "Receipts", "reason": "you bought something from us", "from": "Example <account@example.com>",
		"subject": "Receipt {{ data.order.id }}", "body": "# Thank you, {{ recipient.name }}\n\n{% for item in data.order.items %}\n- {{ item.name }}: {{ item.price }}\n{% endfor %}",
		"schema": {"type": "object", "required": ["order"], "properties": {"order": {"type": "object", "required": ["id", "items"], "properties": {"id": {"type": "string"},
			"items": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "price": {"type": "number"}}}}}}}}` + more + `}`
}

const order = `{"order": {"id": "A-7", "items": [{"name": "Tea & cake", "price": 12.50}]}}`

// noticeAnswers is what a call is answered.
type noticeAnswers struct {
	Call    int64
	Queued  int
	Refused int
	Results []struct {
		Index  int
		ID     int64
		State  posthaste.NoticeState
		Errors []posthaste.Field
	}
}

// shownNotice is what the tests read of a notice.
type shownNotice struct {
	ID         int64
	State      posthaste.NoticeState
	Type       string
	Version    int64 `json:"type_version"`
	Attempts   int
	MessageID  string `json:"message_id"`
	ExternalID string `json:"external_id"`
	Metadata   map[string]string
	Reply      posthaste.Reply
	Log        []struct {
		State posthaste.NoticeState
		Reply posthaste.Reply
	}
}

func (p *program) notify(body string) noticeAnswers {
	p.tb.Helper()
	var answer noticeAnswers
	p.call("POST", "/notices", body, http.StatusAccepted, &answer)
	return answer
}

// untilNotice asks for a notice until its state is final, or the wanted one.
func (p *program) untilNotice(id int64, wanted posthaste.NoticeState) shownNotice {
	p.tb.Helper()
	var n shownNotice
	waitFor(p.tb, "notice to be "+string(wanted), func() bool {
		p.call("GET", fmt.Sprintf("/notices/%d", id), "", 200, &n)
		return n.State == wanted || n.State.Final()
	})
	if n.State != wanted {
		p.tb.Fatalf("notice %+v, want %s", n, wanted)
	}
	return n
}

// TestNoticeFromAnotherSystemToInbox follows a receipt with an attachment, in
// both modes, to somebody who was not known before.
func TestNoticeFromAnotherSystemToInbox(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, env []string) {
		sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true})
		p := start(t, append(env, "POSTHASTE_SMTP_URL="+sink.URL()))
		p.call("POST", "/notice-types", noticeType("receipt", ""), 201, nil)
		pdf := base64.StdEncoding.EncodeToString([]byte("%PDF-1.7 receipt"))
		asked := time.Now()
		answer := p.notify(`{"type": "receipt", "to": {"email": "Ada@Example.com", "name": "Ada"}, "data": ` + order + `, "external_id": "order-7", "metadata": {"shop": "west"},
			"attachments": [{"name": "receipt.pdf", "content_type": "application/pdf", "content": "` + pdf + `"}]}`)
		if answer.Queued != 1 || len(answer.Results) != 1 || answer.Results[0].State != posthaste.NoticeQueued {
			t.Fatalf("answer %+v", answer)
		}
		n := p.untilNotice(answer.Results[0].ID, posthaste.NoticeAccepted)
		if n.Attempts != 1 || len(n.Log) != 1 || n.Log[0].Reply.Code != 250 || n.ExternalID != "order-7" || n.Metadata["shop"] != "west" || n.Version != 1 {
			t.Errorf("notice %+v", n)
		}
		received := sink.Messages()
		if len(received) != 1 || received[0].To != "Ada@example.com" {
			t.Fatalf("received %d: %+v", len(received), received)
		}
		if took := received[0].At.Sub(asked); took > 2*time.Second {
			t.Errorf("it took %s", took)
		}
		raw := string(received[0].Data)
		for _, want := range []string{"Subject: Receipt A-7\r\n", "Message-ID: <" + n.MessageID + ">", "Tea &amp; cake", "12.50", "you bought something from us", "receipt.pdf", pdf} {
			if !strings.Contains(raw, want) {
				t.Errorf("no %q in\n%s", want, raw)
			}
		}
		for _, bad := range []string{"List-Unsubscribe", "List-Id", "Precedence", "/o/", "/c/", "utm_"} {
			if strings.Contains(raw, bad) {
				t.Errorf("a notice has %q:\n%s", bad, raw)
			}
		}
		if audit := p.getAPI(fmt.Sprintf("/audit?object=notice/%d", n.ID)); !strings.Contains(audit, `"external_id":"order-7","shop":"west"`) || !strings.Contains(audit, `"request_id":"`) {
			t.Errorf("audit: %s", audit)
		}
		// The recipient is known now, without any consent, and gets no mailing.
		p.addTopic()
		if got := p.getAPI("/recipients/ada@example.com/consents"); !strings.Contains(got, `"items":[]`) {
			t.Errorf("consents of somebody who got a notice: %s", got)
		}
		var found struct{ Items []shownNotice }
		p.call("GET", "/notices?"+url.Values{"external_id": {"order-7"}, "email": {"ada@example.com"}, "state": {"accepted"}, "type": {"receipt"}}.Encode(), "", 200, &found)
		if len(found.Items) != 1 || found.Items[0].ID != n.ID {
			t.Errorf("found %+v", found)
		}
	})
}

// getAPI gives the body of an answer 200.
func (p *program) getAPI(path string) string {
	p.tb.Helper()
	var raw json.RawMessage
	p.call("GET", path, "", 200, &raw)
	return string(raw)
}

// TestNoticesHeedWhatStopsThem: a topic's opt-out never does, stop-all stops all
// but mandatory ones, and so does a bounce.
func TestNoticesHeedWhatStopsThem(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, env []string) {
		sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true, OnRcpt: func(to string) error {
			if strings.HasPrefix(to, "gone@") {
				return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
			}
			return nil
		}})
		p := start(t, append(env, "POSTHASTE_SMTP_URL="+sink.URL()))
		p.addTopic()
		p.call("POST", "/notice-types", noticeType("receipt", ""), 201, nil)
		p.call("POST", "/notice-types", noticeType("breach", `, "mandatory": true, "mandatory_reason": "GDPR Art. 34"`), 201, nil)
		send := func(kind, email string) shownNotice {
			answer := p.notify(`{"type": "` + kind + `", "to": {"email": "` + email + `"}, "data": ` + order + `}`)
			var n shownNotice
			waitFor(t, "the notice's end", func() bool {
				p.call("GET", fmt.Sprintf("/notices/%d", answer.Results[0].ID), "", 200, &n)
				return n.State.Final()
			})
			return n
		}
		p.call("POST", "/suppressions", `{"email": "topic@example.com", "scope": "weekly", "reason": "opted_out"}`, 201, nil)
		p.call("POST", "/suppressions", `{"email": "all@example.com", "reason": "opted_out"}`, 201, nil)
		for _, c := range []struct {
			kind, email string
			state       posthaste.NoticeState
		}{
			{"receipt", "topic@example.com", posthaste.NoticeAccepted},
			{"receipt", "all@example.com", posthaste.NoticeSuppressed},
			{"breach", "all@example.com", posthaste.NoticeAccepted},
			{"receipt", "gone@example.com", posthaste.NoticeBounced},
			{"receipt", "gone@example.com", posthaste.NoticeSuppressed},
			{"breach", "gone@example.com", posthaste.NoticeBounced},
		} {
			n := send(c.kind, c.email)
			if n.State != c.state {
				t.Errorf("%s to %s is %+v, want %s", c.kind, c.email, n, c.state)
			}
			audit := p.getAPI(fmt.Sprintf("/audit?object=notice/%d", n.ID))
			despite := c.kind == "breach"
			if !strings.Contains(audit, `"notice.accept"`) || strings.Contains(audit, "GDPR Art. 34") != despite {
				t.Errorf("audit of %s to %s: %s", c.kind, c.email, audit)
			}
		}
	})
}

// TestNoticeIsTriedAgainUntilItsTimeIsOut: one that nobody takes expires and says so.
func TestNoticeIsTriedAgainUntilItsTimeIsOut(t *testing.T) {
	t.Parallel()
	sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true, OnRcpt: func(to string) error {
		if strings.HasPrefix(to, "later@") {
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "try later"}
		}
		return nil
	}})
	env := []string{"POSTHASTE_DATA_DIR=" + t.TempDir(), "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0",
		"POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_SMTP_URL=" + sink.URL()}
	p := start(t, env)
	p.call("POST", "/notice-types", noticeType("receipt", ""), 201, nil)
	until := time.Now().Add(12 * time.Second).UTC().Format(time.RFC3339)
	answer := p.notify(`{"type": "receipt", "to": {"email": "later@example.com"}, "data": ` + order + `, "valid_until": "` + until + `"}`)
	n := p.untilNotice(answer.Results[0].ID, posthaste.NoticeDeferred)
	if n.Attempts != 1 || n.Reply.Code != 451 {
		t.Errorf("deferred: %+v", n)
	}
	n = p.untilNotice(answer.Results[0].ID, posthaste.NoticeExpired)
	if len(sink.Messages()) != 0 || n.Reply.Code != 451 {
		t.Errorf("expired: %+v", n)
	}
}

var unsubscribeLink = regexp.MustCompile(`(?m)^List-Unsubscribe: <(.+)>\r?$`)

// TestOptionalNoticeIsSwitchedOff by its own one-click, which touches nothing
// else, and on again in the preference centre.
func TestOptionalNoticeIsSwitchedOff(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, env []string) {
		sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true})
		p := start(t, append(env, "POSTHASTE_SMTP_URL="+sink.URL()))
		p.addTopic()
		p.importCSV("weekly", "email\nada@example.com\n")
		p.call("POST", "/notice-types", noticeType("receipt", ""), 201, nil)
		p.call("POST", "/notice-types", strings.Replace(noticeType("digest", `, "optional": true`), "Receipts", "Daily digest", 1), 201, nil)
		send := func(kind string, want posthaste.NoticeState) string {
			answer := p.notify(`{"type": "` + kind + `", "to": {"email": "ada@example.com"}, "data": ` + order + `}`)
			p.untilNotice(answer.Results[0].ID, want)
			all := sink.Messages()
			return string(all[len(all)-1].Data)
		}
		raw := send("digest", posthaste.NoticeAccepted)
		link := unsubscribeLink.FindStringSubmatch(raw)
		if link == nil || strings.Count(raw, "\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n") != 1 {
			t.Fatalf("no one-click in\n%s", raw)
		}
		if page := p.get(link[1], 200); !strings.Contains(page, "Unsubscribe from Daily digest") {
			t.Errorf("page: %s", page)
		}
		send("digest", posthaste.NoticeAccepted) // looking changes nothing
		p.oneClick(link[1], 200)
		send("digest", posthaste.NoticeSuppressed)
		receipt := send("receipt", posthaste.NoticeAccepted)
		if consents := p.getAPI("/recipients/ada@example.com/consents"); !strings.Contains(consents, `"purpose":"topic","topic":"weekly","decision":"given"`) ||
			!strings.Contains(consents, `"purpose":"notice"`) || strings.Contains(consents, `"topic":"weekly","decision":"withdrawn"`) {
			t.Errorf("consents: %s", consents)
		}
		preferences := regexp.MustCompile(`http://[^ >"]+/p/[A-Za-z0-9_-]+`).FindString(strings.ReplaceAll(receipt, "=\r\n", ""))
		page := p.get(preferences, 200)
		if !strings.Contains(page, "Daily digest") || strings.Contains(page, "Receipts") {
			t.Errorf("preference centre: %s", page)
		}
		box := regexp.MustCompile(`name="(notice-\d+)" value="yes"`).FindStringSubmatch(page)
		topic := regexp.MustCompile(`name="(topic-\d+)" value="yes" checked`).FindStringSubmatch(page)
		if box == nil || topic == nil {
			t.Fatalf("boxes in %s", page)
		}
		p.post(preferences, url.Values{"save": {"yes"}, "shown": {box[1]}, box[1]: {"yes"}, topic[1]: {"yes"}})
		send("digest", posthaste.NoticeAccepted)
		p.post(preferences, url.Values{"save": {"yes"}, topic[1]: {"yes"}}) // an older page, which did not show it
		send("digest", posthaste.NoticeAccepted)
		p.post(preferences, url.Values{"save": {"yes"}, "shown": {box[1]}, topic[1]: {"yes"}})
		send("digest", posthaste.NoticeSuppressed)
		p.post(preferences, url.Values{"stop": {"all"}})
		send("receipt", posthaste.NoticeSuppressed)
	})
}

// post sends a form as a browser does.
func (p *program) post(link string, form url.Values) string {
	p.tb.Helper()
	request, err := http.NewRequestWithContext(p.tb.Context(), http.MethodPost, link, strings.NewReader(form.Encode()))
	if err != nil {
		p.tb.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.do(request, 200)
}

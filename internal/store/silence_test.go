package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"posthaste"
	"posthaste/internal/store"
)

// will is what somebody wants, by the last thing that they themselves said.
type will int

const (
	saidNothing will = iota
	saidYes
	saidNo
)

// person is one address, and what a store must make of what happens to it.
type person struct {
	t        *rapid.T
	ctx      context.Context
	s        *store.Store
	keys     *testKeys
	form     posthaste.Form
	topics   []posthaste.Topic
	address  string
	id       int64
	wants    []will // by topic
	imported []bool // by topic: somebody brought consent in that nobody spoke against
	undo     []int64
	next     func() string // an address that nobody has
	left     []left
}

// left is an address that the person had before, and what they had said by then.
type left struct {
	address string
	wants   []will
}

func (p *person) must(err error) {
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) topic() int { return rapid.IntRange(0, len(p.topics)-1).Draw(p.t, "topic") }

// refresh finds the recipient of the address, whoever that is by now.
func (p *person) refresh() bool {
	r, err := p.s.FindRecipientByAddress(p.ctx, p.address)
	if errors.Is(err, posthaste.NotFound) {
		p.id = 0
		return false
	}
	p.must(err)
	p.id = r.ID
	return true
}

func (p *person) deny(topics ...int) {
	for _, t := range topics {
		p.wants[t], p.imported[t] = saidNo, false
	}
}

func (p *person) stop(topicID int64) {
	if !p.refresh() {
		return
	}
	added, err := p.s.OptOut(p.ctx, posthaste.OptOut{RecipientID: p.id, TopicID: topicID, Channel: posthaste.ByOneClick})
	p.must(err)
	p.undo = nil
	if added != 0 {
		p.undo = []int64{added, topicID}
	}
}

// actions are what recipients, operators, imports and customer service do.
func (p *person) actions() map[string]func(*rapid.T) {
	all := func() []int { return []int{0, 1} }
	return map[string]func(*rapid.T){
		"import": func(*rapid.T) {
			t := p.topic()
			_, err := p.s.Import(p.ctx, posthaste.Import{TopicID: p.topics[t].ID, Evidence: evidence}, rowsOf(p.address))
			p.must(err)
			if p.wants[t] == saidNothing && !p.erasedOrStopped() {
				p.imported[t] = true
			}
		},
		"an operator records consent": func(*rapid.T) {
			t := p.topic()
			if !p.refresh() {
				return
			}
			err := p.s.RecordConsents(p.ctx, []posthaste.Consent{{RecipientID: p.id, Purpose: posthaste.ForTopic, TopicID: p.topics[t].ID, Decision: posthaste.Given,
				Channel: posthaste.ByAPI, Source: "call", Wording: "w"}})
			if err != nil && !errors.Is(err, posthaste.Conflict) {
				p.must(err)
			}
			if err == nil && p.wants[t] == saidNothing && !p.erasedOrStopped() {
				p.imported[t] = true
			}
		},
		"put": func(*rapid.T) {
			_, _, err := p.s.PutRecipient(p.ctx, posthaste.Recipient{Email: p.address}, p.address)
			p.must(err)
		},
		"one-click": func(*rapid.T) {
			t := p.topic()
			p.stop(p.topics[t].ID)
			if p.id != 0 {
				p.deny(t)
			}
		},
		"stop all": func(*rapid.T) {
			p.stop(posthaste.AllTopics)
			if p.id != 0 {
				p.deny(all()...)
			}
		},
		"complaint": func(*rapid.T) {
			_, err := p.s.Suppress(p.ctx, p.address, posthaste.Suppression{TopicID: posthaste.AllTopics, Reason: posthaste.Complaint})
			p.must(err)
			p.deny(all()...)
			p.undo = nil
		},
		"desk opt-out of an address": func(*rapid.T) {
			_, err := p.s.Suppress(p.ctx, p.address, posthaste.Suppression{TopicID: posthaste.AllTopics, Reason: posthaste.OptedOut})
			p.must(err)
			p.deny(all()...)
			p.undo = nil
		},
		"erase": func(*rapid.T) {
			if !p.refresh() {
				return
			}
			p.must(p.s.SuppressErased(p.ctx, p.id))
			_, err := p.s.Erase(p.ctx, p.id, 0)
			p.must(err)
			p.deny(all()...)
			p.undo = nil
		},
		"an operator lifts what can be lifted": func(*rapid.T) {
			found, err := p.s.ListSuppressions(p.ctx, p.address, 0, 100)
			p.must(err)
			for _, x := range found {
				if err := p.s.LiftSuppression(p.ctx, x.ID); (err == nil) != x.Reason.Liftable() {
					p.t.Fatalf("lifting %s: %v", x.Reason, err)
				}
			}
		},
		"a sign-up by whoever": func(*rapid.T) {
			t := p.topic()
			_, _, err := p.s.AddSignUp(p.ctx, posthaste.SignUp{Form: p.form, Email: p.address, Canonical: p.address, Choices: []posthaste.Choice{{Purpose: posthaste.ForTopic, TopicID: p.topics[t].ID, Wording: "w"}}})
			p.must(err)
		},
		"a sign-up, confirmed": func(*rapid.T) {
			t := p.topic()
			u, allowed, err := p.s.AddSignUp(p.ctx, posthaste.SignUp{Form: p.form, Email: p.address, Canonical: p.address, Choices: []posthaste.Choice{{Purpose: posthaste.ForTopic, TopicID: p.topics[t].ID, Wording: "w"}}})
			p.must(err)
			if !allowed {
				return
			}
			_, err = p.s.ConfirmSignUp(p.ctx, u.ID, posthaste.Network{})
			p.must(err)
			p.wants[t], p.undo = saidYes, nil
		},
		"the secret is rotated": func(*rapid.T) { p.keys.rotated++ },
		"re-keying comes to the person": func(*rapid.T) {
			if p.refresh() {
				_, err := p.s.Rekey(p.ctx, p.id-1, 1)
				p.must(err)
			}
		},
		"the address is corrected": func(*rapid.T) {
			if !p.refresh() {
				return
			}
			to := p.next()
			q, mail, err := p.s.AddRequest(p.ctx, p.address, posthaste.Request{Kind: posthaste.CorrectionRequest, Channel: posthaste.ByDesk, NewAddress: to})
			p.must(err)
			if !mail {
				return
			}
			p.must(p.s.CorrectAddress(p.ctx, q.ID))
			p.left = append(p.left, left{p.address, slices.Clone(p.wants)})
			p.address, p.undo = to, nil
		},
		"an address before is imported": func(*rapid.T) {
			if len(p.left) == 0 {
				return
			}
			t, before := p.topic(), rapid.SampledFrom(p.left).Draw(p.t, "before")
			_, err := p.s.Import(p.ctx, posthaste.Import{TopicID: p.topics[t].ID, Evidence: evidence}, rowsOf(before.address))
			p.must(err)
			r, err := p.s.FindRecipientByAddress(p.ctx, before.address)
			p.must(err)
			m, err := p.s.FindMail(p.ctx, p.topics[t].ID, r.ID)
			p.must(err)
			if m.Allowed && before.wants[t] == saidNo {
				p.t.Fatalf("mail of %s would go to an address whose owner said no", p.topics[t].Key)
			}
		},
		"undo": func(*rapid.T) {
			if p.undo == nil || !p.refresh() {
				return
			}
			out := posthaste.OptOut{RecipientID: p.id, TopicID: p.undo[1]}
			if err := p.s.UndoOptOut(p.ctx, out, p.undo[0]); err != nil && !errors.Is(err, posthaste.Conflict) {
				p.must(err)
			}
			// What holds again is what held before; this test does not follow it any further.
			for t := range p.wants {
				if p.undo[1] == posthaste.AllTopics || p.topics[t].ID == p.undo[1] {
					p.wants[t] = saidNothing
				}
			}
			p.undo = nil
		},
	}
}

// erasedOrStopped tells whether the address is silent as a whole.
func (p *person) erasedOrStopped() bool {
	return p.wants[0] == saidNo && p.wants[1] == saidNo
}

// check holds what the store allows against what the person said.
func (p *person) check(*rapid.T) {
	if !p.refresh() {
		return
	}
	for i, topic := range p.topics {
		m, err := p.s.FindMail(p.ctx, topic.ID, p.id)
		p.must(err)
		if m.Allowed && p.wants[i] == saidNo {
			p.t.Fatalf("mail of %s would go to somebody who said no", topic.Key)
		}
		if !m.Allowed && p.wants[i] == saidYes {
			p.t.Fatalf("mail of %s would not go to somebody who confirmed it", topic.Key)
		}
		if m.Allowed && p.wants[i] == saidNothing && !p.imported[i] && p.undo == nil {
			ledger, err := p.s.ListConsents(p.ctx, p.id)
			p.must(err)
			if len(ledger) == 0 {
				p.t.Fatalf("mail of %s would go without any consent", topic.Key)
			}
		}
	}
}

// TestWhoSaidNoStaysSilent tries what happens to one address in every order:
// whoever opted out, complained or was erased gets no mail until they themselves
// ask for it again, however often the secret is rotated or the address corrected.
func TestWhoSaidNoStaysSilent(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, _ *store.Store, url string) {
		keys := &testKeys{}
		s := openWith(t, url, keys)
		f, topics := form(t, s, "a", "b")
		var number atomic.Int64
		rapid.Check(t, func(rt *rapid.T) {
			keys.rotated = 0
			next := func() string { return fmt.Sprintf("p%d@example.com", number.Add(1)) }
			p := &person{t: rt, ctx: t.Context(), s: s, keys: keys, form: f, topics: topics, wants: make([]will, 2), imported: make([]bool, 2), address: next(), next: next}
			actions := p.actions()
			actions[""] = p.check
			rt.Repeat(actions)
		})
	})
}

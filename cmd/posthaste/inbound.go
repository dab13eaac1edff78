package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/internal/api"
	"posthaste/internal/store"
	"posthaste/mailer"
	"posthaste/mailer/inbound"
)

// submissions are how notices come in by SMTP: with the same keys, rates,
// checks and ledger as by HTTP.
type submissions struct {
	store  *store.Store
	intake *mailer.NoticeIntake
	meter  *api.Meter
}

// Authenticate finds a key that works.
func (s submissions) Authenticate(ctx context.Context, text string) (posthaste.Key, error) {
	refused := &posthaste.Error{Kind: posthaste.Unauthorized, Message: "no such key works"}
	k, err := s.store.FindKey(ctx, api.HashKey(text))
	if errors.Is(err, posthaste.NotFound) || err == nil && !k.Works(time.Now()) {
		return posthaste.Key{}, refused
	}
	return k, err
}

// Submit takes a message in as a call for notices; its Message-ID is the call's
// Idempotency, apart from those of HTTP.
func (s submissions) Submit(ctx context.Context, m inbound.Submission) (string, error) {
	k, err := s.store.FindKeyByName(ctx, m.Key.Name) // it may have been revoked since the client authenticated
	if err != nil || !k.Works(time.Now()) || !k.CreatedAt.Equal(m.Key.CreatedAt) {
		return "", &posthaste.Error{Kind: posthaste.Unauthorized, Message: "the key does not work any more", Err: err}
	}
	if !s.meter.Allow(k) {
		return "", &posthaste.Error{Kind: posthaste.Limited, Message: fmt.Sprintf("this key may send %d messages per minute", k.Rate)}
	}
	call, err := callOf(m, k)
	if err != nil {
		return "", err
	}
	t, err := s.store.FindNoticeType(ctx, m.Type)
	if err == nil && t.Format != posthaste.AsGiven {
		return "", posthaste.Refuse("X-Notice-Type", "has templates of its own; only a type of the format as_given takes its content from the message")
	}
	call, err = s.intake.Accept(ctx, call, api.AnswerNotices)
	if errors.Is(err, posthaste.Conflict) {
		return "", &posthaste.Error{Kind: posthaste.Conflict, Message: "this Message-ID came with another message before", Err: err}
	}
	if err != nil {
		return "", err
	}
	if !call.Repeated {
		s.meter.CountNotices(k, len(call.Notices))
	}
	return fmt.Sprintf("call-%d", call.ID), nil
}

func callOf(m inbound.Submission, k posthaste.Key) (call posthaste.NoticeCall, err error) {
	same := m
	same.Key = posthaste.Key{} // what is known of a key changes
	body, err := json.Marshal(same)
	if err != nil {
		return call, err
	}
	sum := sha256.Sum256(body)
	data, err := json.Marshal(map[string]string{"subject": m.Subject, "text": m.Text, "html": m.HTML})
	if err != nil {
		return call, err
	}
	call = posthaste.NoticeCall{KeyID: k.ID, Origin: posthaste.Origin{Actor: k.Name}, Data: data, Files: m.Files, ValidUntil: m.ValidUntil, BodyHash: sum[:]}
	call.Type.Key = m.Type
	if m.Idempotency != "" { // a message to many may come in several transactions
		to := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(m.To)), "\n")))
		call.Idempotency = "smtp:" + m.Idempotency + " " + hex.EncodeToString(to[:8])
	}
	for i, to := range m.To {
		addr, err := address.Parse(to)
		if err != nil {
			return call, err
		}
		call.Notices = append(call.Notices, posthaste.Notice{Index: i, Email: addr.String(), Canonical: addr.Canonical(), ExternalID: m.ExternalID, Metadata: m.Metadata})
	}
	return call, nil
}

// serveInbound answers SMTP clients until ctx ends.
func (svc *service) serveInbound(ctx context.Context) error {
	in := submissions{svc.store, svc.intake, svc.meter}
	server := inbound.New(in, in, inbound.Options{Domain: svc.config.BounceDomain, Certificate: svc.certificate, Grace: grace})
	return server.Serve(ctx, svc.inbound)
}

// readCertificate reads the certificate of STARTTLS; nil when none is configured.
func readCertificate(c config) (*tls.Config, error) {
	if c.InboundCert == "" && c.InboundKey == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.InboundCert, c.InboundKey)
	if err != nil {
		return nil, fmt.Errorf("POSTHASTE_INBOUND_CERT and POSTHASTE_INBOUND_KEY: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

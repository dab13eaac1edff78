package posthaste

import (
	"slices"
	"time"
)

// Scope is one thing that an API key may do.
type Scope string

// The scopes. Each route of the API needs exactly one of them.
const (
	ReadTopics        Scope = "topics:read"
	WriteTopics       Scope = "topics:write"
	ReadRecipients    Scope = "recipients:read"
	WriteRecipients   Scope = "recipients:write"
	ExportRecipients  Scope = "recipients:export" // all that is held about one person
	EraseRecipients   Scope = "recipients:erase"
	UseDesk           Scope = "desk" // opt-outs and requests that people make in other ways than by a click
	ReadCampaigns     Scope = "campaigns:read"
	WriteCampaigns    Scope = "campaigns:write"
	SendCampaigns     Scope = "campaigns:send"
	ReadSuppressions  Scope = "suppressions:read"
	WriteSuppressions Scope = "suppressions:write"
	ReadNoticeTypes   Scope = "notice-types:read"
	WriteNoticeTypes  Scope = "notice-types:write"
	SendNotices       Scope = "notices:send"
	ReadNotices       Scope = "notices:read"
	SendAnnouncements Scope = "announcements:send" // notices to everybody
	ReadWebhooks      Scope = "webhooks:read"
	WriteWebhooks     Scope = "webhooks:write"
	ReadAudit         Scope = "audit:read"
	ReadUsage         Scope = "usage:read" // of every key; each may read its own
	ManageKeys        Scope = "keys:manage"
	UseConsole        Scope = "console"
)

// Scopes lists all of them.
var Scopes = []Scope{ReadTopics, WriteTopics, ReadRecipients, WriteRecipients, ExportRecipients, EraseRecipients, UseDesk, ReadCampaigns, WriteCampaigns, SendCampaigns,
	ReadSuppressions, WriteSuppressions, ReadNoticeTypes, WriteNoticeTypes, SendNotices, ReadNotices, SendAnnouncements,
	ReadWebhooks, WriteWebhooks, ReadAudit, ReadUsage, ManageKeys, UseConsole}

// Key is what is kept of an API key: never the key itself.
type Key struct {
	ID         int64
	Name       string
	Scopes     []Scope
	Rate       int       // requests per minute; 0: no limit
	ExpiresAt  time.Time // zero: never
	RevokedAt  time.Time // zero: not revoked
	LastUsedAt time.Time // to the minute; zero: never
	CreatedAt  time.Time
}

// May reports whether the key has a scope.
func (k Key) May(s Scope) bool { return slices.Contains(k.Scopes, s) }

// Works reports whether the key is neither revoked nor expired at an instant.
func (k Key) Works(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// Usage is what one key did on one day (UTC) with one kind of operation.
type Usage struct {
	Key      string `json:"key"`
	Day      string `json:"day"` // 2026-11-24
	Scope    Scope  `json:"scope"`
	Requests int64  `json:"requests"`
	Refused  int64  `json:"refused"` // of the requests, those answered 4xx
	Failed   int64  `json:"failed"`  // of the requests, those answered 5xx
	Notices  int64  `json:"notices"` // taken in
}

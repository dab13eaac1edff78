package posthaste

import "time"

// AuditEntry is one operation in the append-only audit log. It names people and
// things by id, never by address.
type AuditEntry struct {
	ID        int64
	At        time.Time
	Actor     string // name of a key, or "system"
	Action    string // "notice.accept"
	Object    string // kind and id: "notice/12"
	Reason    string
	RequestID string
	Metadata  map[string]string // the caller's own
}

// BySystem is the Actor of what the program does by itself.
const BySystem = "system"

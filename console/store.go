package console

import (
	"context"
	"io"
	"time"

	"posthaste"
)

// Store is what the console reads. It must be safe for concurrent use.
type Store interface {
	// ListCampaigns gives up to limit campaigns with an id below before, newest
	// first; 0 begins at the newest.
	ListCampaigns(ctx context.Context, before int64, limit int) ([]posthaste.Campaign, error)
	// FindCampaign gives one campaign, or a NotFound error.
	FindCampaign(ctx context.Context, id int64) (posthaste.Campaign, error)
	// CountDeliveries gives the campaign's ledger at one moment.
	CountDeliveries(ctx context.Context, campaignID int64) (posthaste.Counts, error)
	// CountHits gives the campaign's opens and clicks of those who agreed to be counted.
	CountHits(ctx context.Context, campaignID int64) (posthaste.Hits, error)
	// ListDeliveries gives up to limit deliveries in that state, or in any when
	// it is empty, by number, beginning behind after.
	ListDeliveries(ctx context.Context, campaignID int64, state posthaste.DeliveryState, after int64, limit int) ([]posthaste.Delivery, error)
	// Audit notes that data about people are shown.
	Audit(ctx context.Context, action, object string, details ...string) error
}

// Outbox holds the mail of a service whose mail does not leave. It must be safe
// for concurrent use.
type Outbox interface {
	// List gives up to limit messages older than the one named before, newest
	// first; an empty before begins at the newest.
	List(before string, limit int) ([]OutboxMessage, error)
	// Read gives the message as it would have been sent (RFC 5322), or a
	// NotFound error.
	Read(id string) ([]byte, error)
}

// OutboxMessage is one line of the outbox. Its texts are decoded (RFC 2047).
type OutboxMessage struct {
	ID      string
	From    string
	To      string
	Subject string
	At      time.Time
	Size    int64 // bytes
}

// Reports are what became of campaigns.
type Reports interface {
	FindReport(ctx context.Context, campaignID int64) (posthaste.Report, error)
	ListDomains(ctx context.Context, campaignID int64) ([]posthaste.DomainFigure, error)
}

// ReportFiles writes reports as files.
type ReportFiles interface {
	// Names lists the files that there are of a report.
	Names() []string
	// Write writes the file of that name.
	Write(w io.Writer, r posthaste.Report, name string) error
}

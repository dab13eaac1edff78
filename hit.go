package posthaste

import "time"

// HitKind is what a beacon tells.
type HitKind string

// The kinds.
const (
	Open  HitKind = "open"
	Click HitKind = "click"
)

// Consent is the purpose that allows a hit of this kind to be kept.
func (k HitKind) Consent() Purpose {
	if k == Open {
		return ForOpens
	}
	return ForClicks
}

// Hit is one fetch of a pixel or one followed link. Its time is cut to the
// minute and its address to a Network before it is queued anywhere.
type Hit struct {
	ID          string // random; tells a repetition from another hit
	Kind        HitKind
	CampaignID  int64
	Number      int64 // of the delivery
	RecipientID int64
	Link        int // of the campaign, from 1; 0 for an open
	Network     Network
	At          time.Time
}

// Hits is what a campaign's page shows of them: people who consented.
type Hits struct {
	Measurable int64 `json:"measurable"` // accepted deliveries whose recipients allow any counting
	Opened     int64 `json:"opened"`     // deliveries with at least one open
	Clicked    int64 `json:"clicked"`    // deliveries with at least one click
}

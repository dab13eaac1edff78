package posthaste

import (
	"math/rand/v2"
	"time"
)

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

// HitClass says what fetched.
type HitClass string

// The classes.
const (
	// ByHuman: a mail program or browser in which somebody opened or followed.
	ByHuman HitClass = "human"
	// ByProxy: a mailbox provider's proxy, which fetches when somebody opens the
	// mail, and only the first time. It says nothing of where.
	ByProxy HitClass = "proxy"
	// ByPrefetch: fetched ahead, whether or not anybody reads the mail.
	ByPrefetch HitClass = "prefetch"
	// ByScanner: a program that checks mails for its owner.
	ByScanner HitClass = "scanner"
	// ByUnknown: nothing tells whether it was a person, so that it counts as none.
	ByUnknown HitClass = "unknown"
)

// HitClasses lists all of them, people first.
var HitClasses = []HitClass{ByHuman, ByProxy, ByPrefetch, ByScanner, ByUnknown}

// People reports whether a hit of this class is one of a person.
func (c HitClass) People() bool { return c == ByHuman || c == ByProxy }

// Hit is one fetch of a pixel or one followed link. It never holds more of an
// address than a Network, nor what the program calls itself, but only the name
// that the rules have for it.
type Hit struct {
	ID          int64 // see NewHitID
	Kind        HitKind
	CampaignID  int64
	Number      int64 // of the delivery; 0: the campaign counts totals, and the hit is of nobody
	RecipientID int64 // 0 as well
	Link        int   // of the campaign, from 1; 0 for an open
	Network     Network
	Region      string    // ISO 3166, of people only
	Agent       string    // name of the rules for the program, or empty
	Place       string    // name of the rules for whose network it is, or empty
	At          time.Time // kept to the minute; a click's for a minute as it was, to tell bursts
	Burst       Burst
	Verdict     Verdict
}

// HitsKept is how long after a campaign was sent hits are kept one by one. Then
// they are only counted, and later ones are of nobody.
const HitsKept = 90 * 24 * time.Hour

// Burst is how many different links of one mail were followed about the time of
// a click: what a person does one after the other, a scanner does at once.
type Burst struct {
	In2s, In10s int
}

// The windows of a Burst.
const (
	burstShort = 2 * time.Second
	burstLong  = 10 * time.Second
)

// Bursts tells of each click of one mail what it is a part of. The clicks must be
// in the order of their instants. It takes time in proportion to them and their links.
func Bursts(clicks []Hit) []Burst {
	bursts := make([]Burst, len(clicks))
	short, long := mostLinks(clicks, burstShort), mostLinks(clicks, burstLong)
	for i := range clicks {
		bursts[i] = Burst{In2s: short[i], In10s: long[i]}
	}
	return bursts
}

// mostLinks gives for each click the most different links of any window that it is in.
func mostLinks(clicks []Hit, window time.Duration) []int {
	most := make([]int, len(clicks))
	links := map[int]int{} // clicks of the window by link
	end := 0
	for first := range clicks {
		for ; end < len(clicks) && clicks[end].At.Sub(clicks[first].At) <= window; end++ {
			links[clicks[end].Link]++
		}
		// A window that begins later is counted in its own turn; those clicks that
		// it shares with this one keep the larger number.
		for i := end - 1; i >= first && most[i] < len(links); i-- {
			most[i] = len(links)
		}
		if links[clicks[first].Link]--; links[clicks[first].Link] == 0 {
			delete(links, clicks[first].Link)
		}
	}
	return most
}

// Verdict is what the rules say of a hit.
type Verdict struct {
	Class HitClass
	Rule  string // by which, by its name
	Rules int    // their version
}

// Judge classes a hit. It is a pure function of the hit and of how many links
// the mail has, so that stored hits can be classed again.
type Judge interface {
	Judge(h Hit, links int) Verdict
	Version() int
}

// What the id of a hit consists of.
const (
	hitIDBits  = 39       // random
	hitIDEpoch = 26297280 // the minute at which 2020 began (UTC)
)

// NewHitID gives the id of a hit at an instant: its minute, so that ids are in the
// order of time, and 39 random bits, which tell a repetition from another hit of
// the same mail. Of a campaign that counts totals, which has one key for all, a hit
// in a million is taken for another and lost at 20,000 a second.
func NewHitID(at time.Time) int64 {
	return FirstHitID(at) + rand.Int64N(1<<hitIDBits)
}

// FirstHitID is the least id that a hit in the minute of an instant can have.
func FirstHitID(at time.Time) int64 { return max(at.Unix()/60-hitIDEpoch, 0) << hitIDBits }

// CampaignLinks are the destinations of one campaign's redirects.
type CampaignLinks struct {
	CampaignID int64
	FrozenAt   time.Time
	URLs       []string
}

// Hits is what a campaign's page shows of them, in brief: people who consented.
type Hits struct {
	Measurable int64 `json:"measurable"` // accepted mails that bore a beacon of their own
	Opened     int64 `json:"opened"`     // those opened by a person
	Clicked    int64 `json:"clicked"`    // those of which a person followed a link
}

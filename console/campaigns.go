package console

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"posthaste"
)

const (
	campaignsPerPage  = 25
	deliveriesPerPage = 100
	troublesPerState  = 10 // of each state, on the campaign's own page
	refreshSeconds    = 2
)

// homePage is the list of campaigns.
type homePage struct {
	Campaigns []posthaste.Campaign
	Newest    bool  // the list begins at the newest
	Next      int64 // where the older ones begin; 0 when there are none
}

func (c *console) home(ctx echo.Context) error {
	before, err := queryID(ctx, "before")
	if err != nil {
		return err
	}
	list, err := c.Store.ListCampaigns(ctx.Request().Context(), before, campaignsPerPage+1)
	if err != nil {
		return fmt.Errorf("list campaigns: %w", err)
	}
	page := homePage{Campaigns: list, Newest: before == 0}
	if len(list) > campaignsPerPage {
		page.Campaigns = list[:campaignsPerPage]
		page.Next = page.Campaigns[campaignsPerPage-1].ID
	}
	return c.render(ctx, "home.html", frame{Title: "Campaigns", Section: "campaigns", Page: page})
}

// campaignPage is one campaign: its ledger, its hits, and what went wrong.
type campaignPage struct {
	posthaste.Campaign
	Ledger ledger
	Hits   posthaste.Hits
	Lists  []deliveryList
	Listed bool // one state was asked for
	Live   bool // the page loads itself again
}

// deliveryList is the deliveries of one state.
type deliveryList struct {
	State      posthaste.DeliveryState
	Total      int64
	Deliveries []posthaste.Delivery
	Next       int64 // after which the list goes on; 0 when this is its end
}

func (c *console) campaign(ctx echo.Context) error {
	id, err := strconv.ParseInt(ctx.Param("id"), 10, 64)
	if err != nil {
		return missing("campaign")
	}
	after, err := queryID(ctx, "after")
	if err != nil {
		return err
	}
	state := posthaste.DeliveryState(ctx.QueryParam("state"))
	if state != "" && !slices.Contains(posthaste.DeliveryStates, state) {
		return posthaste.Refuse("state", "must be one of the states of a delivery")
	}
	page, err := c.readCampaign(ctx, id)
	if err != nil {
		return err
	}
	page.Listed = state != ""
	if page.Lists, err = c.readDeliveries(ctx, page.Ledger, id, state, after); err != nil {
		return err
	}
	f := frame{Title: name(page.Campaign), Section: "campaigns"}
	// A page that changes under its reader can be halted: WCAG 2.2 §2.2.2.
	page.Live = page.State == posthaste.Sending && !page.Listed && ctx.QueryParam("live") != "no"
	if page.Live {
		f.Refresh = refreshSeconds
	}
	f.Page = page
	return c.render(ctx, "campaign.html", f)
}

func (c *console) readCampaign(ctx echo.Context, id int64) (campaignPage, error) {
	var page campaignPage
	var err error
	if page.Campaign, err = c.Store.FindCampaign(ctx.Request().Context(), id); err != nil {
		return page, fmt.Errorf("find campaign %d: %w", id, err)
	}
	counts, err := c.Store.CountDeliveries(ctx.Request().Context(), id)
	if err != nil {
		return page, fmt.Errorf("count deliveries of campaign %d: %w", id, err)
	}
	page.Ledger = newLedger(counts)
	if page.Hits, err = c.Store.CountHits(ctx.Request().Context(), id); err != nil {
		return page, fmt.Errorf("count hits of campaign %d: %w", id, err)
	}
	return page, nil
}

// readDeliveries lists those of the state that was asked for or, when none was,
// the first of each state that a person should look at.
func (c *console) readDeliveries(ctx echo.Context, l ledger, id int64, state posthaste.DeliveryState, after int64) ([]deliveryList, error) {
	states, limit := []posthaste.DeliveryState{state}, deliveriesPerPage
	if state == "" {
		states, limit, after = []posthaste.DeliveryState{posthaste.Uncertain, posthaste.Failed, posthaste.Bounced}, troublesPerState, 0
	}
	var lists []deliveryList
	for _, s := range states {
		total := l.count(s)
		if total == 0 && state == "" {
			continue
		}
		found, err := c.Store.ListDeliveries(ctx.Request().Context(), id, s, after, limit+1)
		if err != nil {
			return nil, fmt.Errorf("list %s deliveries of campaign %d: %w", s, id, err)
		}
		list := deliveryList{State: s, Total: total, Deliveries: found}
		if len(found) > limit {
			list.Deliveries = found[:limit]
			list.Next = found[limit-1].Number
		}
		lists = append(lists, list)
	}
	if len(lists) == 0 {
		return nil, nil
	}
	return lists, c.Store.Audit(ctx.Request().Context(), "campaign.read_deliveries", fmt.Sprintf("campaign/%d", id))
}

// name is what a campaign is called where it has to be called something.
func name(c posthaste.Campaign) string {
	if c.Name == "" {
		return "Campaign " + strconv.FormatInt(c.ID, 10)
	}
	return c.Name
}

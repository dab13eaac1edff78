package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"posthaste"
	"posthaste/internal/token"
)

// demoReaders is how many recipients open the demo's newsletter, as if they were people.
const demoReaders = 300

// demoPrograms are what the readers' programs call themselves: a browser, Gmail's
// proxy, and the one that fetches pictures whether or not anybody reads.
var demoPrograms = []string{
	"Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
	"Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
	"Mozilla/5.0",
}

// read has some recipients open the newsletter, and some of those follow a link,
// so that there is something to report: of those alone who allow it. It asks this
// process and nobody else.
func (d demo) read(ctx context.Context, c posthaste.Campaign) error {
	if d.public == nil || !c.Tracking.Individual() {
		return nil
	}
	if hits, err := d.store.CountHits(ctx, c.ID); err != nil || hits.Opened > 0 { // at an earlier start
		return err
	}
	deliveries, err := d.store.ListDeliveries(ctx, c.ID, posthaste.Accepted, 0, demoReaders)
	if err != nil {
		return err
	}
	for i, delivery := range deliveries {
		claims := token.Claims{RecipientID: delivery.RecipientID, TopicID: c.TopicID, CampaignID: c.ID, Number: delivery.Number}
		if err := d.fetch(ctx, "/o/"+d.keys.Seal(token.OpenBeacon, claims), demoPrograms[i%len(demoPrograms)]); err != nil {
			return err
		}
		if i%4 == 0 {
			claims.Link = 1 + i%2
			if err := d.fetch(ctx, "/c/"+d.keys.Seal(token.ClickLink, claims), demoPrograms[0]); err != nil {
				return err
			}
		}
	}
	_, err = fmt.Fprintf(d.out, "\n%d programs fetched the newsletter's pictures, as if people read it. Only those whose recipients allow it are counted.\n", len(deliveries))
	return err
}

// fetch does as a mail program does. What it is answered does not matter.
func (d demo) fetch(ctx context.Context, path, program string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, localURL(d.public)+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", program)
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

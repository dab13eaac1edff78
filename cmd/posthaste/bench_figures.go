package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"posthaste"
	"posthaste/internal/token"
)

// figures are what a measurement found. What could not be measured is 0.
type figures struct {
	Recipients            int              `json:"recipients"`
	Workers               int              `json:"workers"`
	Connections           int              `json:"connections"` // of each worker
	Database              string           `json:"database"`
	Broker                string           `json:"broker"`
	MessageBytes          int64            `json:"message_bytes"`
	SeedSeconds           float64          `json:"seed_seconds"`
	FreezeSeconds         float64          `json:"freeze_seconds"` // from schedule to the first message
	SendSeconds           float64          `json:"send_seconds"`   // from the first message to the last
	PerSecond             float64          `json:"messages_per_second"`
	PerSecondFromSchedule float64          `json:"messages_per_second_from_schedule"`
	CPU                   cpu              `json:"cpu_seconds_per_100000"`
	PeakMB                float64          `json:"peak_mb"` // of the largest measured process
	OptOuts               int              `json:"opt_outs"`
	OptOutAnswerP99       float64          `json:"opt_out_answer_p99_ms"`
	OptOutLastP99         float64          `json:"opt_out_to_last_message_p99_ms"`
	ReadAfterAnswer       int              `json:"read_after_answer"` // by the sink, which may be a moment after it was written
	Notices               noticeFigures    `json:"notices"`
	HitsPerSecond         float64          `json:"beacon_hits_per_second"`
	Counts                posthaste.Counts `json:"counts"`
	AddsUp                bool             `json:"adds_up"`
}

// noticeFigures are how long account notices took from their request to the
// next hop, in milliseconds: before the campaign, and while it was sent.
type noticeFigures struct {
	Idle     int     `json:"idle"`
	IdleP50  float64 `json:"idle_p50_ms"`
	IdleP99  float64 `json:"idle_p99_ms"`
	Busy     int     `json:"busy"`
	BusyP50  float64 `json:"busy_p50_ms"`
	BusyP99  float64 `json:"busy_p99_ms"`
	BusyMost float64 `json:"busy_most_ms"`
}

// cpu is CPU time while sending, split by process. Others is everything else on
// the machine: a database or broker of its own, and whatever runs beside.
type cpu struct {
	Sender float64 `json:"sender"`
	Sink   float64 `json:"sink"`
	Bench  float64 `json:"bench"`
	Others float64 `json:"others"`
}

// usage is what the processes have used so far, in seconds.
type usage struct{ sender, sink, bench, machine float64 }

func (b *bench) usage() usage {
	var u usage
	for _, server := range b.servers {
		seconds, _ := cpuSeconds(server.cmd.Process.Pid) // 0 where it cannot be told
		u.sender += seconds
	}
	if b.sink != nil {
		u.sink, _ = cpuSeconds(b.sink.cmd.Process.Pid)
	}
	u.bench, _ = cpuSeconds(os.Getpid())
	u.machine, _ = machineSeconds()
	for _, server := range b.servers {
		peak, _ := residentPeak(server.cmd.Process.Pid)
		b.figures.PeakMB = max(b.figures.PeakMB, peak)
	}
	return u
}

func (f *figures) addUsage(from, to usage, messages int64) {
	share := 100_000 / float64(max(messages, 1))
	f.CPU = cpu{Sender: (to.sender - from.sender) * share, Sink: (to.sink - from.sink) * share, Bench: (to.bench - from.bench) * share}
	f.CPU.Others = (to.machine-from.machine)*share - f.CPU.Sender - f.CPU.Sink - f.CPU.Bench
}

func (f *figures) writeJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(f)
}

func (f *figures) writeTable(out io.Writer) error {
	fmt.Fprintf(out, "\n%d recipients, %d bytes each; %s, %s; workers: %d, connections of each: %d\n\n", f.Recipients, f.MessageBytes, f.Database, f.Broker, f.Workers, f.Connections)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		what   string
		figure float64
		unit   string
	}{
		{"seeding", f.SeedSeconds, "s"},
		{"from schedule to the first message", f.FreezeSeconds, "s"},
		{"from the first message to the last", f.SendSeconds, "s"},
		{"messages, from the first to the last", f.PerSecond, "/s"},
		{"messages, from schedule to the last", f.PerSecondFromSchedule, "/s"},
		{"CPU per 100,000 messages: sender", f.CPU.Sender, "s"},
		{"  sink", f.CPU.Sink, "s"},
		{"  this measurement", f.CPU.Bench, "s"},
		{"  everything else on the machine", f.CPU.Others, "s"},
		{"peak memory of a sending process", f.PeakMB, "MB"},
		{"opt-outs while sending", float64(f.OptOuts), ""},
		{"  to their answer, 99th percentile", f.OptOutAnswerP99, "ms"},
		{"  to the last message named to one, 99th percentile", f.OptOutLastP99, "ms"},
		{"account notices before the campaign", float64(f.Notices.Idle), ""},
		{"  from request to next hop, median", f.Notices.IdleP50, "ms"},
		{"  99th percentile", f.Notices.IdleP99, "ms"},
		{"account notices while it was sent", float64(f.Notices.Busy), ""},
		{"  from request to next hop, median", f.Notices.BusyP50, "ms"},
		{"  99th percentile", f.Notices.BusyP99, "ms"},
		{"  longest", f.Notices.BusyMost, "ms"},
		{"beacon hits", f.HitsPerSecond, "/s"},
	} {
		fmt.Fprintf(table, "%s\t%.1f\t%s\n", row.what, row.figure, row.unit)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	verdict := "adds up"
	if !f.AddsUp {
		verdict = "DOES NOT ADD UP"
	}
	_, err := fmt.Fprintf(out, "\naccepted %d, suppressed %d, others %d: the ledger %s\n", f.Counts.Accepted, f.Counts.Suppressed,
		f.Counts.Audience-f.Counts.Accepted-f.Counts.Suppressed, verdict)
	return err
}

const (
	beaconTime    = 3 * time.Second
	beaconClients = 16
)

// fetchBeacons opens mails for a while, as fast as the program answers.
func (b *bench) fetchBeacons(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, beaconTime)
	defer cancel()
	host := strings.Replace(strings.TrimPrefix(b.public, "http://"), "localhost", "127.0.0.1", 1)
	clients, ctx := errgroup.WithContext(ctx)
	var fetched [beaconClients]int64
	for n := range beaconClients {
		clients.Go(func() (err error) {
			fetched[n], err = b.fetch(ctx, host, n)
			return err
		})
	}
	begun := time.Now()
	if err := clients.Wait(); err != nil {
		return err
	}
	var all int64
	for _, n := range fetched {
		all += n
	}
	b.figures.HitsPerSecond = float64(all) / time.Since(begun).Seconds()
	return nil
}

// fetch asks for open beacons over one connection until ctx ends.
func (b *bench) fetch(ctx context.Context, host string, from int) (fetched int64, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for n := int64(from); ctx.Err() == nil; n += beaconClients {
		number := n%int64(b.Recipients) + 1
		beacon := b.keys.Seal(token.OpenBeacon, token.Claims{RecipientID: number, TopicID: b.topic.ID, CampaignID: 1, Number: number})
		if _, err := fmt.Fprintf(conn, "GET /o/%s HTTP/1.1\r\nHost: %s\r\n\r\n", beacon, host); err != nil {
			return fetched, err
		}
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			return fetched, err
		}
		_, err = io.Copy(io.Discard, answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil {
			return fetched, err
		}
		if answer.StatusCode != http.StatusOK {
			return fetched, fmt.Errorf("a beacon was answered with %s", answer.Status)
		}
		fetched++
	}
	return fetched, nil
}

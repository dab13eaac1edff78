package main

import (
	"strings"
	"testing"
	"time"

	"posthaste/internal/testkit"
)

func benchInBothModes(b *testing.B, bench func(b *testing.B, env []string)) {
	b.Helper()
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			bench(b, append(m.env(b), "POSTHASTE_DATA_DIR="+b.TempDir(), "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0",
				"POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_POSTAL_ADDRESS=1 Sample Street, Exampletown"))
		})
	}
}

// BenchmarkImport200k imports a file of 200,000 rows of five columns through
// the API of a fresh program, and tells its seconds and its peak memory.
func BenchmarkImport200k(b *testing.B) {
	file := manyRecipients(200_000)
	benchInBothModes(b, func(b *testing.B, env []string) {
		for b.Loop() {
			b.StopTimer()
			p := spawn(b, freshData(b, env))
			p.addTopic()
			b.StartTimer()
			begun := time.Now()
			report := p.importCSV("weekly", file)
			b.ReportMetric(time.Since(begun).Seconds(), "s/import")
			b.StopTimer()
			if report.Added != 200_000 {
				b.Fatalf("%+v", report)
			}
			b.ReportMetric(peak(b, p.pid), "MB-peak")
			p.kill()
			b.StartTimer()
		}
	})
}

// BenchmarkCampaign100k sends to 100,000 recipients into a sink that costs
// almost nothing, and tells messages per second and peak memory.
func BenchmarkCampaign100k(b *testing.B) {
	const audience = 100_000
	file := manyRecipients(audience)
	benchInBothModes(b, func(b *testing.B, env []string) {
		for b.Loop() {
			b.StopTimer()
			sink := testkit.NewFastSink(b)
			p := spawn(b, append(freshData(b, env), "POSTHASTE_SMTP_URL="+sink.URL()))
			p.addTopic()
			p.importCSV("weekly", file)
			id := p.draft(strings.Repeat("Hello {{ recipient.name }} of {{ recipient.attributes.city }}. [Read on](https://example.com/).\n\n", 40), "")
			b.StartTimer()
			begun := time.Now()
			p.step(id, "schedule")
			waitFor(b, "the messages", func() bool { return sink.Count() == audience })
			took := time.Since(begun)
			done := p.untilSent(id)
			b.ReportMetric(audience/took.Seconds(), "messages/s")
			b.StopTimer()
			if done.Counts.Accepted != audience {
				b.Fatalf("%+v", done.Counts)
			}
			b.ReportMetric(peak(b, p.pid), "MB-peak")
			p.kill()
			b.StartTimer()
		}
	})
}

// freshData gives each round a database of its own, when it is a file.
func freshData(b *testing.B, env []string) []string {
	b.Helper()
	return append(env[:len(env):len(env)], "POSTHASTE_DATA_DIR="+b.TempDir())
}

func peak(b *testing.B, pid int) float64 {
	b.Helper()
	mb, err := residentPeak(pid)
	if err != nil {
		b.Skip("no /proc here to read memory from:", err)
	}
	return mb
}

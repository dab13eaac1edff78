package main

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
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

// measure runs the bench command and gives what it found.
func measure(tb testing.TB, args ...string) figures {
	tb.Helper()
	var f figures
	out := command(tb, append(os.Environ(), beProgram+"=1"), append([]string{"bench", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &f); err != nil {
		tb.Fatalf("%v in %s", err, out)
	}
	return f
}

// parts of others, for the bench command, in each mode.
var benchParts = map[string]func(tb testing.TB) []string{
	"sqlite and embedded NATS": func(testing.TB) []string { return nil },
	"postgres and NATS on a port": func(tb testing.TB) []string {
		return []string{"--database", testkit.Postgres(tb), "--nats", testkit.NATS(tb)}
	},
}

// TestBench measures a little, in both modes, with one worker and with two.
func TestBench(t *testing.T) {
	t.Parallel()
	for name, parts := range benchParts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append(parts(t), "--recipients", "1500", "--connections", "2")
			if len(args) > 4 {
				args = append(args, "--workers", "2")
			}
			f := measure(t, args...)
			if !f.AddsUp || f.Counts.Accepted+f.Counts.Suppressed != 1500 || f.Counts.Uncertain != 0 {
				t.Errorf("ledger %+v", f.Counts)
			}
			if f.OptOutLastP99 > 1000 || f.OptOutAnswerP99 > 1000 {
				t.Errorf("opt-outs took %.0f ms to be answered, %.0f ms to their last message", f.OptOutAnswerP99, f.OptOutLastP99)
			}
			if f.PerSecond <= 0 || f.MessageBytes < 8000 || f.CPU.Sender <= 0 || f.PeakMB <= 0 || f.HitsPerSecond <= 0 || f.SeedSeconds <= 0 {
				t.Errorf("figures %+v", f)
			}
		})
	}
	t.Run("as a table", func(t *testing.T) {
		t.Parallel()
		out := command(t, append(os.Environ(), beProgram+"=1"), "bench", "--recipients", "300")
		for _, want := range []string{"300 recipients", "messages, from the first to the last", "CPU per 100,000 messages: sender", "the ledger adds up"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in %s", want, out)
			}
		}
	})
	t.Run("to a next hop of somebody's", func(t *testing.T) {
		t.Parallel()
		sink := testkit.NewFastSink(t)
		f := measure(t, "--recipients", "300", "--smtp", sink.URL())
		if !f.AddsUp || f.Counts.Accepted != sink.Count() || f.PerSecond <= 0 {
			t.Errorf("%d came, figures %+v", sink.Count(), f)
		}
	})
	t.Run("refusals", func(t *testing.T) {
		t.Parallel()
		full := testkit.Postgres(t)
		measure(t, "--recipients", "10", "--database", full)
		for want, args := range map[string][]string{
			"is not empty":               {"bench", "--database", full},
			"--database and --nats":      {"bench", "--workers", "2"},
			"at least one recipient":     {"bench", "--recipients", "0"},
			"POSTHASTE_DATABASE_URL mus": {"bench", "--database", "mysql://x"},
		} {
			err := run(t.Context(), args, append(os.Environ(), beProgram+"=1"), &strings.Builder{})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %v, want %q", args, err, want)
			}
		}
	})
}

// BenchmarkSend measures as `posthaste bench` does, in both modes, and with two
// workers at one database.
func BenchmarkSend(b *testing.B) {
	const two = "postgres, two workers"
	names := append(slices.Sorted(maps.Keys(benchParts)), two)
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				parts, args := benchParts[name], []string{"--recipients", "50000"}
				if name == two {
					parts, args = benchParts["postgres and NATS on a port"], append(args, "--workers", "2", "--connections", "4")
				}
				f := measure(b, append(parts(b), args...)...)
				b.ReportMetric(f.PerSecond, "messages/s")
				b.ReportMetric(f.CPU.Sender, "sender-s/100k")
				b.ReportMetric(f.PeakMB, "MB-peak")
				b.ReportMetric(f.OptOutLastP99, "ms-opt-out")
			}
		})
	}
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
		testkit.Missing(b, "/proc to read memory from: "+err.Error())
	}
	return mb
}

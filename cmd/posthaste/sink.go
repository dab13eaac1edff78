package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"posthaste/internal/sink"
)

type sinkCommand struct {
	Listen string `help:"host:port, where only senders that are to be tried out reach it." default:"127.0.0.1:2525"`
	Watch  string `help:"Remember when addresses that begin so were last named." placeholder:"PREFIX"`
}

// sinkReport is what a sink has taken so far.
type sinkReport struct {
	Messages int64            `json:"messages"`
	Bytes    int64            `json:"bytes"`
	Named    map[string]int64 `json:"named,omitempty"` // watched addresses, when last in RCPT, Unix microseconds
}

// withNames is the line on standard input that asks for watched addresses too.
const withNames = "named"

// Run takes mail until the context ends. For each line on standard input, and
// at the end, it prints a report.
func (s sinkCommand) Run(e *environment) error {
	server, err := sink.Listen(e.ctx, s.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if s.Watch != "" {
		server.Watch(s.Watch)
	}
	fmt.Fprintf(e.out, "%s takes every message and keeps none\n", server.URL())
	asked := make(chan bool) // with names or without; each is answered before the next is read
	go func() {
		lines := bufio.NewReader(os.Stdin)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return // nobody asks any more; the signal ends it
			}
			select {
			case asked <- strings.TrimSpace(line) == withNames:
			case <-e.ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case names := <-asked:
			if err := writeSinkReport(e.out, server, names); err != nil {
				return err
			}
		case <-e.ctx.Done():
			if err := server.Close(); err != nil {
				return err
			}
			return writeSinkReport(e.out, server, true)
		}
	}
}

func writeSinkReport(out io.Writer, s *sink.Sink, names bool) error {
	r := sinkReport{Messages: s.Count(), Bytes: s.Bytes(), Named: map[string]int64{}}
	if names {
		for address, at := range s.Named() {
			r.Named[address] = at.UnixMicro()
		}
	}
	return json.NewEncoder(out).Encode(r)
}

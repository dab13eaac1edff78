package webhook_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// resolver gives one IPv4 address after another for whatever name is asked
// for; the last one goes on. "" is: no such name; "broken": the server fails.
func resolver(addresses ...string) *net.Resolver {
	var mu sync.Mutex
	next := func(kind dnsmessage.Type) string {
		mu.Lock()
		defer mu.Unlock()
		address := addresses[0]
		if kind == dnsmessage.TypeA && len(addresses) > 1 {
			addresses = addresses[1:]
		}
		return address
	}
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			answerQuery(theirs, next)
		}()
		return ours, nil
	}}
}

// answerQuery answers one query, in the form that DNS has over TCP.
func answerQuery(conn io.ReadWriter, next func(dnsmessage.Type) string) {
	size := make([]byte, 2)
	if _, err := io.ReadFull(conn, size); err != nil {
		return
	}
	query := make([]byte, binary.BigEndian.Uint16(size))
	if _, err := io.ReadFull(conn, query); err != nil {
		return
	}
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	question := m.Questions[0]
	switch address := next(question.Type); {
	case address == "":
		m.RCode = dnsmessage.RCodeNameError
	case address == "broken":
		m.RCode = dnsmessage.RCodeServerFailure
	case question.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class},
			Body:   &dnsmessage.AResource{A: netip.MustParseAddr(address).As4()},
		}}
	}
	answer, err := m.Pack()
	if err != nil {
		return
	}
	_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
}

package testkit_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"posthaste/internal/testkit"
)

const (
	// patience is the longest that what must come may take.
	patience = 10 * time.Second
	// moment is how long nothing must come for a link to count as held up.
	moment = 30 * time.Millisecond
	// forever is a delay that no test lives to see the end of.
	forever = time.Hour
	// chunk is more bytes than a proxy takes in one piece.
	chunk = 64 << 10
)

// echo starts a server that says back what it hears. It gives a target for NewProxy.
func echo(t *testing.T, network string) string {
	t.Helper()
	address, target := "127.0.0.1:0", ""
	if network == "unix" {
		dir, err := os.MkdirTemp("", "echo-") // t.TempDir() may be too long for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		address, target = filepath.Join(dir, "s"), "unix:"
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait() // for ever if the proxy leaves a connection open
	})
	return target + listener.Addr().String()
}

// overEcho runs a test with an echo server of each kind behind the proxy.
func overEcho(t *testing.T, test func(*testing.T, *testkit.Proxy)) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			test(t, testkit.NewProxy(t, echo(t, network)))
		})
	}
}

func dial(t *testing.T, p *testkit.Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// hear fails the test unless exactly this comes next.
func hear(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("heard %q, %v; want %q", got[:n], err, want)
	}
}

// silent fails the test if anything comes within a moment, be it the end.
func silent(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(moment))
	got := make([]byte, 1)
	if n, err := conn.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("heard %q, %v; want nothing", got[:n], err)
	}
}

// broken fails the test unless the connection has ended in an error.
func broken(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	n, err := conn.Read(make([]byte, 1))
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("heard %d bytes, %v; want a reset", n, err)
	}
}

// refused fails the test unless a new connection is reset, be it so early that
// it never seems to stand.
func refused(t *testing.T, p *testkit.Proxy) {
	t.Helper()
	if conn, err := net.Dial("tcp", p.Addr()); err == nil {
		defer conn.Close()
		broken(t, conn)
	}
}

func ended(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("heard %d bytes, %v; want EOF", n, err)
	}
}

// met gives a connection through the proxy that is known to be present.
func met(t *testing.T, p *testkit.Proxy) *net.TCPConn {
	t.Helper()
	conn := dial(t, p)
	say(t, conn, "hello")
	hear(t, conn, "hello")
	return conn
}

// far is a listener behind a proxy, for tests that hold both ends.
func far(t *testing.T) *net.TCPListener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.(*net.TCPListener)
}

func answer(t *testing.T, listener *net.TCPListener) *net.TCPConn {
	t.Helper()
	_ = listener.SetDeadline(time.Now().Add(patience))
	conn, err := listener.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Neither a byte nor the end of one direction gets lost, and the end of one is
// not the end of the other.
func TestProxyPassesAll(t *testing.T) {
	overEcho(t, func(t *testing.T, p *testkit.Proxy) {
		if got := net.JoinHostPort(p.Host(), p.Port()); got != p.Addr() || p.Host() != "127.0.0.1" {
			t.Errorf("Host and Port give %s, Addr %s", got, p.Addr())
		}
		conn := met(t, p)
		want := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = conn.Write(want)
			_ = conn.CloseWrite()
		})
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		got, err := io.ReadAll(conn)
		wg.Wait()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back, %v; want the %d that were sent", len(got), err, len(want))
		}
	})
}

func TestProxyPassesHalfCloses(t *testing.T) {
	t.Parallel()
	listener := far(t)
	p := testkit.NewProxy(t, listener.Addr().String())
	client := dial(t, p)
	server := answer(t, listener)
	say(t, server, "bye")
	_ = server.CloseWrite()
	hear(t, client, "bye")
	ended(t, client)
	say(t, client, "and yet")
	hear(t, server, "and yet")
	_ = client.CloseWrite()
	ended(t, server)
}

// A side that dies takes the other with it, as without a proxy.
func TestProxyPassesResets(t *testing.T) {
	t.Parallel()
	listener := far(t)
	p := testkit.NewProxy(t, listener.Addr().String())
	client := dial(t, p)
	server := answer(t, listener)
	_ = client.SetLinger(0)
	_ = client.Close()
	broken(t, server)

	client = dial(t, p)
	server = answer(t, listener)
	_ = server.SetLinger(0)
	_ = server.Close()
	broken(t, client)

	_ = listener.Close() // and a side that is not there likewise
	refused(t, p)
}

// A side that speaks to one that has gone still gets what that one said last.
func TestProxyPassesLastWords(t *testing.T) {
	t.Parallel()
	listener := far(t)
	p := testkit.NewProxy(t, listener.Addr().String())
	client := dial(t, p)
	server := answer(t, listener)
	p.Delay(10 * moment)
	for range 2 { // the first is answered with a reset, the second cannot be written
		say(t, client, "hello?")
		silent(t, client)
	}
	say(t, server, "421 bye")
	_ = server.Close()
	hear(t, client, "421 bye")
	_ = client.SetReadDeadline(time.Now().Add(patience))
	if n, err := client.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("heard %d bytes more, %v; want the end", n, err)
	}
}

func TestProxyCuts(t *testing.T) {
	overEcho(t, func(t *testing.T, p *testkit.Proxy) {
		before := []net.Conn{met(t, p), met(t, p)}
		p.Cut()
		for _, conn := range before {
			broken(t, conn)
		}
		refused(t, p)
		refused(t, p)
		p.Heal()
		met(t, p)
	})
}

func TestProxyDrops(t *testing.T) {
	overEcho(t, func(t *testing.T, p *testkit.Proxy) {
		before := []net.Conn{met(t, p), met(t, p)}
		p.Drop()
		for _, conn := range before {
			broken(t, conn)
		}
		met(t, p)
	})
}

// The target's side is told of a Cut and a Drop too.
func TestProxyDropsBothSides(t *testing.T) {
	t.Parallel()
	listener := far(t)
	p := testkit.NewProxy(t, listener.Addr().String())
	for name, end := range map[string]func(){"Drop": p.Drop, "Cut": p.Cut} {
		p.Heal()
		client := dial(t, p)
		server := answer(t, listener)
		say(t, client, name)
		hear(t, server, name)
		end()
		broken(t, server)
	}
}

func TestProxyStalls(t *testing.T) {
	overEcho(t, func(t *testing.T, p *testkit.Proxy) {
		before := met(t, p)
		p.Stall()
		during := dial(t, p)
		say(t, before, "one")
		say(t, during, "two")
		silent(t, before)
		silent(t, during)
		p.Heal()
		hear(t, before, "one")
		hear(t, during, "two")
		p.Stall()
		p.Drop() // a stalled link can still break
		broken(t, before)
	})
}

// What the other side does not learn of is the point of a Stall: neither bytes
// nor the end nor a new connection.
func TestProxyStallTellsNobody(t *testing.T) {
	t.Parallel()
	listener := far(t)
	p := testkit.NewProxy(t, listener.Addr().String())
	client := dial(t, p)
	server := answer(t, listener)
	mute := dial(t, p)
	muteServer := answer(t, listener)
	p.Stall()
	say(t, client, "last words")
	_ = client.Close()
	_ = mute.Close()
	silent(t, server)
	silent(t, muteServer)
	other := dial(t, p)
	_ = listener.SetDeadline(time.Now().Add(moment))
	if _, err := listener.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a new connection came through, %v", err)
	}
	p.Heal()
	hear(t, server, "last words")
	ended(t, server)
	ended(t, muteServer)
	say(t, answer(t, listener), "welcome")
	hear(t, other, "welcome")
}

// Stall comes back though a write waits for its reader, and that write is taken
// up again where it stood.
func TestProxyStallsAmidAWrite(t *testing.T) {
	t.Parallel()
	listener := far(t)
	p := testkit.NewProxy(t, listener.Addr().String())
	client := dial(t, p)
	server := answer(t, listener)
	_ = server.SetReadBuffer(chunk)
	_ = client.SetWriteBuffer(chunk)
	piece := make([]byte, chunk)
	for i := range piece {
		piece[i] = byte(i % 251) // a prime, so that no gap goes unseen
	}
	var want, got bytes.Buffer
	var err error
	for err == nil { // fill all buffers on the way
		var n int
		_ = client.SetWriteDeadline(time.Now().Add(moment))
		n, err = client.Write(piece)
		want.Write(piece[:n])
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	p.Stall()
	for err = nil; err == nil; { // empty those behind the proxy
		_ = server.SetReadDeadline(time.Now().Add(moment))
		_, err = io.CopyN(&got, server, chunk)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || got.Len() == want.Len() {
		t.Fatalf("%d bytes of %d, %v; want a stalled link", got.Len(), want.Len(), err)
	}
	p.Heal()
	_ = client.CloseWrite()
	_ = server.SetReadDeadline(time.Now().Add(patience))
	if _, err := got.ReadFrom(server); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("%d bytes, %v; want the %d that were sent", got.Len(), err, want.Len())
	}
}

func TestProxyDelays(t *testing.T) {
	overEcho(t, func(t *testing.T, p *testkit.Proxy) {
		conn := met(t, p)
		const d = 30 * time.Millisecond
		p.Delay(d)
		for _, text := range []string{"there", "again"} {
			start := time.Now()
			say(t, conn, text)
			hear(t, conn, text)
			if took := time.Since(start); took < 2*d {
				t.Errorf("there and back took %s, want %s each way", took, d)
			}
		}
		for _, end := range []func(){func() { p.Delay(0) }, p.Heal} {
			p.Delay(forever)
			say(t, conn, "late")
			silent(t, conn)
			end()
			hear(t, conn, "late")
		}
	})
}

// What comes during a delay waits no longer than what came first: it is a long
// way, not a narrow one. A later chunk on another connection tells the time, as
// a clock would have to allow for a busy machine.
func TestProxyDelaysChunksSideBySide(t *testing.T) {
	t.Parallel()
	listener := far(t)
	p := testkit.NewProxy(t, listener.Addr().String())
	client := dial(t, p)
	server := answer(t, listener)
	other := dial(t, p)
	otherServer := answer(t, listener)
	p.Delay(12 * moment)
	say(t, client, "first")
	silent(t, server) // so that what follows is a chunk of its own
	say(t, client, "second")
	silent(t, server)
	say(t, other, "third")
	hear(t, otherServer, "third")
	p.Stall() // what has not passed by now comes too late
	hear(t, server, "first")
	hear(t, server, "second")
}

// The end of a test ends its proxy, whatever state that is in; TestMain would
// find what it leaves running.
func TestProxyEndsWithItsTest(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(*testkit.Proxy){
		"healthy": (*testkit.Proxy).Heal,
		"stalled": (*testkit.Proxy).Stall,
		"delayed": func(p *testkit.Proxy) { p.Delay(forever) },
		"cut":     (*testkit.Proxy).Cut,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := echo(t, "tcp")
			var conn net.Conn // outlives the inner test
			t.Run("inner", func(t *testing.T) {
				p := testkit.NewProxy(t, target)
				var err error
				if conn, err = net.Dial("tcp", p.Addr()); err != nil {
					t.Fatal(err)
				}
				say(t, conn, "hello")
				hear(t, conn, "hello")
				do(p)
				_, _ = conn.Write([]byte("held up")) // fails after Cut
			})
			if conn == nil {
				t.FailNow()
			}
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection is still open")
			}
		})
	}
}

// Whatever is called at once, the proxy comes out of it well.
func TestProxyIsSafeForConcurrentUse(t *testing.T) {
	overEcho(t, func(t *testing.T, p *testkit.Proxy) {
		const rounds = 50
		done := make(chan struct{})
		var talk, turn sync.WaitGroup
		for range 4 {
			talk.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					conn, err := net.Dial("tcp", p.Addr())
					if err != nil {
						continue
					}
					_ = conn.SetDeadline(time.Now().Add(moment))
					_, _ = conn.Write(make([]byte, chunk))
					_, _ = io.ReadFull(conn, make([]byte, chunk))
					_ = conn.Close()
				}
			})
		}
		for _, do := range []func(){p.Cut, p.Drop, p.Stall, p.Heal, func() { p.Delay(time.Millisecond) }} {
			turn.Go(func() {
				for range rounds {
					do()
					<-time.After(time.Millisecond)
				}
			})
		}
		turn.Wait()
		close(done)
		talk.Wait()
		p.Heal()
		met(t, p)
	})
}

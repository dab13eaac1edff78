// Package bus is the one place that knows NATS. It carries chunk numbers to
// workers, hits to the recorder, opt-outs to the workers that must hear of
// them, and which campaigns stand still. On one machine it runs a JetStream
// server inside the process; past that it talks to a cluster.
//
// Nothing on the bus names an address, a body or a full IP. What must not be
// lost is published to JetStream and acknowledged by it; even so the truth
// stands in SQL, and what the bus forgets is published again from there.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"posthaste"
)

// Names on the broker.
const (
	chunkStream  = "POSTHASTE_CHUNKS"
	chunkSubject = "posthaste.chunks"
	hitStream    = "POSTHASTE_HITS"
	hitSubject   = "posthaste.hits"

	noticeStream  = "POSTHASTE_NOTICES"
	noticeSubject = "posthaste.notices"

	suppressionStream  = "POSTHASTE_SUPPRESSIONS"
	suppressionSubject = "posthaste.suppressions"

	stateBucket   = "POSTHASTE_CAMPAIGNS"
	leaseBucket   = "POSTHASTE_LEASES"
	optOutSubject = "posthaste.optouts."
	testSubject   = "posthaste.tests"

	schedulerLease = "scheduler"
)

const (
	// startLimit bounds how long an embedded server may take to be ready.
	startLimit = 15 * time.Second
	// embeddedStore is what an embedded server may store, in bytes. By itself it
	// would take three quarters of what is free on the disk now, and not start where
	// that is less than the streams may ever have.
	embeddedStore = 1 << 40
	// declareLimit bounds how long a cluster may take to elect its leaders, and
	// declareTry one attempt: what is asked before that is never answered. Between two
	// attempts passes declarePause.
	declareLimit = time.Minute
	declareTry   = 5 * time.Second
	declarePause = time.Second
)

// Bus is a connection to the broker, safe for concurrent use.
type Bus struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	embedded *server.Server
	chunks   jetstream.Stream
	hits     jetstream.Stream
	notices  jetstream.Stream

	suppressions jetstream.Stream

	states jetstream.KeyValue
	leases jetstream.KeyValue
}

// Open starts an embedded server for embedded:PATH, or connects to
// nats://host,host…, and makes sure that the streams exist.
func Open(ctx context.Context, url string) (*Bus, error) {
	b := &Bus{}
	var err error
	switch {
	case strings.HasPrefix(url, "embedded:") && url != "embedded:":
		err = b.embed(strings.TrimPrefix(url, "embedded:"))
	case strings.HasPrefix(url, "nats://"), strings.HasPrefix(url, "tls://"):
		b.conn, err = nats.Connect(url, options()...)
	default:
		return nil, posthaste.Refuse("POSTHASTE_NATS_URL", "must be embedded:PATH or nats://host:port,host:port")
	}
	if err != nil {
		return nil, &posthaste.Error{Kind: posthaste.Unavailable, Message: "the message broker does not answer", Err: err}
	}
	if err := b.declare(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("declare streams: %w", err)
	}
	return b, nil
}

func options() []nats.Option {
	return []nats.Option{
		nats.Name("posthaste"), nats.MaxReconnects(-1), nats.ReconnectWait(time.Second), nats.RetryOnFailedConnect(false),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				slog.Warn("broker connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { slog.Info("broker connection is back") }),
	}
}

func (b *Bus) embed(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	ns, err := server.NewServer(&server.Options{ServerName: "posthaste", DontListen: true, JetStream: true, StoreDir: path, NoSigs: true, NoLog: true,
		JetStreamMaxStore: embeddedStore})
	if err != nil {
		return err
	}
	b.embedded = ns
	ns.Start()
	if !ns.ReadyForConnections(startLimit) {
		ns.Shutdown()
		return errors.New("the embedded server did not become ready")
	}
	b.conn, err = nats.Connect("", append(options(), nats.InProcessServer(ns))...)
	return err
}

// declare creates or updates what the program needs on the broker.
func (b *Bus) declare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, declareLimit)
	defer cancel()
	for {
		try, cancel := context.WithTimeout(ctx, declareTry)
		err := b.declareOnce(try)
		soon := try.Err() != nil || stillForming(err)
		cancel()
		if err == nil || !soon {
			return err
		}
		slog.Warn("the message broker is not ready yet", "error", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(declarePause):
		}
	}
}

// stillForming reports whether err is the answer of a cluster whose servers have not all
// found one another: what a process hears that starts beside them.
func stillForming(err error) bool {
	var answer *jetstream.APIError
	if !errors.As(err, &answer) {
		return false
	}
	switch server.ErrorIdentifier(answer.ErrorCode) {
	case server.JSClusterNoPeersErrF, server.JSClusterNotAvailErr, server.JSClusterNotLeaderErr, server.JSClusterNotActiveErr:
		return true
	}
	return false
}

func (b *Bus) declareOnce(ctx context.Context) error {
	var err error
	if b.js, err = jetstream.New(b.conn, jetstream.WithPublishAsyncMaxPending(1024)); err != nil {
		return err
	}
	replicas, err := b.replicas(ctx)
	if err != nil {
		return err
	}
	if b.chunks, err = b.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: chunkStream, Subjects: []string{chunkSubject + ".>"}, Retention: jetstream.WorkQueuePolicy, Replicas: replicas,
	}); err != nil {
		return err
	}
	if b.hits, err = b.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: hitStream, Subjects: []string{hitSubject}, Retention: jetstream.WorkQueuePolicy, Replicas: replicas,
		MaxBytes: hitBytes, MaxAge: hitLife, Discard: jetstream.DiscardOld,
	}); err != nil {
		return err
	}
	if b.notices, err = b.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: noticeStream, Subjects: []string{noticeSubject}, Retention: jetstream.WorkQueuePolicy, Replicas: replicas,
	}); err != nil {
		return err
	}
	if b.suppressions, err = b.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: suppressionStream, Subjects: []string{suppressionSubject}, Retention: jetstream.LimitsPolicy, Replicas: replicas,
	}); err != nil {
		return err
	}
	if b.states, err = b.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: stateBucket, Replicas: replicas, TTL: stateLife}); err != nil {
		return err
	}
	b.leases, err = b.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: leaseBucket, Replicas: replicas, TTL: leaseLife})
	if err != nil || b.embedded == nil {
		return err
	}
	// An embedded broker starts with its only process: whoever led before is gone.
	return b.leases.Purge(ctx, schedulerLease)
}

// replicas is 3 on a cluster of at least three servers, else 1; and never fewer
// than there are, since a process may start while it sees only a part of the cluster.
func (b *Bus) replicas(ctx context.Context) (int, error) {
	want := 1
	if len(b.conn.DiscoveredServers()) >= 2 || len(b.conn.Servers()) >= 3 {
		want = 3
	}
	stream, err := b.js.Stream(ctx, chunkStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return want, nil
	}
	if err != nil {
		return 0, err
	}
	return max(want, stream.CachedInfo().Config.Replicas), nil
}

// InUse reports whether some installation has its streams on a broker. It makes none.
func InUse(ctx context.Context, url string) (bool, error) {
	b, err := join(url)
	if err != nil {
		return false, err
	}
	defer b.Close()
	_, err = b.js.Stream(ctx, chunkStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Clear removes everything that an installation has on a broker.
func Clear(ctx context.Context, url string) error {
	b, err := join(url)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, stream := range []string{chunkStream, hitStream, noticeStream, suppressionStream} {
		err = errors.Join(err, b.js.DeleteStream(ctx, stream))
	}
	return errors.Join(err, b.js.DeleteKeyValue(ctx, stateBucket), b.js.DeleteKeyValue(ctx, leaseBucket))
}

// join connects to a broker elsewhere and changes nothing there.
func join(url string) (*Bus, error) {
	conn, err := nats.Connect(url, options()...)
	if err != nil {
		return nil, unavailable(err)
	}
	js, err := jetstream.New(conn)
	return &Bus{conn: conn, js: js}, err
}

// Ping asks the broker for a sign of life.
func (b *Bus) Ping(ctx context.Context) error {
	if err := b.conn.FlushWithContext(ctx); err != nil {
		return unavailable(err)
	}
	return nil
}

// Close ends the connection and stops an embedded server.
func (b *Bus) Close() {
	if b.conn != nil {
		b.conn.Close()
	}
	if b.embedded != nil {
		b.embedded.Shutdown()
		b.embedded.WaitForShutdown()
	}
}

func unavailable(err error) error {
	return &posthaste.Error{Kind: posthaste.Unavailable, Message: "the message broker does not answer", Err: err}
}

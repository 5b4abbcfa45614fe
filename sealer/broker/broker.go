// Package broker is the sealer's end of the workers' protocol on NATS: it gives
// out what the queue leased to remote workers, and brings the queue their beats
// and outcomes.
//
// Start at Broker.Run; StartEmbedded is the server that runs inside the sealer
// when no cluster is configured. worker/bus is the workers' end.
//
// Invariants: an outcome leaves the stream only after the queue stored it; the
// streams are made when they are missing, and everything that was under way is
// then given out again; while NATS cannot be reached, the silence of workers does
// not count.
package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/worker"
	"github.com/filecoin-venus/venus/worker/bus"
)

// Queue is what the broker serves; sealer/task's is one.
type Queue interface {
	RemoteBeat(ctx context.Context, b worker.Beat) (worker.Orders, error)
	NextRemote(ctx context.Context) (id string, t worker.Task, err error)
	InForce(worker string, l worker.Lease) bool
	Reoffer()
	HandIn(ctx context.Context, o worker.Outcome) error
	Deaf(deaf bool)
}

// Config chooses the NATS.
type Config struct {
	// Bus is the name of this sealer's streams.
	Bus bus.Bus
	// Login opens a cluster; without URLs, Embedded is used.
	Login    bus.Login
	Embedded *Embedded
	// Replicas is how many servers of a cluster keep each stream; 0 is three in a
	// cluster and one elsewhere.
	Replicas int
}

// Broker connects a queue with NATS.
type Broker struct {
	bus.Ends
	cfg   Config
	queue Queue
	clk   clock.Clock

	mu sync.Mutex // one makes streams at a time
}

// New connects to NATS, or goes on trying in the background.
func New(cfg Config, q Queue, clk clock.Clock) (*Broker, error) {
	b := &Broker{cfg: cfg, queue: q, clk: clk}
	opts := append(bus.Options("venus-sealer "+string(cfg.Bus)),
		nats.ConnectHandler(func(*nats.Conn) { q.Deaf(false) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			q.Deaf(true)
			if err != nil {
				log.Warnf("NATS is away, workers go on with what they have: %v", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			log.Info("NATS is there again")
			q.Deaf(false)
		}))
	var err error
	if len(cfg.Login.URLs) > 0 {
		q.Deaf(true) // until the connect handler is called
		b.Conn, err = bus.ConnectCluster(cfg.Login, opts...)
	} else {
		b.Conn, err = nats.Connect("", append(opts, nats.InProcessServer(cfg.Embedded))...)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	b.Bus = cfg.Bus
	if b.JS, err = jetstream.New(b.Conn); err != nil {
		b.Conn.Close()
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return b, nil
}

// Close ends the connection.
func (b *Broker) Close() error {
	b.Conn.Close()
	return nil
}

// Connected tells whether NATS is reached.
func (b *Broker) Connected() bool { return b.Conn.IsConnected() }

// Trouble tells why NATS is not reached, nil when it is or nothing is known.
func (b *Broker) Trouble() error { return bus.Trouble(b.Conn) }

// CallPath asks the worker that has a path; it is a store.Caller.
func (b *Broker) CallPath(ctx context.Context, id string, request []byte) ([]byte, error) {
	m, err := b.Conn.RequestWithContext(ctx, b.Bus.PathSubject(id), request)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, errors.New("no worker is here that has it")
	}
	if err != nil {
		return nil, fmt.Errorf("ask its worker: %w", err)
	}
	return m.Data, nil
}

// Run serves workers until ctx ends.
func (b *Broker) Run(ctx context.Context) {
	b.untilEnd(ctx, "streams", b.makeStreams) // nobody is answered before there is a place for tasks
	var wg sync.WaitGroup
	wg.Go(func() { b.untilEnd(ctx, "streams", b.keepStreams) })
	wg.Go(func() { b.untilEnd(ctx, "beats", b.beats) })
	wg.Go(func() { b.untilEnd(ctx, "tasks", b.giveOut) })
	wg.Go(func() { b.untilEnd(ctx, "outcomes", b.bringIn) })
	wg.Wait()
}

// untilEnd runs a part again whenever it fails, and says so once per reason.
func (b *Broker) untilEnd(ctx context.Context, what string, part func(context.Context) error) {
	said := ""
	for ctx.Err() == nil {
		err := part(ctx)
		if err == nil {
			return
		}
		if why := bus.Trouble(b.Conn); why != nil {
			err = why
		}
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			log.Errorf("%s of workers stand still until NATS is well again: %v", what, err)
		}
		_ = b.clk.Sleep(ctx, worker.RetryPause) // the loop looks at ctx
	}
}

// How long NATS keeps what nobody takes: outcomes while the sealer is down, tasks
// hardly longer than a lease.
const (
	keepOutcomes = 7 * 24 * time.Hour
	keepTasks    = time.Hour
	lookAgain    = 15 * time.Second // between two looks whether the streams are there
)

// keepStreams makes the streams, and makes them again when they are lost.
func (b *Broker) keepStreams(ctx context.Context) error {
	for {
		if err := b.clk.Sleep(ctx, lookAgain); err != nil {
			return fmt.Errorf("wait: %w", err)
		}
		if err := b.makeStreams(ctx); err != nil {
			return err
		}
	}
}

func (b *Broker) replicas() int {
	switch {
	case b.cfg.Replicas > 0:
		return b.cfg.Replicas
	case b.Conn.ConnectedClusterName() != "":
		return 3
	}
	return 1
}

// makeTimeout bounds one try to make the streams: a cluster without a leader does
// not answer at all.
const makeTimeout = 4 * time.Second

// makeStreams makes what is missing, and has everything under way given out
// again when something was.
func (b *Broker) makeStreams(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	made := false
	for _, c := range []jetstream.StreamConfig{
		{Name: b.Bus.Tasks(), Subjects: []string{b.Bus.AllTasks()}, MaxAge: keepTasks},
		{Name: b.Bus.Outcomes(), Subjects: []string{b.Bus.OutcomeSubject()}, MaxAge: keepOutcomes},
	} {
		c.Retention, c.Storage, c.Replicas, c.Duplicates = jetstream.WorkQueuePolicy, jetstream.FileStorage, b.replicas(), 2*time.Minute
		_, err := b.JS.Stream(ctx, c.Name)
		if err == nil {
			continue
		}
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("look for the stream %s: %w", c.Name, err)
		}
		_, err = b.JS.CreateStream(ctx, c)
		if err = b.existing(err); err != nil {
			return fmt.Errorf("make the stream %s: %w", c.Name, err)
		}
		made = true
	}
	if _, err := b.JS.ObjectStore(ctx, b.Bus.Bulk()); errors.Is(err, jetstream.ErrBucketNotFound) {
		_, err = b.JS.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: b.Bus.Bulk(), TTL: keepOutcomes, Replicas: b.replicas()})
		if err = b.existing(err); err != nil {
			return fmt.Errorf("make the store of bulk data: %w", err)
		}
		made = true
	} else if err != nil {
		return fmt.Errorf("look for the store of bulk data: %w", err)
	}
	if made {
		b.queue.Reoffer()
	}
	return nil
}

// existing drops the error of making what is there: the answer to an earlier try
// was lost.
func (b *Broker) existing(err error) error {
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || errors.Is(err, jetstream.ErrBucketExists) {
		return nil
	}
	if err != nil && b.replicas() > 1 {
		return fmt.Errorf("%w (with %d replicas; a cluster of fewer servers needs Workers.Replicas = 1)", err, b.replicas())
	}
	return err
}

// beats answers workers.
func (b *Broker) beats(ctx context.Context) error {
	sub, err := b.Conn.Subscribe(b.Bus.BeatSubject(), func(m *nats.Msg) {
		answer, err := json.Marshal(b.answer(ctx, m.Data))
		if err == nil {
			err = m.Respond(answer)
		}
		if err != nil {
			log.Debugf("a beat was not answered: %v", err) // the worker asks again
		}
	})
	if err != nil {
		return fmt.Errorf("listen to workers: %w", err)
	}
	<-ctx.Done()
	return sub.Unsubscribe()
}

func (b *Broker) answer(ctx context.Context, data []byte) bus.Answer {
	var beat worker.Beat
	if err := json.Unmarshal(data, &beat); err != nil || beat.Info.ID == "" {
		return bus.Answer{Error: "this is no beat of a worker; update the worker"}
	}
	o, err := b.queue.RemoteBeat(ctx, beat)
	if err != nil {
		return bus.Answer{Error: err.Error()}
	}
	return bus.Answer{Orders: o}
}

// giveOut publishes leases to their workers.
func (b *Broker) giveOut(ctx context.Context) error {
	for {
		id, t, err := b.queue.NextRemote(ctx)
		if err != nil {
			return err
		}
		for said := false; b.queue.InForce(id, t.Lease()); said = true {
			try, cancel := context.WithTimeout(ctx, startTimeout)
			err := b.Publish(try, b.Bus.TaskSubject(id), fmt.Sprintf("%s.%d", t.ID, t.Fence), bus.Message{Task: &t})
			cancel()
			if err == nil {
				break
			}
			if !said {
				log.Warnf("task %s does not get to its worker, it is tried again: %v", t.ID, err)
			}
			if err := b.clk.Sleep(ctx, worker.RetryPause); err != nil {
				return fmt.Errorf("wait: %w", err)
			}
			if err := b.makeStreams(ctx); err != nil {
				log.Debugf("%v", err) // keepStreams says it
			}
		}
	}
}

// bringIn takes outcomes from the stream to the queue.
func (b *Broker) bringIn(ctx context.Context) error {
	if err := b.makeStreams(ctx); err != nil {
		return err
	}
	open, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := b.JS.CreateOrUpdateConsumer(open, b.Bus.Outcomes(), jetstream.ConsumerConfig{Durable: "sealer", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Minute})
	if err != nil {
		return fmt.Errorf("open the stream of outcomes: %w", err)
	}
	return bus.Fetch(ctx, c, func(m jetstream.Msg) { b.receive(ctx, m) })
}

func (b *Broker) receive(ctx context.Context, m jetstream.Msg) {
	try, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	msg, err := b.Read(try, m.Data())
	switch {
	case errors.Is(err, bus.ErrMessage) || err == nil && msg.Outcome == nil:
		log.Errorf("a message on the stream of outcomes is dropped: %v", err)
		_ = m.Term()
		return
	case errors.Is(err, jetstream.ErrObjectNotFound):
		log.Warnf("an outcome without its bulk is dropped; its worker hands it in again: %v", err)
		_ = m.Term()
		return
	}
	if err == nil {
		err = b.queue.HandIn(try, *msg.Outcome)
	}
	if err == nil {
		err = fault.Point("broker/stored")
	}
	if err != nil { // the stream keeps it
		if ctx.Err() == nil {
			log.Warnf("an outcome cannot be stored, it is tried again: %v", err)
		}
		_ = m.NakWithDelay(worker.RetryPause)
		return
	}
	// Stored: only now may it leave the stream.
	if err := m.DoubleAck(try); err != nil {
		log.Debugf("an outcome comes once more: %v", err)
	}
	b.Discard(try, msg)
}

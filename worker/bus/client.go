package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	logging "github.com/ipfs/go-log/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/filecoin-venus/venus/worker"
)

var log = logging.Logger("worker/bus")

// Client is worker.Source over NATS.
type Client struct {
	Ends

	mu       sync.Mutex // guards what follows
	incoming *incoming  // nil when nobody listens
}

// incoming are the tasks that come; why is set when the channel is closed.
type incoming struct {
	tasks chan worker.Task
	why   error
}

var _ worker.Source = (*Client)(nil)

// NewClient makes the workers' end on an open connection.
func NewClient(conn *nats.Conn, name string) (*Client, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return &Client{Ends: Ends{Conn: conn, JS: js, Bus: Bus(name)}}, nil
}

// callTimeout bounds a call without a deadline of its own.
const callTimeout = 10 * time.Second

// Beat implements worker.Source.
func (c *Client) Beat(ctx context.Context, b worker.Beat) (worker.Orders, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	data, err := json.Marshal(b)
	if err != nil {
		return worker.Orders{}, fmt.Errorf("encode beat: %w", err)
	}
	m, err := c.Conn.RequestWithContext(ctx, c.Bus.BeatSubject(), data)
	if errors.Is(err, nats.ErrNoResponders) {
		return worker.Orders{}, fmt.Errorf("the sealer is away: %w", err)
	}
	if err != nil {
		if why := Trouble(c.Conn); why != nil {
			err = why
		}
		return worker.Orders{}, fmt.Errorf("ask the sealer: %w", err)
	}
	var a Answer
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return worker.Orders{}, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if a.Error != "" {
		return worker.Orders{}, fmt.Errorf("the sealer answered: %s", a.Error)
	}
	return a.Orders, nil
}

// consumerLife is how long NATS keeps the consumer of a worker that is gone.
const consumerLife = 10 * time.Minute

// Next implements worker.Source. A message is acknowledged once the worker has
// the task: from then on its beats hold the lease.
func (c *Client) Next(ctx context.Context, id string) (worker.Task, error) {
	c.mu.Lock()
	if c.incoming == nil {
		c.incoming = &incoming{tasks: make(chan worker.Task)}
		go c.listen(ctx, id, c.incoming)
	}
	in := c.incoming
	c.mu.Unlock()
	select {
	case t, ok := <-in.tasks:
		if ok {
			return t, nil
		}
		c.mu.Lock()
		c.incoming = nil // the next call listens anew
		c.mu.Unlock()
		return worker.Task{}, in.why
	case <-ctx.Done():
		return worker.Task{}, ctx.Err()
	}
}

// listen fetches tasks until ctx, that of the first Next, ends or the stream
// breaks off.
func (c *Client) listen(ctx context.Context, id string, in *incoming) {
	defer close(in.tasks)
	open, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cons, err := c.JS.CreateOrUpdateConsumer(open, c.Bus.Tasks(), jetstream.ConsumerConfig{
		Durable: "w-" + id, FilterSubject: c.Bus.TaskSubject(id), AckPolicy: jetstream.AckExplicitPolicy, AckWait: 10 * time.Second, InactiveThreshold: consumerLife,
	})
	if err == nil {
		err = Fetch(ctx, cons, func(m jetstream.Msg) { c.receive(ctx, m, in.tasks) })
	}
	in.why = fmt.Errorf("receive tasks: %w", err)
}

func (c *Client) receive(ctx context.Context, m jetstream.Msg, out chan<- worker.Task) {
	read, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	msg, err := c.Read(read, m.Data())
	switch {
	case errors.Is(err, ErrMessage) || err == nil && msg.Task == nil:
		log.Errorf("a message on the stream of tasks is dropped: %v", err)
		_ = m.Term()
		return
	case errors.Is(err, jetstream.ErrObjectNotFound): // it had the task before: only the acknowledgement got lost
		_ = m.Term()
		return
	case err != nil: // the lease runs out if it does not get better
		log.Warnf("a task cannot be read, it is tried again: %v", err)
		_ = m.NakWithDelay(worker.RetryPause)
		return
	}
	select {
	case out <- *msg.Task:
		_ = m.Ack() // if it is lost the task comes again, and is known
		c.Discard(read, msg)
	case <-ctx.Done(): // leaving: the sealer gives it to another
	}
}

// pathCalls is how many calls of a path are answered at once.
const pathCalls = 16

// ServePath answers what the sealer asks of a path, until the connection ends.
func (c *Client) ServePath(id string, answer func(request []byte) []byte) error {
	slots := make(chan struct{}, pathCalls)
	_, err := c.Conn.QueueSubscribe(c.Bus.PathSubject(id), "path", func(m *nats.Msg) {
		slots <- struct{}{}
		go func() {
			defer func() {
				<-slots
				if r := recover(); r != nil {
					log.Errorf("a call of path %s panicked: %v", id, r)
				}
			}()
			if err := m.Respond(answer(m.Data)); err != nil {
				log.Debugf("a call of path %s was not answered: %v", id, err) // the sealer asks again
			}
		}()
	})
	if err != nil {
		return fmt.Errorf("serve path %s: %w", id, err)
	}
	return nil
}

// HandIn implements worker.Source: nil says that NATS has the outcome on disk.
func (c *Client) HandIn(ctx context.Context, o worker.Outcome) error {
	id := fmt.Sprintf("%s.%d.%s", o.Lease.Task, o.Lease.Fence, o.Worker)
	return c.Publish(ctx, c.Bus.OutcomeSubject(), id, Message{Outcome: &o})
}

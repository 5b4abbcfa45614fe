// Package bus carries the workers' protocol over NATS: names of streams and
// subjects, the wire form, and the workers' end.
//
// Start at Connect and NewClient; sealer/broker is the sealer's end. Tasks go out
// and outcomes come back through JetStream streams with work-queue retention, so
// that neither end need be there at the moment the other speaks; beats are plain
// requests, worth nothing when late. What would not fit into a message goes
// through an object store beside the streams.
//
// Nothing in NATS is the truth: the sealer's database is. A stream that is lost
// is made again, and what it carried is offered and handed in again.
package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/filecoin-venus/venus/worker"
)

// Bus is the name of one sealer's streams and subjects.
type Bus string

// Tasks is the stream of tasks that were given out.
func (b Bus) Tasks() string { return "venus-" + string(b) + "-tasks" }

// Outcomes is the stream of what came of them.
func (b Bus) Outcomes() string { return "venus-" + string(b) + "-outcomes" }

// Bulk is the object store of what is too large for a message.
func (b Bus) Bulk() string { return "venus-" + string(b) + "-bulk" }

// TaskSubject is where a worker's tasks come; AllTasks matches all workers'.
func (b Bus) TaskSubject(worker string) string { return "venus." + string(b) + ".task." + worker }

// AllTasks matches every TaskSubject.
func (b Bus) AllTasks() string { return b.TaskSubject("*") }

// OutcomeSubject is where outcomes go.
func (b Bus) OutcomeSubject() string { return "venus." + string(b) + ".outcome" }

// BeatSubject is where beats are asked for an answer.
func (b Bus) BeatSubject() string { return "venus." + string(b) + ".beat" }

// PathSubject is where the worker that has a path is asked for what is in it.
func (b Bus) PathSubject(id string) string { return "venus." + string(b) + ".path." + id }

// inline is the most that travels in a message; the default limit of NATS is
// 1 MiB for everything, and JSON makes bytes a third longer.
const inline = 256 << 10

// publishTimeout is how long a message waits to be stored before it is sent again.
const publishTimeout = 4 * time.Second

// chunk is how much of bulk travels at once: each is synced to disk by itself.
const chunk = 512 << 10

// Message is a task or an outcome on its way, with the name of the object that
// holds its bulk: the task's Input or the result's Output.
type Message struct {
	Task    *worker.Task    `json:",omitempty"`
	Outcome *worker.Outcome `json:",omitempty"`
	Bulk    string          `json:",omitempty"`
}

// Answer is the answer to a beat.
type Answer struct {
	Orders worker.Orders
	Error  string `json:",omitempty"`
}

// Ends are the two ends' means: messages and bulk.
type Ends struct {
	Conn *nats.Conn
	JS   jetstream.JetStream
	Bus  Bus
}

// Publish sends a message durably. id names it: sent twice within two minutes, it
// arrives once.
func (e Ends) Publish(ctx context.Context, subject, id string, m Message) error {
	store := func(kind string, bulk *[]byte) error {
		if len(*bulk) <= inline {
			return nil
		}
		o, err := e.JS.ObjectStore(ctx, e.Bus.Bulk())
		if err != nil {
			return fmt.Errorf("open the store of bulk data: %w", err)
		}
		// A name of its own each time: what is sent again must not take away what is being read.
		m.Bulk = kind + "-" + id + "-" + nuid.Next()
		meta := jetstream.ObjectMeta{Name: m.Bulk, Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunk}}
		put, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		if _, err := o.Put(put, meta, bytes.NewReader(*bulk)); err != nil {
			return fmt.Errorf("store bulk data: %w", err)
		}
		*bulk = nil
		return nil
	}
	if m.Task != nil {
		t := *m.Task
		m.Task = &t
		if err := store("in", &t.Input); err != nil {
			return err
		}
	}
	if m.Outcome != nil {
		o := *m.Outcome
		m.Outcome = &o
		if err := store("out", &o.Result.Output); err != nil {
			return err
		}
	}
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	// An answer that got lost with a connection never comes: ask again soon, the id makes it harmless.
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if _, err := e.JS.Publish(ctx, subject, data, jetstream.WithMsgID(id)); err != nil {
		return fmt.Errorf("publish to %s: %w", subject, err)
	}
	return nil
}

// ErrMessage is returned for bytes that are no message of this protocol.
var ErrMessage = errors.New("not a message of this protocol")

// Decode reads a message that holds exactly a task or an outcome.
func Decode(data []byte) (Message, error) {
	var m Message
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if (m.Task == nil) == (m.Outcome == nil) {
		return m, fmt.Errorf("%w: want a task or an outcome", ErrMessage)
	}
	return m, nil
}

// Read decodes a message and fetches its bulk. The bulk that is gone is an error
// that wraps jetstream.ErrObjectNotFound: the message is then worth nothing.
func (e Ends) Read(ctx context.Context, data []byte) (Message, error) {
	m, err := Decode(data)
	if err != nil || m.Bulk == "" {
		return m, err
	}
	o, err := e.JS.ObjectStore(ctx, e.Bus.Bulk())
	if err != nil {
		return m, fmt.Errorf("open the store of bulk data: %w", err)
	}
	// A read that hangs holds up the messages behind it: it is given up and tried again.
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	bulk, err := o.GetBytes(ctx, m.Bulk)
	if err != nil {
		return m, fmt.Errorf("fetch bulk data: %w", err)
	}
	if m.Task != nil {
		m.Task.Input = bulk
	} else {
		m.Outcome.Result.Output = bulk
	}
	return m, nil
}

// Discard deletes the bulk of a message that was dealt with. What stays for want
// of an answer goes when the store's time is over.
func (e Ends) Discard(ctx context.Context, m Message) {
	if m.Bulk == "" {
		return
	}
	if o, err := e.JS.ObjectStore(ctx, e.Bus.Bulk()); err == nil {
		_ = o.Delete(ctx, m.Bulk)
	}
}

// Fetch waits for the next messages of a consumer and gives them to use, until
// ctx ends or something is wrong with the consumer.
func Fetch(ctx context.Context, c jetstream.Consumer, use func(jetstream.Msg)) error {
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, 10*time.Second)
		batch, err := c.Fetch(16, jetstream.FetchContext(wait))
		if err == nil {
			for m := range batch.Messages() {
				use(m)
			}
			err = batch.Error()
		}
		cancel()
		if err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout) {
			return fmt.Errorf("fetch messages: %w", err)
		}
	}
	return ctx.Err()
}

// Package task is the sealer's queue of proof work: it leases tasks to workers,
// built in or remote, and keeps results until the sector machine took them.
//
// Start at Queue.Ensure (a sector asks for work), Queue.TaskPull (a worker takes
// it) and Queue.Ended (the sealer takes results). Queue is the sealer's side of
// the protocol that package worker describes.
//
// Invariants: a task is known by (sector, kind, attempt), so asking twice for it
// is asking once; a result is stored before the worker is told so; after a
// restart the queue is what the database says, with a fresh term for every lease.
// The truth of what a sector needs is its record: a lost queue is rebuilt by
// asking again.
package task

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/worker"
)

// State is where a task stands.
type State string

// The states of a task.
const (
	Queued State = "queued"
	Leased State = "leased"
	Done   State = "done"
	Failed State = "failed"
)

// maxLosses is how many workers may lose a task before it counts as failed.
const maxLosses = 3

// Entry is a task with its fate so far.
type Entry struct {
	Task    worker.Task
	State   State
	Worker  string
	Host    string
	Fence   uint64
	Losses  int
	Created time.Time
	Started time.Time
	Result  worker.Result
	Reason  string

	until time.Time // the lease's end, while leased
}

// Store keeps tasks; the sealer's database does.
type Store interface {
	PutTask(ctx context.Context, r db.TaskRow) error
	Tasks(ctx context.Context, state string) ([]db.TaskRow, error)
	DropTask(ctx context.Context, id string) error
}

// Queue is safe for concurrent use.
type Queue struct {
	store Store
	clk   clock.Clock
	ttl   time.Duration

	mu      sync.Mutex // guards what follows, and orders the writes of one task
	tasks   map[string]*Entry
	workers map[string]seen
	changed chan struct{} // closed and renewed when a task may be pulled
	ended   chan struct{} // holds one signal when a task ended
}

type seen struct {
	info worker.Info
	at   time.Time
}

// New loads the queue. ttl is the term of a lease.
func New(ctx context.Context, s Store, clk clock.Clock, ttl time.Duration) (*Queue, error) {
	q := &Queue{
		store: s, clk: clk, ttl: ttl, tasks: map[string]*Entry{}, workers: map[string]seen{},
		changed: make(chan struct{}), ended: make(chan struct{}, 1),
	}
	rows, err := s.Tasks(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		var e Entry
		if err := json.Unmarshal(r.Body, &e); err != nil {
			return nil, fmt.Errorf("decode task %s: %w", r.ID, err)
		}
		e.until = clk.Now().Add(ttl)
		q.tasks[r.ID] = &e
		if e.State == Done || e.State == Failed {
			q.signal()
		}
	}
	return q, nil
}

// ID names a task.
func ID(id abi.SectorID, kind sector.TaskKind, attempt int) string {
	return fmt.Sprintf("t0%d-%d-%s-%d", id.Miner, id.Number, kind, attempt)
}

// priorities order the kinds, the most urgent lowest: what is nearer to the
// chain goes first (sealer-miner.md 4.2).
var priorities = map[sector.TaskKind]int{
	sector.TaskFinalize: -2, sector.TaskCommit1: 2, sector.TaskCommit2: 3,
	sector.TaskPreCommit2: 4, sector.TaskPreCommit1: 5, sector.TaskAddPiece: 6,
}

func (q *Queue) save(ctx context.Context, e *Entry) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode task %s: %w", e.Task.ID, err)
	}
	return q.store.PutTask(ctx, db.TaskRow{
		ID: e.Task.ID, State: string(e.State), Number: uint64(e.Task.Sector.Number), Priority: priorities[e.Task.Kind], Created: e.Created, Body: body,
	})
}

// Ensure queues a task unless it is known, and forgets older tasks of the same
// sector, whose results nobody awaits any more.
func (q *Queue) Ensure(ctx context.Context, t worker.Task) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, e := range q.tasks {
		if e.Task.Sector == t.Sector && id != t.ID {
			if err := q.store.DropTask(ctx, id); err != nil {
				return err
			}
			delete(q.tasks, id)
		}
	}
	if e, ok := q.tasks[t.ID]; ok {
		if e.State == Done || e.State == Failed {
			q.signal()
		}
		return nil
	}
	e := &Entry{Task: t, State: Queued, Created: q.clk.Now()}
	if err := q.save(ctx, e); err != nil {
		return err
	}
	q.tasks[t.ID] = e
	q.wake()
	return nil
}

// Forget drops a task whose result was taken.
func (q *Queue) Forget(ctx context.Context, id string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.store.DropTask(ctx, id); err != nil {
		return err
	}
	delete(q.tasks, id)
	return nil
}

// Wake returns a channel that holds a signal after tasks ended.
func (q *Queue) Wake() <-chan struct{} { return q.ended }

// Ended lists the tasks that are done or failed and not forgotten.
func (q *Queue) Ended() []Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []Entry
	for _, e := range q.tasks {
		if e.State == Done || e.State == Failed {
			out = append(out, *e)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Task.ID < out[j].Task.ID })
	return out
}

// Entries lists all tasks, oldest first.
func (q *Queue) Entries() []Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]Entry, 0, len(q.tasks))
	for _, e := range q.tasks {
		out = append(out, *e)
	}
	sort.Slice(out, func(i, j int) bool {
		if !out[i].Created.Equal(out[j].Created) {
			return out[i].Created.Before(out[j].Created)
		}
		return out[i].Task.ID < out[j].Task.ID
	})
	return out
}

// Bare is an entry without the bytes that only a prover understands.
func (e Entry) Bare() Entry {
	e.Task.Input, e.Task.Ticket, e.Task.Seed, e.Result.Output, e.Result.Proof = nil, nil, nil, nil, nil
	return e
}

// Worker is a worker that was heard of lately.
type Worker struct {
	Info     worker.Info
	LastSeen time.Time
	Tasks    []Entry
}

// Workers lists the workers heard of within three terms of a lease, by id.
func (q *Queue) Workers() []Worker {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []Worker
	for id, s := range q.workers {
		if q.clk.Now().Sub(s.at) > 3*q.ttl {
			delete(q.workers, id)
			continue
		}
		w := Worker{Info: s.info, LastSeen: s.at}
		for _, e := range q.tasks {
			if e.State == Leased && e.Worker == id {
				w.Tasks = append(w.Tasks, *e)
			}
		}
		out = append(out, w)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Info.ID < out[j].Info.ID })
	return out
}

// Abort fails a queued or leased task; its worker learns it at the next call.
func (q *Queue) Abort(ctx context.Context, id, reason string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, ok := q.tasks[id]
	if !ok || e.State == Done || e.State == Failed {
		return fmt.Errorf("task %s is not queued or running", id)
	}
	return q.end(ctx, e, func(n *Entry) { n.State, n.Reason = Failed, reason })
}

// end stores the end of a task, then shows it.
func (q *Queue) end(ctx context.Context, e *Entry, change func(*Entry)) error {
	n := *e
	change(&n)
	if err := q.save(ctx, &n); err != nil {
		return err
	}
	if err := fault.Point("sealer/result"); err != nil {
		return err
	}
	*e = n
	q.signal()
	return nil
}

// signal tells that a task ended. Callers hold mu, or own q.
func (q *Queue) signal() {
	select {
	case q.ended <- struct{}{}:
	default:
	}
}

// wake lets waiting pulls look again. Callers hold mu.
func (q *Queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// Package task is the sealer's queue of proof work: it gives tasks to workers,
// built in or remote, and keeps results until the sector machine took them.
//
// Start at Queue.Ensure (a sector asks for work), place (who does it), Queue.Beat
// and Queue.HandIn (workers), and Queue.Ended (the sealer takes results). Queue.Offer
// is for work that is no sector's. Queue is
// the sealer's side of the protocol that package worker describes; sealer/broker
// puts it on NATS.
//
// Invariants: a sector's task is known by (sector, kind, attempt), so asking twice for it
// is asking once; the database is the truth, and every change of a task is made
// there first, under the fence of its latest lease (failpoints task/queued,
// task/leased, sealer/result); after a restart the queue is what the database
// says, with a fresh term for every lease. The truth of what a sector needs is its
// record: a lost queue is rebuilt by asking again.
package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sort"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/worker"
)

var log = logging.Logger("sealer/task")

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
	Created time.Time
	Fate

	until   time.Time // the lease's end, while leased
	offered bool      // the lease was given to its worker by this process
	held    bool      // the worker told of the lease
	offer   *Offer    // of a task that is no sector's, and not stored
}

// Fate is what became of a task; it is stored beside it.
type Fate struct {
	Worker  string
	Host    string
	Losses  int
	Started time.Time
	Result  worker.Result
	Reason  string
	Full    bool `json:",omitempty"` // it failed for want of room
}

// Store keeps tasks; the sealer's database does.
type Store interface {
	AddTask(ctx context.Context, r db.TaskRow) error
	MoveTask(ctx context.Context, r db.TaskRow, from string, fence uint64) error
	Tasks(ctx context.Context) ([]db.TaskRow, error)
	DropTask(ctx context.Context, id string) error
	LoadJSON(ctx context.Context, name string, v any) error
	SaveJSON(ctx context.Context, name string, v any) error
}

// Queue is safe for concurrent use. Its exported fields are set before use.
type Queue struct {
	// Machine is whose cores and memory the proofs of Reserve take.
	Machine string
	// Needs tells what a task takes; nil is NeedOf with nothing overridden.
	Needs func(t worker.Task) sched.Need
	// Told, if set, is told of each lease that ended, and how.
	Told func(e Entry, result string)
	// Paths are the sealer's storage paths; nil leaves open who reaches what.
	Paths func() []worker.Path

	store Store
	clk   clock.Clock
	ttl   time.Duration

	mu       sync.Mutex // guards what follows, and orders the writes of one task
	tasks    map[string]*Entry
	workers  map[string]*member
	settings map[string]Settings // by the name of a worker
	reserved map[int]sched.Task  // proofs that this process makes now
	serial   int
	near     map[abi.SectorID]string                                // the machine that worked on a sector last
	refused  map[abi.SectorID]map[sector.TaskKind]map[string]string // why what a host made counts for nothing
	free     map[string]uint64                                      // room on paths
	deaf     bool                                                   // remote workers cannot be heard
	offers   chan struct{}                                          // closed and renewed when a lease waits for its worker
	ended    chan struct{}                                          // holds one signal when a task ended
}

// New loads the queue. ttl is the term of a lease.
func New(ctx context.Context, s Store, clk clock.Clock, ttl time.Duration) (*Queue, error) {
	q := &Queue{
		store: s, clk: clk, ttl: ttl, tasks: map[string]*Entry{}, workers: map[string]*member{}, settings: map[string]Settings{},
		reserved: map[int]sched.Task{}, near: map[abi.SectorID]string{}, refused: map[abi.SectorID]map[sector.TaskKind]map[string]string{}, free: map[string]uint64{},
		offers: make(chan struct{}), ended: make(chan struct{}, 1),
	}
	if err := s.LoadJSON(ctx, settingsName, &q.settings); err != nil {
		return nil, err
	}
	rows, err := s.Tasks(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		e, err := q.entry(r)
		if err != nil {
			return nil, err
		}
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

// entry reads a stored task. Its lease, if it has one, gets a fresh term.
func (q *Queue) entry(r db.TaskRow) (Entry, error) {
	e := Entry{State: State(r.State), Created: r.Created, until: q.clk.Now().Add(q.ttl), held: true}
	if err := json.Unmarshal(r.Task, &e.Task); err != nil {
		return e, fmt.Errorf("decode task %s: %w", r.ID, err)
	}
	if err := json.Unmarshal(r.Fate, &e.Fate); err != nil {
		return e, fmt.Errorf("decode the fate of task %s: %w", r.ID, err)
	}
	e.Task.Fence = r.Fence
	return e, nil
}

// row is an entry as stored.
func row(e *Entry) (db.TaskRow, error) {
	r := db.TaskRow{ID: e.Task.ID, State: string(e.State), Number: uint64(e.Task.Sector.Number), Created: e.Created, Fence: e.Task.Fence}
	var err error
	if r.Fate, err = json.Marshal(e.Fate); err != nil {
		return r, fmt.Errorf("encode the fate of task %s: %w", e.Task.ID, err)
	}
	return r, nil
}

// move stores a change of an entry, then shows it. The store refuses it if the
// stored task is not as this process believes.
func (q *Queue) move(ctx context.Context, e *Entry, point string, change func(*Entry)) error {
	n := *e
	change(&n)
	if e.offer != nil {
		*e = n
		e.offer.Changed()
		return nil
	}
	r, err := row(&n)
	if err != nil {
		return err
	}
	err = q.store.MoveTask(ctx, r, string(e.State), e.Task.Fence)
	if errors.Is(err, db.ErrFenced) {
		return errors.Join(err, q.reload(ctx, e))
	}
	if err != nil {
		return err
	}
	// Stored: only now may anybody act on it.
	if err := fault.Point(point); err != nil {
		return err
	}
	*e = n
	return nil
}

// reload reads an entry that is stored otherwise than believed: a change whose
// answer got lost was made after all.
func (q *Queue) reload(ctx context.Context, e *Entry) error {
	rows, err := q.store.Tasks(ctx)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.ID != e.Task.ID {
			continue
		}
		if *e, err = q.entry(r); err == nil && (e.State == Done || e.State == Failed) {
			q.signal()
		}
		return err
	}
	delete(q.tasks, e.Task.ID) // its sector asks again
	return nil
}

// Ensure queues a task unless it is known, and forgets older tasks of the same
// sector, whose results nobody awaits any more.
func (q *Queue) Ensure(ctx context.Context, t worker.Task) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, e := range q.tasks {
		if e.Task.Sector == t.Sector && id != t.ID {
			if err := q.drop(ctx, id); err != nil {
				return err
			}
		}
	}
	if e, ok := q.tasks[t.ID]; ok {
		if e.State == Done || e.State == Failed {
			q.signal()
		}
		return nil
	}
	if t.Kind == sector.TaskFinalize {
		delete(q.refused, t.Sector)
	}
	e := &Entry{Task: t, State: Queued, Created: q.clk.Now()}
	r, err := row(e)
	if err != nil {
		return err
	}
	if r.Task, err = json.Marshal(t); err != nil {
		return fmt.Errorf("encode task %s: %w", t.ID, err)
	}
	if err := q.store.AddTask(ctx, r); err != nil {
		return err
	}
	q.tasks[t.ID] = e
	if err := fault.Point("task/queued"); err != nil {
		return err
	}
	q.place(ctx)
	return nil
}

// Forget drops a task whose result was taken.
func (q *Queue) Forget(ctx context.Context, id string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := fault.Point("task/forget"); err != nil {
		return err
	}
	return q.drop(ctx, id)
}

func (q *Queue) drop(ctx context.Context, id string) error {
	if err := q.store.DropTask(ctx, id); err != nil {
		return err
	}
	delete(q.tasks, id)
	return nil
}

// Refuse tells that the outcome of an ended task was refused: until the sector is
// finalized, its work of that kind goes to other hosts, if there are any that
// could do it. A restart forgets it.
func (q *Queue) Refuse(e Entry, why string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kinds := q.refused[e.Task.Sector]
	if kinds == nil {
		kinds = map[sector.TaskKind]map[string]string{}
		q.refused[e.Task.Sector] = kinds
	}
	hosts := maps.Clone(kinds[e.Task.Kind]) // decisions may hold the other
	if hosts == nil {
		hosts = map[string]string{}
	}
	hosts[e.Host] = why
	kinds[e.Task.Kind] = hosts
	delete(q.near, e.Task.Sector)
}

// Wake returns a channel that holds a signal after tasks ended.
func (q *Queue) Wake() <-chan struct{} { return q.ended }

// Ended lists the sectors' tasks that are done or failed and not forgotten.
func (q *Queue) Ended() []Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []Entry
	for _, e := range q.tasks {
		if e.offer == nil && (e.State == Done || e.State == Failed) {
			out = append(out, *e)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Task.ID < out[j].Task.ID })
	return out
}

// Entries lists all tasks, oldest first, without the bytes that only a prover
// understands.
func (q *Queue) Entries() []Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]Entry, 0, len(q.tasks))
	for _, e := range q.tasks {
		out = append(out, e.bare())
	}
	sort.Slice(out, func(i, j int) bool {
		if !out[i].Created.Equal(out[j].Created) {
			return out[i].Created.Before(out[j].Created)
		}
		return out[i].Task.ID < out[j].Task.ID
	})
	return out
}

func (e Entry) bare() Entry {
	e.Task.Input, e.Task.Ticket, e.Task.Seed, e.Result.Output, e.Result.Proof = nil, nil, nil, nil, nil
	return e
}

// Abort fails a queued or leased task; its worker learns it at its next beat.
func (q *Queue) Abort(ctx context.Context, id, reason string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, ok := q.tasks[id]
	if !ok || e.State == Done || e.State == Failed {
		return fmt.Errorf("task %s is not queued or running", id)
	}
	return q.fail(ctx, e, reason, false)
}

func (q *Queue) fail(ctx context.Context, e *Entry, reason string, full bool) error {
	return q.end(ctx, e, func(n *Entry) { n.State, n.Reason, n.Full = Failed, reason, full })
}

// How a lease ends.
const (
	ResultDone   = "done"
	ResultFailed = "failed"
	ResultLost   = "lost"
	ResultBack   = "given_back"
)

func (q *Queue) tell(e Entry, result string) {
	if q.Told != nil {
		q.Told(e, result)
	}
}

// end ends a task, and gives what it leaves free to others.
func (q *Queue) end(ctx context.Context, e *Entry, change func(*Entry)) error {
	if err := q.move(ctx, e, "sealer/result", change); err != nil {
		return err
	}
	if e.State == Done {
		q.tell(*e, ResultDone)
	} else {
		q.tell(*e, ResultFailed)
	}
	q.signal()
	q.place(ctx)
	return nil
}

// signal tells that a task ended. Callers hold mu, or own q.
func (q *Queue) signal() {
	select {
	case q.ended <- struct{}{}:
	default:
	}
}

package task

import (
	"context"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/worker"
)

// The queue is the sealer's side of the workers' protocol.
var _ worker.Source = (*Queue)(nil)

// member is a worker that was heard of lately.
type member struct {
	info    worker.Info
	at      time.Time
	leaving bool
	remote  bool // its offers go over the broker
	// shunned is until when it gets nothing: it did not take what it was given.
	shunned time.Time
}

// Settings are an operator's wishes for all workers of a name.
type Settings struct {
	// Disabled workers finish what they have and get nothing new.
	Disabled bool `json:",omitempty"`
	// Without are kinds that they get no more tasks of.
	Without []sector.TaskKind `json:",omitempty"`
}

const settingsName = "worker-settings"

// Set changes the settings of the workers of a name, known or not yet.
func (q *Queue) Set(ctx context.Context, name string, s Settings) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := map[string]Settings{}
	for n, have := range q.settings {
		next[n] = have
	}
	next[name] = s
	if !s.Disabled && len(s.Without) == 0 {
		delete(next, name)
	}
	if err := q.store.SaveJSON(ctx, settingsName, next); err != nil {
		return err
	}
	q.settings = next
	q.place(ctx)
	return nil
}

// Get returns the settings of the workers of a name.
func (q *Queue) Get(name string) Settings {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.settings[name]
}

// Beat implements worker.Source for workers of this process.
func (q *Queue) Beat(ctx context.Context, b worker.Beat) (worker.Orders, error) {
	return q.hear(ctx, b, false)
}

// RemoteBeat is Beat for workers whose offers NextRemote gives out.
func (q *Queue) RemoteBeat(ctx context.Context, b worker.Beat) (worker.Orders, error) {
	return q.hear(ctx, b, true)
}

func (q *Queue) hear(ctx context.Context, b worker.Beat, remote bool) (worker.Orders, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	o := worker.Orders{Term: q.ttl}
	if q.Paths != nil {
		o.Paths = q.Paths()
	}
	now := q.clk.Now()
	holds := map[string]bool{}
	for _, l := range b.Holds {
		e, ok := q.tasks[l.Task]
		if !ok || e.State != Leased || e.Worker != b.Info.ID || e.Task.Fence != l.Fence {
			o.Over = append(o.Over, l)
			continue
		}
		e.until, e.held = now.Add(q.ttl), true
		holds[l.Task] = true
	}
	m := &member{info: b.Info, at: now, remote: remote, leaving: b.Leaving}
	if before := q.workers[b.Info.ID]; before != nil {
		m.shunned = before.shunned
	}
	if !b.Leaving {
		q.workers[b.Info.ID] = m
		q.place(ctx)
		return o, nil
	}
	// What it does not hold it will never do: it takes nothing new.
	for id, e := range q.tasks {
		if e.State == Leased && e.Worker == b.Info.ID && !holds[id] {
			if err := q.requeue(ctx, e, e.Losses); err != nil {
				return o, err
			}
		}
	}
	if len(holds) == 0 {
		delete(q.workers, b.Info.ID)
	} else {
		q.workers[b.Info.ID] = m
	}
	q.place(ctx)
	return o, nil
}

// Next implements worker.Source.
func (q *Queue) Next(ctx context.Context, id string) (worker.Task, error) {
	_, t, err := q.next(ctx, func(w string) bool { return w == id })
	return t, err
}

// NextRemote waits for a lease of a worker that RemoteBeat told of.
func (q *Queue) NextRemote(ctx context.Context) (id string, t worker.Task, err error) {
	return q.next(ctx, func(w string) bool { m := q.workers[w]; return m != nil && m.remote })
}

func (q *Queue) next(ctx context.Context, mine func(worker string) bool) (string, worker.Task, error) {
	for {
		q.mu.Lock()
		for _, e := range q.tasks {
			if e.State == Leased && !e.offered && mine(e.Worker) {
				e.offered = true
				id, t := e.Worker, e.Task
				q.mu.Unlock()
				return id, t, nil
			}
		}
		changed := q.offers
		q.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return "", worker.Task{}, ctx.Err()
		}
	}
}

// InForce tells whether a lease is what the queue believes in.
func (q *Queue) InForce(id string, l worker.Lease) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, ok := q.tasks[l.Task]
	return ok && e.State == Leased && e.Worker == id && e.Task.Fence == l.Fence
}

// Knows tells whether a task is asked for.
func (q *Queue) Knows(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.tasks[id] != nil
}

// Reoffer gives out the leases of remote workers again: what carries them was lost.
func (q *Queue) Reoffer() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.tasks {
		if m := q.workers[e.Worker]; e.State == Leased && m != nil && m.remote {
			e.offered = false
		}
	}
	q.wake()
}

// HandIn implements worker.Source.
func (q *Queue) HandIn(ctx context.Context, o worker.Outcome) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, ok := q.tasks[o.Lease.Task]
	if !ok || e.State != Leased || e.Worker != o.Worker || e.Task.Fence != o.Lease.Fence {
		return nil // over, or handed in before
	}
	switch {
	case o.Released:
		if err := q.requeue(ctx, e, e.Losses); err != nil {
			return err
		}
		q.place(ctx)
		return nil
	case o.Reason != "":
		return q.fail(ctx, e, o.Reason, o.Full)
	}
	if m := q.workers[e.Worker]; m != nil && e.offer == nil {
		q.near[e.Task.Sector] = machineOf(m.info)
	}
	return q.end(ctx, e, func(n *Entry) { n.State, n.Result = Done, o.Result })
}

func (q *Queue) requeue(ctx context.Context, e *Entry, losses int) error {
	before := *e
	err := q.move(ctx, e, "task/requeued", func(n *Entry) {
		n.State, n.Worker, n.Host, n.Losses, n.offered, n.held = Queued, "", "", losses, false, false
	})
	if err == nil && losses > before.Losses {
		q.tell(before, ResultLost)
	} else if err == nil {
		q.tell(before, ResultBack)
	}
	return err
}

// Deaf tells whether remote workers can be heard. While they cannot, their
// silence does not count; once they can, they have a fresh term.
func (q *Queue) Deaf(deaf bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.deaf && !deaf {
		for _, e := range q.tasks {
			e.until = q.clk.Now().Add(q.ttl)
		}
	}
	q.deaf = deaf
}

// shunFor is for how many terms a worker gets nothing that is alive and does not
// take what it is given: its way to the tasks is broken, others may do better.
const shunFor = 4

// Sweep takes tasks back from workers that gave no sign of life for a term, and
// places what waits: time alone may have made it possible.
func (q *Queue) Sweep(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clk.Now()
	for id, m := range q.workers {
		if now.Sub(m.at) > 3*q.ttl {
			delete(q.workers, id)
		}
	}
	for _, e := range q.tasks {
		if e.State != Leased || now.Before(e.until) || q.deaf && !strings.HasPrefix(e.Worker, BuiltIn) {
			continue
		}
		log.Warnw("a worker fell silent, its task goes to another", "task", e.Task.ID, "worker", e.Worker, "host", e.Host)
		losses := e.Losses
		if e.held {
			losses++
		} else if m := q.workers[e.Worker]; m != nil {
			m.shunned = now.Add(shunFor * q.ttl)
		}
		var err error
		if losses >= maxLosses {
			err = q.fail(ctx, e, "several workers in a row fell silent while they did this task, the last on "+e.Host, false)
		} else {
			err = q.requeue(ctx, e, losses)
		}
		if err != nil {
			return err
		}
	}
	q.place(ctx)
	return nil
}

// BuiltIn begins the names of the sealer's own executors.
const BuiltIn = "built-in-"

// Reclaim takes the tasks back that earlier runs of this process held: they died
// with it.
func (q *Queue) Reclaim(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.tasks {
		if e.State == Leased && strings.HasPrefix(e.Worker, BuiltIn) {
			if err := q.requeue(ctx, e, e.Losses); err != nil {
				return err
			}
		}
	}
	return nil
}

// Worker is a worker that was heard of lately.
type Worker struct {
	Info     worker.Info
	LastSeen time.Time
	Leaving  bool
	Silent   bool // for more than a term
	Remote   bool
	Settings Settings
	Tasks    []Entry
}

// Workers lists the workers heard of within three terms of a lease, by id.
func (q *Queue) Workers() []Worker {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []Worker
	for id, m := range q.workers {
		w := Worker{Info: m.info, LastSeen: m.at, Leaving: m.leaving, Remote: m.remote, Settings: q.settings[m.info.Hostname], Silent: q.clk.Now().Sub(m.at) >= q.ttl}
		for _, e := range q.tasks {
			if e.State == Leased && e.Worker == id {
				w.Tasks = append(w.Tasks, e.bare())
			}
		}
		slices.SortFunc(w.Tasks, func(a, b Entry) int { return strings.Compare(a.Task.ID, b.Task.ID) })
		out = append(out, w)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Info.ID < out[j].Info.ID })
	return out
}

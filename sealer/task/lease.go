package task

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/filecoin-venus/venus/worker"
)

// The queue is the sealer's side of the workers' protocol.
var _ worker.Source = (*Queue)(nil)

// TaskPull implements worker.Source.
func (q *Queue) TaskPull(ctx context.Context, w worker.Info, wait time.Duration) (*worker.Lease, error) {
	timer := q.clk.NewTimer(min(wait, worker.MaxWait))
	defer timer.Stop()
	for {
		q.mu.Lock()
		q.workers[w.ID] = seen{w, q.clk.Now()}
		l, err := q.lease(ctx, w)
		changed := q.changed
		q.mu.Unlock()
		if l != nil || err != nil || wait <= 0 {
			return l, err
		}
		select {
		case <-changed:
		case <-timer.C():
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// lease gives the most urgent, oldest task that the worker can do. Callers hold mu.
func (q *Queue) lease(ctx context.Context, w worker.Info) (*worker.Lease, error) {
	var best *Entry
	for _, e := range q.tasks {
		if e.State != Queued || !slices.Contains(w.Kinds, e.Task.Kind) {
			continue
		}
		if best == nil || before(e, best) {
			best = e
		}
	}
	if best == nil {
		return nil, nil
	}
	n := *best
	n.State, n.Worker, n.Host, n.Started = Leased, w.ID, w.Hostname, q.clk.Now()
	n.Fence++
	n.until = q.clk.Now().Add(q.ttl)
	if err := q.save(ctx, &n); err != nil {
		return nil, err
	}
	*best = n
	return &worker.Lease{Task: n.Task, Fence: n.Fence, TTL: q.ttl}, nil
}

func before(a, b *Entry) bool {
	if pa, pb := priorities[a.Task.Kind], priorities[b.Task.Kind]; pa != pb {
		return pa < pb
	}
	if !a.Created.Equal(b.Created) {
		return a.Created.Before(b.Created)
	}
	return a.Task.ID < b.Task.ID
}

// held finds a lease that is in force. Callers hold mu.
func (q *Queue) held(w, id string, fence uint64) (*Entry, error) {
	e, ok := q.tasks[id]
	if !ok || e.State != Leased || e.Worker != w || e.Fence != fence {
		return nil, worker.ErrLost
	}
	if s, ok := q.workers[w]; ok {
		q.workers[w] = seen{s.info, q.clk.Now()}
	}
	return e, nil
}

// TaskHeartbeat implements worker.Source.
func (q *Queue) TaskHeartbeat(_ context.Context, w, id string, fence uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, err := q.held(w, id, fence)
	if err != nil {
		return err
	}
	e.until = q.clk.Now().Add(q.ttl)
	return nil
}

// TaskComplete implements worker.Source. Completing a completed lease again is
// fine: the answer to the first call may have been lost.
func (q *Queue) TaskComplete(ctx context.Context, w, id string, fence uint64, res worker.Result) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e, ok := q.tasks[id]; ok && e.State == Done && e.Worker == w && e.Fence == fence {
		return nil
	}
	e, err := q.held(w, id, fence)
	if err != nil {
		return err
	}
	return q.end(ctx, e, func(n *Entry) { n.State, n.Result = Done, res })
}

// TaskFail implements worker.Source.
func (q *Queue) TaskFail(ctx context.Context, w, id string, fence uint64, reason string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, err := q.held(w, id, fence)
	if err != nil {
		return err
	}
	return q.end(ctx, e, func(n *Entry) { n.State, n.Reason = Failed, reason })
}

// TaskRelease implements worker.Source.
func (q *Queue) TaskRelease(ctx context.Context, w, id string, fence uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, err := q.held(w, id, fence)
	if err != nil {
		return err
	}
	return q.requeue(ctx, e, e.Losses)
}

func (q *Queue) requeue(ctx context.Context, e *Entry, losses int) error {
	n := *e
	n.State, n.Worker, n.Host, n.Losses = Queued, "", "", losses
	if err := q.save(ctx, &n); err != nil {
		return err
	}
	*e = n
	q.wake()
	return nil
}

// Sweep takes tasks back from workers that gave no sign of life for a term.
func (q *Queue) Sweep(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.tasks {
		if e.State != Leased || q.clk.Now().Before(e.until) {
			continue
		}
		var err error
		if e.Losses+1 >= maxLosses {
			err = q.end(ctx, e, func(n *Entry) {
				n.State, n.Reason = Failed, "several workers in a row fell silent while they did this task, the last on "+e.Host
			})
		} else {
			err = q.requeue(ctx, e, e.Losses+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Reclaim takes the tasks back that earlier runs of this process held, whose
// workers have names with this prefix: they died with it.
func (q *Queue) Reclaim(ctx context.Context, prefix string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.tasks {
		if e.State == Leased && strings.HasPrefix(e.Worker, prefix) {
			if err := q.requeue(ctx, e, e.Losses); err != nil {
				return err
			}
		}
	}
	return nil
}

package task

import (
	"context"
	"fmt"

	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/worker"
)

// Offer is a task that is no sector's, such as a window proof. It is kept in memory only: whoever asked for it asks again
// after a restart. Leases, beats and fences are those of all tasks.
type Offer struct {
	// Task has an id that no task had before, also before a restart: workers may still hold what is forgotten here.
	Task worker.Task
	// Refused are hosts that shall not do it, and why. Spared tells that whoever asks does it, if nobody else can.
	Refused map[string]string
	Spared  bool
	// Changed is called whenever the task goes on. It must not wait, nor ask the queue.
	Changed func()
}

// Offer queues a task if a worker that is here could do it, now or later. While remote workers cannot be heard nothing gets to
// them, and whoever offers has no time to wait for it.
func (q *Queue) Offer(ctx context.Context, o Offer) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	id := o.Task.ID
	if q.tasks[id] != nil {
		return false, fmt.Errorf("task %s is offered already", id)
	}
	if q.deaf {
		return false, nil
	}
	q.tasks[id] = &Entry{Task: o.Task, State: Queued, Created: q.clk.Now(), offer: &o}
	if !sched.Able(q.world(), id) {
		delete(q.tasks, id)
		return false, nil
	}
	q.place(ctx)
	return true, nil
}

// Offered tells how an offered task fares; false if it was withdrawn.
func (q *Queue) Offered(id string) (Entry, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, ok := q.tasks[id]
	if !ok || e.offer == nil {
		return Entry{}, false
	}
	return *e, true
}

// Withdraw takes an offered task back, if idle only while no worker has it; its worker learns it at its next beat.
func (q *Queue) Withdraw(ctx context.Context, id string, idle bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, ok := q.tasks[id]
	if !ok || e.offer == nil || idle && e.State != Queued {
		return false
	}
	delete(q.tasks, id)
	if e.State == Leased {
		q.tell(*e, ResultBack)
	}
	q.place(ctx)
	return true
}

package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/internal/clock"
)

var log = logging.Logger("worker")

// Prover does the work of one task. It stops early when ctx ends.
type Prover interface {
	Run(ctx context.Context, t Task) (Result, error)
}

// Executor pulls tasks and runs them, Info.Slots at a time.
type Executor struct {
	Source Source
	Prover Prover
	Info   Info
	Clock  clock.Clock
	// PullWait is how long one pull may hang, 0 = MaxWait.
	PullWait time.Duration
	// OnTask, if set, is told when a task begins (done false) and ends.
	OnTask func(t Task, done bool, err error)
}

// RetryPause is the pause after a call to the source failed.
const RetryPause = time.Second

// Run works until pull ends, then lets the running tasks finish and returns.
// When abort ends, running tasks are given back undone.
func (e *Executor) Run(pull, abort context.Context) {
	if e.PullWait == 0 {
		e.PullWait = MaxWait
	}
	var wg sync.WaitGroup
	for range max(e.Info.Slots, 1) {
		wg.Go(func() { e.slot(pull, abort) })
	}
	wg.Wait()
}

func (e *Executor) slot(pull, abort context.Context) {
	for pull.Err() == nil && abort.Err() == nil {
		lease, err := e.Source.TaskPull(pull, e.Info, e.PullWait)
		if err != nil {
			if pull.Err() == nil {
				log.Warnf("cannot ask the sealer for work: %v", err)
			}
			_ = e.Clock.Sleep(pull, RetryPause) // the loop looks at pull
			continue
		}
		if lease != nil {
			e.work(abort, lease)
		}
	}
}

// work runs one lease to its end and hands the outcome in.
func (e *Executor) work(abort context.Context, l *Lease) {
	ctx, cancel := context.WithCancelCause(abort)
	defer cancel(nil)
	beat := make(chan struct{})
	go func() {
		defer close(beat)
		e.keepAlive(ctx, cancel, l)
	}()
	if e.OnTask != nil {
		e.OnTask(l.Task, false, nil)
	}
	start := e.Clock.Now()
	res, err := e.run(ctx, l.Task)
	if err == nil {
		log.Infow("task done", "task", l.Task.Kind, "sector", l.Task.Sector.Number, "took", e.Clock.Now().Sub(start))
	}
	if e.OnTask != nil {
		e.OnTask(l.Task, true, err)
	}
	switch {
	case errors.Is(context.Cause(ctx), errLeaseOver):
		log.Warnw("lease lost while working", "task", l.Task.ID)
	case err != nil && abort.Err() != nil:
		e.handIn(abort, l, "give back", func(ctx context.Context) error {
			return e.Source.TaskRelease(ctx, e.Info.ID, l.Task.ID, l.Fence)
		})
	case err != nil:
		log.Warnw("task failed", "task", l.Task.Kind, "sector", l.Task.Sector.Number, "err", err)
		e.handIn(abort, l, "report failure of", func(ctx context.Context) error {
			return e.Source.TaskFail(ctx, e.Info.ID, l.Task.ID, l.Fence, err.Error())
		})
	default:
		e.handIn(abort, l, "hand in", func(ctx context.Context) error {
			return e.Source.TaskComplete(ctx, e.Info.ID, l.Task.ID, l.Fence, res)
		})
	}
	cancel(nil)
	<-beat
}

// run turns a panic of the prover into an error of the task.
func (e *Executor) run(ctx context.Context, t Task) (res Result, err error) {
	defer func() {
		if r := recover(); r != nil {
			log.Errorf("task %s panicked: %v\n%s", t.ID, r, debug.Stack())
			err = fmt.Errorf("the prover panicked: %v", r)
		}
	}()
	return e.Prover.Run(ctx, t)
}

var errLeaseOver = errors.New("lease over")

func (e *Executor) keepAlive(ctx context.Context, cancel context.CancelCauseFunc, l *Lease) {
	for {
		if e.Clock.Sleep(ctx, l.TTL/3) != nil {
			return
		}
		err := e.Source.TaskHeartbeat(ctx, e.Info.ID, l.Task.ID, l.Fence)
		if Lost(err) {
			cancel(errLeaseOver)
			return
		}
		if err != nil && ctx.Err() == nil {
			log.Warnf("cannot renew the lease of %s: %v", l.Task.ID, err)
		}
	}
}

// handIn repeats a call until the sealer took it, or says that the lease is over,
// or the worker must stop; then it tries one last time.
func (e *Executor) handIn(abort context.Context, l *Lease, what string, call func(context.Context) error) {
	for {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(abort), time.Minute)
		err := call(ctx)
		cancel()
		if err == nil || Lost(err) {
			return
		}
		log.Warnf("cannot %s task %s: %v", what, l.Task.ID, err)
		if abort.Err() != nil || e.Clock.Sleep(abort, RetryPause) != nil {
			return // the lease runs out by itself
		}
	}
}

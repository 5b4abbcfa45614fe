package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
)

var log = logging.Logger("worker")

// Prover does the work of one task. It stops early when ctx ends.
type Prover interface {
	Run(ctx context.Context, t Task) (Result, error)
}

// Executor runs the tasks that a sealer gives to it.
type Executor struct {
	Source Source
	Prover Prover
	Info   Info
	Clock  clock.Clock
	// Own are the sealing paths that only this machine reaches.
	Own []Path
	// OnTask, if set, is told when a task begins (done false) and ends.
	OnTask func(t Task, done bool, err error)

	mu      sync.Mutex // guards what follows
	jobs    map[Lease]*job
	leaving bool
	paths   []Path
	reaches []string
	// detached are own paths that the sealer does not want.
	detached []string
	kick     chan struct{} // holds a signal when a beat is due at once
}

// job is a lease that this worker holds.
type job struct {
	task    Task
	cancel  context.CancelCauseFunc
	outcome *Outcome  // nil while it runs
	handed  time.Time // when the outcome was handed in, zero while it is not
}

// RetryPause is the pause after a call to the source failed.
const RetryPause = time.Second

// handInAgain is after how many terms a lease that should be over counts as not
// handed in: the outcome was lost on its way.
const handInAgain = 2

var (
	errLeaseOver = errors.New("the lease is over")
	errGiveBack  = errors.New("the worker gives its tasks back")
)

// Run works until pull ends, then lets the running tasks finish and returns.
// When abort ends, running tasks are given back undone.
func (e *Executor) Run(pull, abort context.Context) {
	e.mu.Lock()
	e.jobs, e.kick, e.leaving = map[Lease]*job{}, make(chan struct{}, 1), false
	e.mu.Unlock()
	beats, stop := context.WithCancel(context.WithoutCancel(abort))
	var beating, taking sync.WaitGroup
	beating.Go(func() { e.beat(beats) })
	next, end := context.WithCancel(pull)
	defer context.AfterFunc(abort, end)()
	var running sync.WaitGroup
	taking.Go(func() { e.take(next, abort, &running) })
	taking.Wait() // nothing new is taken from here on
	end()
	e.mu.Lock()
	e.leaving = true
	e.mu.Unlock()
	e.Kick()
	running.Wait()
	stop()
	beating.Wait()
	e.farewell(abort)
}

// farewell tells the sealer at once that nobody works here any more; if it does
// not hear, silence tells it later.
func (e *Executor) farewell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := e.Source.Beat(ctx, Beat{Info: e.info(), Leaving: true}); err != nil {
		log.Infof("the sealer did not hear the farewell: %v", err)
	}
}

func (e *Executor) take(ctx, abort context.Context, running *sync.WaitGroup) {
	said := ""
	for ctx.Err() == nil {
		t, err := e.Source.Next(ctx, e.Info.ID)
		if err != nil {
			sayOnce(ctx, &said, "no tasks come, it is tried every second: %v", err)
			_ = e.Clock.Sleep(ctx, RetryPause) // the loop looks at ctx
			continue
		}
		said = ""
		t = t.In(e.Own)
		work, cancel := context.WithCancelCause(context.WithoutCancel(abort))
		j := &job{task: t, cancel: cancel}
		if !e.hold(j) {
			cancel(nil)
			continue
		}
		stop := context.AfterFunc(abort, func() { cancel(errGiveBack) })
		running.Go(func() {
			defer stop()
			e.work(work, abort, j)
		})
	}
}

// hold notes a new lease. One that is held already was given twice.
func (e *Executor) hold(j *job) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.jobs[j.task.Lease()]; ok {
		return false
	}
	e.jobs[j.task.Lease()] = j
	return true
}

func (e *Executor) drop(l Lease) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.jobs, l)
}

// work runs one lease to its end and hands the outcome in.
func (e *Executor) work(ctx, abort context.Context, j *job) {
	defer j.cancel(nil)
	e.Kick()
	if e.OnTask != nil {
		e.OnTask(j.task, false, nil)
	}
	start := e.Clock.Now()
	res, err := e.run(ctx, j.task)
	if err == nil {
		err = fault.Point("worker/done")
	}
	if e.OnTask != nil {
		e.OnTask(j.task, true, err)
	}
	o := Outcome{Worker: e.Info.ID, Lease: j.task.Lease(), Result: res}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errLeaseOver):
		log.Warnw("lease lost while working", "task", j.task.ID)
		e.drop(o.Lease)
		return
	case err != nil && cause != nil:
		o.Result, o.Released = Result{}, true
	case err != nil:
		log.Warnw("task failed", "task", j.task.ID, "err", err)
		o.Result, o.Reason, o.Full = Result{}, err.Error(), NoRoom(err)
	default:
		log.Infow("task done", "task", j.task.ID, "took", e.Clock.Now().Sub(start))
	}
	e.mu.Lock()
	j.outcome = &o
	e.mu.Unlock()
	e.handIn(ctx, abort, j)
	e.Kick()
}

// NoRoom tells whether an error says that a disk, or somebody's share of it, is full.
func NoRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

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

// handIn repeats until the outcome is stored or the lease is over. A worker that
// must stop tries one last time.
func (e *Executor) handIn(ctx, abort context.Context, j *job) {
	said, o := "", *j.outcome
	for {
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		err := e.Source.HandIn(try, o)
		cancel()
		if err == nil {
			e.mu.Lock()
			j.handed = e.Clock.Now()
			e.mu.Unlock()
		}
		if err == nil || errors.Is(context.Cause(ctx), errLeaseOver) {
			return
		}
		sayOnce(ctx, &said, "the outcome of task "+o.Lease.Task+" cannot be handed in, it is tried every second: %v", err)
		if abort.Err() != nil || e.Clock.Sleep(abort, RetryPause) != nil {
			return // silence gives the task to another worker
		}
	}
}

// sayOnce logs trouble that may last for hours once per text.
func sayOnce(ctx context.Context, said *string, format string, err error) {
	if ctx.Err() == nil && *said != err.Error() {
		*said = err.Error()
		log.Warnf(format, err)
	}
}

// Kick makes the next beat due at once.
func (e *Executor) Kick() {
	e.mu.Lock()
	kick := e.kick // nil before Run
	e.mu.Unlock()
	select {
	case kick <- struct{}{}:
	default:
	}
}

// beat tells the sealer of this worker until ctx ends.
func (e *Executor) beat(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		pause := RetryPause
		orders, err := e.Source.Beat(ctx, e.tell())
		if err != nil {
			sayOnce(ctx, &said, "the sealer does not hear this worker, it goes on with what it has: %v", err)
		} else {
			pause, said = orders.Term/3, ""
			e.obey(ctx, orders)
		}
		timer := e.Clock.NewTimer(pause)
		select {
		case <-e.kick:
		case <-timer.C():
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (e *Executor) info() Info {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := e.Info
	for _, h := range e.Own {
		i.Own = append(i.Own, h.ID)
	}
	i.Reaches = slices.Clone(e.reaches)
	return i
}

func (e *Executor) tell() Beat {
	b := Beat{Info: e.info()}
	e.mu.Lock()
	defer e.mu.Unlock()
	b.Leaving = e.leaving
	for l := range e.jobs {
		b.Holds = append(b.Holds, l)
	}
	return b
}

// obey ends the leases that are over, and hands in again what got lost.
func (e *Executor) obey(ctx context.Context, o Orders) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range o.Over {
		j, ok := e.jobs[l]
		if !ok {
			continue
		}
		j.cancel(errLeaseOver)
		if j.outcome != nil {
			delete(e.jobs, l)
		}
	}
	for _, j := range e.jobs {
		if !j.handed.IsZero() && e.Clock.Now().Sub(j.handed) >= handInAgain*o.Term {
			j.handed = time.Time{} // one at a time
			go e.handIn(ctx, ctx, j)
		}
	}
	if !slices.Equal(o.Detached, e.detached) {
		for _, id := range o.Detached {
			if !slices.Contains(e.detached, id) {
				log.Warnf("the sealer's operator detached this worker's path %s%s: nothing is sealed in it until 'venus-sealer storage attach %s%s'", OwnPrefix, id, OwnPrefix, id)
			}
		}
		e.detached = o.Detached
	}
	if !slices.Equal(o.Paths, e.paths) {
		e.paths = o.Paths
		go e.look(o.Paths) // a dead network file system may hold this up
	}
}

// look finds out which of the sealer's paths lie here: those whose folder says so.
func (e *Executor) look(paths []Path) {
	var found []string
	for _, p := range paths {
		if slices.ContainsFunc(e.Own, func(o Path) bool { return p.Dir == OwnPrefix+o.ID }) {
			found = append(found, p.Dir)
			continue
		}
		if meta, err := os.ReadFile(filepath.Join(p.Dir, PathFile)); err == nil && describes(meta, p.ID) {
			found = append(found, p.Dir)
		}
	}
	e.mu.Lock()
	changed := !slices.Equal(found, e.reaches)
	e.reaches = found
	e.mu.Unlock()
	if changed {
		log.Infof("this worker reaches %d of the sealer's %d storage paths", len(found), len(paths))
		e.Kick()
	}
}

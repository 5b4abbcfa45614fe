package task

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/worker"
)

const ttl = 30 * time.Second

type rig struct {
	t     *testing.T
	clk   *clock.Sim
	store *db.DB
	q     *Queue
}

func newRig(t *testing.T) *rig {
	store, err := db.Open(t.Context(), db.Config{Path: filepath.Join(t.TempDir(), "db")})
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	r := &rig{t: t, clk: clock.NewSim(time.Unix(1e9, 0)), store: store}
	r.restart()
	return r
}

func (r *rig) restart() {
	q, err := New(r.t.Context(), r.store, r.clk, ttl)
	require.NoError(r.t, err)
	r.q = q
}

func (r *rig) ensure(n abi.SectorNumber, kind sector.TaskKind, attempt int) string {
	id := abi.SectorID{Miner: 1000, Number: n}
	t := worker.Task{ID: ID(id, kind, attempt), Sector: id, Kind: kind, Attempt: attempt, Ticket: []byte{1}}
	require.NoError(r.t, r.q.Ensure(r.t.Context(), t))
	return t.ID
}

func info(id string) worker.Info {
	return worker.Info{ID: id, Hostname: "host-" + id, Kinds: sector.TaskKinds()}
}

func (r *rig) pull(w string) *worker.Lease {
	l, err := r.q.TaskPull(r.t.Context(), info(w), 0)
	require.NoError(r.t, err)
	return l
}

func TestOrderAndIdentity(t *testing.T) {
	r := newRig(t)
	r.ensure(1, sector.TaskPreCommit1, 1)
	r.ensure(1, sector.TaskPreCommit1, 1)
	r.clk.Advance(time.Second)
	r.ensure(2, sector.TaskPreCommit1, 1)
	r.ensure(3, sector.TaskCommit2, 1)
	var got []string
	for l := r.pull("w"); l != nil; l = r.pull("w") {
		got = append(got, l.Task.ID)
	}
	require.Equal(t, []string{"t01000-3-C2-1", "t01000-1-PC1-1", "t01000-2-PC1-1"}, got)
	only, err := r.q.TaskPull(t.Context(), worker.Info{ID: "x", Kinds: []sector.TaskKind{sector.TaskAddPiece}}, 0)
	require.NoError(t, err)
	require.Nil(t, only)
	require.Len(t, r.q.Workers(), 2)
}

func TestFencing(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	id := r.ensure(1, sector.TaskPreCommit1, 1)
	a := r.pull("a")
	r.clk.Advance(ttl - 1)
	require.NoError(t, r.q.TaskHeartbeat(ctx, "a", id, a.Fence))
	r.clk.Advance(ttl - 1)
	require.NoError(t, r.q.Sweep(ctx))
	require.Nil(t, r.pull("b"), "the lease was renewed")
	r.clk.Advance(1)
	require.NoError(t, r.q.Sweep(ctx))
	b := r.pull("b")
	require.Greater(t, b.Fence, a.Fence)
	for _, err := range []error{
		r.q.TaskHeartbeat(ctx, "a", id, a.Fence), r.q.TaskComplete(ctx, "a", id, a.Fence, worker.Result{}),
		r.q.TaskFail(ctx, "a", id, a.Fence, "x"), r.q.TaskRelease(ctx, "a", id, a.Fence), r.q.TaskComplete(ctx, "b", id, a.Fence, worker.Result{}),
	} {
		require.True(t, worker.Lost(err))
	}
	require.NoError(t, r.q.TaskComplete(ctx, "b", id, b.Fence, worker.Result{Output: []byte{7}}))
	require.NoError(t, r.q.TaskComplete(ctx, "b", id, b.Fence, worker.Result{Output: []byte{7}}), "a repeated answer")
	require.Equal(t, []byte{7}, r.q.Ended()[0].Result.Output)
}

func TestRestartKeepsLeasesAndResults(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	one, two := r.ensure(1, sector.TaskPreCommit1, 1), r.ensure(2, sector.TaskPreCommit1, 1)
	a, b := r.pull("a"), r.pull("b")
	require.NoError(t, r.q.TaskComplete(ctx, "a", one, a.Fence, worker.Result{Output: []byte{7}}))
	r.clk.Advance(10 * ttl)
	r.restart()
	require.NoError(t, r.q.Sweep(ctx))
	require.NoError(t, r.q.TaskHeartbeat(ctx, "b", two, b.Fence), "a fresh term after a restart")
	<-r.q.Wake()
	require.Len(t, r.q.Ended(), 1)
	require.NoError(t, r.q.Forget(ctx, one))
	r.restart()
	require.Empty(t, r.q.Ended())
	require.NoError(t, r.q.TaskRelease(ctx, "b", two, b.Fence))
	require.Equal(t, two, r.pull("c").Task.ID)
}

func TestResultIsStoredBeforeTheAnswer(t *testing.T) {
	r := newRig(t)
	id := r.ensure(1, sector.TaskPreCommit1, 1)
	a := r.pull("a")
	disarm := fault.Arm("sealer/result", func() error { return fault.ErrInjected })
	require.ErrorIs(t, r.q.TaskComplete(t.Context(), "a", id, a.Fence, worker.Result{Output: []byte{7}}), fault.ErrInjected)
	disarm()
	r.restart() // the answer was lost, the result was not
	require.Equal(t, Done, r.q.Ended()[0].State)
	require.NoError(t, r.q.TaskComplete(t.Context(), "a", id, a.Fence, worker.Result{Output: []byte{7}}))
}

func TestReclaim(t *testing.T) {
	r := newRig(t)
	one, two := r.ensure(1, sector.TaskPreCommit1, 1), r.ensure(2, sector.TaskPreCommit1, 1)
	a, b := r.pull("built-in-1"), r.pull("remote")
	require.NoError(t, r.q.Reclaim(t.Context(), "built-in-"))
	require.True(t, worker.Lost(r.q.TaskHeartbeat(t.Context(), "built-in-1", one, a.Fence)))
	require.NoError(t, r.q.TaskHeartbeat(t.Context(), "remote", two, b.Fence))
	require.Equal(t, one, r.pull("built-in-2").Task.ID)
}

func TestNewAttemptDropsOld(t *testing.T) {
	r := newRig(t)
	id := r.ensure(1, sector.TaskPreCommit1, 1)
	a := r.pull("a")
	r.ensure(1, sector.TaskPreCommit1, 2)
	require.True(t, worker.Lost(r.q.TaskComplete(t.Context(), "a", id, a.Fence, worker.Result{})))
	require.Equal(t, 2, r.pull("a").Task.Attempt)
}

func TestSilentWorkersFailATask(t *testing.T) {
	r := newRig(t)
	r.ensure(1, sector.TaskPreCommit1, 1)
	for i := range maxLosses {
		require.NotNil(t, r.pull(fmt.Sprint(i)))
		r.clk.Advance(ttl)
		require.NoError(t, r.q.Sweep(t.Context()))
	}
	require.Equal(t, Failed, r.q.Ended()[0].State)
	require.NoError(t, r.q.Forget(t.Context(), r.q.Ended()[0].Task.ID))
	id := r.ensure(1, sector.TaskPreCommit1, 2)
	require.NoError(t, r.q.Abort(t.Context(), id, "operator"))
	require.Error(t, r.q.Abort(t.Context(), id, "operator"))
}

// slowProver lets the test decide when work ends.
type slowProver struct {
	mu    sync.Mutex
	runs  map[string]int
	fails int
	hold  chan struct{}
}

func (p *slowProver) Run(ctx context.Context, t worker.Task) (worker.Result, error) {
	p.mu.Lock()
	p.runs[t.ID]++
	fail := p.fails > 0
	if fail {
		p.fails--
	}
	p.mu.Unlock()
	if p.hold != nil {
		select {
		case <-p.hold:
		case <-ctx.Done():
			return worker.Result{}, ctx.Err()
		}
	}
	if fail {
		panic("boom")
	}
	return worker.Result{Output: []byte(t.ID)}, nil
}

// TestExecutors runs real executors against the queue until all is done.
func TestExecutors(t *testing.T) {
	r := newRig(t)
	p := &slowProver{runs: map[string]int{}, fails: 1}
	pull, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 3 {
		e := &worker.Executor{Source: r.q, Prover: p, Info: info(fmt.Sprint("w", i)), Clock: r.clk}
		e.Info.Slots = 2
		wg.Go(func() { e.Run(pull, t.Context()) })
	}
	const n = 20
	for i := range n {
		r.ensure(abi.SectorNumber(i), sector.TaskPreCommit1, 1)
	}
	done, failed := 0, 0
	for done+failed < n {
		<-r.q.Wake()
		for _, e := range r.q.Ended() {
			if e.State == Failed {
				require.Contains(t, e.Reason, "panicked")
				failed++
			} else {
				require.Equal(t, e.Task.ID, string(e.Result.Output))
				done++
			}
			require.NoError(t, r.q.Forget(t.Context(), e.Task.ID))
		}
	}
	require.Equal(t, 1, failed)
	stop()
	wg.Wait()
	require.Len(t, p.runs, n)
}

// TestAbortGivesBack ends an executor in the middle of a task: the task is
// queued again at once, and a drain lets it finish instead.
func TestAbortGivesBack(t *testing.T) {
	r := newRig(t)
	p := &slowProver{runs: map[string]int{}, hold: make(chan struct{})}
	abort, kill := context.WithCancel(t.Context())
	e := &worker.Executor{Source: r.q, Prover: p, Info: info("a"), Clock: r.clk, PullWait: time.Second}
	started := make(chan struct{}, 1)
	e.OnTask = func(_ worker.Task, done bool, _ error) {
		if !done {
			started <- struct{}{}
		}
	}
	id := r.ensure(1, sector.TaskPreCommit1, 1)
	ended := make(chan struct{})
	go func() { e.Run(t.Context(), abort); close(ended) }()
	<-started
	kill()
	<-ended
	l := r.pull("b")
	require.Equal(t, id, l.Task.ID)
	require.NoError(t, r.q.TaskRelease(t.Context(), "b", id, l.Fence))

	pull, drain := context.WithCancel(t.Context())
	ended = make(chan struct{})
	go func() { e.Run(pull, t.Context()); close(ended) }()
	<-started
	drain()
	close(p.hold)
	<-ended
	require.Equal(t, Done, r.q.Ended()[0].State)
}

// TestLostLeaseStopsWork lets a lease run out under a working executor.
func TestLostLeaseStopsWork(t *testing.T) {
	r := newRig(t)
	p := &slowProver{runs: map[string]int{}, hold: make(chan struct{})}
	ended := make(chan error, 1)
	e := &worker.Executor{Source: r.q, Prover: p, Info: info("a"), Clock: r.clk, PullWait: time.Hour}
	started := make(chan struct{}, 1)
	e.OnTask = func(_ worker.Task, done bool, err error) {
		if done {
			ended <- err
		} else {
			started <- struct{}{}
		}
	}
	id := r.ensure(1, sector.TaskPreCommit1, 1)
	pull, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { e.Run(pull, t.Context()) })
	<-started
	require.NoError(t, r.clk.WaitFor(t.Context(), 1))
	require.NoError(t, r.q.Abort(t.Context(), id, "operator"))
	r.clk.Advance(ttl / 3)
	require.True(t, errors.Is(<-ended, context.Canceled))
	stop()
	wg.Wait()
}

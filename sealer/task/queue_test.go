package task

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/proofs/machine"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sched"
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

func taskOf(n abi.SectorNumber, kind sector.TaskKind, attempt int) worker.Task {
	id := abi.SectorID{Miner: 1000, Number: n}
	return worker.Task{ID: ID(id, kind, attempt), Sector: id, Kind: kind, Attempt: attempt, Ticket: []byte{1}, SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1}
}

func (r *rig) ensure(n abi.SectorNumber, kind sector.TaskKind, attempt int) string {
	t := taskOf(n, kind, attempt)
	require.NoError(r.t, r.q.Ensure(r.t.Context(), t))
	return t.ID
}

func info(id string) worker.Info {
	return worker.Info{ID: id, Hostname: "host-" + id, Kinds: sector.TaskKinds()}
}

// beat tells of a worker that holds leases.
func (r *rig) beat(w string, holds ...worker.Lease) worker.Orders {
	o, err := r.q.Beat(r.t.Context(), worker.Beat{Info: info(w), Holds: holds})
	require.NoError(r.t, err)
	return o
}

// given is the task that a worker was given and does not know of yet.
func (r *rig) given(w string) *worker.Task {
	ctx, cancel := context.WithCancel(r.t.Context())
	cancel()
	t, err := r.q.Next(ctx, w)
	if err != nil {
		return nil
	}
	return &t
}

func (r *rig) take(w string) worker.Lease {
	t := r.given(w)
	require.NotNil(r.t, t)
	return t.Lease()
}

func (r *rig) handIn(w string, l worker.Lease, output byte) error {
	return r.q.HandIn(r.t.Context(), worker.Outcome{Worker: w, Lease: l, Result: worker.Result{Output: []byte{output}}})
}

func TestOrderAndIdentity(t *testing.T) {
	r := newRig(t)
	r.ensure(1, sector.TaskPreCommit1, 1)
	r.ensure(1, sector.TaskPreCommit1, 1)
	r.clk.Advance(time.Second)
	r.ensure(2, sector.TaskPreCommit1, 1)
	r.ensure(3, sector.TaskCommit2, 1)
	one := info("w")
	one.Slots = 1
	var got []string
	for range 3 {
		_, err := r.q.Beat(t.Context(), worker.Beat{Info: one})
		require.NoError(t, err)
		l := r.take("w")
		require.Nil(t, r.given("w"), "one at a time")
		got = append(got, l.Task)
		require.NoError(t, r.handIn("w", l, 1))
	}
	require.Equal(t, []string{"t01000-3-C2-1", "t01000-1-PC1-1", "t01000-2-PC1-1"}, got)
	_, err := r.q.Beat(t.Context(), worker.Beat{Info: worker.Info{ID: "x", Kinds: []sector.TaskKind{sector.TaskAddPiece}}})
	require.NoError(t, err)
	require.Len(t, r.q.Workers(), 2)
	r.clk.Advance(3*ttl + 1)
	require.NoError(t, r.q.Sweep(t.Context()))
	require.Empty(t, r.q.Workers())
}

func TestFencing(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	r.ensure(1, sector.TaskPreCommit1, 1)
	r.beat("a")
	a := r.take("a")
	r.clk.Advance(ttl - 1)
	require.Empty(t, r.beat("a", a).Over)
	r.clk.Advance(ttl - 1)
	require.NoError(t, r.q.Sweep(ctx))
	r.beat("b")
	require.Nil(t, r.given("b"), "the lease was renewed")
	r.clk.Advance(1)
	require.NoError(t, r.q.Sweep(ctx))
	b := r.take("b")
	require.Greater(t, b.Fence, a.Fence)
	require.Equal(t, []worker.Lease{a}, r.beat("a", a).Over, "a worker back from the dead learns it")
	for _, o := range []worker.Outcome{
		{Worker: "a", Lease: a}, {Worker: "a", Lease: a, Reason: "x"}, {Worker: "a", Lease: a, Released: true}, {Worker: "b", Lease: a}, {Worker: "a", Lease: b},
	} {
		require.NoError(t, r.q.HandIn(ctx, o))
		require.True(t, r.q.InForce("b", b), "%+v changes nothing", o)
	}
	require.NoError(t, r.handIn("b", b, 7))
	require.NoError(t, r.handIn("b", b, 7), "a repeated answer")
	require.Equal(t, []byte{7}, r.q.Ended()[0].Result.Output)
	require.Equal(t, []worker.Lease{b}, r.beat("b", b).Over, "what is handed in is over")
	require.False(t, r.q.InForce("b", b))
}

// TestTheDatabaseFences lets another writer move a task under the queue's hands.
func TestTheDatabaseFences(t *testing.T) {
	r := newRig(t)
	id := r.ensure(1, sector.TaskPreCommit1, 1)
	r.beat("a")
	a := r.take("a")
	rows, err := r.store.Tasks(t.Context())
	require.NoError(t, err)
	other := rows[0]
	other.Fence++
	require.NoError(t, r.store.MoveTask(t.Context(), other, "leased", a.Fence))
	require.ErrorIs(t, r.handIn("a", a, 7), db.ErrFenced)
	require.Empty(t, r.q.Ended())
	require.Equal(t, a.Fence+1, r.q.Entries()[0].Task.Fence, "the queue believes the database")
	require.NoError(t, r.store.DropTask(t.Context(), id))
	require.ErrorIs(t, r.q.Abort(t.Context(), id, "x"), db.ErrFenced)
	require.Empty(t, r.q.Entries())
}

func TestRestartKeepsLeasesAndResults(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	one, two := r.ensure(1, sector.TaskPreCommit1, 1), r.ensure(2, sector.TaskPreCommit1, 1)
	r.beat("a")
	a, b := r.take("a"), r.take("a")
	if a.Task != one {
		a, b = b, a
	}
	require.NoError(t, r.handIn("a", a, 7))
	r.clk.Advance(10 * ttl)
	r.restart()
	require.NoError(t, r.q.Sweep(ctx))
	require.Empty(t, r.beat("a", b).Over, "a fresh term after a restart")
	<-r.q.Wake()
	require.Len(t, r.q.Ended(), 1)
	require.NoError(t, r.q.Forget(ctx, one))
	r.restart()
	require.Empty(t, r.q.Ended())
	r.beat("a", b)
	require.NoError(t, r.q.HandIn(ctx, worker.Outcome{Worker: "a", Lease: b, Released: true}))
	require.Equal(t, two, r.take("a").Task)
}

// TestCrashAtEveryStep fails and restarts at each durable step of a task's life.
// What was stored counts, and the task ends once, with one result.
func TestCrashAtEveryStep(t *testing.T) {
	for _, point := range []string{"task/queued", "task/leased", "task/requeued", "sealer/result", "task/forget"} {
		t.Run(filepath.Base(point), func(t *testing.T) {
			r := newRig(t)
			ctx, hits := t.Context(), 0
			disarm := fault.Arm(point, func() error {
				if hits++; hits == 1 {
					return fault.ErrInjected
				}
				return nil
			})
			defer disarm()
			seen := 0
			settle := func() { // a crash, if one was due
				if hits > seen {
					seen = hits
					r.restart()
				}
			}
			in := taskOf(1, sector.TaskPreCommit1, 1)
			_ = r.q.Ensure(ctx, in) // the crash
			settle()
			require.NoError(t, r.q.Ensure(ctx, in))
			r.beat("a")
			settle()
			r.beat("a")
			l := worker.Lease{}
			if given := r.given("a"); given != nil {
				l = given.Lease()
			} else { // given before the crash: it reaches the worker again
				t.Fatal("the lease was not given out")
			}
			_ = r.q.HandIn(ctx, worker.Outcome{Worker: "a", Lease: l, Released: true}) // the crash
			settle()
			r.beat("a")
			next := r.take("a")
			require.Greater(t, next.Fence, l.Fence)
			_ = r.handIn("a", next, 7) // the crash
			settle()
			r.beat("a", next)
			require.NoError(t, r.handIn("a", next, 8), "handed in again")
			require.Len(t, r.q.Ended(), 1)
			require.Equal(t, []byte{7}, r.q.Ended()[0].Result.Output)
			_ = r.q.Forget(ctx, in.ID) // the crash
			settle()
			require.NoError(t, r.q.Forget(ctx, in.ID))
			r.restart()
			require.Empty(t, r.q.Entries())
			require.Positive(t, hits, "the failpoint is never passed")
		})
	}
}

func TestReclaim(t *testing.T) {
	r := newRig(t)
	r.ensure(1, sector.TaskPreCommit1, 1)
	r.beat(BuiltIn + "1")
	a := r.take(BuiltIn + "1")
	r.restart()
	require.NoError(t, r.q.Reclaim(t.Context()))
	require.Equal(t, []worker.Lease{a}, r.beat("x", a).Over)
	require.Equal(t, a.Task, r.take("x").Task)
}

func TestNewAttemptDropsOld(t *testing.T) {
	r := newRig(t)
	r.ensure(1, sector.TaskPreCommit1, 1)
	r.beat("a")
	a := r.take("a")
	r.ensure(1, sector.TaskPreCommit1, 2)
	require.NoError(t, r.handIn("a", a, 1))
	require.Empty(t, r.q.Ended())
	require.Equal(t, []worker.Lease{a}, r.beat("a", a).Over)
	require.Equal(t, "t01000-1-PC1-2", r.take("a").Task)
}

func TestSilentWorkersFailATask(t *testing.T) {
	r := newRig(t)
	r.ensure(1, sector.TaskPreCommit1, 1)
	lose := func(w string, holds bool) {
		r.beat(w)
		l := r.take(w)
		if holds {
			r.beat(w, l)
		}
		r.clk.Advance(ttl)
		require.NoError(t, r.q.Sweep(t.Context()))
	}
	lose("never-took-it", false)
	for i := range maxLosses {
		require.Empty(t, r.q.Ended())
		lose(fmt.Sprint(i), true)
	}
	require.Equal(t, Failed, r.q.Ended()[0].State)
	require.NoError(t, r.q.Forget(t.Context(), r.q.Ended()[0].Task.ID))
	id := r.ensure(1, sector.TaskPreCommit1, 2)
	require.NoError(t, r.q.Abort(t.Context(), id, "operator"))
	require.Error(t, r.q.Abort(t.Context(), id, "operator"))
}

// TestWorkerThatTakesNothing gives a task to a worker that beats and never takes
// it: the task goes to another, and the worker is tried again later.
func TestWorkerThatTakesNothing(t *testing.T) {
	r := newRig(t)
	id := r.ensure(1, sector.TaskPreCommit1, 1)
	r.beat("a")
	for range 2 {
		r.clk.Advance(ttl / 2)
		r.beat("a")
	}
	require.NoError(t, r.q.Sweep(t.Context()))
	require.Contains(t, r.q.Why(id)[0].Reason, "it did not take a task that it was given")
	r.beat("b")
	l := r.take("b")
	require.NoError(t, r.q.HandIn(t.Context(), worker.Outcome{Worker: "b", Lease: l, Released: true}))
	require.NoError(t, r.q.HandIn(t.Context(), worker.Outcome{Worker: "b", Lease: r.take("b"), Reason: "x"}))
	r.clk.Advance(shunFor * ttl)
	r.beat("a")
	next := r.ensure(2, sector.TaskPreCommit1, 1)
	require.Equal(t, next, r.take("a").Task)
}

// TestDeaf holds leases as long as the queue could not have heard of them.
func TestDeaf(t *testing.T) {
	r := newRig(t)
	r.ensure(1, sector.TaskPreCommit1, 1)
	_, err := r.q.RemoteBeat(t.Context(), worker.Beat{Info: info("far")})
	require.NoError(t, err)
	id, task, err := r.q.NextRemote(t.Context())
	require.NoError(t, err)
	require.Equal(t, "far", id)
	r.q.Deaf(true)
	r.clk.Advance(time.Hour)
	require.NoError(t, r.q.Sweep(t.Context()))
	r.q.Deaf(false)
	r.clk.Advance(ttl - 1)
	require.NoError(t, r.q.Sweep(t.Context()))
	require.True(t, r.q.InForce("far", task.Lease()))
	r.clk.Advance(1)
	require.NoError(t, r.q.Sweep(t.Context()))
	require.False(t, r.q.InForce("far", task.Lease()))
}

// TestReoffer gives a remote lease out again, and a built-in one not.
func TestReoffer(t *testing.T) {
	r := newRig(t)
	r.ensure(1, sector.TaskPreCommit1, 1)
	_, err := r.q.RemoteBeat(t.Context(), worker.Beat{Info: info("far")})
	require.NoError(t, err)
	_, first, err := r.q.NextRemote(t.Context())
	require.NoError(t, err)
	r.q.Reoffer()
	_, again, err := r.q.NextRemote(t.Context())
	require.NoError(t, err)
	require.Equal(t, first, again)
}

func TestLeavingWorkersGetNothing(t *testing.T) {
	r := newRig(t)
	r.ensure(1, sector.TaskPreCommit1, 1)
	r.ensure(2, sector.TaskPreCommit1, 1)
	r.beat("a")
	held, unknown := r.take("a"), r.take("a")
	_, err := r.q.Beat(t.Context(), worker.Beat{Info: info("a"), Holds: []worker.Lease{held}, Leaving: true})
	require.NoError(t, err)
	require.Contains(t, r.q.Why(unknown.Task)[0].Reason, "leaving")
	require.True(t, r.q.InForce("a", held))
	r.beat("b")
	require.Equal(t, unknown.Task, r.take("b").Task, "what it never took goes to another at once")
	require.NoError(t, r.handIn("a", held, 1))
	_, err = r.q.Beat(t.Context(), worker.Beat{Info: info("a"), Leaving: true})
	require.NoError(t, err)
	require.Len(t, r.q.Workers(), 1)
}

func TestSettingsOfWorkers(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	require.NoError(t, r.q.Set(ctx, "host-a", Settings{Disabled: true}))
	r.restart()
	id := r.ensure(1, sector.TaskPreCommit1, 1)
	r.beat("a")
	require.Nil(t, r.given("a"))
	require.Contains(t, r.q.Why(id)[0].Reason, "disabled")
	require.NoError(t, r.q.Set(ctx, "host-a", Settings{Without: []sector.TaskKind{sector.TaskPreCommit1}}))
	require.Nil(t, r.given("a"))
	require.Equal(t, "it takes no PC1 tasks", r.q.Why(id)[0].Reason)
	require.NoError(t, r.q.Set(ctx, "host-a", Settings{}))
	require.NotNil(t, r.given("a"))
}

// TestReserve keeps the machine of a proof with a deadline from sealing.
func TestReserve(t *testing.T) {
	r := newRig(t)
	r.q.Machine = "here"
	i := worker.Info{ID: BuiltIn + "1", Machine: "here", Kinds: sector.TaskKinds(), CPUs: 1}
	release := r.q.Reserve(sched.WinningPoSt, abi.RegisteredSealProof_StackedDrg2KiBV1_1)
	_, err := r.q.Beat(t.Context(), worker.Beat{Info: i})
	require.NoError(t, err)
	id := r.ensure(1, sector.TaskPreCommit1, 1)
	require.Nil(t, r.given(i.ID))
	require.Equal(t, "the task needs 1 cores, 1 of the machine's 1 are taken", r.q.Why(id)[0].Reason)
	release()
	require.NotNil(t, r.given(i.ID))
}

// TestReach sends tasks only where their files are, and says so.
func TestReach(t *testing.T) {
	r := newRig(t)
	r.q.Paths = func() []worker.Path { return []worker.Path{{ID: "p", Dir: "/p"}} }
	in := taskOf(1, sector.TaskPreCommit1, 1)
	in.Files = worker.Files{Cache: "/p/cache/s-t01000-1"}
	require.NoError(t, r.q.Ensure(t.Context(), in))
	i := info("a")
	o, err := r.q.Beat(t.Context(), worker.Beat{Info: i})
	require.NoError(t, err)
	require.Equal(t, []worker.Path{{ID: "p", Dir: "/p"}}, o.Paths)
	require.Nil(t, r.given("a"))
	i.Reaches = []string{"/p"}
	r.q.Needs = func(worker.Task) sched.Need { return sched.Need{Disk: 10} }
	r.q.Measured("/p", 9)
	_, err = r.q.Beat(t.Context(), worker.Beat{Info: i})
	require.NoError(t, err)
	require.Equal(t, "the task writes 10 B to /p, where 9 B are free", r.q.Why(in.ID)[0].Reason)
	r.q.Measured("/p", 10)
	require.NoError(t, r.q.Sweep(t.Context()))
	require.NotNil(t, r.given("a"))
}

func TestDefaultNeeds(t *testing.T) {
	small, large := DefaultNeeds(2<<10, false), DefaultNeeds(32<<30, true)
	for _, k := range sector.TaskKinds() {
		require.LessOrEqual(t, small[k].Memory, uint64(2<<10), "a devnet is never limited by memory")
		require.Contains(t, large, k)
	}
	require.InDelta(t, 64<<30, large[sector.TaskPreCommit1].Memory, 1<<30)
	require.Greater(t, large[sector.TaskCommit2].Memory, DefaultNeeds(32<<30, false)[sector.TaskCommit2].Memory)
	need, err := machine.NeedOf(32<<30, 1)
	require.NoError(t, err)
	sum := large[sector.TaskAddPiece].Disk + large[sector.TaskPreCommit1].Disk + large[sector.TaskPreCommit2].Disk
	require.InDelta(t, need.Disk.Sealing, sum, 1<<20, "together they are what a sector takes")
	require.Empty(t, DefaultNeeds(3, false))
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
	require.Empty(t, r.q.Workers(), "they said farewell")
}

// held is an executor that works on one task until the test lets it go.
func held(r *rig) (e *worker.Executor, p *slowProver, started chan string, ended chan error) {
	p = &slowProver{runs: map[string]int{}, hold: make(chan struct{})}
	started, ended = make(chan string, 10), make(chan error, 10)
	e = &worker.Executor{Source: r.q, Prover: p, Info: info("a"), Clock: r.clk}
	e.OnTask = func(t worker.Task, done bool, err error) {
		if done {
			ended <- err
		} else {
			started <- t.ID
		}
	}
	return e, p, started, ended
}

// TestAbortGivesBack ends an executor in the middle of a task: the task is
// queued again at once, and a drain lets it finish instead.
func TestAbortGivesBack(t *testing.T) {
	r := newRig(t)
	e, p, started, _ := held(r)
	abort, kill := context.WithCancel(t.Context())
	id := r.ensure(1, sector.TaskPreCommit1, 1)
	var wg sync.WaitGroup
	wg.Go(func() { e.Run(t.Context(), abort) })
	<-started
	kill()
	wg.Wait()
	require.Equal(t, Queued, r.q.Entries()[0].State)
	for len(started) > 0 { // what was given back may have come once more, to be given back at once
		<-started
	}

	pull, drain := context.WithCancel(t.Context())
	wg.Go(func() { e.Run(pull, t.Context()) })
	require.Equal(t, id, <-started)
	drain()
	close(p.hold)
	wg.Wait()
	require.Equal(t, Done, r.q.Ended()[0].State)
}

// TestLostLeaseStopsWork lets a lease run out under a working executor.
func TestLostLeaseStopsWork(t *testing.T) {
	r := newRig(t)
	e, _, started, ended := held(r)
	id := r.ensure(1, sector.TaskPreCommit1, 1)
	pull, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { e.Run(pull, t.Context()) })
	<-started
	require.NoError(t, r.q.Abort(t.Context(), id, "operator"))
	e.Kick()
	require.ErrorIs(t, <-ended, context.Canceled)
	stop()
	wg.Wait()
}

// lossy loses the first outcome on its way.
type lossy struct {
	*Queue
	mu   sync.Mutex
	lost []worker.Outcome
}

func (l *lossy) HandIn(ctx context.Context, o worker.Outcome) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lost) == 0 {
		l.lost = append(l.lost, o)
		return nil // taken, and gone
	}
	return l.Queue.HandIn(ctx, o)
}

// TestLostOutcomeIsHandedInAgain loses an outcome after the worker was told that
// it was taken.
func TestLostOutcomeIsHandedInAgain(t *testing.T) {
	r := newRig(t)
	p := &slowProver{runs: map[string]int{}}
	e := &worker.Executor{Source: &lossy{Queue: r.q}, Prover: p, Info: info("a"), Clock: r.clk}
	id := r.ensure(1, sector.TaskPreCommit1, 1)
	pull, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { e.Run(pull, t.Context()) })
	for {
		select {
		case <-r.q.Wake():
		default:
			r.clk.Advance(time.Second)
			e.Kick()
			continue
		}
		break
	}
	require.Equal(t, id, r.q.Ended()[0].Task.ID)
	require.Equal(t, 1, p.runs[id], "it was not done twice")
	stop()
	wg.Wait()
}

// TestFailuresAreTold fails a task and keeps the others.
func TestFailuresAreTold(t *testing.T) {
	r := newRig(t)
	r.ensure(1, sector.TaskPreCommit1, 1)
	r.ensure(2, sector.TaskPreCommit1, 1)
	r.beat("a")
	l := r.take("a")
	require.NoError(t, r.q.HandIn(t.Context(), worker.Outcome{Worker: "a", Lease: l, Reason: "disk full"}))
	require.Equal(t, "disk full", r.q.Ended()[0].Reason)
	require.Len(t, r.q.Ended(), 1)
	require.False(t, slices.ContainsFunc(r.q.Entries(), func(e Entry) bool { return e.Task.Ticket != nil }), "lists carry no bytes")
}

// tested are the failpoints of tasks and workers, each with the test that crashes
// at it, enumerates its passages where there are several, and compares the end.
var tested = map[string]string{
	"task/queued": "TestCrashAtEveryStep, pipeline.TestCrashAtEveryPassage", "task/leased": "TestCrashAtEveryStep, pipeline.TestCrashAtEveryPassage",
	"task/requeued": "TestCrashAtEveryStep", "sealer/result": "TestCrashAtEveryStep, pipeline.TestCrashAtEveryPassage",
	"task/forget": "TestCrashAtEveryStep, pipeline.TestCrashAtEveryPassage",
	"task/rename": "worker.TestAdoptAtEveryCrash, pipeline.TestCrashAtEveryPassage", "task/adopt": "worker.TestAdoptAtEveryCrash, pipeline.TestCrashAtEveryPassage",
	"worker/done": "pipeline.TestCrashAtEveryPassage", "broker/stored": "broker.TestOutcomesAreStoredBeforeTheyLeaveTheStream",
}

// TestEveryFailpointIsTested finds the failpoints in the source.
func TestEveryFailpointIsTested(t *testing.T) {
	found := map[string]bool{}
	point := regexp.MustCompile(`(?:fault\.Point\(|q\.move\(ctx, e, )"([a-z/]+)"`)
	for _, dir := range []string{".", "../broker", "../../worker", "../../worker/bus"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			b, err := os.ReadFile(f)
			require.NoError(t, err)
			for _, m := range point.FindAllStringSubmatch(string(b), -1) {
				found[m[1]] = true
			}
		}
	}
	for name := range found {
		require.Contains(t, tested, name)
	}
	for name := range tested {
		require.Contains(t, found, name, "it is gone")
	}
}

// TestRefusedWorkGoesToAnotherHost: the host whose outcome was refused is passed over as long as another could do the work,
// busy or not, and the reason is told; it is asked again when there is no other.
func TestRefusedWorkGoesToAnotherHost(t *testing.T) {
	r := newRig(t)
	r.beat("a")
	r.ensure(1, sector.TaskPreCommit2, 1)
	l := r.take("a")
	require.NoError(t, r.handIn("a", l, 1))
	ended := r.q.Ended()
	require.Len(t, ended, 1)
	r.q.Refuse(ended[0], "its files are damaged")
	require.NoError(t, r.q.Forget(t.Context(), l.Task))

	busy := info("b")
	busy.Slots = 1
	b := func(holds ...worker.Lease) {
		_, err := r.q.Beat(t.Context(), worker.Beat{Info: busy, Holds: holds})
		require.NoError(t, err)
	}
	b()
	r.ensure(2, sector.TaskPreCommit1, 1)
	other := "a"
	if x := r.given("b"); x != nil {
		other = "b"
		require.Nil(t, r.given("a"))
	} else {
		require.NotNil(t, r.given("a"))
	}
	if other == "a" { // make b busy as well
		r.ensure(3, sector.TaskPreCommit1, 1)
		require.NotNil(t, r.given("b"))
	}
	again := r.ensure(1, sector.TaskPreCommit2, 2)
	require.Nil(t, r.given("a"))
	require.Nil(t, r.given("b"))
	reasons := map[string]string{}
	for _, x := range r.q.Why(again) {
		reasons[x.Worker] = x.Reason
	}
	require.Equal(t, "another worker does it: what this host made was refused: its files are damaged", reasons["a"])
	require.Equal(t, "it runs 1 tasks, its limit", reasons["b"])

	_, err := r.q.Beat(t.Context(), worker.Beat{Info: busy, Leaving: true})
	require.NoError(t, err)
	var got []string
	for x := r.given("a"); x != nil; x = r.given("a") {
		got = append(got, x.ID)
	}
	require.Contains(t, got, again, "nobody else is left")
}

package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/deals"
	"github.com/filecoin-venus/venus/sealer/heads"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/pipeline"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/sealer/task"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/worker"
)

// rig is a sealer's pipeline in a model world, on a clock that only the test moves.
type rig struct {
	replicas pipeline.Replicas // nil means the prover
	t        *testing.T
	dir      string
	net      params.Network
	chain    *sealertest.Chain
	prover   *sealertest.Prover
	file     string // of the database, in dir
	idle     bool   // start without a worker
	forDeals int    // new sectors that may wait for deals
	batch    map[sector.Kind]sector.BatchRule
	disk     store.Disk     // nil is the machine's
	more     []store.Spec   // paths beside one for sealing and one for storing
	over     pipeline.Chain // takes the place of chain where it is set

	db   *db.DB
	p    *pipeline.Pipeline
	book *deals.Book
	q    *task.Queue
	stop func()
}

func newRig(t *testing.T, dir string) *rig { return newRigOn(t, dir, func(*rig) {}) }

func newRigOn(t *testing.T, dir string, change func(*rig)) *rig {
	net, err := params.ByName("local")
	require.NoError(t, err)
	r := &rig{t: t, dir: dir, file: "sealer.db", net: net, prover: sealertest.NewProver(), chain: sealertest.NewChain(net, 1000, time.Now())}
	change(r)
	require.NoError(t, r.up())
	return r
}

// up starts all parts as the daemon does.
func (r *rig) up() error {
	ctx, cancel := context.WithCancel(context.Background())
	d, err := db.Open(ctx, db.Config{Path: filepath.Join(r.dir, r.file), NoSync: true})
	require.NoError(r.t, err)
	st, err := store.OpenWith(filepath.Join(r.dir, store.FileName), store.Options{Disk: r.disk})
	require.NoError(r.t, err)
	for _, spec := range append([]store.Spec{{Dir: filepath.Join(r.dir, "seal"), CanSeal: true}, {Dir: filepath.Join(r.dir, "store"), CanStore: true}}, r.more...) {
		_, err := os.Stat(spec.Dir)
		spec.Init = err != nil
		_, err = st.Attach(spec)
		require.NoError(r.t, err)
	}
	clk := clock.Real() // the bubble's
	q, err := task.New(ctx, d, clk, 30*time.Second)
	require.NoError(r.t, err)
	h := heads.New(r.chain, clk)
	sender := messages.New(messages.Config{Miner: sealertest.Miner(), Wallet: "w", Confidence: 1}, r.chain.Messager(), r.chain)
	policy := config.Policy(r.net)
	policy.BatchPreCommits, policy.AggregateCommits = r.batch[sector.KindPreCommit].Max > 0, r.batch[sector.KindCommit].Max > 0
	replicas := r.replicas
	if replicas == nil {
		replicas = r.prover
	}
	chain := r.over
	if chain == nil {
		chain = r.chain
	}
	book, err := deals.Open(ctx, deals.Config{Miner: sealertest.Miner(), SectorSize: 2048, Buffer: 20, Place: st.PlaceData}, r.chain, d, clk)
	require.NoError(r.t, err)
	sealer := seal.New(seal.Config{})
	p, err := pipeline.New(ctx, pipeline.Config{
		Miner: sealertest.Miner(), ActorID: sealertest.MinerID, SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1, SectorSize: 2048,
		Policy: policy, Batch: maps.Clone(r.batch), TicketLookback: r.net.SealRandomnessLookback, Lifetime: 1549440, WatchEvery: r.net.ChallengeWindow,
		MaxWaitDeals: r.forDeals, Deals: sector.DealRule{Size: 2048, Most: 256, Wait: 10 * time.Second, Buffer: 20},
	}, pipeline.Parts{DB: d, Queue: q, Store: st, Messages: sender, Chain: chain, Verifier: r.prover, Replicas: replicas, Aggregator: r.prover, Heads: h, Clock: clk, Deals: book, Pieces: sealer})
	require.NoError(r.t, err)
	if _, err := p.AfterRestore(ctx, 0); err != nil {
		cancel()
		require.NoError(r.t, d.Close())
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	wg.Go(func() { h.Run(ctx) })
	wg.Go(func() { book.Run(ctx) })
	e := &worker.Executor{Source: q, Prover: r.prover, Clock: clk, Info: worker.Info{ID: task.BuiltIn + fmt.Sprint(time.Now().UnixNano()), Kinds: sector.TaskKinds(), Slots: 2}}
	if !r.idle {
		wg.Go(func() { e.Run(ctx, ctx) })
	}
	r.db, r.p, r.q, r.book = d, p, q, book
	r.stop = func() {
		cancel()
		wg.Wait()
		require.NoError(r.t, sealer.Close())
		require.NoError(r.t, d.Close())
	}
	return nil
}

// restart is a crash: what was not stored is gone.
func (r *rig) restart() {
	r.stop()
	require.NoError(r.t, r.up())
}

// tick lets one epoch pass and everything settle.
func (r *rig) tick() {
	_ = clock.Real().Sleep(context.Background(), r.net.BlockDelay)
	r.chain.Tick(time.Now())
	synctest.Wait()
}

// until ticks until a sector is in a state.
func (r *rig) until(n abi.SectorNumber, want sector.State, limit int) sector.Record {
	r.t.Helper()
	for range limit {
		rec, err := r.p.Get(n)
		require.NoError(r.t, err)
		if rec.State == want {
			return rec
		}
		r.tick()
	}
	rec, err := r.p.Get(n)
	require.NoError(r.t, err)
	r.t.Fatalf("sector %d is in %s, not %s, after %d epochs; last error: %s; next: %s", n, rec.State, want, limit, rec.LastErr, r.p.Why(rec).Next)
	return rec
}

func (r *rig) pledge() abi.SectorNumber {
	r.t.Helper()
	for range 20 {
		synctest.Wait()
		id, err := r.p.Pledge(r.t.Context())
		if err == nil {
			return id.Number
		}
		require.ErrorIs(r.t, err, fault.ErrInjected)
		r.tick()
	}
	r.t.Fatal("no sector could be pledged")
	return 0
}

// oneMessageEach asserts that a sector cost one message of each kind.
func (r *rig) oneMessageEach(sectors int) {
	r.t.Helper()
	m := r.chain.Messager()
	require.Len(r.t, m.Pushed(builtin.MethodsMiner.PreCommitSector), sectors)
	require.Len(r.t, m.Pushed(builtin.MethodsMiner.ProveCommitSector), sectors)
	require.Equal(r.t, sectors, m.Landed(builtin.MethodsMiner.PreCommitSector))
	require.Equal(r.t, sectors, m.Landed(builtin.MethodsMiner.ProveCommitSector))
}

func bubble(t *testing.T, f func(t *testing.T, r *rig)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, dir)
		defer func() { r.stop() }()
		f(t, r)
	})
}

func TestLifeOfASector(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.pledge()
		start := r.chain.Height()
		r.until(n, sector.Proving, 40)
		require.LessOrEqual(t, r.chain.Height()-start, abi.ChainEpoch(25), "a sector is sealed within 25 epochs")
		r.oneMessageEach(1)
		require.FileExists(t, filepath.Join(r.dir, "store", "sealed", "s-t01000-1"))
		require.NoFileExists(t, filepath.Join(r.dir, "seal", "unsealed", "s-t01000-1"))
		require.NoDirExists(t, filepath.Join(r.dir, "seal", "cache", "s-t01000-1"))
		log, err := r.db.Log(t.Context(), n)
		require.NoError(t, err)
		require.NotEmpty(t, log)
		require.Empty(t, r.q.Entries())
		commit := r.chain.Messager().Pushed(builtin.MethodsMiner.ProveCommitSector)[0]
		require.Equal(t, types.NewFIL(2).Atto(), commit.Value, "pledge less deposit")
	})
}

func TestManySectors(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var last abi.SectorNumber
		for range 12 {
			last = r.pledge()
		}
		require.EqualValues(t, 12, last)
		for n := abi.SectorNumber(1); n <= 12; n++ {
			r.until(n, sector.Proving, 60)
		}
		r.oneMessageEach(12)
	})
}

// TestCrashAtEveryPassage fails and restarts the sealer at the k-th passage of
// every failpoint on the way, for every k. The outcome on the chain is the same.
func TestCrashAtEveryPassage(t *testing.T) {
	for _, point := range []string{"sealer/number", "sealer/transition", "sealer/intent", "sealer/result", "task/queued", "task/leased", "task/rename", "task/adopt", "task/forget", "worker/done", "store/rename", "store/index"} {
		for k := 1; ; k++ {
			hit := false
			t.Run(fmt.Sprintf("%s-%d", filepath.Base(point), k), func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig) {
					var mu sync.Mutex
					passed, crashed := 0, false
					disarm := fault.Arm(point, func() error {
						mu.Lock()
						defer mu.Unlock()
						passed++
						hit = hit || passed == k
						if passed >= k && passed < k+3 { // three in a row: the retry fails as well
							crashed = true
							return fault.ErrInjected
						}
						return nil
					})
					defer disarm()
					n := r.pledge()
					for range 80 {
						rec, err := r.p.Get(n)
						require.NoError(t, err)
						if rec.State == sector.Proving {
							break
						}
						r.tick()
						mu.Lock()
						again := crashed
						crashed = false
						mu.Unlock()
						if again {
							r.restart()
						}
					}
					r.until(n, sector.Proving, 1)
					r.oneMessageEach(1)
				})
			})
			if !hit || t.Failed() {
				require.Greater(t, k, 1, "failpoint %s is never passed", point)
				break
			}
		}
	}
}

func TestAnswersGetLost(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.chain.Change(func() { r.chain.Messager().LoseAnswer = 1 })
		n := r.pledge()
		r.until(n, sector.WaitSeed, 40)
		r.chain.Change(func() { r.chain.Messager().LoseAnswer = 1 })
		r.until(n, sector.Proving, 60)
		r.oneMessageEach(1)
	})
}

func TestServicesAway(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.pledge()
		for i := range 60 {
			r.chain.Change(func() { r.chain.Messager().Down = i%3 != 0 })
			r.chain.Change(func() { r.chain.Down = i%5 == 0 })
			r.tick()
		}
		r.chain.Change(func() { r.chain.Messager().Down, r.chain.Down = false, false })
		r.until(n, sector.Proving, 120)
		r.oneMessageEach(1)
	})
}

func TestFundsParkAndNeverEnd(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.chain.Change(func() { r.chain.Balance = big.NewInt(5) })
		n := r.pledge()
		r.until(n, sector.PreCommitting, 20)
		for range 30 {
			r.tick()
		}
		rec, err := r.p.Get(n)
		require.NoError(t, err)
		require.Equal(t, sector.Operator, rec.LastClass)
		require.ErrorContains(t, errors.New(rec.LastErr), "insufficient funds")
		require.Empty(t, r.chain.Messager().Pushed(builtin.MethodsMiner.PreCommitSector))
		r.chain.Change(func() { r.chain.Balance = types.NewFIL(2).Atto() })
		require.NoError(t, r.p.Apply(t.Context(), n, sector.Retry{}, nil))
		r.until(n, sector.WaitSeed, 20)
		r.chain.Change(func() { r.chain.Balance = big.Zero() })
		for range 40 {
			r.tick()
		}
		r.chain.Change(func() { r.chain.Balance = types.NewFIL(100).Atto() })
		r.until(n, sector.Proving, 100)
		r.oneMessageEach(1)
	})
}

func TestReorgTakesThePreCommitOut(t *testing.T) {
	for _, depth := range []int{2, 6, 12} {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				n := r.pledge()
				r.until(n, sector.WaitSeed, 20)
				for range depth - 2 {
					r.tick()
				}
				r.chain.Reorg(depth, time.Now())
				synctest.Wait()
				r.until(n, sector.Proving, 200)
				// A deep reorg makes the proof that was sent one of another seed: it is sent anew.
				m := r.chain.Messager()
				require.Len(t, m.Pushed(builtin.MethodsMiner.PreCommitSector), 1)
				require.Equal(t, 1, m.Landed(builtin.MethodsMiner.PreCommitSector))
				require.Equal(t, 1, m.Landed(builtin.MethodsMiner.ProveCommitSector))
			})
		})
	}
}

func TestPreCommitFailsOnChain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		fails := 2
		exit := func(*types.Message) exitcode.ExitCode {
			if fails > 0 {
				fails--
				return exitcode.SysErrOutOfGas
			}
			return exitcode.Ok
		}
		r.chain.Change(func() { r.chain.Messager().Exit = exit })
		n := r.pledge()
		r.until(n, sector.Proving, 100)
		require.Len(t, r.chain.Messager().Pushed(builtin.MethodsMiner.PreCommitSector), 3)
		require.Equal(t, 1, r.chain.Messager().Landed(builtin.MethodsMiner.PreCommitSector))
	})
}

func TestTicketExpiresWhileMessagesHang(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.chain.Change(func() { r.chain.Messager().Hold = true })
		n := r.pledge()
		first := r.until(n, sector.PreCommitWait, 20)
		for range int(r.net.MaxPreCommitRandLookback) + 50 {
			_ = clock.Real().Sleep(context.Background(), r.net.BlockDelay)
			r.chain.Tick(time.Now())
		}
		synctest.Wait()
		r.chain.Change(func() { r.chain.Messager().Hold = false })
		rec := r.until(n, sector.Proving, 200)
		require.Greater(t, rec.Restarts, 0)
		require.NotEqual(t, first.Ticket.Epoch, rec.Ticket.Epoch)
		require.Equal(t, 1, r.chain.Messager().Landed(builtin.MethodsMiner.PreCommitSector))
	})
}

func TestTasksFailAndInvalidProofs(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		left := map[sector.TaskKind]int{sector.TaskAddPiece: 1, sector.TaskPreCommit1: 2, sector.TaskPreCommit2: 5, sector.TaskCommit1: 1, sector.TaskCommit2: 1, sector.TaskFinalize: 1}
		r.prover.Change(func() { r.prover.Reject = true })
		fail := func(t worker.Task) error {
			if left[t.Kind] > 0 {
				left[t.Kind]--
				return errors.New("disk full")
			}
			return nil
		}
		r.prover.Change(func() { r.prover.Fail = fail })
		n := r.pledge()
		for range 300 {
			r.tick()
		}
		rec, err := r.p.Get(n)
		require.NoError(t, err)
		require.Equal(t, 10, rec.InvalidProofs)
		require.Contains(t, rec.Parked, "invalid")
		require.Empty(t, r.chain.Messager().Pushed(builtin.MethodsMiner.ProveCommitSector), "a proof that we refuse is never sent")
		r.prover.Change(func() { r.prover.Reject = false })
		require.NoError(t, r.p.Apply(t.Context(), n, sector.Retry{}, nil))
		r.until(n, sector.Proving, 400)
		require.Equal(t, 1, r.chain.Messager().Landed(builtin.MethodsMiner.ProveCommitSector))
	})
}

// TestDeadWorker lets a worker take a task and fall silent: the task passes on
// within a minute although heads come every second.
func TestDeadWorker(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.idle = true
		r.restart()
		n := r.pledge()
		r.tick()
		_, err := r.q.Beat(t.Context(), worker.Beat{Info: worker.Info{ID: "dead", Kinds: sector.TaskKinds()}})
		require.NoError(t, err)
		l, err := r.q.Next(t.Context(), "dead")
		require.NoError(t, err)
		require.True(t, r.q.InForce("dead", l.Lease()))
		r.idle = false
		r.restart()
		start := r.chain.Height()
		r.until(n, sector.Proving, 120)
		require.Less(t, r.chain.Height()-start, abi.ChainEpoch(90))
	})
}

// proven brings a sector to Proving.
func (r *rig) proven() abi.SectorNumber {
	n := r.pledge()
	r.until(n, sector.Proving, 60)
	return n
}

func (r *rig) apply(n abi.SectorNumber, ev sector.Event) {
	r.t.Helper()
	require.NoError(r.t, r.p.Apply(r.t.Context(), n, ev, nil))
}

func TestFaultsAndEndsShow(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.proven()
		r.chain.Fault(n, true)
		r.until(n, sector.FaultReported, 30)
		require.ErrorIs(t, r.p.Apply(t.Context(), n, sector.Remove{Abandon: true}, nil), sector.ErrIgnored, "the chain wants it")
		r.chain.Fault(n, false)
		r.until(n, sector.Proving, 30)
		r.chain.End(n)
		rec := r.until(n, sector.FaultedFinal, 30)
		require.Equal(t, sector.ChainFact, rec.LastClass)
		r.apply(n, sector.Remove{})
		r.until(n, sector.Removed, 3)
		require.NoFileExists(t, filepath.Join(r.dir, "store", "sealed", "s-t01000-1"))
		require.NoDirExists(t, filepath.Join(r.dir, "store", "cache", "s-t01000-1"))
	})
}

func TestRedo(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.proven()
		want, err := r.p.Get(n)
		require.NoError(t, err)
		file := filepath.Join(r.dir, "store", "sealed", "s-t01000-1")
		require.NoError(t, os.WriteFile(file, []byte("rubbish"), 0o644))
		r.apply(n, sector.Redo{})
		r.tick()
		r.restart()
		rec := r.until(n, sector.Proving, 30)
		require.Equal(t, want.CommR, rec.CommR)
		require.Equal(t, want.Ticket, rec.Ticket)
		made, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NotEqual(t, "rubbish", string(made))
		r.oneMessageEach(1)
	})
}

// TestRemoveWhileWorking removes a sector under a worker's hands: the worker is
// told first, then the files go, and a late result changes nothing.
func TestRemoveWhileWorking(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.idle = true
		r.restart()
		n := r.pledge()
		r.tick()
		beat := worker.Beat{Info: worker.Info{ID: "w", Hostname: "h", Kinds: sector.TaskKinds()}}
		_, err := r.q.Beat(t.Context(), beat)
		require.NoError(t, err)
		l, err := r.q.Next(t.Context(), "w")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(l.Files.Unsealed, []byte("zeros"), 0o644))
		require.NoError(t, os.MkdirAll(l.Work().Cache, 0o755))
		r.apply(n, sector.Remove{})
		r.tick()
		rec, err := r.p.Get(n)
		require.NoError(t, err)
		require.Equal(t, sector.Removing, rec.State)
		require.Contains(t, rec.LastErr, "lets go")
		require.FileExists(t, l.Files.Unsealed)
		beat.Holds = []worker.Lease{l.Lease()}
		o, err := r.q.Beat(t.Context(), beat)
		require.NoError(t, err)
		require.Equal(t, beat.Holds, o.Over, "the worker is told")
		require.NoError(t, r.q.HandIn(t.Context(), worker.Outcome{Worker: "w", Lease: l.Lease()}))
		r.until(n, sector.Removed, 90)
		require.NoFileExists(t, l.Files.Unsealed)
		require.NoDirExists(t, l.Work().Cache)
		require.Empty(t, r.q.Entries())
	})
}

// TestOverdueWhileQueued lets the ticket grow too old while no worker comes: the
// next worker gets a task with a new one.
func TestOverdueWhileQueued(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.prover.Change(func() {
			r.prover.Fail = func(k worker.Task) error {
				if k.Kind == sector.TaskPreCommit1 {
					return errors.New("out of memory")
				}
				return nil
			}
		})
		n := r.pledge()
		first := r.until(n, sector.SealPreCommit1Failed, 20)
		r.idle = true
		r.restart()
		r.prover.Change(func() { r.prover.Fail = nil })
		for range int(r.net.MaxPreCommitRandLookback) {
			_ = clock.Real().Sleep(context.Background(), r.net.BlockDelay)
			r.chain.Tick(time.Now())
		}
		synctest.Wait()
		r.idle = false
		r.restart()
		rec := r.until(n, sector.Proving, 60)
		require.NotEqual(t, first.Ticket.Epoch, rec.Ticket.Epoch)
		r.oneMessageEach(1)
	})
}

func TestTarget(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		require.NoError(t, r.p.SetTarget(t.Context(), pipeline.Target{Total: 5, AtOnce: 2}))
		most := 0
		for range 120 {
			r.tick()
			most = max(most, r.p.Sealing())
		}
		require.Equal(t, 2, most)
		require.Equal(t, 5, r.p.Living())
		r.chain.End(3)
		r.until(3, sector.FaultedFinal, 30)
		r.restart()
		for range 40 {
			r.tick()
		}
		require.Equal(t, 5, r.p.Living(), "what ended is replaced, also after a restart")
		require.Len(t, r.p.List(), 6)
		require.NoError(t, r.p.SetTarget(t.Context(), pipeline.Target{}))
		r.chain.End(4)
		for range 60 {
			r.tick()
		}
		require.Len(t, r.p.List(), 6, "without a target nothing is replaced")
	})
}

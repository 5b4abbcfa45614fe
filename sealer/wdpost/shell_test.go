package wdpost_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/heads"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/wdpost"
	"github.com/filecoin-venus/venus/types"
)

var submit = builtin.MethodsMiner

type rig struct {
	t      *testing.T
	dir    string
	net    params.Network
	chain  *sealertest.Chain
	prover *sealertest.Prover
	alerts []string
	lost   int
	shell  *wdpost.Shell
	stop   func()
	die    func() // ends without another word to the database
	faults bool   // faults are declared
}

func bubble(t *testing.T, f func(t *testing.T, r *rig)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		net, err := params.ByName("local")
		require.NoError(t, err)
		r := &rig{t: t, dir: dir, net: net, prover: sealertest.NewProver(), chain: sealertest.NewChain(net, 3, time.Now())}
		r.up()
		defer func() { r.stop() }()
		f(t, r)
	})
}

func (r *rig) up() {
	ctx, cancel := context.WithCancel(context.Background())
	d, err := db.Open(ctx, db.Config{Path: filepath.Join(r.dir, "sealer.db")})
	require.NoError(r.t, err)
	h := heads.New(r.chain, clock.Real())
	sender := messages.New(messages.Config{Miner: sealertest.Miner(), Wallet: "w", Confidence: 1}, r.chain.Messager(), r.chain)
	var mu sync.Mutex
	r.shell, err = wdpost.New(ctx, wdpost.Settings{
		Config: wdpost.Config{Miner: sealertest.MinerID, StuckAfter: 6, CheckLead: 40, Keep: 10}, Miner: sealertest.Miner(), MaxPartitions: 1, BlockDelay: r.net.BlockDelay, DeclareFaults: r.faults,
	}, wdpost.Parts{
		Chain: r.chain, Messages: sender, Prover: r.prover, Verifier: r.prover, Store: d, Heads: h, Clock: clock.Real(),
		Alert: func(a wdpost.Alert) {
			mu.Lock()
			defer mu.Unlock()
			require.Less(r.t, r.chain.Height(), a.Cutoff, "an alert that nobody can act on: %s", a.Text)
			r.alerts = append(r.alerts, a.Text)
		},
		Lost: func(n int) {
			mu.Lock()
			defer mu.Unlock()
			r.lost += n
		},
	})
	require.NoError(r.t, err)
	var wg sync.WaitGroup
	wg.Go(func() { r.shell.Run(ctx) })
	wg.Go(func() { h.Run(ctx) })
	r.stop = func() {
		cancel()
		wg.Wait()
		require.NoError(r.t, d.Close())
	}
	r.die = func() {
		require.NoError(r.t, d.Close())
		cancel()
	}
}

func (r *rig) restart() {
	r.stop()
	r.up()
}

func (r *rig) tick(n int) {
	for range n {
		_ = clock.Real().Sleep(context.Background(), r.net.BlockDelay)
		r.chain.Tick(time.Now())
		synctest.Wait()
	}
}

// sectors puts sectors in several deadlines and partitions.
func (r *rig) sectors() int {
	n := abi.SectorNumber(0)
	for _, place := range [][2]uint64{{2, 0}, {2, 0}, {2, 1}, {3, 0}, {4, 0}, {4, 1}, {4, 2}, {30, 0}} {
		r.chain.AddSector(n, place[0], place[1])
		n++
	}
	return int(n)
}

// partitions is how many proofs a proving period takes with sectors().
const partitions = 7

func TestTwoProvingPeriods(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.sectors()
		r.tick(2*960 - 3)
		require.Zero(t, r.chain.Missed())
		require.Empty(t, r.alerts)
		require.Equal(t, n, r.chain.Active())
		require.Len(t, r.chain.Messager().Pushed(submit.SubmitWindowedPoSt), 2*partitions)
		require.Equal(t, 2*partitions, r.chain.Messager().Landed(submit.SubmitWindowedPoSt))
		require.Equal(t, 2*partitions, r.prover.Proofs, "no proof is made twice")
	})
}

// Sectors found bad while a proof is made are left out of it, and the proof counts: none is made again without them.
func TestProofsThatLeaveSectorsOutCount(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.sectors()
		r.prover.Change(func() { r.prover.Hidden = map[abi.SectorNumber]bool{1: true} })
		r.tick(960 - 3)
		require.Equal(t, n-1, r.chain.Active())
		require.Equal(t, partitions, r.chain.Messager().Landed(submit.SubmitWindowedPoSt))
		require.Equal(t, partitions, r.prover.Proofs)
	})
}

func TestRestartsNeverProveTwice(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.sectors()
		for range 480 {
			r.tick(2)
			r.restart()
		}
		require.Zero(t, r.chain.Missed())
		require.Equal(t, n, r.chain.Active())
		require.Len(t, r.chain.Messager().Pushed(submit.SubmitWindowedPoSt), partitions)
		require.LessOrEqual(t, r.prover.Proofs, partitions, "a stored proof is not made again")
	})
}

func TestCrashBeforePush(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.sectors()
		disarm := fault.Arm("wdpost/intent", func() error { return fault.ErrInjected })
		r.tick(45) // deadline 2 is open, nothing can be pushed
		require.Empty(t, r.chain.Messager().Pushed(submit.SubmitWindowedPoSt))
		r.restart()
		disarm()
		r.tick(10)
		require.Equal(t, 2, r.chain.Messager().Landed(submit.SubmitWindowedPoSt))
		require.Equal(t, 3, r.prover.Proofs, "two for deadline 2, one for 3, none twice")
	})
}

// TestRoughWorld kills, reorganises and takes services away at random, never for
// as long as a window: every deadline is proven all the same.
func TestRoughWorld(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				rnd := rand.New(rand.NewPCG(seed, 7))
				n := r.sectors()
				m := r.chain.Messager()
				exit := func(*types.Message) exitcode.ExitCode {
					if rnd.IntN(4) == 0 {
						return exitcode.SysErrOutOfGas
					}
					return exitcode.Ok
				}
				r.chain.Change(func() { m.Exit = exit })
				for range 960 {
					r.chain.Change(func() { m.Down, r.chain.Down = rnd.IntN(3) == 0, rnd.IntN(8) == 0 })
					r.tick(1)
					switch rnd.IntN(20) {
					case 0:
						r.restart()
					case 1:
						r.chain.Change(func() { m.LoseAnswer = 1 })
					case 2:
						if r.chain.Height() > 10 {
							r.chain.Reorg(2, time.Now())
							synctest.Wait()
						}
					}
				}
				require.Zero(t, r.chain.Missed(), "seed %d", seed)
				require.Equal(t, n, r.chain.Active())
			})
		})
	}
}

func TestBadSectorsAreSkippedAndRecovered(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.sectors()
		r.prover.Change(func() { r.prover.Bad[1], r.prover.Bad[3] = true, true }) // one of a partition, one alone in its deadline
		r.tick(100)
		require.Equal(t, n-2, r.chain.Active())
		require.Equal(t, 1, r.chain.Missed(), "the deadline with nothing but the bad sector")
		require.Equal(t, 1, r.lost)
		require.Len(t, r.alerts, 1, "told while it could be mended")
		require.Contains(t, r.alerts[0], "deadline 3 closes at epoch 80")
		require.Contains(t, r.alerts[0], "sector 3: damaged")
		r.prover.Change(func() { r.prover.Bad = map[abi.SectorNumber]bool{} })
		r.tick(960)
		require.Equal(t, n, r.chain.Active(), "both are declared recovered and proven again")
		require.Len(t, r.chain.Messager().Pushed(submit.DeclareFaultsRecovered), 2)
	})
}

func TestSlowProverMissesOneDeadlineOnly(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.sectors()
		r.prover.Change(func() { r.prover.Gate = make(chan struct{}) })
		r.tick(57) // the window [40,60) is almost over
		close(r.prover.Gate)
		r.tick(30)
		require.LessOrEqual(t, r.chain.Missed(), 2)
		r.tick(40)
		require.LessOrEqual(t, r.chain.Missed(), 2, "the deadlines after it are in time")
	})
}

func TestProofsWeRefuseAreNotSent(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.sectors()
		r.prover.Change(func() { r.prover.Reject = true })
		r.tick(52)
		require.Empty(t, r.chain.Messager().Pushed(submit.SubmitWindowedPoSt))
		r.prover.Change(func() { r.prover.Reject = false })
		r.tick(30)
		require.Zero(t, r.chain.Missed())
	})
}

func TestOutageOfManyDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.sectors()
		r.tick(30)
		r.stop()
		for range 130 {
			_ = clock.Real().Sleep(context.Background(), r.net.BlockDelay)
			r.chain.Tick(time.Now())
		}
		require.Equal(t, 6, r.chain.Missed())
		r.up()
		r.tick(960 + 20)
		require.Equal(t, 6, r.chain.Missed(), "no deadline after the outage is missed")
		require.Equal(t, n, r.chain.Active(), "recoveries were declared and proven")
	})
}

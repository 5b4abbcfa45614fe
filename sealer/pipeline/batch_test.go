package pipeline_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
)

// sharing is a rig whose sectors share messages.
func sharing(t *testing.T, f func(t *testing.T, r *rig)) {
	bubble(t, func(t *testing.T, r *rig) {
		r.batch = map[sector.Kind]sector.BatchRule{
			sector.KindPreCommit: {Min: 2, Max: 4, MaxWait: 10 * time.Second, Slack: 100, Above: big.NewInt(100)},
			sector.KindCommit:    {Min: 4, Max: 5, MaxWait: 10 * time.Second, Slack: 100, Above: big.NewInt(100)},
			sector.KindTerminate: {Min: 1, Max: 100, MaxWait: 5 * time.Second},
		}
		r.restart()
		f(t, r)
	})
}

// pledgeMany begins sectors.
func (r *rig) pledgeMany(n int) (out []abi.SectorNumber) {
	for range n {
		out = append(out, r.pledge())
	}
	return out
}

// all waits until sectors are in a state.
func (r *rig) all(list []abi.SectorNumber, want sector.State) {
	r.t.Helper()
	for _, n := range list {
		r.until(n, want, 120)
	}
}

// pushed counts the messages of a method.
func (r *rig) pushed(m abi.MethodNum) int { return len(r.chain.Messager().Pushed(m)) }

func TestSharedMessages(t *testing.T) {
	sharing(t, func(t *testing.T, r *rig) {
		list := r.pledgeMany(6)
		r.all(list, sector.Proving)
		require.Equal(t, 2, r.pushed(builtin.MethodsMiner.PreCommitSectorBatch), "four, then two that waited")
		require.Zero(t, r.pushed(builtin.MethodsMiner.PreCommitSector))
		require.Equal(t, 1, r.pushed(builtin.MethodsMiner.ProveCommitAggregate))
		require.Equal(t, 6-5, r.pushed(builtin.MethodsMiner.ProveCommitSector), "one had no company")
		batch := r.chain.Messager().Pushed(builtin.MethodsMiner.PreCommitSectorBatch)[0]
		require.True(t, batch.Value.GreaterThan(types.NewFIL(4).Atto()), "deposits and the network's fee")
		for range 5 {
			r.tick()
		}
		all, err := r.db.Outbox(t.Context(), "", 0)
		require.NoError(t, err)
		require.Len(t, all, 3)
		for _, m := range all {
			require.Equal(t, db.OutLanded, m.State)
			require.Zero(t, m.Exit)
			require.NotEmpty(t, m.Why)
		}
	})
}

func TestCheapGasSharesNothing(t *testing.T) {
	sharing(t, func(t *testing.T, r *rig) {
		for _, k := range []sector.Kind{sector.KindPreCommit, sector.KindCommit} {
			b := r.batch[k]
			b.Above = big.NewInt(sector.BreakEven)
			r.batch[k] = b
		}
		r.restart()
		list := r.pledgeMany(6)
		r.all(list, sector.Proving)
		r.oneMessageEach(6)
	})
}

func TestFlush(t *testing.T) {
	sharing(t, func(t *testing.T, r *rig) {
		b := r.batch[sector.KindPreCommit]
		b.MaxWait = time.Hour
		r.batch[sector.KindPreCommit] = b
		r.restart()
		list := r.pledgeMany(3)
		r.all(list, sector.SubmitPreCommitBatch)
		for range 20 {
			r.tick()
		}
		require.Len(t, r.p.Waiting()[sector.KindPreCommit], 3)
		r.p.Flush(sector.KindPreCommit)
		r.all(list, sector.WaitSeed)
		require.Equal(t, 1, r.pushed(builtin.MethodsMiner.PreCommitSectorBatch))
	})
}

// TestBadSectorInABatch: the one that the chain refuses is found before the
// batch is sent; the others go together.
func TestBadSectorInABatch(t *testing.T) {
	sharing(t, func(t *testing.T, r *rig) {
		r.chain.Change(func() { r.chain.Refuse = map[abi.SectorNumber]bool{2: true} })
		list := r.pledgeMany(4)
		r.all([]abi.SectorNumber{1, 3, 4}, sector.WaitSeed)
		require.Equal(t, 1, r.pushed(builtin.MethodsMiner.PreCommitSectorBatch))
		require.Equal(t, 1, r.chain.Messager().Landed(builtin.MethodsMiner.PreCommitSectorBatch))
		for range 1000 {
			r.tick()
		}
		bad, err := r.p.Get(2)
		require.NoError(t, err)
		require.Contains(t, bad.Parked, "10 messages in a row")
		require.Equal(t, 10, r.pushed(builtin.MethodsMiner.PreCommitSector), "the bad one spends its own budget, then stops")
		r.chain.Change(func() { r.chain.Refuse = nil })
		require.NoError(t, r.p.Apply(t.Context(), 2, sector.Retry{}, nil))
		r.all(list[1:2], sector.Proving)
	})
}

func TestBatchFailsOnChain(t *testing.T) {
	sharing(t, func(t *testing.T, r *rig) {
		fails := map[abi.MethodNum]int{builtin.MethodsMiner.PreCommitSectorBatch: 1, builtin.MethodsMiner.ProveCommitAggregate: 1}
		exit := func(m *types.Message) exitcode.ExitCode {
			if fails[m.Method] > 0 {
				fails[m.Method]--
				return exitcode.ErrForbidden
			}
			return exitcode.Ok
		}
		r.chain.Change(func() { r.chain.Messager().Exit = exit })
		list := r.pledgeMany(4)
		r.all(list, sector.Proving)
		require.Equal(t, 4, r.chain.Messager().Landed(builtin.MethodsMiner.PreCommitSector), "after a batch that failed everyone goes alone")
		require.Equal(t, 4, r.chain.Messager().Landed(builtin.MethodsMiner.ProveCommitSector))
	})
}

func TestBatchWaitsForFunds(t *testing.T) {
	sharing(t, func(t *testing.T, r *rig) {
		r.chain.Change(func() { r.chain.Balance = types.NewFIL(2).Atto() })
		list := r.pledgeMany(4)
		for range 40 {
			r.tick()
		}
		rec, err := r.p.Get(1)
		require.NoError(t, err)
		require.Equal(t, sector.SubmitPreCommitBatch, rec.State)
		require.Contains(t, rec.Parked, "insufficient funds")
		r.chain.Change(func() { r.chain.Balance = types.NewFIL(100).Atto() })
		r.all(list, sector.Proving)
		require.Equal(t, 1, r.pushed(builtin.MethodsMiner.PreCommitSectorBatch))
	})
}

// TestBatchMissesItsTime: a batch that could not be pushed before a ticket grew
// too old is given up, and every member starts over by itself.
func TestBatchMissesItsTime(t *testing.T) {
	sharing(t, func(t *testing.T, r *rig) {
		r.chain.Change(func() { r.chain.Messager().Down = true })
		list := r.pledgeMany(4)
		r.all(list, sector.SubmitPreCommitBatch)
		for range int(r.net.MaxPreCommitRandLookback) + 40 {
			r.tick()
		}
		r.chain.Change(func() { r.chain.Messager().Down = false })
		r.all(list, sector.Proving)
		require.Equal(t, 4, func() (n int) {
			for _, s := range list {
				rec, err := r.p.Get(s)
				require.NoError(t, err)
				n += rec.Restarts
			}
			return n
		}())
	})
}

// TestSharedCrashes fails and restarts the sealer at the k-th passage of every
// failpoint around shared messages. Nothing is sent twice, nobody is left behind.
func TestSharedCrashes(t *testing.T) {
	// Of transitions, which every test of crashes passes, only some are taken.
	for point, step := range map[string]int{"sealer/outbox": 1, "sealer/outbox-pushed": 1, "sealer/transition": 11} {
		for k := 1; ; k += step {
			hit := false
			t.Run(fmt.Sprintf("%s-%d", point[len("sealer/"):], k), func(t *testing.T) {
				sharing(t, func(t *testing.T, r *rig) {
					var mu sync.Mutex
					passed, crashed := 0, false
					defer fault.Arm(point, func() error {
						mu.Lock()
						defer mu.Unlock()
						passed++
						hit = hit || passed == k
						if passed >= k && passed < k+2 {
							crashed = true
							return fault.ErrInjected
						}
						return nil
					})()
					list := r.pledgeMany(4)
					for range 80 {
						r.tick()
						mu.Lock()
						again := crashed
						crashed = false
						mu.Unlock()
						if again {
							r.restart()
						}
					}
					r.all(list, sector.Proving)
					require.Equal(t, 1, r.chain.Messager().Landed(builtin.MethodsMiner.PreCommitSectorBatch)+r.chain.Messager().Landed(builtin.MethodsMiner.PreCommitSector)/4)
					require.Equal(t, r.pushed(builtin.MethodsMiner.PreCommitSectorBatch), r.chain.Messager().Landed(builtin.MethodsMiner.PreCommitSectorBatch))
					require.Equal(t, r.pushed(builtin.MethodsMiner.ProveCommitAggregate), r.chain.Messager().Landed(builtin.MethodsMiner.ProveCommitAggregate))
				})
			})
			if !hit || t.Failed() {
				require.Greater(t, k, 1, "failpoint %s is never passed", point)
				break
			}
		}
	}
}

func TestTerminate(t *testing.T) {
	sharing(t, func(t *testing.T, r *rig) {
		r.chain.Change(func() { r.chain.FirstDeadline = 47 })
		list := r.pledgeMany(4)
		r.all(list, sector.Proving)
		r.apply(list[0], sector.Terminate{})
		r.apply(list[1], sector.Terminate{})
		r.restart()
		r.all(list[:2], sector.TerminateFinality)
		require.Equal(t, 1, r.pushed(builtin.MethodsMiner.TerminateSectors), "they share a message")
		for range int(r.net.Finality) - 20 {
			r.tick()
		}
		rec, err := r.p.Get(list[0])
		require.NoError(t, err)
		require.Equal(t, sector.TerminateFinality, rec.State, "the files stay until finality")
		r.all(list[:2], sector.Removed)
		rec, err = r.p.Get(list[2])
		require.NoError(t, err)
		require.NotEqual(t, sector.Removed, rec.State)
	})
}

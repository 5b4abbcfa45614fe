package pipeline_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/sector"
)

func forDeals(t *testing.T, f func(t *testing.T, r *rig)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := newRigOn(t, dir, func(r *rig) { r.forDeals = 1 })
		defer func() { r.stop() }()
		f(t, r)
	})
}

// begun waits until there are so many sectors.
func (r *rig) begun(n int) {
	for range 20 {
		if len(r.p.List()) >= n {
			return
		}
		r.tick()
	}
	r.t.Fatalf("there are %d sectors, not %d", len(r.p.List()), n)
}

// TestNewSectorForDeals: deals that no sector is offered for get a new one, are active once it is proven, and their data
// stays with it.
func TestNewSectorForDeals(t *testing.T) {
	forDeals(t, func(t *testing.T, r *rig) {
		a, b := r.deal(1, 900, 1024, 20000), r.deal(2, 100, 128, 20000)
		r.begun(1)
		require.Equal(t, 1, r.p.Sealing())
		rec := r.until(1, sector.Proving, 60)
		require.Equal(t, []abi.DealID{1, 2}, sector.IDsOf(rec.Deals))
		require.Equal(t, []abi.DealID{1, 2}, r.chain.Info(1).DealIDs)
		require.Positive(t, r.chain.Deal(1).State.SectorStartEpoch)
		paths := seal.PathsIn(filepath.Join(r.dir, "store"), abi.SectorID{Miner: sealertest.MinerID, Number: 1})
		s := seal.New(seal.Config{})
		defer s.Close()
		for offset, data := range map[abi.UnpaddedPieceSize][]byte{0: a, 1016: b} {
			require.Equal(t, data, readAll(t, s, paths, offset, len(data)))
		}
		require.NoFileExists(t, filepath.Join(r.dir, "seal", "unsealed", "s-t01000-1"), "it rests with the sealed file")
		require.Equal(t, map[abi.DealID]db.DealState{1: db.DealHere, 2: db.DealHere}, r.dealStates(), "until that is final")
		for range int(r.net.Finality) + 5 {
			r.tick()
		}
		require.Equal(t, map[abi.DealID]db.DealState{1: db.DealDone, 2: db.DealDone}, r.dealStates())
		require.Len(t, r.p.List(), 1, "nothing waits, so no other sector is begun")
		r.oneMessageEach(1)
		require.ErrorIs(t, r.p.Apply(t.Context(), 1, sector.MarkForUpdate{}, nil), sector.ErrIgnored)
		require.ErrorIs(t, r.p.Apply(t.Context(), 1, sector.Redo{}, nil), sector.ErrIgnored)
	})
}

// TestNoSectorForLongDeals: none is begun for a deal that no new sector lives long enough for.
func TestNoSectorForLongDeals(t *testing.T) {
	forDeals(t, func(t *testing.T, r *rig) {
		r.deal(1, 900, 1024, 2_000_000)
		for range 10 {
			r.tick()
		}
		require.Equal(t, map[abi.DealID]db.DealState{1: db.DealHere}, r.dealStates())
		require.Empty(t, r.p.List())
	})
}

// TestDealsThatBecameOthers: a reorg that gives a deal's number to another deal keeps a sector from being committed to, until
// the number is its deal's again; the same for an update.
func TestDealsThatBecameOthers(t *testing.T) {
	other := func(r *rig) (back func()) {
		was := r.chain.Deal(1)
		r.chain.SetDeal(1, func(d *node.MarketDeal) { d.Proposal.PieceCID = sealertest.Cid("another") })
		return func() { r.chain.SetDeal(1, func(d *node.MarketDeal) { *d = was }) }
	}
	wait := func(r *rig, n abi.SectorNumber, st sector.State, method abi.MethodNum) {
		for range 40 {
			r.tick()
		}
		rec, err := r.p.Get(n)
		require.NoError(r.t, err)
		require.Equal(r.t, st, rec.State)
		require.Contains(r.t, rec.LastErr, "a reorg gave its number to another")
		require.Empty(r.t, r.chain.Messager().Pushed(method))
	}
	forDeals(t, func(t *testing.T, r *rig) {
		r.deal(1, 2000, 2048, 20000)
		back := other(r)
		r.begun(1)
		wait(r, 1, sector.PreCommitting, builtin.MethodsMiner.PreCommitSector)
		back()
		r.until(1, sector.Proving, 80)
	})
	bubble(t, func(t *testing.T, r *rig) {
		n := r.active(1)[0]
		r.deal(1, 2000, 2048, 20000)
		back := other(r)
		r.apply(n, sector.MarkForUpdate{})
		wait(r, n, sector.SubmitReplicaUpdate, builtin.MethodsMiner.ProveReplicaUpdates)
		back()
		r.until(n, sector.UpdateActivating, 80)
	})
}

// TestNewSectorOutlivedByDeals: a deal that starts before its new sector is proven ends it; the others go into the next.
func TestNewSectorOutlivedByDeals(t *testing.T) {
	forDeals(t, func(t *testing.T, r *rig) {
		start := r.chain.Height() + 45
		r.deal(1, 900, 1024, start)
		r.deal(2, 900, 1024, 20000) // together they fill it
		r.chain.Change(func() { r.chain.Messager().Hold = true })
		r.begun(1)
		r.until(1, sector.PreCommitWait, 40)
		for r.chain.Height() < start+2 {
			r.tick()
		}
		r.chain.SetDeal(1, func(d *node.MarketDeal) { d.State.SlashEpoch = start })
		r.chain.Change(func() { r.chain.Messager().Hold = false })
		r.until(1, sector.DealsExpired, 40)
		r.begun(2)
		r.until(2, sector.Proving, 80)
		require.Equal(t, []abi.DealID{2}, r.chain.Info(2).DealIDs)
		require.Equal(t, db.DealExpired, r.dealStates()[1])
		require.Equal(t, sector.ErrIgnored, unwrapIgnored(r.p.Apply(t.Context(), 1, sector.Remove{}, nil)), "its deposit is lost by it")
		r.apply(1, sector.Remove{Abandon: true})
		r.until(1, sector.Removed, 20)
	})
}

// TestCrashWithDeals seals a new sector with a deal and kills the sealer at the first and third passage of the marks on its
// way: always one sector, one message each, the data in it.
func TestCrashWithDeals(t *testing.T) {
	points := []string{"sealer/number", "sealer/transition", "sealer/pieces", "sealer/intent", "deals/recorded", "deals/copied", "deals/deleted", "store/rename", "task/adopt"}
	for _, point := range points {
		atPassages(t, point, []int{1, 3}, func(t *testing.T, k int) (hit bool) {
			forDeals(t, func(t *testing.T, r *rig) { hit = r.crashingDeal(point, k) })
			return hit
		})
	}
}

func (r *rig) crashingDeal(point string, k int) bool {
	t := r.t
	c := r.crashAt(point, k)
	defer c.disarm()
	data := r.deal(1, 2000, 2048, 20000)
	for range int(r.net.Finality) + 200 {
		if r.dealStates()[1] == db.DealDone {
			break
		}
		c.tick()
	}
	require.Equal(t, db.DealDone, r.dealStates()[1])
	m := r.chain.Messager()
	require.Equal(t, 1, m.Landed(builtin.MethodsMiner.PreCommitSector))
	require.Equal(t, 1, m.Landed(builtin.MethodsMiner.ProveCommitSector))
	in := r.p.DealsInSectors()[1]
	require.Equal(t, []abi.DealID{1}, r.chain.Info(in.Number).DealIDs)
	s := seal.New(seal.Config{})
	defer s.Close()
	require.Equal(t, data, readAll(t, s, seal.PathsIn(filepath.Join(r.dir, "store"), in.ID()), 0, len(data)))
	return c.hit()
}

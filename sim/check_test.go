package sim

import (
	"context"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/reward"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/state/check"
	"github.com/filecoin-venus/venus/types"
)

// forger makes broken copies of a state.
type forger struct {
	t     *testing.T
	ctx   context.Context
	store *ipld.Store
	root  cid.Cid
}

func (f *forger) change(a address.Address, alter func(act *types.Actor)) cid.Cid {
	tree, err := state.Load(f.ctx, f.store, f.root)
	require.NoError(f.t, err)
	act, err := tree.GetActor(f.ctx, a)
	require.NoError(f.t, err)
	alter(act)
	require.NoError(f.t, tree.SetActor(f.ctx, a, act))
	root, err := tree.Flush(f.ctx)
	require.NoError(f.t, err)
	return root
}

// rewrite changes an actor's state, which st is read into.
func (f *forger) rewrite(a address.Address, st cbg.CBORUnmarshaler, alter func()) cid.Cid {
	return f.change(a, func(act *types.Actor) {
		require.NoError(f.t, f.store.Get(f.ctx, act.Head, st))
		alter()
		var err error
		act.Head, err = f.store.Put(f.ctx, st)
		require.NoError(f.t, err)
	})
}

// Whatever is wrong with a state is found by reading all of it and by looking at what changed alike, and is gone when the
// state is right again.
func TestBrokenStatesAreFound(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w, err := NewWorld(ctx, Config{Miners: 3, Seed: 41, Operations: true})
	require.NoError(t, err)
	defer w.Exec.Close()
	for w.Store.Head().Height() < 130 {
		_, err := w.Step(ctx)
		require.NoError(t, err)
	}
	head := w.Store.Head()
	res, err := w.Exec.Execute(ctx, head)
	require.NoError(t, err)
	f := &forger{t: t, ctx: ctx, store: ipld.NewStore(ctx, w.cfg.Blocks), root: res.State}
	one, m := big.NewInt(1), w.Miners[2].ID
	var mst miner.State
	var pst power.State
	var kst market.State
	var rst reward.State
	var dst miner.Deadlines
	for _, forged := range []struct {
		name, says string
		root       cid.Cid
	}{
		{"a coin too many", "total token balance", f.change(w.Faucet.Address, func(a *types.Actor) { a.Balance = big.Add(a.Balance, one) })},
		{"locked funds", "not sum of vesting table", f.rewrite(m, &mst, func() { mst.LockedFunds = big.Add(mst.LockedFunds, one) })},
		{"pledge", "total pledge collateral", f.rewrite(m, &mst, func() { mst.InitialPledge = big.Add(mst.InitialPledge, one) })},
		{"recorded pledge", "total pledge collateral", f.rewrite(builtin.StoragePowerActorAddr, &pst, func() {
			pst.TotalPledgeCollateral = big.Sub(pst.TotalPledgeCollateral, one)
		})},
		{"power", "recorded raw power", f.rewrite(builtin.StoragePowerActorAddr, &pst, func() {
			pst.TotalRawBytePower = big.Sub(pst.TotalRawBytePower, one)
		})},
		{"locked in the market", "locked total", f.rewrite(builtin.StorageMarketActorAddr, &kst, func() {
			kst.TotalClientStorageFee = big.Add(kst.TotalClientStorageFee, one)
		})},
		{"reward epoch", "reward state epoch", f.rewrite(builtin.RewardActorAddr, &rst, func() { rst.Epoch++ })},
		{"swapped deadlines", "miner", f.rewrite(m, &mst, func() {
			require.NoError(t, f.store.Get(ctx, mst.Deadlines, &dst))
			dst.Due[0], dst.Due[1], dst.Due[2] = dst.Due[2], dst.Due[0], dst.Due[1]
			mst.Deadlines, err = f.store.Put(ctx, &dst)
			require.NoError(t, err)
		})},
		{"a miner's money gone", "miner balance", f.change(m, func(a *types.Actor) { a.Balance = one })},
	} {
		full, err := check.Full(ctx, f.store, forged.root, head.Height())
		require.NoError(t, err, forged.name)
		require.NotEmpty(t, full, forged.name)
		require.Contains(t, full[len(full)-1]+full[0], forged.says, forged.name)

		step := check.New()
		for _, s := range []struct {
			root cid.Cid
			want []string
		}{{f.root, nil}, {forged.root, full}, {f.root, nil}} {
			found, err := step.Check(ctx, f.store, s.root, head.Height())
			require.NoError(t, err, forged.name)
			require.Equal(t, s.want, found, forged.name)
		}
	}
	_, err = check.New().Check(ctx, f.store, head.Cids()[0], 1)
	require.Error(t, err, "a block is no state")
}

package chain

import (
	"context"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

func stateView(ctx context.Context, blocks ipld.Blockstore, root cid.Cid) *state.View {
	return state.NewView(ipld.NewStore(ctx, blocks), root)
}

// Lookback returns the tipset and the state that decide who may mine at round on the chain ending in base: the tipset that
// lies the network's lookback behind the round, and the state after it (node-nv15.md 3.6).
func (e *Executor) Lookback(ctx context.Context, base *types.TipSet, round abi.ChainEpoch) (*types.TipSet, cid.Cid, error) {
	at := max(0, round-e.store.net.WinningPoStLookback)
	if at >= base.Height() {
		res, err := e.Execute(ctx, base)
		if err != nil {
			return nil, cid.Undef, err
		}
		return base, res.State, nil
	}
	next, err := e.store.AtOrAfter(ctx, base, at+1)
	if err != nil {
		return nil, cid.Undef, fmt.Errorf("lookback of epoch %d: %w", round, err)
	}
	ts, err := e.store.Parent(ctx, next)
	if err != nil {
		return nil, cid.Undef, fmt.Errorf("lookback of epoch %d: %w", round, err)
	}
	return ts, next.ParentState(), nil
}

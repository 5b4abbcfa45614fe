package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/mpool"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

// poolChain is the chain as the message pool and gas estimation see it.
type poolChain struct{ reader }

func (c poolChain) stateAfter(ctx context.Context, ts *types.TipSet) (*state.View, error) {
	res, err := c.exec.Execute(ctx, ts)
	if err != nil {
		return nil, err
	}
	return c.store.View(res.State), nil
}

// ActorAfter implements mpool.Chain.
func (c poolChain) ActorAfter(ctx context.Context, addr address.Address, ts *types.TipSet) (mpool.Actor, error) {
	view, err := c.stateAfter(ctx, ts)
	if err != nil {
		return mpool.Actor{}, err
	}
	act, err := view.Actor(ctx, addr)
	if errors.Is(err, state.ErrActorNotFound) {
		return mpool.Actor{}, fmt.Errorf("sender %s: %w", addr, mpool.ErrUnknownSender)
	}
	if err != nil {
		return mpool.Actor{}, err
	}
	if _, err := view.ResolveToKey(ctx, addr); err != nil {
		return mpool.Actor{}, fmt.Errorf("sender %s: %w", addr, mpool.ErrUnknownSender)
	}
	return mpool.Actor{Nonce: act.Nonce, Balance: act.Balance}, nil
}

// ResolveToKey implements mpool.Chain.
func (c poolChain) ResolveToKey(ctx context.Context, addr address.Address, ts *types.TipSet) (address.Address, error) {
	view, err := c.stateAfter(ctx, ts)
	if err != nil {
		return address.Undef, err
	}
	return view.ResolveToKey(ctx, addr)
}

// BaseFeeAfter implements mpool.Chain.
func (c poolChain) BaseFeeAfter(ctx context.Context, ts *types.TipSet) (abi.TokenAmount, error) {
	return c.store.NextBaseFee(ctx, ts)
}

// Messages implements mpool.Chain.
func (c poolChain) Messages(ctx context.Context, ts *types.TipSet) ([]types.ChainMsg, error) {
	if ts.Height() == 0 {
		return nil, nil
	}
	lists, err := c.store.ExecutionList(ctx, ts)
	if err != nil {
		return nil, err
	}
	var out []types.ChainMsg
	for _, b := range lists {
		out = append(out, b.All()...)
	}
	return out, nil
}

// TipSet implements mpool.Chain.
func (c poolChain) TipSet(ctx context.Context, key types.TipSetKey) (*types.TipSet, error) {
	return c.store.TipSet(ctx, key)
}

// deleteHeadroom is the gas that a message deleting an actor must have beside
// what its receipt shows: the refund comes at the end.
const deleteHeadroom = 76_000

// Simulate implements mpool.Simulator.
func (c poolChain) Simulate(ctx context.Context, ts *types.TipSet) (mpool.Simulation, error) {
	machine, err := c.exec.OpenMachine(ctx, ts, true)
	if err != nil {
		return nil, err
	}
	return simulation{machine}, nil
}

// simulation is a machine whose results nobody keeps.
type simulation struct{ chain.Machine }

// Apply implements mpool.Simulation.
func (s simulation) Apply(ctx context.Context, msg types.ChainMsg) (mpool.CallResult, error) {
	res, err := s.ApplyMessage(ctx, msg)
	if err != nil {
		return mpool.CallResult{}, err
	}
	out := mpool.CallResult{Receipt: res.Receipt}
	if res.Err != nil {
		out.Error = res.Err.Error()
	}
	if deletes(res.Trace) {
		out.Headroom = deleteHeadroom
	}
	return out, nil
}

func deletes(t *vm.Trace) bool {
	if t == nil {
		return false
	}
	for _, g := range t.GasCharges {
		if g.TotalGas < 0 {
			return true
		}
	}
	for _, s := range t.Subcalls {
		if deletes(s) {
			return true
		}
	}
	return false
}

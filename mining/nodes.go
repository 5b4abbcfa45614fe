package mining

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"

	nodeapi "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

// nodes asks the node on the best head, and the next when it fails or takes longer than patience. It is what runners see.
type nodes struct {
	heads    *heads
	clock    clock.Clock
	patience time.Duration
}

// ask puts a question to one node after the other until one answers; the first error is told when none does.
func ask[T any](ctx context.Context, n *nodes, f func(context.Context, Node) (T, error)) (out T, err error) {
	var first error
	order := n.heads.order()
	for i, node := range order {
		try, cancel := ctx, context.CancelFunc(func() {})
		if i < len(order)-1 {
			try, cancel = within(ctx, n.clock, n.patience)
		}
		out, err = f(try, node.Node)
		late := try.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || ctx.Err() != nil {
			return out, err
		}
		if late {
			err = fmt.Errorf("no answer within %s: %w", n.patience, err)
		}
		if len(order) > 1 {
			err = fmt.Errorf("%s: %w", node.Name, err)
		}
		if first == nil {
			first = err
		}
	}
	return out, first
}

// within is a context that ends after d on a clock.
func within(ctx context.Context, c clock.Clock, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	t := c.NewTimer(d)
	go func() {
		defer t.Stop()
		select {
		case <-t.C():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// MinerGetBaseInfo implements Producer.
func (n *nodes) MinerGetBaseInfo(ctx context.Context, miner address.Address, epoch abi.ChainEpoch, base types.TipSetKey) (*nodeapi.MiningBaseInfo, error) {
	return ask(ctx, n, func(ctx context.Context, node Node) (*nodeapi.MiningBaseInfo, error) {
		return node.MinerGetBaseInfo(ctx, miner, epoch, base)
	})
}

// MpoolSelects implements Producer.
func (n *nodes) MpoolSelects(ctx context.Context, tsk types.TipSetKey, q []float64) ([][]*types.SignedMessage, error) {
	return ask(ctx, n, func(ctx context.Context, node Node) ([][]*types.SignedMessage, error) {
		return node.MpoolSelects(ctx, tsk, q)
	})
}

// MinerCreateBlock implements Producer.
func (n *nodes) MinerCreateBlock(ctx context.Context, t *nodeapi.BlockTemplate) (*types.BlockMsg, error) {
	return ask(ctx, n, func(ctx context.Context, node Node) (*types.BlockMsg, error) { return node.MinerCreateBlock(ctx, t) })
}

// SyncSubmitBlock implements Producer: every node gets the block at once, and the first that takes it is enough. It is
// refused only when all of them say so; while one was not heard, somebody may have seen it.
func (n *nodes) SyncSubmitBlock(ctx context.Context, block *types.BlockMsg) error {
	order := n.heads.order()
	if len(order) == 1 {
		return order[0].Node.SyncSubmitBlock(ctx, block)
	}
	results := make(chan error, len(order))
	for _, f := range order {
		go func() {
			// The others go on when the first has taken it: two nodes reach more peers than one.
			ctx, cancel := within(context.WithoutCancel(ctx), n.clock, 2*n.patience)
			defer cancel()
			err := guarded(func() error { return f.Node.SyncSubmitBlock(ctx, block) })
			if err != nil {
				err = fmt.Errorf("%s: %w", f.Name, err)
			}
			results <- err
		}()
	}
	var refused, unsure error
	for range order {
		err := <-results
		switch {
		case err == nil:
			return nil
		case refusal(err):
			refused = errors.Join(refused, err)
		default:
			unsure = errors.Join(unsure, err)
		}
	}
	if unsure != nil {
		return unsure
	}
	return refused
}

// guarded turns a panic into an error.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the answer cannot be read: %v", r)
		}
	}()
	return f()
}

// ChainGetTipSet implements Past.
func (n *nodes) ChainGetTipSet(ctx context.Context, k types.TipSetKey) (*types.TipSet, error) {
	return ask(ctx, n, func(ctx context.Context, node Node) (*types.TipSet, error) { return node.ChainGetTipSet(ctx, k) })
}

// ChainGetTipSetByHeight implements Past.
func (n *nodes) ChainGetTipSetByHeight(ctx context.Context, h abi.ChainEpoch, k types.TipSetKey) (*types.TipSet, error) {
	return ask(ctx, n, func(ctx context.Context, node Node) (*types.TipSet, error) {
		return node.ChainGetTipSetByHeight(ctx, h, k)
	})
}

// SyncState implements Past.
func (n *nodes) SyncState(ctx context.Context) (*nodeapi.SyncState, error) {
	return ask(ctx, n, func(ctx context.Context, node Node) (*nodeapi.SyncState, error) { return node.SyncState(ctx) })
}

// StateMinerWorkerAddress implements Registry.
func (n *nodes) StateMinerWorkerAddress(ctx context.Context, m address.Address, k types.TipSetKey) (address.Address, error) {
	return ask(ctx, n, func(ctx context.Context, node Node) (address.Address, error) {
		return node.StateMinerWorkerAddress(ctx, m, k)
	})
}

// StateLookupID implements Registry.
func (n *nodes) StateLookupID(ctx context.Context, a address.Address, k types.TipSetKey) (address.Address, error) {
	return ask(ctx, n, func(ctx context.Context, node Node) (address.Address, error) { return node.StateLookupID(ctx, a, k) })
}

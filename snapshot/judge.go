package snapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/types"
)

// verdict is what the headers of an archive say.
type verdict struct {
	head    *types.TipSet
	genesis *types.BlockHeader
	// states is for how many epochs states are there.
	states abi.ChainEpoch
}

// judge walks the headers from the roots down to the genesis.
func (t *taker) judge(ctx context.Context, p *ipld.Pack) (verdict, error) {
	var v verdict
	read, err := readerOver(ctx, t.store, p)
	if err != nil {
		return v, err
	}
	if v.head, err = rootTipSet(ctx, read, t.in.Roots); err != nil {
		return v, err
	}
	keep := chain.Retention{Recent: t.o.Recent}
	lost, count := abi.ChainEpoch(-1), 0 // the height of the newest state that is not there
	err = read.EachBack(ctx, v.head, func(ts *types.TipSet) error {
		for _, h := range ts.Blocks() {
			count++
			if err := t.timely(h); err != nil {
				return err
			}
			if err := has(ctx, p, h, t.demands(h, keep, v.head.Height())); err != nil {
				return err
			}
		}
		if lost < 0 {
			ok, err := p.Has(ctx, ts.ParentState())
			if err != nil {
				return err
			}
			if !ok {
				lost = ts.Height()
			}
		}
		if ts.Height() == 0 && len(ts.Blocks()) == 1 {
			v.genesis = ts.Blocks()[0]
		}
		return nil
	})
	if errors.Is(err, chain.ErrMissingBlock) {
		err = fmt.Errorf("%w: %w", ErrIncomplete, err)
	} else if errors.Is(err, chain.ErrNotATipSet) {
		err = fmt.Errorf("%w: %w", ErrNoChain, err)
	}
	if err != nil {
		return v, err
	}
	if v.states = v.head.Height() - lost; lost < 0 {
		v.states = v.head.Height() + 1
	}
	if v.genesis == nil {
		return v, fmt.Errorf("%w: it has no beginning", ErrNoChain)
	}
	if count != t.headers {
		return v, fmt.Errorf("%w: %d headers, %d of them on the chain of the roots", ErrNoChain, t.headers, count)
	}
	return v, t.ours(v.genesis)
}

// readerOver reads chain objects from a pack alone.
func readerOver(ctx context.Context, s *chain.Store, p *ipld.Pack) (*chain.Store, error) {
	read, err := chain.Open(ctx, chain.Config{Network: *s.Network(), Blocks: p, Meta: chain.NewMemoryMeta()})
	if errors.Is(err, chain.ErrNoGenesis) {
		err = nil
	}
	return read, err
}

// rootTipSet loads the head, whose blocks the roots name in any order.
func rootTipSet(ctx context.Context, read *chain.Store, roots []cid.Cid) (*types.TipSet, error) {
	headers := make([]*types.BlockHeader, len(roots))
	for i, c := range roots {
		var err error
		if headers[i], err = read.Header(ctx, c); errors.Is(err, chain.ErrMissingBlock) {
			return nil, fmt.Errorf("%w: the root %w", ErrIncomplete, err)
		} else if err != nil {
			return nil, fmt.Errorf("%w: the root %w", ErrNoChain, err)
		}
	}
	ts, err := types.NewTipSet(headers)
	if err != nil {
		return nil, fmt.Errorf("%w: the roots are no tipset: %w", ErrNoChain, err)
	}
	return ts, nil
}

// demands lists what must lie below a header.
func (t *taker) demands(h *types.BlockHeader, keep chain.Retention, head abi.ChainEpoch) map[string]cid.Cid {
	switch {
	case t.messages && h.Height > 0:
		return map[string]cid.Cid{"messages": h.Messages}
	case !t.messages && keep.Young(h.Height, head):
		return map[string]cid.Cid{"state": h.ParentStateRoot, "receipts": h.ParentMessageReceipts, "messages": h.Messages}
	}
	return nil
}

func has(ctx context.Context, p *ipld.Pack, h *types.BlockHeader, what map[string]cid.Cid) error {
	for name, c := range what {
		ok, err := p.Has(ctx, c)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%w: the %s of block %s at height %d, %s, are not there", ErrIncomplete, name, h.Cid(), h.Height, c)
		}
	}
	return nil
}

// ours compares the archive's genesis with the network's.
func (t *taker) ours(h *types.BlockHeader) error {
	want := t.store.Network().GenesisCID
	if g := t.store.Genesis(); g != nil {
		want = g.Cids()[0].String()
	}
	if got := h.Cid().String(); got != want {
		return fmt.Errorf("%w: its genesis is %s, ours is %s", ErrForeign, got, want)
	}
	return nil
}

package chain

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/types"
)

// siblingIndex remembers accepted headers by height so that tipsets can be completed.
type siblingIndex struct {
	mu       sync.Mutex
	byHeight map[abi.ChainEpoch][]*types.BlockHeader
}

func (x *siblingIndex) add(h *types.BlockHeader) {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := h.Cid()
	for _, o := range x.byHeight[h.Height] {
		if o.Cid() == c {
			return
		}
	}
	x.byHeight[h.Height] = append(x.byHeight[h.Height], h)
}

// of lists accepted headers that can share a tipset with h, one per miner, h's own miner excluded.
func (x *siblingIndex) of(h *types.BlockHeader) []*types.BlockHeader {
	x.mu.Lock()
	defer x.mu.Unlock()
	miners := map[string]struct{}{string(h.Miner.Bytes()): {}}
	var out []*types.BlockHeader
	for _, o := range x.byHeight[h.Height] {
		if _, dup := miners[string(o.Miner.Bytes())]; dup || !slices.Equal(o.Parents, h.Parents) || !o.ParentWeight.Equals(h.ParentWeight) {
			continue
		}
		miners[string(o.Miner.Bytes())] = struct{}{}
		out = append(out, o)
	}
	return out
}

func (x *siblingIndex) all() []*types.BlockHeader {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []*types.BlockHeader
	for _, list := range x.byHeight {
		out = append(out, list...)
	}
	return out
}

func (x *siblingIndex) forget(below abi.ChainEpoch) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for h := range x.byHeight {
		if h < below {
			delete(x.byHeight, h)
		}
	}
}

// Accept takes in a block that validation has passed: it is stored, joins its siblings, and the tipset of all of them is
// considered as head. It returns that tipset and whether it became the head.
func (s *Store) Accept(ctx context.Context, h *types.BlockHeader) (*types.TipSet, bool, error) {
	if err := s.PutHeader(ctx, h); err != nil {
		return nil, false, err
	}
	return s.join(ctx, h)
}

// AcceptFull is PutFullBlock and Accept with one write for all of the block.
func (s *Store) AcceptFull(ctx context.Context, b *types.FullBlock) (*types.TipSet, bool, error) {
	buffer, err := s.bufferBlock(ctx, b)
	if err != nil {
		return nil, false, err
	}
	raw, err := b.Header.Serialize()
	if err != nil {
		return nil, false, err
	}
	if err := buffer.Put(ctx, b.Cid(), raw); err != nil {
		return nil, false, err
	}
	if err := buffer.Flush(ctx, b.Cid()); err != nil {
		return nil, false, fmt.Errorf("store block %s: %w", b.Cid(), err)
	}
	return s.join(ctx, b.Header)
}

// join takes a stored block among its siblings and considers their tipset.
func (s *Store) join(ctx context.Context, h *types.BlockHeader) (*types.TipSet, bool, error) {
	s.siblings.add(h)
	ts, err := s.Expand(h)
	if err != nil {
		return nil, false, err
	}
	changed, err := s.Consider(ctx, ts)
	return ts, changed, err
}

// Expand returns the largest tipset around a header that accepted blocks allow: same height and parents, one block per
// miner, the first seen of each.
func (s *Store) Expand(h *types.BlockHeader) (*types.TipSet, error) {
	ts, err := types.NewTipSet(append([]*types.BlockHeader{h}, s.siblings.of(h)...))
	if err != nil {
		return nil, fmt.Errorf("expand tipset of block %s: %w", h.Cid(), err)
	}
	return ts, nil
}

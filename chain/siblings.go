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
	s.siblings.add(h)
	return s.Follow(ctx, h)
}

// AcceptFull is KeepFull and Follow.
func (s *Store) AcceptFull(ctx context.Context, b *types.FullBlock) (*types.TipSet, bool, error) {
	if err := s.KeepFull(ctx, b); err != nil {
		return nil, false, err
	}
	return s.Follow(ctx, b.Header)
}

// KeepFull stores a block that validation has passed, messages and lists and header, and lets it join its siblings. The
// head stays where it is until Follow.
func (s *Store) KeepFull(ctx context.Context, b *types.FullBlock) error {
	buffer, kept, err := s.bufferBlock(ctx, b)
	if err != nil {
		return err
	}
	raw, err := b.Header.Serialize()
	if err != nil {
		return err
	}
	c := types.Sum(raw)
	if err := buffer.Put(ctx, c, raw); err != nil {
		return err
	}
	if err := buffer.Flush(ctx, c); err != nil {
		return fmt.Errorf("store block %s: %w", c, err)
	}
	s.messages.Add(b.Header.Messages, kept)
	s.siblings.add(b.Header)
	return nil
}

// Follow considers the tipset of an accepted block and its siblings as head. It returns that tipset and whether it became
// the head.
func (s *Store) Follow(ctx context.Context, h *types.BlockHeader) (*types.TipSet, bool, error) {
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

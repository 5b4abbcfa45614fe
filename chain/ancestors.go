package chain

import (
	"context"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/types"
)

// jumpSpan is the number of epochs that one remembered jump crosses at most.
const jumpSpan = 64

// AtOrAfter returns the lowest tipset on the chain that ends in from whose height is at least h: the tipset at h, or the
// next one when h is a null round. Heights below zero mean genesis; h above from is an error.
func (s *Store) AtOrAfter(ctx context.Context, from *types.TipSet, h abi.ChainEpoch) (*types.TipSet, error) {
	if h > from.Height() {
		return nil, fmt.Errorf("epoch %d lies after tipset %s at %d", h, from.Key(), from.Height())
	}
	if h <= 0 {
		return s.Genesis(), nil
	}
	cur := from
	for cur.Height() > h {
		if edge := spanStart(cur.Height()); edge > h {
			low, err := s.jump(ctx, cur, edge)
			if err != nil {
				return nil, err
			}
			if low.Key() != cur.Key() {
				cur = low
				continue
			}
		}
		parent, err := s.Parent(ctx, cur)
		if err != nil {
			return nil, fmt.Errorf("walk to epoch %d: %w", h, err)
		}
		if parent.Height() < h {
			return cur, nil
		}
		cur = parent
	}
	return cur, nil
}

// AtOrBefore returns the highest tipset on the chain of from whose height is at most h: the tipset at h, or the one before
// when h is a null round.
func (s *Store) AtOrBefore(ctx context.Context, from *types.TipSet, h abi.ChainEpoch) (*types.TipSet, error) {
	if h >= from.Height() {
		return from, nil
	}
	ts, err := s.AtOrAfter(ctx, from, h)
	if err != nil || ts.Height() <= h {
		return ts, err
	}
	return s.Parent(ctx, ts)
}

// spanStart is the first epoch of the span that ends just below h.
func spanStart(h abi.ChainEpoch) abi.ChainEpoch { return (h - 1) / jumpSpan * jumpSpan }

// jump returns the lowest ancestor of ts at or above edge, or ts itself, and remembers the answer.
func (s *Store) jump(ctx context.Context, ts *types.TipSet, edge abi.ChainEpoch) (*types.TipSet, error) {
	if to, ok := s.jumps.Get(ts.Key()); ok {
		return to, nil
	}
	cur := ts
	for cur.Height() > edge {
		parent, err := s.Parent(ctx, cur)
		if err != nil {
			return nil, fmt.Errorf("walk to epoch %d: %w", edge, err)
		}
		if parent.Height() < edge {
			break
		}
		cur = parent
	}
	s.jumps.Add(ts.Key(), cur)
	return cur, nil
}

package chain

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/types"
)

// ErrCheckpoint: the operator pinned a tipset that the change would undo, or that is not on the chain.
var ErrCheckpoint = errors.New("checkpoint")

var keyCheckpoint = []byte("checkpoint")

// Checkpoint is the tipset that no change of the head undoes: the genesis unless SetCheckpoint chose another.
func (s *Store) Checkpoint() *types.TipSet {
	s.headMu.RLock()
	defer s.headMu.RUnlock()
	if s.checkpoint == nil {
		return s.genesis
	}
	return s.checkpoint
}

// SetCheckpoint pins a tipset of the present chain, durably; the genesis lifts an earlier checkpoint.
func (s *Store) SetCheckpoint(ctx context.Context, ts *types.TipSet) error {
	s.switchMu.Lock()
	defer s.switchMu.Unlock()
	revert, apply, err := s.Path(ctx, s.Head(), ts)
	if err != nil {
		return fmt.Errorf("set checkpoint to %s: %w", ts.Key(), err)
	}
	if len(apply) > 0 {
		return fmt.Errorf("set %w: tipset %d %s is not on the chain of the head, which leaves it %d tipsets back", ErrCheckpoint, ts.Height(), ts.Key(), len(revert))
	}
	if err := fault.Point("chain/checkpoint"); err != nil {
		return fmt.Errorf("record checkpoint: %w", err)
	}
	// Durable before any switch is judged by it: after a restart it must still hold.
	if err := s.record(ctx, Entry{keyCheckpoint, ts.Key().Bytes()}); err != nil {
		return fmt.Errorf("record checkpoint: %w", err)
	}
	s.headMu.Lock()
	defer s.headMu.Unlock()
	s.checkpoint = ts
	return nil
}

// keeps refuses a switch that would go below the checkpoint; common is the height at which the two chains part.
func (s *Store) keeps(to *types.TipSet, common abi.ChainEpoch) error {
	if pin := s.Checkpoint(); pin != nil && common < pin.Height() {
		return fmt.Errorf("switch head to %s: it parts from the chain at height %d, below the %w at %d", to.Key(), common, ErrCheckpoint, pin.Height())
	}
	return nil
}

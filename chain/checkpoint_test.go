package chain

import (
	"context"
	"errors"
	"testing"

	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/ipld"
)

// TestCheckpointStopsSwitches: no chain that parts below it becomes the head, by weight or by hand, also after a restart.
func TestCheckpointStopsSwitches(t *testing.T) {
	ctx := context.Background()
	blocks, meta := ipld.NewMemory(), NewMemoryMeta()
	s := newStore(t, blocks, meta)
	require.Equal(t, s.Genesis(), s.Checkpoint())
	s.weights.Add(s.Genesis().Key(), genesisHeader(t).ParentWeight)
	a1 := extend(t, s, s.Genesis(), 1, "a1", 1)
	a2 := extend(t, s, a1, 2, "a2", 2)
	a3 := extend(t, s, a2, 3, "a3", 3)
	b2 := extend(t, s, a1, 2, "b2", 90)
	b3 := extend(t, s, a2, 3, "b3", 10)
	moved, err := s.Consider(ctx, a3)
	require.NoError(t, err)
	require.True(t, moved)
	require.ErrorIs(t, s.SetCheckpoint(ctx, b3), ErrCheckpoint, "not on the chain of the head")
	require.Equal(t, s.Genesis(), s.Checkpoint())
	require.NoError(t, s.SetCheckpoint(ctx, a2))
	for range 2 {
		moved, err = s.Consider(ctx, b2)
		require.ErrorIs(t, err, ErrCheckpoint, "heavier, but it parts below")
		require.False(t, moved)
		require.ErrorIs(t, s.SetHead(ctx, b2), ErrCheckpoint)
		require.ErrorIs(t, s.SetHead(ctx, a1), ErrCheckpoint)
		require.Equal(t, a3.Key(), s.Head().Key())
		s, err = Open(ctx, Config{Network: localNetwork(t), Blocks: blocks, Meta: meta})
		require.NoError(t, err)
		require.Equal(t, a2.Key(), s.Checkpoint().Key())
		s.weights.Add(a3.Key(), big.NewInt(3))
		s.weights.Add(b2.Key(), big.NewInt(90))
		s.weights.Add(b3.Key(), big.NewInt(10))
	}
	moved, err = s.Consider(ctx, b3)
	require.NoError(t, err, "above the checkpoint weight decides")
	require.True(t, moved)
	require.NoError(t, s.SetCheckpoint(ctx, s.Genesis()))
	moved, err = s.Consider(ctx, b2)
	require.NoError(t, err, "lifted")
	require.True(t, moved)
}

// A checkpoint that was not recorded does not hold.
func TestCheckpointIsDurableBeforeItHolds(t *testing.T) {
	ctx := context.Background()
	s := newStore(t, ipld.NewMemory(), NewMemoryMeta())
	s.weights.Add(s.Genesis().Key(), genesisHeader(t).ParentWeight)
	a1 := extend(t, s, s.Genesis(), 1, "a1", 1)
	_, err := s.Consider(ctx, a1)
	require.NoError(t, err)
	broken := errors.New("no disk")
	disarm := fault.Arm("chain/checkpoint", func() error { return broken })
	defer disarm()
	require.ErrorIs(t, s.SetCheckpoint(ctx, a1), broken)
	require.Equal(t, s.Genesis(), s.Checkpoint())
}

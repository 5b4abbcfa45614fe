package shape

import (
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"
)

func TestSealTypes(t *testing.T) {
	supported := 0
	for typ := abi.RegisteredSealProof(-1); typ < 25; typ++ {
		s, err := OfSeal(typ)
		if typ < 0 || typ > 9 {
			require.ErrorIs(t, err, ErrUnsupported, "%d", typ)
			continue
		}
		require.NoError(t, err)
		supported++
		id, err := typ.PoRepID()
		require.NoError(t, err)
		require.Equal(t, id, s.PoRepID)
		size, err := typ.SectorSize()
		require.NoError(t, err)
		require.Equal(t, size, s.Size)
		require.EqualValues(t, size/32, s.Nodes())
		require.Equal(t, typ > 4, s.Version == V1_1)
		n, err := typ.ProofSize()
		require.NoError(t, err)
		require.EqualValues(t, n, 192*s.Partitions)
	}
	require.Equal(t, 10, supported)
}

func TestTrees(t *testing.T) {
	for size, want := range map[abi.SectorSize]struct {
		tree            string
		height, discard int
		arities         int
	}{
		2 << 10: {"8-0-0", 2, 1, 2}, 4 << 10: {"8-2-0", 2, 1, 3}, 16 << 10: {"8-8-0", 2, 1, 3}, 32 << 10: {"8-8-2", 2, 1, 4},
		8 << 20: {"8-0-0", 6, 2, 6}, 16 << 20: {"8-2-0", 6, 2, 7}, 512 << 20: {"8-0-0", 8, 2, 8}, 1 << 30: {"8-2-0", 8, 2, 9},
		32 << 30: {"8-8-0", 9, 2, 10}, 64 << 30: {"8-8-2", 9, 2, 11},
	} {
		s, err := OfSize(size)
		require.NoError(t, err)
		require.Equal(t, want.tree, s.Tree.String(), "%d", size)
		require.Equal(t, want.height, s.Tree.BaseHeight(), "%d", size)
		require.Equal(t, want.discard, s.Tree.DiscardedRows(), "%d", size)
		leaves := uint64(1)
		for _, a := range s.Tree.PathArities() {
			leaves *= uint64(a)
		}
		require.Len(t, s.Tree.PathArities(), want.arities)
		require.Equal(t, s.Nodes(), leaves, "%d", size)
	}
	_, err := OfSize(3 << 10)
	require.ErrorIs(t, err, ErrUnsupported)
	require.Equal(t, 0, Tree{Leaves: 8, Base: 8}.DiscardedRows())
}

func TestPoStTypes(t *testing.T) {
	for typ := abi.RegisteredPoStProof(0); typ < 15; typ++ {
		p, err := OfPoSt(typ)
		require.NoError(t, err)
		require.Equal(t, typ < 5, p.Winning)
		if p.Winning {
			require.Equal(t, []int{66, 1}, []int{p.Challenges, p.Sectors})
		} else {
			require.Equal(t, []int{10, p.WindowSectors}, []int{p.Challenges, p.Sectors})
		}
		require.Equal(t, typ >= 10, p.Version == V1_2)
	}
	for _, typ := range []abi.RegisteredPoStProof{-1, 15} {
		_, err := OfPoSt(typ)
		require.ErrorIs(t, err, ErrUnsupported)
	}
}

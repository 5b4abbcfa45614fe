package merkle

import (
	"context"
	"fmt"
	"io"
	"math/rand"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/shape"
)

func randomLeaves(n uint64) []byte {
	b := make([]byte, n*nodeSize)
	rand.New(rand.NewSource(int64(n))).Read(b)
	for i := 31; i < len(b); i += 32 {
		b[i] &= 0x3f
	}
	return b
}

// rootOf is the compound tree by definition, row after row.
func rootOf(t *testing.T, leaves []byte, arities []int, h Hasher) fr32.Node {
	var row []fr32.Node
	for i := 0; i < len(leaves); i += nodeSize {
		row = append(row, fr32.Node(leaves[i:]))
	}
	for _, a := range arities {
		var up []fr32.Node
		for i := 0; i < len(row); i += a {
			n, err := h(row[i : i+a])
			require.NoError(t, err)
			up = append(up, n)
		}
		row = up
	}
	require.Len(t, row, 1)
	return row[0]
}

func TestOctrees(t *testing.T) {
	for _, size := range []abi.SectorSize{2 << 10, 4 << 10, 16 << 10, 32 << 10} {
		s, err := shape.OfSize(size)
		require.NoError(t, err)
		leaves := randomLeaves(s.Nodes())
		want := rootOf(t, leaves, s.Tree.PathArities(), Poseidon)
		for first := range 3 {
			t.Run(fmt.Sprintf("%s from row %d", s.Tree, first), func(t *testing.T) {
				o, root := build(t, s.Tree, first, leaves)
				require.Equal(t, want, root)
				checkAll(t, o, leaves, root)
			})
		}
	}
}

func build(t testing.TB, tree shape.Tree, first int, leaves []byte) (*Octree, fr32.Node) {
	o := &Octree{Tree: tree, First: first, Leaves: Memory(leaves)}
	var files []File
	for range tree.BaseTrees() {
		m := make(Memory, OctreeSize(tree, first))
		files, o.Files = append(files, m), append(o.Files, m)
	}
	root, err := BuildOctrees(context.Background(), tree, first, files, func() (FillLeaves, error) {
		return func(start uint64, dst []byte) error {
			copy(dst, leaves[start*nodeSize:])
			return nil
		}, nil
	})
	require.NoError(t, err)
	return o, root
}

func checkAll(t *testing.T, o *Octree, leaves []byte, root fr32.Node) {
	got, err := o.Root()
	require.NoError(t, err)
	require.Equal(t, root, got)
	arities := o.Tree.PathArities()
	for i := uint64(0); i < o.Tree.Leaves; i += 7 {
		p, err := o.Open(i)
		require.NoError(t, err)
		require.Equal(t, fr32.Node(leaves[i*nodeSize:]), p.Leaf)
		require.Equal(t, root, p.Root)
		require.NoError(t, p.Check(Poseidon, arities, i))
		require.ErrorIs(t, p.Check(Poseidon, arities, i+1), ErrProof)
		p.Path[0].Siblings[0][5] ^= 1
		require.ErrorIs(t, p.Check(Poseidon, arities, i), ErrProof)
	}
	_, err = o.Open(o.Tree.Leaves)
	require.Error(t, err)
}

// TestLargeOctree crosses chunk boundaries: three discarded rows of an 8^5 tree.
func TestLargeOctree(t *testing.T) {
	tree := shape.Tree{Leaves: 1 << 15, Base: 8}
	leaves := randomLeaves(tree.Leaves)
	full, root := build(t, tree, 0, leaves)
	cut, root2 := build(t, tree, 3, leaves)
	require.Equal(t, root, root2)
	for _, i := range []uint64{0, 1, 4095, 4096, 20000, 32767} {
		a, err := full.Open(i)
		require.NoError(t, err)
		b, err := cut.Open(i)
		require.NoError(t, err)
		require.Equal(t, a, b)
		require.NoError(t, b.Check(Poseidon, tree.PathArities(), i))
	}
}

func TestStoredRows(t *testing.T) {
	for size, want := range map[abi.SectorSize][2]int64{2 << 10: {32, 1}, 8 << 20: {18_720, 1}, 512 << 20: {1_198_368, 1}, 32 << 30: {9_586_976, 8}, 64 << 30: {9_586_976, 16}} {
		s, err := shape.OfSize(size)
		require.NoError(t, err)
		require.Equal(t, want[0], OctreeSize(s.Tree, s.Tree.DiscardedRows()+1), "%d", size)
		require.EqualValues(t, want[1], s.Tree.BaseTrees())
	}
}

func TestBinary(t *testing.T) {
	for _, n := range []uint64{1, 2, 64, 1 << 14} {
		leaves := randomLeaves(n)
		f := make(Memory, BinarySize(n))
		copy(f, leaves)
		root, err := BuildBinary(context.Background(), f, n)
		require.NoError(t, err)
		require.Equal(t, rootOf(t, leaves, BinaryArities(n), SHA256), root)
		tree := Binary{Leaves: n, File: f}
		got, err := tree.Root()
		require.NoError(t, err)
		require.Equal(t, root, got)
		for i := uint64(0); i < n; i += max(n/50, 1) {
			p, err := tree.Open(i)
			require.NoError(t, err)
			require.NoError(t, p.Check(SHA256, BinaryArities(n), i))
		}
		_, err = tree.Open(n)
		require.Error(t, err)
	}
}

func TestBadNodes(t *testing.T) {
	tree := shape.Tree{Leaves: 64, Base: 8}
	leaves := randomLeaves(64)
	for i := range 32 {
		leaves[9*32+i] = 0xff
	}
	_, err := BuildOctrees(context.Background(), tree, 1, []File{make(Memory, OctreeSize(tree, 1))}, func() (FillLeaves, error) {
		return func(_ uint64, dst []byte) error { copy(dst, leaves); return nil }, nil
	})
	require.ErrorContains(t, err, "no canonical field element")
	short := &Octree{Tree: tree, First: 2, Files: []io.ReaderAt{Memory(nil)}, Leaves: Memory(leaves)}
	_, err = short.Open(3)
	require.ErrorIs(t, err, io.EOF)
	require.ErrorIs(t, Proof{Path: []Step{{Index: 4, Siblings: make([]fr32.Node, 1)}}}.Check(SHA256, []int{2}, 0), ErrProof)
	require.ErrorIs(t, Proof{Path: []Step{{Index: -1, Siblings: make([]fr32.Node, 1)}}}.Check(SHA256, []int{2}, 0), ErrProof)
	_, err = Poseidon(make([]fr32.Node, 3))
	require.Error(t, err)
	_, err = SHA256(nil)
	require.Error(t, err)
}

func TestColumns(t *testing.T) {
	h, err := NewPoseidonRows(2)
	require.NoError(t, err)
	a, b := randomLeaves(100), randomLeaves(101)[:3200]
	dst := make([]byte, 3200)
	require.NoError(t, h.HashColumns(dst, [][]byte{a, b}))
	for i := 0; i < len(dst); i += 32 {
		want, err := Poseidon([]fr32.Node{fr32.Node(a[i:]), fr32.Node(b[i:])})
		require.NoError(t, err)
		require.Equal(t, want, fr32.Node(dst[i:]))
	}
	require.Error(t, h.HashColumns(dst, [][]byte{a}))
}

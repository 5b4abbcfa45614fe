package merkle

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// File is a tree file, or memory in its place.
type File interface {
	io.ReaderAt
	io.WriterAt
}

// Memory is a File of fixed size in memory.
type Memory []byte

// ReadAt is io.ReaderAt's.
func (m Memory) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 || at > int64(len(m)) {
		return 0, io.EOF
	}
	n := copy(b, m[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt is io.WriterAt's; writing past the end is io.ErrShortWrite.
func (m Memory) WriteAt(b []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(b)) > int64(len(m)) {
		return 0, io.ErrShortWrite
	}
	return copy(m[at:], b), nil
}

// chunkLeaves is the number of nodes a goroutine reads at a time; a multiple of 8^3 so that discarded rows of an octree
// are reduced within a chunk.
const chunkLeaves = 1 << 12

// EachChunk splits total nodes into chunks and runs work on them on all cores. Setup runs once per goroutine and returns
// the function that handles a chunk of count nodes starting at node start.
func EachChunk(ctx context.Context, total uint64, setup func() (func(start, count uint64) error, error)) error {
	var next atomic.Uint64
	group, ctx := errgroup.WithContext(ctx)
	for range min(uint64(runtime.GOMAXPROCS(0)), (total+chunkLeaves-1)/chunkLeaves) {
		group.Go(func() error {
			work, err := setup()
			if err != nil {
				return err
			}
			for {
				start := next.Add(chunkLeaves) - chunkLeaves
				if start >= total {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := work(start, min(chunkLeaves, total-start)); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// raiseRow hashes a row of nodes stored in f at byte offset src into the row above, to byte offset dst.
func raiseRow(ctx context.Context, f File, src, dst int64, nodes uint64, newHasher func() (RowHasher, error)) error {
	return EachChunk(ctx, nodes, func() (func(start, count uint64) error, error) {
		h, err := newHasher()
		if err != nil {
			return nil, err
		}
		in := make([]byte, min(nodes, chunkLeaves)*nodeSize)
		out := make([]byte, len(in)/h.Arity())
		return func(start, count uint64) error {
			in, out := in[:count*nodeSize], out[:count*nodeSize/uint64(h.Arity())]
			if _, err := f.ReadAt(in, src+int64(start)*nodeSize); err != nil {
				return fmt.Errorf("read tree row: %w", err)
			}
			if err := h.HashRow(out, in); err != nil {
				return err
			}
			if _, err := f.WriteAt(out, dst+int64(start)*nodeSize/int64(h.Arity())); err != nil {
				return fmt.Errorf("write tree row: %w", err)
			}
			return nil
		}, nil
	})
}

// raiseAll makes all rows above the row of nodes nodes at byte offset at, and returns the root.
func raiseAll(ctx context.Context, f File, at int64, nodes uint64, newHasher func() (RowHasher, error)) (fr32.Node, error) {
	h, err := newHasher()
	if err != nil {
		return fr32.Node{}, err
	}
	for nodes > 1 {
		up := at + int64(nodes)*nodeSize
		if err := raiseRow(ctx, f, at, up, nodes, newHasher); err != nil {
			return fr32.Node{}, err
		}
		at, nodes = up, nodes/uint64(h.Arity())
	}
	return readNode(f, at)
}

func readNode(r io.ReaderAt, at int64) (n fr32.Node, err error) {
	if _, err = r.ReadAt(n[:], at); err != nil {
		return n, fmt.Errorf("read tree node: %w", err)
	}
	return n, nil
}

// BinarySize is the number of bytes of a binary tree file: leaves, then all rows up to the root.
func BinarySize(leaves uint64) int64 { return int64(2*leaves-1) * nodeSize }

// BuildBinary fills the rows of the SHA-256 tree above the leaves that already stand at the start of f, and returns the
// root. Leaves must be a power of two.
func BuildBinary(ctx context.Context, f File, leaves uint64) (fr32.Node, error) {
	root, err := raiseAll(ctx, f, 0, leaves, func() (RowHasher, error) { return NewSHARows(), nil })
	if err != nil {
		return root, fmt.Errorf("binary tree: %w", err)
	}
	return root, nil
}

func octHasher() (RowHasher, error) { return NewPoseidonRows(8) }

// rowNodes is the number of nodes in a row of a base tree; row 0 are the leaves.
func rowNodes(t shape.Tree, row int) uint64 { return t.BaseLeaves() >> (3 * row) }

// rowOffset is the byte offset of a row in a base tree file that starts with row first.
func rowOffset(t shape.Tree, first, row int) (at int64) {
	for r := first; r < row; r++ {
		at += int64(rowNodes(t, r)) * nodeSize
	}
	return at
}

// OctreeSize is the number of bytes of each base tree file that starts with row first (0 stores the leaves too).
func OctreeSize(t shape.Tree, first int) int64 { return rowOffset(t, first, t.BaseHeight()+1) }

// FillLeaves writes leaf nodes start..start+len(dst)/32 of a tree to dst.
type FillLeaves func(start uint64, dst []byte) error

// BuildOctrees fills the base tree files of an octree, one File per base tree, each from row first on (at most 3), and
// returns the root of the compound tree. NewLeaves is called once per goroutine. Only octrees (base arity 8) are built.
func BuildOctrees(ctx context.Context, t shape.Tree, first int, files []File, newLeaves func() (FillLeaves, error)) (fr32.Node, error) {
	if t.Base != 8 || first > 3 || first > t.BaseHeight() || len(files) != t.BaseTrees() {
		return fr32.Node{}, fmt.Errorf("octree %s from row %d in %d files: not possible", t, first, len(files))
	}
	roots := make([]fr32.Node, len(files))
	for i, f := range files {
		offset := uint64(i) * t.BaseLeaves()
		if err := firstRow(ctx, t, first, f, offset, newLeaves); err != nil {
			return fr32.Node{}, fmt.Errorf("octree %d: %w", i, err)
		}
		var err error
		if roots[i], err = raiseAll(ctx, f, 0, rowNodes(t, first), octHasher); err != nil {
			return fr32.Node{}, fmt.Errorf("octree %d: %w", i, err)
		}
	}
	return compoundRoot(t, roots)
}

// firstRow makes the lowest stored row from the leaves; rows below it live only inside a chunk.
func firstRow(ctx context.Context, t shape.Tree, first int, f File, offset uint64, newLeaves func() (FillLeaves, error)) error {
	leaves := t.BaseLeaves()
	return EachChunk(ctx, leaves, func() (func(start, count uint64) error, error) {
		fill, err := newLeaves()
		if err != nil {
			return nil, err
		}
		h, err := NewPoseidonRows(8)
		if err != nil {
			return nil, err
		}
		buf := make([]byte, min(leaves, chunkLeaves)*nodeSize)
		return func(start, count uint64) error {
			row := buf[:count*nodeSize]
			if err := fill(offset+start, row); err != nil {
				return err
			}
			for range first {
				up := row[:len(row)/8] // a parent is written only after its children were read
				if err := h.HashRow(up, row); err != nil {
					return fmt.Errorf("leaves from %d: %w", offset+start, err)
				}
				row = up
			}
			if _, err := f.WriteAt(row, int64(start>>(3*first))*nodeSize); err != nil {
				return fmt.Errorf("write tree row: %w", err)
			}
			return nil
		}, nil
	})
}

// compoundRows are the rows above the base trees: base roots, then sub roots and the top root where the shape has them.
func compoundRows(t shape.Tree, roots []fr32.Node) ([][]fr32.Node, error) {
	rows := [][]fr32.Node{roots}
	for _, arity := range []int{t.Sub, t.Top} {
		if arity == 0 {
			continue
		}
		below := rows[len(rows)-1]
		var row []fr32.Node
		for i := 0; i < len(below); i += arity {
			n, err := Poseidon(below[i : i+arity])
			if err != nil {
				return nil, fmt.Errorf("compound row: %w", err)
			}
			row = append(row, n)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func compoundRoot(t shape.Tree, roots []fr32.Node) (fr32.Node, error) {
	rows, err := compoundRows(t, roots)
	if err != nil {
		return fr32.Node{}, err
	}
	return rows[len(rows)-1][0], nil
}

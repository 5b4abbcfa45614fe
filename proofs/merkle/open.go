package merkle

import (
	"fmt"
	"io"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// Binary reads a binary tree file.
type Binary struct {
	Leaves uint64
	File   io.ReaderAt
}

// Root reads the root.
func (b Binary) Root() (fr32.Node, error) {
	return readNode(b.File, BinarySize(b.Leaves)-nodeSize)
}

// Open opens a leaf.
func (b Binary) Open(leaf uint64) (Proof, error) {
	if leaf >= b.Leaves {
		return Proof{}, fmt.Errorf("leaf %d of a tree of %d leaves", leaf, b.Leaves)
	}
	var p Proof
	var err error
	if p.Leaf, err = readNode(b.File, int64(leaf)*nodeSize); err != nil {
		return Proof{}, err
	}
	var at int64
	i := leaf
	for nodes := b.Leaves; nodes > 1; nodes /= 2 {
		sibling, err := readNode(b.File, at+int64(i^1)*nodeSize)
		if err != nil {
			return Proof{}, err
		}
		p.Path = append(p.Path, Step{Siblings: []fr32.Node{sibling}, Index: int(i & 1)})
		at += int64(nodes) * nodeSize
		i /= 2
	}
	p.Root, err = readNode(b.File, at)
	return p, err
}

// Nodes reads count nodes from number first on of a row; row 0 are the leaves.
func (b Binary) Nodes(row int, first, count uint64) ([]fr32.Node, error) {
	nodes, at := b.Leaves, uint64(0)
	for range row {
		at, nodes = at+nodes, nodes/2
	}
	if first+count > nodes {
		return nil, fmt.Errorf("%d nodes from %d of a row of %d", count, first, nodes)
	}
	out := make([]fr32.Node, count)
	for i := range out {
		var err error
		if out[i], err = readNode(b.File, int64(at+first+uint64(i))*nodeSize); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// BinaryArities are the path arities of a binary tree.
func BinaryArities(leaves uint64) (out []int) {
	for ; leaves > 1; leaves /= 2 {
		out = append(out, 2)
	}
	return out
}

// Octree reads a compound octree from its base tree files. Rows below First are computed again from Leaves when a leaf is
// opened. Not safe for concurrent use.
type Octree struct {
	Tree shape.Tree
	// First is the lowest row in the files.
	First int
	// Files are the base trees, Tree.BaseTrees() of them.
	Files []io.ReaderAt
	// Leaves reads all leaves of the compound tree in order (the replica); not used when First is 0.
	Leaves io.ReaderAt

	hasher   *PoseidonRows
	compound [][]fr32.Node
	// subtree holds the rows 0..First below node number at of row First of base tree base.
	subtree struct {
		base int
		at   uint64
		rows [][]byte
	}
}

// Root reads the base roots and hashes the compound rows.
func (o *Octree) Root() (fr32.Node, error) {
	rows, err := o.compoundRows()
	if err != nil {
		return fr32.Node{}, err
	}
	return rows[len(rows)-1][0], nil
}

func (o *Octree) compoundRows() ([][]fr32.Node, error) {
	if o.compound != nil {
		return o.compound, nil
	}
	if len(o.Files) != o.Tree.BaseTrees() {
		return nil, fmt.Errorf("octree %s in %d files: want %d", o.Tree, len(o.Files), o.Tree.BaseTrees())
	}
	roots := make([]fr32.Node, len(o.Files))
	for i, f := range o.Files {
		var err error
		if roots[i], err = readNode(f, OctreeSize(o.Tree, o.First)-nodeSize); err != nil {
			return nil, fmt.Errorf("root of octree %d: %w", i, err)
		}
	}
	rows, err := compoundRows(o.Tree, roots)
	if err != nil {
		return nil, err
	}
	o.compound = rows
	return rows, nil
}

// Open opens a leaf. What is read is not checked: a damaged file shows in Proof.Check.
func (o *Octree) Open(leaf uint64) (Proof, error) {
	if leaf >= o.Tree.Leaves {
		return Proof{}, fmt.Errorf("leaf %d of a tree of %d leaves", leaf, o.Tree.Leaves)
	}
	compound, err := o.compoundRows()
	if err != nil {
		return Proof{}, err
	}
	base, i := int(leaf/o.Tree.BaseLeaves()), leaf%o.Tree.BaseLeaves()
	var p Proof
	for row := range o.Tree.BaseHeight() {
		group, err := o.group(base, row, i/8)
		if err != nil {
			return Proof{}, fmt.Errorf("open leaf %d: %w", leaf, err)
		}
		if row == 0 {
			p.Leaf = group[i%8]
		}
		p.Path = append(p.Path, step(group, int(i%8)))
		i /= 8
	}
	at := base
	for r, arity := range []int{o.Tree.Sub, o.Tree.Top} {
		if arity == 0 {
			break
		}
		start := at - at%arity
		p.Path = append(p.Path, step(compound[r][start:start+arity], at%arity))
		at /= arity
	}
	p.Root = compound[len(compound)-1][0]
	return p, nil
}

func step(group []fr32.Node, index int) Step {
	s := Step{Index: index, Siblings: make([]fr32.Node, 0, len(group)-1)}
	s.Siblings = append(s.Siblings, group[:index]...)
	s.Siblings = append(s.Siblings, group[index+1:]...)
	return s
}

// group reads the 8 children of node number parent of the row above row.
func (o *Octree) group(base, row int, parent uint64) ([]fr32.Node, error) {
	var buf [8 * nodeSize]byte
	if row >= o.First {
		at := rowOffset(o.Tree, o.First, row) + int64(parent)*8*nodeSize
		if _, err := o.Files[base].ReadAt(buf[:], at); err != nil {
			return nil, fmt.Errorf("read octree %d: %w", base, err)
		}
	} else {
		// Node parent of row row+1 lies below node parent >> 3*(First-row-1) of row First.
		shift := 3 * (o.First - row - 1)
		if err := o.rebuild(base, parent>>shift); err != nil {
			return nil, err
		}
		within := parent & (1<<shift - 1)
		copy(buf[:], o.subtree.rows[row][within*8*nodeSize:])
	}
	group := make([]fr32.Node, 8)
	for k := range group {
		group[k] = fr32.Node(buf[k*nodeSize:])
	}
	return group, nil
}

// rebuild computes the discarded rows below one node of the lowest stored row; the last subtree is kept.
func (o *Octree) rebuild(base int, at uint64) error {
	s := &o.subtree
	if s.rows != nil && s.base == base && s.at == at {
		return nil
	}
	if o.hasher == nil {
		var err error
		if o.hasher, err = NewPoseidonRows(8); err != nil {
			return err
		}
	}
	leaves := uint64(1) << (3 * o.First)
	row := make([]byte, leaves*nodeSize)
	start := uint64(base)*o.Tree.BaseLeaves() + at*leaves
	if _, err := o.Leaves.ReadAt(row, int64(start)*nodeSize); err != nil {
		return fmt.Errorf("read leaves from %d: %w", start, err)
	}
	rows := [][]byte{row}
	for range o.First - 1 {
		up := make([]byte, len(row)/8)
		if err := o.hasher.HashRow(up, row); err != nil {
			return fmt.Errorf("leaves from %d: %w", start, err)
		}
		rows = append(rows, up)
		row = up
	}
	s.base, s.at, s.rows = base, at, rows
	return nil
}

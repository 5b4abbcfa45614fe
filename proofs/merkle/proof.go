// Package merkle builds and opens the trees of a sector: the binary SHA-256 tree over the data (tree D) and the Poseidon
// octrees over columns and replica (trees C and R), compound shapes and discarded rows included.
//
// Start at Proof for an opening, at BuildBinary and BuildOctrees for making tree files, at Octree for reading them.
// Invariants: leaves are nodes themselves (never hashed); rows are stored leaf row first; the low digits of a leaf number
// choose the slots of the lowest rows.
package merkle

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/poseidon"
)

// ErrProof marks an opening that does not prove what it should.
var ErrProof = errors.New("merkle proof is wrong")

// Step is one row of a path.
type Step struct {
	// Siblings are the other children of the parent in order, arity-1 of them.
	Siblings []fr32.Node `json:"siblings"`
	// Index is the slot of the path's own node among the children, 0..arity-1.
	Index int `json:"index"`
}

// Arity is the number of children of the step's parent.
func (s Step) Arity() int { return len(s.Siblings) + 1 }

// Children returns all children of the parent in order, with self in its slot.
func (s Step) Children(self fr32.Node) []fr32.Node {
	out := make([]fr32.Node, 0, s.Arity())
	out = append(out, s.Siblings[:s.Index]...)
	out = append(out, self)
	return append(out, s.Siblings[s.Index:]...)
}

// Proof opens one leaf of a tree: the rows from the leaf to the root.
type Proof struct {
	Leaf fr32.Node `json:"leaf"`
	Root fr32.Node `json:"root"`
	// Path has one step per hash row, leaf row first: base rows, then the sub row and the top row of compound trees.
	Path []Step `json:"path"`
}

// LeafIndex is the leaf number that the slots of the path spell.
func (p Proof) LeafIndex() uint64 {
	var index, weight uint64 = 0, 1
	for _, s := range p.Path {
		index += uint64(s.Index) * weight
		weight *= uint64(s.Arity())
	}
	return index
}

// Hasher joins the children of a tree node.
type Hasher func(children []fr32.Node) (fr32.Node, error)

// Check recomputes the root from the leaf: the path must have the given arities, lead to leaf number index, and end in
// Root. Any difference is an ErrProof that says which.
func (p Proof) Check(h Hasher, arities []int, index uint64) error {
	if len(p.Path) != len(arities) {
		return fmt.Errorf("path of %d rows, want %d: %w", len(p.Path), len(arities), ErrProof)
	}
	node := p.Leaf
	for row, s := range p.Path {
		if s.Arity() != arities[row] || s.Index < 0 || s.Index >= s.Arity() {
			return fmt.Errorf("path row %d: slot %d of %d, want arity %d: %w", row, s.Index, s.Arity(), arities[row], ErrProof)
		}
		var err error
		if node, err = h(s.Children(node)); err != nil {
			return fmt.Errorf("path row %d: %w: %w", row, err, ErrProof)
		}
	}
	if got := p.LeafIndex(); got != index {
		return fmt.Errorf("path leads to leaf %d, want %d: %w", got, index, ErrProof)
	}
	if node != p.Root {
		return fmt.Errorf("path ends in %s, not in root %s: %w", node, p.Root, ErrProof)
	}
	return nil
}

// SHA256 joins two nodes of a binary data tree.
func SHA256(children []fr32.Node) (fr32.Node, error) {
	if len(children) != 2 {
		return fr32.Node{}, fmt.Errorf("binary tree node with %d children", len(children))
	}
	return Join(children[0], children[1]), nil
}

// Join is the parent of two nodes of the binary data tree.
func Join(left, right fr32.Node) fr32.Node {
	var buf [64]byte
	copy(buf[:32], left[:])
	copy(buf[32:], right[:])
	return fr32.Trunc(sha256.Sum256(buf[:]))
}

// Poseidon joins the children of an octree node; the arity is their number. Children that are no canonical field elements
// are an error.
func Poseidon(children []fr32.Node) (fr32.Node, error) {
	c, err := poseidon.ForArity(len(children))
	if err != nil {
		return fr32.Node{}, err
	}
	in := make([]fr.Element, len(children))
	for i, n := range children {
		if in[i], err = n.Element(); err != nil {
			return fr32.Node{}, fmt.Errorf("child %d: %w", i, err)
		}
	}
	return fr32.FromElement(c.Hash(in)), nil
}

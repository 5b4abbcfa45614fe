// Package commp computes data commitments: of a piece (CommP), of pieces in a sector (CommD), and their CIDs.
//
// Start at Writer for a stream, Aggregate for the commitment of pieces in order, UnsealedCID for the commitment of a whole
// sector. Invariants: piece sizes are powers of two of at least 128 bytes; the tree is binary SHA-256 with the two highest
// bits of each hash cleared; padding pieces are zeros.
package commp

import (
	"errors"
	"fmt"
	"io"
	"math/bits"

	commcid "github.com/filecoin-project/go-fil-commcid"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
)

// ErrPiece marks pieces that no sector can hold as they are.
var ErrPiece = errors.New("piece is wrong")

// zeros[k] is the commitment of 32*2^k zero bytes.
var zeros = func() (z [64 - 5]fr32.Node) {
	for i := 1; i < len(z); i++ {
		z[i] = merkle.Join(z[i-1], z[i-1])
	}
	return z
}()

// Zero is the commitment of a padded piece of zeros; size must be a power of two of at least 32 bytes.
func Zero(size abi.PaddedPieceSize) fr32.Node { return zeros[level(size)] }

func level(size abi.PaddedPieceSize) int { return bits.TrailingZeros64(uint64(size)) - 5 }

// CID is the piece or unsealed CID of a commitment.
func CID(n fr32.Node) cid.Cid {
	c, err := commcid.DataCommitmentV1ToCID(n[:])
	if err != nil {
		panic(err) // only for a commitment that has not 32 bytes
	}
	return c
}

// SealedCID is the CID of a replica commitment.
func SealedCID(n fr32.Node) cid.Cid {
	c, err := commcid.ReplicaCommitmentV1ToCID(n[:])
	if err != nil {
		panic(err) // only for a commitment that has not 32 bytes
	}
	return c
}

// FromCID is the commitment in a piece or unsealed CID; a CID of another kind is an error.
func FromCID(c cid.Cid) (fr32.Node, error) {
	b, err := commcid.CIDToDataCommitmentV1(c)
	if err != nil {
		return fr32.Node{}, fmt.Errorf("data commitment %s: %w", c, err)
	}
	return fr32.Node(b), nil
}

// FromSealedCID is the commitment in a sealed CID; a CID of another kind is an error.
func FromSealedCID(c cid.Cid) (fr32.Node, error) {
	b, err := commcid.CIDToReplicaCommitmentV1(c)
	if err != nil {
		return fr32.Node{}, fmt.Errorf("replica commitment %s: %w", c, err)
	}
	return fr32.Node(b), nil
}

// Tree is a writer of padded bytes that keeps the right edge of the binary tree over them.
type Tree struct {
	edge  [64]fr32.Node
	count uint64
}

// Size is the number of bytes written.
func (n *Tree) Size() uint64 { return n.count * fr32.NodeSize }

// Root is the commitment of what was written, extended with zeros to size bytes (a power of two not below Size).
func (n *Tree) Root(size abi.PaddedPieceSize) fr32.Node { return n.root(level(size)) }

// Write takes whole nodes.
func (n *Tree) Write(b []byte) (int, error) {
	if len(b)%fr32.NodeSize != 0 {
		return 0, fmt.Errorf("write %d bytes to a data tree: %w", len(b), fr32.ErrLength)
	}
	for i := 0; i+fr32.NodeSize <= len(b); i += fr32.NodeSize {
		n.add(fr32.Node(b[i : i+fr32.NodeSize]))
	}
	return len(b), nil
}

func (n *Tree) add(node fr32.Node) {
	k := 0
	for c := n.count; c&1 == 1; c >>= 1 {
		node = merkle.Join(n.edge[k], node)
		k++
	}
	n.edge[k] = node
	n.count++
}

// root is the root of the tree extended with zeros to 2^height nodes.
func (n *Tree) root(height int) fr32.Node {
	if n.count == 1<<height {
		return n.edge[height]
	}
	var node fr32.Node // a zero subtree of height k until the edge is met
	for k := range height {
		if n.count>>k&1 == 1 {
			node = merkle.Join(n.edge[k], node)
		} else if node == zeros[k] {
			node = zeros[k+1]
		} else {
			node = merkle.Join(node, zeros[k])
		}
	}
	return node
}

// Writer computes the commitment of the user bytes written to it, in constant memory.
type Writer struct {
	tree   Tree
	padder *fr32.Padder
	raw    uint64
}

// NewWriter starts a piece.
func NewWriter() *Writer {
	w := &Writer{}
	w.padder = fr32.NewPadder(&w.tree)
	return w
}

// Write takes user bytes.
func (w *Writer) Write(b []byte) (int, error) {
	n, err := w.padder.Write(b)
	w.raw += uint64(n)
	return n, err
}

// Sum ends the piece: the payload is extended with zeros to the next 127*2^k bytes. The Writer is of no use afterwards.
// An empty payload is an error.
func (w *Writer) Sum() (abi.PieceInfo, error) {
	if w.raw == 0 {
		return abi.PieceInfo{}, fmt.Errorf("empty payload: %w", ErrPiece)
	}
	if err := w.padder.Close(); err != nil {
		return abi.PieceInfo{}, err
	}
	height := bits.Len64(w.tree.count - 1)
	size := abi.PaddedPieceSize(fr32.NodeSize) << height
	return abi.PieceInfo{Size: size, PieceCID: CID(w.tree.root(height))}, nil
}

// Of is the commitment of all bytes of r.
func Of(r io.Reader) (abi.PieceInfo, error) {
	w := NewWriter()
	if _, err := io.Copy(w, r); err != nil {
		return abi.PieceInfo{}, fmt.Errorf("read payload: %w", err)
	}
	return w.Sum()
}

// Extend is the commitment of a piece of size from that is zero-filled to size to.
func Extend(n fr32.Node, from, to abi.PaddedPieceSize) (fr32.Node, error) {
	if from.Validate() != nil || to.Validate() != nil || from > to {
		return n, fmt.Errorf("extend piece of %d to %d bytes: %w", from, to, ErrPiece)
	}
	for s := from; s < to; s <<= 1 {
		n = merkle.Join(n, Zero(s))
	}
	return n, nil
}

// Package sdr is the stacked depth-robust graph of a sector and the labels computed over it.
//
// Start at Graph (parents of a node), then Cache, and LabelLayer. Invariants: base parents of a node are smaller than
// the node (node 0 excepted), expander parents may be any node of the layer before; results depend on the registered
// proof type only, never on the machine.
package sdr

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/filecoin-venus/venus/proofs/shape"
	"golang.org/x/crypto/blake2b"
)

// ParentList holds the parents of a node: 6 base parents, then 8 expander parents.
type ParentList [shape.Degree]uint32

// Graph computes parents from scratch; safe for concurrent use.
type Graph struct {
	seal  shape.Seal
	nodes uint64
	seed  [28]byte
	keys  [4]uint64
	// half is the number of bits of a Feistel half, edges the size of the permuted range.
	half  uint
	mask  uint64
	edges uint64
}

// NewGraph prepares the graph of a seal proof type.
func NewGraph(s shape.Seal) *Graph {
	g := &Graph{seal: s, nodes: s.Nodes(), edges: shape.ExpanderDegree * s.Nodes()}
	h := sha256.Sum256(append([]byte("Filecoin_DRSample"), s.PoRepID[:]...))
	copy(g.seed[:], h[:])
	h = sha256.Sum256(append([]byte("Filecoin_Feistel"), s.PoRepID[:]...))
	for i := range g.keys {
		g.keys[i] = binary.LittleEndian.Uint64(h[8*i:])
	}
	for g.half = 1; 1<<(2*g.half) < g.edges; g.half++ {
	}
	g.mask = 1<<g.half - 1
	return g
}

// Nodes is the number of nodes of a layer.
func (g *Graph) Nodes() uint64 { return g.nodes }

// Parents computes the parents of a node, base parents first.
func (g *Graph) Parents(node uint32) (p ParentList) {
	var edges [shape.ExpanderDegree]uint64
	rows := [1]ParentList{}
	g.parentRange(node, rows[:], edges[:])
	return rows[0]
}

// Reader implements Source.
func (g *Graph) Reader() Read {
	var edges []uint64
	return func(first uint32, rows []ParentList) error {
		n := len(rows) * shape.ExpanderDegree
		edges = slices.Grow(edges[:0], n)[:n]
		g.parentRange(first, rows, edges)
		return nil
	}
}

// base draws the bucket-sample parents.
func (g *Graph) base(node uint32, out []uint32) {
	const m = shape.BaseDegree - 1
	if node < 2 {
		clear(out)
		return
	}
	sampled := out[:m]
	if g.seal.Version == shape.V1_0 {
		out[m] = node - 1
	} else {
		out[0] = node - 1
		sampled = out[1:]
	}
	var key [32]byte
	copy(key[:], g.seed[:])
	binary.LittleEndian.PutUint32(key[28:], node)
	draws := chacha8(&key)
	meta := uint64(node) * m
	buckets := uint64(bits.Len64(meta - 1)) // ceil(log2(meta)), meta >= 10
	next := 0
	draw := func() uint64 { v := draws[next]; next++; return v }
	// One 64-byte block holds 8 draws; the ninth and tenth come from the second block.
	for k := range sampled {
		b := draw()%buckets + 1
		hi := min(meta, 1<<b)
		lo := max(2, hi>>1)
		dist := lo + draw()%(hi-lo+1)
		parent := (meta - dist) / m
		if parent == uint64(node) {
			parent--
		}
		sampled[k] = uint32(parent)
	}
}

// permute is the Feistel permutation of the edges, by cycle walking.
func (g *Graph) permute(x uint64) uint64 {
	for {
		l, r := x>>g.half&g.mask, x&g.mask
		for _, k := range g.keys[:3] {
			l, r = r, l^g.round(r, k)
		}
		if x = l<<g.half | r; x < g.edges {
			return x
		}
	}
}

func (g *Graph) round(r, key uint64) uint64 {
	var buf [16]byte
	binary.BigEndian.PutUint64(buf[:], r)
	binary.BigEndian.PutUint64(buf[8:], key)
	h := blake2b.Sum512(buf[:])
	return binary.BigEndian.Uint64(h[:]) & g.mask
}

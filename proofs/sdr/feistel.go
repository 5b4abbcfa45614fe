package sdr

import (
	"math/bits"

	"github.com/filecoin-venus/venus/proofs/shape"
)

// blakeStart is the working state of BLAKE2b-512 before its only block of 16 bytes, unkeyed: the chaining value (the
// initial vector, parameters folded in), then the initial vector with the byte count and the final flag folded in.
var blakeStart = [16]uint64{
	0x6a09e667f3bcc908 ^ 0x01010040, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1 ^ 16, 0x9b05688c2b3e6c1f, ^uint64(0x1f83d9abfb41bd6b), 0x5be0cd19137e2179,
}

// permuteRange writes the permuted edges first..first+len(out) to out. Eight walks go side by side; a lane whose walk has
// ended takes the next edge at once, so that no lane is idle.
func (g *Graph) permuteRange(first uint64, out []uint64) {
	if !wide || len(out) < 8 {
		for i := range out {
			out[i] = g.permute(first + uint64(i))
		}
		return
	}
	var lane [8]int // which edge a lane walks
	var x [8]uint64
	next := 0
	for i := range lane {
		lane[i], x[i] = next, first+uint64(next)
		next++
	}
	for left := len(out); left > 0; {
		g.encode8(&x)
		for i := range lane {
			if lane[i] < 0 || x[i] >= g.edges {
				continue
			}
			out[lane[i]] = x[i]
			left--
			if lane[i] = -1; next < len(out) {
				lane[i], x[i] = next, first+uint64(next)
				next++
			}
		}
	}
}

// encode8 is one pass of the Feistel network over eight values.
func (g *Graph) encode8(x *[8]uint64) {
	var l, r, words, f [8]uint64
	for i, v := range x {
		l[i], r[i] = v>>g.half&g.mask, v&g.mask
	}
	for _, k := range g.keys[:3] {
		for i := range r {
			words[i] = bits.ReverseBytes64(r[i])
		}
		blake2bFirst8(&f, &words, &blakeStart, bits.ReverseBytes64(k))
		for i := range r {
			l[i], r[i] = r[i], l[i]^bits.ReverseBytes64(f[i])&g.mask
		}
	}
	for i := range x {
		x[i] = l[i]<<g.half | r[i]
	}
}

// parentRange fills rows with the parents of nodes first..first+len(rows); edges is scratch for
// 8 numbers per node.
func (g *Graph) parentRange(first uint32, rows []ParentList, edges []uint64) {
	edges = edges[:len(rows)*shape.ExpanderDegree]
	g.permuteRange(uint64(first)*shape.ExpanderDegree, edges)
	for n := range rows {
		p := &rows[n]
		g.base(first+uint32(n), p[:shape.BaseDegree])
		for i := range shape.ExpanderDegree {
			p[shape.BaseDegree+i] = g.expander(edges[n*shape.ExpanderDegree+i])
		}
	}
}

// expander is the node that a permuted edge starts from.
func (g *Graph) expander(edge uint64) uint32 {
	if g.seal.Version == shape.V1_0 {
		edge = uint64(uint32(edge))
	}
	return uint32(edge / shape.ExpanderDegree)
}

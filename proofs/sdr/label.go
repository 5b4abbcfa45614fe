package sdr

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// LabelParents is the number of parent labels in the preimage of a label.
const LabelParents = 37

const (
	node32   = fr32.NodeSize
	header   = 64
	preimage = header + LabelParents*node32
)

// labeller holds the preimage of one label.
type labeller struct {
	buf   [preimage]byte
	layer int
}

func newLabeller(replicaID fr32.Node, layer int) *labeller {
	l := &labeller{layer: layer}
	copy(l.buf[:], replicaID[:])
	binary.BigEndian.PutUint32(l.buf[32:], uint32(layer))
	return l
}

// unique is how many different parent labels a layer takes: the first has no layer before it.
func (l *labeller) unique() int {
	if l.layer == 1 {
		return shape.BaseDegree
	}
	return shape.Degree
}

// slot is the place of the i-th parent label.
func (l *labeller) slot(i int) []byte { return l.buf[header+i*node32 : header+(i+1)*node32] }

// label hashes the preimage once the unique parents are in their slots: they are repeated until there are 37.
func (l *labeller) label(node uint64) fr32.Node {
	binary.BigEndian.PutUint64(l.buf[36:], node)
	if node == 0 {
		return fr32.Trunc(sha256.Sum256(l.buf[:header]))
	}
	u := l.unique() * node32
	for filled := u; filled < LabelParents*node32; {
		filled += copy(l.buf[header+filled:], l.buf[header:header+filled])
	}
	return fr32.Trunc(sha256.Sum256(l.buf[:]))
}

// Label computes one label from its parents' labels: base of the same layer (6), exp of the layer before (8, ignored in
// layer 1). Layers count from 1.
func Label(replicaID fr32.Node, layer int, node uint64, base, exp []fr32.Node) fr32.Node {
	l := newLabeller(replicaID, layer)
	for i := range base {
		copy(l.slot(i), base[i][:])
	}
	if layer > 1 {
		for i := range exp {
			copy(l.slot(shape.BaseDegree+i), exp[i][:])
		}
	}
	return l.label(node)
}

// progressNodes is how often LabelLayer looks up from its work.
const progressNodes = 1 << 16

// LabelLayer computes all labels of a layer into out (32 bytes per node). Prev is the layer before, nil for layer 1.
// Progress, when not nil, is told now and then how many nodes are done. One layer runs on one core: each label needs the
// one before it.
func LabelLayer(ctx context.Context, parents Source, replicaID fr32.Node, layer int, prev, out []byte, progress func(nodes uint64)) error {
	nodes := uint64(len(out) / node32)
	if layer < 1 || (layer > 1 && len(prev) != len(out)) {
		return fmt.Errorf("label layer %d: previous layer of %d bytes, this one of %d", layer, len(prev), len(out))
	}
	l := newLabeller(replicaID, layer)
	for n := uint64(0); n < nodes; n++ {
		if n%progressNodes == 0 {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("label layer %d: %w", layer, err)
			}
			if progress != nil {
				progress(n)
			}
		}
		if n > 0 {
			p := parents.Parents(uint32(n))
			for i, b := range p[:shape.BaseDegree] {
				copy(l.slot(i), out[int(b)*node32:int(b)*node32+node32])
			}
			if layer > 1 {
				for i, e := range p[shape.BaseDegree:] {
					copy(l.slot(shape.BaseDegree+i), prev[int(e)*node32:int(e)*node32+node32])
				}
			}
		}
		label := l.label(n)
		copy(out[n*node32:], label[:])
	}
	if progress != nil {
		progress(nodes)
	}
	return nil
}

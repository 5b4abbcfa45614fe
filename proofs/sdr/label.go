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

// put sets the i-th of the unique parent labels, unique in number: they are repeated until there are 37.
func (l *labeller) put(i, unique int, label *fr32.Node) {
	v := *label // a copy that cannot overlap buf: moved by registers, not by a call
	for ; i < LabelParents; i += unique {
		*(*fr32.Node)(l.buf[header+i*node32:]) = v
	}
}

// label hashes the preimage once the parents are in their slots.
func (l *labeller) label(node uint64) fr32.Node {
	binary.BigEndian.PutUint64(l.buf[36:], node)
	if node == 0 {
		return fr32.Trunc(sha256.Sum256(l.buf[:header]))
	}
	return fr32.Trunc(sha256.Sum256(l.buf[:]))
}

// Label computes one label from its parents' labels: base of the same layer (6), exp of the layer before (8, ignored in
// layer 1). Layers count from 1.
func Label(replicaID fr32.Node, layer int, node uint64, base, exp []fr32.Node) fr32.Node {
	l := newLabeller(replicaID, layer)
	unique := len(base)
	if layer > 1 {
		unique += len(exp)
		for i := range exp {
			l.put(len(base)+i, unique, &exp[i])
		}
	}
	for i := range base {
		l.put(i, unique, &base[i])
	}
	return l.label(node)
}

// nodeAt is a label of a layer in place.
func nodeAt(layer []byte, node uint32) *fr32.Node {
	return (*fr32.Node)(layer[uint64(node)*node32:])
}

// first and later fill the preimage of a node of layer 1 and of a layer behind it. Constant strides let the compiler
// turn each repetition into plain register moves.
func (l *labeller) first(p *ParentList, cur []byte) {
	for i, b := range p[:shape.BaseDegree] {
		l.put(i, shape.BaseDegree, nodeAt(cur, b))
	}
}

func (l *labeller) later(p *ParentList, prev, cur []byte) {
	for i, b := range p[:shape.BaseDegree] {
		l.put(i, shape.Degree, nodeAt(cur, b))
	}
	for i, e := range p[shape.BaseDegree:] {
		l.put(shape.BaseDegree+i, shape.Degree, nodeAt(prev, e))
	}
}

// ahead is how many nodes before its use a parent label is asked for: about the time memory needs to answer.
const ahead = 4

// want asks for the labels of a list of parents. Base parents not yet computed do no harm.
func want(p *ParentList, prev, cur []byte) {
	prefetch(&cur[0], &p[0], shape.BaseDegree)
	if prev != nil {
		prefetch(&prev[0], &p[shape.BaseDegree], shape.ExpanderDegree)
	}
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
	if layer == 1 {
		prev = nil
	}
	l := newLabeller(replicaID, layer)
	var lists [ahead]ParentList // of the nodes to come
	for n := range min(ahead, nodes) {
		lists[n] = parents.Parents(uint32(n))
	}
	for n := uint64(0); n < nodes; n++ {
		if n%progressNodes == 0 {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("label layer %d: %w", layer, err)
			}
			if progress != nil {
				progress(n)
			}
		}
		p := &lists[n%ahead]
		if layer == 1 {
			l.first(p, out)
		} else {
			l.later(p, prev, out)
		}
		if n+ahead < nodes {
			*p = parents.Parents(uint32(n + ahead))
			want(p, prev, out)
		}
		*nodeAt(out, uint32(n)) = l.label(n)
	}
	if progress != nil {
		progress(nodes)
	}
	return nil
}

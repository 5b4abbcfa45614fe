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

// schedules is room for the message schedules of seven SHA-256 blocks, the parents of a label.
type schedules [7 * 256]byte

// labeller holds the preimage of one label.
type labeller struct {
	buf   [preimage]byte
	layer int
	kept  schedules
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

func (l *labeller) setNode(node uint64) { binary.BigEndian.PutUint64(l.buf[36:], node) }

// label hashes the preimage once the parents are in their slots.
func (l *labeller) label(node uint64) fr32.Node {
	l.setNode(node)
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

// next computes the label of a node behind the first one from parents in place; prev is nil in layer 1.
func (l *labeller) next(node uint64, p *ParentList, prev, cur []byte) {
	if fastLabels {
		var before *byte
		if prev != nil {
			before = &prev[0]
		}
		l.setNode(node)
		hashLabel(&cur[node*node32], &l.buf[0], &p[0], &cur[0], before, &l.kept)
		return
	}
	unique := shape.BaseDegree
	if prev != nil {
		unique = shape.Degree
		for i, e := range p[shape.BaseDegree:] {
			l.put(shape.BaseDegree+i, unique, nodeAt(prev, e))
		}
	}
	for i, b := range p[:shape.BaseDegree] {
		l.put(i, unique, nodeAt(cur, b))
	}
	*nodeAt(cur, uint32(node)) = l.label(node)
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

// LabelLayer computes the labels of a layer into out (32 bytes per node): of all nodes, or of the first ones, as many as
// have room. Prev is the whole layer before, nil for layer 1. Progress, when not nil, is told now and then how many nodes
// are done. Each label needs the one before it, so a layer is labelled on one core; another one reads the parents.
func LabelLayer(ctx context.Context, parents Source, replicaID fr32.Node, layer int, prev, out []byte, progress func(nodes uint64)) error {
	if layer < 1 || (layer > 1 && len(prev) < len(out)) {
		return fmt.Errorf("label layer %d: previous layer of %d bytes, this one of %d", layer, len(prev), len(out))
	}
	if layer == 1 {
		prev = nil
	}
	l := newLabeller(replicaID, layer)
	here, before := uint64(len(out)/node32), uint64(len(prev)/node32)
	err := eachParents(ctx, parents, here, before, func(first uint64, rows []ParentList) {
		for i := range rows {
			if i+ahead < len(rows) {
				want(&rows[i+ahead], prev, out)
			}
			if n := first + uint64(i); n == 0 {
				*nodeAt(out, 0) = l.label(0)
			} else {
				l.next(n, &rows[i], prev, out)
			}
		}
		if progress != nil {
			progress(first + uint64(len(rows)))
		}
	})
	if err != nil {
		return fmt.Errorf("label layer %d: %w", layer, err)
	}
	return nil
}

// Fast tells whether labels are hashed by the processor's own SHA instructions, several times the speed of the portable way.
func Fast() bool { return fastLabels }

// FastParents tells whether parents are computed eight at a time (AVX-512).
func FastParents() bool { return wide }

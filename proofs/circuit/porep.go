package circuit

import (
	"fmt"
	"math/bits"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/r1cs"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// PoRep is one partition of a proof of replication as a circuit.
type PoRep struct {
	replicaID, commD, commR fr.Element
	commRLast, commC        fr.Element
	layers                  int
	challenges              []challenge
}

type challenge struct {
	node        uint64
	dataLeaf    fr.Element
	dataPath    []r1cs.Row
	parents     [shape.Degree]column // base parents first
	replicaPath []r1cs.Row
	columnPath  []r1cs.Row
}

type column struct {
	labels []fr.Element
	path   []r1cs.Row
}

// preimageParents is how many parent labels a label hashes; the distinct ones repeat.
const preimageParents = 37

// NewPoRep makes the circuit of partition k of a vanilla proof. A proof of the wrong shape, or with nodes that are no
// field elements, is an error; whether it proves anything is for the rows to say.
func NewPoRep(v porep.Vanilla, k int) (*PoRep, error) {
	sh, err := shape.OfSeal(v.SealProof)
	if err != nil {
		return nil, err
	}
	if len(v.Partitions) != sh.Partitions || k < 0 || k >= sh.Partitions {
		return nil, fmt.Errorf("vanilla proof has %d partitions, asked for number %d: want %d", len(v.Partitions), k, sh.Partitions)
	}
	if n := len(v.Partitions[k]); n != sh.ChallengesPerPartition {
		return nil, fmt.Errorf("partition %d has %d challenges: want %d", k, n, sh.ChallengesPerPartition)
	}
	var r reader
	c := &PoRep{
		replicaID: r.element(v.ReplicaID), commD: r.element(v.CommD), commR: r.element(v.CommR),
		commRLast: r.element(v.CommRLast), commC: r.element(v.CommC), layers: sh.Layers,
	}
	data := dataArities(sh.Nodes())
	octree := sh.Tree.PathArities()
	for i := range v.Partitions[k] {
		in := &v.Partitions[k][i]
		ch := challenge{
			node: in.Node, dataLeaf: r.element(in.Data.Leaf), dataPath: r.path(in.Data, data),
			replicaPath: r.path(in.Replica, octree), columnPath: r.path(in.Column.Path, octree),
		}
		for j := range ch.parents {
			p := &in.Base[0]
			if j < shape.BaseDegree {
				p = &in.Base[j]
			} else {
				p = &in.Exp[j-shape.BaseDegree]
			}
			ch.parents[j] = r.column(p, sh.Layers, octree)
		}
		c.challenges = append(c.challenges, ch)
	}
	if r.err != nil {
		return nil, fmt.Errorf("vanilla proof, partition %d: %w", k, r.err)
	}
	return c, nil
}

// BlankPoRep is the circuit of a seal proof type with an all-zero witness: good for its shape, never satisfied.
func BlankPoRep(sh shape.Seal) *PoRep {
	return blankPoRep(sh.Layers, sh.ChallengesPerPartition, dataArities(sh.Nodes()), sh.Tree.PathArities())
}

func blankPoRep(layers, challenges int, data, octree []int) *PoRep {
	path := blankPath(octree)
	ch := challenge{dataPath: blankPath(data), replicaPath: path, columnPath: path}
	for i := range ch.parents {
		ch.parents[i] = column{labels: make([]fr.Element, layers), path: path}
	}
	c := &PoRep{layers: layers}
	for range challenges {
		c.challenges = append(c.challenges, ch)
	}
	return c
}

// dataArities are the rows of a path in the binary tree over the given number of leaves.
func dataArities(nodes uint64) []int {
	out := make([]int, bits.Len64(nodes)-1)
	for i := range out {
		out[i] = 2
	}
	return out
}

// Synthesize writes the circuit. Inputs: replica id, CommD, CommR; per challenge the node, its 14 parents, and the node
// three times more.
func (c *PoRep) Synthesize(s *r1cs.System) {
	replicaID := s.AllocNum(c.replicaID)
	s.Inputize(replicaID)
	replicaBits := r1cs.ReverseBytes(s.ToBits(replicaID))
	roots := roots{}
	roots.commD = s.AllocNum(c.commD)
	s.Inputize(roots.commD)
	commR := s.AllocNum(c.commR)
	s.Inputize(commR)
	roots.commRLast = s.AllocNum(c.commRLast)
	roots.commC = s.AllocNum(c.commC)
	s.Equal(commR, s.Poseidon([]r1cs.Num{roots.commC, roots.commRLast}))
	for i := range c.challenges {
		c.challenges[i].synthesize(s, replicaBits, &roots, c.layers)
	}
}

type roots struct{ commD, commC, commRLast r1cs.Num }

func (ch *challenge) synthesize(s *r1cs.System, replicaBits []r1cs.Boolean, roots *roots, layers int) {
	dataLeaf := s.AllocNum(ch.dataLeaf)
	s.Path(dataLeaf, ch.dataPath, roots.commD, r1cs.Sha256Node)

	var parents [shape.Degree][]r1cs.Num
	for i := range ch.parents {
		p := &ch.parents[i]
		for _, l := range p.labels {
			parents[i] = append(parents[i], s.AllocNum(l))
		}
		s.Path(s.Poseidon(parents[i]), p.path, roots.commC, r1cs.PoseidonNode)
	}

	node := s.Uint64Bits(ch.node)
	s.PackInputs(node)
	labels := make([]r1cs.Num, layers)
	for l := range labels {
		preimage := append(make([]r1cs.Boolean, 0, 512+256*preimageParents), replicaBits...)
		preimage = append(preimage, labelHeader(uint32(l+1), node)...)
		labels[l] = s.Sha256Num(append(preimage, parentBits(s, &parents, l)...))
	}

	encoded := s.Add(labels[layers-1], dataLeaf)
	s.Path(encoded, ch.replicaPath, roots.commRLast, r1cs.PoseidonNode)
	s.Path(s.Poseidon(labels), ch.columnPath, roots.commC, r1cs.PoseidonNode)
}

// labelHeader is layer and node, most significant bit first, with zeros to the end of the first SHA block.
func labelHeader(layer uint32, node []r1cs.Boolean) []r1cs.Boolean {
	out := make([]r1cs.Boolean, 0, 256)
	for i := 31; i >= 0; i-- {
		out = append(out, r1cs.Const(layer>>i&1 == 1))
	}
	for i := 63; i >= 0; i-- {
		out = append(out, node[i])
	}
	return out[:256]
}

// parentBits decomposes the parents that layer index l (0-based) hashes, repeated to the length of the preimage.
func parentBits(s *r1cs.System, parents *[shape.Degree][]r1cs.Num, l int) []r1cs.Boolean {
	var distinct [][]r1cs.Boolean
	for _, labels := range parents[:shape.BaseDegree] {
		distinct = append(distinct, r1cs.ReverseBytes(s.ToBits(labels[l])))
	}
	if l > 0 {
		for _, labels := range parents[shape.BaseDegree:] {
			distinct = append(distinct, r1cs.ReverseBytes(s.ToBits(labels[l-1])))
		}
	}
	out := make([]r1cs.Boolean, 0, 256*preimageParents)
	for i := range preimageParents {
		out = append(out, distinct[i%len(distinct)]...)
	}
	return out
}

// reader turns nodes into field elements and remembers the first that is wrong.
type reader struct{ err error }

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) element(n fr32.Node) fr.Element {
	e, err := n.Element()
	if err != nil {
		r.fail(err)
	}
	return e
}

func (r *reader) path(p merkle.Proof, arities []int) []r1cs.Row {
	if len(p.Path) != len(arities) {
		r.fail(fmt.Errorf("path of %d rows: want %d", len(p.Path), len(arities)))
		return nil
	}
	out := make([]r1cs.Row, len(p.Path))
	for i, step := range p.Path {
		if step.Arity() != arities[i] || step.Index < 0 || step.Index >= arities[i] {
			r.fail(fmt.Errorf("path row %d: slot %d of %d children, want %d children", i, step.Index, step.Arity(), arities[i]))
			return nil
		}
		out[i] = r1cs.Row{Slot: step.Index, Siblings: make([]fr.Element, len(step.Siblings))}
		for j, n := range step.Siblings {
			out[i].Siblings[j] = r.element(n)
		}
	}
	return out
}

func (r *reader) column(p *porep.ColumnProof, layers int, arities []int) column {
	if len(p.Labels) != layers {
		r.fail(fmt.Errorf("column of %d labels: want %d", len(p.Labels), layers))
	}
	c := column{path: r.path(p.Path, arities)}
	for _, l := range p.Labels {
		c.labels = append(c.labels, r.element(l))
	}
	return c
}

func blankPath(arities []int) []r1cs.Row {
	out := make([]r1cs.Row, len(arities))
	for i, a := range arities {
		out[i].Siblings = make([]fr.Element, a-1)
	}
	return out
}

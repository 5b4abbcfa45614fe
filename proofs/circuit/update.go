package circuit

import (
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/r1cs"
	"github.com/filecoin-venus/venus/proofs/shape"
	"github.com/filecoin-venus/venus/proofs/update"
)

// Update is one partition of a replica update proof as a circuit.
type Update struct {
	sh                        shape.Update
	selector                  fr.Element
	commROld, commD, commRNew fr.Element
	commC, rootOld, rootNew   fr.Element
	apex                      []fr.Element
	partitionPath             []r1cs.Row
	challenges                []updateChallenge
}

type updateChallenge struct {
	oldLeaf, dataLeaf fr.Element
	oldPath, newPath  []r1cs.Row
	dataPath          []r1cs.Row // up to the apex row
}

// NewUpdate makes the circuit of partition k of a vanilla proof. A proof of the wrong shape, or with nodes that are no
// field elements, is an error; whether it proves anything is for the rows to say.
func NewUpdate(v update.Vanilla, k int) (*Update, error) {
	sh, err := shape.OfUpdate(v.UpdateProof)
	if err != nil {
		return nil, err
	}
	if len(v.Partitions) != sh.UpdatePartitions || k < 0 || k >= sh.UpdatePartitions {
		return nil, fmt.Errorf("vanilla proof has %d partitions, asked for number %d: want %d", len(v.Partitions), k, sh.UpdatePartitions)
	}
	part := &v.Partitions[k]
	if len(part.Apex) != sh.ApexLeaves || len(part.Challenges) != sh.UpdateChallenges {
		return nil, fmt.Errorf("partition %d has %d apex nodes and %d challenges: want %d and %d",
			k, len(part.Apex), len(part.Challenges), sh.ApexLeaves, sh.UpdateChallenges)
	}
	var r reader
	c := &Update{
		sh: sh, selector: fr.NewElement(update.Selector(sh, k)),
		commROld: r.element(v.CommROld), commD: r.element(v.CommD), commRNew: r.element(v.CommRNew),
		commC: r.element(v.CommC), rootOld: r.element(v.RootOld), rootNew: r.element(v.RootNew), apex: r.elements(part.Apex),
	}
	data, octree := dataArities(sh.Nodes()), sh.Tree.PathArities()
	for i := range part.Challenges {
		in := &part.Challenges[i]
		path := r.path(in.Data, data)
		if r.err != nil {
			break
		}
		if i == 0 {
			c.partitionPath = path[sh.ApexRow()+sh.ApexBits():]
		}
		c.challenges = append(c.challenges, updateChallenge{
			oldLeaf: r.element(in.Old.Leaf), dataLeaf: r.element(in.Data.Leaf),
			oldPath: r.path(in.Old, octree), newPath: r.path(in.New, octree), dataPath: path[:sh.ApexRow()],
		})
	}
	if r.err != nil {
		return nil, fmt.Errorf("vanilla proof, partition %d: %w", k, r.err)
	}
	return c, nil
}

func (r *reader) elements(nodes []fr32.Node) []fr.Element {
	out := make([]fr.Element, len(nodes))
	for i, n := range nodes {
		out[i] = r.element(n)
	}
	return out
}

// BlankUpdate is the circuit of an update type with an all-zero witness: good for its shape, never satisfied.
func BlankUpdate(sh shape.Update) *Update {
	octree := blankPath(sh.Tree.PathArities())
	ch := updateChallenge{oldPath: octree, newPath: octree, dataPath: blankPath(dataArities(1 << sh.ApexRow()))}
	c := &Update{sh: sh, apex: make([]fr.Element, sh.ApexLeaves), partitionPath: blankPath(dataArities(uint64(sh.UpdatePartitions)))}
	for range sh.UpdateChallenges {
		c.challenges = append(c.challenges, ch)
	}
	return c
}

// Synthesize writes the circuit. Inputs: partition number and width selector in one, old CommR, CommD, new CommR.
func (c *Update) Synthesize(s *r1cs.System) {
	selector := s.AllocNum(c.selector)
	s.Inputize(selector)
	bits := s.SplitBits(selector, c.sh.PartitionBits()+shape.HighChoices)
	g := updateGadgets{s: s, sh: c.sh, partition: bits[:c.sh.PartitionBits()], selects: bits[c.sh.PartitionBits():]}
	number := s.Pack(g.partition)
	commROld := s.AllocNum(c.commROld)
	s.Inputize(commROld)
	commD := s.AllocNum(c.commD)
	s.Inputize(commD)
	commRNew := s.AllocNum(c.commRNew)
	s.Inputize(commRNew)
	g.phi = s.PoseidonPair(commD, commROld)

	commC := s.AllocNum(c.commC)
	g.rootOld, g.rootNew = s.AllocNum(c.rootOld), s.AllocNum(c.rootNew)
	g.apex = s.AllocNums(c.apex)
	partitionPath := make([][]r1cs.Num, len(c.partitionPath))
	for i := range partitionPath {
		partitionPath[i] = s.AllocNums(c.partitionPath[i].Siblings)
	}
	s.Equal(s.Poseidon([]r1cs.Num{commC, g.rootOld}), commROld)
	s.Equal(s.Poseidon([]r1cs.Num{commC, g.rootNew}), commRNew)

	row := g.apex
	for len(row) > 1 {
		up := make([]r1cs.Num, len(row)/2)
		for i := range up {
			up[i] = r1cs.Sha256Node(s, row[2*i:2*i+2])
		}
		row = up
	}
	s.RiseAt(row[0], g.partition, partitionPath, commD, r1cs.Sha256Node)

	for i, node := range g.challengeBits(commRNew, number) {
		g.challenge(&c.challenges[i], node)
	}
}

// updateGadgets are the variables that all challenges of a partition share.
type updateGadgets struct {
	s                  *r1cs.System
	sh                 shape.Update
	partition, selects []r1cs.Boolean
	phi                r1cs.Num
	rootOld, rootNew   r1cs.Num
	apex               []r1cs.Num
}

// challengeBits cuts the node indices of all challenges from digests, without the partition's bits.
func (g *updateGadgets) challengeBits(commRNew, partition r1cs.Num) [][]r1cs.Boolean {
	width := g.sh.IndexBits() - g.sh.PartitionBits()
	digests := update.Digests(g.sh)
	var out [][]r1cs.Boolean
	for j := range digests {
		index := g.s.Affine(partition, uint64(digests), uint64(j))
		bits := g.s.SplitBits(g.s.PoseidonPair(commRNew, index), fr.Bits)
		for range min(update.PerDigest(g.sh), g.sh.UpdateChallenges-len(out)) {
			out = append(out, bits[:width])
			bits = bits[width:]
		}
	}
	return out
}

// high is the leading part of an index, of the width that the selector chooses.
func (g *updateGadgets) high(index []r1cs.Boolean) r1cs.Num {
	chosen := make([]r1cs.Num, len(g.sh.Widths))
	for i, w := range g.sh.Widths {
		chosen[i] = g.s.MulBit(g.s.Pack(index[len(index)-w:]), g.selects[i])
	}
	return g.s.Sum(chosen)
}

func (g *updateGadgets) challenge(c *updateChallenge, node []r1cs.Boolean) {
	s := g.s
	index := append(append([]r1cs.Boolean(nil), node...), g.partition...)
	factor := s.PoseidonPair(g.phi, g.high(index))
	oldLeaf, dataLeaf := s.AllocNum(c.oldLeaf), s.AllocNum(c.dataLeaf)
	newLeaf := s.Add(oldLeaf, s.Mul(dataLeaf, factor))
	s.PathAt(oldLeaf, index, c.oldPath, g.rootOld, r1cs.PoseidonNode)
	s.PathAt(newLeaf, index, c.newPath, g.rootNew, r1cs.PoseidonNode)
	row := g.sh.ApexRow()
	apex := s.Select(g.apex, index[row:row+g.sh.ApexBits()])
	s.PathAt(dataLeaf, index[:row], c.dataPath, apex, r1cs.Sha256Node)
}

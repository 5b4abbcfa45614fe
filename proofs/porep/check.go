package porep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/sdr"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// ErrProof marks a vanilla proof that does not prove its statement.
var ErrProof = errors.New("proof of replication is wrong")

// Check verifies everything that the circuit will claim: CommR, all openings, labels and encoding. The error says what is
// wrong and is an ErrProof, except for proof types that are not supported.
func (v Vanilla) Check() error {
	sh, err := shape.OfSeal(v.SealProof)
	if err != nil {
		return err
	}
	commR, err := CommR(v.CommC, v.CommRLast)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	if commR != v.CommR {
		return fmt.Errorf("%w: CommC and CommRLast give CommR %s, not %s", ErrProof, commR, v.CommR)
	}
	if len(v.Partitions) != sh.Partitions {
		return fmt.Errorf("%w: %d partitions, want %d", ErrProof, len(v.Partitions), sh.Partitions)
	}
	c := checker{v: &v, sh: sh, graph: sdr.NewGraph(sh), arities: sh.Tree.PathArities()}
	for k, part := range v.Partitions {
		nodes, err := v.Challenges(k)
		if err != nil {
			return err
		}
		if len(part) != len(nodes) {
			return fmt.Errorf("%w: partition %d has %d challenges, want %d", ErrProof, k, len(part), len(nodes))
		}
		for i, n := range nodes {
			if part[i].Node != n {
				return fmt.Errorf("%w: challenge %d of partition %d is node %d, not %d", ErrProof, i, k, n, part[i].Node)
			}
			if err := c.challenge(&part[i]); err != nil {
				return fmt.Errorf("%w: challenged node %d: %w", ErrProof, n, err)
			}
		}
	}
	return nil
}

type checker struct {
	v       *Vanilla
	sh      shape.Seal
	graph   *sdr.Graph
	arities []int
}

func (c *checker) challenge(ch *Challenge) error {
	if err := c.path(ch.Data, c.v.CommD, merkle.SHA256, merkle.BinaryArities(c.sh.Nodes()), ch.Node); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if err := c.path(ch.Replica, c.v.CommRLast, merkle.Poseidon, c.arities, ch.Node); err != nil {
		return fmt.Errorf("replica: %w", err)
	}
	if err := c.column(ch.Column, ch.Node); err != nil {
		return fmt.Errorf("column: %w", err)
	}
	parents := c.graph.Parents(uint32(ch.Node))
	for i, p := range parents {
		col := &ch.Base[i%shape.BaseDegree]
		if i >= shape.BaseDegree {
			col = &ch.Exp[i-shape.BaseDegree]
		}
		if err := c.column(*col, uint64(p)); err != nil {
			return fmt.Errorf("parent %d (node %d): %w", i, p, err)
		}
	}
	base, exp := make([]fr32.Node, shape.BaseDegree), make([]fr32.Node, shape.ExpanderDegree)
	for l := range c.sh.Layers {
		for i := range base {
			base[i] = ch.Base[i].Labels[l]
		}
		for i := range exp {
			exp[i] = ch.Exp[i].Labels[max(l-1, 0)]
		}
		if got := sdr.Label(c.v.ReplicaID, l+1, ch.Node, base, exp); got != ch.Column.Labels[l] {
			return fmt.Errorf("label of layer %d is %s, parents give %s", l+1, ch.Column.Labels[l], got)
		}
	}
	var enc fr32.Node
	last := ch.Column.Labels[c.sh.Layers-1]
	if err := Encode(enc[:], ch.Data.Leaf[:], last[:]); err != nil {
		return err
	}
	if enc != ch.Replica.Leaf {
		return fmt.Errorf("replica node is %s, data and label give %s", ch.Replica.Leaf, enc)
	}
	return nil
}

func (c *checker) path(p merkle.Proof, root fr32.Node, h merkle.Hasher, arities []int, index uint64) error {
	if p.Root != root {
		return fmt.Errorf("root is %s, not %s", p.Root, root)
	}
	return p.Check(h, arities, index)
}

func (c *checker) column(col ColumnProof, node uint64) error {
	if len(col.Labels) != c.sh.Layers {
		return fmt.Errorf("%d labels, want %d", len(col.Labels), c.sh.Layers)
	}
	hash, err := merkle.Poseidon(col.Labels)
	if err != nil {
		return err
	}
	if hash != col.Path.Leaf {
		return fmt.Errorf("column hash is %s, labels give %s", col.Path.Leaf, hash)
	}
	return c.path(col.Path, c.v.CommC, merkle.Poseidon, c.arities, node)
}

// Marshal is the form in which Commit1 hands the proof to Commit2: JSON, nodes in hex.
func (v Vanilla) Marshal() ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode vanilla proof: %w", err)
	}
	return b, nil
}

// Unmarshal reads what Marshal wrote and checks it: what it returns without error proves its statement.
func Unmarshal(b []byte) (Vanilla, error) {
	var v Vanilla
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return Vanilla{}, fmt.Errorf("decode vanilla proof: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Vanilla{}, fmt.Errorf("decode vanilla proof: bytes behind the end")
	}
	if err := v.Check(); err != nil {
		return Vanilla{}, err
	}
	return v, nil
}

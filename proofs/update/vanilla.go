package update

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// ErrProof marks a vanilla proof that does not prove its statement.
var ErrProof = errors.New("replica update proof is wrong")

// Challenge opens one challenged node in the old replica, in the data and in the new replica.
type Challenge struct {
	Old  merkle.Proof `json:"old"`
	Data merkle.Proof `json:"data"`
	New  merkle.Proof `json:"new"`
}

// Partition is the share of one circuit instance.
type Partition struct {
	// Apex are the partition's nodes of the data tree in row shape.Update.ApexRow, ApexLeaves of them.
	Apex       []fr32.Node `json:"apex"`
	Challenges []Challenge `json:"challenges"`
}

// Vanilla is a whole update proof before compression by a circuit.
type Vanilla struct {
	Statement
	// CommC is the private half that both CommR share, RootOld and RootNew are the other halves.
	CommC      fr32.Node   `json:"commC"`
	RootOld    fr32.Node   `json:"rootOld"`
	RootNew    fr32.Node   `json:"rootNew"`
	Partitions []Partition `json:"partitions"`
}

// Sources are the files of an updated sector that openings are read from.
type Sources struct {
	CommC fr32.Node
	// Old and New are the replica trees before and after, Data the tree over the new data.
	Old, New *merkle.Octree
	Data     merkle.Binary
}

// Prove opens all challenges of all partitions. The result is checked before it is returned, so that a damaged file is
// found here and not by a verifier.
func Prove(ctx context.Context, st Statement, src Sources) (Vanilla, error) {
	u, err := shape.OfUpdate(st.UpdateProof)
	if err != nil {
		return Vanilla{}, err
	}
	v := Vanilla{Statement: st, CommC: src.CommC}
	if v.RootOld, err = src.Old.Root(); err != nil {
		return Vanilla{}, fmt.Errorf("old replica tree: %w", err)
	}
	if v.RootNew, err = src.New.Root(); err != nil {
		return Vanilla{}, fmt.Errorf("new replica tree: %w", err)
	}
	for k := range u.UpdatePartitions {
		nodes, err := st.Challenges(k)
		if err != nil {
			return Vanilla{}, err
		}
		var part Partition
		if part.Apex, err = src.Data.Nodes(u.ApexRow(), uint64(k*u.ApexLeaves), uint64(u.ApexLeaves)); err != nil {
			return Vanilla{}, fmt.Errorf("partition %d: data tree: %w", k, err)
		}
		for _, n := range nodes {
			if err := ctx.Err(); err != nil {
				return Vanilla{}, err
			}
			c, err := src.open(n)
			if err != nil {
				return Vanilla{}, fmt.Errorf("partition %d, challenged node %d: %w", k, n, err)
			}
			part.Challenges = append(part.Challenges, c)
		}
		v.Partitions = append(v.Partitions, part)
	}
	if err := v.Check(); err != nil {
		return Vanilla{}, fmt.Errorf("sector files do not fit together: %w", err)
	}
	return v, nil
}

func (s Sources) open(node uint64) (c Challenge, err error) {
	if c.Old, err = s.Old.Open(node); err != nil {
		return c, fmt.Errorf("old replica tree: %w", err)
	}
	if c.Data, err = s.Data.Open(node); err != nil {
		return c, fmt.Errorf("data tree: %w", err)
	}
	if c.New, err = s.New.Open(node); err != nil {
		return c, fmt.Errorf("new replica tree: %w", err)
	}
	return c, nil
}

// Check verifies everything that the circuit will claim: both CommR, the apex, all openings and the encoding. The error
// says what is wrong and is an ErrProof, except for proof types that are not supported.
func (v Vanilla) Check() error {
	u, err := shape.OfUpdate(v.UpdateProof)
	if err != nil {
		return err
	}
	if err := v.check(u); err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	return nil
}

func (v Vanilla) check(u shape.Update) error {
	for _, half := range []struct {
		name        string
		root, commR fr32.Node
	}{{"old", v.RootOld, v.CommROld}, {"new", v.RootNew, v.CommRNew}} {
		commR, err := porep.CommR(v.CommC, half.root)
		if err != nil {
			return err
		}
		if commR != half.commR {
			return fmt.Errorf("CommC and the %s root give CommR %s, not %s", half.name, commR, half.commR)
		}
	}
	if len(v.Partitions) != u.UpdatePartitions {
		return fmt.Errorf("%d partitions, want %d", len(v.Partitions), u.UpdatePartitions)
	}
	encoder, err := NewEncoder(u, v.CommROld, v.CommD)
	if err != nil {
		return err
	}
	for k := range v.Partitions {
		if err := v.checkPartition(u, encoder, k); err != nil {
			return fmt.Errorf("partition %d: %w", k, err)
		}
	}
	return nil
}

func (v Vanilla) checkPartition(u shape.Update, encoder *Encoder, k int) error {
	part := v.Partitions[k]
	nodes, err := v.Challenges(k)
	if err != nil {
		return err
	}
	if len(part.Apex) != u.ApexLeaves || len(part.Challenges) != len(nodes) {
		return fmt.Errorf("%d apex nodes and %d challenges, want %d and %d", len(part.Apex), len(part.Challenges), u.ApexLeaves, len(nodes))
	}
	for i, n := range nodes {
		c := &part.Challenges[i]
		if err := v.checkOpenings(u, c, n); err != nil {
			return fmt.Errorf("challenged node %d: %w", n, err)
		}
		if got, want := apexOf(u, c.Data), part.Apex[n>>u.ApexRow()&uint64(u.ApexLeaves-1)]; got != want {
			return fmt.Errorf("challenged node %d: data path goes through %s, apex has %s", n, got, want)
		}
		var enc fr32.Node
		if err := encoder.Encode(enc[:], c.Old.Leaf[:], c.Data.Leaf[:], n); err != nil {
			return err
		}
		if enc != c.New.Leaf {
			return fmt.Errorf("new node %d is %s, old one and data give %s", n, c.New.Leaf, enc)
		}
	}
	// The rows above the apex are the same for all challenges.
	top := merkle.Proof{Leaf: apexRoot(part.Apex), Root: v.CommD, Path: part.Challenges[0].Data.Path[u.IndexBits()-u.PartitionBits():]}
	if err := top.Check(merkle.SHA256, merkle.BinaryArities(uint64(u.UpdatePartitions)), uint64(k)); err != nil {
		return fmt.Errorf("apex: %w", err)
	}
	return nil
}

func (v Vanilla) checkOpenings(u shape.Update, c *Challenge, node uint64) error {
	octree := u.Tree.PathArities()
	for _, o := range []struct {
		name    string
		p       merkle.Proof
		root    fr32.Node
		h       merkle.Hasher
		arities []int
	}{
		{"old replica", c.Old, v.RootOld, merkle.Poseidon, octree},
		{"data", c.Data, v.CommD, merkle.SHA256, merkle.BinaryArities(u.Nodes())},
		{"new replica", c.New, v.RootNew, merkle.Poseidon, octree},
	} {
		if o.p.Root != o.root {
			return fmt.Errorf("%s: root is %s, not %s", o.name, o.p.Root, o.root)
		}
		if err := o.p.Check(o.h, o.arities, node); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
	}
	return nil
}

// apexOf is the node of the apex row on a checked path of the data tree.
func apexOf(u shape.Update, p merkle.Proof) fr32.Node {
	n := p.Leaf
	for _, s := range p.Path[:u.ApexRow()] {
		c := s.Children(n)
		n = merkle.Join(c[0], c[1])
	}
	return n
}

func apexRoot(row []fr32.Node) fr32.Node {
	for len(row) > 1 {
		up := make([]fr32.Node, len(row)/2)
		for i := range up {
			up[i] = merkle.Join(row[2*i], row[2*i+1])
		}
		row = up
	}
	return row[0]
}

// Marshal is the form in which the vanilla proof travels to the prover: JSON, nodes in hex.
func (v Vanilla) Marshal() ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode vanilla update proof: %w", err)
	}
	return b, nil
}

// Unmarshal reads what Marshal wrote and checks it: what it returns without error proves its statement.
func Unmarshal(b []byte) (Vanilla, error) {
	var v Vanilla
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return Vanilla{}, fmt.Errorf("decode vanilla update proof: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Vanilla{}, fmt.Errorf("decode vanilla update proof: bytes behind the end")
	}
	if err := v.Check(); err != nil {
		return Vanilla{}, err
	}
	return v, nil
}

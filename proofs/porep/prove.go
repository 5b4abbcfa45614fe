package porep

import (
	"context"
	"fmt"
	"io"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/sdr"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// Sources are the files of a sealed sector that openings are read from.
type Sources struct {
	// Layers are the label files, layer 1 first.
	Layers []io.ReaderAt
	TreeD  merkle.Binary
	// TreeC and TreeR are the column tree and the replica tree.
	TreeC, TreeR *merkle.Octree
}

// CommR joins the roots of the column tree and the replica tree.
func CommR(commC, commRLast fr32.Node) (fr32.Node, error) {
	n, err := merkle.Poseidon([]fr32.Node{commC, commRLast})
	if err != nil {
		return n, fmt.Errorf("CommR: %w", err)
	}
	return n, nil
}

// Prove opens all challenges of all partitions. The result is checked before it is returned, so that a damaged file is
// found here and not by a verifier.
func Prove(ctx context.Context, st Statement, src Sources) (Vanilla, error) {
	sh, err := shape.OfSeal(st.SealProof)
	if err != nil {
		return Vanilla{}, err
	}
	if len(src.Layers) != sh.Layers {
		return Vanilla{}, fmt.Errorf("%d label layers, want %d", len(src.Layers), sh.Layers)
	}
	v := Vanilla{Statement: st}
	if v.CommC, err = src.TreeC.Root(); err != nil {
		return Vanilla{}, fmt.Errorf("column tree: %w", err)
	}
	if v.CommRLast, err = src.TreeR.Root(); err != nil {
		return Vanilla{}, fmt.Errorf("replica tree: %w", err)
	}
	graph := sdr.NewGraph(sh) // faster than a look at a cache for the few nodes opened
	for k := range sh.Partitions {
		nodes, err := st.Challenges(k)
		if err != nil {
			return Vanilla{}, err
		}
		var part []Challenge
		for _, n := range nodes {
			if err := ctx.Err(); err != nil {
				return Vanilla{}, err
			}
			c, err := src.open(graph, n)
			if err != nil {
				return Vanilla{}, fmt.Errorf("partition %d, challenged node %d: %w", k, n, err)
			}
			part = append(part, c)
		}
		v.Partitions = append(v.Partitions, part)
	}
	if err := v.Check(); err != nil {
		return Vanilla{}, fmt.Errorf("sector files do not fit together: %w", err)
	}
	return v, nil
}

func (s Sources) open(graph *sdr.Graph, node uint64) (c Challenge, err error) {
	c.Node = node
	if c.Data, err = s.TreeD.Open(node); err != nil {
		return c, fmt.Errorf("data tree: %w", err)
	}
	if c.Replica, err = s.TreeR.Open(node); err != nil {
		return c, fmt.Errorf("replica tree: %w", err)
	}
	if c.Column, err = s.column(node); err != nil {
		return c, err
	}
	for i, p := range graph.Parents(uint32(node)) {
		col, err := s.column(uint64(p))
		if err != nil {
			return c, err
		}
		if i < shape.BaseDegree {
			c.Base[i] = col
		} else {
			c.Exp[i-shape.BaseDegree] = col
		}
	}
	return c, nil
}

func (s Sources) column(node uint64) (c ColumnProof, err error) {
	c.Labels = make([]fr32.Node, len(s.Layers))
	for l, f := range s.Layers {
		if _, err := f.ReadAt(c.Labels[l][:], int64(node)*fr32.NodeSize); err != nil {
			return c, fmt.Errorf("label %d of layer %d: %w", node, l+1, err)
		}
	}
	if c.Path, err = s.TreeC.Open(node); err != nil {
		return c, fmt.Errorf("column tree: %w", err)
	}
	return c, nil
}

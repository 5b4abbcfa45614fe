package merkle

import (
	"fmt"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/poseidon"
)

const nodeSize = fr32.NodeSize

// RowHasher joins consecutive groups of nodes. One per goroutine.
type RowHasher interface {
	// Arity is the number of nodes joined into one.
	Arity() int
	// HashRow writes the parents of the nodes in src to dst; len(src) is Arity times len(dst).
	HashRow(dst, src []byte) error
}

type shaRows struct{}

// NewSHARows joins pairs as in the data tree.
func NewSHARows() RowHasher { return shaRows{} }

func (shaRows) Arity() int { return 2 }

func (shaRows) HashRow(dst, src []byte) error {
	for i := 0; i < len(dst); i += nodeSize {
		n := Join(fr32.Node(src[2*i:]), fr32.Node(src[2*i+nodeSize:]))
		copy(dst[i:], n[:])
	}
	return nil
}

// PoseidonRows joins groups of field elements by Poseidon.
type PoseidonRows struct {
	arity int
	batch *poseidon.Batch
}

// NewPoseidonRows makes a hasher of an arity that package poseidon knows.
func NewPoseidonRows(arity int) (*PoseidonRows, error) {
	c, err := poseidon.ForArity(arity)
	if err != nil {
		return nil, err
	}
	return &PoseidonRows{arity: arity, batch: poseidon.NewBatch(c)}, nil
}

// Arity is the number of nodes joined into one.
func (p *PoseidonRows) Arity() int { return p.arity }

// HashRow is RowHasher's; nodes that are no canonical field elements are an error that tells their place in src.
func (p *PoseidonRows) HashRow(dst, src []byte) error {
	return p.hash(dst, func(i, j int) []byte { return src[(i*p.arity+j)*nodeSize:] })
}

// HashColumns writes to dst the hash of each column that stands in rows (Arity slices of as many bytes as dst): column i
// is node i of every row.
func (p *PoseidonRows) HashColumns(dst []byte, rows [][]byte) error {
	if len(rows) != p.arity {
		return fmt.Errorf("columns of %d rows: want %d", len(rows), p.arity)
	}
	return p.hash(dst, func(i, j int) []byte { return rows[j][i*nodeSize:] })
}

// hash fills dst with digests; element j of preimage i starts where at says.
func (p *PoseidonRows) hash(dst []byte, at func(i, j int) []byte) error {
	total := len(dst) / nodeSize
	for done := 0; done < total; done += poseidon.BatchSize {
		n := min(poseidon.BatchSize, total-done)
		for k := range n {
			for j := range p.arity {
				if e := at(done+k, j); !p.batch.Set(k, j, (*[nodeSize]byte)(e)) {
					return fmt.Errorf("element %d of hash %d: %x is no canonical field element", j, done+k, e[:nodeSize])
				}
			}
		}
		p.batch.Sum(n)
		for k := range n {
			p.batch.Digest(k, (*[nodeSize]byte)(dst[(done+k)*nodeSize:]))
		}
	}
	return nil
}

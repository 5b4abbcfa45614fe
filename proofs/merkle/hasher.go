package merkle

import (
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

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

// poseidonGroup is how many digests PoseidonRows makes at a time.
const poseidonGroup = 32

// PoseidonRows joins groups of field elements by Poseidon.
type PoseidonRows struct {
	arity   int
	batch   *poseidon.Batch
	in, out []fr.Element
}

// NewPoseidonRows makes a hasher of an arity that package poseidon knows.
func NewPoseidonRows(arity int) (*PoseidonRows, error) {
	c, err := poseidon.ForArity(arity)
	if err != nil {
		return nil, err
	}
	return &PoseidonRows{
		arity: arity, batch: poseidon.NewBatch(c),
		in: make([]fr.Element, poseidonGroup*arity), out: make([]fr.Element, poseidonGroup),
	}, nil
}

// Arity is the number of nodes joined into one.
func (p *PoseidonRows) Arity() int { return p.arity }

// HashRow is RowHasher's; nodes that are no canonical field elements are an error that tells their place in src.
func (p *PoseidonRows) HashRow(dst, src []byte) error {
	at := 0
	return p.hash(dst, func(in []fr.Element) error {
		for i := range in {
			if err := decode(&in[i], src[(at+i)*nodeSize:]); err != nil {
				return fmt.Errorf("node %d: %w", at+i, err)
			}
		}
		at += len(in)
		return nil
	})
}

// HashColumns writes to dst the hash of each column that stands in rows (Arity slices of as many bytes as dst): column i
// is node i of every row.
func (p *PoseidonRows) HashColumns(dst []byte, rows [][]byte) error {
	if len(rows) != p.arity {
		return fmt.Errorf("columns of %d rows: want %d", len(rows), p.arity)
	}
	at := 0
	return p.hash(dst, func(in []fr.Element) error {
		n := len(in) / p.arity
		for i := range n {
			for j, row := range rows {
				if err := decode(&in[i*p.arity+j], row[(at+i)*nodeSize:]); err != nil {
					return fmt.Errorf("column %d: %w", at+i, err)
				}
			}
		}
		at += n
		return nil
	})
}

// hash fills dst with digests of preimages that load supplies group by group.
func (p *PoseidonRows) hash(dst []byte, load func(in []fr.Element) error) error {
	for len(dst) > 0 {
		n := min(poseidonGroup, len(dst)/nodeSize)
		in, out := p.in[:n*p.arity], p.out[:n]
		if err := load(in); err != nil {
			return err
		}
		p.batch.Hash(out, in)
		for i := range out {
			fr.LittleEndian.PutElement((*[nodeSize]byte)(dst[i*nodeSize:]), out[i])
		}
		dst = dst[n*nodeSize:]
	}
	return nil
}

func decode(e *fr.Element, b []byte) (err error) {
	*e, err = fr.LittleEndian.Element((*[nodeSize]byte)(b))
	if err != nil {
		return fmt.Errorf("%x is no canonical field element", b[:nodeSize])
	}
	return nil
}

package update

import (
	"errors"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/poseidon"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// ErrNode marks bytes that are no canonical field element where one must stand.
var ErrNode = errors.New("bytes are no canonical field element")

// Encoder turns the nodes of one sector into each other: new = key + data*factor, where key is the old replica and the
// factor depends on the leading bits of the node's index. Read-only once made: safe for concurrent use.
type Encoder struct {
	u       shape.Update
	factors fr.Vector
	inverse fr.Vector
}

// NewEncoder computes the factors, which follow from the data's commitment and the old replica's.
func NewEncoder(u shape.Update, commROld, commD fr32.Node) (*Encoder, error) {
	phi, err := phiOf(commROld, commD)
	if err != nil {
		return nil, err
	}
	e := &Encoder{u: u, factors: make(fr.Vector, 1<<u.HighBits)}
	for i := range e.factors {
		e.factors[i] = poseidon.HashPair(phi, fr.NewElement(uint64(i)))
	}
	e.inverse = fr.BatchInvert(e.factors)
	return e, nil
}

// phiOf binds an update to its data and its old replica.
func phiOf(commROld, commD fr32.Node) (phi fr.Element, err error) {
	r, err := commROld.Element()
	if err != nil {
		return phi, fmt.Errorf("old CommR: %w", err)
	}
	d, err := commD.Element()
	if err != nil {
		return phi, fmt.Errorf("CommD: %w", err)
	}
	return poseidon.HashPair(d, r), nil
}

// Encode writes the new replica's nodes to dst. All three have the same length, a multiple of 32, and hold the nodes from
// number start on; dst may be one of the others.
func (e *Encoder) Encode(dst, key, data []byte, start uint64) error {
	return e.combine(dst, key, data, start, func(z, key, data *fr.Element, high uint64) {
		var t fr.Element
		t.Mul(data, &e.factors[high])
		z.Add(key, &t)
	})
}

// Decode writes the data's nodes to dst, from the new replica and the key.
func (e *Encoder) Decode(dst, replica, key []byte, start uint64) error {
	return e.combine(dst, replica, key, start, func(z, replica, key *fr.Element, high uint64) {
		z.Sub(replica, key)
		z.Mul(z, &e.inverse[high])
	})
}

// Remove writes the key's nodes to dst, from the new replica and the data.
func (e *Encoder) Remove(dst, replica, data []byte, start uint64) error {
	return e.combine(dst, replica, data, start, func(z, replica, data *fr.Element, high uint64) {
		var t fr.Element
		t.Mul(data, &e.factors[high])
		z.Sub(replica, &t)
	})
}

func (e *Encoder) combine(dst, a, b []byte, start uint64, op func(z, x, y *fr.Element, high uint64)) error {
	nodes := uint64(len(a) / fr32.NodeSize)
	if len(dst) != len(a) || len(a) != len(b) || len(a)%fr32.NodeSize != 0 || start+nodes > e.u.Nodes() {
		return fmt.Errorf("%d bytes with %d bytes into %d from node %d of %d", len(a), len(b), len(dst), start, e.u.Nodes())
	}
	for i := range nodes {
		at := i * fr32.NodeSize
		x, err := fr.LittleEndian.Element((*[32]byte)(a[at:]))
		if err != nil {
			return fmt.Errorf("node %d: %w", start+i, ErrNode)
		}
		y, err := fr.LittleEndian.Element((*[32]byte)(b[at:]))
		if err != nil {
			return fmt.Errorf("node %d: %w", start+i, ErrNode)
		}
		var z fr.Element
		op(&z, &x, &y, high(e.u, start+i))
		fr.LittleEndian.PutElement((*[32]byte)(dst[at:]), z)
	}
	return nil
}

package snarkpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
)

var (
	// ErrEncoding marks bytes that are no aggregate, or no file of commitment keys.
	ErrEncoding = errors.New("wrong encoding")
	// ErrInvalid marks an aggregate that does not prove its statement.
	ErrInvalid = errors.New("aggregate is invalid")
)

// An aggregate holds a power of two of proofs, within these bounds; the upper one is what Filecoin's programs read of
// their commitment keys. A list that is no power of two is filled up with its last proof.
const (
	MinProofs = 2
	MaxProofs = 1 << 14
)

// Padded is the number of proofs in an aggregate of n: the next power of two, at least two.
func Padded(n int) int { return max(MinProofs, 1<<bits.Len(uint(max(n, 1)-1))) }

// Commitment is one value under the keys of alpha and of beta.
type Commitment [2]bls.GT

// Round tells the cross terms of one folding; index 0 is the left term, which goes with the round's challenge, 1 the
// right one, which goes with its inverse.
type Round struct {
	AB [2]Commitment   // commitments to A and B
	C  [2]Commitment   // commitments to C
	Z  [2]bls.GT       // products of A and B
	S  [2]bls.G1Affine // weighted sums of C
}

// Proof is an aggregate. Where a value has a pair, index 0 is under the key of alpha and 1 under that of beta.
type Proof struct {
	AB, C Commitment
	Z     bls.GT       // the product of e(A_i, B_i)^(r^i)
	S     bls.G1Affine // the sum of r^i*C_i

	Rounds []Round // log2 of the number of proofs

	LastA bls.G1Affine // what is left of the lists after the last round
	LastB bls.G2Affine
	LastC bls.G1Affine
	LastV [2]bls.G2Affine // and of the keys
	LastW [2]bls.G1Affine
	OpenV [2]bls.G2Affine // openings of LastV and LastW
	OpenW [2]bls.G1Affine
}

// NumProofs is the number of proofs in the aggregate, with those that fill it up.
func (p *Proof) NumProofs() int { return 1 << len(p.Rounds) }

// Lengths of the encoding's parts.
const (
	headSize  = 5*torusSize + bls.SizeOfG1AffineCompressed
	countSize = 4
	roundSize = 10*torusSize + 2*bls.SizeOfG1AffineCompressed
	tailSize  = 6*bls.SizeOfG1AffineCompressed + 5*bls.SizeOfG2AffineCompressed
)

// Size is the encoded length of an aggregate of n proofs, n a power of two: 2260 bytes and 2976 for every halving.
func Size(n int) int { return headSize + countSize + tailSize + bits.Len(uint(n)-1)*roundSize }

// Length is the length of the aggregate that b begins with, as its count of proofs tells; b may be shorter or longer.
func Length(b []byte) (int, error) {
	if len(b) < headSize+countSize {
		return 0, fmt.Errorf("aggregate of %d bytes: %w", len(b), ErrEncoding)
	}
	n := binary.LittleEndian.Uint32(b[headSize:])
	if n < MinProofs || n > MaxProofs || !isPowerOfTwo(int(n)) {
		return 0, fmt.Errorf("aggregate of %d proofs, want a power of two from %d to %d: %w", n, MinProofs, MaxProofs, ErrEncoding)
	}
	return Size(int(n)), nil
}

// Parse reads an aggregate that fills b: canonical, every point and element in its group. Points at infinity are let
// through, as Filecoin's verifier does; no honest aggregate has one.
func Parse(b []byte) (*Proof, error) {
	size, err := Length(b)
	if err != nil {
		return nil, err
	}
	if len(b) != size {
		return nil, fmt.Errorf("aggregate of %d bytes, want %d: %w", len(b), size, ErrEncoding)
	}
	p := &Proof{Rounds: make([]Round, bits.Len32(binary.LittleEndian.Uint32(b[headSize:]))-1)}
	r := &reader{rest: b}
	p.visit(r)
	if r.err != nil {
		return nil, r.err
	}
	if err := expand(r.targets, r.torus); err != nil {
		return nil, err
	}
	return p, nil
}

// Bytes is the encoding of p. An element of the target group that has no compressed form, as 1 has none, is an error.
func (p *Proof) Bytes() ([]byte, error) {
	w := &writer{out: make([]byte, 0, Size(p.NumProofs()))}
	p.visit(w)
	return w.out, w.err
}

// visitor is told the fields of an aggregate in the order of their encoding.
type visitor interface {
	target(x *bls.GT)
	g1(p *bls.G1Affine)
	g2(p *bls.G2Affine)
	count(n uint32)
}

func (p *Proof) visit(v visitor) {
	each := func(c *Commitment) {
		v.target(&c[0])
		v.target(&c[1])
	}
	each(&p.AB)
	each(&p.C)
	v.target(&p.Z)
	v.g1(&p.S)
	v.count(uint32(p.NumProofs()))
	for i := range p.Rounds {
		each(&p.Rounds[i].AB[0])
		each(&p.Rounds[i].AB[1])
	}
	for i := range p.Rounds {
		each(&p.Rounds[i].C[0])
		each(&p.Rounds[i].C[1])
	}
	for i := range p.Rounds {
		each((*Commitment)(&p.Rounds[i].Z))
	}
	for i := range p.Rounds {
		v.g1(&p.Rounds[i].S[0])
		v.g1(&p.Rounds[i].S[1])
	}
	v.g1(&p.LastA)
	v.g2(&p.LastB)
	v.g1(&p.LastC)
	v.g2(&p.LastV[0])
	v.g2(&p.LastV[1])
	v.g1(&p.LastW[0])
	v.g1(&p.LastW[1])
	v.g2(&p.OpenV[0])
	v.g2(&p.OpenV[1])
	v.g1(&p.OpenW[0])
	v.g1(&p.OpenW[1])
}

type writer struct {
	out []byte
	err error
}

func (w *writer) target(x *bls.GT) {
	c, err := x.CompressTorus()
	if err != nil {
		w.err = errors.Join(w.err, fmt.Errorf("element of the target group has no compressed form: %w", err))
	}
	w.out = appendE6(w.out, &c)
}

func (w *writer) g1(p *bls.G1Affine) {
	b := p.Bytes()
	w.out = append(w.out, b[:]...)
}

func (w *writer) g2(p *bls.G2Affine) {
	b := p.Bytes()
	w.out = append(w.out, b[:]...)
}

func (w *writer) count(n uint32) { w.out = binary.LittleEndian.AppendUint32(w.out, n) }

// reader takes fields off rest, whose length has been checked. It keeps the first error, and the elements of the target
// group for later: they are decompressed together.
type reader struct {
	rest    []byte
	err     error
	targets []*bls.GT
	torus   []bls.E6
}

func (r *reader) next(n int) []byte {
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) fail(err error) {
	if r.err == nil && err != nil {
		r.err = err
	}
}

func (r *reader) target(x *bls.GT) {
	c, err := readTorus(r.next(torusSize))
	r.fail(err)
	r.targets, r.torus = append(r.targets, x), append(r.torus, c)
}

func (r *reader) g1(p *bls.G1Affine) { r.fail(readPoint(p, r.next(bls.SizeOfG1AffineCompressed))) }

func (r *reader) g2(p *bls.G2Affine) { r.fail(readPoint(p, r.next(bls.SizeOfG2AffineCompressed))) }

func (r *reader) count(uint32) { r.next(countSize) }

// readPoint reads a compressed point that fills b.
func readPoint(p interface{ SetBytes(b []byte) (int, error) }, b []byte) error {
	if b[0]&0x80 == 0 {
		return fmt.Errorf("point of %d bytes is not marked compressed: %w", len(b), ErrEncoding)
	}
	if _, err := p.SetBytes(b); err != nil {
		return fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return nil
}

package snarkpack

import (
	"crypto/rand"
	"fmt"
	"io"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/proofs/groth16"
)

// lines are the Miller loop's lines of a fixed point of G2.
type lines = [2][len(bls.LoopCounter) - 1]bls.LineEvaluationAff

// Verifier checks aggregates made under one pair of commitment keys. Safe for concurrent use.
type Verifier struct {
	key   *Key
	fixed [3]lines // the generator of G2, and it times alpha and beta
	seed  io.Reader
}

// NewVerifier makes a key ready to verify with.
func NewVerifier(k *Key) *Verifier {
	v := &Verifier{key: k, seed: rand.Reader}
	_, _, _, h := bls.Generators()
	for i, q := range []bls.G2Affine{h, k.H[0], k.H[1]} {
		v.fixed[i] = bls.PrecomputeLines(q)
	}
	return v
}

// Statement is what an aggregate proves.
type Statement struct {
	Version Version
	// Message is bound into the transcript.
	Message []byte
	// Inputs are the public inputs of the proofs in order, without the constant one, and without those that fill the
	// aggregate up.
	Inputs [][]fr.Element
}

// Verify checks that p aggregates proofs of st's inputs under key: one product of pairings over a random combination of
// all equations. An aggregate of another number of proofs, and one that does not hold, give ErrInvalid.
func (v *Verifier) Verify(key *groth16.PreparedKey, st Statement, p *Proof) error {
	if !st.Version.Known() {
		return fmt.Errorf("aggregate of version %d: %w", st.Version, ErrInvalid)
	}
	if len(st.Inputs) == 0 || Padded(len(st.Inputs)) != p.NumProofs() {
		return fmt.Errorf("aggregate of %d proofs for %d statements: %w", p.NumProofs(), len(st.Inputs), ErrInvalid)
	}
	for _, in := range st.Inputs {
		if len(in) != key.NumInputs() {
			return fmt.Errorf("statement has %d public inputs, key wants %d: %w", len(in), key.NumInputs(), ErrInvalid)
		}
	}
	c := replay(st, p)
	open, want, err := v.argument(c, p)
	if err != nil {
		return err
	}
	statements, err := key.MillerLoop(weigh(st.Inputs, p.NumProofs(), &c.weight), p.S)
	if err != nil {
		return err
	}
	want.Mul(&want, &p.Z)
	if got := bls.FinalExponentiation(&statements, &open); !got.Equal(&want) {
		return ErrInvalid
	}
	return nil
}

// VerifyArgument is Verify as far as no verifying key is needed: every equation but that of the statements. It shows that
// p was made with the commitment keys for st's version and message, and not that any of the proofs in it holds. The inputs
// are not looked at.
func (v *Verifier) VerifyArgument(st Statement, p *Proof) error {
	if !st.Version.Known() {
		return fmt.Errorf("aggregate of version %d: %w", st.Version, ErrInvalid)
	}
	open, want, err := v.argument(replay(st, p), p)
	if err != nil {
		return err
	}
	if got := bls.FinalExponentiation(&open); !got.Equal(&want) {
		return ErrInvalid
	}
	return nil
}

// argument checks the sum of C and returns the two sides of a random combination of the equations with pairings, without
// that of the statements: the pairings before the final exponentiation, and what they must make.
func (v *Verifier) argument(c *challenges, p *Proof) (open, want bls.GT, err error) {
	if err := c.checkSum(p); err != nil {
		return open, want, err
	}
	var rho [equations]fr.Element
	if err := v.draw(rho[:]); err != nil {
		return open, want, err
	}
	if open, err = v.pairings(c, p, &rho); err != nil {
		return open, want, err
	}
	return open, multiply(c.terms(p, &rho)), nil
}

// challenges are what the transcript of an aggregate yields.
type challenges struct {
	weight      fr.Element
	left, right []fr.Element // of the rounds
	point       fr.Element
}

func replay(st Statement, p *Proof) *challenges {
	c := &challenges{left: make([]fr.Element, len(p.Rounds)), right: make([]fr.Element, len(p.Rounds))}
	var t *Transcript
	t, c.weight = Begin(st.Version, &p.AB, &p.C, st.Message)
	t.Totals(&p.Z, &p.S)
	for i := range p.Rounds {
		c.left[i], c.right[i] = t.Round(&p.Rounds[i])
	}
	c.point = t.Point(p)
	return c
}

// folded is the polynomial to which the rounds fold a list of powers, evaluated at x: the product of 1 + c*x^(2^j) over
// the rounds' challenges, the last round's with j = 0.
func folded(challenges []fr.Element, x fr.Element) (out fr.Element) {
	out.SetOne()
	for i := len(challenges) - 1; i >= 0; i-- {
		var f fr.Element
		f.Mul(&challenges[i], &x)
		f.Add(&f, new(fr.Element).SetOne())
		out.Mul(&out, &f)
		x.Square(&x)
	}
	return out
}

// checkSum compares what is left of C with the folded sum, the one equation without a pairing.
func (c *challenges) checkSum(p *Proof) error {
	points := []bls.G1Affine{p.S}
	scalars := make([]fr.Element, 1, 2+2*len(p.Rounds))
	scalars[0].SetOne()
	for i := range p.Rounds {
		points = append(points, p.Rounds[i].S[0], p.Rounds[i].S[1])
		scalars = append(scalars, c.left[i], c.right[i])
	}
	last := folded(c.right, c.weight)
	points, scalars = append(points, p.LastC), append(scalars, *last.Neg(&last))
	if s := sum(points, scalars); !s.IsInfinity() {
		return fmt.Errorf("sum of C: %w", ErrInvalid)
	}
	return nil
}

// The equations with pairings that are weighted at random; the one of the statements has weight 1. Of a pair, the first
// is under the key of alpha and the second under that of beta.
const (
	eqProduct = iota // what is left of A and B, and their folded product
	eqAB             // the commitment to A and B
	_
	eqC // the commitment to C
	_
	eqOpenV // the opening of what is left of v
	_
	eqOpenW // and of w
	_
	equations
)

// draw fills weights with random 128-bit numbers: a false equation passes with probability 2^-128.
func (v *Verifier) draw(weights []fr.Element) error {
	var b [16]byte
	for i := range weights {
		if _, err := io.ReadFull(v.seed, b[:]); err != nil {
			return fmt.Errorf("randomness for an aggregate: %w", err)
		}
		weights[i].SetBytes(b[:])
	}
	return nil
}

// weigh is the sum of weight^i over all n proofs, and of weight^i times each public input; the last statement stands for
// all that fill up.
func weigh(inputs [][]fr.Element, n int, weight *fr.Element) []fr.Element {
	out := make(fr.Vector, 1+len(inputs[0]))
	scaled := make(fr.Vector, len(inputs[0]))
	columns := out[1:]
	var power fr.Element
	power.SetOne()
	for i := range inputs {
		share := power
		power.Mul(&power, weight)
		for j := i + 1; i == len(inputs)-1 && j < n; j++ {
			share.Add(&share, &power)
			power.Mul(&power, weight)
		}
		out[0].Add(&out[0], &share)
		scaled.ScalarMul(inputs[i], &share)
		columns.Add(columns, scaled)
	}
	return out
}

// pairings is the Miller loop of the weighted equations' pairings, collected by their points of G2:
//
//	product   e(A, B)
//	AB        e(A, v) * e(w, B)
//	C         e(C, v)
//	open v    e(g, v) * e(-y*g, h) * e(z*g - s*g, open)      y the polynomial at z, s alpha or beta
//	open w    e(w - y*g, h) * e(z*open, h) * e(-open, s*h)
func (v *Verifier) pairings(c *challenges, p *Proof, rho *[equations]fr.Element) (bls.GT, error) {
	_, _, g, _ := bls.Generators()
	atV, atW := c.keysAtPoint()
	withB, byB := []bls.G1Affine{p.LastA}, []fr.Element{rho[eqProduct]}
	withH, byH := []bls.G1Affine{g}, make([]fr.Element, 1)
	var points []bls.G1Affine
	var others []bls.G2Affine
	var fixed [3]bls.G1Affine // with h, alpha*h and beta*h
	for i := range 2 {
		ab, single, openV, openW := rho[eqAB+i], rho[eqC+i], rho[eqOpenV+i], rho[eqOpenW+i]
		withB, byB = append(withB, p.LastW[i]), append(byB, ab)

		var atPoint, minus, t fr.Element
		atPoint.Mul(&openV, &c.point)
		minus.Neg(&openV)
		points = append(points, sum([]bls.G1Affine{p.LastA, p.LastC, g}, []fr.Element{ab, single, openV}),
			sum([]bls.G1Affine{g, v.key.G[i]}, []fr.Element{atPoint, minus}))
		others = append(others, p.LastV[i], p.OpenV[i])

		byH[0].Sub(&byH[0], t.Mul(&openV, &atV))
		byH[0].Sub(&byH[0], t.Mul(&openW, &atW))
		atPoint.Mul(&openW, &c.point)
		withH, byH = append(withH, p.LastW[i], p.OpenW[i]), append(byH, openW, atPoint)
		minus.Neg(&openW)
		fixed[1+i] = sum([]bls.G1Affine{p.OpenW[i]}, []fr.Element{minus})
	}
	points, others = append(points, sum(withB, byB)), append(others, p.LastB)
	fixed[0] = sum(withH, byH)

	prepared := v.fixed // the library scales the lines it is given in place
	f, err := bls.MillerLoopFixedQ(fixed[:], prepared[:])
	if err != nil {
		return f, fmt.Errorf("pairing: %w", err)
	}
	rest, err := bls.MillerLoop(points, others)
	if err != nil {
		return f, fmt.Errorf("pairing: %w", err)
	}
	return *f.Mul(&f, &rest), nil
}

// keysAtPoint are the polynomials of v and w at the point of the openings. That of w begins with power n, because its key
// does, and its powers are scaled by the inverse weight.
func (c *challenges) keysAtPoint() (v, w fr.Element) {
	v = folded(c.right, c.point)
	w.Inverse(&c.weight)
	w = folded(c.left, *w.Mul(&w, &c.point))
	power := c.point
	for range c.left {
		power.Square(&power)
	}
	w.Mul(&w, &power)
	return v, w
}

// terms are what the weighted equations' pairings must make: the values that the aggregate begins with, and the rounds'
// cross terms to their challenges.
func (c *challenges) terms(p *Proof, rho *[equations]fr.Element) []power {
	out := []power{{&p.Z, rho[eqProduct]}}
	for i := range 2 {
		out = append(out, power{&p.AB[i], rho[eqAB+i]}, power{&p.C[i], rho[eqC+i]})
	}
	for k := range p.Rounds {
		r := &p.Rounds[k]
		for side, by := range []*fr.Element{&c.left[k], &c.right[k]} {
			add := func(x *bls.GT, weight *fr.Element) {
				var e fr.Element
				out = append(out, power{x, *e.Mul(weight, by)})
			}
			add(&r.Z[side], &rho[eqProduct])
			for i := range 2 {
				add(&r.AB[side][i], &rho[eqAB+i])
				add(&r.C[side][i], &rho[eqC+i])
			}
		}
	}
	return out
}

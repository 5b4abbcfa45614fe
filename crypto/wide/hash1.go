package wide

import (
	"fmt"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	curve "github.com/consensys/gnark-crypto/ecc/bls12-381/hash_to_curve"
)

// HashToG1 hashes messages as HashToG2 does, with the same care, to points of the other group
// (BLS12381G1_XMD:SHA-256_SSWU_RO_).
func HashToG1(messages [][]byte, domain []byte) ([]bls.G1Affine, error) {
	out, err := hashInLanes(messages, domain)
	if err != nil {
		return nil, err
	}
	for i := range out {
		if !out[i].IsInfinity() {
			continue
		}
		if out[i], err = bls.HashToG1(messages[i], domain); err != nil {
			return nil, fmt.Errorf("hash to curve: %w", err)
		}
	}
	return out, nil
}

// hashInLanes leaves infinity where the library has to hash.
func hashInLanes(messages [][]byte, domain []byte) ([]bls.G1Affine, error) {
	out := make([]bls.G1Affine, len(messages))
	if !wide {
		return out, nil
	}
	h := new(hasher1)
	err := inEights(len(messages), func(from, to int) error { return h.hash(out[from:to], messages[from:to], domain) })
	for i := range out {
		if !out[i].IsOnCurve() {
			out[i] = bls.G1Affine{}
		}
	}
	return out, err
}

// hasher1 is hasher2 for G1, over another isogenous curve.
type hasher1 struct {
	workspace1
	first, second points1
	powers        [16]octet
	root
}

func (h *hasher1) hash(out []bls.G1Affine, messages [][]byte, domain []byte) error {
	var u [2][lanes]fp.Element
	for lane := range lanes {
		m := messages[min(lane, len(messages)-1)] // no lane is without one
		e, err := fp.Hash(m, domain, 2)
		if err != nil {
			return fmt.Errorf("hash to field: %w", err)
		}
		u[0][lane], u[1][lane] = e[0], e[1]
	}
	p, q := &h.first, &h.second
	isogenous1.toCurve(p, &u[0], &h.t, h.ratio1)
	isogenous1.toCurve(q, &u[1], &h.t, h.ratio1)
	h.add(p, q)
	h.toCurve(p)
	// One less the curves' parameter times it comes into the group (RFC 9380, 8.8.1).
	*q = *p
	h.timesSeed(q)
	q.y.negate(&q.y)
	h.add(p, q)

	affine1(out, p, &h.t[0])
	return nil
}

// ratio1 sets y to a square root of num/den where that is a square, of the isogenous curve's z times it elsewhere, and returns
// the lanes where it is: num*den*(num*den^3)^((p-3)/4) is a root of num/den or its negative, and -z is a square.
func (h *hasher1) ratio1(y, num, den *octet) (squares uint8) {
	product, check := &h.powers[0], &h.powers[1]
	product.mul(num, den)
	check.square(den)
	check.mul(check, product)
	h.power(y, check)
	y.mul(y, product)
	check.square(y)
	check.mul(check, den)
	check.sub(check, num)
	squares = check.zeros()
	check.mul(y, rootOfMinusZ)
	y.choose(^squares, check)
	return squares
}

// toCurve takes points from the isogenous curve to ours: with the fractions xn/xd and y*yn/yd for its coordinates the new z is
// z*xd*yd.
func (h *hasher1) toCurve(p *points1) {
	d := &h.powers[1]
	h.powers[0] = one
	d.square(&p.z)
	for i := 2; i < len(h.powers); i++ {
		h.powers[i].mul(&h.powers[i-1], d)
	}
	xn, xd, yn, yd := &h.t[0], &h.t[1], &h.t[2], &h.t[3]
	for i, z := range []*octet{xn, xd, yn, yd} {
		h.polynomial(z, &p.x, iso1Maps[i])
	}
	both := &h.t[4]
	both.mul(xd, yd)
	p.z.mul(&p.z, both)
	yn.mul(yn, &p.y)
	p.x.mul(xn, both)
	p.x.mul(&p.x, yd)
	yd.square(both)
	yd.mul(yd, xd)
	p.y.mul(yn, yd)
}

// polynomial sets z to the polynomial at x over the base that h.powers are of, times that to the polynomial's degree.
func (h *hasher1) polynomial(z, x *octet, c []*octet) {
	term := &h.t[9]
	*z = *c[len(c)-1]
	for i := len(c) - 2; i >= 0; i-- {
		z.mul(z, x)
		term.mul(&h.powers[len(c)-1-i], c[i])
		z.add(z, term)
	}
}

// The isogenous curve, and the isogeny's constants in lanes: x as a fraction, y as one. The library leaves out that denominators
// begin with one.
var (
	isogenous1   swu[octet, fp.Element, *octet, *fp.Element]
	rootOfMinusZ *octet
	iso1Maps     [4][]*octet
)

func init() {
	a, b := curve.G1SSWUIsogenyCurveCoefficients()
	isogenous1 = swu[octet, fp.Element, *octet, *fp.Element]{a, b, curve.G1MulByZ, curve.G1Sgn0, octetOf(&a), octetOf(&b)}
	z := curve.G1SSWUIsogenyZ()
	rootOfMinusZ = octetOf(z.Sqrt(z.Neg(&z)))
	for i, list := range curve.G1IsogenyMap() {
		for k := range list {
			iso1Maps[i] = append(iso1Maps[i], octetOf(&list[k]))
		}
		if denominator := i%2 == 1; denominator {
			iso1Maps[i] = append(iso1Maps[i], &one)
		}
	}
}

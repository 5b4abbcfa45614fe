package wide

import (
	"math/big"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
)

// root takes square roots in the extension. The modulus is 3 modulo 4, so that for a number v of the field below v^((p-3)/4)
// is 1 over its root where it has one, and 1 over the root of -v otherwise. Not safe for concurrent use.
type root struct {
	odd              [1 << (rootWindow - 1)]octet // odd powers
	m, s, g, r, v    octet
	fraction, timesZ pair
}

// ratio sets y to a square root of num/den where that is a square, of isoZ times it elsewhere, and returns the lanes where
// it is; which of the two roots is left open.
//
// With m for the norm of den, num/den = (a + b*i)/m where a + b*i is num times the conjugate of den. It is a square if its
// norm has a root s in the field below; then so has just one of g = (a+s)/2 and (a-s)/2, and m*g = v gives the rest: with
// r = v^((p-3)/4) the roots of m*(a + b*i) are r*v + m*b*r/2*i or m*b*r/2 - r*v*i, and m = 1/(g*r^2) but for a sign.
func (q *root) ratio(y, num, den *pair) (squares uint8) {
	q.fraction.conjugate(den)
	q.fraction.mul(num, &q.fraction)
	a, b := &q.fraction[0], &q.fraction[1]
	q.m.norm(den, &q.v)
	q.s.norm(num, &q.v)
	q.s.mul(&q.s, &q.m) // the norm of a + b*i
	q.power(&q.r, &q.s)
	q.r.mul(&q.r, &q.s)
	q.v.square(&q.r)
	q.v.sub(&q.v, &q.s)
	squares = q.v.zeros()
	// Elsewhere r is the root of -norm; that of isoZ's multiple is 5 times the norm, as isoZ = -(2+i).
	q.s.mul(&q.r, &rootOfMinus5)
	q.s.choose(squares, &q.r)
	q.timesZ.mul(&q.fraction, isoZ)
	q.fraction.choose(^squares, &q.timesZ)

	q.g.add(a, &q.s)
	q.g.mul(&q.g, &half)
	q.v.mul(&q.g, &q.m)
	q.power(&q.r, &q.v)
	q.s.mul(&q.r, &q.v)
	b.mul(b, &q.m)
	b.mul(b, &half)
	b.mul(b, &q.r)
	q.r.square(&q.r)
	q.g.mul(&q.g, &q.r)
	q.m.square(&q.s)
	q.m.sub(&q.m, &q.v)
	plus := q.m.zeros()
	y[0] = *b
	y[0].choose(plus, &q.s)
	y[1].negate(&q.s)
	y[1].choose(plus, b)
	y.scale(y, &q.g)
	return squares
}

// norm sets z to a^2 + b^2; scratch is for one of them.
func (z *octet) norm(x *pair, scratch *octet) {
	scratch.square(&x[0])
	z.square(&x[1])
	z.add(z, scratch)
}

// power sets z to x^((p-3)/4), by windows of the exponent that begin and end with a bit.
func (q *root) power(z, x *octet) {
	var two octet
	two.square(x)
	q.odd[0] = *x
	for i := 1; i < len(q.odd); i++ {
		mul(&q.odd[i], &q.odd[i-1], &two)
	}
	*z = q.odd[rootSteps[0].odd]
	for _, s := range rootSteps[1:] {
		squares(z, z, s.squares)
		if s.odd >= 0 {
			z.mul(z, &q.odd[s.odd])
		}
	}
}

const rootWindow = 5

// rootStep is a number of squarings, and the odd power to multiply by behind them; of the last step there may be none (-1).
type rootStep struct{ squares, odd int }

var (
	rootSteps    = stepsOf(new(big.Int).Rsh(fp.Modulus(), 2)) // (p-3)/4
	half         = *octetOf(new(fp.Element).Inverse(new(fp.Element).SetUint64(2)))
	rootOfMinus5 = *octetOf(new(fp.Element).Sqrt(new(fp.Element).SetInt64(-5)))
)

func stepsOf(e *big.Int) (steps []rootStep) {
	waiting := 0
	for at := e.BitLen() - 1; at >= 0; {
		if e.Bit(at) == 0 {
			waiting++
			at--
			continue
		}
		low := max(at-rootWindow+1, 0)
		for e.Bit(low) == 0 {
			low++
		}
		value := 0
		for i := at; i >= low; i-- {
			value = value<<1 | int(e.Bit(i))
		}
		steps = append(steps, rootStep{waiting + at - low + 1, value / 2})
		waiting, at = 0, low-1
	}
	if waiting > 0 {
		steps = append(steps, rootStep{waiting, -1})
	}
	return steps
}

package wide

import (
	"math/big"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
)

// points2 is eight points of the curve over the extension in Jacobian coordinates: (x/z^2, y/z^3), infinity has z = 0.
// The formulas are those of the explicit-formulas database, and take no care of what has no answer in them: the sum of a
// point and itself, or its negative, or infinity, comes out as infinity. That is for who uses them to find out.
type points2 struct{ x, y, z pair }

// bench has room for what lies between the steps of a formula. Not safe for concurrent use.
type bench struct{ t [10]pair }

// double sets p to p + p ("dbl-2009-l", where the curve has no linear term).
func (b *bench) double(p *points2) {
	a, c, d, e, f := &b.t[0], &b.t[1], &b.t[2], &b.t[3], &b.t[4]
	p.z.mul(&p.y, &p.z)
	p.z.double(&p.z)
	a.square(&p.x)
	c.square(&p.y)
	d.mul(&p.x, c) // x*y^2, four times
	d.double(d)
	d.double(d)
	e.double(a)
	e.add(e, a)
	f.square(e)
	f.sub(f, d)
	p.x.sub(f, d)
	c.square(c)
	c.double(c)
	c.double(c)
	c.double(c)
	d.sub(d, &p.x)
	p.y.mul(e, d)
	p.y.sub(&p.y, c)
}

// add sets p to p + q ("add-2007-bl", with its products of sums written as products).
func (b *bench) add(p, q *points2) {
	z1, z2, u, s, h, r := &b.t[0], &b.t[1], &b.t[2], &b.t[3], &b.t[4], &b.t[5]
	z1.square(&p.z)
	z2.square(&q.z)
	u.mul(&p.x, z2)
	h.mul(&q.x, z1)
	h.sub(h, u)
	s.mul(&p.y, &q.z)
	s.mul(s, z2)
	r.mul(&q.y, &p.z)
	r.mul(r, z1)
	r.sub(r, s)
	p.z.mul(&p.z, &q.z)
	p.z.mul(&p.z, h)
	hh := z1.square1(h)
	u.mul(u, hh)
	hh.mul(hh, h)
	s.mul(s, hh)
	p.x.square(r)
	p.x.sub(&p.x, hh)
	p.x.sub(&p.x, u)
	p.x.sub(&p.x, u)
	u.sub(u, &p.x)
	p.y.mul(r, u)
	p.y.sub(&p.y, s)
}

// square1 is square that returns z.
func (z *pair) square1(x *pair) *pair {
	z.square(x)
	return z
}

// negate sets p to -p.
func (p *points2) negate() {
	sub(&p.y[0], &zero, &p.y[0], 1)
	sub(&p.y[1], &zero, &p.y[1], 1)
}

// seed is the absolute value of the parameter that the curve was made of; it is negative.
const seed = uint64(0xd201000000010000)

// timesSeed sets p to the curve's parameter times p.
func (b *bench) timesSeed(p *points2) {
	base := *p
	for bit := 62; bit >= 0; bit-- {
		b.double(p)
		if seed>>bit&1 == 1 {
			b.add(p, &base)
		}
	}
	p.negate()
}

// twist sets p to its image under the endomorphism that RFC 9380 calls psi.
func (p *points2) twist() {
	p.x.conjugate(&p.x)
	p.x.mul(&p.x, twistX)
	p.y.conjugate(&p.y)
	p.y.mul(&p.y, twistY)
	p.z.conjugate(&p.z)
}

// The factors of twist are (1+i)^-((p-1)/3) and (1+i)^-((p-1)/2).
var twistX, twistY = twistFactor(3), twistFactor(2)

func twistFactor(root int64) *pair {
	n := new(big.Int).Sub(fp.Modulus(), big.NewInt(1))
	base := bls.E2{A0: fp.One(), A1: fp.One()}
	base.Inverse(&base)
	var e bls.E2
	e.Exp(base, n.Div(n, big.NewInt(root)))
	return pairOf(&e)
}

// clear sets p, on the curve, to a multiple of it in the group of signatures (RFC 9380, appendix G.3; with s for the
// parameter: (s^2-s-1)p + (s-1)psi(p) + psi^2(2p)).
func (b *bench) clear(p *points2) {
	sp, twisted, sum := *p, *p, *p
	b.timesSeed(&sp)
	twisted.twist()
	b.double(&sum)
	sum.twist()
	sum.twist()
	minus := twisted
	minus.negate()
	b.add(&sum, &minus)
	b.add(&twisted, &sp)
	b.timesSeed(&twisted)
	b.add(&sum, &twisted)
	sp.negate()
	b.add(&sum, &sp)
	p.negate()
	b.add(p, &sum)
}

package wide

// element is what octets and pairs can do: eight numbers of a field.
type element[T any] interface {
	*T
	add(x, y *T)
	sub(x, y *T)
	mul(x, y *T)
	square(x *T)
	zeros() uint8
}

// points is eight points of a curve y^2 = x^3 + b in Jacobian coordinates: (x/z^2, y/z^3), infinity has z = 0. The formulas are
// those of the explicit-formulas database, and take no care of what has no answer in them: the sum of a point and itself, or
// its negative, or infinity, comes out as infinity. That is for who uses them to find out.
type points[T any] struct{ x, y, z T }

// workspace has room for what lies between the steps of a formula. Not safe for concurrent use.
type workspace[T any, P element[T]] struct{ t [10]T }

// double sets p to p + p ("dbl-2009-l", for curves without a linear term).
func (b *workspace[T, P]) double(p *points[T]) {
	x, y, z := P(&p.x), P(&p.y), P(&p.z)
	a, c, d, e, f := P(&b.t[0]), P(&b.t[1]), P(&b.t[2]), P(&b.t[3]), P(&b.t[4])
	z.mul(y, z)
	z.add(z, z)
	a.square(x)
	c.square(y)
	d.mul(x, c) // x*y^2, four times
	d.add(d, d)
	d.add(d, d)
	e.add(a, a)
	e.add(e, a)
	f.square(e)
	f.sub(f, d)
	x.sub(f, d)
	c.square(c)
	c.add(c, c)
	c.add(c, c)
	c.add(c, c)
	d.sub(d, x)
	y.mul(e, d)
	y.sub(y, c)
}

// add sets p to p + q ("add-2007-bl", with its products of sums written as products). The curve may have a linear term.
func (b *workspace[T, P]) add(p, q *points[T]) {
	x, y, z := P(&p.x), P(&p.y), P(&p.z)
	z1, z2, u, s, h, r := P(&b.t[0]), P(&b.t[1]), P(&b.t[2]), P(&b.t[3]), P(&b.t[4]), P(&b.t[5])
	z1.square(z)
	z2.square(&q.z)
	u.mul(x, z2)
	h.mul(&q.x, z1)
	h.sub(h, u)
	s.mul(y, &q.z)
	s.mul(s, z2)
	r.mul(&q.y, z)
	r.mul(r, z1)
	r.sub(r, s)
	z.mul(z, &q.z)
	z.mul(z, h)
	z1.square(h)
	u.mul(u, z1)
	z1.mul(z1, h)
	s.mul(s, z1)
	x.square(r)
	x.sub(x, z1)
	x.sub(x, u)
	x.sub(x, u)
	u.sub(u, x)
	y.mul(r, u)
	y.sub(y, s)
}

// seed is the absolute value of the parameter that the curves were made of; it is negative.
const seed = uint64(0xd201000000010000)

// timesSeed sets p to the curves' parameter times p.
func (b *workspace[T, P]) timesSeed(p *points[T]) {
	base := *p
	for bit := 62; bit >= 0; bit-- {
		b.double(p)
		if seed>>bit&1 == 1 {
			b.add(p, &base)
		}
	}
	var nothing T
	P(&p.y).sub(&nothing, &p.y)
}

// same are the lanes in which two points, neither infinity, are the same.
func (b *workspace[T, P]) same(p, q *points[T]) uint8 {
	z1, z2, l, r := P(&b.t[0]), P(&b.t[1]), P(&b.t[2]), P(&b.t[3])
	z1.square(&p.z)
	z2.square(&q.z)
	l.mul(&p.x, z2)
	r.mul(&q.x, z1)
	l.sub(l, r)
	alike := l.zeros() &^ (z1.zeros() | z2.zeros())
	z1.mul(z1, &p.z)
	z2.mul(z2, &q.z)
	l.mul(&p.y, z2)
	r.mul(&q.y, z1)
	l.sub(l, r)
	return alike & l.zeros()
}

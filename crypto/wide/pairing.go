package wide

import (
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
)

// MillerLoop is the product of the Miller loops of pairs p[i], q[i], up to a factor that the library's final exponentiation
// makes one. None of the points is infinity, and all lie in their groups. It can be called where Available says so.
//
// To accept a product that came out wrong one would have to find a signature that fits it, which is to invert a pairing; so
// a signature is good if this says so, but who is told that one is bad must ask the library.
func MillerLoop(p []bls.G1Affine, q []bls.G2Affine) bls.GT {
	var product bls.GT
	product.SetOne()
	m := &miller{f: new(twelve), g: new(twelve)}
	for len(p) > 0 {
		n := min(len(p), lanes*millerOctets)
		m.load(p[:n], q[:n])
		m.run()
		for lane := range min(n, lanes) {
			f := m.f.take(lane)
			product.Mul(&product, &f)
		}
		p, q = p[n:], q[n:]
	}
	return *product.Conjugate(&product) // the curve's parameter is negative
}

// millerOctets is how many octets of pairs share the squarings; what they need fits into a core's cache (0.2 MiB).
const millerOctets = 32

// millerPair is eight pairs of points: p of G1, q of the twist, and the multiple of q that the loop has come to, (x/z, y/z).
type millerPair struct {
	px, py  octet
	qx, qy  pair
	x, y, z pair
	idle    uint8 // lanes without a pair
}

// miller runs Miller's loop for many pairs at once. Not safe for concurrent use.
type miller struct {
	f, g *twelve // the product, and room for the next
	line line
	t    [10]pair
	six  [3]six
	by   sixFactor
	n    int
	pair [millerOctets]millerPair
}

func (m *miller) load(p []bls.G1Affine, q []bls.G2Affine) {
	m.n = (len(p) + lanes - 1) / lanes
	for i := range m.n * lanes {
		o, lane := &m.pair[i/lanes], i%lanes
		if lane == 0 {
			o.idle = 0
		}
		k := i
		if i >= len(p) {
			o.idle |= 1 << lane
			k = 0
		}
		o.px.put(lane, &p[k].X)
		o.py.put(lane, &p[k].Y)
		o.qx.put(lane, &q[k].X)
		o.qy.put(lane, &q[k].Y)
	}
	for i := range m.n {
		o := &m.pair[i]
		o.x, o.y, o.z = o.qx, o.qy, *onePair
	}
}

// run leaves the products in m.f: that of lane k over all octets.
func (m *miller) run() {
	*m.f = twelve{{*onePair}}
	for bit := 62; bit >= 0; bit-- {
		if bit < 62 {
			m.square()
		}
		for i := range m.n {
			m.double(&m.pair[i])
		}
		if seed>>bit&1 == 1 {
			for i := range m.n {
				m.addBase(&m.pair[i])
			}
		}
	}
}

// square squares m.f: with a + b*w and t = a*b it is (a + b)(a + b*v) - t - t*v + 2*t*w.
func (m *miller) square() {
	a, b, t := &m.f[0], &m.f[1], &m.g[0]
	s := &m.six
	m.by.set(b, &m.t[0])
	t.mul(a, &m.by)
	s[0].timesV(b)
	s[0].add(&s[0], a)
	s[1].add(a, b)
	m.by.set(&s[0], &m.t[0])
	s[2].mul(&s[1], &m.by)
	s[2].sub(&s[2], t)
	s[0].timesV(t)
	a.sub(&s[2], &s[0])
	b.add(t, t)
}

// times multiplies m.f by a line through points of the twist, taken at p: c0 + c1*px*v + c4*py*v*w.
func (m *miller) times(o *millerPair, c0, c1, c4 *pair) {
	c1.scale(c1, &o.px)
	c4.scale(c4, &o.py)
	if o.idle != 0 {
		c0.choose(o.idle, onePair)
		c1.choose(o.idle, zeroPair)
		c4.choose(o.idle, zeroPair)
	}
	m.line.set(c0, c1, c4, &m.t[9])
	m.g.timesLine(m.f, &m.line)
	m.f, m.g = m.g, m.f
}

// double is a doubling and the tangent (Costello, Lange, Naehrig, "Faster pairing computations on curves with high-degree
// twists", section 5, times 4).
func (m *miller) double(o *millerPair) {
	b, c, e, f, h, j, xy, c0 := &m.t[0], &m.t[1], &m.t[2], &m.t[3], &m.t[4], &m.t[5], &m.t[6], &m.t[7]
	j.square(&o.x)
	xy.mul(&o.x, &o.y)
	b.square(&o.y)
	c.square(&o.z)
	h.add(&o.y, &o.z)
	h.square(h)
	h.sub(h, b)
	h.sub(h, c)  // 2*y*z
	e.timesXi(c) // the twist's constant is 4*(1+i); e = 3*constant*z^2
	c.double(e)
	c.add(c, e)
	c.double(c)
	e.double(c)
	f.double(e)
	f.add(f, e)

	c0.sub(e, b)
	c.sub(b, f)
	xy.double(xy)
	o.x.mul(xy, c)
	f.add(f, b)
	o.y.square(f)
	e.square(e)
	e.double(e)
	e.double(e)
	o.y.sub(&o.y, e)
	o.y.sub(&o.y, e)
	o.y.sub(&o.y, e)
	b.double(b)
	b.double(b)
	o.z.mul(b, h)

	f.double(j)
	j.add(j, f)
	h.negate(h)
	m.times(o, c0, j, h)
}

// addBase adds q, and the line through it (ibid.).
func (m *miller) addBase(o *millerPair) {
	dy, dx, c, d, e, f, g, h := &m.t[0], &m.t[1], &m.t[2], &m.t[3], &m.t[4], &m.t[5], &m.t[6], &m.t[7]
	dy.mul(&o.qy, &o.z)
	dy.sub(&o.y, dy)
	dx.mul(&o.qx, &o.z)
	dx.sub(&o.x, dx)
	c.square(dy)
	d.square(dx)
	e.mul(dx, d)
	f.mul(&o.z, c)
	g.mul(&o.x, d)
	h.add(e, f)
	h.sub(h, g)
	h.sub(h, g)
	o.x.mul(dx, h)
	g.sub(g, h)
	g.mul(g, dy)
	c.mul(e, &o.y)
	o.y.sub(g, c)
	o.z.mul(&o.z, e)

	c.mul(dy, &o.qx)
	d.mul(dx, &o.qy)
	c.sub(c, d)
	dy.negate(dy)
	m.times(o, c, dy, dx)
}

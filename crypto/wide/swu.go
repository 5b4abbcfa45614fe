package wide

// swu is the simplified map of Shallue, van de Woestijne and Ulas (RFC 9380, 6.6.2) from elements of a field to points of a curve
// y^2 = x^3 + a*x + b that is isogenous to one of ours: T is eight elements in lanes, E one of the library's.
type swu[T, E any, P laneOf[T, E], N number[E]] struct {
	a, b     E
	timesZ   func(z, x *E)
	sign     func(x *E) uint64
	inA, inB *T // a and b in lanes
}

// laneOf is what octets and pairs can do that have the library's elements in their lanes.
type laneOf[T, E any] interface {
	element[T]
	inLanes[T, E]
}

type inLanes[T, E any] interface {
	put(lane int, e *E)
	take(lane int) E
	choose(mask uint8, x *T)
}

// number is what an element of the library's can do.
type number[E any] interface {
	*E
	SetOne() *E
	Add(x, y *E) *E
	Mul(x, y *E) *E
	Neg(x *E) *E
	Square(x *E) *E
}

// abscissa is n/d, the first candidate for the x coordinate of an element's point, and what leads to the second.
type abscissa[E any] struct{ zu, n, d E }

func (m *swu[T, E, P, N]) candidate(u *E) (f abscissa[E]) {
	zu, n, d := N(&f.zu), N(&f.n), N(&f.d)
	zu.Square(u)
	m.timesZ(zu, zu)
	d.Square(zu)
	d.Add(d, zu)
	n.SetOne()
	n.Add(n, d)
	n.Mul(n, &m.b)
	d.Mul(d, &m.a)
	d.Neg(d)
	return f
}

// toCurve maps eight elements. Ratio sets y to a square root of num/den where that is a square, of the map's z times it elsewhere,
// and returns the lanes where it is; t has room.
func (m *swu[T, E, P, N]) toCurve(p *points[T], u *[lanes]E, t *[10]T, ratio func(y, num, den *T) uint8) {
	zu, n, d, square := P(&t[0]), P(&t[1]), P(&t[2]), P(&t[3])
	num, den, y := P(&t[4]), P(&t[5]), P(&t[6])
	otherX, otherY, minus := P(&t[7]), P(&t[8]), P(&t[9])
	for lane := range u {
		f := m.candidate(&u[lane])
		zu.put(lane, &f.zu)
		n.put(lane, &f.n)
		d.put(lane, &f.d)
		otherY.put(lane, &u[lane])
	}
	// The third power of n/d, and a*n/d, and b are num/den.
	square.square(d)
	num.square(n)
	den.mul(square, m.inA)
	num.add(num, den)
	num.mul(num, n)
	den.mul(square, d)
	square.mul(den, m.inB)
	num.add(num, square)

	// Where that is no square, y is the root of z times it, and the other candidate for x is zu times this one.
	squares := ratio(y, num, den)
	otherX.mul(zu, n)
	n.choose(^squares, otherX)
	otherY.mul(otherY, zu)
	otherY.mul(otherY, y)
	y.choose(^squares, otherY)
	var nothing T
	minus.sub(&nothing, y)
	for lane := range u {
		e := y.take(lane)
		if m.sign(&u[lane]) != m.sign(&e) {
			y.choose(1<<lane, minus)
		}
	}
	p.z = *d
	P(&p.x).mul(n, d)
	square.square(d)
	square.mul(square, d)
	P(&p.y).mul(y, square)
}

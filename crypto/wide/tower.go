package wide

import (
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
)

// factor is a pair that is multiplied by others: a, b and -b of a + b*i.
type factor [3]octet

func (f *factor) set(x *pair) {
	f[0], f[1] = x[0], x[1]
	f[2].negate(&x[1])
}

// timesXi sets z to x times 1 + i, the cube of the variable v of a six and the sixth power of the variable w of a twelve. They are
// not the same.
func (z *pair) timesXi(x *pair) {
	z[0].sub(&x[0], &x[1])
	z[1].add(&x[0], &x[1])
}

// six is eight elements a + b*v + c*v^2 of the sextic extension, twelve eight of the dodecic one, a + b*w with w^2 = v: the
// library's tower.
type six [3]pair
type twelve [2]six

// sixFactor is a six to multiply by: its coefficients, and (1+i) times the second and the third.
type sixFactor struct {
	c  [3]factor
	xi [3]factor
}

func (f *sixFactor) set(x *six, scratch *pair) {
	for i := range x {
		f.c[i].set(&x[i])
		if i > 0 {
			scratch.timesXi(&x[i])
			f.xi[i].set(scratch)
		}
	}
}

// mul sets z to x times y; they are not the same.
func (z *six) mul(x *six, y *sixFactor) {
	dot(&z[0], &x[0], &x[1], &x[2], &y.c[0], &y.xi[2], &y.xi[1])
	dot(&z[1], &x[0], &x[1], &x[2], &y.c[1], &y.c[0], &y.xi[2])
	dot(&z[2], &x[0], &x[1], &x[2], &y.c[2], &y.c[1], &y.c[0])
}

func (z *six) add(x, y *six) { add(&z[0][0], &x[0][0], &y[0][0], 2*len(z)) }
func (z *six) sub(x, y *six) { sub(&z[0][0], &x[0][0], &y[0][0], 2*len(z)) }

// timesV sets z to x times v; they are not the same.
func (z *six) timesV(x *six) {
	z[0].timesXi(&x[2])
	z[1], z[2] = x[0], x[1]
}

// line is c0 + c1*v + c4*v*w in eight lanes, to multiply by.
type line struct{ c0, c1, c4, xi1, xi4 factor }

// set takes the coefficients; scratch is for one of them.
func (l *line) set(c0, c1, c4, scratch *pair) {
	l.c0.set(c0)
	l.c1.set(c1)
	l.c4.set(c4)
	scratch.timesXi(c1)
	l.xi1.set(scratch)
	scratch.timesXi(c4)
	l.xi4.set(scratch)
}

// timesLine sets z to x times l; they are not the same.
func (z *twelve) timesLine(x *twelve, l *line) {
	a, b := &x[0], &x[1]
	dot(&z[0][0], &a[0], &a[2], &b[1], &l.c0, &l.xi1, &l.xi4)
	dot(&z[0][1], &a[0], &a[1], &b[2], &l.c1, &l.c0, &l.xi4)
	dot(&z[0][2], &a[1], &a[2], &b[0], &l.c1, &l.c0, &l.c4)
	dot(&z[1][0], &b[0], &b[2], &a[2], &l.c0, &l.xi1, &l.xi4)
	dot(&z[1][1], &b[0], &b[1], &a[0], &l.c1, &l.c0, &l.c4)
	dot(&z[1][2], &b[1], &b[2], &a[1], &l.c1, &l.c0, &l.c4)
}

// take is a lane as the library has it.
func (z *twelve) take(lane int) (e bls.GT) {
	for i, part := range []*[3]*bls.E2{{&e.C0.B0, &e.C0.B1, &e.C0.B2}, {&e.C1.B0, &e.C1.B1, &e.C1.B2}} {
		for k := range part {
			*part[k] = z[i][k].take(lane)
		}
	}
	return e
}

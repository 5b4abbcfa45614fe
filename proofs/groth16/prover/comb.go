package prover

import (
	"math/bits"
	"runtime"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"golang.org/x/sync/errgroup"
)

// field is what a coordinate can do: fp.Element for G1, E2 for G2.
type field[T any] interface {
	*T
	additive[T]
	Mul(x, y *T) *T
	Square(x *T) *T
	Inverse(x *T) *T
	SetOne() *T
}

type additive[T any] interface {
	Add(x, y *T) *T
	Sub(x, y *T) *T
	Double(x *T) *T
	Neg(x *T) *T
	IsZero() bool
}

// affine is a curve point; (0, 0) is infinity.
type affine[T any] struct{ X, Y T }

// The comb writes scalars in windows of combBits bits with signed digits: every window has a table of the multiples
// 1..2^(combBits-1) of its own power of two times the generator, so that a product is one addition per window.
const (
	combBits    = 13
	combWindows = (fr.Bits + 1 + combBits - 1) / combBits
	combTable   = 1 << (combBits - 1)
	// combBatch products are computed side by side, so that an addition's inversion is shared.
	combBatch = 1024
)

// comb multiplies one fixed generator by many scalars.
type comb[T any, F field[T]] struct {
	tables [combWindows][]affine[T]
}

func newComb[T any, F field[T]](generator affine[T]) *comb[T, F] {
	c := &comb[T, F]{}
	base := make([]affine[T], combWindows)
	for w := range base {
		base[w] = generator
		c.tables[w] = make([]affine[T], combTable)
		c.tables[w][0] = generator
		for range combBits {
			generator = double[T, F](generator)
		}
	}
	// Row k of all tables is row k-1 plus the base, all windows at once.
	a := newAdder[T, F](combWindows)
	acc := append([]affine[T](nil), base...)
	for k := 1; k < combTable; k++ {
		for w := range base {
			a.points[w] = base[w]
		}
		a.add(acc)
		for w := range acc {
			c.tables[w][k] = acc[w]
		}
	}
	return c
}

// multiply sets out[i] to scalars[i] times the generator, on one core.
func (c *comb[T, F]) multiply(out []affine[T], scalars []fr.Element) {
	a := newAdder[T, F](combBatch)
	digits := make([][combWindows]int16, combBatch)
	for len(scalars) > 0 {
		n := min(combBatch, len(scalars))
		for i := range n {
			split(&digits[i], &scalars[i])
			out[i] = affine[T]{}
		}
		for w := range combWindows {
			for i := range n {
				d := digits[i][w]
				switch {
				case d == 0:
					a.points[i] = affine[T]{}
				case d > 0:
					a.points[i] = c.tables[w][d-1]
				default:
					a.points[i] = c.tables[w][-d-1]
					F(&a.points[i].Y).Neg(&a.points[i].Y)
				}
			}
			a.add(out[:n])
		}
		out, scalars = out[n:], scalars[n:]
	}
}

// split writes s in signed digits, lowest window first.
func split(digits *[combWindows]int16, s *fr.Element) {
	limbs := s.Bits()
	carry := 0
	for w := range digits {
		at := w * combBits
		v := 0
		if at < 256 {
			v = int(limbs[at/64] >> (at % 64))
			if at%64+combBits > 64 && at/64+1 < 4 {
				v |= int(limbs[at/64+1] << (64 - at%64))
			}
		}
		v = v&(1<<combBits-1) + carry
		carry = 0
		if v > combTable {
			v -= 1 << combBits
			carry = 1
		}
		digits[w] = int16(v)
	}
}

// adder adds points pairwise with one shared inversion.
type adder[T any, F field[T]] struct {
	points   []affine[T] // what to add; filled by the caller
	den, pre []T
	// scratch of add, here because generic calls would move locals to the heap
	product, inv, slope, x, y T
}

func newAdder[T any, F field[T]](n int) *adder[T, F] {
	return &adder[T, F]{points: make([]affine[T], n), den: make([]T, n), pre: make([]T, n)}
}

func (p *affine[T]) infinity(isZero func(*T) bool) bool { return isZero(&p.X) && isZero(&p.Y) }

// add sets acc[i] += points[i]. Pairs that the chord formula cannot add (infinity, equal x) are done one by one.
func (a *adder[T, F]) add(acc []affine[T]) {
	isZero := func(x *T) bool { return F(x).IsZero() }
	product := F(&a.product)
	product.SetOne()
	for i := range acc {
		den, p, q := F(&a.den[i]), &acc[i], &a.points[i]
		den.Sub(&q.X, &p.X)
		if den.IsZero() || q.infinity(isZero) || p.infinity(isZero) {
			*p = addSlow[T, F](*p, *q)
			den.Sub(&p.X, &p.X) // zero: done
			continue
		}
		a.pre[i] = a.product
		product.Mul(&a.product, &a.den[i])
	}
	product.Inverse(&a.product)
	inv, slope, x, y := F(&a.inv), F(&a.slope), F(&a.x), F(&a.y)
	for i := len(acc) - 1; i >= 0; i-- {
		if isZero(&a.den[i]) {
			continue
		}
		p, q := &acc[i], &a.points[i]
		inv.Mul(&a.product, &a.pre[i])
		product.Mul(&a.product, &a.den[i])
		slope.Sub(&q.Y, &p.Y)
		slope.Mul(&a.slope, &a.inv)
		x.Square(&a.slope)
		x.Sub(&a.x, &p.X)
		x.Sub(&a.x, &q.X)
		y.Sub(&p.X, &a.x)
		y.Mul(&a.y, &a.slope)
		y.Sub(&a.y, &p.Y)
		p.X, p.Y = a.x, a.y
	}
}

// addSlow is the complete affine addition.
func addSlow[T any, F field[T]](p, q affine[T]) affine[T] {
	isZero := func(x *T) bool { return F(x).IsZero() }
	if p.infinity(isZero) {
		return q
	}
	if q.infinity(isZero) {
		return p
	}
	var dx, dy T
	F(&dx).Sub(&q.X, &p.X)
	F(&dy).Sub(&q.Y, &p.Y)
	switch {
	case !isZero(&dx):
		F(&dx).Inverse(&dx)
		F(&dy).Mul(&dy, &dx)
		return chord[T, F](p, q, dy)
	case isZero(&dy):
		return double[T, F](p)
	}
	return affine[T]{}
}

// double is 2p; p is not of order two, as no point of the groups is.
func double[T any, F field[T]](p affine[T]) affine[T] {
	var slope, den T
	F(&den).Double(&p.Y)
	if F(&den).IsZero() {
		return affine[T]{}
	}
	F(&den).Inverse(&den)
	F(&slope).Square(&p.X)
	var triple T
	F(&triple).Double(&slope)
	F(&slope).Add(&slope, &triple)
	F(&slope).Mul(&slope, &den)
	return chord[T, F](p, p, slope)
}

func chord[T any, F field[T]](p, q affine[T], slope T) affine[T] {
	var r affine[T]
	F(&r.X).Square(&slope)
	F(&r.X).Sub(&r.X, &p.X)
	F(&r.X).Sub(&r.X, &q.X)
	F(&r.Y).Sub(&p.X, &r.X)
	F(&r.Y).Mul(&r.Y, &slope)
	F(&r.Y).Sub(&r.Y, &p.Y)
	return r
}

func newCombG1() *comb[fp.Element, *fp.Element] {
	_, _, g, _ := bls.Generators()
	return newComb[fp.Element, *fp.Element](affine[fp.Element]{g.X, g.Y})
}

func newCombG2() *comb[bls.E2, *bls.E2] {
	_, _, _, g := bls.Generators()
	return newComb[bls.E2, *bls.E2](affine[bls.E2]{g.X, g.Y})
}

// inParallel splits scalars over all cores.
func inParallel[T any, F field[T]](c *comb[T, F], out []affine[T], scalars []fr.Element) {
	share := (len(scalars) + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	share = max(1, 1<<bits.Len(uint(max(share-1, 0))))
	var group errgroup.Group
	for at := 0; at < len(scalars); at += share {
		end := min(at+share, len(scalars))
		group.Go(func() error {
			c.multiply(out[at:end], scalars[at:end])
			return nil
		})
	}
	_ = group.Wait() // the workers return no errors
}

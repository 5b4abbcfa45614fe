package wide

import (
	"math/big"

	"github.com/consensys/gnark-crypto/ecc"
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// Scalar is a number of 256 bits, lowest word first. What is done with it takes time by its length.
type Scalar [4]uint64

// CombineG1 is the sum of points of the group by a scalar each. Of what the lanes made the library sees that it is on the curve,
// and otherwise does all of it.
func CombineG1(p []bls.G1Affine, by []Scalar) (sum bls.G1Affine) {
	s, ok := combineInLanes1(p, by)
	if !ok {
		s = byLibrary(p, by, func(s *bls.G1Jac, p *bls.G1Affine, k *big.Int) { s.AddMixed(p.ScalarMultiplication(p, k)) }, (*bls.G1Jac).MultiExp)
	}
	return *sum.FromJacobian(&s)
}

// CombineG2 is CombineG1 for the group of signatures.
func CombineG2(p []bls.G2Affine, by []Scalar) (sum bls.G2Affine) {
	s, ok := combineInLanes2(p, by)
	if !ok {
		s = byLibrary(p, by, func(s *bls.G2Jac, p *bls.G2Affine, k *big.Int) { s.AddMixed(p.ScalarMultiplication(p, k)) }, (*bls.G2Jac).MultiExp)
	}
	return *sum.FromJacobian(&s)
}

// fewPoints is how many points the library multiplies in less time one by one than together.
const fewPoints = 16

// byLibrary combines points, a few by adding the multiple of each.
func byLibrary[A, J any](p []A, by []Scalar, add func(s *J, p *A, k *big.Int), all func(s *J, p []A, by []fr.Element, c ecc.MultiExpConfig) (*J, error)) (sum J) {
	if len(p) < fewPoints {
		for i, q := range p {
			add(&sum, &q, by[i].number())
		}
		return sum
	}
	scalars := make([]fr.Element, len(by))
	for i := range by {
		scalars[i].SetBigInt(by[i].number())
	}
	if _, err := all(&sum, p, scalars, ecc.MultiExpConfig{NbTasks: 1}); err != nil {
		panic(err) // only for lists of different length
	}
	return sum
}

// combineInLanes1 tells whether it could; where it cannot is left to the library.
func combineInLanes1(p []bls.G1Affine, by []Scalar) (sum bls.G1Jac, ok bool) {
	ok = combineInLanes[octet, *octet](p, by, load1, func(from *points1, lane int) bool {
		q := bls.G1Jac{X: from.x.take(lane), Y: from.y.take(lane), Z: from.z.take(lane)}
		sum.AddAssign(&q)
		return !q.Z.IsZero() && q.IsOnCurve()
	})
	return sum, ok
}

func combineInLanes2(p []bls.G2Affine, by []Scalar) (sum bls.G2Jac, ok bool) {
	ok = combineInLanes[pair, *pair](p, by, load2, func(from *points2, lane int) bool {
		q := bls.G2Jac{X: from.x.take(lane), Y: from.y.take(lane), Z: from.z.take(lane)}
		sum.AddAssign(&q)
		return !q.Z.IsZero() && q.IsOnCurve()
	})
	return sum, ok
}

// combineInLanes hands the sum of each lane that has one to add, which tells whether it is a point.
func combineInLanes[T any, P chooser[T], A any](p []A, by []Scalar, load func(base *points[T], list []A), add func(from *points[T], lane int) bool) bool {
	if !wide || len(p) < worthwhile {
		return false
	}
	c := new(combiner[T, P])
	for from := 0; from < len(p); from += combineMost {
		to := min(from+combineMost, len(p))
		c.run(by[from:to], func(base *points[T], at int) { load(base, p[from+at:to]) })
		for lane := range lanes {
			if c.empty>>lane&1 == 0 && !add(&c.sum, lane) {
				return false
			}
		}
	}
	return true
}

// combiner adds up multiples of points, by digits of four bits: in each lane those of every eighth point, so that they are
// doubled together. Not safe for concurrent use.
type combiner[T any, P chooser[T]] struct {
	workspace[T, P]
	sum points[T]
	// empty are the lanes in which nothing was added up.
	empty     uint8
	old, pick points[T]
	minus     T
	tables    [][combineRow]points[T] // multiples of eight points each, of one at 0
	digits    [][combineDigits]int8
}

type chooser[T any] interface {
	element[T]
	choose(mask uint8, x *T)
}

const (
	combineBits   = 4
	combineRow    = 1 << (combineBits - 1)
	combineDigits = 256/combineBits + 1
	// combineMost points are added up together: their tables, 1.5 or 3 KiB each, stay in the cache of a core.
	combineMost = 256
)

// run adds up points by the scalars; load has the points from an index on, as many as there are lanes, and any where there is
// none left.
func (c *combiner[T, P]) run(by []Scalar, load func(base *points[T], from int)) {
	need := (len(by) + lanes - 1) / lanes
	if len(c.tables) < need {
		c.tables, c.digits = make([][combineRow]points[T], need), make([][combineDigits]int8, need*lanes)
	}
	for k := range need {
		t := &c.tables[k]
		load(&t[0], k*lanes)
		for d := 2; d <= len(t); d++ {
			if d%2 == 0 {
				t[d-1] = t[d/2-1]
				c.double(&t[d-1])
			} else {
				t[d-1] = t[d-2]
				c.add(&t[d-1], &t[0])
			}
		}
	}
	digits := 0
	for i := range by {
		digits = max(digits, by[i].cut(&c.digits[i]))
	}
	c.sum, c.empty = c.tables[0][0], 1<<lanes-1 // lanes that stay empty hold some point
	for i := digits - 1; i >= 0; i-- {
		if c.empty != 1<<lanes-1 {
			for range combineBits {
				c.double(&c.sum)
			}
		}
		for k := range need {
			c.addEight(i, k, min(lanes, len(by)-k*lanes))
		}
	}
}

// addEight adds the multiples of eight points, or fewer, that digit i asks for.
func (c *combiner[T, P]) addEight(i, k, n int) {
	var some, negative uint8
	for lane := range n {
		d := int(c.digits[k*lanes+lane][i])
		if d == 0 {
			continue
		}
		some |= 1 << lane
		if d < 0 {
			negative |= 1 << lane
			d = -d
		}
		choose[T, P](&c.pick, 1<<lane, &c.tables[k][d-1])
	}
	if some == 0 {
		return
	}
	var nothing T
	P(&c.minus).sub(&nothing, &c.pick.y)
	P(&c.pick.y).choose(negative, &c.minus)
	c.old = c.sum
	c.add(&c.sum, &c.pick)
	choose[T, P](&c.sum, ^some, &c.old)
	choose[T, P](&c.sum, some&c.empty, &c.pick)
	c.empty &^= some
}

// choose sets z to x in the lanes of a mask and leaves it in the others.
func choose[T any, P chooser[T]](z *points[T], mask uint8, x *points[T]) {
	P(&z.x).choose(mask, &x.x)
	P(&z.y).choose(mask, &x.y)
	P(&z.z).choose(mask, &x.z)
}

// cut gives the digits of a scalar, lowest first, each from -7 to 8, and tells how many there are.
func (s *Scalar) cut(out *[combineDigits]int8) (n int) {
	carry := int8(0)
	for i := range out {
		d := carry
		if at := combineBits * i; at < 256 {
			d += int8(bitsOf((*[4]uint64)(s), at, combineBits))
		}
		if carry = 0; d > combineRow {
			d -= 2 * combineRow
			carry = 1
		}
		if out[i] = d; d != 0 {
			n = i + 1
		}
	}
	return n
}

func (s *Scalar) number() *big.Int {
	n := new(big.Int)
	for i := len(s) - 1; i >= 0; i-- {
		n.Lsh(n, 64)
		n.Or(n, new(big.Int).SetUint64(s[i]))
	}
	return n
}

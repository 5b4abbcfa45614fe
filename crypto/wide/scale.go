package wide

import (
	"math/big"
	"math/bits"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
)

// Scalar is a number of 128 bits, lowest word first.
type Scalar [2]uint64

// ScaleG1 multiplies points of the group, none infinity, by a scalar each. Of what the lanes made the library sees that it is on
// the curve, and it multiplies the rest.
func ScaleG1(p []bls.G1Affine, by []Scalar) []bls.G1Affine {
	out := scaleInLanes(p, by)
	for i := range out {
		if out[i].IsInfinity() {
			out[i].ScalarMultiplication(&p[i], by[i].number())
		}
	}
	return out
}

// scaleInLanes leaves infinity where the library has to multiply.
func scaleInLanes(p []bls.G1Affine, by []Scalar) []bls.G1Affine {
	out := make([]bls.G1Affine, len(p))
	if !wide {
		return out
	}
	s := new(scaler)
	_ = inEights(len(p), func(from, to int) error { // none fails
		s.eight(out[from:to], p[from:to], by[from:to])
		return nil
	})
	return out
}

// scaler multiplies eight points, by digits of four bits. Not safe for concurrent use.
type scaler struct {
	workspace1
	table          [1 << scaleBits]points1 // multiples; of nothing at 0
	sum, old, pick points1
}

const scaleBits = 4

func (s *scaler) eight(out, p []bls.G1Affine, by []Scalar) {
	base := &s.table[1]
	base.z = one
	digits := 0
	for lane := range lanes {
		k := min(lane, len(p)-1)
		base.x.put(lane, &p[k].X)
		base.y.put(lane, &p[k].Y)
		digits = max(digits, (by[k].length()+scaleBits-1)/scaleBits)
	}
	for d := 2; d < len(s.table); d++ {
		if d%2 == 0 {
			s.table[d] = s.table[d/2]
			s.double(&s.table[d])
		} else {
			s.table[d] = s.table[d-1]
			s.add(&s.table[d], base)
		}
	}
	s.sum = *base
	empty := uint8(1<<lanes - 1) // lanes whose sum is nothing yet
	for i := digits - 1; i >= 0; i-- {
		if empty != 1<<lanes-1 {
			for range scaleBits {
				s.double(&s.sum)
			}
		}
		var some uint8
		for lane := range lanes {
			if d := by[min(lane, len(by)-1)].digit(i); d > 0 {
				some |= 1 << lane
				choose1(&s.pick, 1<<lane, &s.table[d])
			}
		}
		s.old = s.sum
		s.add(&s.sum, &s.pick)
		choose1(&s.sum, ^some, &s.old)
		choose1(&s.sum, some&empty, &s.pick)
		empty &^= some
	}
	s.affine(out, &s.sum)
	for lane := range out {
		if empty>>lane&1 == 1 || !out[lane].IsOnCurve() {
			out[lane] = bls.G1Affine{}
		}
	}
}

func (s Scalar) number() *big.Int {
	n := new(big.Int).SetUint64(s[1])
	return n.Lsh(n, 64).Add(n, new(big.Int).SetUint64(s[0]))
}

func (s Scalar) length() int {
	if s[1] > 0 {
		return 64 + bits.Len64(s[1])
	}
	return bits.Len64(s[0])
}

func (s Scalar) digit(i int) int {
	at := scaleBits * i
	return int(s[at/64]>>(at%64)) & (1<<scaleBits - 1)
}

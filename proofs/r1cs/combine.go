package r1cs

import (
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// SplitBits splits n into count allocated bits, least significant first, by the row sum(2^i*b_i)*1=n; a number that does
// not fit leaves the row unsatisfied. (ToBits writes the same claim as another row.)
func (s *System) SplitBits(n Num, count int) []Boolean {
	limbs := wide(n.val.Bits())
	out := make([]Boolean, count)
	for i := range out {
		out[i] = s.allocBit(uint8(limbs[i/64]>>(i%64)) & 1)
	}
	s.packRow(out, n.v, &n.val)
	return out
}

// Mul is a*b as a new number.
func (s *System) Mul(a, b Num) Num {
	var val fr.Element
	val.Mul(&a.val, &b.val)
	return s.product(&a, b.v, &b.val, val)
}

// MulBit is a where bit is set, else 0, as a new number; bit is allocated and not negated.
func (s *System) MulBit(a Num, bit Boolean) Num {
	var val fr.Element
	if bit.bit == 1 {
		val = a.val
	}
	return s.product(&a, bit.v, &bitElements[bit.bit], val)
}

func (s *System) product(a *Num, b Variable, bVal *fr.Element, val fr.Element) Num {
	p := s.AllocNum(val)
	s.begin()
	s.plus(&s.la, a.v, &a.val)
	s.plus(&s.lb, b, bVal)
	s.plus(&s.lc, p.v, &val)
	s.row()
	return p
}

// Sum is the sum of all terms as a new number, by one row.
func (s *System) Sum(terms []Num) Num {
	var val fr.Element
	for i := range terms {
		val.Add(&val, &terms[i].val)
	}
	r := s.AllocNum(val)
	s.begin()
	for i := range terms {
		s.plus(&s.la, terms[i].v, &terms[i].val)
	}
	s.plus(&s.lb, One, &oneElement)
	s.plus(&s.lc, r.v, &val)
	s.row()
	return r
}

// Affine is k*n+c as a new number, by one row.
func (s *System) Affine(n Num, k, c uint64) Num {
	factor, constant := fr.NewElement(k), fr.NewElement(c)
	var val fr.Element
	val.Mul(&n.val, &factor)
	val.Add(&val, &constant)
	r := s.AllocNum(val)
	s.begin()
	s.term(&s.la, n.v, &factor, &n.val)
	if c != 0 {
		s.constant(&s.la, &constant)
	}
	s.plus(&s.lb, One, &oneElement)
	s.plus(&s.lc, r.v, &val)
	s.row()
	return r
}

// Select is from[i], where i is spelled by bits, least significant first; 2^len(bits) choices. It costs a row per choice
// but one.
func (s *System) Select(from []Num, bits []Boolean) Num {
	if len(from) != 1<<len(bits) {
		panic(fmt.Sprintf("r1cs: %d bits to select from %d numbers", len(bits), len(from)))
	}
	for i := len(bits) - 1; i >= 0; i-- {
		half := len(from) / 2
		next := make([]Num, half)
		for j := range next {
			next[j] = s.pick(bits[i], &from[half+j], &from[j])
		}
		from = next
	}
	return from[0]
}

// PathAt enforces that leaf lies under root, at a position whose bits exist already, least significant first: as many as
// the path has. No input is made; the siblings are allocated before the first hash.
func (s *System) PathAt(leaf Num, position []Boolean, path []Row, root Num, hash Hash) {
	siblings := make([][]Num, len(path))
	for i := range path {
		siblings[i] = s.AllocNums(path[i].Siblings)
	}
	s.RiseAt(leaf, position, siblings, root, hash)
}

// RiseAt is PathAt with siblings that are allocated already.
func (s *System) RiseAt(leaf Num, position []Boolean, siblings [][]Num, root Num, hash Hash) {
	cur := leaf
	for _, row := range siblings {
		n := 0
		for 1<<n < len(row)+1 {
			n++
		}
		cur = hash(s, s.Insert(cur, position[:n], row))
		position = position[n:]
	}
	if len(position) > 0 {
		panic(fmt.Sprintf("r1cs: %d bits more than the path has", len(position)))
	}
	s.Equal(cur, root)
}

// AllocNums allocates numbers in order.
func (s *System) AllocNums(vals []fr.Element) []Num {
	out := make([]Num, len(vals))
	for i := range vals {
		out[i] = s.AllocNum(vals[i])
	}
	return out
}

package r1cs

import (
	"math/bits"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// word is a 32-bit word of a circuit, least significant bit first.
type word struct {
	bits [32]Boolean
	val  uint32
}

// setBigEndian fills w from 32 bits, most significant first.
func (w *word) setBigEndian(b []Boolean) {
	w.val = 0
	for i := range w.bits {
		w.bits[i] = b[31-i]
		w.val |= uint32(b[31-i].bit) << i
	}
}

func (w *word) setConst(v uint32) {
	w.val = v
	for i := range w.bits {
		w.bits[i] = Boolean{bit: uint8(v>>i) & 1}
	}
}

// ones are the bits of w that contribute a constant 1 to a sum: true constants and negated variables.
func (w *word) ones() (mask uint32) {
	for i := range w.bits {
		if b := w.bits[i]; b.kind == kindNot || b.isConst(1) {
			mask |= 1 << i
		}
	}
	return mask
}

func (w *word) isConst() bool {
	for i := range w.bits {
		if w.bits[i].kind != kindConst {
			return false
		}
	}
	return true
}

// xorRotated is x>>>r1 ^ x>>>r2 ^ x>>>r3, the last one a plain shift if shift is set. Rows: first pair, then third.
func (s *System) xorRotated(out, x *word, r1, r2, r3 int, shift bool) {
	for i := range out.bits {
		out.bits[i] = s.Xor(x.bits[(i+r1)&31], x.bits[(i+r2)&31])
	}
	out.val = 0
	for i := range out.bits {
		third := Boolean{}
		if !shift || i+r3 < 32 {
			third = x.bits[(i+r3)&31]
		}
		out.bits[i] = s.Xor(out.bits[i], third)
		out.val |= uint32(out.bits[i].bit) << i
	}
}

func (s *System) chooseWord(out, a, b, c *word) {
	out.val = 0
	for i := range out.bits {
		out.bits[i] = s.choose(a.bits[i], b.bits[i], c.bits[i])
		out.val |= uint32(out.bits[i].bit) << i
	}
}

func (s *System) majorityWord(out, a, b, c *word) {
	out.val = 0
	for i := range out.bits {
		out.bits[i] = s.majority(a.bits[i], b.bits[i], c.bits[i])
		out.val |= uint32(out.bits[i].bit) << i
	}
}

// sums packs the additions of a SHA-256 block into as few field equations as fit in 254 bits.
type sums struct {
	s                *System
	used             int
	lhs, rhs, lhsOne wide
	lhsTerms         []Term
	rhsTerms         []Term
}

const packCapacity = 254

// wide is a 256-bit unsigned integer.
type wide [4]uint64

// addShifted adds v<<shift to w; the caller keeps the sum below 2^256.
func (w *wide) addShifted(v uint64, shift int) {
	i, off := shift/64, uint(shift%64)
	var carry uint64
	w[i], carry = bits.Add64(w[i], v<<off, 0)
	hi := uint64(0)
	if off > 0 {
		hi = v >> (64 - off)
	}
	for i++; i < 4 && (hi != 0 || carry != 0); i++ {
		w[i], carry = bits.Add64(w[i], hi, carry)
		hi = 0
	}
}

// element is w as a field element; w must be below 2^255.
func (w *wide) element() fr.Element {
	e := fr.Element(*w)
	e.Mul(&e, &montgomery)
	return e
}

// montgomery is 2^256 in the field: multiplying a raw integer by it gives the integer's Montgomery form.
var montgomery = makeMontgomery()

func makeMontgomery() fr.Element {
	var e fr.Element
	e.Double(&powersOf2[255])
	return e
}

// addMany is the sum of the operands mod 2^32: the bits of the full sum are allocated, low 32 kept.
func (m *sums) addMany(out *word, ops ...*word) {
	constant := true
	var total uint64
	for _, op := range ops {
		total += uint64(op.val)
		constant = constant && op.isConst()
	}
	if constant {
		out.setConst(uint32(total))
		return
	}
	n := bits.Len64(uint64(len(ops)) * 0xffffffff)
	var res [36]Boolean
	for i := range n {
		res[i] = m.s.allocBit(uint8(total>>i) & 1)
	}
	copy(out.bits[:], res[:32])
	out.val = uint32(total)

	if m.used+n >= packCapacity {
		m.flush()
	}
	for _, op := range ops {
		m.lhs.addShifted(uint64(op.val), m.used)
		m.lhsOne.addShifted(uint64(op.ones()), m.used)
	}
	m.rhs.addShifted(total, m.used)
	if m.s.detail&WantAuxTerms != 0 {
		m.auxTerms(ops, res[:n])
	}
	m.used += n
}

func (m *sums) auxTerms(ops []*word, res []Boolean) {
	for _, op := range ops {
		for i, b := range op.bits {
			coef := powersOf2[m.used+i]
			switch b.kind {
			case kindNot:
				coef.Neg(&coef)
				m.lhsTerms = append(m.lhsTerms, Term{b.v, coef})
			case kindIs:
				m.lhsTerms = append(m.lhsTerms, Term{b.v, coef})
			}
		}
	}
	for i, b := range res {
		m.rhsTerms = append(m.rhsTerms, Term{b.v, powersOf2[m.used+i]})
	}
}

// flush enforces the pending equation lhs*1=rhs.
func (m *sums) flush() {
	if m.used == 0 {
		return
	}
	s := m.s
	s.begin()
	s.la.Terms = append(s.la.Terms, m.lhsTerms...)
	s.lc.Terms = append(s.lc.Terms, m.rhsTerms...)
	if s.keeps(One) {
		if m.lhsOne != (wide{}) {
			s.la.Terms = append(s.la.Terms, Term{One, m.lhsOne.element()})
		}
	}
	if s.wantValues() {
		s.la.Value = m.lhs.element()
		s.lc.Value = s.la.Value
		if m.rhs != m.lhs {
			s.lc.Value = m.rhs.element()
		}
	}
	s.plus(&s.lb, One, &oneElement)
	s.row()
	m.used, m.lhs, m.rhs, m.lhsOne = 0, wide{}, wide{}, wide{}
	m.lhsTerms, m.rhsTerms = m.lhsTerms[:0], m.rhsTerms[:0]
}

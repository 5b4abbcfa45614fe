package r1cs

import (
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// Num is an allocated field element.
type Num struct {
	v   Variable
	val fr.Element
}

// Value is the number's value.
func (n *Num) Value() fr.Element { return n.val }

// fieldBits is the length of the field's order; packBits is how many bits always fit.
const (
	fieldBits = 255
	packBits  = 254
)

// AllocNum allocates a field element (one auxiliary variable, no row).
func (s *System) AllocNum(val fr.Element) Num {
	return Num{s.newAux(&val), val}
}

// Inputize makes n public: a new input x and the row x*1=n.
func (s *System) Inputize(n Num) {
	x := s.newInput(&n.val)
	s.begin()
	s.plus(&s.la, x, &n.val)
	s.plus(&s.lb, One, &oneElement)
	s.plus(&s.lc, n.v, &n.val)
	s.row()
}

// Equal enforces a*1=b.
func (s *System) Equal(a, b Num) {
	s.begin()
	s.plus(&s.la, a.v, &a.val)
	s.plus(&s.lb, One, &oneElement)
	s.plus(&s.lc, b.v, &b.val)
	s.row()
}

// Add is a+b as a new number, by the row (a+b)*1=sum.
func (s *System) Add(a, b Num) Num {
	var sum fr.Element
	sum.Add(&a.val, &b.val)
	r := s.AllocNum(sum)
	s.begin()
	s.plus(&s.la, a.v, &a.val)
	s.plus(&s.la, b.v, &b.val)
	s.plus(&s.lb, One, &oneElement)
	s.plus(&s.lc, r.v, &sum)
	s.row()
	return r
}

// ToBits splits n into 255 allocated bits, least significant first. The split is not forced to be canonical.
func (s *System) ToBits(n Num) []Boolean {
	limbs := wide(n.val.Bits())
	out := make([]Boolean, fieldBits, 256)
	for i := range out {
		out[i] = s.allocBit(uint8(limbs[i/64]>>(i%64)) & 1)
	}
	s.begin()
	s.weighted(&s.lc, out)
	s.minus(&s.lc, n.v, &n.val)
	s.row()
	return out
}

// weighted adds sum(2^i*bits[i]) to lc.
func (s *System) weighted(lc *LC, bits []Boolean) {
	var val, ones wide
	aux := s.detail&WantAuxTerms != 0
	for i, b := range bits {
		val[i/64] |= uint64(b.bit) << (i % 64)
		if b.kind == kindNot || b.isConst(1) {
			ones[i/64] |= 1 << (i % 64)
		}
		if aux && b.kind != kindConst {
			coef := powersOf2[i]
			if b.kind == kindNot {
				coef.Neg(&coef)
			}
			lc.Terms = append(lc.Terms, Term{b.v, coef})
		}
	}
	if s.wantValues() {
		e := val.element()
		lc.Value.Add(&lc.Value, &e)
	}
	if ones != (wide{}) && s.keeps(One) {
		lc.Terms = append(lc.Terms, Term{One, ones.element()})
	}
}

func valueOfBits(bits []Boolean) fr.Element {
	var val wide
	for i, b := range bits {
		val[i/64] |= uint64(b.bit) << (i % 64)
	}
	return val.element()
}

// Pack makes one number of at most 254 bits, least significant first.
func (s *System) Pack(bits []Boolean) Num {
	val := valueOfBits(bits)
	n := s.AllocNum(val)
	s.packRow(bits, n.v, &val)
	return n
}

// PackInputs makes inputs of the bits, 254 to each.
func (s *System) PackInputs(bits []Boolean) {
	for len(bits) > 0 {
		n := min(len(bits), packBits)
		val := valueOfBits(bits[:n])
		s.packRow(bits[:n], s.newInput(&val), &val)
		bits = bits[n:]
	}
}

func (s *System) packRow(bits []Boolean, v Variable, val *fr.Element) {
	s.begin()
	s.weighted(&s.la, bits)
	s.plus(&s.lb, One, &oneElement)
	s.plus(&s.lc, v, val)
	s.row()
}

// pick is a where cond is set, else b: a new number c with (b-a)*cond=b-c.
func (s *System) pick(cond Boolean, a, b *Num) Num {
	val := &b.val
	if cond.bit == 1 {
		val = &a.val
	}
	c := s.AllocNum(*val)
	s.begin()
	s.plus(&s.la, b.v, &b.val)
	s.minus(&s.la, a.v, &a.val)
	s.plus(&s.lb, cond.v, &bitElements[cond.bit])
	s.plus(&s.lc, b.v, &b.val)
	s.minus(&s.lc, c.v, &c.val)
	s.row()
	return c
}

// ReverseBytes turns little-endian bits into SHA-256's order and back: padded with constant zeros to whole bytes, the
// bits inside each byte reversed.
func ReverseBytes(bits []Boolean) []Boolean {
	n := (len(bits) + 7) / 8 * 8
	out := make([]Boolean, n)
	for i, b := range bits {
		out[i/8*8+7-i%8] = b
	}
	return out
}

// Uint64Bits allocates the 64 bits of v, least significant first.
func (s *System) Uint64Bits(v uint64) []Boolean {
	out := make([]Boolean, 64)
	for i := range out {
		out[i] = s.allocBit(uint8(v>>i) & 1)
	}
	return out
}

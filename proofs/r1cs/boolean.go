package r1cs

// Boolean is a bit of a circuit: a constant, a variable, or a variable's negation. The zero value is constant false.
type Boolean struct {
	v    Variable
	kind uint8
	bit  uint8 // the value of the Boolean, not of its variable
}

const (
	kindConst uint8 = iota
	kindIs
	kindNot
)

// Const is a constant bit.
func Const(b bool) Boolean {
	if b {
		return Boolean{bit: 1}
	}
	return Boolean{}
}

// Bit is the value of b, 0 or 1.
func (b Boolean) Bit() uint8 { return b.bit }

// IsConst reports whether b is a constant.
func (b Boolean) IsConst() bool { return b.kind == kindConst }

// Not is the negation of b; it costs no row.
func (b Boolean) Not() Boolean {
	b.bit ^= 1
	switch b.kind {
	case kindIs:
		b.kind = kindNot
	case kindNot:
		b.kind = kindIs
	}
	return b
}

func (b Boolean) isConst(bit uint8) bool { return b.kind == kindConst && b.bit == bit }

// raw is b's variable as a Boolean.
func (b Boolean) raw() Boolean {
	if b.kind == kindNot {
		return b.Not()
	}
	return b
}

// add adds c times b to a small combination (its value not included).
func (s *Small) addBool(b Boolean, c int8) {
	switch b.kind {
	case kindConst:
		if b.bit == 1 {
			s.add(One, c)
		}
	case kindIs:
		s.add(b.v, c)
	case kindNot:
		s.addNot(b.v, c)
	}
}

func (s *Small) addNot(v Variable, c int8) {
	for i := uint8(0); i < s.N; i++ {
		if s.Vars[i] == One {
			s.Coefs[i] += c
			s.add(v, -c)
			return
		}
	}
	s.add(One, c)
	s.add(v, -c)
}

// AllocBit allocates a bit (one auxiliary variable, one row).
func (s *System) AllocBit(bit bool) Boolean {
	var v uint8
	if bit {
		v = 1
	}
	return s.allocBit(v)
}

func (s *System) allocBit(bit uint8) Boolean {
	b := Boolean{v: s.newAuxBit(bit), kind: kindIs, bit: bit & 1}
	s.beginSmall()
	s.sa.add(One, 1)
	s.sa.add(b.v, -1)
	s.sa.Value = int8(1 - b.bit)
	s.sb.add(b.v, 1)
	s.sb.Value = int8(b.bit)
	s.sc.Value = 0
	s.smallRow()
	return b
}

// Xor is a XOR b; constants and negations fold.
func (s *System) Xor(a, b Boolean) Boolean {
	switch {
	case a.kind == kindConst:
		if a.bit == 1 {
			return b.Not()
		}
		return b
	case b.kind == kindConst:
		if b.bit == 1 {
			return a.Not()
		}
		return a
	case a.kind != b.kind:
		if a.kind == kindNot {
			a, b = b, a
		}
		return s.xorRaw(a, b.Not()).Not()
	}
	return s.xorRaw(a.raw(), b.raw())
}

func (s *System) xorRaw(a, b Boolean) Boolean {
	bit := a.bit ^ b.bit
	r := Boolean{v: s.newAuxBit(bit), kind: kindIs, bit: bit}
	s.beginSmall()
	s.sa.add(a.v, 2)
	s.sa.Value = int8(2 * a.bit)
	s.sb.add(b.v, 1)
	s.sb.Value = int8(b.bit)
	s.sc.add(a.v, 1)
	s.sc.add(b.v, 1)
	s.sc.add(r.v, -1)
	s.sc.Value = int8(a.bit + b.bit - bit)
	s.smallRow()
	return r
}

// And is a AND b; constants and negations fold.
func (s *System) And(a, b Boolean) Boolean {
	switch {
	case a.isConst(0) || b.isConst(0):
		return Boolean{}
	case a.isConst(1):
		return b
	case b.isConst(1):
		return a
	case a.kind == kindNot && b.kind == kindIs:
		a, b = b, a
	}
	// Is&Is, Is&Not and Not&Not remain: one row (a)*(b)=r, written over the raw variables.
	bit := a.bit & b.bit
	r := Boolean{v: s.newAuxBit(bit), kind: kindIs, bit: bit}
	s.beginSmall()
	s.sa.addBool(a, 1)
	s.sa.Value = int8(a.bit)
	s.sb.addBool(b, 1)
	s.sb.Value = int8(b.bit)
	s.sc.add(r.v, 1)
	s.sc.Value = int8(bit)
	s.smallRow()
	return r
}

// choose is SHA-256's ch: b where a is set, else c.
func (s *System) choose(a, b, c Boolean) Boolean {
	switch {
	case a.IsConst() && b.IsConst() && c.IsConst():
		return Boolean{bit: a.bit&b.bit ^ (a.bit^1)&c.bit}
	case a.isConst(0):
		return c
	case b.isConst(0):
		return s.And(a.Not(), c)
	case c.isConst(0):
		return s.And(a, b)
	case c.isConst(1):
		return s.And(a, b.Not()).Not()
	case b.isConst(1):
		return s.And(a.Not(), c.Not()).Not()
	}
	bit := a.bit&b.bit ^ (a.bit^1)&c.bit
	r := Boolean{v: s.newAuxBit(bit), kind: kindIs, bit: bit}
	s.beginSmall()
	s.sa.addBool(b, 1)
	s.sa.addBool(c, -1)
	s.sa.Value = int8(b.bit) - int8(c.bit)
	s.sb.addBool(a, 1)
	s.sb.Value = int8(a.bit)
	s.sc.add(r.v, 1)
	s.sc.addBool(c, -1)
	s.sc.Value = int8(bit) - int8(c.bit)
	s.smallRow()
	return r
}

// majority is SHA-256's maj.
func (s *System) majority(a, b, c Boolean) Boolean {
	bit := a.bit&b.bit ^ a.bit&c.bit ^ b.bit&c.bit
	switch {
	case a.IsConst() && b.IsConst() && c.IsConst():
		return Boolean{bit: bit}
	case a.isConst(0):
		return s.And(b, c)
	case b.isConst(0):
		return s.And(a, c)
	case c.isConst(0):
		return s.And(a, b)
	case c.isConst(1):
		return s.And(a.Not(), b.Not()).Not()
	case b.isConst(1):
		return s.And(a.Not(), c.Not()).Not()
	case a.isConst(1):
		return s.And(b.Not(), c.Not()).Not()
	}
	// The result's variable comes before that of b AND c.
	r := Boolean{v: s.newAuxBit(bit), kind: kindIs, bit: bit}
	bc := s.And(b, c)
	s.beginSmall()
	s.sa.addBool(bc, 2)
	s.sa.addBool(b, -1)
	s.sa.addBool(c, -1)
	s.sa.Value = int8(2*bc.bit) - int8(b.bit) - int8(c.bit)
	s.sb.addBool(a, 1)
	s.sb.Value = int8(a.bit)
	s.sc.addBool(bc, 1)
	s.sc.add(r.v, -1)
	s.sc.Value = int8(bc.bit) - int8(bit)
	s.smallRow()
	return r
}

package r1cs

import (
	"slices"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// Variable names one variable of a system. Inputs carry the top bit; both kinds count from 0.
type Variable uint32

const inputBit = Variable(1) << 31

// One is the constant 1, input 0 of every system.
const One = inputBit

// InputVar is the i-th input (0 is the constant one).
func InputVar(i int) Variable { return inputBit | Variable(i) }

// AuxVar is the i-th auxiliary (witness) variable.
func AuxVar(i int) Variable { return Variable(i) }

// IsInput reports whether v is an input.
func (v Variable) IsInput() bool { return v&inputBit != 0 }

// Index is v's number among the variables of its kind.
func (v Variable) Index() int { return int(v &^ inputBit) }

// Term is a coefficient times a variable.
type Term struct {
	Var  Variable
	Coef fr.Element
}

// LC is a linear combination: its terms, unmerged and as far as the backend wants them, and its value, if wanted.
type LC struct {
	Terms []Term
	Value fr.Element
}

// Small is a linear combination of at most four variables with tiny coefficients and a tiny value.
type Small struct {
	Vars  [4]Variable
	Coefs [4]int8
	N     uint8
	Value int8
}

func (s *Small) add(v Variable, c int8) {
	s.Vars[s.N], s.Coefs[s.N] = v, c
	s.N++
}

// Detail says what a backend reads from the rows it gets.
type Detail uint8

const (
	// WantValues asks for the value of every linear combination.
	WantValues Detail = 1 << iota
	// WantInputTerms asks for the terms of input variables.
	WantInputTerms
	// WantAuxTerms asks for the terms of auxiliary variables.
	WantAuxTerms
	// WantWitness asks the system to keep the value of every auxiliary variable.
	WantWitness

	// WantTerms asks for all terms.
	WantTerms = WantInputTerms | WantAuxTerms
)

// Backend consumes the rows of a system in order. It must not keep the pointers it is given.
type Backend interface {
	// Detail is asked once, when the system is made.
	Detail() Detail
	// Small takes a row whose three combinations are small integers; terms are always present in full.
	Small(a, b, c *Small)
	// Row takes a row over the field.
	Row(a, b, c *LC)
}

// System is a constraint system under construction.
type System struct {
	backend Backend
	detail  Detail
	inputs  []fr.Element
	aux     []fr.Element
	nAux    int
	nRows   int

	sa, sb, sc Small
	la, lb, lc LC
	vals       []fr.Element // scratch of the Poseidon program
	label      string
}

// New makes an empty system that hands its rows to b.
func New(b Backend) *System {
	s := &System{backend: b, detail: b.Detail()}
	s.inputs = append(s.inputs, fr.One())
	return s
}

// Reserve makes room for the values of so many auxiliary variables; without it the room grows as they come.
func (s *System) Reserve(aux int) {
	if s.detail&WantWitness != 0 {
		s.aux = slices.Grow(s.aux, aux)
	}
}

// Inputs are the values of the inputs allocated so far, the constant one first.
func (s *System) Inputs() []fr.Element { return s.inputs }

// Witness are the values of the auxiliary variables; nil unless the backend wants them.
func (s *System) Witness() []fr.Element { return s.aux }

// NumAux counts auxiliary variables.
func (s *System) NumAux() int { return s.nAux }

// NumRows counts the rows enforced so far (without the closing input rows until [System.Close]).
func (s *System) NumRows() int { return s.nRows }

// Close adds the rows x*0=0 that Groth16 needs for every input, the constant included.
func (s *System) Close() {
	for i := range s.inputs {
		s.begin()
		s.term(&s.la, InputVar(i), &oneElement, &s.inputs[i])
		s.row()
	}
}

func (s *System) wantValues() bool { return s.detail&WantValues != 0 }
func (s *System) wantTerms() bool  { return s.detail&WantTerms != 0 }

// keeps reports whether the backend wants the term of v.
func (s *System) keeps(v Variable) bool {
	if v.IsInput() {
		return s.detail&WantInputTerms != 0
	}
	return s.detail&WantAuxTerms != 0
}

func (s *System) newInput(val *fr.Element) Variable {
	s.inputs = append(s.inputs, *val)
	return InputVar(len(s.inputs) - 1)
}

func (s *System) newAux(val *fr.Element) Variable {
	if s.detail&WantWitness != 0 {
		s.aux = append(s.aux, *val)
	}
	s.nAux++
	return AuxVar(s.nAux - 1)
}

func (s *System) newAuxBit(bit uint8) Variable {
	if s.detail&WantWitness != 0 {
		s.aux = append(s.aux, bitElements[bit&1])
	}
	s.nAux++
	return AuxVar(s.nAux - 1)
}

// begin clears the scratch combinations of the next field row.
func (s *System) begin() {
	for _, lc := range [...]*LC{&s.la, &s.lb, &s.lc} {
		lc.Terms = lc.Terms[:0]
		lc.Value = fr.Element{}
	}
}

// term adds coef*v to lc, where v has value val.
func (s *System) term(lc *LC, v Variable, coef, val *fr.Element) {
	if s.detail&WantValues != 0 {
		var t fr.Element
		t.Mul(coef, val)
		lc.Value.Add(&lc.Value, &t)
	}
	if s.keeps(v) {
		lc.Terms = append(lc.Terms, Term{v, *coef})
	}
}

// plus adds v to lc.
func (s *System) plus(lc *LC, v Variable, val *fr.Element) {
	if s.detail&WantValues != 0 {
		lc.Value.Add(&lc.Value, val)
	}
	if s.keeps(v) {
		lc.Terms = append(lc.Terms, Term{v, oneElement})
	}
}

// minus subtracts v from lc.
func (s *System) minus(lc *LC, v Variable, val *fr.Element) {
	if s.detail&WantValues != 0 {
		lc.Value.Sub(&lc.Value, val)
	}
	if s.keeps(v) {
		lc.Terms = append(lc.Terms, Term{v, minusOne})
	}
}

// constant adds the constant c to lc.
func (s *System) constant(lc *LC, c *fr.Element) {
	if s.detail&WantValues != 0 {
		lc.Value.Add(&lc.Value, c)
	}
	if s.detail&WantInputTerms != 0 {
		lc.Terms = append(lc.Terms, Term{One, *c})
	}
}

// row enforces the row in the scratch combinations la, lb, lc.
func (s *System) row() {
	s.backend.Row(&s.la, &s.lb, &s.lc)
	s.nRows++
}

// beginSmall clears the scratch combinations of the next small row.
func (s *System) beginSmall() { s.sa.N, s.sb.N, s.sc.N = 0, 0, 0 }

// smallRow enforces the row in the scratch combinations sa, sb, sc.
func (s *System) smallRow() {
	s.backend.Small(&s.sa, &s.sb, &s.sc)
	s.nRows++
}

var (
	oneElement  = fr.One()
	minusOne    = negOne()
	bitElements = [2]fr.Element{{}, fr.One()}
	powersOf2   = makePowersOf2()
)

func negOne() fr.Element {
	var m, one fr.Element
	one.SetOne()
	m.Neg(&one)
	return m
}

func makePowersOf2() (p [256]fr.Element) {
	p[0].SetOne()
	for i := 1; i < len(p); i++ {
		p[i].Double(&p[i-1])
	}
	return p
}

package r1cs

import (
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// Merger adds up the coefficients of equal variables within one combination. The zero value is ready to use.
type Merger struct {
	stamp [2][]uint32 // per kind of variable: the combination that last used it
	slot  [2][]uint32 // and its place in terms
	now   uint32
	terms []Term
}

// Merge returns the terms with equal variables summed and zero coefficients dropped, in order of first appearance. The
// result is valid until the next call.
func (m *Merger) Merge(terms []Term) []Term {
	m.terms = m.terms[:0]
	cancelled := false
	if len(terms) <= shortCombination {
		for i := range terms {
			t := m.add(&terms[i])
			cancelled = cancelled || t.Coef.IsZero()
		}
		return m.kept(cancelled)
	}
	m.now++
	for i := range terms {
		kind, idx := 0, terms[i].Var.Index()
		if terms[i].Var.IsInput() {
			kind = 1
		}
		if idx >= len(m.stamp[kind]) {
			grown := max(2*len(m.stamp[kind]), idx+1, 1024)
			m.stamp[kind] = append(m.stamp[kind], make([]uint32, grown-len(m.stamp[kind]))...)
			m.slot[kind] = append(m.slot[kind], make([]uint32, grown-len(m.slot[kind]))...)
		}
		if m.stamp[kind][idx] != m.now {
			m.stamp[kind][idx] = m.now
			m.slot[kind][idx] = uint32(len(m.terms))
			m.terms = append(m.terms, terms[i])
			cancelled = cancelled || terms[i].Coef.IsZero()
			continue
		}
		t := &m.terms[m.slot[kind][idx]]
		t.Coef.Add(&t.Coef, &terms[i].Coef)
		cancelled = cancelled || t.Coef.IsZero()
	}
	return m.kept(cancelled)
}

// shortCombination is up to how many terms are compared with each other; the tables of longer ones grow with the system.
const shortCombination = 8

// add adds a term to those merged so far, of which there are few, and returns the sum.
func (m *Merger) add(term *Term) *Term {
	for i := range m.terms {
		if t := &m.terms[i]; t.Var == term.Var {
			t.Coef.Add(&t.Coef, &term.Coef)
			return t
		}
	}
	m.terms = append(m.terms, *term)
	return &m.terms[len(m.terms)-1]
}

// kept are the merged terms, without those that cancelled.
func (m *Merger) kept(cancelled bool) []Term {
	if !cancelled {
		return m.terms
	}
	kept := m.terms[:0]
	for _, t := range m.terms {
		if !t.Coef.IsZero() {
			kept = append(kept, t)
		}
	}
	m.terms = kept
	return kept
}

// Terms spells a small combination out as field terms, appended to buf.
func (s *Small) Terms(buf []Term) []Term {
	for i := range s.N {
		var c fr.Element
		c.SetInt64(int64(s.Coefs[i]))
		buf = append(buf, Term{s.Vars[i], c})
	}
	return buf
}

// Counter counts rows and, if asked, how many variables occur in A and in B (the densities of a parameter file).
type Counter struct {
	// Rows counts the rows seen.
	Rows int
	// Densities makes the counter look at terms.
	Densities bool
	a, b      [2][]bool
	merger    Merger
}

// Detail implements Backend.
func (c *Counter) Detail() Detail {
	if c.Densities {
		return WantTerms
	}
	return 0
}

// Small implements Backend.
func (c *Counter) Small(a, b, _ *Small) {
	c.Rows++
	if c.Densities {
		markSmall(&c.a, a)
		markSmall(&c.b, b)
	}
}

// Row implements Backend.
func (c *Counter) Row(a, b, _ *LC) {
	c.Rows++
	if c.Densities {
		mark(&c.a, c.merger.Merge(a.Terms))
		mark(&c.b, c.merger.Merge(b.Terms))
	}
}

func mark(seen *[2][]bool, terms []Term) {
	for i := range terms {
		markVariable(seen, terms[i].Var)
	}
}

// markSmall marks the variables whose coefficients do not cancel, without the merger: nearly all rows are small ones.
func markSmall(seen *[2][]bool, s *Small) {
	for i, v := range s.Vars[:s.N] {
		sum := int(s.Coefs[i])
		for j := range s.Vars[:s.N] {
			if j != i && s.Vars[j] == v {
				sum += int(s.Coefs[j])
			}
		}
		if sum != 0 {
			markVariable(seen, v)
		}
	}
}

func markVariable(seen *[2][]bool, v Variable) {
	kind, idx := 0, v.Index()
	if v.IsInput() {
		kind = 1
	}
	for idx >= len(seen[kind]) {
		seen[kind] = append(seen[kind], make([]bool, max(1024, len(seen[kind])))...)
	}
	seen[kind][idx] = true
}

func countTrue(seen *[2][]bool) (n int) {
	for _, kind := range seen {
		for _, b := range kind {
			if b {
				n++
			}
		}
	}
	return n
}

// DensityA counts the variables that occur in A.
func (c *Counter) DensityA() int { return countTrue(&c.a) }

// DensityB counts the variables that occur in B.
func (c *Counter) DensityB() int { return countTrue(&c.b) }

// Matrix records every row, merged, and checks a witness against them without trusting any value computed on the way.
type Matrix struct {
	rows   [3][][]Term
	merger Merger
	buf    []Term
}

// Detail implements Backend.
func (m *Matrix) Detail() Detail { return WantTerms | WantWitness }

// Small implements Backend.
func (m *Matrix) Small(a, b, c *Small) {
	for i, s := range [...]*Small{a, b, c} {
		m.buf = s.Terms(m.buf[:0])
		m.record(i, m.buf)
	}
}

// Row implements Backend.
func (m *Matrix) Row(a, b, c *LC) {
	m.record(0, a.Terms)
	m.record(1, b.Terms)
	m.record(2, c.Terms)
}

func (m *Matrix) record(side int, terms []Term) {
	m.rows[side] = append(m.rows[side], append([]Term(nil), m.merger.Merge(terms)...))
}

// NumRows counts the recorded rows.
func (m *Matrix) NumRows() int { return len(m.rows[0]) }

// At returns the three combinations of row i.
func (m *Matrix) At(i int) (a, b, c []Term) { return m.rows[0][i], m.rows[1][i], m.rows[2][i] }

// Check evaluates every row on the given assignment; the error names the first row that does not hold.
func (m *Matrix) Check(inputs, aux []fr.Element) error {
	for i := range m.rows[0] {
		var v [3]fr.Element
		for side := range v {
			for _, t := range m.rows[side][i] {
				val := &aux
				if t.Var.IsInput() {
					val = &inputs
				}
				var x fr.Element
				x.Mul(&t.Coef, &(*val)[t.Var.Index()])
				v[side].Add(&v[side], &x)
			}
		}
		v[0].Mul(&v[0], &v[1])
		if !v[0].Equal(&v[2]) {
			return fmt.Errorf("row %d of %d: not satisfied", i, len(m.rows[0]))
		}
	}
	return nil
}

// Density says of every variable whether it occurs in A and in B; index 0 of each are the auxiliary variables, index 1
// the inputs.
type Density struct{ A, B [2][]bool }

// Density returns what a counter with Densities has seen, for a system of the given size.
func (c *Counter) Density(inputs, aux int) *Density {
	fit := func(seen [2][]bool) [2][]bool {
		for kind, n := range [2]int{aux, inputs} {
			if len(seen[kind]) < n {
				seen[kind] = append(seen[kind], make([]bool, n-len(seen[kind]))...)
			}
			seen[kind] = seen[kind][:n]
		}
		return seen
	}
	return &Density{A: fit(c.a), B: fit(c.b)}
}

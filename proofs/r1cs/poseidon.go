package r1cs

import (
	"fmt"
	"sync"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/proofs/poseidon"
)

// poseidonProgram is Poseidon of one arity as a straight line of S-boxes. Every S-box reads either an input or a
// combination of a contiguous range of earlier S-box outputs, so that running the program yields witness and rows at once.
//
// An S-box on x costs the rows (x+pre)^2=l2, l2^2=l4, (x+pre)*l4=out-post; where x is a combination and not yet a
// variable, it is allocated first by x*1=l.
type poseidonProgram struct {
	arity int
	boxes []sbox
	out   combination
}

type sbox struct {
	input     int // index of the hashed element, or -1
	lc        combination
	pre, post fr.Element
	hasPre    bool
	hasPost   bool
}

// combination is constant + sum(coefs[i]*output[from+i]).
type combination struct {
	constant fr.Element
	hasConst bool
	from     int
	coefs    fr.Vector
}

var poseidonPrograms = func() map[int]func() *poseidonProgram {
	m := make(map[int]func() *poseidonProgram)
	for _, arity := range []int{2, 4, 8, 11, 16, 24, 36} {
		m[arity] = sync.OnceValue(func() *poseidonProgram { return compilePoseidon(arity, poseidon.TreeTag(arity)) })
	}
	return m
}()

// pairProgram is the pair hash of sector updates, poseidon.HashPair.
var pairProgram = sync.OnceValue(func() *poseidonProgram { return compilePoseidon(2, poseidon.CustomTag(1)) })

// PoseidonPair hashes two numbers with the tag of sector updates.
func (s *System) PoseidonPair(a, b Num) Num { return s.runPoseidon(pairProgram(), []Num{a, b}) }

// Poseidon hashes 2, 4, 8, 11, 16, 24 or 36 numbers with the Merkle-tree tag.
func (s *System) Poseidon(in []Num) Num {
	p, ok := poseidonPrograms[len(in)]
	if !ok {
		panic(fmt.Sprintf("r1cs: no Poseidon of arity %d", len(in)))
	}
	return s.runPoseidon(p(), in)
}

// symbolic is one state element during compilation; index i of coefs is S-box output i.
type symbolic struct {
	constant fr.Element
	coefs    []fr.Element
}

func (y *symbolic) addScaled(x *symbolic, k *fr.Element) {
	var t fr.Element
	t.Mul(&x.constant, k)
	y.constant.Add(&y.constant, &t)
	for len(y.coefs) < len(x.coefs) {
		y.coefs = append(y.coefs, fr.Element{})
	}
	for i := range x.coefs {
		t.Mul(&x.coefs[i], k)
		y.coefs[i].Add(&y.coefs[i], &t)
	}
}

func (y *symbolic) combination() combination {
	c := combination{constant: y.constant, hasConst: !y.constant.IsZero()}
	for c.from < len(y.coefs) && y.coefs[c.from].IsZero() {
		c.from++
	}
	c.coefs = append(c.coefs, y.coefs[c.from:]...)
	return c
}

// compiler walks the optimised permutation with symbolic state.
type compiler struct {
	k     *poseidon.Constants
	p     *poseidonProgram
	state []symbolic
	next  int // next compressed round constant
}

func compilePoseidon(arity int, tag fr.Element) *poseidonProgram {
	k, err := poseidon.ForArity(arity)
	if err != nil {
		panic(err) // the arities above are all defined
	}
	c := &compiler{k: k, p: &poseidonProgram{arity: arity}, state: make([]symbolic, k.Width)}
	half := k.Full / 2
	c.firstRound(tag)
	for r := 1; r < half; r++ {
		c.substitute(k.Width, true)
		c.mix(c.matrix(r, half))
	}
	for i := range k.Partial {
		c.substitute(1, true)
		c.mixSparse(&k.Sparse[i])
	}
	for r := range half {
		c.substitute(k.Width, r < half-1)
		c.mix(k.MDS)
	}
	c.p.out = c.state[1].combination()
	return c.p
}

func (c *compiler) matrix(round, half int) [][]fr.Element {
	if round == half-1 {
		return c.k.PreSparse
	}
	return c.k.MDS
}

func (c *compiler) constant() fr.Element {
	c.next++
	return c.k.Compressed[c.next-1]
}

// firstRound folds the tag's S-box into a constant and puts the pre-added keys into the S-boxes of the inputs.
func (c *compiler) firstRound(tag fr.Element) {
	w := c.k.Width
	pre := c.k.Compressed[:w]
	c.next = w
	var x, x2 fr.Element
	x.Add(&tag, &pre[0])
	x2.Square(&x)
	x2.Square(&x2)
	x.Mul(&x, &x2)
	post := c.constant()
	x.Add(&x, &post)
	c.state[0] = symbolic{constant: x}
	for i := 1; i < w; i++ {
		c.emit(i, sbox{input: i - 1, pre: pre[i], hasPre: true, post: c.constant(), hasPost: true})
	}
	c.mix(c.matrix(0, c.k.Full/2))
}

// substitute puts the first n state elements through S-boxes.
func (c *compiler) substitute(n int, post bool) {
	for i := range n {
		b := sbox{input: -1, lc: c.state[i].combination(), hasPost: post}
		if post {
			b.post = c.constant()
		}
		c.emit(i, b)
	}
}

// emit appends a box whose output becomes state element i.
func (c *compiler) emit(i int, b sbox) {
	c.p.boxes = append(c.p.boxes, b)
	coefs := make([]fr.Element, len(c.p.boxes))
	coefs[len(coefs)-1].SetOne()
	c.state[i] = symbolic{coefs: coefs}
}

func (c *compiler) mix(m [][]fr.Element) {
	next := make([]symbolic, len(c.state))
	for j := range next {
		for i := range c.state {
			next[j].addScaled(&c.state[i], &m[i][j])
		}
	}
	c.state = next
}

func (c *compiler) mixSparse(m *poseidon.Sparse) {
	var first symbolic
	for i := range c.state {
		first.addScaled(&c.state[i], &m.WHat[i])
	}
	old := c.state[0]
	for j := 1; j < len(c.state); j++ {
		c.state[j].addScaled(&old, &m.VRest[j-1])
	}
	c.state[0] = first
}

// runPoseidon computes the hash on s's variables and enforces its rows.
func (s *System) runPoseidon(p *poseidonProgram, in []Num) Num {
	if cap(s.vals) < len(p.boxes) {
		s.vals = make([]fr.Element, len(p.boxes))
	}
	vals := s.vals[:len(p.boxes)]
	base := s.nAux
	for i := range p.boxes {
		b := &p.boxes[i]
		x := Num{}
		if b.input >= 0 {
			x = in[b.input]
		} else {
			x = s.allocCombination(p, &b.lc, vals, base)
		}
		vals[i] = s.box(b, &x)
	}
	return s.allocCombination(p, &p.out, vals, base)
}

// box enforces one S-box on x and returns its output, the last variable allocated.
func (s *System) box(b *sbox, x *Num) fr.Element {
	sum := x.val
	if b.hasPre {
		sum.Add(&sum, &b.pre)
	}
	side := func(lc *LC) {
		s.plus(lc, x.v, &x.val)
		if b.hasPre {
			s.constant(lc, &b.pre)
		}
	}
	var l2, l4, l5, out fr.Element
	l2.Square(&sum)
	l4.Square(&l2)
	l5.Mul(&l4, &sum)
	out = l5
	if b.hasPost {
		out.Add(&out, &b.post)
	}

	v2 := s.newAux(&l2)
	s.begin()
	side(&s.la)
	side(&s.lb)
	s.plus(&s.lc, v2, &l2)
	s.row()

	v4 := s.newAux(&l4)
	s.begin()
	s.plus(&s.la, v2, &l2)
	s.plus(&s.lb, v2, &l2)
	s.plus(&s.lc, v4, &l4)
	s.row()

	v5 := s.newAux(&out)
	s.begin()
	side(&s.la)
	s.plus(&s.lb, v4, &l4)
	s.plus(&s.lc, v5, &out)
	if b.hasPost {
		var neg fr.Element
		neg.Neg(&b.post)
		s.constant(&s.lc, &neg)
	}
	s.row()
	return out
}

// boxVar is the variable of the i-th S-box's output in a program whose first variable is base.
func (p *poseidonProgram) boxVar(base, i int) Variable {
	if i < p.arity {
		return AuxVar(base + 3*i + 2)
	}
	return AuxVar(base + 3*p.arity + 4*(i-p.arity) + 3)
}

// allocCombination allocates the value of a combination by the row lc*1=l.
func (s *System) allocCombination(p *poseidonProgram, c *combination, vals []fr.Element, base int) Num {
	part := fr.Vector(vals[c.from : c.from+len(c.coefs)])
	val := part.InnerProduct(c.coefs)
	val.Add(&val, &c.constant)
	l := Num{s.newAux(&val), val}
	s.begin()
	if s.detail&WantAuxTerms != 0 {
		for i := range c.coefs {
			s.la.Terms = append(s.la.Terms, Term{p.boxVar(base, c.from+i), c.coefs[i]})
		}
	}
	if c.hasConst && s.keeps(One) {
		s.la.Terms = append(s.la.Terms, Term{One, c.constant})
	}
	s.la.Value = val
	s.plus(&s.lb, One, &oneElement)
	s.plus(&s.lc, l.v, &val)
	s.row()
	return l
}

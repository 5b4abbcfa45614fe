package groth16

import (
	"errors"
	"fmt"
	"math/big"
	"math/bits"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr/fft"

	"github.com/filecoin-venus/venus/proofs/r1cs"
)

// Secret is the trapdoor of a circuit's parameters. Whoever knows it can prove anything: only private networks, whose
// seed is public among their members, may use parameters whose secret is known.
type Secret struct {
	Alpha, Beta, Gamma, Delta, Tau fr.Element
}

// secretDomain separates this use of hash-to-field from every other.
const secretDomain = "venus proof parameters v1"

// SecretFromSeed derives the trapdoor of the circuit called identifier.
func SecretFromSeed(seed []byte, identifier string) (Secret, error) {
	var s Secret
	if len(seed) == 0 {
		return s, errors.New("proof seed is empty: a private network needs one")
	}
	for label, e := range map[string]*fr.Element{
		"alpha": &s.Alpha, "beta": &s.Beta, "gamma": &s.Gamma, "delta": &s.Delta, "tau": &s.Tau,
	} {
		msg := fmt.Appendf(nil, "%d:%s|%s|%s", len(seed), seed, label, identifier)
		h, err := fr.Hash(msg, []byte(secretDomain), 1)
		if err != nil {
			return s, fmt.Errorf("derive %s: %w", label, err)
		}
		if h[0].IsZero() {
			return s, fmt.Errorf("derive %s: zero; choose another seed", label)
		}
		*e = h[0]
	}
	return s, nil
}

// Circuit writes itself as rows.
type Circuit interface {
	Synthesize(s *r1cs.System)
}

// Derived is what a circuit's shape and a secret give: the verifying key, and what the trapdoor prover needs beside the
// secret itself.
type Derived struct {
	Key *VerifyingKey
	// Rows counts the circuit's rows with those that close it; the domain is the next power of two.
	Rows int
	// InputWeights are beta*u+alpha*v+w at tau for every input.
	InputWeights []fr.Element
}

// Derive computes the verifying key of a circuit under a secret. The circuit's witness does not matter.
func Derive(secret Secret, c Circuit) (*Derived, error) {
	counter := &r1cs.Counter{}
	s := r1cs.New(counter)
	c.Synthesize(s)
	s.Close()

	lagrange, err := NewLagrange(counter.Rows, secret.Tau)
	if err != nil {
		return nil, err
	}
	acc := &inputAccumulator{lagrange: lagrange, sums: make([][3]fr.Element, len(s.Inputs()))}
	s = r1cs.New(acc)
	c.Synthesize(s)
	s.Close()

	d := &Derived{Rows: counter.Rows, InputWeights: make([]fr.Element, len(acc.sums))}
	var invGamma fr.Element
	invGamma.Inverse(&secret.Gamma)
	scalars := make([]fr.Element, len(acc.sums))
	for i := range acc.sums {
		u, v, w := &acc.sums[i][0], &acc.sums[i][1], &acc.sums[i][2]
		u.Mul(u, &secret.Beta)
		v.Mul(v, &secret.Alpha)
		d.InputWeights[i].Add(u, v).Add(&d.InputWeights[i], w)
		scalars[i].Mul(&d.InputWeights[i], &invGamma)
	}
	d.Key = secret.key(scalars)
	return d, nil
}

func (s *Secret) key(ic []fr.Element) *VerifyingKey {
	_, _, g1, g2 := bls.Generators()
	vk := &VerifyingKey{IC: bls.BatchScalarMultiplicationG1(&g1, ic)}
	vk.AlphaG1.ScalarMultiplication(&g1, bigInt(&s.Alpha))
	vk.BetaG1.ScalarMultiplication(&g1, bigInt(&s.Beta))
	vk.DeltaG1.ScalarMultiplication(&g1, bigInt(&s.Delta))
	vk.BetaG2.ScalarMultiplication(&g2, bigInt(&s.Beta))
	vk.GammaG2.ScalarMultiplication(&g2, bigInt(&s.Gamma))
	vk.DeltaG2.ScalarMultiplication(&g2, bigInt(&s.Delta))
	return vk
}

func bigInt(e *fr.Element) *big.Int { return e.BigInt(new(big.Int)) }

// inputAccumulator sums, for every input, its coefficient in A, B and C times the row's Lagrange value.
type inputAccumulator struct {
	lagrange *Lagrange
	sums     [][3]fr.Element
}

// Detail implements r1cs.Backend.
func (a *inputAccumulator) Detail() r1cs.Detail { return r1cs.WantInputTerms }

// Small implements r1cs.Backend.
func (a *inputAccumulator) Small(x, y, z *r1cs.Small) {
	l := a.lagrange.Next()
	for side, lc := range [...]*r1cs.Small{x, y, z} {
		for i := range lc.N {
			if !lc.Vars[i].IsInput() {
				continue
			}
			sum := &a.sums[lc.Vars[i].Index()][side]
			for n := lc.Coefs[i]; n > 0; n-- {
				sum.Add(sum, l)
			}
			for n := lc.Coefs[i]; n < 0; n++ {
				sum.Sub(sum, l)
			}
		}
	}
}

// Row implements r1cs.Backend.
func (a *inputAccumulator) Row(x, y, z *r1cs.LC) {
	l := a.lagrange.Next()
	for side, lc := range [...]*r1cs.LC{x, y, z} {
		for i := range lc.Terms {
			t := &lc.Terms[i]
			if !t.Var.IsInput() {
				continue
			}
			sum := &a.sums[t.Var.Index()][side]
			if t.Coef.IsOne() {
				sum.Add(sum, l)
				continue
			}
			var v fr.Element
			v.Mul(&t.Coef, l)
			sum.Add(sum, &v)
		}
	}
}

// LogDomain is the logarithm of the evaluation domain's size for a number of rows.
func LogDomain(rows int) int { return bits.Len(uint(max(rows, 1) - 1)) }

// blockSize is how many Lagrange values are made at once; a power of two.
const blockSize = 1024

// Lagrange yields the values at tau of the Lagrange polynomials of a domain, row by row, in blocks of vector arithmetic.
type Lagrange struct {
	tau    fr.Element
	powers fr.Vector // omega^0 .. omega^(blockSize-1)
	scale  fr.Element
	step   fr.Element // omega^blockSize
	root   fr.Element // omega^(first row of the next block)
	block  fr.Vector
	tree   fr.Vector // products of the denominators, level by level
	pos    int
}

// NewLagrange starts at row 0 of the domain for the given number of rows. A tau inside the domain is an error.
func NewLagrange(rows int, tau fr.Element) (*Lagrange, error) {
	log := LogDomain(rows)
	omega, err := fft.Generator(1 << log)
	if err != nil {
		return nil, fmt.Errorf("domain of %d rows: %w", rows, err)
	}
	g := &Lagrange{
		tau: tau, powers: make(fr.Vector, blockSize), block: make(fr.Vector, blockSize),
		tree: make(fr.Vector, 2*blockSize), pos: blockSize,
	}
	g.powers[0].SetOne()
	for i := 1; i < blockSize; i++ {
		g.powers[i].Mul(&g.powers[i-1], &omega)
	}
	g.step.Mul(&g.powers[blockSize-1], &omega)
	z := tau
	var inv fr.Element
	inv.SetOne()
	for range log {
		z.Square(&z)
		inv.Halve()
	}
	z.Sub(&z, &g.powers[0])
	if z.IsZero() {
		return nil, fmt.Errorf("secret point lies in the domain of %d rows: choose another seed", rows)
	}
	g.scale.Mul(&z, &inv)
	g.root.SetOne()
	return g, nil
}

// Next is the value for the next row, valid until the next call.
func (g *Lagrange) Next() *fr.Element {
	if g.pos == blockSize {
		g.fill()
	}
	g.pos++
	return &g.block[g.pos-1]
}

// Block returns the values of the next blockSize rows; not to be mixed with Next. Valid until the next call.
func (g *Lagrange) Block() fr.Vector {
	g.fill()
	return g.block
}

// fill computes scale*w/(tau-w) for the next blockSize powers w of omega; the inverses come from a product tree, whose
// levels are vector products.
func (g *Lagrange) fill() {
	leaves := g.tree[:blockSize]
	leaves.ScalarMul(g.powers, &g.root)
	for i := range leaves {
		leaves[i].Sub(&g.tau, &leaves[i])
	}
	level, next := leaves, g.tree[blockSize:]
	var levels [16]fr.Vector
	depth := 0
	for len(level) > 1 {
		levels[depth] = level
		depth++
		half := len(level) / 2
		up := next[:half]
		next = next[half:]
		up.Mul(level[:half], level[half:])
		level = up
	}
	level[0].Inverse(&level[0])
	for depth--; depth >= 0; depth-- {
		down := levels[depth]
		half := len(down) / 2
		left := g.block[:half] // scratch
		left.Mul(down[half:], level)
		right := down[half:]
		right.Mul(down[:half], level)
		copy(down[:half], left)
		level = down
	}
	g.block.ScalarMul(g.powers, &g.root)
	g.block.Mul(g.block, leaves)
	g.block.ScalarMul(g.block, &g.scale)
	g.root.Mul(&g.root, &g.step)
	g.pos = 0
}

// BlockSize is the length of the blocks of [Lagrange.Block].
const BlockSize = blockSize

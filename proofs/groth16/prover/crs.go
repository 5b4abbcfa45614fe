package prover

import (
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"sync"

	"github.com/consensys/gnark-crypto/ecc"
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr/fft"

	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/r1cs"
)

// CRS proves one circuit with a parameter file, by multi-scalar multiplication: the prover for parameters whose secret
// nobody knows. Safe for concurrent use; proofs are made one at a time because each wants all cores and much memory.
type CRS struct {
	params *Params
	shape  groth16.Circuit

	mu      sync.Mutex
	density *r1cs.Density
	rows    int
}

// NewCRS makes the prover of the circuit that shape has the form of.
func NewCRS(params *Params, shape groth16.Circuit) *CRS {
	return &CRS{params: params, shape: shape}
}

// Prove is Trapdoor.Prove without the secret.
func (c *CRS) Prove(circuit groth16.Circuit) (*groth16.Proof, []fr.Element, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.prepare(); err != nil {
		return nil, nil, err
	}
	domain := 1 << groth16.LogDomain(c.rows)
	a, b, prod := make(fr.Vector, 0, domain), make(fr.Vector, 0, domain), make(fr.Vector, 0, domain)
	eval := newEvaluator(r1cs.WantValues|r1cs.WantWitness, func(x, y, z fr.Vector) {
		a, b, prod = append(a, x...), append(b, y...), append(prod, z...)
	})
	s := r1cs.New(eval)
	s.Reserve(c.params.count[sectionL])
	circuit.Synthesize(s)
	s.Close()
	if err := eval.finish(); err != nil {
		return nil, nil, err
	}
	inputs, aux := s.Inputs(), s.Witness()
	if len(inputs) != len(c.params.Key.IC) || len(aux) != c.params.count[sectionL] {
		return nil, nil, fmt.Errorf("circuit has %d inputs and %d variables, parameters are for %d and %d",
			len(inputs), len(aux), len(c.params.Key.IC), c.params.count[sectionL])
	}
	h, err := quotient(a, b, prod, c.params.count[sectionH])
	if err != nil {
		return nil, nil, err
	}
	p, err := c.assemble(inputs, aux, h)
	return p, inputs[1:], err
}

// prepare finds which variables have points in the lists A and B.
func (c *CRS) prepare() error {
	if c.density != nil {
		return nil
	}
	counter := &r1cs.Counter{Densities: true}
	s := r1cs.New(counter)
	c.shape.Synthesize(s)
	s.Close()
	d := counter.Density(len(s.Inputs()), s.NumAux())
	if a, b := counter.DensityA(), counter.DensityB(); a != c.params.count[sectionA] || b != c.params.count[sectionB1] || b != c.params.count[sectionB2] {
		return fmt.Errorf("circuit has %d variables in A and %d in B, parameters have %d and %d (%d): they belong to another circuit",
			a, b, c.params.count[sectionA], c.params.count[sectionB1], c.params.count[sectionB2])
	}
	c.density, c.rows = d, counter.Rows
	return nil
}

// quotient is the polynomial (a*b-c)/Z in coefficients, Z = X^m-1 over a domain of m points; a, b and c are the values of
// the three on the domain, and are overwritten. All rows hold, so c is a*b modulo Z, and with H for the quotient
//
//	a*b = c + H*(X^m-1), which modulo X^m-g^m, on the coset of g, is c + H*(g^m-1):
//
// one transform less than dividing by Z there.
func quotient(a, b, c fr.Vector, n int) (fr.Vector, error) {
	rows := len(a)
	log := groth16.LogDomain(rows)
	m := 1 << log
	if n != m-1 {
		return nil, fmt.Errorf("circuit wants a domain of %d, parameters have %d points in H", m, n)
	}
	d, err := newDomain(log)
	if err != nil {
		return nil, err
	}
	var byM, g, z, one fr.Element
	byM.SetUint64(uint64(m)).Inverse(&byM)
	g = fft.GeneratorFullMultiplicativeGroup()
	one.SetOne()
	for _, v := range []*fr.Vector{&a, &b, &c} {
		*v = slices.Grow(*v, m-len(*v))[:m]
		clear((*v)[rows:])
		d.coefficients(*v)
	}
	d.scale(a, g, byM)
	d.scale(b, g, byM)
	d.values(a)
	d.values(b)
	inStrips(m, func(from, to int) {
		x := a[from:to]
		x.Mul(x, b[from:to])
	})
	d.coefficients(a)

	z.Exp(g, big.NewInt(int64(m))).Sub(&z, &one).Inverse(&z).Mul(&z, &byM)
	d.scale(a, *g.Inverse(&g), z)
	inStrips(m, func(from, to int) {
		x, y := a[from:to], c[from:to]
		y.ScalarMul(y, &z)
		x.Sub(x, y)
	})
	fft.BitReverse(a)
	return a[:n], nil
}

// assemble adds up the proof:
//
//	A = alpha + <w, A> + r*delta      B = beta + <w, B> + s*delta
//	C = <aux, L> + <h, H> + s*A + r*B - r*s*delta
func (c *CRS) assemble(inputs, aux []fr.Element, h fr.Vector) (*groth16.Proof, error) {
	var r, s, rs fr.Element
	if _, err := r.SetRandom(); err != nil {
		return nil, fmt.Errorf("proof randomness: %w", err)
	}
	if _, err := s.SetRandom(); err != nil {
		return nil, fmt.Errorf("proof randomness: %w", err)
	}
	rs.Mul(&r, &s).Neg(&rs)
	vk := c.params.Key

	sumC, err := c.params.sum(sectionH, h)
	if err != nil {
		return nil, err
	}
	l, err := c.params.sum(sectionL, aux)
	if err != nil {
		return nil, err
	}
	a, err := c.params.sum(sectionA, pick(c.params.count[sectionA], inputs, aux, c.density.A))
	if err != nil {
		return nil, err
	}
	inB := pick(c.params.count[sectionB1], inputs, aux, c.density.B)
	b1, err := c.params.sum(sectionB1, inB)
	if err != nil {
		return nil, err
	}
	b2, err := c.sumG2(inB)
	if err != nil {
		return nil, err
	}

	a.AddMixed(&vk.AlphaG1)
	a.AddAssign(times(&vk.DeltaG1, &r))
	b1.AddMixed(&vk.BetaG1)
	b1.AddAssign(times(&vk.DeltaG1, &s))
	b2.AddMixed(&vk.BetaG2)
	var delta2 bls.G2Jac
	delta2.FromAffine(&vk.DeltaG2)
	b2.AddAssign(delta2.ScalarMultiplication(&delta2, s.BigInt(new(big.Int))))

	sumC.AddAssign(&l)
	var t bls.G1Jac
	sumC.AddAssign(t.ScalarMultiplication(&a, s.BigInt(new(big.Int))))
	sumC.AddAssign(t.ScalarMultiplication(&b1, r.BigInt(new(big.Int))))
	sumC.AddAssign(times(&vk.DeltaG1, &rs))

	p := &groth16.Proof{}
	p.A.FromJacobian(&a)
	p.B.FromJacobian(&b2)
	p.C.FromJacobian(&sumC)
	return p, nil
}

func times(p *bls.G1Affine, k *fr.Element) *bls.G1Jac {
	var j bls.G1Jac
	j.FromAffine(p)
	return j.ScalarMultiplication(&j, k.BigInt(new(big.Int)))
}

// pick lists the values of the variables that occur, inputs first; count is how many do.
func pick(count int, inputs, aux []fr.Element, occurs [2][]bool) []fr.Element {
	out := make([]fr.Element, 0, count)
	for i := range inputs {
		if occurs[1][i] {
			out = append(out, inputs[i])
		}
	}
	for i := range aux {
		if occurs[0][i] {
			out = append(out, aux[i])
		}
	}
	return out
}

func (c *CRS) sumG2(scalars []fr.Element) (bls.G2Jac, error) {
	var out bls.G2Jac
	points, err := c.params.loadG2()
	if err != nil {
		return out, err
	}
	if _, err := out.MultiExp(points, scalars, ecc.MultiExpConfig{NbTasks: runtime.GOMAXPROCS(0)}); err != nil {
		return out, fmt.Errorf("sum over %s: %w", sectionNames[sectionB2], err)
	}
	return out, nil
}

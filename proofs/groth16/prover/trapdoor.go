package prover

import (
	"fmt"
	"math/big"
	"sync"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/r1cs"
)

// Trapdoor proves one circuit whose parameters' secret is known. Safe for concurrent use.
type Trapdoor struct {
	secret  groth16.Secret
	derived *groth16.Derived

	once     sync.Once
	lagrange []fr.Element // all rows' values, for circuits up to cachedRows
	err      error
}

// cachedRows bounds the circuits whose Lagrange values stay in memory (32 bytes per row); larger ones make them anew.
const cachedRows = 1 << 18

// NewTrapdoor makes the prover of the circuit that derived came from.
func NewTrapdoor(secret groth16.Secret, derived *groth16.Derived) *Trapdoor {
	return &Trapdoor{secret: secret, derived: derived}
}

// Prove synthesises c with its witness and proves it; the public inputs are returned without the constant one. A witness
// that breaks a row gives ErrUnsatisfied.
func (t *Trapdoor) Prove(c groth16.Circuit) (*groth16.Proof, []fr.Element, error) {
	next, err := t.blocks()
	if err != nil {
		return nil, nil, err
	}
	var sa, sb fr.Element
	eval := newEvaluator(r1cs.WantValues, func(a, b, _ fr.Vector) {
		l := next()[:len(a)]
		x, y := l.InnerProduct(a), l.InnerProduct(b)
		sa.Add(&sa, &x)
		sb.Add(&sb, &y)
	})
	s := r1cs.New(eval)
	c.Synthesize(s)
	s.Close()
	if err := eval.finish(); err != nil {
		return nil, nil, err
	}
	inputs := s.Inputs()
	if eval.done != t.derived.Rows || len(inputs) != len(t.derived.InputWeights) {
		return nil, nil, fmt.Errorf("circuit has %d rows and %d inputs, key is for %d and %d",
			eval.done, len(inputs), t.derived.Rows, len(t.derived.InputWeights))
	}
	p, err := t.assemble(sa, sb, inputs)
	return p, inputs[1:], err
}

// blocks yields the Lagrange values of successive blocks of rows.
func (t *Trapdoor) blocks() (func() fr.Vector, error) {
	gen, err := groth16.NewLagrange(t.derived.Rows, t.secret.Tau)
	if err != nil {
		return nil, err
	}
	if t.derived.Rows > cachedRows {
		return gen.Block, nil
	}
	t.once.Do(func() {
		for len(t.lagrange) < t.derived.Rows {
			t.lagrange = append(t.lagrange, gen.Block()...)
		}
	})
	rest := fr.Vector(t.lagrange)
	return func() fr.Vector {
		block := rest[:groth16.BlockSize]
		rest = rest[groth16.BlockSize:]
		return block
	}, nil
}

// assemble turns the witness's A and B at tau into a proof:
//
//	A = alpha + a + r*delta      B = beta + b + s*delta
//	C = (beta*a + alpha*b + c - inputs*weights + (a*b - c)) / delta + s*A + r*B - r*s*delta
//
// where a*b-c is the quotient times the vanishing polynomial, because all rows hold; so c drops out.
func (t *Trapdoor) assemble(a, b fr.Element, inputs []fr.Element) (*groth16.Proof, error) {
	var r, s fr.Element
	if _, err := r.SetRandom(); err != nil {
		return nil, fmt.Errorf("proof randomness: %w", err)
	}
	if _, err := s.SetRandom(); err != nil {
		return nil, fmt.Errorf("proof randomness: %w", err)
	}
	k := &t.secret
	var x, pa, pb, pc fr.Element
	pa.Mul(&r, &k.Delta).Add(&pa, &a).Add(&pa, &k.Alpha)
	pb.Mul(&s, &k.Delta).Add(&pb, &b).Add(&pb, &k.Beta)

	pc.Mul(&k.Beta, &a)
	pc.Add(&pc, x.Mul(&k.Alpha, &b))
	pc.Add(&pc, x.Mul(&a, &b))
	for i := range inputs {
		pc.Sub(&pc, x.Mul(&inputs[i], &t.derived.InputWeights[i]))
	}
	pc.Div(&pc, &k.Delta)
	pc.Add(&pc, x.Mul(&s, &pa))
	pc.Add(&pc, x.Mul(&r, &pb))
	x.Mul(&r, &s).Mul(&x, &k.Delta)
	pc.Sub(&pc, &x)

	p := &groth16.Proof{}
	p.A.ScalarMultiplicationBase(pa.BigInt(new(big.Int)))
	p.C.ScalarMultiplicationBase(pc.BigInt(new(big.Int)))
	_, _, _, g2 := bls.Generators()
	p.B.ScalarMultiplication(&g2, pb.BigInt(new(big.Int)))
	return p, nil
}

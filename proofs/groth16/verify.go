package groth16

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/crypto/wide"
)

// ErrInvalid marks a proof that does not prove its statement.
var ErrInvalid = errors.New("proof is invalid")

// lines are the Miller loop's lines of a fixed point of G2.
type lines = [2][len(bls.LoopCounter) - 1]bls.LineEvaluationAff

// PreparedKey is a verifying key with everything computed that does not depend on a proof. Safe for concurrent use.
type PreparedKey struct {
	vk        *VerifyingKey
	fixed     [3]lines // gamma, delta, beta
	alphaBeta bls.GT   // e(alpha, beta)
	// tables are of the first inputs, the commitments of a seal: multiplying these takes a quarter of a verification.
	tables map[int]*fixedTable
	seed   io.Reader
	// loop is the product of the proofs' Miller loops. It may be wrong and have a proof refused that holds, so that the library
	// is asked then, but not the other way round.
	loop func(p []bls.G1Affine, q []bls.G2Affine) (bls.GT, error)
}

// Prepare makes a key ready to verify with.
func Prepare(vk *VerifyingKey) *PreparedKey {
	k := &PreparedKey{vk: vk, seed: rand.Reader, loop: millerLoop}
	for i, q := range []bls.G2Affine{vk.GammaG2, vk.DeltaG2, vk.BetaG2} {
		k.fixed[i] = bls.PrecomputeLines(q)
	}
	ab, err := bls.Pair([]bls.G1Affine{vk.AlphaG1}, []bls.G2Affine{vk.BetaG2})
	if err != nil {
		panic(err) // only for lists of different length
	}
	k.alphaBeta = ab
	k.tables = map[int]*fixedTable{}
	for i := 1; i <= tableInputs && i < len(vk.IC); i++ {
		k.tables[i] = newFixedTable(&vk.IC[i])
	}
	return k
}

// tableInputs is how many inputs have tables (90 KiB each).
const tableInputs = 3

// NumInputs is the number of public inputs a statement has, without the constant one.
func (k *PreparedKey) NumInputs() int { return len(k.vk.IC) - 1 }

// Instance is a proof with the public inputs it should hold for, without the constant one.
type Instance struct {
	Proof  Proof
	Inputs []fr.Element
}

// Verify checks all instances at once: one product of pairings over a random combination of them. ErrInvalid says that at
// least one does not hold, not which.
func (k *PreparedKey) Verify(instances ...Instance) error {
	if len(instances) == 0 {
		return nil
	}
	for i := range instances {
		if len(instances[i].Inputs) != k.NumInputs() {
			return fmt.Errorf("statement has %d public inputs, key wants %d: %w", len(instances[i].Inputs), k.NumInputs(), ErrInvalid)
		}
	}
	weights, err := k.weights(len(instances))
	if err != nil {
		return err
	}

	// e(sum w*IC, gamma) * e(sum w*C, delta) * prod e(-w*A, B) * e(sum w*alpha, beta) = 1; for a single proof the last
	// factor is known beforehand.
	scalars := make([]fr.Element, len(k.vk.IC))
	as, cs := make([]bls.G1Affine, len(instances)), make([]bls.G1Affine, len(instances))
	bs := make([]bls.G2Affine, len(instances))
	for i := range instances {
		in, w := &instances[i], &weights[i]
		scalars[0].Add(&scalars[0], w)
		for j := range in.Inputs {
			var t fr.Element
			t.Mul(&in.Inputs[j], w)
			scalars[j+1].Add(&scalars[j+1], &t)
		}
		as[i], bs[i], cs[i] = in.Proof.A, in.Proof.B, in.Proof.C
	}
	c := weigh(as, cs, weights)
	for i := range as {
		as[i].Neg(&as[i])
	}
	proofs := beside(func() (bls.GT, error) { return k.loop(as, bs) })
	var want, left bls.GT
	if len(instances) == 1 {
		want.Conjugate(&k.alphaBeta) // the inverse
		left, err = k.fixedLoop(combineWith(k.tables, k.vk.IC, scalars), c)
	} else {
		want.SetOne()
		left, err = k.MillerLoop(scalars, c)
	}
	right, errProofs := proofs()
	if err != nil || errProofs != nil {
		return fmt.Errorf("pairing: %w", errors.Join(err, errProofs))
	}
	holds := func() bool {
		res := bls.FinalExponentiation(&left, &right)
		return res.Equal(&want)
	}
	if holds() {
		return nil
	}
	if inLanes(len(as)) { // which do not refuse alone
		if right, err = bls.MillerLoop(as, bs); err == nil && holds() {
			return nil
		}
	}
	return ErrInvalid
}

// worthLanes is how many pairs go into lanes together; below it the library takes less time.
const worthLanes = 4

func inLanes(n int) bool { return n >= worthLanes && wide.Available() }

func millerLoop(p []bls.G1Affine, q []bls.G2Affine) (bls.GT, error) {
	if inLanes(len(p)) {
		return wide.MillerLoop(p, q), nil
	}
	return bls.MillerLoop(p, q)
}

// weigh multiplies each of as by its weight and returns the sum of cs multiplied by theirs.
func weigh(as, cs []bls.G1Affine, weights []fr.Element) bls.G1Affine {
	if len(as) == 1 { // a single weight is one
		return cs[0]
	}
	if !wide.Available() {
		for i := range as {
			as[i] = combine(as[i:i+1], weights[i:i+1])
		}
		return combine(cs, weights) // with common doublings
	}
	by := inWords(weights)
	copy(as, wide.ScaleG1(as, by))
	return wide.CombineG1(cs, by)
}

// beside runs f on another core and returns how to wait for it. A panic over foreign points comes to whoever waits, who
// can contain it.
func beside[T any](f func() (T, error)) (wait func() (T, error)) {
	var out T
	var err error
	var failed any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { failed = recover() }()
		out, err = f()
	}()
	return func() (T, error) {
		<-done
		if failed != nil {
			panic(failed)
		}
		return out, err
	}
}

// MillerLoop is, before the final exponentiation, what a weighted sum of proofs must equal on the side of the key:
// e(w*alpha, beta) * e(sum, gamma) * e(c, delta). Weighted holds w, the sum of the weights, and then the weighted sum of
// every public input; c is the weighted sum of the proofs' C.
func (k *PreparedKey) MillerLoop(weighted []fr.Element, c bls.G1Affine) (bls.GT, error) {
	if len(weighted) != len(k.vk.IC) {
		return bls.GT{}, fmt.Errorf("%d weighted inputs, key wants %d: %w", len(weighted), len(k.vk.IC), ErrInvalid)
	}
	return k.fixedLoop(combineWith(k.tables, k.vk.IC, weighted), c, combine([]bls.G1Affine{k.vk.AlphaG1}, weighted[:1]))
}

// fixedLoop pairs points with gamma, delta and beta, as many as there are points.
func (k *PreparedKey) fixedLoop(points ...bls.G1Affine) (bls.GT, error) {
	prepared := k.fixed // the library scales the lines it is given in place
	f, err := bls.MillerLoopFixedQ(points, prepared[:len(points)])
	if err != nil {
		return f, fmt.Errorf("pairing: %w", err)
	}
	return f, nil
}

// weights are 1 and then random 128-bit numbers: a forged batch passes with probability 2^-128.
func (k *PreparedKey) weights(n int) ([]fr.Element, error) {
	out := make([]fr.Element, n)
	out[0].SetOne()
	var buf [16]byte
	for i := 1; i < n; i++ {
		if _, err := io.ReadFull(k.seed, buf[:]); err != nil {
			return nil, fmt.Errorf("randomness for a batch of proofs: %w", err)
		}
		out[i].SetBytes(buf[:])
	}
	return out, nil
}

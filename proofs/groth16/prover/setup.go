package prover

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/crypto/wide"
	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/r1cs"
)

// WriteParams makes the parameters of a circuit under a secret and writes them in the layout of a .params file: the
// verifying key, then the lists H, L, A, B in G1 and B in G2, each with its length.
func WriteParams(ctx context.Context, w io.Writer, secret groth16.Secret, c groth16.Circuit) error {
	counter := &r1cs.Counter{}
	s := r1cs.New(counter)
	c.Synthesize(s)
	s.Close()
	lagrange, err := groth16.NewLagrange(counter.Rows, secret.Tau)
	if err != nil {
		return err
	}
	acc := &accumulator{lagrange: lagrange, inputs: len(s.Inputs())}
	for side := range acc.sums {
		acc.sums[side] = make([]fr.Element, len(s.Inputs())+s.NumAux())
	}
	full := r1cs.New(acc)
	c.Synthesize(full)
	full.Close()

	derived, err := groth16.Derive(secret, c)
	if err != nil {
		return err
	}
	out := &paramWriter{ctx: ctx, w: bufio.NewWriterSize(w, 1<<20), g2: newCombG2()}
	if wide.Available() {
		_, _, generator, _ := bls.Generators()
		out.wide = wide.NewComb(generator)
	} else {
		out.g1 = newCombG1()
	}
	out.raw(derived.Key.Bytes())
	if err := out.quotientPoints(&secret, groth16.LogDomain(counter.Rows)); err != nil {
		return fmt.Errorf("write H: %w", err)
	}
	u, v := acc.sums[0], acc.sums[1]
	if err := out.list1(auxWeights(&secret, &acc.sums, acc.inputs)); err != nil {
		return fmt.Errorf("write L: %w", err)
	}
	if err := out.list1(nonZero(u)); err != nil {
		return fmt.Errorf("write A: %w", err)
	}
	v = nonZero(v)
	if err := out.list1(v); err != nil {
		return fmt.Errorf("write B in G1: %w", err)
	}
	if err := out.list2(v); err != nil {
		return fmt.Errorf("write B in G2: %w", err)
	}
	return out.w.Flush()
}

// auxWeights overwrites the sums of C with (beta*u+alpha*v+w)/delta and returns those of the auxiliary variables.
func auxWeights(k *groth16.Secret, sums *[3][]fr.Element, inputs int) []fr.Element {
	var inv fr.Element
	inv.Inverse(&k.Delta)
	out := sums[2][inputs:]
	for i := range out {
		var x fr.Element
		out[i].Add(&out[i], x.Mul(&sums[0][inputs+i], &k.Beta))
		out[i].Add(&out[i], x.Mul(&sums[1][inputs+i], &k.Alpha))
		out[i].Mul(&out[i], &inv)
	}
	return out
}

// nonZero moves the elements that are not zero to the front: variables that do not occur have no point in the file.
func nonZero(v []fr.Element) []fr.Element {
	kept := v[:0]
	for i := range v {
		if !v[i].IsZero() {
			kept = append(kept, v[i])
		}
	}
	return kept
}

// accumulator sums, for every variable, its coefficients in A, B and C times the rows' Lagrange values.
type accumulator struct {
	lagrange *groth16.Lagrange
	inputs   int
	sums     [3][]fr.Element // inputs, then auxiliary variables
}

// Detail implements r1cs.Backend.
func (a *accumulator) Detail() r1cs.Detail { return r1cs.WantTerms }

func (a *accumulator) at(side int, v r1cs.Variable) *fr.Element {
	if v.IsInput() {
		return &a.sums[side][v.Index()]
	}
	return &a.sums[side][a.inputs+v.Index()]
}

// Small implements r1cs.Backend.
func (a *accumulator) Small(x, y, z *r1cs.Small) {
	l := a.lagrange.Next()
	for side, lc := range [...]*r1cs.Small{x, y, z} {
		for i := range lc.N {
			sum := a.at(side, lc.Vars[i])
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
func (a *accumulator) Row(x, y, z *r1cs.LC) {
	l := a.lagrange.Next()
	for side, lc := range [...]*r1cs.LC{x, y, z} {
		for i := range lc.Terms {
			t := &lc.Terms[i]
			sum := a.at(side, t.Var)
			if t.Coef.IsOne() {
				sum.Add(sum, l)
				continue
			}
			var v fr.Element
			sum.Add(sum, v.Mul(&t.Coef, l))
		}
	}
}

// paramWriter writes points as they are computed.
type paramWriter struct {
	ctx context.Context
	w   *bufio.Writer
	// One of these two for G1: wide where the processor has the instructions.
	wide *wide.Comb
	g1   *comb[fp.Element, *fp.Element]
	g2   *comb[bls.E2, *bls.E2]
}

// paramChunk is how many points are computed before they are written.
const paramChunk = 1 << 16

func (p *paramWriter) raw(b []byte) { _, _ = p.w.Write(b) } // the buffer keeps its first error for Flush

func (p *paramWriter) count(n int) { p.raw(binary.BigEndian.AppendUint32(nil, uint32(n))) }

// quotientPoints writes tau^i*Z(tau)/delta for i < m-1.
func (p *paramWriter) quotientPoints(k *groth16.Secret, log int) error {
	z := k.Tau
	for range log {
		z.Square(&z)
	}
	one := fr.One()
	z.Sub(&z, &one)
	z.Div(&z, &k.Delta)
	n := 1<<log - 1
	p.count(n)
	for n > 0 {
		chunk := make([]fr.Element, min(n, paramChunk))
		for i := range chunk {
			chunk[i] = z
			z.Mul(&z, &k.Tau)
		}
		if err := p.points1(chunk); err != nil {
			return err
		}
		n -= len(chunk)
	}
	return nil
}

func (p *paramWriter) list1(scalars []fr.Element) error {
	p.count(len(scalars))
	return p.points1(scalars)
}

func (p *paramWriter) points1(scalars []fr.Element) error {
	for len(scalars) > 0 {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		n := min(paramChunk, len(scalars))
		if p.wide != nil {
			raw := make([]byte, n*wide.SizeG1)
			p.wide.Encode(raw, scalars[:n])
			p.raw(raw)
		} else {
			out := make([]affine[fp.Element], n)
			inParallel(p.g1, out, scalars[:n])
			for i := range out {
				b := (&bls.G1Affine{X: out[i].X, Y: out[i].Y}).RawBytes()
				p.raw(b[:])
			}
		}
		scalars = scalars[n:]
	}
	return nil
}

func (p *paramWriter) list2(scalars []fr.Element) error {
	p.count(len(scalars))
	for len(scalars) > 0 {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		n := min(paramChunk, len(scalars))
		out := make([]affine[bls.E2], n)
		inParallel(p.g2, out, scalars[:n])
		for i := range out {
			b := (&bls.G2Affine{X: out[i].X, Y: out[i].Y}).RawBytes()
			p.raw(b[:])
		}
		scalars = scalars[n:]
	}
	return nil
}

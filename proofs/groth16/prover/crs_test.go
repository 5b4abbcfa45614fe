package prover

import (
	"bytes"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/r1cs"
)

func TestCombMatchesPlainMultiplication(t *testing.T) {
	_, _, g1, g2 := bls.Generators()
	scalars := []fr.Element{{}, fr.NewElement(1), fr.NewElement(2), fr.NewElement(4096), fr.NewElement(4097), fr.NewElement(8191), fr.NewElement(8192)}
	var m fr.Element
	m.SetInt64(-1)
	scalars = append(scalars, m)
	for range 1200 { // more than one batch
		scalars = append(scalars, *new(fr.Element).MustSetRandom())
	}
	out1 := make([]affine[fp.Element], len(scalars))
	inParallel(newCombG1(), out1, scalars)
	out2 := make([]affine[bls.E2], 20)
	inParallel(newCombG2(), out2, scalars[:20])
	for i := range scalars {
		if i > 40 && i%97 != 0 {
			continue
		}
		k := scalars[i].BigInt(new(big.Int))
		var w1 bls.G1Affine
		w1.ScalarMultiplication(&g1, k)
		require.Equal(t, w1, bls.G1Affine{X: out1[i].X, Y: out1[i].Y}, "scalar %d", i)
		if i < len(out2) {
			var w2 bls.G2Affine
			w2.ScalarMultiplication(&g2, k)
			require.Equal(t, w2, bls.G2Affine{X: out2[i].X, Y: out2[i].Y}, "scalar %d", i)
		}
	}
}

func TestCRSProofsVerify(t *testing.T) {
	secret, err := groth16.SecretFromSeed([]byte("a seed"), "test circuit")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "test.params")
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, WriteParams(t.Context(), f, secret, squareOrHash{}))
	require.NoError(t, f.Close())

	p, err := OpenParams(path)
	require.NoError(t, err)
	defer p.Close()
	d, err := groth16.Derive(secret, squareOrHash{})
	require.NoError(t, err)
	require.Equal(t, d.Key, p.Key)
	key := groth16.Prepare(p.Key)
	crs := NewCRS(p, squareOrHash{})
	for i := range uint64(2) {
		proof, inputs, err := crs.Prove(squareOrHash{x: fr.NewElement(77 + i)})
		require.NoError(t, err)
		require.NoError(t, key.Verify(groth16.Instance{Proof: *proof, Inputs: inputs}))
		inputs[0].Double(&inputs[0])
		require.ErrorIs(t, key.Verify(groth16.Instance{Proof: *proof, Inputs: inputs}), groth16.ErrInvalid)
	}
	_, _, err = crs.Prove(squareOrHash{wrong: true})
	require.ErrorIs(t, err, ErrUnsatisfied)

	info, err := os.Stat(path)
	require.NoError(t, err)
	for _, size := range []int64{0, 500, 2000, info.Size() - 1, info.Size() + 1} {
		require.NoError(t, os.Truncate(path, size))
		_, err := OpenParams(path)
		require.Error(t, err, "file of %d bytes", size)
	}
}

func BenchmarkComb(b *testing.B) {
	g1, g2 := newCombG1(), newCombG2()
	scalars := make([]fr.Element, 1<<13)
	for i := range scalars {
		scalars[i].MustSetRandom()
	}
	b.Run("G1", func(b *testing.B) {
		out := make([]affine[fp.Element], len(scalars))
		for b.Loop() {
			g1.multiply(out, scalars)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(len(scalars)), "us/point")
	})
	b.Run("G2", func(b *testing.B) {
		out := make([]affine[bls.E2], len(scalars))
		for b.Loop() {
			g2.multiply(out, scalars)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(len(scalars)), "us/point")
	})
}

// tinyCircuit has parameters of a few kilobytes.
type tinyCircuit struct{}

func (tinyCircuit) Synthesize(s *r1cs.System) { s.Inputize(s.AllocNum(fr.NewElement(3))) }

func FuzzParams(f *testing.F) {
	secret, err := groth16.SecretFromSeed([]byte("a seed"), "tiny")
	require.NoError(f, err)
	var good bytes.Buffer
	require.NoError(f, WriteParams(f.Context(), &good, secret, tinyCircuit{}))
	f.Add(good.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &Params{file: bytes.NewReader(b)}
		if p.scan(int64(len(b))) != nil {
			return
		}
		for s := range sectionB2 {
			if total, err := p.sum(s, make([]fr.Element, p.count[s])); err == nil {
				require.True(t, total.Z.IsZero(), "no point at all is infinity")
			}
		}
		if points, err := p.loadG2(); err == nil {
			require.Len(t, points, p.count[sectionB2])
		}
	})
}

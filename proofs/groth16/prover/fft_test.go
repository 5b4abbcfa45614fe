package prover

import (
	"fmt"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr/fft"
	"github.com/stretchr/testify/require"
)

func randomVector(n int) fr.Vector {
	v := make(fr.Vector, n)
	v.MustSetRandom()
	return v
}

// TestTransformsMatchLibrary compares both directions, and the scaling to a coset, at sizes on both sides of a block.
func TestTransformsMatchLibrary(t *testing.T) {
	for _, log := range []int{1, 2, 5, 6, 11, 13, 14, 15, 17} {
		d, err := newDomain(log)
		require.NoError(t, err)
		lib := fft.NewDomain(1 << log)
		v := randomVector(1 << log)
		want := append(fr.Vector{}, v...)

		d.coefficients(v)
		lib.FFTInverse(want, fft.DIF)
		var byM fr.Element
		byM.SetUint64(1 << log).Inverse(&byM)
		one := fr.One()
		d.scale(v, one, byM)
		require.Equal(t, want, v, "coefficients, 2^%d", log)

		d.scale(v, lib.FrMultiplicativeGen, one)
		d.values(v)
		lib.FFT(want, fft.DIT, fft.OnCoset())
		require.Equal(t, want, v, "values, 2^%d", log)
	}
}

// TestQuotientDivides multiplies back: a*b-c = H*(X^m-1) at a random point.
func TestQuotientDivides(t *testing.T) {
	const log, rows = 9, 400
	a, b := randomVector(rows), randomVector(rows)
	c := make(fr.Vector, rows)
	c.Mul(a, b)
	evaluate := func(values fr.Vector, x fr.Element) (sum fr.Element) { // from values on the domain
		v := append(append(fr.Vector{}, values...), make(fr.Vector, 1<<log-len(values))...)
		fft.NewDomain(1<<log).FFTInverse(v, fft.DIF)
		fft.BitReverse(v)
		return horner(v, x)
	}
	var x fr.Element
	x.MustSetRandom()
	ax, bx, cx := evaluate(a, x), evaluate(b, x), evaluate(c, x)
	h, err := quotient(a, b, c, 1<<log-1)
	require.NoError(t, err)
	z := x
	for range log {
		z.Square(&z)
	}
	one := fr.One()
	z.Sub(&z, &one)
	hx := horner(h, x)
	ax.Mul(&ax, &bx).Sub(&ax, &cx)
	z.Mul(&z, &hx)
	require.Equal(t, ax, z)
	_, err = quotient(a[:rows], b[:rows], c[:rows], 1<<log)
	require.Error(t, err)
}

func horner(v fr.Vector, x fr.Element) (sum fr.Element) {
	for i := len(v) - 1; i >= 0; i-- {
		sum.Mul(&sum, &x).Add(&sum, &v[i])
	}
	return sum
}

func BenchmarkTransform(b *testing.B) {
	const log = 20
	v := randomVector(1 << log)
	b.Run(fmt.Sprintf("2^%d/ours", log), func(b *testing.B) {
		d, err := newDomain(log)
		require.NoError(b, err)
		for b.Loop() {
			d.coefficients(v)
			d.values(v)
		}
	})
	b.Run(fmt.Sprintf("2^%d/library", log), func(b *testing.B) {
		d := fft.NewDomain(1 << log)
		for b.Loop() {
			d.FFTInverse(v, fft.DIF)
			d.FFT(v, fft.DIT)
		}
	})
}

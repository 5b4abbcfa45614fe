package groth16

import (
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr/fft"
	"github.com/stretchr/testify/require"
)

// TestLagrangeInterpolates: the values at tau interpolate 1 and x^3, whatever the number of blocks.
func TestLagrangeInterpolates(t *testing.T) {
	for _, log := range []int{4, 10, 11, 13} {
		m := 1 << log
		tau := fr.NewElement(123456789)
		g, err := NewLagrange(m, tau)
		require.NoError(t, err)
		omega, err := fft.Generator(uint64(m))
		require.NoError(t, err)
		var one, cube, w fr.Element
		w.SetOne()
		for range m {
			l := g.Next()
			var x fr.Element
			one.Add(&one, l)
			x.Mul(&w, &w).Mul(&x, &w).Mul(&x, l)
			cube.Add(&cube, &x)
			w.Mul(&w, &omega)
		}
		require.True(t, one.IsOne(), "domain 2^%d", log)
		var want fr.Element
		want.Square(&tau).Mul(&want, &tau)
		require.Equal(t, want, cube, "domain 2^%d", log)

		again, err := NewLagrange(m, tau)
		require.NoError(t, err)
		sum := fr.Element{}
		for range (m + BlockSize - 1) / BlockSize {
			for i := range again.Block()[:min(m, BlockSize)] {
				sum.Add(&sum, &again.block[i])
			}
		}
		require.True(t, sum.IsOne())
	}
}

func TestTauInsideDomainIsRefused(t *testing.T) {
	omega, err := fft.Generator(1 << 12)
	require.NoError(t, err)
	_, err = NewLagrange(1<<12, omega)
	require.ErrorContains(t, err, "choose another seed")
}

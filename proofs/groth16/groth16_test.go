package groth16

import (
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
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

// TestCombineMatchesPlainSum over zero, small, equal and many large scalars.
func TestCombineMatchesPlainSum(t *testing.T) {
	_, _, g1, _ := bls.Generators()
	for _, n := range []int{0, 1, 3, 40, 70} {
		var points []bls.G1Affine
		var scalars []fr.Element
		var want fr.Element
		for i := range 3 * n {
			k := fr.NewElement(uint64(i*i + 1))
			var p bls.G1Affine
			p.ScalarMultiplication(&g1, bigInt(&k))
			s := fr.NewElement(uint64(i) % 7)
			if i%3 != 0 {
				s.SetInt64(-int64(i / 2))
			}
			points, scalars = append(points, p), append(scalars, s)
			want.Add(&want, k.Mul(&k, &s))
		}
		var sum bls.G1Affine
		sum.ScalarMultiplication(&g1, bigInt(&want))
		require.Equal(t, sum, combine(points, scalars), "%d points", 3*n)
		tables := map[int]*fixedTable{}
		for i := range min(len(points), 5) {
			tables[i] = newFixedTable(&points[i])
		}
		require.Equal(t, sum, combineWith(tables, points, scalars), "%d points, with tables", 3*n)
	}
}

func TestPanicsBesideComeToTheCaller(t *testing.T) {
	wait := beside(func() (int, error) { panic("foreign point") })
	require.PanicsWithValue(t, "foreign point", func() { _, _ = wait() })
	n, err := beside(func() (int, error) { return 3, nil })()
	require.NoError(t, err)
	require.Equal(t, 3, n)
}

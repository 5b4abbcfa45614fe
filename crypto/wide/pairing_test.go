package wide

import (
	"fmt"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/stretchr/testify/require"
)

// pairsOf are n points of each group.
func pairsOf(t testing.TB, n int) ([]bls.G1Affine, []bls.G2Affine) {
	q := make([]bls.G2Affine, n)
	for i := range q {
		var err error
		q[i], err = bls.HashToG2(fmt.Appendf(nil, "pair %d", i), testDomain)
		require.NoError(t, err)
	}
	return some(n), q
}

func TestMillerLoopMatchesLibrary(t *testing.T) {
	needWide(t)
	p, q := pairsOf(t, lanes*millerOctets+3)
	for _, n := range []int{0, 1, 7, 8, 9, 100, len(p)} {
		want, err := bls.Pair(p[:n], q[:n])
		if n == 0 {
			want.SetOne()
		} else {
			require.NoError(t, err)
		}
		got := MillerLoop(p[:n], q[:n])
		got = bls.FinalExponentiation(&got)
		require.True(t, got.Equal(&want), "%d pairs", n)
	}
}

func BenchmarkMillerLoop(b *testing.B) {
	needWide(b)
	p, q := pairsOf(b, 200)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			MillerLoop(p, q)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(p)), "us/pair")
	})
	b.Run("library", func(b *testing.B) {
		for b.Loop() {
			_, _ = bls.MillerLoop(p, q)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(p)), "us/pair")
	})
}

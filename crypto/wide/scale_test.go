package wide

import (
	"math/big"
	"math/rand"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/stretchr/testify/require"
)

func TestScaleMatchesLibrary(t *testing.T) {
	rnd := rand.New(rand.NewSource(5))
	p := some(50)
	by := make([]Scalar, len(p))
	for i := range by {
		switch i % 5 {
		case 0:
			by[i] = Scalar{rnd.Uint64(), rnd.Uint64()}
		case 1:
			by[i] = Scalar{rnd.Uint64()}
		case 2:
			by[i] = Scalar{0, rnd.Uint64() << 60, 0, uint64(i)}
		case 3:
			by[i] = Scalar{uint64(i) % 4}
		case 4:
			by[i] = Scalar{1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1}
		}
	}
	for _, n := range []int{0, 1, 2, 8, 9, len(p)} {
		got, complete := scaleInLanes(p[:n], by[:n]), ScaleG1(p[:n], by[:n])
		for i := range got {
			var want bls.G1Affine
			want.ScalarMultiplication(&p[i], by[i].number())
			require.Equal(t, want, complete[i], "%d of %d", i, n)
			if !wide || n%8 == 1 && i == n-1 || by[i] == (Scalar{}) {
				require.True(t, got[i].IsInfinity(), "%d of %d", i, n)
				continue
			}
			require.Equal(t, want, got[i], "%d of %d", i, n)
		}
	}
}

func BenchmarkScale(b *testing.B) {
	p := some(200)
	by := make([]Scalar, len(p))
	for i := range by {
		by[i] = Scalar{rand.Uint64(), rand.Uint64()}
	}
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			ScaleG1(p, by)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(p)), "us/point")
	})
	b.Run("library", func(b *testing.B) {
		k := new(big.Int).SetBytes([]byte("0123456789abcdef"))
		for b.Loop() {
			for i := range p {
				new(bls.G1Affine).ScalarMultiplication(&p[i], k)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(p)), "us/point")
	})
}

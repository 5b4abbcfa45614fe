package wide

import (
	"fmt"
	"math/big"
	"math/rand"
	"testing"

	"github.com/consensys/gnark-crypto/ecc"
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/stretchr/testify/require"
)

func generator() bls.G1Affine {
	_, _, g, _ := bls.Generators()
	return g
}

// some are n points whose discrete logarithms nobody needs: multiples of the generator by odd numbers.
func some(n int) []bls.G1Affine {
	g := generator()
	var step bls.G1Jac
	step.FromAffine(&g)
	step.DoubleAssign()
	out := make([]bls.G1Jac, n)
	for i := range out {
		if i == 0 {
			out[0].FromAffine(&g)
			continue
		}
		out[i].Set(&out[i-1]).AddAssign(&step)
	}
	return bls.BatchJacobianToAffineG1(out)
}

func encoded(points []bls.G1Affine) (raw []byte) {
	for i := range points {
		b := points[i].RawBytes()
		raw = append(raw, b[:]...)
	}
	return raw
}

func needWide(t testing.TB) {
	if !wide {
		t.Skip("this processor has no 52-bit multipliers")
	}
}

func TestPointsGoInAndOut(t *testing.T) {
	needWide(t)
	list := some(16)
	raw := encoded(list)
	points := make([]point, 16)
	require.NoError(t, decode(points, raw, func(i int) { t.Errorf("point %d is not infinite", i) }))
	for i := range points {
		require.Equal(t, list[i], points[i].library())
		back := fromLibrary(&list[i])
		require.Equal(t, list[i], back.library())
		back.negate()
		var minus bls.G1Affine
		minus.Neg(&list[i])
		require.Equal(t, minus, back.library())
	}
	out := make([]byte, len(raw))
	encode(out, points)
	require.Equal(t, raw, out)

	raw[SizeG1] = infinityFlag
	infinite := -1
	require.NoError(t, decode(points, raw, func(i int) { infinite = i }))
	require.Equal(t, 1, infinite)
	raw[SizeG1] = 0x80
	require.ErrorIs(t, decode(points, raw, nil), ErrEncoding)
	raw[SizeG1] = 0x1f
	require.ErrorIs(t, decode(points, raw, nil), ErrEncoding)
}

// TestAdderMatches adds and subtracts at random against the library, with equal and opposite points among them.
func TestAdderMatches(t *testing.T) {
	needWide(t)
	rnd := rand.New(rand.NewSource(1))
	list := some(300)
	for round, n := range []int{1, 7, 8, 64, 129, 256} {
		a := &adder{}
		want := make([]bls.G1Affine, n)
		gone := map[uint32]bool{}
		a.vanished = func(i uint32) { gone[i] = true }
		a.dst, a.src = make([]point, n), make([]point, len(list))
		for i := range list {
			a.src[i] = fromLibrary(&list[i])
		}
		for i := range n {
			p := list[rnd.Intn(len(list))]
			j, minus := uint32(rnd.Intn(len(list))), rnd.Intn(2) == 0
			if round > 2 && i%50 == 3 { // the same point, to be doubled or to vanish
				p, minus = list[j], i%100 == 3
			}
			a.dst[i] = fromLibrary(&p)
			q := list[j]
			if minus {
				q.Neg(&q)
			}
			want[i].Add(&p, &q)
			a.add(uint32(i), j, minus)
		}
		a.flush()
		for i := range want {
			if gone[uint32(i)] {
				require.True(t, want[i].IsInfinity())
				continue
			}
			require.Equal(t, want[i], a.dst[i].library(), "%d of %d", i, n)
		}
	}
}

// scalarsOf are of all kinds that a circuit has.
func scalarsOf(rnd *rand.Rand, n int, kind string) []fr.Element {
	out := make([]fr.Element, n)
	for i := range out {
		switch {
		case kind == "bits" || kind == "mixed" && i%4 != 0:
			out[i].SetUint64(uint64(rnd.Intn(2)))
		case kind == "equal":
			out[i].SetUint64(77)
		case kind == "ends":
			out[i].SetInt64(int64(i%9) - 4)
			if i%2 == 0 {
				var half fr.Element
				half.SetInt64(2)
				half.Inverse(&half)
				out[i].Add(&out[i], &half)
			}
		default:
			out[i].MustSetRandom()
		}
	}
	return out
}

func TestSumMatchesLibrary(t *testing.T) {
	rnd := rand.New(rand.NewSource(2))
	list := some(5000)
	list[17], list[4999], list[8] = bls.G1Affine{}, bls.G1Affine{}, list[9]
	raw := encoded(list)
	for _, kind := range []string{"random", "bits", "mixed", "equal", "ends"} {
		for _, n := range []int{1, 9, 1000, 5000} {
			scalars := scalarsOf(rnd, n, kind)
			var want bls.G1Jac
			_, err := want.MultiExp(list[:n], scalars, ecc.MultiExpConfig{})
			require.NoError(t, err)
			s := NewSum(n)
			half := n / 2
			require.NoError(t, s.Add(raw[:half*SizeG1], scalars[:half]))
			require.NoError(t, s.Add(raw[half*SizeG1:n*SizeG1], scalars[half:n]))
			got := s.Total()
			require.True(t, got.Equal(&want), "%s, %d points", kind, n)
		}
	}
	require.ErrorIs(t, NewSum(2).Add(raw[:SizeG1], make([]fr.Element, 2)), ErrEncoding)
	raw[0] = 0xff
	require.ErrorIs(t, NewSum(8).Add(raw[:8*SizeG1], make([]fr.Element, 8)), ErrEncoding)
}

func TestCombMatchesLibrary(t *testing.T) {
	needWide(t)
	c, g := NewComb(generator()), generator()
	scalars := append(scalarsOf(rand.New(rand.NewSource(3)), 2000, "random"), scalarsOf(nil, 50, "ends")...)
	raw := make([]byte, len(scalars)*SizeG1)
	c.Encode(raw, scalars)
	for i := range scalars {
		if i > 20 && i < 2000 && i%97 != 0 {
			continue
		}
		var want bls.G1Affine
		want.ScalarMultiplication(&g, scalars[i].BigInt(new(big.Int)))
		b := want.RawBytes()
		require.Equal(t, b[:], raw[i*SizeG1:(i+1)*SizeG1], "scalar %d", i)
	}
}

// FuzzSum gives foreign bytes as points.
func FuzzSum(f *testing.F) {
	f.Add(encoded(some(3)))
	f.Add(make([]byte, SizeG1))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n := len(raw) / SizeG1
		if n > 100 {
			return
		}
		scalars := make([]fr.Element, n)
		for i := range scalars {
			scalars[i].SetUint64(uint64(i * i))
		}
		s := NewSum(max(n, 1))
		if s.Add(raw, scalars) == nil {
			s.Total()
		}
	})
}

// BenchmarkSum compares with the library, on both cores.
func BenchmarkSum(b *testing.B) {
	for _, n := range []int{1 << 16, 1 << 19} {
		list := some(n)
		raw := encoded(list)
		scalars := scalarsOf(nil, n, "random")
		b.Run(fmt.Sprintf("%d/ours", n), func(b *testing.B) {
			for b.Loop() {
				s := NewSum(n)
				_ = s.Add(raw, scalars)
				s.Total()
			}
		})
		b.Run(fmt.Sprintf("%d/library", n), func(b *testing.B) {
			for b.Loop() {
				_, _ = new(bls.G1Jac).MultiExp(list, scalars, ecc.MultiExpConfig{})
			}
		})
	}
}

func BenchmarkComb(b *testing.B) {
	needWide(b)
	c := NewComb(generator())
	scalars := scalarsOf(nil, 1<<16, "random")
	raw := make([]byte, len(scalars)*SizeG1)
	for b.Loop() {
		c.Encode(raw, scalars)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(scalars)), "us/point")
}

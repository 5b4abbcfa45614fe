package wide

import (
	"bytes"
	"crypto/rand"
	"math/big"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/stretchr/testify/require"
)

// outside are n points of the curves that lie outside of the groups.
func outside(t testing.TB, n int) (g1, g2 [][]byte) {
	for len(g1) < n {
		var raw [48]byte
		_, err := rand.Read(raw[:])
		require.NoError(t, err)
		raw[0] = raw[0]&0x1f | 0x80
		var p bls.G1Affine
		if bls.NewDecoder(bytes.NewReader(raw[:]), bls.NoSubgroupChecks()).Decode(&p) == nil && !p.IsInSubGroup() {
			g1 = append(g1, raw[:])
		}
	}
	for len(g2) < n {
		var raw [96]byte
		_, err := rand.Read(raw[:])
		require.NoError(t, err)
		raw[0], raw[48] = raw[0]&0x0f|0x80, raw[48]&0x0f
		var p bls.G2Affine
		if bls.NewDecoder(bytes.NewReader(raw[:]), bls.NoSubgroupChecks()).Decode(&p) == nil && !p.IsInSubGroup() {
			g2 = append(g2, raw[:])
		}
	}
	return g1, g2
}

func TestDecodeMatchesLibrary(t *testing.T) {
	p, q := pairsOf(t, 60)
	var raw1, raw2 [][]byte
	for i := range p {
		if i%3 == 1 {
			p[i].Neg(&p[i])
			q[i].Neg(&q[i])
		}
		b1, b2 := p[i].Bytes(), q[i].Bytes()
		raw1, raw2 = append(raw1, b1[:]), append(raw2, b2[:])
	}
	for _, n := range []int{0, 1, 2, 8, 9, 11, 60} {
		got1, got2 := DecodeG1(raw1[:n]), DecodeG2(raw2[:n])
		for i := range n {
			if !wide || n%8 == 1 && i == n-1 {
				require.True(t, got1[i].IsInfinity() && got2[i].IsInfinity())
				continue
			}
			require.Equal(t, p[i], got1[i], "%d of %d", i, n)
			require.Equal(t, q[i], got2[i], "%d of %d", i, n)
		}
	}
	// What is no point of a group is left out, whatever is beside it.
	bad1, bad2 := outside(t, 12)
	for i := range 12 {
		raw1[5*i], raw2[5*i] = bad1[i], bad2[i]
	}
	spoil := func(list [][]byte, i int, b []byte) { list[i] = b }
	spoil(raw1, 1, append([]byte{0xc0}, make([]byte, 47)...))
	spoil(raw2, 1, append([]byte{0xc0}, make([]byte, 95)...))
	spoil(raw1, 2, raw1[2][:47])
	spoil(raw2, 2, nil)
	spoil(raw1, 3, append([]byte{0x9f, 0xff}, raw1[3][2:]...)) // above the modulus
	spoil(raw2, 3, append(append([]byte{}, raw2[3][:48]...), append([]byte{0xff}, raw2[3][49:]...)...))
	spoil(raw1, 4, append([]byte{raw1[4][0] & 0x7f}, raw1[4][1:]...))
	spoil(raw2, 4, append([]byte{raw2[4][0] | 0x40}, raw2[4][1:]...))
	got1, got2 := DecodeG1(raw1), DecodeG2(raw2)
	for i := range raw1 {
		if i%5 == 0 || i < 5 || !wide {
			require.True(t, got1[i].IsInfinity(), "point %d", i)
			require.True(t, got2[i].IsInfinity(), "point %d", i)
			continue
		}
		require.Equal(t, p[i], got1[i])
		require.Equal(t, q[i], got2[i])
	}
}

// TestSmallOrdersAreLeftOut: points of small order come in the middle of a multiplication to sums that the formulas have no answer
// for. None of them is in the group.
func TestSmallOrdersAreLeftOut(t *testing.T) {
	needWide(t)
	x := new(big.Int).SetUint64(seed)
	less := new(big.Int).Add(x, big.NewInt(1)) // one less the parameter
	cofactor1 := new(big.Int).Mul(less, less)
	cofactor1.Div(cofactor1, big.NewInt(3))
	cofactor2, ok := new(big.Int).SetString("5d543a95414e7f1091d50792876a202cd91de4547085abaa68a205b2e5a7ddfa628f1cb4d9e82ef21537e293a6691ae1616ec6e786f0c70cf1c38e31c7238e5", 16)
	require.True(t, ok)
	raw1, raw2 := outside(t, 6)
	good1, good2 := pairsOf(t, 1)
	b1, b2 := good1[0].Bytes(), good2[0].Bytes()
	list1, list2 := [][]byte{b1[:]}, [][]byte{b2[:]}
	for i := range raw1 {
		var p bls.G1Affine
		require.NoError(t, bls.NewDecoder(bytes.NewReader(raw1[i]), bls.NoSubgroupChecks()).Decode(&p))
		for _, order := range []int64{3, 11 * 11, 10177 * 10177} {
			if b := smallOrder(t, p, cofactor1, order, (*bls.G1Jac).FromAffine, (*bls.G1Affine).FromJacobian); b != nil {
				list1 = append(list1, b)
			}
		}
		var q bls.G2Affine
		require.NoError(t, bls.NewDecoder(bytes.NewReader(raw2[i]), bls.NoSubgroupChecks()).Decode(&q))
		for _, order := range []int64{13 * 13, 23 * 23, 2713} {
			if b := smallOrder(t, q, cofactor2, order, (*bls.G2Jac).FromAffine, (*bls.G2Affine).FromJacobian); b != nil {
				list2 = append(list2, b)
			}
		}
	}
	require.Greater(t, len(list1), 10)
	require.Greater(t, len(list2), 10)
	for i, p := range DecodeG1(list1) {
		require.Equal(t, i > 0, p.IsInfinity(), "point %d", i)
	}
	for i, p := range DecodeG2(list2) {
		require.Equal(t, i > 0, p.IsInfinity(), "point %d", i)
	}
}

// smallOrder is a multiple of p of that order or a divisor of it, encoded; nil if it comes to infinity.
func smallOrder[A any, J interface {
	*S
	AddAssign(*S) J
	DoubleAssign() J
}, S any, P interface {
	*A
	IsInfinity() bool
	Marshal() []byte
}](t *testing.T, p A, cofactor *big.Int, order int64, jacobian func(J, *A) J, affine func(*A, J) *A) []byte {
	times, rest := new(big.Int).DivMod(cofactor, big.NewInt(order), new(big.Int))
	require.Zero(t, rest.Sign(), "%d", order)
	times.Mul(times, fr.Modulus())
	base, sum := jacobian(new(S), &p), jacobian(new(S), new(A))
	for i := times.BitLen() - 1; i >= 0; i-- {
		sum.DoubleAssign()
		if times.Bit(i) == 1 {
			sum.AddAssign(base)
		}
	}
	var out A
	affine(&out, sum)
	if P(&out).IsInfinity() {
		return nil
	}
	return compressed(&out)
}

func compressed(p any) []byte {
	switch p := p.(type) {
	case *bls.G1Affine:
		b := p.Bytes()
		return b[:]
	case *bls.G2Affine:
		b := p.Bytes()
		return b[:]
	}
	panic("no point")
}

// FuzzDecode decodes anything beside a good point; what comes out is what the library takes.
func FuzzDecode(f *testing.F) {
	p, q := pairsOf(f, 2)
	b1, b2 := p[0].Bytes(), q[0].Bytes()
	f.Add(b1[:])
	f.Add(b2[:])
	f.Add(append([]byte{0xc0}, make([]byte, 95)...))
	good1, good2 := p[1].Bytes(), q[1].Bytes()
	f.Fuzz(func(t *testing.T, raw []byte) {
		got1, got2 := DecodeG1([][]byte{raw, good1[:]}), DecodeG2([][]byte{good2[:], raw})
		if wide {
			require.Equal(t, p[1], got1[1])
			require.Equal(t, q[1], got2[0])
		}
		var want1 bls.G1Affine
		if n, err := want1.SetBytes(raw); err == nil && n == len(raw) && n == 48 && wide {
			require.Equal(t, want1, got1[0])
		} else {
			require.True(t, got1[0].IsInfinity())
		}
		var want2 bls.G2Affine
		if n, err := want2.SetBytes(raw); err == nil && n == len(raw) && n == 96 && wide {
			require.Equal(t, want2, got2[1])
		} else {
			require.True(t, got2[1].IsInfinity())
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	p, q := pairsOf(b, 200)
	raw1, raw2 := make([][]byte, len(p)), make([][]byte, len(q))
	for i := range p {
		b1, b2 := p[i].Bytes(), q[i].Bytes()
		raw1[i], raw2[i] = b1[:], b2[:]
	}
	for _, kind := range []struct {
		name string
		do   func()
	}{
		{"G1/ours", func() { DecodeG1(raw1) }},
		{"G2/ours", func() { DecodeG2(raw2) }},
		{"G1/library", func() {
			for i := range raw1 {
				_, _ = new(bls.G1Affine).SetBytes(raw1[i])
			}
		}},
		{"G2/library", func() {
			for i := range raw2 {
				_, _ = new(bls.G2Affine).SetBytes(raw2[i])
			}
		}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			for b.Loop() {
				kind.do()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(p)), "us/point")
		})
	}
}

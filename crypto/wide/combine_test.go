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

// scalars are of all lengths, some zero, some alike.
func scalars(rnd *rand.Rand, n int) []Scalar {
	by := make([]Scalar, n)
	for i := range by {
		for word := range i % 5 {
			by[i][word] = rnd.Uint64() >> (i % 64)
		}
		if i%11 == 10 {
			by[i] = by[i-1]
		}
	}
	return by
}

func TestCombineMatchesLibrary(t *testing.T) {
	rnd := rand.New(rand.NewSource(6))
	p1 := some(2*combineMost + 5)
	p2 := some2(len(p1))
	for _, n := range []int{0, 1, 2, 7, 8, 9, 40, combineMost, combineMost + 1, len(p1)} {
		by := scalars(rnd, n)
		var want1 bls.G1Affine
		var want2 bls.G2Affine
		for i := range by {
			want1.Add(&want1, new(bls.G1Affine).ScalarMultiplication(&p1[i], by[i].number()))
			want2.Add(&want2, new(bls.G2Affine).ScalarMultiplication(&p2[i], by[i].number()))
		}
		require.Equal(t, want1, CombineG1(p1[:n], by), "%d points", n)
		require.Equal(t, want2, CombineG2(p2[:n], by), "%d points", n)
		_, ok := combineInLanes1(p1[:n], by)
		require.Equal(t, wide && n > 1, ok, "%d points", n)
		_, ok = combineInLanes2(p2[:n], by)
		require.Equal(t, wide && n > 1, ok, "%d points", n)
	}
}

// TestCombineWithoutFormula: sums for which the lanes have no formula are the library's.
func TestCombineWithoutFormula(t *testing.T) {
	p1, p2 := some(9), some2(9)
	for name, change := range map[string]func(i int){
		"the same": func(i int) { p1[i], p2[i] = p1[0], p2[0] },
		"the opposite": func(i int) {
			p1[i].Neg(&p1[0])
			p2[i].Neg(&p2[0])
		},
		"infinity": func(i int) { p1[i], p2[i] = bls.G1Affine{}, bls.G2Affine{} },
	} {
		change(8) // in the lane of the first
		by := make([]Scalar, 9)
		for i := range by {
			by[i] = Scalar{7}
		}
		_, ok := combineInLanes1(p1, by)
		require.False(t, ok, name)
		_, ok = combineInLanes2(p2, by)
		require.False(t, ok, name)
		var want1 bls.G1Affine
		var want2 bls.G2Affine
		for i := range by {
			want1.Add(&want1, new(bls.G1Affine).ScalarMultiplication(&p1[i], big.NewInt(7)))
			want2.Add(&want2, new(bls.G2Affine).ScalarMultiplication(&p2[i], big.NewInt(7)))
		}
		require.Equal(t, want1, CombineG1(p1, by), name)
		require.Equal(t, want2, CombineG2(p2, by), name)
	}
}

func BenchmarkCombine(b *testing.B) {
	p1, p2 := some(512), some2(512)
	for _, words := range []int{1, 2, 4} {
		for _, n := range []int{8, 64, 512} {
			by, library := make([]Scalar, n), make([]fr.Element, n)
			for i := range by {
				for w := range words {
					by[i][w] = rand.Uint64()
				}
				library[i].SetBigInt(by[i].number())
			}
			one := ecc.MultiExpConfig{NbTasks: 1}
			for name, do := range map[string]func(){
				"G1/ours":    func() { CombineG1(p1[:n], by) },
				"G1/library": func() { _, _ = new(bls.G1Affine).MultiExp(p1[:n], library, one) },
				"G2/ours":    func() { CombineG2(p2[:n], by) },
				"G2/library": func() { _, _ = new(bls.G2Affine).MultiExp(p2[:n], library, one) },
			} {
				b.Run(fmt.Sprintf("%d bits, %d points of %s", 64*words, n, name), func(b *testing.B) {
					for b.Loop() {
						do()
					}
					b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "us/point")
				})
			}
		}
	}
}

// some2 is points of the group, all different.
func some2(n int) []bls.G2Affine {
	_, _, _, g := bls.Generators()
	out := make([]bls.G2Affine, n)
	out[0] = g
	for i := range out[1:] {
		out[i+1].Add(&out[i], &g)
	}
	return out
}

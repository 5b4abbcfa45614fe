package groth16

import (
	"math/big"
	"slices"
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

// trapdoor is a key of one input whose secrets are known, so that proofs need no circuit.
type trapdoor struct{ alpha, beta, gamma, delta, ic0, ic1 fr.Element }

func newTrapdoor() *trapdoor {
	var d trapdoor
	for i, e := range []*fr.Element{&d.alpha, &d.beta, &d.gamma, &d.delta, &d.ic0, &d.ic1} {
		e.SetUint64(uint64(1000*i + 17))
		e.Inverse(e)
	}
	return &d
}

func times1(e fr.Element) (p bls.G1Affine) {
	_, _, g, _ := bls.Generators()
	return *p.ScalarMultiplication(&g, e.BigInt(new(big.Int)))
}

func times2(e fr.Element) (p bls.G2Affine) {
	_, _, _, g := bls.Generators()
	return *p.ScalarMultiplication(&g, e.BigInt(new(big.Int)))
}

func (d *trapdoor) key() *PreparedKey {
	return Prepare(&VerifyingKey{AlphaG1: times1(d.alpha), BetaG2: times2(d.beta), GammaG2: times2(d.gamma), DeltaG2: times2(d.delta), IC: []bls.G1Affine{times1(d.ic0), times1(d.ic1)}})
}

// prove makes a proof for an input: any A and B, and the C that goes with them.
func (d *trapdoor) prove(input, a, b uint64) Instance {
	var in, x, y, c, t fr.Element
	in.SetUint64(input)
	x.SetUint64(a)
	y.SetUint64(b)
	c.Mul(&x, &y)
	c.Sub(&c, t.Mul(&d.alpha, &d.beta))
	t.Mul(&in, &d.ic1)
	t.Add(&t, &d.ic0)
	c.Sub(&c, t.Mul(&t, &d.gamma))
	c.Div(&c, &d.delta)
	return Instance{Proof: Proof{A: times1(x), B: times2(y), C: times1(c)}, Inputs: []fr.Element{in}}
}

// TestManyProofs verifies together as many as go into lanes and fewer, by parts that work and by one that is always wrong: that
// costs time, and changes no verdict.
func TestManyProofs(t *testing.T) {
	d := newTrapdoor()
	k := d.key()
	var all []Instance
	for i := range uint64(11) {
		all = append(all, d.prove(100+i, 3+2*i, 500-i))
	}
	wrong := func([]bls.G1Affine, []bls.G2Affine) (f bls.GT, err error) { return *f.SetOne(), nil }
	for _, loop := range []func([]bls.G1Affine, []bls.G2Affine) (bls.GT, error){k.loop, wrong} {
		k.loop = loop
		for _, n := range []int{1, worthLanes - 1, worthLanes, 8, 9, len(all)} {
			if !inLanes(n) { // nobody stands behind the library
				k.loop = millerLoop
			}
			require.NoError(t, k.Verify(all[:n]...), "%d proofs", n)
			for i := range n {
				bad := slices.Clone(all[:n])
				bad[i].Inputs = []fr.Element{fr.NewElement(7)}
				require.ErrorIs(t, k.Verify(bad...), ErrInvalid, "%d proofs, %d does not hold", n, i)
			}
			k.loop = loop
		}
	}
}

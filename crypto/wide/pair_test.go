package wide

import (
	"math/big"
	"math/rand"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/stretchr/testify/require"
)

// numbers are what an octet may hold: the ends of its range, what is next to the modulus, limbs of ones, and others.
func numbers(rnd *rand.Rand) (out []*big.Int) {
	p := fp.Modulus()
	add := func(x *big.Int) {
		if x.Sign() >= 0 && x.Cmp(new(big.Int).Lsh(p, 1)) < 0 {
			out = append(out, x)
		}
	}
	for _, base := range []*big.Int{new(big.Int), p, new(big.Int).Lsh(p, 1)} {
		for d := int64(-2); d <= 2; d++ {
			add(new(big.Int).Add(base, big.NewInt(d)))
		}
	}
	for limb := range 7 {
		ones := new(big.Int).Lsh(big.NewInt(limbMask), uint(limb*limbBits))
		add(ones)
		add(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint((limb+1)*limbBits)), big.NewInt(1)))
		add(new(big.Int).Sub(new(big.Int).Lsh(p, 1), ones))
	}
	for range 20 {
		add(new(big.Int).Rand(rnd, new(big.Int).Lsh(p, 1)))
	}
	return out
}

// standsFor is what a number in a lane stands for.
func standsFor(x *big.Int) (e fp.Element) {
	e.SetBigInt(new(big.Int).Lsh(big.NewInt(1), 416))
	e.Inverse(&e)
	return *e.Mul(&e, new(fp.Element).SetBigInt(x))
}

func rowOfNumber(x *big.Int) (r row) {
	for i := range r {
		r[i] = new(big.Int).Rsh(x, uint(i*limbBits)).Uint64() & limbMask
	}
	return r
}

// TestFieldMatchesLibrary does every operation on all pairs of numbers, each pair in eight different lanes and neighbourhoods.
func TestFieldMatchesLibrary(t *testing.T) {
	needWide(t)
	rnd := rand.New(rand.NewSource(4))
	list := numbers(rnd)
	twice := new(big.Int).Lsh(fp.Modulus(), 1)
	for round := range 40 * len(list) {
		var x, y, sum, difference, product, square, power pair
		var ex, ey [lanes]bls.E2
		for lane := range lanes {
			pick := func(o *octet) fp.Element {
				n := list[rnd.Intn(len(list))]
				o.set(lane, rowOfNumber(n))
				return standsFor(n)
			}
			ex[lane] = bls.E2{A0: pick(&x[0]), A1: pick(&x[1])}
			ey[lane] = bls.E2{A0: pick(&y[0]), A1: pick(&y[1])}
		}
		sum.add(&x, &y)
		difference.sub(&x, &y)
		product.mul(&x, &y)
		square.square(&x)
		squares(&power[0], &x[0], 3)
		mul(&power[1], &x[1], &y[1])
		for lane := range lanes {
			want := [...]bls.E2{*new(bls.E2).Add(&ex[lane], &ey[lane]), *new(bls.E2).Sub(&ex[lane], &ey[lane]), *new(bls.E2).Mul(&ex[lane], &ey[lane]), *new(bls.E2).Square(&ex[lane]), {}}
			var eighth fp.Element
			eighth.Square(&ex[lane].A0).Square(&eighth).Square(&eighth)
			want[4] = bls.E2{A0: eighth, A1: *new(fp.Element).Mul(&ex[lane].A1, &ey[lane].A1)}
			for i, got := range []*pair{&sum, &difference, &product, &square, &power} {
				require.Equal(t, want[i], got.take(lane), "operation %d, round %d, lane %d", i, round, lane)
				for part := range got {
					n := new(big.Int)
					for k, l := range got[part].get(lane) {
						require.Zero(t, l>>limbBits, "limb %d", k)
						n.Add(n, new(big.Int).Lsh(new(big.Int).SetUint64(l), uint(k*limbBits)))
					}
					require.Negative(t, n.Cmp(twice), "operation %d leaves its range", i)
				}
			}
		}
		// where an operation's result is one of its factors
		z := x
		z.mul(&z, &y)
		require.Equal(t, product, z)
		z = y
		z.mul(&x, &z)
		require.Equal(t, product, z)
		z = x
		z.square(&z)
		require.Equal(t, square, z)
		z = x
		z.mul(&z, &z)
		for lane := range lanes {
			require.Equal(t, square.take(lane), z.take(lane))
		}
	}
}

func TestZeros(t *testing.T) {
	var o octet
	for lane, n := range []*big.Int{new(big.Int), fp.Modulus(), big.NewInt(1), new(big.Int).Add(fp.Modulus(), big.NewInt(1)), new(big.Int).Sub(fp.Modulus(), big.NewInt(1)), new(big.Int)} {
		o.set(lane, rowOfNumber(n))
	}
	require.Equal(t, uint8(0b11100011), o.zeros())
}

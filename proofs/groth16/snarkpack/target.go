package snarkpack

import (
	"fmt"
	"math/big"
	"math/bits"
	"runtime"

	"github.com/consensys/gnark-crypto/ecc"
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"golang.org/x/sync/errgroup"
)

// Lengths of an element of the target group: compressed to a point of the torus, and whole.
const (
	torusSize  = 6 * fp.Bytes
	targetSize = 2 * torusSize
)

// coordinates lists the six base field elements of x in the order in which they are written.
func coordinates(x *bls.E6) [6]*fp.Element {
	return [6]*fp.Element{&x.B0.A0, &x.B0.A1, &x.B1.A0, &x.B1.A1, &x.B2.A0, &x.B2.A1}
}

// appendE6 writes x in little-endian coordinates, unlike the points of the curve.
func appendE6(out []byte, x *bls.E6) []byte {
	var b [fp.Bytes]byte
	for _, c := range coordinates(x) {
		fp.LittleEndian.PutElement(&b, *c)
		out = append(out, b[:]...)
	}
	return out
}

func appendTarget(out []byte, x *bls.GT) []byte { return appendE6(appendE6(out, &x.C0), &x.C1) }

// readTorus reads what appendE6 wrote; coordinates at or above the modulus are refused.
func readTorus(b []byte) (x bls.E6, err error) {
	for i, c := range coordinates(&x) {
		if *c, err = fp.LittleEndian.Element((*[fp.Bytes]byte)(b[i*fp.Bytes:])); err != nil {
			return x, fmt.Errorf("coordinate %d of an element of the target group is not canonical: %w", i, ErrEncoding)
		}
	}
	return x, nil
}

// expand decompresses torus[i] into *targets[i] for all i and checks that each lies in the target group.
func expand(targets []*bls.GT, torus []bls.E6) error {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range torus {
		group.Go(func() error {
			if *targets[i] = torus[i].DecompressTorus(); !targets[i].IsInSubGroup() {
				return fmt.Errorf("element %d lies outside of the target group: %w", i, ErrEncoding)
			}
			return nil
		})
	}
	return group.Wait()
}

// power is a factor of a product: base to the exponent.
type power struct {
	base     *bls.GT
	exponent fr.Element
}

// The curve's parameter is minus curveX. In the target group the Frobenius map raises to it, so an exponent written in
// base curveX has four digits of 64 bits on four bases, of which three are conjugates of each other's images.
const curveX = 0xd201000000010000

const (
	bucketBits    = 6
	bucketCount   = 1 << (bucketBits - 1)
	bucketWindows = (64 + bucketBits) / bucketBits // one bit more than 64, for the last carry
)

// multiply is the product of all powers: by the bucket method with signed digits, since an inverse is a conjugate. The
// windows are shared out over the cores.
func multiply(powers []power) bls.GT {
	bases := make([]bls.GT, 0, 4*len(powers))
	digits := make([][bucketWindows]int8, 0, 4*len(powers))
	for i := range powers {
		base := *powers[i].base
		for _, part := range split(&powers[i].exponent) {
			bases, digits = append(bases, base), append(digits, signedDigits(part))
			base.Frobenius(&base)
			base.Conjugate(&base)
		}
	}
	var sums [bucketWindows]bls.GT
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for w := range sums {
		group.Go(func() error {
			sums[w] = window(bases, digits, w)
			return nil
		})
	}
	_ = group.Wait() // the workers return no errors
	out := sums[bucketWindows-1]
	for w := bucketWindows - 2; w >= 0; w-- {
		for range bucketBits {
			out.CyclotomicSquare(&out)
		}
		out.Mul(&out, &sums[w])
	}
	return out
}

// window is the product of all bases to their digits of window w.
func window(bases []bls.GT, digits [][bucketWindows]int8, w int) bls.GT {
	var buckets [bucketCount + 1]bls.GT
	for i := range buckets {
		buckets[i].SetOne()
	}
	for i := range bases {
		switch d := digits[i][w]; {
		case d > 0:
			buckets[d].Mul(&buckets[d], &bases[i])
		case d < 0:
			var inverse bls.GT
			inverse.Conjugate(&bases[i])
			buckets[-d].Mul(&buckets[-d], &inverse)
		}
	}
	running := buckets[bucketCount]
	out := running
	for b := bucketCount - 1; b > 0; b-- {
		running.Mul(&running, &buckets[b])
		out.Mul(&out, &running)
	}
	return out
}

// split writes e in base curveX, lowest digit first.
func split(e *fr.Element) (parts [4]uint64) {
	rest, digit := e.BigInt(new(big.Int)), new(big.Int)
	base := new(big.Int).SetUint64(curveX)
	for i := range parts {
		rest.QuoRem(rest, base, digit)
		parts[i] = digit.Uint64()
	}
	return parts
}

// signedDigits writes v in windows with digits of -bucketCount+1 to bucketCount.
func signedDigits(v uint64) (digits [bucketWindows]int8) {
	carry := 0
	for w := range digits {
		d := int(v>>(w*bucketBits)&(1<<bucketBits-1)) + carry
		carry = 0
		if d > bucketCount {
			d, carry = d-1<<bucketBits, 1
		}
		digits[w] = int8(d)
	}
	return digits
}

// sum is the sum of scalars[i]*points[i]. Lists of different length are a programming error.
func sum(points []bls.G1Affine, scalars []fr.Element) (out bls.G1Affine) {
	if _, err := out.MultiExp(points, scalars, ecc.MultiExpConfig{}); err != nil {
		panic(err)
	}
	return out
}

// isPowerOfTwo tells for n > 0.
func isPowerOfTwo(n int) bool { return bits.OnesCount(uint(n)) == 1 }

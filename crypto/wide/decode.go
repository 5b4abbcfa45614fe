package wide

import (
	"math/big"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
)

// DecodeG1 decodes compressed points and sees that they lie in the group.
//
// What comes back as infinity is the caller's to decode by a library, which also knows what is wrong: what holds no point of the
// group, infinity itself, a last point by itself, and everything where the processor has no lanes. The library has the last
// word on the others, too: whether they are on the curve.
func DecodeG1(raw [][]byte) []bls.G1Affine { return decodeAll(raw, (*decoder).g1) }

// DecodeG2 is DecodeG1 for the group of signatures.
func DecodeG2(raw [][]byte) []bls.G2Affine { return decodeAll(raw, (*decoder).g2) }

func decodeAll[A any](raw [][]byte, eight func(d *decoder, out []A, raw [][]byte)) []A {
	out := make([]A, len(raw))
	if !wide {
		return out
	}
	d := new(decoder)
	_ = inEights(len(raw), func(from, to int) error { // none fails
		eight(d, out[from:to], raw[from:to])
		return nil
	})
	return out
}

// decoder decodes eight points. Not safe for concurrent use.
type decoder struct {
	workspace2
	inG1       workspace1
	root       root
	one, other struct {
		p1 points1
		p2 points2
	}
}

// The flags of a compressed point.
const (
	compressedFlag = 0x80
	largestFlag    = 0x20
	flags          = 0xe0
)

// plain tells whether bytes are those of a compressed point that is not infinity, and which of the two.
func plain(raw []byte, size int) (largest, ok bool) {
	if len(raw) != size {
		return false, false
	}
	f := raw[0] & flags
	return f&largestFlag != 0, f&^largestFlag == compressedFlag
}

// coordinate reads a number below the modulus from 48 bytes, flags aside.
func coordinate(e *fp.Element, raw []byte) bool {
	b := [fp.Bytes]byte(raw)
	b[0] &^= flags
	return e.SetBytesCanonical(b[:]) == nil
}

func (d *decoder) g1(out []bls.G1Affine, raw [][]byte) {
	p, q := &d.one.p1, &d.other.p1
	var x [lanes]fp.Element
	var good, large uint8
	for lane := range raw {
		if largest, ok := plain(raw[lane], bls.SizeOfG1AffineCompressed); ok && coordinate(&x[lane], raw[lane]) {
			good |= 1 << lane
			if largest {
				large |= 1 << lane
			}
		}
		p.x.put(lane, &x[lane])
	}
	v, y := &d.inG1.t[0], &p.y
	v.square(&p.x)
	v.mul(v, &p.x)
	v.add(v, &four)
	d.root.power(y, v)
	y.mul(y, v)
	square := &d.inG1.t[1]
	square.square(y)
	square.sub(square, v)
	good &= square.zeros()

	p.z = one
	*q = *p
	q.x.mul(&q.x, &beta)
	d.inG1.timesSeed(q)
	d.inG1.timesSeed(q)
	q.y.negate(&q.y)
	good &= d.inG1.same(p, q)
	for lane := range out {
		a := bls.G1Affine{X: x[lane], Y: y.take(lane)}
		if a.Y.LexicographicallyLargest() != (large>>lane&1 == 1) {
			a.Y.Neg(&a.Y)
		}
		if good>>lane&1 == 1 && a.IsOnCurve() {
			out[lane] = a
		}
	}
}

func (d *decoder) g2(out []bls.G2Affine, raw [][]byte) {
	p, q := &d.one.p2, &d.other.p2
	var x [lanes]bls.E2
	var good, large uint8
	for lane := range raw {
		if largest, ok := plain(raw[lane], bls.SizeOfG2AffineCompressed); ok &&
			coordinate(&x[lane].A1, raw[lane][:fp.Bytes]) && coordinate(&x[lane].A0, raw[lane][fp.Bytes:]) && raw[lane][fp.Bytes]&flags == 0 {
			good |= 1 << lane
			if largest {
				large |= 1 << lane
			}
		}
		p.x.put(lane, &x[lane])
	}
	v, y := &d.t[0], &p.y
	v.square(&p.x)
	v.mul(v, &p.x)
	v.add(v, twistB)
	good &= d.root.ratio(y, v, onePair)

	p.z = *onePair
	*q = *p
	d.timesSeed(q)
	twisted := &points2{p.x, p.y, p.z}
	twist(twisted)
	good &= d.same(twisted, q)
	for lane := range out {
		a := bls.G2Affine{X: x[lane], Y: y.take(lane)}
		if a.Y.LexicographicallyLargest() != (large>>lane&1 == 1) {
			a.Y.Neg(&a.Y)
		}
		if good>>lane&1 == 1 && a.IsOnCurve() {
			out[lane] = a
		}
	}
}

// The curves' constants, and the third root of one by which the endomorphism of G1 multiplies x: a point is in G1 just if the
// square of the parameter times its image is minus the point, and in G2 just if the parameter times it is its twist (M. Scott,
// "A note on group membership tests for G1, G2 and GT on BLS pairing-friendly curves").
var (
	four   = *octetOf(new(fp.Element).SetUint64(4))
	twistB = pairOf(&bls.E2{A0: fp.NewElement(4), A1: fp.NewElement(4)})
	beta   = *octetOf(new(fp.Element).Exp(fp.NewElement(4), new(big.Int).Div(fp.Modulus(), big.NewInt(3))))
)

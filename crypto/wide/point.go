package wide

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"math/bits"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
)

// row is a coordinate in eight limbs of 52 bits, lowest first; it stands for its value divided by 2^416 and is below twice
// the modulus.
type row [8]uint64

// point is an affine point that is not infinity.
type point struct{ x, y row }

// octet is eight coordinates side by side, limb by limb.
type octet [8][8]uint64

// ErrEncoding marks bytes that are no point.
var ErrEncoding = errors.New("no point of G1")

const (
	// SizeG1 is the number of bytes of an encoded point: x and y, big-endian.
	SizeG1       = bls.SizeOfG1AffineUncompressed
	infinityFlag = 0x40
	limbBits     = 52
	limbMask     = 1<<limbBits - 1
)

// words is a number below 2^384, lowest word first.
type words [fp.Limbs]uint64

var (
	modulus = wordsOf(fp.Modulus())
	// intoRow turns a number into the row that stands for it, outOfRow a row into its number; both as factors.
	intoRow  = spread(power(2 * 416))
	outOfRow = spread(words{1})
	// toLibrary turns a row into the library's element, the number divided by 2^384.
	toLibrary = spread(power(384))
	one       = spread(power(416))
)

// power is 2^n modulo the field's modulus.
func power(n uint) words {
	x := new(big.Int).Lsh(big.NewInt(1), n)
	return wordsOf(x.Mod(x, fp.Modulus()))
}

func wordsOf(x *big.Int) (w words) {
	b := x.FillBytes(make([]byte, fp.Bytes))
	for i := range w {
		w[i] = binary.BigEndian.Uint64(b[fp.Bytes-8*(i+1):])
	}
	return w
}

// split cuts a number into limbs.
func split(w words) (r row) {
	for i := range r {
		at := i * limbBits
		r[i] = w[at/64] >> (at % 64)
		if at%64 > 64-limbBits && at/64+1 < len(w) {
			r[i] |= w[at/64+1] << (64 - at%64)
		}
		r[i] &= limbMask
	}
	return r
}

// join is split backwards, of a number that may still exceed the modulus, and reduces it.
func join(r row) (w words) {
	for i, l := range r {
		at := i * limbBits
		w[at/64] |= l << (at % 64)
		if at%64 > 64-limbBits && at/64+1 < len(w) {
			w[at/64+1] |= l >> (64 - at%64)
		}
	}
	for {
		less, borrow := w, uint64(0)
		for i := range w {
			less[i], borrow = bits.Sub64(w[i], modulus[i], borrow)
		}
		if borrow == 1 {
			return w
		}
		w = less
	}
}

// spread is the octet of eight times one number.
func spread(w words) (o octet) {
	for i, l := range split(w) {
		for lane := range o[i] {
			o[i][lane] = l
		}
	}
	return o
}

// decode reads encoded points, eight at a time: len(raw) is SizeG1 times len(dst), a multiple of eight. Infinite points come
// out as something else and have infinite called with their number.
func decode(dst []point, raw []byte, infinite func(i int)) error {
	for i := range dst {
		b := raw[i*SizeG1 : (i+1)*SizeG1]
		if b[0]&0xe0 != 0 {
			if b[0] != infinityFlag {
				return fmt.Errorf("point %d: flags %#x: %w", i, b[0], ErrEncoding)
			}
			infinite(i)
			dst[i] = point{}
			continue
		}
		x, okX := readCoordinate(b)
		y, okY := readCoordinate(b[fp.Bytes:])
		if !okX || !okY {
			return fmt.Errorf("point %d: coordinate above the modulus: %w", i, ErrEncoding)
		}
		dst[i] = point{split(x), split(y)}
	}
	for i := 0; i < len(dst); i += 8 {
		multiply(&dst[i], &intoRow)
	}
	return nil
}

func readCoordinate(b []byte) (w words, ok bool) {
	var borrow uint64
	for i := range w {
		w[i] = binary.BigEndian.Uint64(b[fp.Bytes-8*(i+1):])
		_, borrow = bits.Sub64(w[i], modulus[i], borrow)
	}
	return w, borrow == 1
}

// encode is decode backwards for points that are not infinite; it destroys src, which may go on to a full octet.
func encode(raw []byte, src []point) {
	for i := 0; i < len(src); i += 8 {
		multiply(&src[i], &outOfRow)
	}
	for i := range len(raw) / SizeG1 {
		b := raw[i*SizeG1 : (i+1)*SizeG1]
		for k, r := range [2]*row{&src[i].x, &src[i].y} {
			for j, w := range join(*r) {
				binary.BigEndian.PutUint64(b[(k+1)*fp.Bytes-8*(j+1):], w)
			}
		}
	}
}

// rowOf turns a library's element into a row. The words of the element are its value times 2^384; the missing factor is 2^32.
func rowOf(e *fp.Element) row {
	var x fp.Element
	x.Mul(e, &two32)
	return split(words(x))
}

// element is rowOf backwards.
func (r row) element() (e fp.Element) {
	x := fp.Element(join(r))
	e.Mul(&x, &half32)
	return e
}

// fromLibrary turns a library's point, not infinite, into ours.
func fromLibrary(p *bls.G1Affine) point { return point{rowOf(&p.X), rowOf(&p.Y)} }

// library is fromLibrary backwards.
func (p *point) library() bls.G1Affine { return bls.G1Affine{X: p.x.element(), Y: p.y.element()} }

var (
	two32  = fp.NewElement(1 << 32)
	half32 = *new(fp.Element).Inverse(&two32)
)

// negate changes the sign of a point.
func (p *point) negate() {
	var borrow uint64
	w := join(p.y)
	for i := range w {
		w[i], borrow = bits.Sub64(modulus[i], w[i], borrow)
	}
	p.y = split(w)
}

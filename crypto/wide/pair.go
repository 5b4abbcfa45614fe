package wide

import (
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
)

// pair is eight elements a + b*i of the quadratic extension side by side, all a first. Like the octets of points, both parts
// are below twice the modulus.
type pair [2]octet

func (z *pair) add(x, y *pair)    { add(&z[0], &x[0], &y[0], len(z)) }
func (z *pair) sub(x, y *pair)    { sub(&z[0], &x[0], &y[0], len(z)) }
func (z *pair) double(x *pair)    { add(&z[0], &x[0], &x[0], len(z)) }
func (z *pair) mul(x, y *pair)    { mulPair(z, x, y) }
func (z *pair) square(x *pair)    { squarePair(z, x) }
func (z *pair) negate(x *pair)    { sub(&z[0], &zeroPair[0], &x[0], len(z)) }
func (z *pair) conjugate(x *pair) { z[0] = x[0]; z[1].negate(&x[1]) }
func (z *pair) zeros() uint8      { return z[0].zeros() & z[1].zeros() }

func (z *octet) add(x, y *octet) { add(z, x, y, 1) }
func (z *octet) sub(x, y *octet) { sub(z, x, y, 1) }
func (z *octet) negate(x *octet) { sub(z, &zeroPair[0], x, 1) }
func (z *octet) mul(x, y *octet) { mul(z, x, y) }
func (z *octet) square(x *octet) { squares(z, x, 1) }

// scale multiplies by elements of the field below.
func (z *pair) scale(x *pair, by *octet) {
	mul(&z[0], &x[0], by)
	mul(&z[1], &x[1], by)
}

// choose sets z to x in the lanes of a mask and leaves it in the others.
func (z *pair) choose(mask uint8, x *pair) {
	z[0].choose(mask, &x[0])
	z[1].choose(mask, &x[1])
}

func (z *octet) choose(mask uint8, x *octet) {
	for lane := range z[0] {
		if mask>>lane&1 == 1 {
			z.set(lane, x.get(lane))
		}
	}
}

func (o *octet) get(lane int) (r row) {
	for i := range r {
		r[i] = o[i][lane]
	}
	return r
}

func (o *octet) set(lane int, r row) {
	for i, l := range r {
		o[i][lane] = l
	}
}

// zeros are the lanes that hold nothing: zero, or the modulus.
func (o *octet) zeros() (mask uint8) {
	for lane := range o[0] {
		if r := o.get(lane); r == (row{}) || r == modulusRow {
			mask |= 1 << lane
		}
	}
	return mask
}

// put sets a lane to the library's element, take is put backwards.
func (z *octet) put(lane int, e *fp.Element)  { z.set(lane, rowOf(e)) }
func (z *octet) take(lane int) (e fp.Element) { return z.get(lane).element() }
func (z *pair) put(lane int, e *bls.E2)       { z[0].put(lane, &e.A0); z[1].put(lane, &e.A1) }
func (z *pair) take(lane int) bls.E2          { return bls.E2{A0: z[0].take(lane), A1: z[1].take(lane)} }

// octetOf is eight times one element of the library's.
func octetOf(e *fp.Element) *octet {
	o := new(octet)
	for lane := range o[0] {
		o.put(lane, e)
	}
	return o
}

// pairOf is eight times one element of the library's.
func pairOf(e *bls.E2) *pair {
	return &pair{*octetOf(&e.A0), *octetOf(&e.A1)}
}

var (
	zeroPair   = new(pair)
	onePair    = pairOf(&bls.E2{A0: fp.One()})
	modulusRow = split(modulus)
)

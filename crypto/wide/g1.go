package wide

import bls "github.com/consensys/gnark-crypto/ecc/bls12-381"

// points1 is eight points of the curve over the field, G1 being part of it.
type points1 = points[octet]

// workspace1 is for points1.
type workspace1 struct{ workspace[octet, *octet] }

// affine gives points as the library has them, in place; nothing if one of the eight is infinity.
func (b *workspace1) affine(out []bls.G1Affine, p *points1) {
	inv, ok := invert(&p.z)
	if !ok {
		return
	}
	square := &b.t[0]
	square.square(&inv)
	p.x.mul(&p.x, square)
	square.mul(square, &inv)
	p.y.mul(&p.y, square)
	for lane := range out {
		out[lane] = bls.G1Affine{X: p.x.take(lane), Y: p.y.take(lane)}
	}
}

// choose1 sets z to x in the lanes of a mask and leaves it in the others.
func choose1(z *points1, mask uint8, x *points1) {
	z.x.choose(mask, &x.x)
	z.y.choose(mask, &x.y)
	z.z.choose(mask, &x.z)
}

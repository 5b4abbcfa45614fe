package wide

import bls "github.com/consensys/gnark-crypto/ecc/bls12-381"

// points1 is eight points of the curve over the field, G1 being part of it.
type points1 = points[octet]

// workspace1 is for points1.
type workspace1 = workspace[octet, *octet]

// load1 sets p to the first eight points of a list; the last one stands for those that are missing.
func load1(p *points1, list []bls.G1Affine) {
	p.z = one
	for lane := range lanes {
		q := &list[min(lane, len(list)-1)]
		p.x.put(lane, &q.X)
		p.y.put(lane, &q.Y)
	}
}

// affine1 gives points as the library has them, in place; nothing if one of the eight is infinity. Scratch has room.
func affine1(out []bls.G1Affine, p *points1, scratch *octet) {
	inv, ok := invert(&p.z)
	if !ok {
		return
	}
	scratch.square(&inv)
	p.x.mul(&p.x, scratch)
	scratch.mul(scratch, &inv)
	p.y.mul(&p.y, scratch)
	for lane := range out {
		out[lane] = bls.G1Affine{X: p.x.take(lane), Y: p.y.take(lane)}
	}
}

package wide

import bls "github.com/consensys/gnark-crypto/ecc/bls12-381"

// ScaleG1 multiplies points of the group, none infinity, by a scalar each. Of what the lanes made the library sees that it is on
// the curve, and it multiplies the rest.
func ScaleG1(p []bls.G1Affine, by []Scalar) []bls.G1Affine {
	out := scaleInLanes(p, by)
	for i := range out {
		if out[i].IsInfinity() {
			out[i].ScalarMultiplication(&p[i], by[i].number())
		}
	}
	return out
}

// scaleInLanes leaves infinity where the library has to multiply.
func scaleInLanes(p []bls.G1Affine, by []Scalar) []bls.G1Affine {
	out := make([]bls.G1Affine, len(p))
	if !wide {
		return out
	}
	c := new(combiner[octet, *octet])
	_ = inEights(len(p), func(from, to int) error { // none fails
		c.run(by[from:to], func(base *points1, _ int) { load1(base, p[from:to]) })
		affine1(out[from:to], &c.sum, &c.old.x)
		for lane := range to - from {
			if c.empty>>lane&1 == 1 || !out[from+lane].IsOnCurve() {
				out[from+lane] = bls.G1Affine{}
			}
		}
		return nil
	})
	return out
}

package wide

import (
	"fmt"
	"slices"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	curve "github.com/consensys/gnark-crypto/ecc/bls12-381/hash_to_curve"
)

// HashToG2 hashes messages to points of the group of signatures, as RFC 9380 does in its suite
// BLS12381G2_XMD:SHA-256_SSWU_RO_, under a domain separation tag; eight take about as long as two do in a library.
func HashToG2(messages [][]byte, domain []byte) ([]bls.G2Affine, error) {
	return SumHashes(slices.Collect(slices.Chunk(messages, 1)), domain)
}

// SumHashes is HashToG2 for groups of messages: the sum of the hashes of each, which costs little more than half when groups
// are large.
//
// The lanes decide over nothing alone. The library hashes to the field, and takes the two steps of which a curve cannot tell
// the outcome, a point's x as a fraction and the sign of its y. All others lead away from the curve when a bit of them is wrong;
// in the end the library looks, and hashes itself what is not on the curve.
func SumHashes(groups [][][]byte, domain []byte) ([]bls.G2Affine, error) {
	out, err := sumInLanes(groups, domain)
	if err != nil {
		return nil, err
	}
	for i, g := range groups {
		if !out[i].IsInfinity() {
			continue
		}
		for _, m := range g {
			p, err := bls.HashToG2(m, domain)
			if err != nil {
				return nil, fmt.Errorf("hash to curve: %w", err)
			}
			out[i].Add(&out[i], &p)
		}
	}
	return out, nil
}

// sumInLanes leaves infinity where the library has to hash.
func sumInLanes(groups [][][]byte, domain []byte) ([]bls.G2Affine, error) {
	out := make([]bls.G2Affine, len(groups))
	messages := slices.Concat(groups...)
	if !wide || len(messages) < worthwhile {
		return out, nil
	}
	h := new(hasher2)
	mapped := make([]bls.G2Jac, len(messages))
	err := inEights(len(messages), func(from, to int) error { return h.toTwist(mapped[from:to], messages[from:to], domain) })
	if err != nil {
		return nil, err
	}
	// Sums of points come into the group for the price of one.
	sums, of, at := []bls.G2Jac{}, []int{}, 0
	for i, g := range groups {
		part := mapped[at : at+len(g)]
		if at += len(g); len(g) == 0 || slices.ContainsFunc(part, func(p bls.G2Jac) bool { return p.Z.IsZero() }) {
			continue // a message was left over, or came to nothing
		}
		for k := range part[1:] {
			part[0].AddAssign(&part[1+k])
		}
		sums, of = append(sums, part[0]), append(of, i)
	}
	for at := 0; at < len(sums); at += lanes {
		next := min(at+lanes, len(sums))
		cleared := make([]bls.G2Affine, next-at)
		h.toGroup(cleared, sums[at:next])
		for k := range cleared {
			if cleared[k].IsOnCurve() {
				out[of[at+k]] = cleared[k]
			}
		}
	}
	return out, nil
}

const (
	lanes      = 8
	worthwhile = 2 // of eight lanes
)

// Full is n, or the next number that leaves no lane empty.
func Full(n int) int { return (n + lanes - 1) / lanes * lanes }

// inEights calls do for n things, eight at a time, and leaves out a last one for which eight lanes are not worth it.
func inEights(n int, do func(from, to int) error) error {
	for from := 0; n-from >= worthwhile; from += lanes {
		if err := do(from, min(from+lanes, n)); err != nil {
			return err
		}
	}
	return nil
}

// hasher2 hashes eight messages. A field element u of a message is mapped to a curve that is isogenous to the twist; those of a
// message, two, are added there and taken over.
type hasher2 struct {
	workspace2
	first, second points2
	root
}

// toTwist maps messages to points of the twist.
func (h *hasher2) toTwist(out []bls.G2Jac, messages [][]byte, domain []byte) error {
	var u [2][lanes]bls.E2
	for lane := range lanes {
		m := messages[min(lane, len(messages)-1)] // no lane is without one
		e, err := fp.Hash(m, domain, 4)
		if err != nil {
			return fmt.Errorf("hash to field: %w", err)
		}
		u[0][lane] = bls.E2{A0: e[0], A1: e[1]}
		u[1][lane] = bls.E2{A0: e[2], A1: e[3]}
	}
	p := &h.first
	isogenous.toCurve(p, &u[0], &h.t, h.ratio)
	isogenous.toCurve(&h.second, &u[1], &h.t, h.ratio)
	h.add(p, &h.second)
	h.toCurve(p)
	for lane := range out {
		out[lane] = bls.G2Jac{X: p.x.take(lane), Y: p.y.take(lane), Z: p.z.take(lane)}
	}
	return nil
}

// toGroup maps points of the twist into the group; none if one of them comes to infinity.
func (h *hasher2) toGroup(out []bls.G2Affine, in []bls.G2Jac) {
	p := &h.first
	for lane := range lanes {
		q := &in[min(lane, len(in)-1)]
		p.x.put(lane, &q.X)
		p.y.put(lane, &q.Y)
		p.z.put(lane, &q.Z)
	}
	h.clear(p)
	inv, square := &h.t[0], &h.t[1]
	square[0].norm(&p.z, &square[1])
	norms, ok := invert(&square[0])
	if !ok {
		return
	}
	inv.conjugate(&p.z)
	inv.scale(inv, &norms)
	square.square(inv)
	p.x.mul(&p.x, square)
	square.mul(square, inv)
	p.y.mul(&p.y, square)
	for lane := range out {
		out[lane] = bls.G2Affine{X: p.x.take(lane), Y: p.y.take(lane)}
	}
}

// toCurve takes points from the isogenous curve to ours. The maps of both coordinates are fractions of polynomials in x; the
// denominators are the second and third power of x - isoPole.
func (h *hasher2) toCurve(p *points2) {
	d, dd, ddd, sum, term := &h.t[0], &h.t[1], &h.t[2], &h.t[3], &h.t[4]
	d.square(&p.z)
	dd.square(d)
	ddd.mul(dd, d)
	polynomial := func(z *pair, c *[4]*pair) {
		z.mul(&p.x, c[3])
		for i, power := range []*pair{d, dd, ddd} {
			term.mul(power, c[2-i])
			z.add(z, term)
			if i < 2 {
				z.mul(z, &p.x)
			}
		}
	}
	polynomial(sum, &isoY)
	p.y.mul(&p.y, sum)
	term.mul(d, isoPole)
	sum.sub(&p.x, term)
	p.z.mul(&p.z, sum)
	polynomial(sum, &isoX)
	p.x = *sum
}

// The isogenous curve, and the isogeny's constants in lanes.
var (
	isogenous  swu[pair, bls.E2, *pair, *bls.E2]
	isoZ       *pair
	isoPole    *pair
	isoX, isoY [4]*pair
)

func init() {
	a, b := curve.G2SSWUIsogenyCurveCoefficients()
	isogenous = swu[pair, bls.E2, *pair, *bls.E2]{a, b, curve.G2MulByZ, curve.G2Sgn0, pairOf(&a), pairOf(&b)}
	z := curve.G2SSWUIsogenyZ()
	isoZ = pairOf(&z)
	maps := curve.G2IsogenyMap()
	for i := range isoX {
		isoX[i], isoY[i] = pairOf(&maps[0][i]), pairOf(&maps[2][i])
	}
	// x^2 + c*x + .. = (x - pole)^2
	var pole bls.E2
	two := fp.NewElement(2)
	pole.MulByElement(&maps[1][1], two.Inverse(&two)).Neg(&pole)
	isoPole = pairOf(&pole)
}

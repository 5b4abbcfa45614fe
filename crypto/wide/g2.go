package wide

import (
	"math/big"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
)

// points2 is eight points of the curve over the extension, the group of signatures being part of it.
type points2 = points[pair]

// workspace2 is for points2.
type workspace2 struct{ workspace[pair, *pair] }

// load2 sets p to the first eight points of a list; the last one stands for those that are missing.
func load2(p *points2, list []bls.G2Affine) {
	p.z = *onePair
	for lane := range lanes {
		q := &list[min(lane, len(list)-1)]
		p.x.put(lane, &q.X)
		p.y.put(lane, &q.Y)
	}
}

// twist sets p to its image under the endomorphism that RFC 9380 calls psi.
func twist(p *points2) {
	p.x.conjugate(&p.x)
	p.x.mul(&p.x, twistX)
	p.y.conjugate(&p.y)
	p.y.mul(&p.y, twistY)
	p.z.conjugate(&p.z)
}

// The factors of twist are (1+i)^-((p-1)/3) and (1+i)^-((p-1)/2).
var twistX, twistY = twistFactor(3), twistFactor(2)

func twistFactor(root int64) *pair {
	n := new(big.Int).Sub(fp.Modulus(), big.NewInt(1))
	base := bls.E2{A0: fp.One(), A1: fp.One()}
	base.Inverse(&base)
	var e bls.E2
	e.Exp(base, n.Div(n, big.NewInt(root)))
	return pairOf(&e)
}

// clear sets p, on the curve, to a multiple of it in the group of signatures (RFC 9380, appendix G.3; with s for the
// parameter: (s^2-s-1)p + (s-1)psi(p) + psi^2(2p)).
func (b *workspace2) clear(p *points2) {
	sp, twisted, sum := *p, *p, *p
	b.timesSeed(&sp)
	twist(&twisted)
	b.double(&sum)
	twist(&sum)
	twist(&sum)
	minus := twisted
	minus.y.negate(&minus.y)
	b.add(&sum, &minus)
	b.add(&twisted, &sp)
	b.timesSeed(&twisted)
	b.add(&sum, &twisted)
	sp.y.negate(&sp.y)
	b.add(&sum, &sp)
	p.y.negate(&p.y)
	b.add(p, &sum)
}

package wide

import (
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
)

// slots is how many octets of additions share an inversion.
const slots = 128

// batchSize is the number of additions an adder takes before it must be flushed.
const batchSize = 8 * slots

// lookAhead is how far behind the additions at hand begin reads numbers of points, whatever they are, to have them fetched.
const lookAhead = 24

// slot holds between the halves of eight additions the x coordinates of both points and their difference.
type slot struct{ baseX, otherX, deltaX octet }

// adder does additions dst[i] += src[j] or dst[i] -= src[j]. All i of a batch are different, and no src[j] is among the
// dst[i]. Not safe for concurrent use.
type adder struct {
	dst, src []point
	n        int
	di, si   [batchSize + lookAhead]uint32
	negative [slots]uint8

	slot    [slots]slot
	prefix  [slots + 1]octet
	scratch [3]octet
	// vanished is told which sums are infinite; nil where none can be.
	vanished func(i uint32)
}

// add puts an addition into the batch and flushes the batch when it is full.
func (a *adder) add(i, j uint32, negative bool) (flushed bool) {
	a.di[a.n], a.si[a.n] = i, j
	bit := uint8(1) << (a.n % 8)
	if a.n%8 == 0 {
		a.negative[a.n/8] = 0
	}
	if negative {
		a.negative[a.n/8] |= bit
	}
	if a.n++; a.n == batchSize {
		a.flush()
		return true
	}
	return false
}

// flush does what is in the batch.
func (a *adder) flush() {
	full := a.n / 8
	for k := 8 * full; k < a.n; k++ {
		a.addSlow(k)
	}
	a.n = 0
	if full == 0 {
		return
	}
	dst, src := &a.dst[0], &a.src[0]
	a.prefix[0] = one
	for k := range full {
		begin(&a.slot[k], dst, src, &a.di[8*k], &a.si[8*k], &a.prefix[k], &a.prefix[k+1])
	}
	rest, ok := invert(&a.prefix[full])
	if !ok { // points of equal x, which the chord does not add
		for k := range 8 * full {
			a.addSlow(k)
		}
		return
	}
	for k := full - 1; k >= 0; k-- {
		finish(&a.slot[k], dst, src, &a.di[8*k], &a.si[8*k], a.negative[k], &a.prefix[k], &rest, &a.scratch)
	}
}

// invert inverts each lane; false if one is zero.
func invert(o *octet) (inv octet, ok bool) {
	elements := make([]fp.Element, 8)
	for lane := range elements {
		var r row
		for i := range r {
			r[i] = o[i][lane]
		}
		elements[lane] = fp.Element(join(r)) // 2^32 times the value, for the library
		if elements[lane].IsZero() {
			return inv, false
		}
	}
	for lane, e := range fp.BatchInvert(elements) {
		e.Mul(&e, &two32).Mul(&e, &two32)
		for i, l := range split(words(e)) {
			inv[i][lane] = l
		}
	}
	return inv, true
}

// addSlow does one addition of the batch with the library: for what remains of an octet, and for points of equal x.
func (a *adder) addSlow(k int) {
	i := a.di[k]
	p, q := a.dst[i].library(), a.src[a.si[k]].library()
	if a.negative[k/8]>>(k%8)&1 == 1 {
		q.Neg(&q)
	}
	var sum bls.G1Affine
	sum.Add(&p, &q)
	if sum.IsInfinity() {
		if a.vanished != nil {
			a.vanished(i)
		}
		return
	}
	a.dst[i] = fromLibrary(&sum)
}

package wide

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/consensys/gnark-crypto/ecc"
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"golang.org/x/sync/errgroup"
)

// Chunk is how many points to give to Sum.Add at a time: enough that the buckets are worth their additions, few enough
// that a chunk takes little memory (64 MiB).
const Chunk = 1 << 19

// Sum is a sum of multiples of points that grows by Add. Scalars are cut into signed digits, one a window; each window has
// a bucket for every digit's amount, which collects the points that have it; and the total is the sum of all buckets,
// weighted. Points whose scalar is one are added up among themselves: most values of a circuit are bits.
// Not safe for concurrent use; it uses all cores.
type Sum struct {
	width   int // bits of a digit
	windows []window
	points  []point
	digits  [][]int32 // by window
	ones    []uint32
	total   bls.G1Jac // of the ones, and of everything where the processor lacks the instructions
}

// scalarBits is the length of a scalar that is at most half of the group's order.
const scalarBits = fr.Bits - 1

// NewSum makes an empty sum of about n points.
func NewSum(n int) *Sum {
	s := &Sum{width: widthFor(n)}
	if !wide {
		return s
	}
	s.windows = make([]window, windowsOf(s.width))
	s.digits = make([][]int32, len(s.windows))
	for w := range s.windows {
		s.windows[w].bucket = make([]point, 1<<(s.width-1))
		s.windows[w].state = make([]uint32, 1<<(s.width-1))
		s.digits[w] = make([]int32, min(Chunk, n))
	}
	s.points = make([]point, (min(Chunk, n)+7)/8*8)
	return s
}

// widthFor weighs an addition for each window and point against two and a half for each window and bucket in the end.
func widthFor(n int) int {
	best, cost := widthMin, float64(0)
	for w := widthMin; w <= widthMax; w++ {
		c := float64(windowsOf(w)) * (float64(n) + 20*float64(uint(1)<<(w-1)))
		if cost == 0 || c < cost {
			best, cost = w, c
		}
	}
	return best
}

// Add adds scalars[i] times the encoded point i of raw; at most Chunk of them, and no more than NewSum was told. Bytes that
// are no point are an ErrEncoding; whether a point lies in the group is not checked.
func (s *Sum) Add(raw []byte, scalars []fr.Element) error {
	if len(raw) != SizeG1*len(scalars) {
		return fmt.Errorf("%d bytes of points for %d scalars: %w", len(raw), len(scalars), ErrEncoding)
	}
	if !wide {
		return s.addByLibrary(raw, scalars)
	}
	if len(scalars) > len(s.digits[0]) {
		return fmt.Errorf("%d points at a time: at most %d", len(scalars), len(s.digits[0]))
	}
	if err := s.prepare(raw, scalars); err != nil {
		return err
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			a := new(adder)
			for {
				w := int(next.Add(1)) - 1
				switch {
				case w < len(s.windows):
					s.windows[w].collect(a, s.points, s.digits[w][:len(scalars)])
				case w == len(s.windows):
					s.addOnes(a)
				default:
					return
				}
			}
		})
	}
	wg.Wait()
	return nil
}

func (s *Sum) addByLibrary(raw []byte, scalars []fr.Element) error {
	points := make([]bls.G1Affine, len(scalars))
	d := bls.NewDecoder(bytes.NewReader(raw), bls.NoSubgroupChecks())
	for i := range points {
		if err := d.Decode(&points[i]); err != nil {
			return fmt.Errorf("point %d: %w: %w", i, ErrEncoding, err)
		}
	}
	var sum bls.G1Jac
	if _, err := sum.MultiExp(points, scalars, ecc.MultiExpConfig{NbTasks: runtime.GOMAXPROCS(0)}); err != nil {
		return fmt.Errorf("sum of points: %w", err)
	}
	s.total.AddAssign(&sum)
	return nil
}

// share is how many points a goroutine prepares at a time; a multiple of eight.
const share = 1 << 13

// prepare decodes the points, cuts the scalars, and finds the ones.
func (s *Sum) prepare(raw []byte, scalars []fr.Element) error {
	n := len(scalars)
	shares := make([][]uint32, (n+share-1)/share)
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for k := range shares {
		group.Go(func() error {
			from, to := k*share, min((k+1)*share, n)
			for i := from; i < to; i++ {
				if scalars[i].IsOne() {
					shares[k] = append(shares[k], uint32(i))
					s.cut(i, &fr.Element{})
				} else {
					s.cut(i, &scalars[i])
				}
			}
			nothing := func(i int) {
				shares[k] = remove(shares[k], uint32(from+i))
				s.cut(from+i, &fr.Element{})
			}
			return decodePart(s.points[from:], raw[from*SizeG1:to*SizeG1], nothing)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s.ones = s.ones[:0]
	for _, list := range shares {
		s.ones = append(s.ones, list...)
	}
	return nil
}

func remove(list []uint32, v uint32) []uint32 {
	kept := list[:0]
	for _, x := range list {
		if x != v {
			kept = append(kept, x)
		}
	}
	return kept
}

// decodePart decodes all of raw; what an octet lacks at the end is filled with points of no meaning.
func decodePart(dst []point, raw []byte, infinite func(i int)) error {
	n := len(raw) / SizeG1
	even := n / 8 * 8
	if err := decode(dst[:even], raw[:even*SizeG1], infinite); err != nil || even == n {
		return err
	}
	var tail [8 * SizeG1]byte
	copy(tail[:], raw[even*SizeG1:])
	return decode(dst[even:even+8], tail[:], func(i int) { infinite(even + i) })
}

// cut writes the digits of scalar i.
func (s *Sum) cut(i int, scalar *fr.Element) {
	var d digits
	cut(&d, scalar, s.width)
	for w, list := range s.digits {
		list[i] = d[w]
	}
}

// digits are the signed digits of a scalar, lowest first.
type digits [windowsMax]int32

const (
	widthMin   = 8
	widthMax   = 16
	windowsMax = scalarBits/widthMin + 1
)

// windowsOf is how many digits of a width a scalar has.
func windowsOf(width int) int { return scalarBits/width + 1 }

// cut gives the digits of a scalar, each of an amount up to 2^(width-1). Of a scalar above half the order they are those
// of its negative, with the other sign.
func cut(out *digits, scalar *fr.Element, width int) {
	v, sign := scalar.Bits(), int32(1)
	if scalar.LexicographicallyLargest() {
		v, sign = new(fr.Element).Neg(scalar).Bits(), -1
	}
	carry, top := int32(0), int32(1)<<(width-1)
	for w := range windowsOf(width) {
		d := int32(bitsOf(&v, w*width, width)) + carry
		if carry = 0; d > top {
			d -= 2 * top
			carry = 1
		}
		out[w] = sign * d
	}
}

// bitsOf is width bits of v from bit at on.
func bitsOf(v *[4]uint64, at, width int) uint64 {
	x := v[at/64] >> (at % 64)
	if at%64+width > 64 && at/64+1 < len(v) {
		x |= v[at/64+1] << (64 - at%64)
	}
	return x & (1<<width - 1)
}

// addOnes adds the points whose scalar is one, by halves.
func (s *Sum) addOnes(a *adder) {
	list := s.ones
	a.dst, a.src = s.points, s.points
	for len(list) > 1 {
		gone := map[uint32]bool{}
		a.vanished = func(i uint32) { gone[i] = true }
		half := (len(list) + 1) / 2
		for k := half; k < len(list); k++ {
			a.add(list[k-half], list[k], false)
		}
		a.flush()
		list = list[:half]
		for i := range gone {
			list = remove(list, i)
		}
	}
	if len(list) == 1 {
		p := s.points[list[0]].library()
		s.total.AddMixed(&p)
	}
}

// Total is the sum of all that was added.
func (s *Sum) Total() bls.G1Jac {
	parts := make([]bls.G1Jac, len(s.windows))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for w := range s.windows {
		group.Go(func() error {
			parts[w] = s.windows[w].total()
			return nil
		})
	}
	_ = group.Wait() // no part fails
	var sum bls.G1Jac
	for w := len(parts) - 1; w >= 0; w-- {
		for range s.width {
			sum.DoubleAssign()
		}
		sum.AddAssign(&parts[w])
	}
	sum.AddAssign(&s.total)
	return sum
}

// window is the buckets of one digit of the scalars.
type window struct {
	bucket []point
	// state says of each bucket whether it is empty, or in which batch it was used last.
	state []uint32
	batch uint32
	// slow collects for single buckets what the batches cannot take.
	slow map[uint32]*bls.G1Jac
	late []uint32
}

const (
	emptyBucket = 0
	firstBatch  = 1
)

// collect adds every point to the bucket of its digit.
func (w *window) collect(a *adder, points []point, digits []int32) {
	a.dst, a.src = w.bucket, points
	a.vanished = func(i uint32) { w.state[i] = emptyBucket }
	w.batch = max(w.batch, firstBatch) + 1
	for i, d := range digits {
		if d == 0 || w.offer(a, uint32(i), d) {
			continue
		}
		if w.late = append(w.late, uint32(i)); len(w.late) == batchSize {
			w.again(a, points, digits)
		}
	}
	for len(w.late) > 0 {
		w.again(a, points, digits)
	}
	a.flush()
}

// offer puts a point into its bucket, or is false if the batch has an addition to this bucket already.
func (w *window) offer(a *adder, i uint32, digit int32) bool {
	negative := digit < 0
	b := uint32(max(digit, -digit)) - 1
	switch w.state[b] {
	case emptyBucket:
		w.bucket[b] = a.src[i]
		if negative {
			w.bucket[b].negate()
		}
		w.state[b] = firstBatch
		return true
	case w.batch:
		return false
	}
	w.state[b] = w.batch
	if a.add(b, i, negative) {
		w.batch++
	}
	return true
}

// few is the number of additions for which a batch does not pay.
const few = 32

// again flushes and takes the late points up; if most of them are late once more, for the same few buckets, it adds them
// one by one.
func (w *window) again(a *adder, points []point, digits []int32) {
	a.flush()
	w.batch++
	list := w.late
	w.late = w.late[:0]
	for _, i := range list {
		if !w.offer(a, i, digits[i]) {
			w.late = append(w.late, i)
		}
	}
	if len(list)-len(w.late) >= few {
		return
	}
	for _, i := range w.late {
		w.addSlow(&points[i], digits[i])
	}
	w.late = w.late[:0]
}

func (w *window) addSlow(p *point, digit int32) {
	q := p.library()
	if digit < 0 {
		q.Neg(&q)
	}
	b := uint32(max(digit, -digit)) - 1
	sum, ok := w.slow[b]
	if !ok {
		if w.slow == nil {
			w.slow = map[uint32]*bls.G1Jac{}
		}
		sum = new(bls.G1Jac)
		w.slow[b] = sum
	}
	sum.AddMixed(&q)
}

// total is the sum of each bucket times its number, numbers from 1.
func (w *window) total() bls.G1Jac {
	var sum, running bls.G1Jac
	for b := len(w.bucket) - 1; b >= 0; b-- {
		if w.state[b] != emptyBucket {
			p := w.bucket[b].library()
			running.AddMixed(&p)
		}
		if extra, ok := w.slow[uint32(b)]; ok {
			running.AddAssign(extra)
		}
		sum.AddAssign(&running)
	}
	return sum
}

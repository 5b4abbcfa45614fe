package poseidon

import (
	"math/big"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// limbs is an element in five limbs of 52 bits, lowest first; it stands for its value divided by 2^260.
type limbs [5]uint64

// octet is eight elements side by side, limb by limb.
type octet [5][8]uint64

// wideTables are the constants of one arity for the wide permutation.
type wideTables struct {
	start   []limbs   // added to the preimage
	tag     octet     // state[0] after that
	full    [][]limbs // added behind the S-boxes of each full round
	mds     []limbs   // by columns
	pre     []limbs   // PreSparse by columns
	partial []limbs   // added behind the S-box of each partial round
	first   [][]limbs // of each sparse matrix
	rest    [][]limbs
	none    []limbs // zeros
}

// powerOf2 is 2^n as a field element.
func powerOf2(n uint) fr.Element {
	var e fr.Element
	e.SetBigInt(new(big.Int).Lsh(big.NewInt(1), n))
	return e
}

var (
	montgomery52 = powerOf2(260)
	// intoWide turns a canonical number, taken as an element, into the element it means; unscaled turns an element into
	// its canonical number; unit changes nothing but makes the value smaller.
	intoWide = raw(powerOf2(520))
	unscaled = limbs{1}
	unit     = raw(montgomery52)
)

const limbMask = 1<<52 - 1

// split cuts a 256-bit number into limbs, least significant word first.
func split(w [4]uint64) limbs {
	return limbs{
		w[0] & limbMask, (w[0]>>52 | w[1]<<12) & limbMask, (w[1]>>40 | w[2]<<24) & limbMask,
		(w[2]>>28 | w[3]<<36) & limbMask, w[3] >> 16,
	}
}

// raw is the canonical number of an element.
func raw(e fr.Element) limbs { return split(e.Bits()) }

func widen(v []fr.Element) []limbs {
	out := make([]limbs, len(v))
	for i := range v {
		out[i] = raw(*new(fr.Element).Mul(&v[i], &montgomery52))
	}
	return out
}

func columns(m [][]fr.Element) []limbs {
	var flat []fr.Element
	for j := range m {
		for i := range m {
			flat = append(flat, m[i][j])
		}
	}
	return widen(flat)
}

func newWideTables(c *Constants) *wideTables {
	t := &wideTables{mds: columns(c.MDS), pre: columns(c.PreSparse), none: make([]limbs, c.Width)}
	tag := TreeTag(c.Arity)
	tag.Add(&tag, &c.Compressed[0])
	first := widen([]fr.Element{tag})[0]
	for k := range t.tag {
		for lane := range t.tag[k] {
			t.tag[k][lane] = first[k]
		}
	}
	keys := c.Compressed
	take := func(n int) []limbs {
		head := widen(keys[:n])
		keys = keys[n:]
		return head
	}
	t.start = take(c.Width)[1:]
	for range c.Full / 2 {
		t.full = append(t.full, take(c.Width))
	}
	t.partial = take(c.Partial)
	for range c.Full/2 - 1 {
		t.full = append(t.full, take(c.Width))
	}
	t.full = append(t.full, t.none)
	for i := range c.Sparse {
		t.first, t.rest = append(t.first, widen(c.Sparse[i].WHat)), append(t.rest, widen(c.Sparse[i].VRest))
	}
	return t
}

// octets is how many groups of eight preimages are permuted in turns: the steps of one do not wait for those of another.
const octets = lanes / 8

// wideEngine is the engine of processors with 52-bit multipliers.
type wideEngine struct {
	c           *Constants
	t           *wideTables
	state, next [octets][]octet
}

func newWideEngine(c *Constants) *wideEngine {
	e := &wideEngine{c: c, t: c.wide()}
	flat := make([]octet, 2*octets*c.Width)
	for g := range octets {
		e.state[g], flat = flat[:c.Width], flat[c.Width:]
		e.next[g], flat = flat[:c.Width], flat[c.Width:]
	}
	return e
}

func (e *wideEngine) set(k, j int, v [4]uint64) {
	x := &e.state[k/8][1+j]
	for i, l := range split(v) {
		x[i][k%8] = l
	}
}

// sumEvery is after how many partial rounds the elements that these only add to are made smaller. Each adds less than 1.2
// times the modulus, and there is room for 35.
const sumEvery = 16

func (e *wideEngine) permute(n int) {
	c, t, w := e.c, e.t, e.c.Width
	groups := (n + 7) / 8
	for g := range groups {
		e.state[g][0] = t.tag
		scaleAll(&e.state[g][1], &intoWide, &t.start[0], c.Arity)
	}
	for r := range c.Full / 2 {
		m := t.mds
		if r == c.Full/2-1 {
			m = t.pre
		}
		e.fullRound(groups, t.full[r], m)
	}
	for r := range c.Partial {
		for g := range groups {
			power5(&e.state[g][0], &t.partial[r], 1)
		}
		for g := range groups {
			sparse(&e.state[g][0], &t.first[r][0], &t.rest[r][0], w)
		}
		if r%sumEvery == sumEvery-1 {
			for g := range groups {
				scaleAll(&e.state[g][1], &unit, &t.none[0], w-1)
			}
		}
	}
	for r := range c.Full / 2 {
		e.fullRound(groups, t.full[c.Full/2+r], t.mds)
	}
	for g := range groups {
		scaleAll(&e.state[g][1], &unscaled, &t.none[0], 1)
	}
}

func (e *wideEngine) fullRound(groups int, keys, matrix []limbs) {
	for g := range groups {
		power5(&e.state[g][0], &keys[0], e.c.Width)
	}
	for g := range groups {
		dense(&e.next[g][0], &e.state[g][0], &matrix[0], e.c.Width)
		e.state[g], e.next[g] = e.next[g], e.state[g]
	}
}

func (e *wideEngine) digest(k int) [4]uint64 {
	var l limbs
	for i := range l {
		l[i] = e.state[k/8][1][i][k%8]
	}
	w := [4]uint64{l[0] | l[1]<<52, l[1]>>12 | l[2]<<40, l[2]>>24 | l[3]<<28, l[3]>>36 | l[4]<<16}
	if !below(w, modulus) { // it is at most the modulus
		return [4]uint64{}
	}
	return w
}

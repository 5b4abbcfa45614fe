package poseidon

import (
	"encoding/binary"
	"math/bits"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// lanes is how many states are permuted side by side: enough for the vector instructions, few enough for the first cache.
const lanes = 32

// BatchSize is how many preimages a Batch takes.
const BatchSize = lanes

// Batch hashes up to BatchSize preimages of one arity under the tree tag: Set every element, Sum, then read each Digest.
// Elements and digests are 32 bytes, little-endian and canonical. Not safe for concurrent use: one Batch per goroutine.
type Batch struct{ engine engine }

// engine permutes lanes states. Elements of the preimage count from 0; numbers are canonical, lowest word first.
type engine interface {
	set(k, j int, v [4]uint64)
	permute(n int)
	digest(k int) [4]uint64
}

// NewBatch makes a batch hasher.
func NewBatch(c *Constants) *Batch {
	if wide && c.Width <= maxWideWidth {
		return &Batch{newWideEngine(c)}
	}
	return &Batch{newVectorEngine(c)}
}

// maxWideWidth is the widest state for which the bounds of the wide engine hold.
const maxWideWidth = 12

// Set sets element j of preimage k; it is false if the bytes are no canonical field element.
func (b *Batch) Set(k, j int, element *[32]byte) bool {
	var v [4]uint64
	for i := range v {
		v[i] = binary.LittleEndian.Uint64(element[8*i:])
	}
	if !below(v, modulus) {
		return false
	}
	b.engine.set(k, j, v)
	return true
}

// Sum hashes the first n preimages.
func (b *Batch) Sum(n int) { b.engine.permute(n) }

// Digest is the digest of preimage k.
func (b *Batch) Digest(k int, out *[32]byte) {
	for i, w := range b.engine.digest(k) {
		binary.LittleEndian.PutUint64(out[8*i:], w)
	}
}

// modulus is the field's, lowest word first.
var modulus = func() (w [4]uint64) {
	for i, b := range fr.Modulus().FillBytes(make([]byte, 32)) {
		w[3-i/8] |= uint64(b) << (56 - 8*(i%8))
	}
	return w
}()

// below compares two 256-bit numbers.
func below(a, b [4]uint64) bool {
	var borrow uint64
	for i := range a {
		_, borrow = bits.Sub64(a[i], b[i], borrow)
	}
	return borrow == 1
}

// vectorEngine holds each state element as a vector across the lanes.
type vectorEngine struct {
	c     *Constants
	in    [lanes][]fr.Element
	state []fr.Vector // Width vectors of lanes elements
	next  []fr.Vector
	t     fr.Vector
	tag   fr.Element
	out   fr.Vector
}

func newVectorEngine(c *Constants) *vectorEngine {
	e := &vectorEngine{c: c, tag: TreeTag(c.Arity), t: make(fr.Vector, lanes), out: make(fr.Vector, lanes)}
	flat := make(fr.Vector, 2*c.Width*lanes)
	for i := range 2 * c.Width {
		v := flat[i*lanes : (i+1)*lanes : (i+1)*lanes]
		if i < c.Width {
			e.state = append(e.state, v)
		} else {
			e.next = append(e.next, v)
		}
	}
	for k := range e.in {
		e.in[k] = make([]fr.Element, c.Arity)
	}
	return e
}

func (e *vectorEngine) set(k, j int, v [4]uint64) {
	x := fr.Element(v) // the library's element of these words is the number divided by 2^256
	e.in[k][j].Mul(&x, &montgomery64)
}

var montgomery64 = powerOf2(256)

func (e *vectorEngine) permute(n int) {
	if n < 4 {
		for k := range n {
			e.out[k] = e.c.HashTagged(e.tag, e.in[k])
		}
		return
	}
	for k := range lanes { // idle lanes hash what they had
		e.state[0][k] = e.tag
		for j := range e.in[k] {
			e.state[1+j][k] = e.in[k][j]
		}
	}
	e.rounds()
	copy(e.out, e.state[1])
}

func (e *vectorEngine) digest(k int) [4]uint64 { return e.out[k].Bits() }

func (e *vectorEngine) rounds() {
	c, half := e.c, e.c.Full/2
	keys := c.Compressed
	e.addAll(keys)
	keys = keys[c.Width:]
	for r := range half {
		e.sboxAll()
		e.addAll(keys)
		keys = keys[c.Width:]
		if r == half-1 {
			e.dense(c.PreSparse)
		} else {
			e.dense(c.MDS)
		}
	}
	for r := range c.Partial {
		e.sbox(e.state[0])
		addConst(e.state[0], &keys[r])
		e.sparse(&c.Sparse[r])
	}
	keys = keys[c.Partial:]
	for r := range half {
		e.sboxAll()
		if r < half-1 {
			e.addAll(keys)
			keys = keys[c.Width:]
		}
		e.dense(c.MDS)
	}
}

func addConst(v fr.Vector, k *fr.Element) {
	for i := range v {
		v[i].Add(&v[i], k)
	}
}

func (e *vectorEngine) addAll(keys []fr.Element) {
	for j, v := range e.state {
		addConst(v, &keys[j])
	}
}

func (e *vectorEngine) sbox(v fr.Vector) {
	e.t.Mul(v, v)
	e.t.Mul(e.t, e.t)
	v.Mul(v, e.t)
}

func (e *vectorEngine) sboxAll() {
	for _, v := range e.state {
		e.sbox(v)
	}
}

func (e *vectorEngine) dense(m [][]fr.Element) {
	for j := range e.next {
		acc := e.next[j]
		acc.ScalarMul(e.state[0], &m[0][j])
		for i := 1; i < len(e.state); i++ {
			e.t.ScalarMul(e.state[i], &m[i][j])
			acc.Add(acc, e.t)
		}
	}
	e.state, e.next = e.next, e.state
}

func (e *vectorEngine) sparse(m *Sparse) {
	acc := e.next[0]
	acc.ScalarMul(e.state[0], &m.WHat[0])
	for j := 1; j < len(e.state); j++ {
		e.t.ScalarMul(e.state[j], &m.WHat[j])
		acc.Add(acc, e.t)
		e.t.ScalarMul(e.state[0], &m.VRest[j-1])
		e.state[j].Add(e.state[j], e.t)
	}
	e.state[0], e.next[0] = acc, e.state[0]
}

// Fast tells whether batches are hashed by vector instructions (AVX-512 IFMA).
func Fast() bool { return wide }

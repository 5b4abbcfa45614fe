package poseidon

import "github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

// lanes is how many states are permuted side by side: enough for the vector instructions, few enough for the first cache.
const lanes = 32

// Batch hashes many preimages of one arity, each state element held as a vector across the lanes. Not safe for concurrent
// use: one Batch per goroutine.
type Batch struct {
	c     *Constants
	state []fr.Vector // Width vectors of lanes elements
	next  []fr.Vector
	t     fr.Vector
	tag   fr.Element
}

// NewBatch makes a batch hasher under the tree tag.
func NewBatch(c *Constants) *Batch {
	b := &Batch{c: c, tag: TreeTag(c.Arity), t: make(fr.Vector, lanes)}
	flat := make(fr.Vector, 2*c.Width*lanes)
	for i := range 2 * c.Width {
		v := flat[i*lanes : (i+1)*lanes : (i+1)*lanes]
		if i < c.Width {
			b.state = append(b.state, v)
		} else {
			b.next = append(b.next, v)
		}
	}
	return b
}

// Hash writes the digest of preimage k, in[k*Arity:(k+1)*Arity], to out[k]; len(in) must be len(out)*Arity.
func (b *Batch) Hash(out, in []fr.Element) {
	arity := b.c.Arity
	if len(in) != len(out)*arity {
		panic("poseidon: preimage length differs from the arity")
	}
	for len(out) > 0 {
		n := min(lanes, len(out))
		if n < 4 {
			for k := range n {
				out[k] = b.c.HashTagged(b.tag, in[k*arity:(k+1)*arity])
			}
			return
		}
		b.load(in[:n*arity], n)
		b.permute()
		copy(out[:n], b.state[1])
		out, in = out[n:], in[n*arity:]
	}
}

// load spreads n preimages over the lanes; idle lanes keep what they had, their results are dropped.
func (b *Batch) load(in []fr.Element, n int) {
	for k := range lanes {
		b.state[0][k] = b.tag
	}
	for k := range n {
		for j := range b.c.Arity {
			b.state[1+j][k] = in[k*b.c.Arity+j]
		}
	}
}

func (b *Batch) permute() {
	c, half := b.c, b.c.Full/2
	keys := c.Compressed
	b.addAll(keys)
	keys = keys[c.Width:]
	for r := range half {
		b.sboxAll()
		b.addAll(keys)
		keys = keys[c.Width:]
		if r == half-1 {
			b.dense(c.PreSparse)
		} else {
			b.dense(c.MDS)
		}
	}
	for r := range c.Partial {
		b.sbox(b.state[0])
		addConst(b.state[0], &keys[r])
		b.sparse(&c.Sparse[r])
	}
	keys = keys[c.Partial:]
	for r := range half {
		b.sboxAll()
		if r < half-1 {
			b.addAll(keys)
			keys = keys[c.Width:]
		}
		b.dense(c.MDS)
	}
}

func addConst(v fr.Vector, k *fr.Element) {
	for i := range v {
		v[i].Add(&v[i], k)
	}
}

func (b *Batch) addAll(keys []fr.Element) {
	for j, v := range b.state {
		addConst(v, &keys[j])
	}
}

func (b *Batch) sbox(v fr.Vector) {
	b.t.Mul(v, v)
	b.t.Mul(b.t, b.t)
	v.Mul(v, b.t)
}

func (b *Batch) sboxAll() {
	for _, v := range b.state {
		b.sbox(v)
	}
}

func (b *Batch) dense(m [][]fr.Element) {
	for j := range b.next {
		acc := b.next[j]
		acc.ScalarMul(b.state[0], &m[0][j])
		for i := 1; i < len(b.state); i++ {
			b.t.ScalarMul(b.state[i], &m[i][j])
			acc.Add(acc, b.t)
		}
	}
	b.state, b.next = b.next, b.state
}

func (b *Batch) sparse(m *Sparse) {
	acc := b.next[0]
	acc.ScalarMul(b.state[0], &m.WHat[0])
	for j := 1; j < len(b.state); j++ {
		b.t.ScalarMul(b.state[j], &m.WHat[j])
		acc.Add(acc, b.t)
		b.t.ScalarMul(b.state[0], &m.VRest[j-1])
		b.state[j].Add(b.state[j], b.t)
	}
	b.state[0], b.next[0] = acc, b.state[0]
}

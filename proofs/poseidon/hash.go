package poseidon

import "github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

// maxWidth is the widest state of the partialRounds table.
const maxWidth = 65

// Permute applies the permutation to state (Width elements) in the optimised form.
func (c *Constants) Permute(state []fr.Element) {
	var buf [maxWidth]fr.Element
	w, half := c.Width, c.Full/2
	s, tmp := fr.Vector(state[:w]), fr.Vector(buf[:w])
	keys := c.Compressed
	take := func() {
		for i := range s {
			s[i].Add(&s[i], &keys[i])
		}
		keys = keys[w:]
	}
	take()
	for r := range half {
		sboxAll(s)
		take()
		if r == half-1 {
			applyDense(s, tmp, c.PreSparse)
		} else {
			applyDense(s, tmp, c.MDS)
		}
	}
	for r := range c.Partial {
		sbox(&s[0])
		s[0].Add(&s[0], &keys[r])
		applySparse(s, &c.Sparse[r])
	}
	keys = keys[c.Partial:]
	for r := range half {
		sboxAll(s)
		if r < half-1 {
			take()
		}
		applyDense(s, tmp, c.MDS)
	}
}

// PermutePlain is the textbook permutation with the plain constants; it gives the same result as Permute.
func (c *Constants) PermutePlain(state []fr.Element) {
	s := state[:c.Width]
	for r := range c.Full + c.Partial {
		for i := range s {
			s[i].Add(&s[i], &c.Plain[r*c.Width+i])
		}
		if r < c.Full/2 || r >= c.Full/2+c.Partial {
			sboxAll(s)
		} else {
			sbox(&s[0])
		}
		copy(s, vecMat(s, c.MDS))
	}
}

func sbox(x *fr.Element) {
	var t fr.Element
	t.Square(x)
	t.Square(&t)
	x.Mul(x, &t)
}

func sboxAll(s []fr.Element) {
	for i := range s {
		sbox(&s[i])
	}
}

// applyDense sets s to s*m, m symmetric or not; tmp is scratch of the same length. The work is laid out as whole rows, so
// that the field's vector instructions carry it where the machine has them.
func applyDense(s, tmp fr.Vector, m [][]fr.Element) {
	var row [maxWidth]fr.Element
	r := fr.Vector(row[:len(s)])
	copy(tmp, s)
	s.ScalarMul(fr.Vector(m[0]), &tmp[0])
	for i := 1; i < len(tmp); i++ {
		r.ScalarMul(fr.Vector(m[i]), &tmp[i])
		s.Add(s, r)
	}
}

func applySparse(s fr.Vector, m *Sparse) {
	var row [maxWidth]fr.Element
	rest := s[1:]
	r := fr.Vector(row[:len(rest)])
	r.Mul(rest, fr.Vector(m.WHat[1:]))
	var acc fr.Element
	acc.Mul(&s[0], &m.WHat[0])
	for j := range r {
		acc.Add(&acc, &r[j])
	}
	r.ScalarMul(fr.Vector(m.VRest), &s[0])
	rest.Add(rest, r)
	s[0] = acc
}

// HashTagged hashes Arity elements under the given domain tag.
func (c *Constants) HashTagged(tag fr.Element, in []fr.Element) fr.Element {
	var buf [maxWidth]fr.Element
	s := buf[:c.Width]
	s[0] = tag
	if copy(s[1:], in) != c.Arity || len(in) != c.Arity {
		panic("poseidon: preimage length differs from the arity")
	}
	c.Permute(s)
	return s[1]
}

// Hash hashes Arity elements as a Merkle tree node or column.
func (c *Constants) Hash(in []fr.Element) fr.Element { return c.HashTagged(TreeTag(c.Arity), in) }

// Hash2 is the pair hash of trees: CommR = Hash2(CommC, CommRLast).
func Hash2(a, b fr.Element) fr.Element { return mustArity(2).Hash([]fr.Element{a, b}) }

// HashPair is the pair hash of sector updates: arity 2 under the custom tag 1.
func HashPair(a, b fr.Element) fr.Element {
	return mustArity(2).HashTagged(CustomTag(1), []fr.Element{a, b})
}

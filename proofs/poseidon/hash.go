package poseidon

import "github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

// maxWidth is the widest state of the partialRounds table.
const maxWidth = 65

// Permute applies the permutation to state (Width elements) in the optimised form.
func (c *Constants) Permute(state []fr.Element) {
	var buf [maxWidth]fr.Element
	w, half := c.Width, c.Full/2
	s, tmp := state[:w], buf[:w]
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

// applyDense sets s to s*m, m symmetric or not; tmp is scratch of the same length.
func applyDense(s, tmp []fr.Element, m [][]fr.Element) {
	copy(tmp, s)
	var t fr.Element
	for j := range s {
		s[j].Mul(&tmp[0], &m[0][j])
		for i := 1; i < len(tmp); i++ {
			t.Mul(&tmp[i], &m[i][j])
			s[j].Add(&s[j], &t)
		}
	}
}

func applySparse(s []fr.Element, m *Sparse) {
	s0 := s[0]
	var acc, t fr.Element
	acc.Mul(&s0, &m.WHat[0])
	for j := 1; j < len(s); j++ {
		t.Mul(&s[j], &m.WHat[j])
		acc.Add(&acc, &t)
		t.Mul(&s0, &m.VRest[j-1])
		s[j].Add(&s[j], &t)
	}
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

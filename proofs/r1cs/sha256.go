package r1cs

// SHA256 hashes bits, given most significant first in every byte; the digest comes out the same way.
func (s *System) SHA256(input []Boolean) [256]Boolean {
	padded := make([]Boolean, 0, len(input)+1024)
	padded = append(padded, input...)
	padded = append(padded, Const(true))
	for len(padded)%512 != 448 {
		padded = append(padded, Boolean{})
	}
	for i := 63; i >= 0; i-- {
		padded = append(padded, Const(uint64(len(input))>>i&1 == 1))
	}
	c := &compressor{sums: sums{s: s}}
	for i := range c.state {
		c.state[i].setConst(shaInit[i])
	}
	for ; len(padded) > 0; padded = padded[512:] {
		c.block(padded[:512])
	}
	var out [256]Boolean
	for i := range c.state {
		for j := range 32 {
			out[32*i+j] = c.state[i].bits[31-j]
		}
	}
	return out
}

// compressor runs SHA-256's compression function block by block.
type compressor struct {
	sums
	state [8]word
	w     [64]word
	arena [64 * 6]word // words made by the rounds of one block
	next  int
}

func (c *compressor) fresh() *word {
	c.next++
	return &c.arena[c.next-1]
}

// lazy is a word whose last addition waits for its next use, so that it can take more operands in the same row.
type lazy struct {
	w   *word
	ops []*word
}

func (c *compressor) force(l lazy, more ...*word) *word {
	if l.w != nil {
		return l.w
	}
	out := c.fresh()
	c.addMany(out, append(l.ops, more...)...)
	return out
}

func (c *compressor) block(in []Boolean) {
	s := c.s
	c.next = 0
	for i := range 16 {
		c.w[i].setBigEndian(in[32*i : 32*i+32])
	}
	var s0, s1 word
	for i := 16; i < 64; i++ {
		s.xorRotated(&s0, &c.w[i-15], 7, 18, 3, true)
		s.xorRotated(&s1, &c.w[i-2], 17, 19, 10, true)
		c.addMany(&c.w[i], &c.w[i-16], &s0, &c.w[i-7], &s1)
	}

	h := c.state
	a, e := lazy{w: &h[0]}, lazy{w: &h[4]}
	wb, wc, wd := &h[1], &h[2], &h[3]
	wf, wg, wh := &h[5], &h[6], &h[7]
	var aOps, eOps [2][8]*word // operands of the two generations alive at once
	for i := range 64 {
		newE := c.force(e)
		r1, ch := c.fresh(), c.fresh()
		s.xorRotated(r1, newE, 6, 11, 25, false)
		s.chooseWord(ch, newE, wf, wg)
		newA := c.force(a)
		r0, maj := c.fresh(), c.fresh()
		s.xorRotated(r0, newA, 2, 13, 22, false)
		s.majorityWord(maj, newA, wb, wc)

		temp := [5]*word{wh, r1, ch, &shaRounds[i], &c.w[i]}
		ops := append(eOps[i&1][:0], temp[:]...)
		e = lazy{ops: append(ops, wd)}
		ops = append(aOps[i&1][:0], temp[:]...)
		a = lazy{ops: append(ops, r0, maj)}
		wh, wg, wf = wg, wf, newE
		wd, wc, wb = wc, wb, newA
	}

	// The two waiting words join the final additions.
	c.addMany(&c.state[0], append(a.ops, &h[0])...)
	c.addMany(&c.state[1], &h[1], wb)
	c.addMany(&c.state[2], &h[2], wc)
	c.addMany(&c.state[3], &h[3], wd)
	c.addMany(&c.state[4], append(e.ops, &h[4])...)
	c.addMany(&c.state[5], &h[5], wf)
	c.addMany(&c.state[6], &h[6], wg)
	c.addMany(&c.state[7], &h[7], wh)
	c.flush()
}

var shaInit = [8]uint32{
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

var shaRounds = makeShaRounds()

func makeShaRounds() (k [64]word) {
	for i, v := range [64]uint32{
		0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
		0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
		0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
		0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
		0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
		0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
		0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
		0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
	} {
		k[i].setConst(v)
	}
	return k
}

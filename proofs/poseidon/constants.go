package poseidon

import (
	"fmt"
	"math/big"
	"sync"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// FullRounds is the number of full rounds for every width.
const FullRounds = 8

// partialRounds gives the number of partial rounds by width (256-bit field, 128-bit security, the 7.5 % margin included).
var partialRounds = map[int]int{3: 55, 5: 56, 9: 57, 12: 57, 17: 59, 25: 59, 37: 60, 65: 61}

// Sparse is one factor of the MDS matrix in the optimised partial rounds: a matrix that differs from the identity only
// in its first column WHat and in its first row. Applied to a row vector s:
//
//	new[0] = <s, WHat>        new[j] = s[j] + s[0]*VRest[j-1]
type Sparse struct {
	// WHat is the first column, width elements, the corner first.
	WHat []fr.Element
	// VRest is the first row right of the corner, width-1 elements.
	VRest []fr.Element
}

// Constants are all values that define Poseidon of one arity, in the plain and in the optimised form. Read-only.
type Constants struct {
	// Arity is the number of elements hashed; Width = Arity+1 the size of the state.
	Arity, Width int
	// Full and Partial count the rounds.
	Full, Partial int
	// Plain holds (Full+Partial)*Width round constants in the order of the Grain LFSR.
	Plain []fr.Element
	// MDS is the Cauchy matrix 1/(i+Width+j); it is symmetric.
	MDS [][]fr.Element
	// PreSparse replaces MDS in the last full round before the partial rounds.
	PreSparse [][]fr.Element
	// Sparse has one matrix per partial round, in the order of application.
	Sparse []Sparse
	// Compressed are the round constants of the optimised form, in the order in which they are consumed: Width for the
	// addition before the first round, Width after each S-box of the first Full/2-1 rounds, Width after the last of them
	// (these carry the partial rounds' share), one per partial round, Width after each S-box of the closing full rounds
	// but the last.
	Compressed []fr.Element

	wide func() *wideTables
}

var tables = func() map[int]func() *Constants {
	m := make(map[int]func() *Constants, len(partialRounds))
	for width, rp := range partialRounds {
		m[width-1] = sync.OnceValue(func() *Constants { return derive(width, rp) })
	}
	return m
}()

// ForArity returns the constants for 2, 4, 8, 11, 16, 24, 36 or 64 inputs; another arity is an error.
func ForArity(arity int) (*Constants, error) {
	f, ok := tables[arity]
	if !ok {
		return nil, fmt.Errorf("poseidon arity %d: not supported", arity)
	}
	return f(), nil
}

// mustArity is ForArity for the arities that this package itself names.
func mustArity(arity int) *Constants {
	c, err := ForArity(arity)
	if err != nil {
		panic(err)
	}
	return c
}

// TreeTag is the domain tag of Merkle trees, columns and CommR: 2^arity - 1, for arities up to 64.
func TreeTag(arity int) fr.Element { return fr.NewElement(uint64(1)<<arity - 1) }

// CustomTag is the domain tag id*2^40 of a hash with a purpose of its own, id in 1..256 (1: the pair hash of sector updates).
func CustomTag(id uint64) fr.Element {
	var t fr.Element
	t.SetBigInt(new(big.Int).Lsh(new(big.Int).SetUint64(id), 40))
	return t
}

func derive(width, rp int) *Constants {
	c := &Constants{Arity: width - 1, Width: width, Full: FullRounds, Partial: rp}
	c.Plain = grainConstants(width, FullRounds, rp)
	c.MDS = cauchy(width)
	inv := invert(c.MDS)
	c.Compressed = compress(c, inv)
	c.PreSparse, c.Sparse = factor(c.MDS, rp)
	c.wide = sync.OnceValue(func() *wideTables { return newWideTables(c) })
	return c
}

// grain is the 80-bit LFSR that Poseidon's parameters are drawn from.
type grain struct {
	bits [80]byte
	pos  int // index of the oldest bit
}

func newGrain(width, rf, rp int) *grain {
	g := &grain{}
	i := 0
	put := func(v uint64, n int) {
		for k := n - 1; k >= 0; k-- {
			g.bits[i] = byte(v >> k & 1)
			i++
		}
	}
	put(1, 2) // prime field
	put(1, 4) // S-box x^alpha
	put(255, 12)
	put(uint64(width), 12)
	put(uint64(rf), 10)
	put(uint64(rp), 10)
	put(1<<30-1, 30)
	for range 160 {
		g.raw()
	}
	return g
}

func (g *grain) at(i int) byte { return g.bits[(g.pos+i)%80] }

func (g *grain) raw() byte {
	b := g.at(62) ^ g.at(51) ^ g.at(38) ^ g.at(23) ^ g.at(13) ^ g.at(0)
	g.bits[g.pos] = b
	g.pos = (g.pos + 1) % 80
	return b
}

// bit returns the next output bit: of each pair of raw bits the second one, where the first one is set.
func (g *grain) bit() byte {
	for {
		keep, b := g.raw(), g.raw()
		if keep == 1 {
			return b
		}
	}
}

func grainConstants(width, rf, rp int) []fr.Element {
	g := newGrain(width, rf, rp)
	out := make([]fr.Element, 0, (rf+rp)*width)
	for len(out) < cap(out) {
		var buf [32]byte
		for i := 1; i < 256; i++ { // 255 bits, most significant first
			buf[i/8] |= g.bit() << (7 - i%8)
		}
		var e fr.Element
		if e.SetBytesCanonical(buf[:]) == nil {
			out = append(out, e)
		}
	}
	return out
}

// cauchy makes the MDS matrix.
func cauchy(width int) [][]fr.Element {
	m := newMatrix(width)
	for i := range m {
		for j := range m[i] {
			m[i][j].SetUint64(uint64(i + width + j))
		}
		copy(m[i], fr.BatchInvert(m[i]))
	}
	return m
}

// compress moves the round constants through the linear layers so that a partial round adds a single one.
func compress(c *Constants, inv [][]fr.Element) []fr.Element {
	half, w := c.Full/2, c.Width
	round := func(r int) []fr.Element { return c.Plain[r*w : (r+1)*w] }
	out := append([]fr.Element{}, round(0)...)
	for i := 0; i < half-1; i++ {
		out = append(out, vecMat(round(i+1), inv)...)
	}
	keys := make([]fr.Element, c.Partial)
	acc := append([]fr.Element{}, round(half+c.Partial)...)
	for i := c.Partial - 1; i >= 0; i-- {
		back := vecMat(acc, inv)
		keys[i] = back[0]
		back[0].SetZero()
		prev := round(half + i)
		for j := range acc {
			acc[j].Add(&prev[j], &back[j])
		}
	}
	out = append(out, vecMat(acc, inv)...)
	out = append(out, keys...)
	for i := 1; i < half; i++ {
		out = append(out, vecMat(round(half+c.Partial+i), inv)...)
	}
	return out
}

// factor splits MDS^(rp) seen by the partial rounds into one dense matrix and rp sparse ones.
func factor(mds [][]fr.Element, rp int) ([][]fr.Element, []Sparse) {
	n := len(mds)
	cur := mds
	out := make([]Sparse, rp)
	for k := rp - 1; k >= 0; k-- {
		hat := newMatrix(n - 1)
		w := make([]fr.Element, n-1)
		v := make([]fr.Element, n-1)
		for i := 1; i < n; i++ {
			copy(hat[i-1], cur[i][1:])
			w[i-1], v[i-1] = cur[i][0], cur[0][i]
		}
		out[k] = Sparse{WHat: append([]fr.Element{cur[0][0]}, matVec(invert(hat), w)...), VRest: v}
		step := newMatrix(n)
		step[0][0].SetOne()
		for i := 1; i < n; i++ {
			copy(step[i][1:], hat[i-1])
		}
		cur = matMul(mds, step)
	}
	return cur, out
}

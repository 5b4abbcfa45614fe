package r1cs

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/poseidon"
)

func randomBits(s *System, r *rand.Rand, n int) ([]Boolean, []byte) {
	bits := make([]Boolean, n)
	raw := make([]byte, n/8)
	for i := range bits {
		b := r.IntN(2)
		bits[i] = s.AllocBit(b == 1)
		raw[i/8] |= byte(b) << (7 - i%8)
	}
	return bits, raw
}

func randomNum(s *System, r *rand.Rand) Num {
	return s.AllocNum(fr.Element{r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64() >> 2})
}

// check synthesises twice: once recording (rows hold on the witness, values not trusted), once only counting.
func check(t *testing.T, build func(s *System)) (*System, *Counter) {
	t.Helper()
	m := &Matrix{}
	s := New(m)
	build(s)
	require.NoError(t, m.Check(s.Inputs(), s.Witness()))
	require.Equal(t, m.NumRows(), s.NumRows())
	v := &valueChecker{t: t, m: m, s: s}
	build(New(v))
	c := &Counter{}
	build(New(c))
	require.Equal(t, m.NumRows(), c.Rows)
	return s, c
}

// valueChecker compares the values that rows carry with those of the recorded terms.
type valueChecker struct {
	t   *testing.T
	m   *Matrix
	s   *System
	row int
}

func (v *valueChecker) Detail() Detail { return WantValues }

func (v *valueChecker) eval(terms []Term) (sum fr.Element) {
	for _, t := range terms {
		src := v.s.aux
		if t.Var.IsInput() {
			src = v.s.inputs
		}
		var x fr.Element
		x.Mul(&t.Coef, &src[t.Var.Index()])
		sum.Add(&sum, &x)
	}
	return sum
}

func (v *valueChecker) Small(a, b, c *Small) {
	ta, tb, tc := v.m.At(v.row)
	for i, p := range []struct {
		s     *Small
		terms []Term
	}{{a, ta}, {b, tb}, {c, tc}} {
		var e fr.Element
		e.SetInt64(int64(p.s.Value))
		require.Equal(v.t, v.eval(p.terms), e, "row %d side %d", v.row, i)
	}
	v.row++
}

func (v *valueChecker) Row(a, b, c *LC) {
	ta, tb, tc := v.m.At(v.row)
	require.Equal(v.t, v.eval(ta), a.Value, "row %d A", v.row)
	require.Equal(v.t, v.eval(tb), b.Value, "row %d B", v.row)
	require.Equal(v.t, v.eval(tc), c.Value, "row %d C", v.row)
	v.row++
}

func TestPoseidonRows(t *testing.T) {
	for arity, want := range map[int]int{2: 311, 4: 377, 8: 505, 11: 598, 16: 761, 24: 1009, 36: 1385} {
		var out Num
		var plain []fr.Element
		_, c := check(t, func(s *System) {
			r := rand.New(rand.NewPCG(1, uint64(arity)))
			in := make([]Num, arity)
			plain = plain[:0]
			for i := range in {
				in[i] = randomNum(s, r)
				plain = append(plain, in[i].Value())
			}
			out = s.Poseidon(in)
		})
		require.Equal(t, want, c.Rows, "arity %d", arity)
		k, err := poseidon.ForArity(arity)
		require.NoError(t, err)
		require.Equal(t, plainPoseidon(k, plain), out.Value(), "arity %d", arity)
	}
}

// plainPoseidon is the unoptimised permutation.
func plainPoseidon(k *poseidon.Constants, in []fr.Element) fr.Element {
	state := append([]fr.Element{poseidon.TreeTag(k.Arity)}, in...)
	for r := range k.Full + k.Partial {
		full := r < k.Full/2 || r >= k.Full/2+k.Partial
		for i := range state {
			state[i].Add(&state[i], &k.Plain[r*k.Width+i])
			if full || i == 0 {
				var x fr.Element
				x.Square(&state[i])
				x.Square(&x)
				state[i].Mul(&state[i], &x)
			}
		}
		next := make([]fr.Element, len(state))
		for i := range state {
			for j := range next {
				var x fr.Element
				x.Mul(&state[i], &k.MDS[i][j])
				next[j].Add(&next[j], &x)
			}
		}
		state = next
	}
	return state[1]
}

func TestSha256Rows(t *testing.T) {
	for _, tc := range []struct{ bits, rows int }{{512, 45387}, {37*256 + 256, 0}} {
		var digest [256]Boolean
		var raw []byte
		s, c := check(t, func(s *System) {
			var bits []Boolean
			bits, raw = randomBits(s, rand.New(rand.NewPCG(2, 3)), tc.bits)
			digest = s.SHA256(bits)
			s.Pack(ReverseBytes(digest[:])[:254])
		})
		if tc.rows != 0 {
			require.Equal(t, tc.rows, c.Rows)
		}
		want := sha256.Sum256(raw)
		for i, b := range digest {
			require.Equal(t, want[i/8]>>(7-i%8)&1, b.Bit())
		}
		require.NotZero(t, s.NumAux())
	}
}

func TestInsertMatchesModel(t *testing.T) {
	for bits := 1; bits <= 3; bits++ {
		n := 1 << bits
		for index := range n {
			_, c := check(t, func(s *System) {
				r := rand.New(rand.NewPCG(4, 5))
				x := randomNum(s, r)
				var sib []Num
				for range n - 1 {
					sib = append(sib, randomNum(s, r))
				}
				var sel []Boolean
				for i := range bits {
					sel = append(sel, s.AllocBit(index>>i&1 == 1))
				}
				got := s.Insert(x, sel, sib)
				want := append(append(append([]Num{}, sib[:index]...), x), sib[index:]...)
				require.Len(t, got, n)
				for i := range got {
					require.Equal(t, want[i].Value(), got[i].Value())
				}
			})
			require.Equal(t, map[int]int{1: 2 + 1, 2: 8 + 2, 3: 22 + 3}[bits], c.Rows)
		}
	}
}

// TestPathRows repeats the reference's counts of a path of 64 leaves (or compound trees) with a public root.
func TestPathRows(t *testing.T) {
	for _, tc := range []struct {
		name    string
		hash    Hash
		arities []int
		rows    int
	}{
		{"sha 2", Sha256Node, []int{2, 2, 2, 2, 2, 2}, 272295},
		{"sha 4", Sha256Node, []int{4, 4, 4}, 216258},
		{"sha 8", Sha256Node, []int{8, 8}, 250987},
		{"poseidon 2", PoseidonNode, []int{2, 2, 2, 2, 2, 2}, 1887},
		{"poseidon 4", PoseidonNode, []int{4, 4, 4}, 1164},
		{"poseidon 8", PoseidonNode, []int{8, 8}, 1063},
		{"poseidon 8-2", PoseidonNode, []int{8, 8, 2}, 1377},
		{"poseidon 8-4-2", PoseidonNode, []int{8, 8, 4, 2}, 1764},
		{"poseidon 8-8", PoseidonNode, []int{8, 8, 8}, 1593},
		{"poseidon 8-8-2", PoseidonNode, []int{8, 8, 8, 2}, 1907},
	} {
		var path []Row
		for _, a := range tc.arities {
			path = append(path, Row{Siblings: make([]fr.Element, a-1)})
		}
		c := &Counter{}
		s := New(c)
		s.PublicPath(fr.Element{}, path, fr.Element{}, tc.hash)
		require.Equal(t, tc.rows, c.Rows, tc.name)
		require.Len(t, s.Inputs(), 3, tc.name)
	}
}

func TestPathHolds(t *testing.T) {
	leaf, sib := fr.NewElement(11), make([]fr.Element, 7)
	for i := range sib {
		sib[i].SetUint64(uint64(i))
	}
	path := []Row{{Siblings: sib, Slot: 5}, {Siblings: sib, Slot: 2}}
	var root fr.Element
	probe := New(&Counter{})
	cur, _ := probe.climb(probe.AllocNum(leaf), path, PoseidonNode)
	root = cur.Value()
	s, _ := check(t, func(s *System) { s.PublicPath(leaf, path, root, PoseidonNode) })
	require.Equal(t, fr.NewElement(5+8*2), s.Inputs()[1])
	require.Equal(t, root, s.Inputs()[2])

	m := &Matrix{}
	bad := New(m)
	bad.PublicPath(leaf, path, leaf, PoseidonNode)
	require.Error(t, m.Check(bad.Inputs(), bad.Witness()))
}

func TestBooleanGatesAgainstTruthTables(t *testing.T) {
	// Every mix of constant, variable and negated variable, with every value.
	makers := []func(s *System, b bool) Boolean{
		func(_ *System, b bool) Boolean { return Const(b) },
		func(s *System, b bool) Boolean { return s.AllocBit(b) },
		func(s *System, b bool) Boolean { return s.AllocBit(!b).Not() },
	}
	for code := range 27 * 8 {
		v := [3]bool{code&1 == 1, code>>1&1 == 1, code>>2&1 == 1}
		k := code / 8
		check(t, func(s *System) {
			a, b, c := makers[k%3](s, v[0]), makers[k/3%3](s, v[1]), makers[k/9](s, v[2])
			require.Equal(t, a.Bit()^b.Bit(), s.Xor(a, b).Bit())
			require.Equal(t, a.Bit()&b.Bit(), s.And(a, b).Bit())
			ch := b.Bit()
			if a.Bit() == 0 {
				ch = c.Bit()
			}
			require.Equal(t, ch, s.choose(a, b, c).Bit())
			require.Equal(t, (a.Bit()+b.Bit()+c.Bit())/2, s.majority(a, b, c).Bit())
		})
	}
}

func TestToBitsAndPack(t *testing.T) {
	check(t, func(s *System) {
		n := randomNum(s, rand.New(rand.NewPCG(6, 7)))
		bits := s.ToBits(n)
		require.Len(t, bits, 255)
		low := s.Pack(bits[:254])
		if bits[254].Bit() == 0 {
			require.Equal(t, n.Value(), low.Value())
		}
		s.PackInputs(append(bits, Const(true), bits[0].Not()))
		s.Inputize(s.Add(n, low))
	})
}

func BenchmarkSha256Block(b *testing.B) {
	for range b.N {
		s := New(&valueSink{})
		s.SHA256(make([]Boolean, 0, 512))
		bits := s.ToBits(s.AllocNum(fr.NewElement(7)))
		s.SHA256(append(bits, bits...)[:512])
	}
}

func BenchmarkPoseidon8(b *testing.B) {
	s := New(&valueSink{})
	in := make([]Num, 8)
	s.Poseidon(in)
	for b.Loop() {
		s.Poseidon(in)
	}
}

type valueSink struct{}

func (valueSink) Detail() Detail       { return WantValues }
func (valueSink) Small(_, _, _ *Small) {}
func (valueSink) Row(_, _, _ *LC)      {}

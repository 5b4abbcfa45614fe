package snarkpack

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/big"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/stretchr/testify/require"
)

// filler is a visitor that fills an aggregate with different members of the groups.
type filler struct{ n int64 }

func (f *filler) next() *big.Int {
	f.n++
	return big.NewInt(f.n)
}

func (f *filler) g1(p *bls.G1Affine) { p.ScalarMultiplicationBase(f.next()) }

func (f *filler) g2(p *bls.G2Affine) {
	_, _, _, h := bls.Generators()
	p.ScalarMultiplication(&h, f.next())
}

func (f *filler) target(x *bls.GT) { x.Exp(generator(), f.next()) }

func (f *filler) count(uint32) {}

// generator pairs the generators.
func generator() bls.GT {
	_, _, g, h := bls.Generators()
	e, err := bls.Pair([]bls.G1Affine{g}, []bls.G2Affine{h})
	if err != nil {
		panic(err)
	}
	return e
}

// wellFormed is an aggregate that decodes and proves nothing.
func wellFormed(rounds int) *Proof {
	p := &Proof{Rounds: make([]Round, rounds)}
	p.visit(new(filler))
	return p
}

// TestLengths against aggregates seen: sectors of 13 partitions, filled up to 16, and of 126, to 128.
func TestLengths(t *testing.T) {
	for n, want := range map[int]int{1: 5236, 2: 5236, 4: 8212, 13: 14164, 126: 23092, 8190: 40948} {
		require.Equal(t, want, Size(Padded(n)), "%d proofs", n)
	}
	for _, rounds := range []int{1, 2, 3} {
		p := wellFormed(rounds)
		b, err := p.Bytes()
		require.NoError(t, err)
		require.Len(t, b, Size(p.NumProofs()))
		again, err := Parse(b)
		require.NoError(t, err)
		require.Equal(t, p, again)
		for _, tail := range [][]byte{b, append(bytes.Clone(b), 1, 2, 3), b[:headSize+countSize]} {
			n, err := Length(tail)
			require.NoError(t, err)
			require.Equal(t, len(b), n)
		}
	}
}

// TestTargetGroupIsFilecoins: the pairing of the generators has the coordinates that blstrs states for it (src/gt.rs), so
// the tower of fields and the final exponentiation are the same.
func TestTargetGroupIsFilecoins(t *testing.T) {
	e := generator()
	require.Equal(t, fp.Element{0x1972e433a01f85c5, 0x97d32b76fd772538, 0xc8ce546fc96bcdf9, 0xcef63e7366d40614, 0xa611342781843780, 0x13f3448a3fc6d825}, e.C0.B0.A0)
	require.Equal(t, fp.Element{0xe80ff2a06a52ffb1, 0x7694ca48721a906c, 0x7583183e03b08514, 0xf567afdd40cee4e2, 0x9a6d96d2e526a5fc, 0x197e9f49861f2242}, e.C1.B2.A1)
}

// lasts are where some fields begin in an aggregate of 2.
const (
	atSum    = 5 * torusSize
	atCount  = headSize
	atRounds = headSize + countSize
	atLastA  = atRounds + roundSize
	atLastB  = atLastA + 48
)

func TestParseRefuses(t *testing.T) {
	good, err := wellFormed(1).Bytes()
	require.NoError(t, err)
	_, err = Parse(good)
	require.NoError(t, err)
	put := func(at int, b ...byte) []byte {
		out := bytes.Clone(good)
		copy(out[at:], b)
		return out
	}
	count := func(n uint32) []byte { return put(atCount, binary.LittleEndian.AppendUint32(nil, n)...) }
	modulus := fp.Modulus().Bytes() // big-endian
	for i, j := 0, len(modulus)-1; i < j; i, j = i+1, j-1 {
		modulus[i], modulus[j] = modulus[j], modulus[i]
	}
	outside := append(append([]byte{0x80}, make([]byte, 46)...), 4) // x = 4 is on the curve but not in the subgroup
	for name, b := range map[string][]byte{
		"nothing": nil, "head": good[:headSize], "short": good[:len(good)-1], "long": append(bytes.Clone(good), 0),
		"no proofs": count(0), "one proof": count(1), "four proofs": count(4), "three proofs": count(3), "big-endian count": count(2 << 24), "too many": count(2 * MaxProofs),
		"not reduced": put(0, modulus...), "all ones": put(torusSize, bytes.Repeat([]byte{0xff}, torusSize)...),
		"zero": put(0, make([]byte, torusSize)...), "outside the target group": put(0, append([]byte{3}, make([]byte, torusSize-1)...)...),
		"in a round":   put(atRounds+9*torusSize, append([]byte{5}, make([]byte, torusSize-1)...)...),
		"uncompressed": put(atSum, good[atSum]&^0x80), "outside G1": put(atSum, outside...), "outside G2": put(atLastB, append(bytes.Clone(outside), make([]byte, 48)...)...),
		"large x": put(atLastA, append([]byte{0x9f}, bytes.Repeat([]byte{0xff}, 47)...)...), "infinity with a sign": put(atLastA, append([]byte{0xe0}, make([]byte, 47)...)...),
		"infinity with a tail": put(atLastA, append(append([]byte{0xc0}, make([]byte, 46)...), 1)...),
	} {
		_, err := Parse(b)
		require.ErrorIs(t, err, ErrEncoding, name)
	}
	p, err := Parse(put(atLastA, append([]byte{0xc0}, make([]byte, 47)...)...))
	require.NoError(t, err, "Filecoin's verifier reads infinity")
	require.True(t, p.LastA.IsInfinity())
}

func TestOneHasNoCompressedForm(t *testing.T) {
	p := wellFormed(1)
	p.Z.SetOne()
	_, err := p.Bytes()
	require.ErrorContains(t, err, "no compressed form")
}

func TestMultiplyMatchesPlainPowers(t *testing.T) {
	e := generator()
	var minus fr.Element
	minus.SetInt64(-1)
	exponents := []fr.Element{{}, fr.NewElement(1), fr.NewElement(32), fr.NewElement(33), fr.NewElement(curveX), fr.NewElement(1<<64 - 1), minus}
	for range 20 {
		exponents = append(exponents, *new(fr.Element).MustSetRandom())
	}
	var powers []power
	var want bls.GT
	want.SetOne()
	for i := range exponents {
		var base, x bls.GT
		base.Exp(e, big.NewInt(int64(i*i+1)))
		x.Exp(base, exponents[i].BigInt(new(big.Int)))
		require.Equal(t, x, multiply([]power{{&base, exponents[i]}}), "exponent %s", exponents[i].String())
		want.Mul(&want, &x)
		powers = append(powers, power{&base, exponents[i]})
	}
	require.Equal(t, want, multiply(powers))
	one := multiply(nil)
	require.True(t, one.IsOne())
}

// TestFixedPointsPairInfinity: in a product over fixed points, infinity counts as a factor of one.
func TestFixedPointsPairInfinity(t *testing.T) {
	_, _, g, h := bls.Generators()
	l := []lines{bls.PrecomputeLines(h), bls.PrecomputeLines(h)}
	f, err := bls.MillerLoopFixedQ([]bls.G1Affine{{}, g}, l)
	require.NoError(t, err)
	require.Equal(t, generator(), bls.FinalExponentiation(&f))
}

func TestSecretsDiffer(t *testing.T) {
	one, err := SecretFromSeed([]byte("one"))
	require.NoError(t, err)
	require.NoError(t, one.Key().Check())
	require.NotEqual(t, one.Alpha, one.Beta)
	two, err := SecretFromSeed([]byte("two"))
	require.NoError(t, err)
	require.NotEqual(t, one, two)
	_, err = SecretFromSeed(nil)
	require.Error(t, err)

	mixed := one.Key()
	mixed.H[1] = two.Key().H[1]
	require.ErrorIs(t, mixed.Check(), ErrEncoding)
	require.ErrorIs(t, new(Key).Check(), ErrEncoding)
}

func TestRandomnessMayFail(t *testing.T) {
	v := &Verifier{seed: bytes.NewReader(make([]byte, 20))}
	require.ErrorIs(t, v.draw(make([]fr.Element, 2)), io.ErrUnexpectedEOF)
}

// smallFile is a file of two powers.
func smallFile(t testing.TB) []byte {
	t.Helper()
	s, err := SecretFromSeed([]byte("seed"))
	require.NoError(t, err)
	_, _, g, h := bls.Generators()
	k := s.Key()
	var out []byte
	for _, points := range [][2]bls.G1Affine{{g, k.G[0]}, {g, k.G[1]}} {
		out = binary.BigEndian.AppendUint32(out, 2)
		for _, p := range points {
			b := p.Bytes()
			out = append(out, b[:]...)
		}
	}
	for _, points := range [][2]bls.G2Affine{{h, k.H[0]}, {h, k.H[1]}} {
		out = binary.BigEndian.AppendUint32(out, 2)
		for _, p := range points {
			b := p.Bytes()
			out = append(out, b[:]...)
		}
	}
	return out
}

func TestFileRefuses(t *testing.T) {
	good := smallFile(t)
	key := func(b []byte) error {
		f, err := OpenFile(bytes.NewReader(b))
		if err != nil {
			return err
		}
		_, err = f.Key()
		return err
	}
	require.NoError(t, key(good))
	list2 := 4 + 2*48
	for name, change := range map[string]func(b []byte) []byte{
		"nothing":         func([]byte) []byte { return nil },
		"cut":             func(b []byte) []byte { return b[:len(b)-1] },
		"too few":         func(b []byte) []byte { b[3] = 1; return b },
		"too many":        func(b []byte) []byte { b[0] = 0x7f; return b },
		"no generator":    func(b []byte) []byte { copy(b[4:52], b[52:100]); return b },
		"lists exchanged": func(b []byte) []byte { copy(b[52:100], b[list2+52:list2+100]); return b },
		"not a point":     func(b []byte) []byte { b[60] ^= 1; return b },
	} {
		require.Error(t, key(change(bytes.Clone(good))), name)
	}
}

func FuzzParse(f *testing.F) {
	for _, rounds := range []int{1, 2} {
		b, err := wellFormed(rounds).Bytes()
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add(make([]byte, Size(2)))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		again, err := p.Bytes()
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

func FuzzOpenFile(f *testing.F) {
	f.Add(smallFile(f))
	f.Add(make([]byte, 600))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := OpenFile(bytes.NewReader(b))
		if err != nil {
			return
		}
		if k, err := file.Key(); err == nil {
			require.NoError(t, k.Check())
		}
	})
}

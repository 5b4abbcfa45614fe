package poseidon

import (
	"fmt"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/stretchr/testify/require"
)

// knownAnswers are the digests of 0,1,..,arity-1 under the tree tag, as little-endian limbs of the canonical value.
var knownAnswers = map[int][4]uint64{
	2:  {0x2e203c369a02e7ff, 0xa6fba9339d05a69d, 0x739e0fd902efe161, 0x396508d75e76a56b},
	4:  {0x019814ff6662075d, 0xfb6b4605bf1327ec, 0x00db3c6579229399, 0x58a54b10a9e5848a},
	8:  {0x2a9934f56d38a5e6, 0x4b682e9d9cc4aed9, 0x1201004211677077, 0x2394611da3a5de55},
	11: {0xcee3bbc32b693163, 0x09f3dcd8ccb08fc1, 0x6ca537e232ebe87a, 0x0c0fc1b2e5227f28},
	16: {0x1291c74060266d37, 0x5b8dbc6d30680a6f, 0xc1c2fb5a6f871e63, 0x2d3ae2663381ae8a},
}

func counting(n int) []fr.Element {
	in := make([]fr.Element, n)
	for i := range in {
		in[i].SetUint64(uint64(i))
	}
	return in
}

func TestKnownAnswers(t *testing.T) {
	for arity, want := range knownAnswers {
		c, err := ForArity(arity)
		require.NoError(t, err)
		got := c.Hash(counting(arity))
		require.Equal(t, want, got.Bits(), "arity %d", arity)
	}
	t.Logf("%d known answers", len(knownAnswers))
}

func TestOptimisedEqualsPlain(t *testing.T) {
	for _, arity := range []int{2, 4, 8, 11, 16, 24} {
		c, err := ForArity(arity)
		require.NoError(t, err)
		a := make([]fr.Element, c.Width)
		for i := range a {
			a[i].MustSetRandom()
		}
		b := append([]fr.Element{}, a...)
		c.Permute(a)
		c.PermutePlain(b)
		require.Equal(t, b, a, "arity %d", arity)
	}
}

func TestCompressedLengths(t *testing.T) {
	for arity, want := range map[int]int{2: 79, 8: 129, 11: 153} {
		c, err := ForArity(arity)
		require.NoError(t, err)
		require.Len(t, c.Compressed, want)
		require.Len(t, c.Sparse, c.Partial)
	}
	_, err := ForArity(3)
	require.ErrorContains(t, err, "arity 3")
}

func BenchmarkHash(b *testing.B) {
	for _, arity := range []int{2, 4, 8, 11} {
		b.Run(fmt.Sprint(arity), func(b *testing.B) {
			c := mustArity(arity)
			in := counting(arity)
			for b.Loop() {
				in[0] = c.Hash(in)
			}
		})
	}
}

func TestBatchEqualsSingle(t *testing.T) {
	for _, arity := range []int{2, 4, 8, 11} {
		c := mustArity(arity)
		batch := NewBatch(c)
		for _, n := range []int{0, 1, 3, 4, 9, 31, 32, 33, 70} {
			in := make([]fr.Element, n*arity)
			for i := range in {
				in[i].MustSetRandom()
			}
			out := make([]fr.Element, n)
			batch.Hash(out, in)
			for k := range out {
				require.Equal(t, c.Hash(in[k*arity:(k+1)*arity]), out[k], "arity %d, %d of %d", arity, k, n)
			}
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	for _, arity := range []int{2, 4, 8, 11} {
		b.Run(fmt.Sprint(arity), func(b *testing.B) {
			batch := NewBatch(mustArity(arity))
			in, out := counting(arity*256), make([]fr.Element, 256)
			for b.Loop() {
				batch.Hash(out, in)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(out)), "ns/hash")
		})
	}
}

package poseidon

import (
	"fmt"
	"slices"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
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
	vectors.Count(t, vectors.InTests+"Poseidon hashes", len(knownAnswers))
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

// engines are all that this machine can run.
func engines(c *Constants) map[string]engine {
	out := map[string]engine{"vector": newVectorEngine(c)}
	if wide {
		out["wide"] = newWideEngine(c)
	}
	return out
}

// awkward elements are those at the ends of the field, and of the limbs of both engines.
func awkward() []fr.Element {
	one := fr.One()
	out := []fr.Element{{}, one, *new(fr.Element).Neg(&one)}
	for _, n := range []uint{51, 52, 64, 104, 128, 156, 192, 208, 254} {
		up := powerOf2(n)
		out = append(out, up, *new(fr.Element).Sub(&up, &one), *new(fr.Element).Neg(&up))
	}
	return out
}

func TestBatchEqualsSingle(t *testing.T) {
	ends := awkward()
	for _, arity := range []int{2, 4, 8, 11} {
		c := mustArity(arity)
		for name, e := range engines(c) {
			batch := &Batch{e}
			for _, n := range []int{0, 1, 3, 4, 8, 9, 31, 32} {
				in := make([]fr.Element, n*arity)
				for i := range in {
					if in[i].MustSetRandom(); i%5 == n%5 {
						in[i] = ends[i/5%len(ends)]
					}
					b := in[i].Bytes()
					slices.Reverse(b[:])
					require.True(t, batch.Set(i/arity, i%arity, &b))
				}
				batch.Sum(n)
				for k := range n {
					var got [32]byte
					batch.Digest(k, &got)
					slices.Reverse(got[:])
					want := c.Hash(in[k*arity : (k+1)*arity])
					require.Equal(t, want.Bytes(), got, "%s, arity %d, %d of %d", name, arity, k, n)
				}
			}
		}
	}
}

func TestBatchRefusesWhatIsNoElement(t *testing.T) {
	b := NewBatch(mustArity(2))
	var e [32]byte
	copy(e[:], fr.Modulus().Bytes())
	slices.Reverse(e[:])
	require.False(t, b.Set(0, 0, &e))
	e[0]-- // the modulus is odd
	require.True(t, b.Set(0, 0, &e))
}

func BenchmarkBatch(b *testing.B) {
	for _, arity := range []int{2, 4, 8, 11} {
		for name, e := range engines(mustArity(arity)) {
			b.Run(fmt.Sprintf("%d/%s", arity, name), func(b *testing.B) {
				for b.Loop() {
					e.permute(lanes)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*lanes), "ns/hash")
			})
		}
	}
}

package sdr

import (
	"context"
	"crypto/sha256"
	"math/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/shape"
)

func graphOf(t testing.TB, typ abi.RegisteredSealProof) *Graph {
	s, err := shape.OfSeal(typ)
	require.NoError(t, err)
	return NewGraph(s)
}

func TestParentDigests(t *testing.T) {
	types := []abi.RegisteredSealProof{0, 5}
	switch os.Getenv("VENUS_LONG_TESTS") {
	case "":
	case "all": // minutes
		types = append(types, 1, 6, 2, 7)
	default: // seconds
		types = append(types, 1, 6)
	}
	for _, typ := range types {
		g := graphOf(t, typ)
		want, ok := g.GoldenDigest()
		require.True(t, ok)
		c, err := NewMemoryCache(context.Background(), g)
		require.NoError(t, err)
		require.Equal(t, want, c.Digest(), "proof type %d", typ)
	}
	vectors.Count(t, "proofs/parent-cache-digests.json", len(types))
	vectors.NotApplicable(t, "proofs/parent-cache-digests.json", 10-len(types), "digest of a larger graph, up to 56 GiB of parents; its name is compared (VENUS_LONG_TESTS computes more)")
	t.Logf("%d of 10 published digests computed", len(types))
}

func TestCacheNames(t *testing.T) {
	var v map[string]struct {
		Size   uint64 `json:"sector_size"`
		Digest string
	}
	vectors.JSON(t, "proofs/parent-cache-digests.json", &v)
	require.Len(t, v, 10)
	for typ := abi.RegisteredSealProof(0); typ < 10; typ++ {
		g := graphOf(t, typ)
		entry, ok := v[g.CacheName()]
		require.True(t, ok, "proof type %d", typ)
		require.Equal(t, g.Nodes()*32, entry.Size)
		got, _ := g.GoldenDigest()
		require.Equal(t, entry.Digest, got)
	}
	vectors.Count(t, "proofs/parent-cache-digests.json", len(v))
}

func TestCacheFile(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "parents")
	g := graphOf(t, 5)
	for range 2 { // made, then read
		c, err := OpenCache(ctx, dir, g)
		require.NoError(t, err)
		for n := range uint32(g.Nodes()) {
			require.Equal(t, g.Parents(n), c.Parents(n))
		}
		require.NoError(t, c.Close())
	}
	path := filepath.Join(dir, g.CacheName()+".cache")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[100] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o644))
	_, err = OpenCache(ctx, dir, g)
	require.ErrorIs(t, err, ErrCache)
	require.NoError(t, os.WriteFile(path, b[:100], 0o644))
	_, err = OpenCache(ctx, dir, g)
	require.ErrorIs(t, err, ErrCache)
}

func TestBaseParentsAreEarlier(t *testing.T) {
	for _, typ := range []abi.RegisteredSealProof{3, 9} {
		g := graphOf(t, typ)
		rnd := rand.New(rand.NewSource(1))
		for range 300 {
			n := uint32(rnd.Int63n(int64(g.Nodes())))
			p := g.Parents(n)
			for i, b := range p[:shape.BaseDegree] {
				require.True(t, b < n || n == 0, "base parent %d of %d", i, n)
			}
			for _, e := range p[shape.BaseDegree:] {
				require.Less(t, uint64(e), g.Nodes())
			}
		}
	}
}

// TestLayerAgainstDefinition builds each preimage in full from the written rule.
func TestLayerAgainstDefinition(t *testing.T) {
	g := graphOf(t, 5)
	id := fr32.Trunc(sha256.Sum256([]byte("replica")))
	var prev []byte
	for layer := 1; layer <= 3; layer++ {
		out := make([]byte, g.Nodes()*32)
		var last uint64
		require.NoError(t, LabelLayer(context.Background(), g, id, layer, prev, out, func(n uint64) { last = n }))
		require.Equal(t, g.Nodes(), last)
		for n := range g.Nodes() {
			pre := append(id[:], 0, 0, 0, byte(layer), 0, 0, 0, 0, 0, 0, 0, byte(n))
			pre = append(pre, make([]byte, 20)...)
			var base, exp []fr32.Node
			for i, p := range g.Parents(uint32(n)) {
				if i < shape.BaseDegree {
					base = append(base, fr32.Node(out[p*32:p*32+32]))
				} else if layer > 1 {
					exp = append(exp, fr32.Node(prev[p*32:p*32+32]))
				}
			}
			all := append(append([]fr32.Node{}, base...), exp...)
			for i := 0; n > 0 && i < 37; i++ {
				pre = append(pre, all[i%len(all)][:]...)
			}
			want := fr32.Trunc(sha256.Sum256(pre))
			require.Equal(t, want, fr32.Node(out[n*32:n*32+32]), "layer %d node %d", layer, n)
			require.Equal(t, want, Label(id, layer, n, base, exp))
		}
		prev = out
	}
	require.Error(t, LabelLayer(context.Background(), g, id, 2, nil, prev, nil))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, LabelLayer(ctx, g, id, 1, nil, prev, nil), context.Canceled)
}

// TestPermutationWidths compares the side-by-side walk with the plain one, for graphs of both ends of the size range.
func TestPermutationWidths(t *testing.T) {
	for _, typ := range []abi.RegisteredSealProof{0, 5, 6, 7, 8, 9} {
		g := graphOf(t, typ)
		for _, n := range []int{0, 1, 7, 8, 9, 100} {
			out := make([]uint64, n)
			first := g.edges - uint64(n) // the upper end
			g.permuteRange(first, out)
			for i := range out {
				require.Equal(t, g.permute(first+uint64(i)), out[i], "type %d, %d of %d", typ, i, n)
			}
		}
	}
}

func BenchmarkParents(b *testing.B) {
	g := graphOf(b, 7)
	first := uint32(1 << 20)
	rows, edges := make([]ParentList, 256), make([]uint64, 256*8)
	for b.Loop() {
		g.parentRange(first, rows, edges)
		first += 256
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/node")
}

// BenchmarkLabel reports nanoseconds per label of an 8 MiB sector, and of hashing the same bytes alone.
func BenchmarkLabel(b *testing.B) {
	g := graphOf(b, 6)
	c, err := NewMemoryCache(context.Background(), g)
	require.NoError(b, err)
	one, two := make([]byte, g.Nodes()*32), make([]byte, g.Nodes()*32)
	id := fr32.Trunc(sha256.Sum256([]byte("replica")))
	require.NoError(b, LabelLayer(context.Background(), c, id, 1, nil, one, nil))
	b.Run("layer", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, LabelLayer(context.Background(), c, id, 2, one, two, nil))
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(g.Nodes()), "ns/label")
	})
	b.Run("sha256", func(b *testing.B) {
		var buf [preimage]byte
		for b.Loop() {
			for range g.Nodes() {
				sha256.Sum256(buf[:])
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(g.Nodes()), "ns/label")
	})
}

package sdr

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

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

// TestParentDigests computes the tables of the published digests, those of 512 MiB, which take half a minute and 940 MB of
// disk each, when VENUS_LONG_TESTS is set.
func TestParentDigests(t *testing.T) {
	types := []abi.RegisteredSealProof{0, 5, 1, 6}
	if os.Getenv("VENUS_LONG_TESTS") != "" {
		types = append(types, 2, 7)
	}
	for _, typ := range types {
		t.Run(fmt.Sprintf("proof type %d", typ), func(t *testing.T) {
			g := graphOf(t, typ)
			want, ok := g.GoldenDigest()
			require.True(t, ok)
			var c *Cache
			var err error
			if g.Nodes() < 1<<20 {
				c, err = NewMemoryCache(t.Context(), g)
			} else {
				c, err = OpenCache(t.Context(), t.TempDir(), g)
			}
			require.NoError(t, err)
			got, err := c.Digest()
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.NoError(t, c.Close())
			vectors.Count(t, "proofs/parent-cache-digests.json", 1)
		})
	}
	vectors.NotApplicable(t, "proofs/parent-cache-digests.json", 10-len(types), "digest of a larger graph, up to 56 GiB of parents; its name is compared (VENUS_LONG_TESTS computes those of 512 MiB)")
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
		rows := make([]ParentList, g.Nodes())
		require.NoError(t, c.Reader()(0, rows))
		for n := range rows {
			require.Equal(t, g.Parents(uint32(n)), rows[n])
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
		part := make([]byte, len(out)/4)
		require.NoError(t, LabelLayer(context.Background(), g, id, layer, prev, part, nil))
		require.Equal(t, out[:len(part)], part, "the first labels alone")
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

// TestFastLabelsMatch compares labels by the processor's extensions with those by the library, both kinds of layers.
func TestFastLabelsMatch(t *testing.T) {
	if !fastLabels {
		t.Skip("this processor has no SHA extensions")
	}
	rnd := rand.New(rand.NewSource(7))
	cur, prev := make([]byte, 64*32), make([]byte, 64*32)
	rnd.Read(cur)
	rnd.Read(prev)
	for range 200 {
		var id fr32.Node
		rnd.Read(id[:])
		layer, node := 1+rnd.Intn(11), uint64(rnd.Uint32())
		var p ParentList
		var base, exp []fr32.Node
		for i := range p {
			p[i] = uint32(rnd.Intn(64))
			if i < shape.BaseDegree {
				base = append(base, *nodeAt(cur, p[i]))
			} else {
				exp = append(exp, *nodeAt(prev, p[i]))
			}
		}
		l := newLabeller(id, layer)
		l.setNode(node)
		var got fr32.Node
		before := &prev[0]
		if layer == 1 {
			before = nil
		}
		hashLabel(&got[0], &l.buf[0], &p[0], &cur[0], before, &l.kept)
		require.Equal(t, Label(id, layer, node, base, exp), got, "layer %d", layer)
	}
}

// damaged is a source of lists that point past the end.
type damaged struct {
	Source
	slot int
}

func (d damaged) Reader() Read {
	read := d.Source.Reader()
	return func(first uint32, rows []ParentList) error {
		err := read(first, rows)
		rows[len(rows)-1][d.slot] = 1 << 20
		return err
	}
}

func TestParentsOutsideTheLayerAreRefused(t *testing.T) {
	g := graphOf(t, 5)
	out := make([]byte, g.Nodes()*32)
	require.ErrorIs(t, LabelLayer(t.Context(), damaged{g, 0}, fr32.Node{}, 1, nil, out, nil), ErrCache)
	require.NoError(t, LabelLayer(t.Context(), damaged{g, 13}, fr32.Node{}, 1, nil, out, nil), "layer 1 has no expander parents")
	require.ErrorIs(t, LabelLayer(t.Context(), damaged{g, 13}, fr32.Node{}, 2, out, make([]byte, len(out)), nil), ErrCache)
}

// BenchmarkLabel reports nanoseconds per label of an 8 MiB sector's second layer, and the same as a ratio of the speed of
// hashing as many bytes with the library, in turns within one run: on one core, and two sectors on two.
func BenchmarkLabel(b *testing.B) {
	g := graphOf(b, 6)
	c, err := NewMemoryCache(context.Background(), g)
	require.NoError(b, err)
	id := fr32.Trunc(sha256.Sum256([]byte("replica")))
	first := make([]byte, g.Nodes()*32)
	require.NoError(b, LabelLayer(context.Background(), c, id, 1, nil, first, nil))
	for _, sectors := range []int{1, 2} {
		b.Run(fmt.Sprintf("sectors=%d", sectors), func(b *testing.B) {
			outs := make([][]byte, sectors)
			for i := range outs {
				outs[i] = make([]byte, len(first))
			}
			var labels, raw time.Duration
			for b.Loop() {
				began := time.Now()
				var wg sync.WaitGroup
				for _, out := range outs {
					wg.Go(func() { _ = LabelLayer(context.Background(), c, id, 2, first, out, nil) })
				}
				wg.Wait()
				between := time.Now()
				hashRaw(g.Nodes())
				labels, raw = labels+between.Sub(began), raw+time.Since(between)
			}
			perLabel := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(b.N) / float64(g.Nodes()) }
			b.ReportMetric(perLabel(labels)/float64(sectors), "ns/label")
			b.ReportMetric(perLabel(raw), "ns/raw")
			b.ReportMetric(float64(sectors)*float64(raw)/float64(labels), "of-raw-sha256")
		})
	}
}

// hashRaw hashes as many bytes as the labels of a layer take, by the library.
func hashRaw(nodes uint64) {
	var buf [preimage]byte
	for range nodes {
		sha256.Sum256(buf[:])
	}
}

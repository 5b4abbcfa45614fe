package sdr

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// Source gives the parents of a node. Graph computes them, Cache reads them.
type Source interface {
	Parents(node uint32) ParentList
}

// entrySize is the size of a parent list in a cache: 14 little-endian 32-bit numbers.
const entrySize = 4 * shape.Degree

// ErrCache marks a parent cache file that does not hold what its name promises.
var ErrCache = errors.New("parent cache is wrong")

// goldenDigests are the SHA-256 digests of the parent caches of the ten interactive proof types, as Filecoin publishes them.
var goldenDigests = map[string]string{
	"v28-sdr-parent-21981246c370f9d76c7a77ab273d94bde0ceb4e938292334960bce05585dc117": "93deeac5e3052b6927467d4b2641bb782f05491de18d510147c93eeedd8672da",
	"v28-sdr-parent-2aa9c77c3e58259481351cc4be2079cc71e1c9af39700866545c043bfa30fb42": "3adcc092423aa76d6a7184016893406da44dd974b219a89cd3ece25e4e3018f5",
	"v28-sdr-parent-3f0eef38bb48af1f48ad65e14eb85b4ebfc167cec18cd81764f6d998836c9899": "3da49221e2ed55371b86d0bf3d6526fcf128af61bed904f966428db1b531750d",
	"v28-sdr-parent-4905486b7af19558ac3649bc6261411858b6add534438878c4ee3b29d8b9de0b": "2698b74eb2606b55b98d8b095e18b6320b47f46e00075956d48640ccd1641b03",
	"v28-sdr-parent-494d91dc80f2df5272c4b9e129bc7ade9405225993af9fe34e6542a39a47554b": "840057702eea7652cf97e04306c30fe57174714d90de156a25eddd6075c25b97",
	"v28-sdr-parent-5eed212119fd91aa6220a27f31a8966444a9381842bceb3a1ea61525bd47a5b5": "03cd13565ded97c240a5f52e54295ad127bd0461b57904cb3a4d79b097bbecab",
	"v28-sdr-parent-7ba215a1d2345774ab90b8cb1158d296e409d6068819d7b8c7baf0b25d63dc34": "b5877d1963793efebc261fd8fde4dd6bc59e6b5c7abf52617a4ee023b8dc173a",
	"v28-sdr-parent-8a99e8d6b6be7ab87a56b632e6739ff201c23ea14e99737c74690f0e265574d6": "2778a732ad46a7dc18e0564dfdf59fd321dcde74ab476fd6d3c4e6735d7cd89c",
	"v28-sdr-parent-dcdabb0fbe4364bf0ac28b6a18c66de246409fa1a9020a00f33fb3e3053da6dc": "a76604f2f59f2744c7151653bbb1d8596b6b57d295e6fa6c1f0c41d725b502ce",
	"v28-sdr-parent-e1fa5d5b811ddbd118be3412c4a8c329156b8b8acc72632bca459455b5a05a13": "3c4f9841fcc75aed8c695800e58d08480629f25af3a2aefd81904181d75cc0b6",
}

// CacheName is the name of the graph's parent cache in Filecoin's cache folder, without the ending ".cache".
func (g *Graph) CacheName() string {
	h := sha256.New()
	fmt.Fprintf(h, "poseidon_hasher"+"stacked_graph::StackedGraph{expansion_degree: %d base_graph: drgraph::BucketGraph{size: %d; degree: %d; hasher: poseidon_hasher} }",
		shape.ExpanderDegree, g.nodes, shape.BaseDegree)
	var b []byte
	for _, k := range g.keys {
		b = binary.LittleEndian.AppendUint64(b, k)
	}
	h.Write(binary.LittleEndian.AppendUint32(b, uint32(g.nodes)))
	return "v28-sdr-parent-" + hex.EncodeToString(h.Sum(nil))
}

// GoldenDigest is the published SHA-256 of the graph's cache in hex; false where none is known.
func (g *Graph) GoldenDigest() (string, bool) {
	d, ok := goldenDigests[g.CacheName()]
	return d, ok
}

// Cache is a table of all parents, in memory or mapped from a file. Safe for concurrent use; not after Close.
type Cache struct {
	table []byte
	unmap func() error
}

// Parents reads the parents of a node below the graph's size.
func (c *Cache) Parents(node uint32) (p ParentList) {
	row := c.table[int(node)*entrySize : (int(node)+1)*entrySize]
	for i := range p {
		p[i] = binary.LittleEndian.Uint32(row[4*i:])
	}
	return p
}

// Digest is the SHA-256 of the table in hex.
func (c *Cache) Digest() string {
	h := sha256.Sum256(c.table)
	return hex.EncodeToString(h[:])
}

// Close gives the table back.
func (c *Cache) Close() error {
	c.table = nil
	if c.unmap == nil {
		return nil
	}
	return c.unmap()
}

// NewMemoryCache computes all parents on all cores and keeps them in memory (56 bytes per node).
func NewMemoryCache(ctx context.Context, g *Graph) (*Cache, error) {
	table := make([]byte, g.nodes*entrySize)
	err := eachChunk(ctx, g, func(at int64, rows []byte) error {
		copy(table[at:], rows)
		return nil
	})
	return &Cache{table: table}, err
}

// OpenCache maps the graph's cache file in dir, shared by all processes of the machine. A missing file is computed on all
// cores first. A file of the wrong size or, where a digest is published, of the wrong content is an ErrCache that names
// it; nothing is overwritten then.
func OpenCache(ctx context.Context, dir string, g *Graph) (*Cache, error) {
	path := filepath.Join(dir, g.CacheName()+".cache")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := writeCache(ctx, path, g); err != nil {
			return nil, err
		}
	}
	c, err := mapCache(path, g)
	if err != nil {
		return nil, err
	}
	// Hashing is a hundredth of the labelling that follows, and a wrong parent would only show as a refused proof.
	if want, ok := g.GoldenDigest(); ok && c.Digest() != want {
		_ = c.Close()
		return nil, fmt.Errorf("%s does not have the published digest; remove it and it will be made anew: %w", path, ErrCache)
	}
	return c, nil
}

func writeCache(ctx context.Context, path string, g *Graph) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("parent cache folder: %w", err)
	}
	return fsutil.Fill(path, 0o644, func(f *os.File) error {
		return eachChunk(ctx, g, func(at int64, rows []byte) error {
			_, err := f.WriteAt(rows, at)
			return err
		})
	})
}

func mapCache(path string, g *Graph) (*Cache, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open parent cache: %w", err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("size of parent cache: %w", err)
	}
	if want := int64(g.nodes) * entrySize; size != want {
		return nil, fmt.Errorf("%s has %d bytes, want %d; remove it and it will be made anew: %w", path, size, want, ErrCache)
	}
	table, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map parent cache %s: %w", path, err)
	}
	return &Cache{table: table, unmap: func() error { return syscall.Munmap(table) }}, nil
}

// chunkNodes is how many nodes a goroutine computes between two writes.
const chunkNodes = 1 << 12

// eachChunk computes the table in chunks on all cores; put gets the byte offset of each, in no order.
func eachChunk(ctx context.Context, g *Graph, put func(at int64, rows []byte) error) error {
	var next atomic.Uint64
	group, ctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), int(g.nodes/chunkNodes)+1) {
		group.Go(func() error {
			rows := make([]byte, 0, chunkNodes*entrySize)
			lists := make([]ParentList, chunkNodes)
			edges := make([]uint64, chunkNodes*shape.ExpanderDegree)
			for {
				start := next.Add(chunkNodes) - chunkNodes
				if start >= g.nodes {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				count := min(chunkNodes, g.nodes-start)
				g.parentRange(uint32(start), lists[:count], edges)
				rows = rows[:0]
				for _, p := range lists[:count] {
					rows = appendParents(rows, p)
				}
				if err := put(int64(start)*entrySize, rows); err != nil {
					return fmt.Errorf("parents of node %d: %w", start, err)
				}
			}
		})
	}
	return group.Wait()
}

// appendParents appends the cache form of a parent list.
func appendParents(b []byte, p ParentList) []byte {
	for _, n := range p {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

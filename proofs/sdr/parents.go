package sdr

import (
	"bytes"
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
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// Source gives the parents of nodes. Graph computes them, Cache reads them.
type Source interface {
	// Reader returns a Read for one goroutine.
	Reader() Read
}

// Read fills rows with the parents of nodes first..first+len(rows), which must all exist.
type Read func(first uint32, rows []ParentList) error

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

// Cache is a table of all parents, in a file or in memory. Safe for concurrent use; not after Close.
type Cache struct {
	table io.ReaderAt
	size  int64
	close func() error
}

// Reader implements Source. What it reads goes through the operating system's cache, which all processes share, and not
// into memory of its own: the table of a large sector would fill it.
func (c *Cache) Reader() Read {
	var buf []byte
	return func(first uint32, rows []ParentList) error {
		buf = slices.Grow(buf[:0], len(rows)*entrySize)[:len(rows)*entrySize]
		if _, err := c.table.ReadAt(buf, int64(first)*entrySize); err != nil {
			return fmt.Errorf("parents from node %d: %w", first, err)
		}
		for n := range rows {
			row := buf[n*entrySize : (n+1)*entrySize]
			for i := range rows[n] {
				rows[n][i] = binary.LittleEndian.Uint32(row[4*i:])
			}
		}
		return nil
	}
}

// Digest is the SHA-256 of the table in hex.
func (c *Cache) Digest() (string, error) {
	h := sha256.New()
	if _, err := io.CopyBuffer(h, io.NewSectionReader(c.table, 0, c.size), make([]byte, 1<<20)); err != nil {
		return "", fmt.Errorf("digest of parent cache: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Close gives the table back.
func (c *Cache) Close() error { return c.close() }

// NewMemoryCache computes all parents on all cores and keeps them in memory (56 bytes per node).
func NewMemoryCache(ctx context.Context, g *Graph) (*Cache, error) {
	table := make([]byte, g.nodes*entrySize)
	err := eachChunk(ctx, g, func(at int64, rows []byte) error {
		copy(table[at:], rows)
		return nil
	})
	return &Cache{table: bytes.NewReader(table), size: int64(len(table)), close: func() error { return nil }}, err
}

// OpenCache opens the graph's cache file in dir, shared by all processes of the machine. A missing file is computed on all
// cores first. A file of the wrong size or, where a digest is published, of the wrong content is an ErrCache that names
// it; nothing is overwritten then.
func OpenCache(ctx context.Context, dir string, g *Graph) (*Cache, error) {
	path := filepath.Join(dir, g.CacheName()+".cache")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := writeCache(ctx, path, g); err != nil {
			return nil, err
		}
	}
	c, err := openCache(path, g)
	if err != nil {
		return nil, err
	}
	// Hashing is a hundredth of the labelling that follows, and a wrong parent would only show as a refused proof.
	if want, ok := g.GoldenDigest(); ok {
		got, err := c.Digest()
		if err == nil && got != want {
			err = fmt.Errorf("%s does not have the published digest; remove it and it will be made anew: %w", path, ErrCache)
		}
		if err != nil {
			_ = c.Close()
			return nil, err
		}
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

func openCache(path string, g *Graph) (*Cache, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open parent cache: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if want := int64(g.nodes) * entrySize; err == nil && size != want {
		err = fmt.Errorf("%s has %d bytes, want %d; remove it and it will be made anew: %w", path, size, want, ErrCache)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("size of parent cache: %w", err)
	}
	return &Cache{table: f, size: size, close: f.Close}, nil
}

// chunkNodes is how many lists of parents are computed, read or used at a time.
const chunkNodes = 1 << 12

// eachChunk computes the table in chunks on all cores; put gets the byte offset of each, in no order.
func eachChunk(ctx context.Context, g *Graph, put func(at int64, rows []byte) error) error {
	var next atomic.Uint64
	group, ctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), int(g.nodes/chunkNodes)+1) {
		group.Go(func() error {
			rows := make([]byte, 0, chunkNodes*entrySize)
			lists := make([]ParentList, chunkNodes)
			read := g.Reader()
			for {
				start := next.Add(chunkNodes) - chunkNodes
				if start >= g.nodes {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				count := min(chunkNodes, g.nodes-start)
				if err := read(uint32(start), lists[:count]); err != nil {
					return err
				}
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

// buffers is how many chunks eachParents has in hand: one in use, one ready, one being read.
const buffers = 3

// eachParents calls use with the parents of the first nodes, chunk by chunk in order, and reads ahead meanwhile. Lists that
// point outside these nodes, or outside the layer before (its size 0: not looked at), are an ErrCache: use relies on them.
func eachParents(ctx context.Context, src Source, nodes, before uint64, use func(first uint64, rows []ParentList)) error {
	group, reading := errgroup.WithContext(ctx)
	free, full := make(chan []ParentList, buffers), make(chan []ParentList, buffers)
	for range buffers {
		free <- make([]ParentList, min(chunkNodes, nodes))
	}
	group.Go(func() error {
		defer close(full)
		read := src.Reader()
		for first := uint64(0); first < nodes; first += chunkNodes {
			var rows []ParentList
			select {
			case rows = <-free:
			case <-reading.Done():
				return reading.Err()
			}
			rows = rows[:min(chunkNodes, nodes-first)]
			if err := read(uint32(first), rows); err != nil {
				return err
			}
			if err := inside(rows, nodes, before); err != nil {
				return fmt.Errorf("nodes from %d: %w", first, err)
			}
			full <- rows
		}
		return nil
	})
	first := uint64(0)
	for rows := range full {
		if ctx.Err() == nil {
			use(first, rows)
		}
		first += uint64(len(rows))
		free <- rows
	}
	return errors.Join(ctx.Err(), group.Wait())
}

// inside checks that no base parent lies behind here nodes, no expander parent behind before.
func inside(rows []ParentList, here, before uint64) error {
	for i := range rows {
		var base, exp uint32
		for _, p := range rows[i][:shape.BaseDegree] {
			base = max(base, p)
		}
		for _, p := range rows[i][shape.BaseDegree:] {
			exp = max(exp, p)
		}
		if uint64(base) >= here || before > 0 && uint64(exp) >= before {
			return fmt.Errorf("base parent %d of %d nodes, expander parent %d of %d: %w", base, here, exp, before, ErrCache)
		}
	}
	return nil
}

// CacheEnv is the environment variable that names the folder of parent caches, for us as for every Filecoin program.
const CacheEnv = "FIL_PROOFS_PARENT_CACHE"

const defaultCache = "/var/tmp/filecoin-parents"

// CacheDir is the folder of parent caches of this machine.
func CacheDir() string {
	if dir := os.Getenv(CacheEnv); dir != "" {
		return dir
	}
	return defaultCache
}

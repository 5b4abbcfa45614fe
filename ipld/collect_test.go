package ipld

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/filecoin-venus/venus/internal/fault"
)

// garden is a random graph in a store, with what the model knows of it.
type garden struct {
	r     *rand.Rand
	d     *Disk
	nodes []cid.Cid
	links map[cid.Cid][]cid.Cid
	// lazy leaves every second growth to a later Sync.
	lazy bool
}

// grow puts n nodes; each leads to some of the earlier ones.
func (h *garden) grow(t testing.TB, n int) (fresh []cid.Cid) {
	t.Helper()
	for range n {
		var links []cid.Cid
		for range h.r.IntN(4) {
			if len(h.nodes) > 0 {
				links = append(links, h.nodes[h.r.IntN(len(h.nodes))])
			}
		}
		c := put(t, h.d, fmt.Sprint("node ", h.r.Int64()), links...)
		h.nodes, h.links[c] = append(h.nodes, c), links
		fresh = append(fresh, c)
	}
	if !h.lazy || h.r.IntN(2) == 0 {
		require.NoError(t, h.d.Sync(context.Background()))
	}
	return fresh
}

// reachable is the model: what some roots lead to.
func (h *garden) reachable(roots ...cid.Cid) map[cid.Cid]bool {
	out := map[cid.Cid]bool{}
	for len(roots) > 0 {
		c := roots[0]
		roots = roots[1:]
		if !out[c] {
			out[c] = true
			roots = append(roots, h.links[c]...)
		}
	}
	return out
}

func (h *garden) require(t testing.TB, c cid.Cid, want bool, why string) {
	t.Helper()
	_, err := h.d.Get(context.Background(), c)
	if want {
		require.NoError(t, err, why)
		return
	}
	require.ErrorIs(t, err, ErrNotFound, why)
}

func newGarden(t testing.TB, seed uint64) *garden {
	t.Helper()
	d, err := OpenDisk(filepath.Join(t.TempDir(), "blocks"))
	require.NoError(t, err)
	return &garden{r: rand.New(rand.NewPCG(seed, 0)), d: d, links: map[cid.Cid][]cid.Cid{}}
}

// simple keeps what some roots lead to; hooks run at the moments of a collection.
func simple(roots *[]cid.Cid, grace, still func()) CollectOptions {
	run := func(f func()) {
		if f != nil {
			f()
		}
	}
	return CollectOptions{
		Roots: func(_ context.Context, _ Leaf, graph Graph) error { return graph(false, *roots...) },
		Grace: func(context.Context) error { run(grace); return nil },
		Still: func(fn func() error) error { run(still); return fn() },
	}
}

// Collections against the model: what the roots lead to stays, so does what was written meanwhile with all that it leads
// to, and nothing else does.
func TestCollectKeepsWhatTheModelKeeps(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range uint64(4) {
		h := newGarden(t, seed+round)
		h.lazy = round%2 == 1
		h.grow(t, 200)
		for range 3 {
			roots := []cid.Cid{h.nodes[h.r.IntN(len(h.nodes))], h.nodes[h.r.IntN(len(h.nodes))]}
			var meanwhile []cid.Cid
			work := func() { meanwhile = append(meanwhile, h.grow(t, 20)...) }
			o := simple(&roots, work, func() {
				work()
				roots = append(roots, h.nodes[h.r.IntN(len(h.nodes))]) // the roots move at the last moment
			})
			got, err := h.d.Collect(t.Context(), o)
			require.NoError(t, err)
			want := h.reachable(append(meanwhile, roots...)...)
			for _, c := range h.nodes {
				h.require(t, c, want[c], "after the collection")
			}
			require.LessOrEqual(t, got.Kept, int64(len(want)))
			m := h.d.manifest()
			require.Len(t, m.Packs, 1)
			require.Empty(t, m.Rolled)
			require.NoError(t, h.d.Close())
			h.d, err = OpenDisk(h.d.dir)
			require.NoError(t, err)
			kept := h.nodes[:0:0]
			for _, c := range h.nodes {
				h.require(t, c, want[c], "after a restart")
				if want[c] {
					kept = append(kept, c)
				}
			}
			h.nodes = kept
			_, err = h.d.Check(t.Context())
			require.NoError(t, err)
		}
		list, err := os.ReadDir(h.d.dir)
		require.NoError(t, err)
		require.Len(t, list, 6, "a manifest, a lock, the two files of a pack and those of one that grows: %v", list)
		require.NoError(t, h.d.Close())
	}
}

// writers put blocks that lead to kept ones, and read those, until they are stopped.
type writers struct {
	mu    sync.Mutex
	tick  *sync.Cond
	wrote []cid.Cid
	turns [4]int
	stop  bool
}

func (w *writers) work(t *testing.T, d *Disk, me int, stable []cid.Cid) {
	for i := 0; ; i++ {
		c := put(t, d, fmt.Sprint("writer ", me, " ", i), stable[(me+i)%len(stable)])
		if _, err := d.Get(context.Background(), stable[i%len(stable)]); err != nil {
			t.Errorf("a kept block is not there for a moment: %v", err)
			return
		}
		w.mu.Lock()
		w.wrote = append(w.wrote, c)
		w.turns[me]++
		w.tick.Broadcast()
		stop := w.stop
		w.mu.Unlock()
		if stop {
			return
		}
	}
}

func (w *writers) list() []cid.Cid {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]cid.Cid{}, w.wrote...)
}

// turn waits until every writer has told of what it had put before the call.
func (w *writers) turn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for old := w.turns; ; w.tick.Wait() {
		done := true
		for i := range old {
			done = done && w.turns[i] > old[i]
		}
		if done {
			return
		}
	}
}

// Many write and read while collections follow each other: whatever was told of or written during one is there after it,
// whole.
func TestCollectUnderWork(t *testing.T) {
	h := newGarden(t, 1)
	old := h.grow(t, 300)
	roots := []cid.Cid{old[299], old[200]}
	var stable []cid.Cid
	for c := range h.reachable(roots...) {
		stable = append(stable, c)
	}
	w := new(writers)
	w.tick = sync.NewCond(&w.mu)
	var wg sync.WaitGroup
	for me := range w.turns {
		wg.Go(func() { w.work(t, h.d, me, stable) })
	}
	for range 3 {
		o := simple(&roots, w.turn, nil)
		o.Roots = func(_ context.Context, _ Leaf, graph Graph) error { return graph(false, append(w.list(), roots...)...) }
		_, err := h.d.Collect(t.Context(), o)
		require.NoError(t, err)
		for _, c := range w.list() {
			h.require(t, c, true, "written before or during the collection")
		}
	}
	w.mu.Lock()
	w.stop = true
	w.mu.Unlock()
	wg.Wait()
	require.NoError(t, h.d.Close())
}

// copyTree copies a folder as a kill would leave it, without the holes of its files.
func copyTree(t testing.TB, to, from string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		require.NoError(t, err)
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		src, err := os.Open(path)
		require.NoError(t, err)
		defer src.Close()
		info, err := src.Stat()
		require.NoError(t, err)
		dst, err := os.Create(filepath.Join(to, rel))
		require.NoError(t, err)
		defer dst.Close()
		require.NoError(t, dst.Truncate(info.Size()))
		for at := int64(0); at < info.Size(); {
			data, err := unix.Seek(int(src.Fd()), at, unix.SEEK_DATA)
			if errors.Is(err, unix.ENXIO) {
				return nil
			}
			require.NoError(t, err)
			hole, err := unix.Seek(int(src.Fd()), data, unix.SEEK_HOLE)
			require.NoError(t, err)
			_, err = io.Copy(io.NewOffsetWriter(dst, data), io.NewSectionReader(src, data, hole-data))
			require.NoError(t, err)
			at = hole
		}
		return nil
	}))
}

// A collection that dies at any of its points, the process with it or not, loses nothing that it would have kept and
// nothing that was written meanwhile.
func TestCollectCrashes(t *testing.T) {
	for _, point := range []string{"collect/rotate", "collect/copied", "pack/index", "collect/swap", "collect/swapped"} {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprint(point, " killed ", killed), func(t *testing.T) {
				h := newGarden(t, 7)
				h.d.tidier.end() // files that come and go would make the image one of several moments
				h.grow(t, 100)
				roots := []cid.Cid{h.nodes[90], h.nodes[99]}
				var meanwhile []cid.Cid
				image := filepath.Join(t.TempDir(), "blocks")
				disarm := fault.Arm(point, func() error {
					if point == "collect/copied" || point == "pack/index" { // at the others nobody can write
						meanwhile = append(meanwhile, h.grow(t, 5)...)
					}
					if killed { // the disk as a kill leaves it at this moment
						copyTree(t, image, h.d.dir)
					}
					return fault.ErrInjected
				})
				_, err := h.d.Collect(t.Context(), simple(&roots, nil, nil))
				disarm()
				require.ErrorIs(t, err, fault.ErrInjected)
				want := h.reachable(append(meanwhile, roots...)...)
				dir := h.d.dir
				if killed {
					require.NoError(t, h.d.Close())
					dir = image
				} else {
					for c := range want {
						h.require(t, c, true, "goes on without a restart")
					}
					h.grow(t, 1)
					require.NoError(t, h.d.Close())
				}
				h.d, err = OpenDisk(dir)
				require.NoError(t, err)
				for c := range want {
					h.require(t, c, true, "after the crash")
				}
				_, err = h.d.Collect(t.Context(), simple(&roots, nil, nil))
				require.NoError(t, err, "the next one works")
				for c := range h.reachable(roots...) {
					h.require(t, c, true, "after the next collection")
				}
				require.NoError(t, h.d.Close())
			})
		}
	}
}

func TestCollectRefusals(t *testing.T) {
	h := newGarden(t, 3)
	h.grow(t, 20)
	absent, _ := block(t, "absent")
	roots := []cid.Cid{absent}
	_, err := h.d.Collect(t.Context(), simple(&roots, nil, nil))
	require.ErrorIs(t, err, ErrNotFound, "a store that lacks what it must keep is not made smaller")
	roots = h.nodes
	busy := simple(&roots, func() {
		_, err := h.d.Collect(t.Context(), CollectOptions{})
		require.ErrorIs(t, err, ErrBusy)
	}, nil)
	_, err = h.d.Collect(t.Context(), busy)
	require.NoError(t, err)
	full := errors.New("full")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = h.d.Collect(over, simple(&roots, nil, nil))
	require.ErrorIs(t, err, context.Canceled)
	h.d.Guard(func() error { return full })
	_, err = h.d.Collect(t.Context(), simple(&roots, nil, nil))
	require.ErrorIs(t, err, full, "pruning needs room first")
	h.d.Guard(func() error { return nil })
	for _, c := range h.nodes {
		h.require(t, c, true, "nothing went")
	}
	require.NoError(t, h.d.Close())
}

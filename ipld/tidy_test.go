package ipld

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/internal/fault"
)

// smallRoll has packs roll over after a few blocks.
const smallRoll = 2 << 10

// reopen closes the store of a garden and opens it again.
func (h *garden) reopen(t testing.TB) {
	t.Helper()
	require.NoError(t, h.d.Close())
	d, err := openDisk(h.d.dir, smallRoll)
	require.NoError(t, err)
	h.d = d
}

// settle has the store do now what it would do by and by.
func (h *garden) settle(t testing.TB) {
	t.Helper()
	require.NoError(t, h.d.tidy(t.Context()))
}

func (h *garden) requireAll(t testing.TB, why string) {
	t.Helper()
	for _, c := range h.nodes {
		h.require(t, c, true, why)
	}
	view := h.d.Sequential()
	for _, c := range h.nodes {
		_, err := view.Get(t.Context(), c)
		require.NoError(t, err, why)
	}
}

func newSmallGarden(t testing.TB, seed uint64) *garden {
	t.Helper()
	d, err := openDisk(filepath.Join(t.TempDir(), "blocks"), smallRoll)
	require.NoError(t, err)
	return &garden{r: rand.New(rand.NewPCG(seed, 0)), d: d, links: map[cid.Cid][]cid.Cid{}}
}

// However much is written, there are few packs, each block is in one of them, and a collection takes them all.
func TestPacksStayFew(t *testing.T) {
	h := newSmallGarden(t, uint64(time.Now().UnixNano()))
	rolled := 0
	for round := range 120 {
		before := h.d.manifest().Next
		h.grow(t, 40)
		rolled += h.d.manifest().Next - before
		h.settle(t)
		m := h.d.manifest()
		require.Len(t, m.Growing, 1)
		require.LessOrEqual(t, len(m.Rolled), (fanIn-1)*topClass+rolled>>(2*topClass))
		if round%20 == 7 {
			h.requireAll(t, "after many packs")
			h.reopen(t)
		}
	}
	require.Greater(t, rolled, 80)
	h.requireAll(t, "at the end")
	n, err := h.d.Check(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, len(h.nodes))
	u := h.d.Usage()
	require.Zero(t, u.Packed, "all of it was written here")
	require.Greater(t, u.Hot, int64(smallRoll))
	roots := []cid.Cid{h.nodes[3]}
	_, err = h.d.Collect(t.Context(), simple(&roots, nil, nil))
	require.NoError(t, err)
	require.Empty(t, h.d.manifest().Rolled)
	require.NoError(t, h.d.Close())
}

// Whatever mark a store dies at while it writes, seals and merges, killed or not: what was durable is there, and it goes on.
func TestTidyCrashes(t *testing.T) {
	for _, point := range []string{"store/sync", "store/appended", "store/roll", "store/seal", "store/merged", "store/changed"} {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprint(point, " killed ", killed), func(t *testing.T) {
				h := newSmallGarden(t, 11)
				h.d.tidier.end() // the test says when
				image := filepath.Join(t.TempDir(), "blocks")
				var durable []cid.Cid
				died := false
				// What is to die at the mark is one of these, after some that were well.
				steps := func() error {
					for range 10 {
						c := put(t, h.d, fmt.Sprint("node ", h.r.Int64()))
						h.nodes = append(h.nodes, c)
					}
					if err := h.d.Sync(t.Context()); err != nil {
						return err
					}
					durable = slices.Clone(h.nodes)
					return h.d.tidy(t.Context())
				}
				for range 30 {
					require.NoError(t, steps())
				}
				disarm := fault.Arm(point, func() error {
					if killed && !died {
						copyTree(t, image, h.d.dir)
					}
					died = true
					return fault.ErrInjected
				})
				for n := 0; !died; n++ {
					require.Less(t, n, 100, "the mark is never passed")
					if err := steps(); err != nil {
						require.ErrorIs(t, err, fault.ErrInjected)
					}
				}
				disarm()
				if killed {
					h.nodes = durable
					require.NoError(t, h.d.Close())
					d, err := openDisk(image, smallRoll)
					require.NoError(t, err)
					h.d = d
				}
				h.requireAll(t, "after the fault")
				for range 30 {
					h.grow(t, 10)
					h.settle(t)
				}
				if !killed {
					require.NoError(t, h.d.Close())
					d, err := openDisk(h.d.dir, smallRoll)
					require.NoError(t, err)
					h.d = d
				}
				h.requireAll(t, "after going on")
				_, err := h.d.Check(t.Context())
				require.NoError(t, err)
				require.NoError(t, h.d.Close())
			})
		}
	}
}

// Housekeeping that somebody asks for goes first: a merge under way gives up.
func TestMergesGiveWay(t *testing.T) {
	h := newSmallGarden(t, 5)
	h.d.tidier.end()
	for len(h.d.manifest().Growing) <= fanIn {
		h.grow(t, 10)
	}
	for len(h.d.manifest().Growing) > 1 {
		more, err := h.d.tidyStep(t.Context())
		require.NoError(t, err)
		require.True(t, more)
	}
	rolled, next := h.d.manifest().Rolled, h.d.manifest().Next
	require.Len(t, rolled, fanIn)
	roots := []cid.Cid{h.nodes[0]}
	collected := make(chan error, 1)
	var once sync.Once
	h.d.Guard(func() error { // which a merge asks before every stretch
		if h.d.manifest().Next > next {
			once.Do(func() {
				go func() {
					_, err := h.d.Collect(t.Context(), simple(&roots, nil, nil))
					collected <- err
				}()
				for claimed := 0; claimed == 0; runtime.Gosched() {
					h.d.claims.Lock()
					claimed = h.d.claimed
					h.d.claims.Unlock()
				}
			})
		}
		return nil
	})
	h.settle(t)
	require.NoError(t, <-collected)
	require.Empty(t, h.d.manifest().Rolled)
	require.Empty(t, h.d.claimed)
	h.require(t, roots[0], true, "a root")
	require.NoError(t, h.d.Close())
	list, err := filepath.Glob(filepath.Join(h.d.dir, "pack-*.car"))
	require.NoError(t, err)
	require.Len(t, list, 2, "nothing is left of the merge")
}

// blocksOf lists what a store in memory holds.
func blocksOf(t require.TestingT, m *Memory) (list []blocks.Block) {
	for c, data := range m.data {
		b, err := blocks.NewBlockWithCid(data, c)
		require.NoError(t, err)
		list = append(list, b)
	}
	return list
}

// Whatever a crash leaves behind what was durable, and whatever the disk forgets of that: blocks are there, or opening fails.
func TestGrowingSurvives(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		base := filepath.Join(dir, fmt.Sprint(n))
		g, err := createGrowing(base)
		require.NoError(rt, err)
		model := map[cid.Cid][]byte{}
		batch := func(count int) {
			m := NewMemory()
			for range count {
				data := rapid.SliceOfN(rapid.Byte(), 1, 60).Draw(rt, "data")
				c, err := prefix.Sum(data)
				require.NoError(rt, err)
				model[c] = data
				require.NoError(rt, m.Put(t.Context(), c, data))
			}
			require.NoError(rt, g.append(blocksOf(rt, m)))
		}
		for range rapid.IntRange(0, 4).Draw(rt, "batches") {
			batch(rapid.IntRange(0, 5).Draw(rt, "blocks"))
		}
		durable := g.size.Load()
		require.NoError(rt, g.Close())
		whole, err := os.ReadFile(base + packData)
		require.NoError(rt, err)
		require.Len(rt, whole, int(durable))
		torn := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(rt, "torn")
		require.NoError(rt, os.WriteFile(base+packData, append(bytes.Clone(whole), torn...), 0o600))
		g, err = openGrowing(t.Context(), base)
		require.NoError(rt, err)
		batch(2)
		p, err := g.seal()
		require.NoError(rt, err)
		require.NoError(rt, g.forgetLength())
		for _, part := range []part{g, p} {
			for c, want := range model {
				got, err := part.Get(t.Context(), c)
				require.NoError(rt, err)
				require.Equal(rt, want, got)
			}
			checked, err := part.Check(t.Context())
			require.NoError(rt, err)
			require.Equal(rt, len(model), checked)
		}
		require.NoError(rt, p.Close())
		require.NoError(rt, RemovePack(base))
	})
}

func TestGrowingNoticesWhatTheDiskForgot(t *testing.T) {
	base := filepath.Join(t.TempDir(), "pack")
	g, err := createGrowing(base)
	require.NoError(t, err)
	m := NewMemory()
	for i := range 50 {
		put(t, m, fmt.Sprint("block ", i))
	}
	require.NoError(t, g.append(blocksOf(t, m)))
	require.NoError(t, g.Close())
	whole, err := os.ReadFile(base + packData)
	require.NoError(t, err)
	lost, refused := 0, 0
	for at := 1; at < len(whole); at += 7 {
		for name, bad := range map[string][]byte{
			"cut":  whole[:at],
			"bent": slices.Concat(whole[:at], []byte{whole[at] ^ 0x10}, whole[at+1:]),
		} {
			require.NoError(t, os.WriteFile(base+packData, bad, 0o600))
			g, err := openGrowing(t.Context(), base)
			if err != nil {
				if at > 30 { // behind the header
					require.ErrorIs(t, err, ErrLost, "%s at %d", name, at)
				}
				refused++
				continue
			}
			require.Equal(t, "bent", name, "at %d", at)
			failed := 0
			for c, want := range m.data {
				got, err := g.Get(t.Context(), c)
				if err != nil {
					failed++
					continue
				}
				require.Equal(t, want, got, "at %d", at)
			}
			require.LessOrEqual(t, failed, 1, "at %d: one block was touched", at)
			lost += failed
			require.NoError(t, g.Close())
		}
	}
	require.Greater(t, refused, len(whole)/7)
	require.Greater(t, lost, len(whole)/10, "most bytes belong to blocks and their hashes")
	// Nobody knows how much was durable: what is whole counts.
	cut := len(whole) - 10
	require.NoError(t, os.WriteFile(base+packData, whole[:cut], 0o600))
	require.NoError(t, os.WriteFile(base+packLength, []byte("not a length"), 0o600))
	g, err = openGrowing(t.Context(), base)
	require.NoError(t, err)
	n, err := g.Check(t.Context())
	require.NoError(t, err)
	require.Equal(t, 49, n)
	require.NoError(t, g.Close())
}

// A store of a former version is read as it is and becomes a pack.
func TestFormerStores(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blocks")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	model := map[cid.Cid][]byte{}
	for _, name := range []string{"hot-1", "hot-4"} {
		db, err := badger.Open(badger.DefaultOptions(filepath.Join(dir, name)).WithLogger(nil).WithValueThreshold(128))
		require.NoError(t, err)
		for i := range 300 {
			data := fmt.Appendf(nil, "%s block %d %s", name, i, bytes.Repeat([]byte("x"), i))
			for _, c := range names(t, data) {
				model[c] = data
				require.NoError(t, db.Update(func(tx *badger.Txn) error { return tx.Set(c.Hash(), data) }))
			}
		}
		require.NoError(t, db.Close())
		// A kill may come between the two steps in which badger deletes the log of a table.
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "00077.mem"), nil, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, manifestName), []byte(`{"hot": ["hot-4", "hot-1"], "packs": [], "next": 5}`), 0o600))
	all := func(d *Disk) {
		t.Helper()
		for c, want := range model {
			got, err := d.Get(t.Context(), c)
			require.NoError(t, err)
			require.Equal(t, want, got)
			ok, err := d.Has(t.Context(), c)
			require.NoError(t, err)
			require.True(t, ok)
		}
		absent, _ := block(t, "absent")
		_, err := d.Get(t.Context(), absent)
		require.ErrorIs(t, err, ErrNotFound)
	}
	full := errors.New("full")
	d, err := OpenDisk(dir)
	require.NoError(t, err)
	d.Guard(func() error { return full })
	all(d)
	require.NoError(t, d.Close())
	d, err = OpenDisk(dir)
	require.NoError(t, err)
	require.NoError(t, d.tidy(t.Context()))
	require.Empty(t, d.manifest().Hot)
	require.NoDirExists(t, filepath.Join(dir, "hot-1"))
	all(d)
	_, err = d.Check(t.Context())
	require.NoError(t, err)
	require.NoError(t, d.Close())
}

func TestFormerStoresAreChecked(t *testing.T) {
	db, err := badger.Open(badger.DefaultOptions(filepath.Join(t.TempDir(), "x")).WithLogger(nil))
	require.NoError(t, err)
	c, data := block(t, "sound")
	require.NoError(t, db.Update(func(tx *badger.Txn) error {
		return errors.Join(tx.Set(c.Hash(), data))
	}))
	dir := db.Opts().Dir
	open := func(key, value []byte) error {
		db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil))
		require.NoError(t, err)
		require.NoError(t, db.Update(func(tx *badger.Txn) error { return tx.Set(key, value) }))
		require.NoError(t, db.Close())
		f, err := openFormer(dir)
		require.NoError(t, err)
		n, err := f.Check(t.Context())
		if err == nil {
			require.Equal(t, 1, n)
		}
		return errors.Join(err, f.Close())
	}
	require.NoError(t, db.Close())
	require.NoError(t, open(c.Hash(), data))
	require.ErrorContains(t, open(c.Hash(), []byte("other")), "damaged")
	require.NoError(t, open(c.Hash(), data))
	other, err := mh.Sum([]byte("x"), mh.SHA2_256, 32)
	require.NoError(t, err)
	require.ErrorContains(t, open(other, []byte("y")), mh.Multihash(other).B58String())
}

func TestBlocksHaveALimit(t *testing.T) {
	h := newGarden(t, 1)
	defer func() { require.NoError(t, h.d.Close()) }()
	big := make([]byte, maxCarBlock)
	c, err := prefix.Sum(big)
	require.NoError(t, err)
	require.ErrorIs(t, h.d.Put(t.Context(), c, big), ErrTooLarge)
	big = big[:maxCarBlock-c.ByteLen()]
	c, err = prefix.Sum(big)
	require.NoError(t, err)
	require.NoError(t, h.d.Put(t.Context(), c, big))
	require.NoError(t, h.d.Close())
	h.d, err = OpenDisk(h.d.dir)
	require.NoError(t, err)
	h.require(t, c, true, "the largest that there can be")
}

package snapshot

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params/policy"
	"github.com/filecoin-venus/venus/sim"
	"github.com/filecoin-venus/venus/state/check"
	"github.com/filecoin-venus/venus/types"
)

var worlds sync.Map // by seed and height: nobody changes them

// mined is a chain of the simulator.
func mined(t testing.TB, seed int64, height abi.ChainEpoch) *sim.World {
	t.Helper()
	name := fmt.Sprint(seed, "/", height)
	if w, ok := worlds.Load(name); ok {
		return w.(*sim.World)
	}
	cfg := sim.Config{Miners: 2, Seed: seed}
	net, err := sim.Network(cfg)
	require.NoError(t, err)
	require.NoError(t, policy.Apply(net))
	w, err := sim.NewWorld(context.Background(), cfg)
	require.NoError(t, err)
	for w.Store.Head().Height() < height {
		_, err := w.Step(context.Background())
		require.NoError(t, err)
	}
	worlds.Store(name, w)
	return w
}

// home is a store on disk, as a node has it.
type home struct {
	*chain.Store
	dir  string
	disk *ipld.Disk
	meta *chain.MemoryMeta // outlives again; that it is durable on disk is chain's to test
	w    *sim.World
}

// open opens a home; the genesis is there when it was set.
func open(t testing.TB, dir string, w *sim.World, meta *chain.MemoryMeta) *home {
	t.Helper()
	h := &home{dir: dir, w: w, meta: meta}
	var err error
	h.disk, err = ipld.OpenDisk(filepath.Join(dir, "blocks"))
	require.NoError(t, err)
	h.Store, err = chain.Open(context.Background(), chain.Config{Network: w.Net, Blocks: h.disk, Meta: h.meta})
	if err != nil {
		require.ErrorIs(t, err, chain.ErrNoGenesis)
	}
	return h
}

func (h *home) close(t testing.TB) {
	t.Helper()
	require.NoError(t, h.disk.Close())
}

// again closes and opens.
func (h *home) again(t testing.TB) *home {
	t.Helper()
	h.close(t)
	return open(t, h.dir, h.w, h.meta)
}

// founded has the genesis of a world and nothing else.
func founded(t testing.TB, w *sim.World) *home {
	t.Helper()
	h := open(t, t.TempDir(), w, chain.NewMemoryMeta())
	g := w.Store.Genesis().Blocks()[0]
	copyGraph(t, w, h, g.ParentStateRoot, g.ParentMessageReceipts, g.Messages)
	require.NoError(t, h.SetGenesis(context.Background(), g))
	return h
}

func copyGraph(t testing.TB, w *sim.World, h *home, roots ...cid.Cid) {
	t.Helper()
	var all []blocks.Block
	s := ipld.Sweep{From: w.Store.Blocks(), Visit: func(c cid.Cid, data []byte) error {
		b, err := blocks.NewBlockWithCid(data, c)
		all = append(all, b)
		return err
	}}
	require.NoError(t, s.Walk(context.Background(), roots...))
	require.NoError(t, h.disk.PutMany(context.Background(), all))
}

// exported writes the world's chain to a file.
func exported(t testing.TB, w *sim.World, name string, r chain.Retention) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, Create(path, func(out io.Writer) error {
		_, err := Export(context.Background(), out, w.Store, w.Store.Head(), ExportOptions{Retention: r})
		return err
	}))
	return path
}

func (h *home) take(path string, o ImportOptions) (Imported, error) {
	src, err := Open(context.Background(), path)
	if err != nil {
		return Imported{}, err
	}
	defer src.Close()
	return Import(context.Background(), h.disk, h.Store, src, o)
}

// requireSame demands that a home has the world's chain and can go on with it.
func requireSame(t testing.TB, w *sim.World, h *home) {
	t.Helper()
	ctx := context.Background()
	head := w.Store.Head()
	require.Equal(t, head.Key(), h.Head().Key())
	require.Equal(t, w.Store.Genesis().Key(), h.Genesis().Key())
	require.NoError(t, h.EachBack(ctx, h.Head(), func(*types.TipSet) error { return nil }), "all headers are there")
	exec, err := chain.NewExecutor(chain.ExecutorConfig{Store: h.Store, Rounds: w.Schedule, Verifier: sim.Verifier{}})
	require.NoError(t, err)
	defer exec.Close()
	want, err := w.Exec.Execute(ctx, head)
	require.NoError(t, err)
	got, err := exec.Execute(ctx, h.Head())
	require.NoError(t, err)
	require.Equal(t, want, got, "the head executes to the same state")
	judge := check.New()
	problems, err := judge.Check(ctx, h.Objects(), got.State, head.Height())
	require.NoError(t, err, "the state is readable")
	require.Empty(t, problems)
	require.Equal(t, "2000000000000000000000000000", judge.TotalFIL().String())
}

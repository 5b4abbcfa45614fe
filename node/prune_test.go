package node

import (
	"context"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/snapshot"
	"github.com/filecoin-venus/venus/types"
)

func TestWhenPruningIsDue(t *testing.T) {
	for _, c := range []struct {
		cfg        PruneConfig
		since      time.Duration
		hot, grown uint64
		due        bool
	}{
		{PruneConfig{}, 1000 * time.Hour, 1 << 20, 0, false},
		{PruneConfig{EveryHours: 2}, 2*time.Hour - 1, 1 << 20, 0, false},
		{PruneConfig{EveryHours: 2}, 2 * time.Hour, 0, 0, true},
		{PruneConfig{AboveMiB: 100}, 1000 * time.Hour, 99, 0, false},
		{PruneConfig{AboveMiB: 100}, 0, 100, 0, true},
		{PruneConfig{AboveMiB: 100}, 0, 199, 100, false},
		{PruneConfig{AboveMiB: 100, EveryHours: 1}, time.Hour, 0, 0, true},
	} {
		require.Equal(t, c.due, c.cfg.due(c.since, c.hot, c.grown), "%+v", c)
	}
}

// total reads a counter of /metrics.
func total(t *testing.T, m *nodeMeters, name string) (sum float64) {
	t.Helper()
	all, err := m.Registry.Gather()
	require.NoError(t, err)
	for _, family := range all {
		if family.GetName() == name {
			for _, one := range family.GetMetric() {
				sum += one.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// The configuration prunes when its time has come, and not otherwise.
func TestPruningByItself(t *testing.T) {
	w := theWorld(t)
	n := w.first(t, alone)
	n.mine(t, 2)
	sim := clock.NewSim(time.Now())
	ctx, end := context.WithCancel(t.Context())
	defer end()
	p := &pruner{reader: n.API.objectAPI.reader, disk: n.blocks, cfg: PruneConfig{EveryHours: 2}, meters: newMeters("test", "test"), clock: sim, life: ctx}
	done := make(chan struct{})
	go func() { defer close(done); p.follow(ctx) }()
	for range 119 {
		require.NoError(t, sim.WaitFor(ctx, 1))
		sim.Advance(time.Minute)
	}
	require.NoError(t, sim.WaitFor(ctx, 1))
	require.Zero(t, total(t, p.meters, "venus_store_prunings_total"), "not before its time")
	sim.Advance(time.Minute)
	soon(t, "it prunes", func() bool { return total(t, p.meters, "venus_store_prunings_total") == 1 })
	end()
	<-done
	require.Positive(t, p.disk.Usage().Packed)
	n.mine(t, 1)

	p = &pruner{reader: n.API.objectAPI.reader, disk: n.blocks, meters: newMeters("test", "test"), clock: clock.Real(), life: t.Context()}
	p.follow(t.Context()) // returns at once: it is off
	require.EqualValues(t, 500, (&pruner{reader: p.reader, cfg: PruneConfig{KeepEpochs: 500}}).keep(20).Recent)
	require.Equal(t, chain.Retention{Recent: chain.NeededEpochs(&w.net), SkipOldMessages: true}, p.keep(20), "never less than what is needed")
	p.running.Lock()
	_, err := p.run(0)
	require.ErrorIs(t, err, ipld.ErrBusy)
}

// A node takes in a chain whose states it does not trust: it judges every block, proofs included.
func TestImportChain(t *testing.T) {
	w := theWorld(t)
	n := w.first(t, alone)
	head := n.mine(t, 3)
	path := filepath.Join(t.TempDir(), "chain.car")
	require.NoError(t, snapshot.Create(path, func(out io.Writer) error {
		_, err := snapshot.Export(t.Context(), out, n.API.objectAPI.store, head, snapshot.ExportOptions{})
		return err
	}))
	var told snapshot.Imported
	b := w.first(t, func(o *Options) {
		alone(o)
		o.Chain = SnapshotOptions{From: path, Done: func(i snapshot.Imported) { told = i }}
	})
	require.Equal(t, head.Key(), b.head(t).Key())
	require.Equal(t, head.Key(), told.Head)
	require.EqualValues(t, 3, told.States, "tipsets that were executed")
	got, err := b.v1.StateGetActor(t.Context(), w.faucet.addr, types.EmptyTSK)
	require.NoError(t, err)
	want, err := n.v1.StateGetActor(t.Context(), w.faucet.addr, types.EmptyTSK)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

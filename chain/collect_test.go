package chain_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params/policy"
	"github.com/filecoin-venus/venus/sim"
	"github.com/filecoin-venus/venus/state/check"
	"github.com/filecoin-venus/venus/types"
)

// pruning is a chain of the simulator on a disk that is collected while blocks are mined.
type pruning struct {
	*sim.World
	t    *testing.T
	disk *ipld.Disk
	keep chain.Retention
}

func newPruning(t *testing.T) *pruning {
	t.Helper()
	p := &pruning{t: t, keep: chain.Retention{SkipOldMessages: true}}
	var err error
	p.disk, err = ipld.OpenDisk(filepath.Join(t.TempDir(), "blocks"))
	require.NoError(t, err)
	cfg := sim.Config{Miners: 2, Seed: 5, Blocks: p.disk, Meta: chain.NewMemoryMeta()}
	net, err := sim.Network(cfg)
	require.NoError(t, err)
	require.NoError(t, policy.Apply(net))
	p.World, err = sim.NewWorld(t.Context(), cfg)
	require.NoError(t, err)
	p.keep.Recent = chain.NeededEpochs(&p.Net)
	return p
}

func (p *pruning) mine(to abi.ChainEpoch) {
	p.t.Helper()
	for p.Store.Head().Height() < to {
		_, err := p.Step(context.Background())
		require.NoError(p.t, err)
	}
}

// collect runs a collection; meanwhile is done in its grace.
func (p *pruning) collect(meanwhile func()) error {
	_, err := p.disk.Collect(context.Background(), ipld.CollectOptions{
		Roots: func(ctx context.Context, leaf ipld.Leaf, graph ipld.Graph) error {
			return p.Store.Roots(ctx, p.keep, leaf, graph)
		},
		Follow: chain.Below,
		Grace:  func(context.Context) error { meanwhile(); return nil },
		Still: func(fn func() error) error {
			return p.Exec.Still(func() error {
				if err := p.Store.Hold(fn); err != nil {
					return err
				}
				_, err := p.Exec.Forget(context.Background())
				return err
			})
		},
	})
	return err
}

func (p *pruning) has(c cid.Cid) bool {
	p.t.Helper()
	ok, err := p.disk.Has(p.t.Context(), c)
	require.NoError(p.t, err)
	return ok
}

// Mining goes on while the store is collected. Afterwards every header is there, everything young is whole, what is old is
// gone, and the chain goes on from any tipset that a fork may leave it at.
func TestCollectTheChain(t *testing.T) {
	ctx := t.Context()
	p := newPruning(t)
	p.mine(330)
	side := p.sibling() // accepted, but on no chain yet
	for round := range 2 {
		top := abi.ChainEpoch(340 + 60*round)
		require.NoError(t, p.collect(func() { p.mine(top) }))
		head := p.Store.Head()
		young, old := 0, 0
		require.NoError(t, p.Store.EachBack(ctx, head, func(ts *types.TipSet) error {
			for _, h := range ts.Blocks() {
				require.True(t, p.has(h.Cid()))
				if p.keep.Young(h.Height, head.Height()) {
					young++
					whole := ipld.Sweep{From: p.disk}
					require.NoError(t, whole.Walk(ctx, h.ParentStateRoot, h.ParentMessageReceipts, h.Messages), "height %d", h.Height)
				} else if h.Height < top-p.keep.Recent-60 && !p.has(h.ParentStateRoot) {
					old++
				}
			}
			return nil
		}))
		require.Positive(t, young)
		require.Positive(t, old, "old states are gone")
		require.True(t, p.has(side.Cid()))
		p.mine(top + 30)
		res, err := p.Exec.Execute(ctx, p.Store.Head())
		require.NoError(t, err)
		problems, err := check.New().Check(ctx, p.Store.Objects(), res.State, p.Store.Head().Height())
		require.NoError(t, err)
		require.Empty(t, problems)
	}
	// A fork may begin finality below the head: what judges its first blocks is there.
	at, err := p.Store.AtOrBefore(ctx, p.Store.Head(), p.Store.Head().Height()-p.Net.Finality)
	require.NoError(t, err)
	_, err = p.Exec.Execute(ctx, at)
	require.NoError(t, err)
	_, root, err := p.Exec.Lookback(ctx, at, at.Height()+1)
	require.NoError(t, err)
	require.True(t, p.has(root))
	// Asking for what is gone is refused, not computed from the beginning of time.
	ancient, err := p.Store.AtOrBefore(ctx, p.Store.Head(), 150)
	require.NoError(t, err)
	_, err = p.Exec.Execute(ctx, ancient)
	require.ErrorIs(t, err, chain.ErrStateGone)
	p.Exec.Close()
	require.NoError(t, p.disk.Close())
}

// sibling puts a block beside the head's on the store, as one that lost.
func (p *pruning) sibling() *types.BlockHeader {
	p.t.Helper()
	h := *p.Store.Head().Blocks()[0]
	h.Ticket = &types.Ticket{VRFProof: []byte(fmt.Sprint("beside ", h.Height))}
	_, _, err := p.Store.Accept(p.t.Context(), &h)
	require.NoError(p.t, err)
	return &h
}

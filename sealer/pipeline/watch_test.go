package pipeline_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
)

// slowChain takes so long to list partitions that something happens meanwhile.
type slowChain struct {
	*sealertest.Chain
	once      sync.Once
	meanwhile func()
}

// StateMinerPartitions implements pipeline.Chain.
func (c *slowChain) StateMinerPartitions(ctx context.Context, m address.Address, deadline uint64, at types.TipSetKey) ([]node.Partition, error) {
	list, err := c.Chain.StateMinerPartitions(ctx, m, deadline, at)
	if deadline == params.PostDeadlines-1 {
		c.once.Do(c.meanwhile)
	}
	return list, err
}

// TestProvenMeanwhile has a sector become proven while the chain is read: what was read before says nothing of it.
func TestProvenMeanwhile(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		happened := false
		var r *rig
		ready := make(chan struct{})
		r = newRigOn(t, dir, func(r *rig) {
			r.over = &slowChain{Chain: r.chain, meanwhile: func() {
				<-ready
				happened = true
				r.chain.AddSector(7, 30, 0)
				rec := sector.New(sealertest.MinerID, 7, abi.RegisteredSealProof_StackedDrg2KiBV1_1, time.Now())
				commR := sealertest.Cid("sealed7")
				rec.State, rec.CommR = sector.Proving, &commR
				require.NoError(t, r.p.Adopt(context.Background(), rec))
			}}
		})
		defer func() { r.stop() }()
		close(ready)
		synctest.Wait() // the first look is at once, the next a window later
		require.True(t, happened)
		rec, err := r.p.Get(7)
		require.NoError(t, err)
		require.Equal(t, sector.Proving, rec.State)
	})
}

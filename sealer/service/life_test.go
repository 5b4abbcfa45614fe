package service

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/node"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/heads"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/pipeline"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/sealer/task"
	"github.com/filecoin-venus/venus/types"
)

func code(err error) api.ErrorCode { return api.Explain(err).Code }

// TestSectorLife calls every method of a sector's life on a running sealer.
func TestSectorLife(t *testing.T) {
	s, chain, dir := daemonUp(t)
	ctx := t.Context()
	_, err := s.PledgeSectors(ctx, 2)
	require.Equal(t, api.CodePrecondition, code(err), "no path to seal in")
	require.Equal(t, api.CodePrecondition, code(s.SectorsSetTarget(ctx, 2, 1)))
	_, err = s.StorageAttach(ctx, sealerapi.StorageSpec{Path: filepath.Join(dir, "files"), Init: true, CanSeal: true, CanStore: true})
	require.NoError(t, err)
	for _, n := range []int{-1, 0, 1001} {
		_, err = s.PledgeSectors(ctx, n)
		require.Equal(t, api.CodeInvalid, code(err))
	}
	require.Equal(t, api.CodeInvalid, code(s.SectorsSetTarget(ctx, 2, 0)))
	require.NoError(t, s.SectorsSetTarget(ctx, 0, 0))
	target, err := s.SectorsTarget(ctx)
	require.NoError(t, err)
	require.Equal(t, sealerapi.SectorTarget{}, target)

	// A sector that the chain has and this sealer does not know, due so late that
	// nobody looks for its files yet.
	chain.AddSector(7, 30, 1)
	chain.Tick(time.Now())
	require.Eventually(t, func() bool {
		unknown, err := s.SectorsUnknown(ctx)
		require.NoError(t, err)
		return len(unknown) == 1 && unknown[0] == sealerapi.UnknownSector{SectorID: 7, Live: true, Deadline: 30, Partition: 1, Expiration: 1e6}
	}, time.Minute, 10*time.Millisecond)
	commR := sealertest.Cid("sealed7")
	rec := sector.New(s.actorID, 7, abi.RegisteredSealProof_StackedDrg2KiBV1_1, time.Now())
	rec.State, rec.CommR = sector.Proving, &commR
	require.NoError(t, s.pipeline.Adopt(ctx, rec))
	unknown, err := s.SectorsUnknown(ctx)
	require.NoError(t, err)
	require.Empty(t, unknown)

	due, other := uint64(30), uint64(4)
	for _, c := range []struct {
		f    sealerapi.SectorFilter
		want int
	}{
		{sealerapi.SectorFilter{}, 1}, {sealerapi.SectorFilter{LocalOnly: true}, 1}, {sealerapi.SectorFilter{Deadline: &due}, 1}, {sealerapi.SectorFilter{Deadline: &other}, 0},
		{sealerapi.SectorFilter{ExpireBefore: 1e6}, 0}, {sealerapi.SectorFilter{ExpireBefore: 1e6 + 1}, 1}, {sealerapi.SectorFilter{Faulty: true}, 0},
		{sealerapi.SectorFilter{Trouble: true}, 0}, {sealerapi.SectorFilter{States: []string{"Proving"}}, 1}, {sealerapi.SectorFilter{States: []string{"Packing"}}, 0},
	} {
		page, err := s.SectorsPage(ctx, c.f)
		require.NoError(t, err)
		require.Equal(t, c.want, page.Total, "%+v", c.f)
	}
	page, err := s.SectorsPage(ctx, sealerapi.SectorFilter{})
	require.NoError(t, err)
	row := page.Sectors[0]
	require.True(t, row.OnChain && row.Live && row.Active)
	require.EqualValues(t, 1e6, row.Expiration)
	_, err = s.SectorsPage(ctx, sealerapi.SectorFilter{States: []string{"Nonsense"}})
	require.Equal(t, api.CodeInvalid, code(err))

	require.Equal(t, api.CodeNotFound, code(s.SectorTerminate(ctx, 99)))
	require.Equal(t, api.CodeNotFound, code(s.SectorsTerminate(ctx, []abi.SectorNumber{7, 99})))
	r7, err := s.pipeline.Get(7)
	require.NoError(t, err)
	require.Equal(t, sector.Proving, r7.State, "all or none")
	// Its files are missing: a look at them shows that before the chain finds out.
	bad, err := s.CheckProvable(ctx, nil, false)
	require.NoError(t, err)
	require.Contains(t, bad[7], "no storage path")
	r7, err = s.pipeline.Get(7)
	require.NoError(t, err)
	require.Equal(t, sector.Faulty, r7.State)
	s.findings(ctx, []proof.SectorInfo{{SectorNumber: 7}, {SectorNumber: 99}}, nil, false)
	r7, err = s.pipeline.Get(7)
	require.NoError(t, err)
	require.Equal(t, sector.Proving, r7.State)
	extendAndCompact(t, s, chain)
	require.NoError(t, s.SectorsTerminate(ctx, []abi.SectorNumber{7}))
	require.Equal(t, api.CodePrecondition, code(s.SectorsTerminate(ctx, []abi.SectorNumber{7})), "it is under way")
	pools, err := s.SectorsBatching(ctx)
	require.NoError(t, err)
	require.Len(t, pools, 3)
	require.EqualValues(t, sector.BreakEven, pools[0].Above.Int64())
	require.Len(t, pools[2].Waiting, 1)
	require.Equal(t, api.CodeInvalid, code(s.SectorsFlush(ctx, "wdpost")))
	require.NoError(t, s.SectorsFlush(ctx, "terminate"))
	require.Eventually(t, func() bool {
		chain.Tick(time.Now())
		return len(chain.Messager().Pushed(builtin.MethodsMiner.TerminateSectors)) == 1
	}, 10*time.Second, 5*time.Millisecond)
}

// extendAndCompact lets sector 7 live longer, and asks for what the chain refuses.
func extendAndCompact(t *testing.T, s *Service, chain *sealertest.Chain) {
	ctx := t.Context()
	_, err := s.SectorsExtend(ctx, nil, 2e6)
	require.Equal(t, api.CodeInvalid, code(err))
	_, err = s.SectorsExtend(ctx, []abi.SectorNumber{8}, 2e6)
	require.Equal(t, api.CodePrecondition, code(err), "the chain does not have it")
	_, err = s.SectorsExtend(ctx, []abi.SectorNumber{7}, 5)
	require.Equal(t, api.CodeInvalid, code(err), "that epoch is over")
	_, err = s.SectorsExtend(ctx, []abi.SectorNumber{7}, 9e6)
	require.Equal(t, api.CodePrecondition, code(err), "longer than the chain allows")
	_, err = s.SectorsCompact(ctx, 30, nil)
	require.Equal(t, api.CodeInvalid, code(err))
	require.Empty(t, chain.Messager().Pushed(builtin.MethodsMiner.ExtendSectorExpiration), "nothing was sent")
	ids, err := s.SectorsExtend(ctx, []abi.SectorNumber{7, 7}, 11e5)
	require.NoError(t, err)
	require.Len(t, ids, 1)
	id, err := s.SectorsCompact(ctx, 30, []uint64{1})
	require.NoError(t, err)
	landed := func() map[string]string {
		list, err := s.SectorsMessages(ctx, 0)
		require.NoError(t, err)
		out := map[string]string{}
		for _, m := range list {
			out[m.ID] = m.State
		}
		return out
	}
	require.Eventually(t, func() bool {
		chain.Tick(time.Now())
		l := landed()
		return l[ids[0]] == "landed" && l[id] == "landed"
	}, 10*time.Second, 5*time.Millisecond, "%v", landed())
	require.EqualValues(t, 11e5, chain.Info(7).Expiration)
}

// BenchmarkSectorsFirstPage lists the first page of 100,000 sectors, half of them
// with what the chain knows of them.
func BenchmarkSectorsFirstPage(b *testing.B) {
	const sectors = 100_000
	ctx := context.Background()
	network, err := params.ByName("local")
	require.NoError(b, err)
	d, err := db.Open(ctx, db.Config{Path: filepath.Join(b.TempDir(), "sealer.db"), NoSync: true})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, d.Close()) })
	commR := sealertest.Cid("r")
	var changes []db.Change
	for n := abi.SectorNumber(1); n <= sectors; n++ {
		r := sector.New(sealertest.MinerID, n, abi.RegisteredSealProof_StackedDrg2KiBV1_1, time.Unix(1e9, 0))
		r.State, r.CommR, r.CommD, r.Proof = sector.Proving, &commR, &commR, make([]byte, 192)
		changes = append(changes, db.Change{Record: r})
	}
	require.NoError(b, d.SaveSectors(ctx, changes))
	chain := newCrowd(network, sectors/2)
	clk := clock.Real()
	st, err := store.Open(filepath.Join(b.TempDir(), store.FileName))
	require.NoError(b, err)
	q, err := task.New(ctx, d, clk, time.Minute)
	require.NoError(b, err)
	h := heads.New(chain, clk)
	start := time.Now()
	p, err := pipeline.New(ctx, pipeline.Config{Miner: sealertest.Miner(), ActorID: sealertest.MinerID, Policy: config.Policy(network)},
		pipeline.Parts{DB: d, Queue: q, Store: st, Messages: messages.New(messages.Config{}, nil, nil), Chain: chain, Heads: h, Clock: clk})
	require.NoError(b, err)
	b.Logf("loading %d sectors took %s", sectors, time.Since(start))
	changes = nil
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := &Service{network: network, miner: sealertest.Miner(), db: d, heads: h, pipeline: p, node: new(node.FullNodeProxy)}
	s.node.Internal.StateMinerSectors = chain.StateMinerSectors
	for b.Loop() {
		page, err := s.SectorsPage(ctx, sealerapi.SectorFilter{})
		require.NoError(b, err)
		require.Len(b, page.Sectors, maxPage)
		require.Equal(b, sectors, page.Total)
	}
	b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MiB-heap")
}

// crowd is a chain with many sectors of one miner, whose head moves at every look.
type crowd struct {
	*sealertest.Chain
	sectors uint64
}

func newCrowd(n params.Network, sectors uint64) *crowd {
	return &crowd{sealertest.NewChain(n, 1000, time.Unix(1e9, 0)), sectors}
}

// StateMinerPartitions gives every deadline as many sectors.
func (c *crowd) StateMinerPartitions(_ context.Context, _ address.Address, deadline uint64, _ types.TipSetKey) ([]node.Partition, error) {
	b := bitfield.New()
	for n := deadline + 1; n <= c.sectors; n += params.PostDeadlines {
		b.Set(n)
	}
	return []node.Partition{{AllSectors: b, LiveSectors: b, ActiveSectors: b, FaultySectors: bitfield.New(), RecoveringSectors: bitfield.New()}}, nil
}

// StateMinerSectors knows the sectors that are asked for.
func (c *crowd) StateMinerSectors(_ context.Context, _ address.Address, filter *bitfield.BitField, _ types.TipSetKey) ([]*node.SectorOnChainInfo, error) {
	if filter == nil {
		return nil, fmt.Errorf("a list must not ask for all sectors")
	}
	var out []*node.SectorOnChainInfo
	err := filter.ForEach(func(n uint64) error {
		out = append(out, &node.SectorOnChainInfo{SectorNumber: abi.SectorNumber(n), Expiration: 1e6, InitialPledge: big.Zero()})
		return nil
	})
	return out, err
}

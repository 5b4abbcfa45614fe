package service

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/sealer/config"
)

func TestForecast(t *testing.T) {
	list := []sealerapi.DeadlineInfo{
		{Index: 0, Open: 2000, Sectors: 100, Partitions: 5}, {Index: 1, Open: 1000, Sectors: 30, Faults: 20, Recovering: 5, Partitions: 1},
		{Index: 2, Open: 1020}, {Index: 3, Open: 1040, Sectors: 4, Faults: 4, Partitions: 1},
	}
	f := forecast(list, measured{perSector: time.Second, proofs: 3, gas: 1000, messages: 2}, 2, 2, 100*time.Second, big.NewInt(7))
	require.Len(t, f.Deadlines, 2, "empty ones and those with nothing but faults are left out")
	near, far := f.Deadlines[0], f.Deadlines[1]
	require.Equal(t, []any{uint64(1), uint64(15), 1, 15 * time.Second, int64(1000)}, []any{near.Index, near.Sectors, near.Messages, near.Time, near.Gas})
	require.InDelta(t, 0.15, near.Share, 1e-9)
	// 100 sectors in 3 messages, two at once: two rounds of a third each.
	require.Equal(t, 3, far.Messages)
	require.InDelta(t, 66.67, far.Time.Seconds(), 0.1)
	require.EqualValues(t, 3*1000*7, far.Fee.Int64())
	require.EqualValues(t, 4000, f.Gas)
	require.EqualValues(t, 28000, f.Fee.Int64())
	require.Zero(t, forecast(list, measured{}, 10, 0, time.Second, big.Zero()).TimeFrom)
}

// TestProvingCalls asks a running sealer, in front of the model of a chain.
func TestProvingCalls(t *testing.T) {
	s, chain, _ := daemonUp(t)
	for n, place := range [][2]uint64{{20, 0}, {20, 0}, {20, 1}} {
		chain.AddSector(abi.SectorNumber(n+1), place[0], place[1])
	}
	chain.Fault(3, true)
	ctx := t.Context()
	require.Eventually(t, func() bool { return s.heads.Latest().Seq > 0 }, 10*time.Second, 10*time.Millisecond)
	d, err := s.ProvingDeadline(ctx, 20)
	require.NoError(t, err)
	require.Len(t, d.Partitions, 2)
	require.Equal(t, []abi.SectorNumber{1, 2}, d.Partitions[0].Live)
	require.Equal(t, []abi.SectorNumber{3}, d.Partitions[1].Faulty)
	require.Zero(t, d.Open%20)
	_, err = s.ProvingDeadline(ctx, 48)
	require.Equal(t, api.CodeInvalid, api.Explain(err).Code)
	r, err := s.ProvingRehearse(ctx, 20, 0)
	require.NoError(t, err)
	require.Equal(t, []uint64{0}, r.Partitions)
	require.Len(t, r.Bad, 2, "no path has their files")
	require.Contains(t, r.Err, "no sector")
	_, err = s.ProvingRehearse(ctx, 20, 7)
	require.Equal(t, api.CodeInvalid, api.Explain(err).Code)
	f, err := s.ProvingForecast(ctx)
	require.NoError(t, err)
	require.Len(t, f.Deadlines, 1)
	require.Zero(t, f.TimeFrom)
}

// TestUnknownProvers refuses a word for who proves that means nothing, before anything runs.
func TestUnknownProvers(t *testing.T) {
	s, _, dir := daemonUp(t)
	require.NoError(t, s.Close())
	file := filepath.Join(dir, config.FileName)
	cfg, err := config.Load(file)
	require.NoError(t, err)
	require.Equal(t, "prefer", cfg.Proving.Workers)
	cfg.Proving.Workers = "remote"
	require.NoError(t, cfg.Save(file))
	_, err = Start(t.Context(), Options{Dir: dir, Version: "test", Clock: clock.Real()})
	require.ErrorContains(t, err, `Proving.Workers = "remote": want local, prefer or only`)
}

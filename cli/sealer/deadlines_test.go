package sealer

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
)

// asked runs a command's action against answers of the test.
func asked(t *testing.T, c *client, f func(context.Context, *cli.Command, *client, *render.Printer) error, args ...string) (string, error) {
	var out bytes.Buffer
	var got error
	cmd := &cli.Command{Name: "x", Flags: []cli.Flag{&cli.IntFlag{Name: "deadline"}, &cli.BoolFlag{Name: "slow"}, &cli.BoolFlag{Name: "only-bad"}, &cli.BoolFlag{Name: "force"}, &cli.BoolFlag{Name: "deep"}, &cli.IntFlag{Name: "parallel"}}, Action: func(ctx context.Context, cmd *cli.Command) error {
		got = f(ctx, cmd, c, render.New(&out, &out))
		return nil
	}}
	require.NoError(t, cmd.Run(t.Context(), append([]string{"x"}, args...)))
	return out.String(), got
}

func TestRunsOfNumbers(t *testing.T) {
	require.Equal(t, "none", ranges(nil))
	require.Equal(t, "1 3-5 9", ranges([]abi.SectorNumber{1, 3, 4, 5, 9}))
}

func TestDeadlineText(t *testing.T) {
	c := new(client)
	c.Internal.ProvingDeadline = func(_ context.Context, i uint64) (*sealerapi.DeadlineDetail, error) {
		return &sealerapi.DeadlineDetail{Index: i, Open: 220, Close: 280, Epoch: 100, BlockDelay: 30 * time.Second, Proven: 1, Partitions: []sealerapi.PartitionDetail{{Live: []abi.SectorNumber{1, 2, 3}, Faulty: []abi.SectorNumber{2}}}}, nil
	}
	c.Internal.CheckProvable = func(context.Context, []abi.SectorNumber, bool) (map[abi.SectorNumber]string, error) {
		return map[abi.SectorNumber]string{2: "gone"}, nil
	}
	out, err := asked(t, c, deadline, "7")
	require.NoError(t, err)
	for _, want := range []string{"Deadline Index:           7\n", "220 (in 1 hour)", "Sector Numbers:         1-3\n", "Faulty Sectors:         2\n"} {
		require.Contains(t, out, want)
	}
	_, err = asked(t, c, deadline, "x")
	require.ErrorContains(t, err, "is no deadline")
	out, err = asked(t, c, checkDeadline, "--deadline", "7")
	require.NoError(t, err)
	require.Contains(t, out, "bad (gone)")
	require.Contains(t, out, "good")
	out, err = asked(t, c, checkDeadline, "--deadline", "7", "--only-bad")
	require.NoError(t, err)
	require.NotContains(t, out, "good")
	require.Contains(t, out, "1 bad sectors")
}

func TestRehearseText(t *testing.T) {
	c := new(client)
	bad := map[abi.SectorNumber]string{5: "gone"}
	c.Internal.ProvingRehearse = func(_ context.Context, i uint64, m int) (*sealerapi.Rehearsal, error) {
		r := &sealerapi.Rehearsal{Deadline: i, Message: m, Messages: 2, Partitions: []uint64{uint64(m)}, Sectors: 3, Proven: 3, Check: time.Second, Prove: 9 * time.Second, Window: 40 * time.Second}
		if m == 1 {
			r.Bad, r.Proven = bad, 2
			r.Parts = []sealerapi.ProofPart{{Sectors: 2, Took: time.Second, Before: "machine-b: its proof does not hold"}, {Host: "machine-a", Sectors: 1, Took: 2 * time.Second}}
		}
		return r, nil
	}
	out, err := asked(t, c, rehearse, "7")
	require.ErrorContains(t, err, "1 sectors and 0 messages of deadline 7 cannot be proven now")
	require.Contains(t, out, "message 2 of 2: partitions [1], 2 of 3 sectors proven")
	require.Contains(t, out, "2 sectors by this sealer in 1s")
	require.Contains(t, out, "not by machine-b: its proof does not hold")
	require.Contains(t, out, "1 sectors by machine-a in 2s")
	require.Contains(t, out, "sector 5: bad (gone)")
	require.Contains(t, out, "50% of the")
	bad = nil
	_, err = asked(t, c, rehearse, "7")
	require.NoError(t, err)
	c.Internal.ProvingRehearse = func(context.Context, uint64, int) (*sealerapi.Rehearsal, error) { return &sealerapi.Rehearsal{}, nil }
	out, err = asked(t, c, rehearse, "7")
	require.NoError(t, err)
	require.Contains(t, out, "deadline 7 has nothing to prove")
}

func TestForecastText(t *testing.T) {
	c := new(client)
	f := &sealerapi.Forecast{Fee: fil(t, "2"), BaseFee: fil(t, "1"), Time: time.Minute, Gas: 9, Deadlines: []sealerapi.DeadlineForecast{{Index: 3, Share: 0.25, Time: time.Minute, Gas: 9, Fee: fil(t, "2")}}}
	c.Internal.ProvingForecast = func(context.Context) (*sealerapi.Forecast, error) { return f, nil }
	out, err := asked(t, c, forecast)
	require.NoError(t, err)
	require.Contains(t, out, "next period: ? of proving, ? gas")
	f.TimeFrom, f.GasFrom = 2, 2
	out, err = asked(t, c, forecast)
	require.NoError(t, err)
	require.Contains(t, out, "25%")
	require.Contains(t, out, "9 gas, 2 FIL burnt at base fee 1 FIL")
}

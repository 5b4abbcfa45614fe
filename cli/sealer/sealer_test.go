package sealer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/types"
)

func TestMain(m *testing.M) {
	address.CurrentNetwork = address.Testnet
	os.Exit(m.Run())
}

func fil(t *testing.T, s string) abi.TokenAmount {
	v, err := types.ParseFIL(s)
	require.NoError(t, err)
	return v.Atto()
}

// guideInfo is the state of affairs that the deployment guide shows.
func guideInfo(t *testing.T) *sealerapi.Info {
	m, err := address.NewIDAddress(1640)
	require.NoError(t, err)
	return &sealerapi.Info{
		Miner: m, SectorSize: 512 << 20, Epoch: 100, HeadTime: time.Unix(1000, 0), BlockDelay: 30 * time.Second, BaseFee: big.NewInt(100),
		RawPower: big.Zero(), QualityPower: big.Zero(), NetworkRaw: big.NewInt(3 << 39), NetworkQuality: big.NewInt(15 << 40), LiveSectors: 6,
		ActorBalance: fil(t, "383.869"), PreCommit: big.Zero(), Pledge: fil(t, "0.09375"), Vesting: big.Zero(), Available: fil(t, "383.775"),
		MarketEscrow: big.Zero(), MarketLocked: big.Zero(), Worker: sealerapi.Balance{Amount: fil(t, "1000")},
		SectorsByState: map[string]int{"Proving": 2, "PreCommit1": 3, "CommitFailed": 1},
	}
}

func TestInfoIsTheGuidesForm(t *testing.T) {
	var out bytes.Buffer
	printInfo(render.New(&out, &out), guideInfo(t), time.Unix(1010, 0), false)
	require.Equal(t, `Chain: [sync ok] [basefee 100 aFIL]
Sealer: t01640 (512 MiB sectors)
Power: 0  / 15 Ti (0.0000%)
	Raw: 0 B / 1.5 TiB (0.0000%)
	Committed: 3 GiB
	Proving: 0 B
Below minimum power threshold, no blocks will be won
Sealer Balance:    383.869 FIL
      PreCommit:  0
      Pledge:     93.75 mFIL
      Vesting:    0
      Available:  383.775 FIL
Market Balance:   0
       Locked:    0
       Available: 0
Worker Balance:   1000 FIL
Total Spendable:  1383.775 FIL
`, out.String())
}

func TestInfoVariants(t *testing.T) {
	i := guideInfo(t)
	i.HasMinPower, i.ExpectedPerWeek, i.ActiveSectors, i.FaultySectors = true, 7*24, 4, 2
	i.Controls = []sealerapi.Balance{{Amount: fil(t, "5")}}
	var out bytes.Buffer
	printInfo(render.New(&out, &out), i, time.Unix(1000+100, 0), true)
	text := out.String()
	for _, want := range []string{
		"sync slow (1m40s behind)", "Proving: 2 GiB (1 GiB Faulty, 33.33%)", "Expected block win rate: 24.0000/day (every 1h0m0s)",
		"       Control:   5 FIL", "Total Spendable:  1388.775 FIL", "\nSectors:\n\tTotal: 6\n\tPreCommit1: 3\n\tProving: 2\n\tCommitFailed: 1\n",
	} {
		require.Contains(t, text, want)
	}
	out.Reset()
	printInfo(render.New(&out, &out), i, time.Unix(1000+1000, 0), false)
	require.Contains(t, out.String(), "sync behind! (16m40s behind)")
}

func TestSectorsList(t *testing.T) {
	page := &sealerapi.SectorPage{Epoch: 100, BlockDelay: 30 * time.Second, Total: 2, Sectors: []sealerapi.SectorRow{
		{SectorID: 1, State: "Proving", Active: true, Expiration: 220, OnChain: true, Deadline: 3},
		{SectorID: 2, State: "PreCommitFailed", Retries: 3, LastErr: "no funds"},
	}}
	var out bytes.Buffer
	printSectors(render.New(&out, &out), page, columns()[:8])
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	require.Equal(t, []string{"ID", "State", "OnChain", "Active", "Expiration", "Deals", "Error", "Deadline"}, strings.Fields(lines[0]))
	require.Equal(t, []string{"1", "Proving", "YES", "YES", "220", "(in", "1", "hour)", "CC", "3"}, strings.Fields(lines[1]))
	require.Equal(t, []string{"2", "PreCommitFailed", "NO", "NO", "n/a", "CC", "no", "funds", "n/a"}, strings.Fields(lines[2]))
}

// run executes the command tree without a sealer.
func run(t *testing.T, d Deps, args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	d.Network = func(string) {}
	code = render.Run(context.Background(), App(d), append([]string{"venus-sealer", "--data", t.TempDir()}, args...), &o, &e)
	return code, o.String(), e.String()
}

func TestGuidesInitFlags(t *testing.T) {
	var got InitOptions
	d := Deps{Init: func(_ context.Context, _ *render.Printer, o InitOptions) error {
		got = o
		return nil
	}}
	code, _, errOut := run(t, d, "init", "--worker", "t3w", "--owner", "t3o", "--sector-size", "512M", "--network", "nerpa", "--node-url", "/ip4/1.2.3.4/tcp/3453",
		"--node-token", "nt", "--messager-url", "http://1.2.3.4:39812/rpc/v0", "--no-local-storage", "--messager-token", "mt", "--wallet-name", "testminer")
	require.Zero(t, code, errOut)
	got.Dir = ""
	require.Equal(t, InitOptions{
		Worker: "t3w", Owner: "t3o", SectorSize: "512M", Network: "nerpa", NodeURL: "/ip4/1.2.3.4/tcp/3453", NodeToken: "nt", MessagerURL: "http://1.2.3.4:39812/rpc/v0",
		NoLocalStorage: true, MessagerToken: "mt", WalletName: "testminer", GasPremium: "0", PreSealed: []string{}, Metadata: []string{},
	}, withEmpty(got))
	code, _, errOut = run(t, d, "init", "--actor", "t01000", "stray")
	require.Equal(t, render.ExitUsage, code)
	require.Contains(t, errOut, "stray")
}

// withEmpty makes absent lists empty ones.
func withEmpty(o InitOptions) InitOptions {
	o.PreSealed, o.Metadata = append([]string{}, o.PreSealed...), append([]string{}, o.Metadata...)
	return o
}

func TestWithoutASealer(t *testing.T) {
	for _, args := range [][]string{{"info"}, {"sectors", "list"}, {"sectors", "pledge"}, {"proving", "deadlines"}, {"sealing", "jobs"}, {"storage", "list"}, {"token"}} {
		code, out, errOut := run(t, Deps{}, args...)
		require.Equal(t, render.ExitPrecondition, code, args)
		require.Empty(t, out)
		require.Contains(t, errOut, "hint: set it up with: venus-sealer init", args)
	}
}

func TestAttachWithoutASealer(t *testing.T) {
	var got sealerapi.StorageSpec
	d := Deps{Attach: func(_ context.Context, _ string, s sealerapi.StorageSpec) (sealerapi.StorageInfo, error) {
		got = s
		return sealerapi.StorageInfo{ID: "x", CanSeal: true, CanStore: true, Weight: 10}, nil
	}}
	code, out, errOut := run(t, d, "storage", "attach", "--init", "--store", "--seal", "/abs/path")
	require.Zero(t, code, errOut)
	require.Empty(t, out)
	require.Contains(t, errOut, "attached /abs/path as storage path x (Seal Store)")
	require.Equal(t, sealerapi.StorageSpec{Path: "/abs/path", Init: true, CanSeal: true, CanStore: true, Weight: 10}, got)
	for _, bad := range [][]string{{"storage", "attach"}, {"storage", "attach", "--init", "/x"}, {"storage", "attach", "--seal", "/x"}} {
		code, _, _ = run(t, d, bad...)
		require.Equal(t, render.ExitUsage, code, bad)
	}
	d.Attach = func(context.Context, string, sealerapi.StorageSpec) (sealerapi.StorageInfo, error) {
		return sealerapi.StorageInfo{}, errors.New("disk on fire")
	}
	code, _, errOut = run(t, d, "storage", "attach", "/x")
	require.NotZero(t, code)
	require.Contains(t, errOut, "disk on fire")
}

func TestWhyText(t *testing.T) {
	var out bytes.Buffer
	printWhy(render.New(&out, &out), sealerapi.SectorWhy{
		SectorID: 7, State: "PreCommitting", Means: "the pre-commit message is sent", Waits: "you: no funds", Since: now().Add(-time.Hour),
		Next: "the next try", NextAt: time.Date(2022, 3, 1, 12, 0, 0, 0, time.UTC), Limit: "the ticket is too old", LimitEpoch: 220,
		LastErr: "no funds", ErrClass: "operator", Retries: 3, Options: []sealerapi.SectorOption{{Do: "venus-sealer sectors retry 7", Then: "try now"}},
		Epoch: 100, BlockDelay: 30 * time.Second,
	})
	for _, want := range []string{
		"Sector 7 is in state PreCommitting: the pre-commit message is sent.\n", "(1 hour)", "Waits for:  you: no funds\n",
		"Next:       the next try, at 2022-03-01 12:00:00 UTC\n", "from epoch 220 (in 1 hour) on, the ticket is too old\n",
		"Last error: no funds (wants your hand; 3 in a row)\n", "  venus-sealer sectors retry 7", "try now\n",
	} {
		require.Contains(t, out.String(), want)
	}
	out.Reset()
	printWhy(render.New(&out, &out), sealerapi.SectorWhy{
		State: "PreCommit2", Since: now(), LastErr: "disk full", ErrClass: "operator", Overcome: time.Date(2022, 3, 1, 12, 0, 0, 0, time.UTC),
	})
	require.Contains(t, out.String(), "Overcome:   at 2022-03-01 12:00:00 UTC: disk full\n")
	require.NotContains(t, out.String(), "Last error")
}

func TestDeedsWantConfirmation(t *testing.T) {
	for _, args := range [][]string{{"sectors", "remove", "1"}, {"sectors", "redo", "1"}, {"sectors", "update-state", "1", "Proving"}, {"sectors", "why"}, {"sectors", "why", "x"}} {
		code, _, errOut := run(t, Deps{}, args...)
		require.Contains(t, []int{render.ExitUsage, render.ExitPrecondition}, code, args)
		require.NotEmpty(t, errOut)
	}
}

func TestRestoreCommand(t *testing.T) {
	var gotDir, gotFile string
	var gotCheck bool
	d := Deps{Restore: func(_ context.Context, dir, file string, check bool) (*sealerapi.BackupReport, error) {
		gotDir, gotFile, gotCheck = dir, file, check
		return &sealerapi.BackupReport{Miner: "t01000", Sectors: 3, At: time.Unix(0, 0)}, nil
	}}
	code, out, errOut := run(t, d, "restore", "--check", "b.backup")
	require.Zero(t, code, errOut)
	require.True(t, gotCheck)
	require.True(t, filepath.IsAbs(gotFile), gotFile)
	require.NotEmpty(t, gotDir)
	require.Contains(t, out, "Sectors:  3")
	require.Contains(t, errOut, "the backup is whole")
	code, _, _ = run(t, d, "restore")
	require.Equal(t, render.ExitUsage, code)
	code, _, errOut = run(t, Deps{}, "backup", "/x")
	require.Equal(t, render.ExitPrecondition, code, errOut)
}

func TestRanges(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"3", "7-9"}, "[3 7 8 9]"}, {[]string{"4-4"}, "[4]"}, {[]string{"9-7"}, ""}, {[]string{"x"}, ""}, {nil, ""}, {[]string{"1-99999999"}, ""},
	} {
		app := &cli.Command{Name: "x", Action: func(_ context.Context, cmd *cli.Command) error {
			got, err := someNumbers(cmd)
			if c.want == "" {
				require.Error(t, err, c.args)
				return nil
			}
			require.NoError(t, err)
			require.Equal(t, c.want, fmt.Sprint(got))
			return nil
		}}
		require.NoError(t, app.Run(t.Context(), append([]string{"x"}, c.args...)))
	}
}

package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/proofs/machine"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/proofs/verify"
	"github.com/filecoin-venus/venus/worker/bus"
)

// run executes the command tree.
func run(t *testing.T, d Deps, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = render.Run(context.Background(), App("test", d), append([]string{"venus-worker"}, args...), &o, &e)
	return code, o.String(), e.String()
}

// big is a machine on which everything fits.
func big(dir string) (machine.Host, error) {
	return machine.Host{CPU: "test", Cores: 8, Memory: 1 << 40, MemoryAvailable: 1 << 40, Dir: dir, DiskFree: 1 << 44, Fast: []machine.Path{{Name: "labels", Needs: "SHA extensions", On: true}, {Name: "sums", Needs: "AVX-512 IFMA"}}}, nil
}

func rates(context.Context, machine.MeasureOptions) (machine.Rates, error) {
	r := machine.Rate{Core: 1e6, All: 8e6}
	return machine.Rates{
		Cores: 8, Labels: r, Parents: r, Poseidon2: r, Poseidon8: r, Poseidon11: r, SHA256: r, PieceBytes: 1e8, DigestBytes: 1e9, DiskWrite: 1e9, DiskRead: 1e9,
		DiskSeeks: 1e4, Butterflies: 1e8, PointsG1: 1e6, PointsG2: 1e5, BitsG1: 1e7, RowsSHA: 1e6, RowsPoseidon: 1e6, Lagrange: 1e7, Verifications: 1e3,
	}, nil
}

func TestRunFlags(t *testing.T) {
	var got RunOptions
	d := Deps{Run: func(_ context.Context, o RunOptions) error { got = o; return nil }}
	code, _, errOut := run(t, d, "run", "--sealer", "s", "--token", "t", "--slots", "2", "--parent-cache", "/p", "--proofs", "crs", "--tasks", "C2",
		"--cores", "8", "--memory", "100GiB", "--limit", "C2=1", "--nats-cert", "c", "--nats-key", "k", "--path", "/a", "--path", "/b",
		"--nats-ca", "ca", "--nats-user", "u", "--nats-password-file", "p", "--nats-token-file", "t", "--nats-creds", "cr", "--nats-nkey", "nk")
	require.Zero(t, code, errOut)
	require.Equal(t, RunOptions{
		Sealer: "s", Token: "t", Slots: 2, ParentCache: "/p", Proofs: "crs", Tasks: []string{"C2"}, Cores: 8, Memory: 100 << 30,
		Limits: []string{"C2=1"}, Paths: []string{"/a", "/b"},
		NATS: bus.Files{CertFile: "c", KeyFile: "k", CAFile: "ca", User: "u", PasswordFile: "p", TokenFile: "t", CredentialsFile: "cr", NKeyFile: "nk"},
	}, got)
	for _, bad := range [][]string{{"--memory", "much"}, {"--memory", "0"}, {"--cores", "-1"}} {
		code, _, errOut = run(t, d, append([]string{"run"}, bad...)...)
		require.Equal(t, render.ExitUsage, code)
		require.Contains(t, errOut, bad[0])
	}
	code, _, errOut = run(t, d, "run", "--proofs", "magic")
	require.Equal(t, render.ExitUsage, code)
	require.Contains(t, errOut, `--proofs "magic": want trapdoor or crs`)
}

func TestBenchTable(t *testing.T) {
	d := Deps{Detect: big, Measure: rates}
	code, out, errOut := run(t, d, "proofs", "bench", "--size", "32GiB")
	require.Zero(t, code, errOut)
	for _, want := range []string{
		"labels: fast (SHA extensions)", "sums: slow, this processor has no AVX-512 IFMA", "labels (1 M", "PreCommit1, two layers", "64.06 GiB",
		"while sealing", "516.6 GiB", "56 GiB", "enough to seal one", "sectors in a partition", "2349",
	} {
		if want == "labels (1 M" {
			require.Regexp(t, `labels +1 M +8 M`, out)
			continue
		}
		require.Contains(t, out, want)
	}
	require.Contains(t, errOut, "factor of two")
	require.NotContains(t, out, "512MiB")

	code, out, _ = run(t, d, "--json", "proofs", "bench")
	require.Zero(t, code)
	var report benchReport
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.Len(t, report.Sizes, 5)
	require.Equal(t, abi.SectorSize(64<<30), report.Sizes[4].Size)
	require.Positive(t, report.Sizes[4].Estimate.PreCommit1)
}

func TestBenchRefusals(t *testing.T) {
	small := func(dir string) (machine.Host, error) {
		return machine.Host{Cores: 1, Memory: 16 << 30, Dir: dir, DiskFree: 1 << 30}, nil
	}
	d := Deps{Detect: small, Measure: rates}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--size", "3KiB"}, render.ExitUsage, "want 2KiB, 8MiB, 512MiB, 32GiB, 64GiB or all"},
		{[]string{"--keep"}, render.ExitUsage, "--keep goes with --seal"},
		{[]string{"--seal", "--backend", "magic"}, render.ExitUsage, "want trapdoor or crs"},
		{[]string{"--seal", "--size", "all"}, render.ExitUsage, "one --size"},
		{[]string{"--seal", "--size", "32GiB"}, render.ExitPrecondition, "needs 64.06 GiB of memory, this machine has 16 GiB"},
		{[]string{"--seal", "--size", "512M"}, render.ExitPrecondition, "has 1 GiB free"},
		{[]string{"extra"}, render.ExitUsage, "no arguments"},
	} {
		code, _, errOut := run(t, d, append([]string{"proofs", "bench"}, c.args...)...)
		require.Equal(t, c.code, code, errOut)
		require.Contains(t, errOut, c.want)
	}
}

func TestBenchSealShowsPhases(t *testing.T) {
	var got machine.SealOptions
	d := Deps{Detect: big, Seal: func(_ context.Context, o machine.SealOptions) (machine.Sealed, error) {
		got = o
		o.Phase(1, 2, "precommit 1")
		o.Progress(seal.Progress{Done: 1, Total: 4, Left: time.Second})
		o.Phase(2, 2, "commit 2")
		return machine.Sealed{Size: o.Size, Backend: o.Backend, Took: 3 * time.Second, Peak: 7 << 20, Phases: []machine.Phase{
			{Name: "precommit 1", Took: 2 * time.Second, Bytes: 8e6, Peak: 7 << 20}, {Name: "commit 2", Took: time.Second, Peak: 3 << 20, PeakOfProcess: true},
		}}, nil
	}}
	dir := t.TempDir()
	code, out, errOut := run(t, d, "proofs", "bench", "--seal", "--size", "8MiB", "--backend", "crs", "--dir", dir, "--params-cache", "/c")
	require.Zero(t, code, errOut)
	require.Equal(t, prove.CRS, got.Backend)
	require.Equal(t, []any{abi.SectorSize(8 << 20), dir, "/c", false}, []any{got.Size, got.Dir, got.ParamsDir, got.Keep})
	require.Regexp(t, `precommit 1 +2s +4\.0 MB/s +7 MiB\n`, out)
	require.Regexp(t, `commit 2 +1s +3 MiB\*\n`, out)
	require.Contains(t, errOut, "[1/2] precommit 1\n[1/2] precommit 1 ✔")

	d.Seal = func(context.Context, machine.SealOptions) (machine.Sealed, error) {
		return machine.Sealed{Dir: "/kept"}, fmt.Errorf("unseal: %w", machine.ErrWrong)
	}
	code, _, errOut = run(t, d, "proofs", "bench", "--seal")
	require.Equal(t, render.ExitInternal, code)
	require.Contains(t, errOut, "must not seal")
	require.Contains(t, errOut, "hint: test memory and disk")
	require.Contains(t, errOut, "/kept")
	d.Seal = func(context.Context, machine.SealOptions) (machine.Sealed, error) {
		return machine.Sealed{}, errors.New("no space left on device")
	}
	_, _, errOut = run(t, d, "proofs", "bench", "--seal")
	require.Contains(t, errOut, "seal a sector: no space left on device")
}

func TestVerifyFiles(t *testing.T) {
	cache, dir := t.TempDir(), t.TempDir()
	code, _, errOut := run(t, Deps{Detect: big, Seal: machine.Seal}, "proofs", "bench", "--seal", "--keep", "--dir", dir, "--params-cache", cache)
	require.Zero(t, code, errOut)
	files, err := filepath.Glob(filepath.Join(dir, "bench-*", "proof.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	good, err := os.ReadFile(files[0])
	require.NoError(t, err)
	path := filepath.Join(dir, "x.json")
	judge := func(content string, args ...string) (int, string, string) {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return run(t, Deps{}, append([]string{"proofs", "verify", "--params-cache", cache, path}, args...)...)
	}
	code, out, errOut := judge(string(good))
	require.Zero(t, code, errOut)
	require.Equal(t, "valid: the seal proof holds on network local\n", out)

	code, out, errOut = judge(strings.Replace(string(good), `"Number": 1`, `"Number": 2`, 1))
	require.Equal(t, 1, code)
	require.Contains(t, out, "invalid: proof and statement are well formed")
	require.Contains(t, errOut, "does not hold on network local")

	var d verify.Document
	require.NoError(t, json.Unmarshal(good, &d))
	short, err := verify.NewDocument(verify.KindWinning, map[string]any{"Randomness": []byte{1}, "Proofs": []any{}})
	require.NoError(t, err)
	b, err := json.Marshal(short)
	require.NoError(t, err)
	code, out, _ = judge(string(b))
	require.Equal(t, 1, code)
	require.Equal(t, "invalid: 0 proofs, want exactly one\n", out)

	for content, want := range map[string]string{
		"": "EOF", "{}": `kind ""`, `{"kind":"seal","statement":{"Nonsense":1}}`: "Nonsense", `{"kind":"seal","statement":{}} x`: "behind the end",
	} {
		code, _, errOut = judge(content)
		require.Equal(t, render.ExitUsage, code, errOut)
		require.Contains(t, errOut, want)
		require.Contains(t, errOut, "--help")
	}
	code, _, errOut = run(t, Deps{}, "proofs", "verify", "--network", "mainnet", "--params-cache", cache, files[0])
	require.Equal(t, render.ExitPrecondition, code)
	require.Contains(t, errOut, "cannot tell: ")
	require.Contains(t, errOut, "proofs params --network mainnet")
	code, _, _ = run(t, Deps{}, "proofs", "verify", filepath.Join(dir, "absent"))
	require.Equal(t, render.ExitNotFound, code)
	code, _, errOut = run(t, Deps{}, "proofs", "verify", "--network", "moon", files[0])
	require.Equal(t, render.ExitUsage, code)
	require.Contains(t, errOut, "moon")
}

func TestCommP(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zeros")
	require.NoError(t, os.WriteFile(path, make([]byte, 127), 0o600))
	code, out, errOut := run(t, Deps{}, "proofs", "commp", path)
	require.Zero(t, code)
	require.Empty(t, errOut)
	// The commitment of zeros, the same in every Filecoin program.
	const zeros = "baga6ea4seaqdomn3tgwgrh3g532zopskstnbrd2n3sxfqbze7rxt7vqn7veigmy"
	require.Equal(t, "Piece CID:    "+zeros+"\nPiece size:   128 (128 B, padded)\nPayload size: 127 (127 B)\n", out)

	require.NoError(t, os.WriteFile(path, make([]byte, 128), 0o600))
	code, out, _ = run(t, Deps{}, "--json", "proofs", "commp", path)
	require.Zero(t, code)
	var got struct {
		PieceCID               string
		PieceSize, PayloadSize uint64
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.EqualValues(t, 256, got.PieceSize)
	require.EqualValues(t, 128, got.PayloadSize)

	require.NoError(t, os.Truncate(path, 0))
	code, _, errOut = run(t, Deps{}, "proofs", "commp", path)
	require.Equal(t, render.ExitUsage, code)
	require.Contains(t, errOut, "empty payload")
	code, _, _ = run(t, Deps{}, "proofs", "commp")
	require.Equal(t, render.ExitUsage, code)
}

func TestCountedShowsWhatTakesLong(t *testing.T) {
	var notes bytes.Buffer
	clk := clock.NewSim(time.Unix(0, 0))
	started := 0
	c := &counted{r: bytes.NewReader(make([]byte, 100)), ctx: t.Context(), total: 100, clk: clk, began: clk.Now(), start: func() *render.Progress {
		started++
		return render.New(&notes, &notes).Progress(1)
	}}
	read := func() {
		_, err := c.Read(make([]byte, 10))
		require.NoError(t, err)
	}
	read()
	require.Zero(t, started)
	clk.Advance(3 * time.Second)
	read()
	read()
	require.Equal(t, 1, started)
	require.EqualValues(t, 30, c.n)
}

func TestParamsTable(t *testing.T) {
	cache := t.TempDir()
	c := machine.MainCircuits(2 << 10)
	args := []string{"proofs", "params", "--network", "local", "--size", "2KiB", "--params-cache", cache, "--parent-cache", cache}
	code, out, errOut := run(t, Deps{}, args...)
	require.Zero(t, code, errOut)
	require.Contains(t, out, "Network:       local (private")
	require.Regexp(t, `missing, made when needed +1\.038 GiB +proof of replication 2KiB, parameters`, out)
	require.Empty(t, errOut)

	code, out, errOut = run(t, Deps{}, "proofs", "params", "--network", "mainnet", "--size", "32GiB", "--params-cache", cache, "--parent-cache", cache)
	require.Zero(t, code)
	require.Contains(t, out, "0c7b4aac1c40fdb7eb82bc355b41addf")
	require.Contains(t, out, "missing, not needed to seal")
	require.Contains(t, errOut, "6 files are missing or wrong")
	require.Contains(t, errOut, keys.CacheEnv)

	code, _, errOut = run(t, Deps{}, "proofs", "params", "--network", "mainnet", "--make", "--params-cache", cache)
	require.Equal(t, render.ExitUsage, code)
	require.Contains(t, errOut, "Filecoin's ceremony")

	code, out, _ = run(t, Deps{}, append([]string{"--json"}, args...)...)
	require.Zero(t, code)
	var found machine.FilesFound
	require.NoError(t, json.Unmarshal([]byte(out), &found))
	require.True(t, strings.HasSuffix(found.Files[0].Path, c[0].Name()+".vk"))
	require.NoError(t, os.MkdirAll(found.Cache, 0o755))
	require.NoError(t, os.WriteFile(found.Files[0].Path, []byte("damaged"), 0o600))
	_, out, errOut = run(t, Deps{}, args...)
	require.Regexp(t, `wrong +7 B +proof of replication 2KiB, verifying key`, out)
	require.Contains(t, errOut, "has 7 bytes, want 4708")
}

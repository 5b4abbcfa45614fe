package machine

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/params"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/proofs/shape"
	"github.com/filecoin-venus/venus/proofs/verify"
)

// TestSeal seals a sector of 2 KiB for real.
func TestSeal(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	var mu sync.Mutex
	var began, done []string
	told := map[string]float64{}
	out, err := Seal(t.Context(), SealOptions{
		Size: 2 << 10, Backend: prove.Trapdoor, Dir: dir, ParamsDir: cache,
		Phase: func(_, _ int, name string) { began = append(began, name) },
		Done:  func(p Phase) { done = append(done, p.Name) },
		Progress: func(p seal.Progress) {
			mu.Lock()
			defer mu.Unlock()
			told[p.Phase] = p.Percent()
		},
	})
	require.NoError(t, err)
	require.Equal(t, began, done)
	for _, name := range []string{"add piece", "precommit 1", "precommit 2", "commit 1", "commit 2", "verify the proof", "unseal", "compare the data", "window PoSt", "winning PoSt"} {
		require.Contains(t, done, name)
	}
	require.Len(t, out.Phases, len(done))
	for _, p := range out.Phases {
		require.Positive(t, p.Took, p.Name)
		require.Greater(t, p.Peak, uint64(mib), p.Name)
	}
	require.Equal(t, map[string]float64{"precommit1": 100, "precommit2": 100, "unseal": 100}, told)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "the sector goes in the end")

	// The proof is good for anyone on the network.
	network, err := params.ByName("local")
	require.NoError(t, err)
	d, err := out.Document()
	require.NoError(t, err)
	verdict, err := verify.New(network, cache).Judge(t.Context(), d)
	require.NoError(t, err)
	require.Equal(t, verify.Verdict{Valid: true}, verdict)
}

func TestSealKeepsAndStops(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	out, err := Seal(ctx, SealOptions{
		Size: 2 << 10, Dir: dir, Keep: true, ParamsDir: t.TempDir(),
		Phase: func(_, _ int, name string) {
			if name == "precommit 1" {
				cancel()
			}
		},
	})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "precommit 1")
	require.DirExists(t, out.Dir)
	require.Equal(t, "add piece", out.Phases[len(out.Phases)-1].Name, "what was done is told")

	_, err = Seal(t.Context(), SealOptions{Size: 4 << 10, Dir: dir})
	require.Error(t, err)
	_, err = Seal(t.Context(), SealOptions{Size: 2 << 10, Backend: "magic", Dir: dir})
	require.ErrorIs(t, err, prove.ErrRefused)
}

func TestMeasure(t *testing.T) {
	steps := 0
	r, err := Measure(t.Context(), MeasureOptions{Dir: t.TempDir(), DiskBytes: mib, Each: 1, Step: func(string) { steps++ }})
	require.NoError(t, err)
	require.Equal(t, Steps, steps)
	for name, v := range map[string]float64{
		"labels": r.Labels.Core, "parents": r.Parents.All, "poseidon2": r.Poseidon2.Core, "poseidon8": r.Poseidon8.All, "poseidon11": r.Poseidon11.Core,
		"sha": r.SHA256.All, "piece": r.PieceBytes, "digest": r.DigestBytes, "write": r.DiskWrite, "read": r.DiskRead, "seeks": r.DiskSeeks,
		"butterflies": r.Butterflies, "g1": r.PointsG1, "g2": r.PointsG2, "bits": r.BitsG1, "rows": r.RowsSHA, "rows of poseidon": r.RowsPoseidon,
		"lagrange": r.Lagrange, "verify": r.Verifications,
	} {
		require.Positive(t, v, name)
	}
	last := Estimate{}
	for _, size := range Sizes() {
		e, err := EstimateOf(size, r)
		require.NoError(t, err)
		require.Greater(t, e.PreCommit1, last.PreCommit1)
		require.Greater(t, e.Commit2CRS, e.Commit2Trapdoor)
		last = e
	}
	h, err := Detect(t.TempDir() + "/not/yet")
	require.NoError(t, err)
	require.Positive(t, h.DiskFree)
	require.Positive(t, h.Memory)
}

func stateOf(t *testing.T, found FilesFound, path string) FileSeen {
	t.Helper()
	for _, f := range found.Files {
		if f.Path == path {
			return f
		}
	}
	t.Fatalf("%s is not listed", path)
	return FileSeen{}
}

func TestFilesOfADevnet(t *testing.T) {
	cache, parents := t.TempDir(), t.TempDir()
	network, err := params.ByName("local")
	require.NoError(t, err)
	sizes := []abi.SectorSize{2 << 10}
	find := func(check bool) FilesFound {
		found, err := Files(t.Context(), FilesOptions{Network: network, Sizes: sizes, ParamsDir: cache, ParentCache: parents, Check: check})
		require.NoError(t, err)
		require.Zero(t, found.Missing(), "a private network needs no files")
		return found
	}
	before := find(true)
	require.Len(t, before.Files, 9, "four circuits, two files each, and a parent cache")
	for _, f := range before.Files {
		require.Equal(t, keys.StateMissing, f.State, f.Title)
	}
	window := MainCircuits(sizes[0])[2]
	_, err = keys.NewDevnet(network.ProofSeed, cache).VerifyingKey(window)
	require.NoError(t, err)
	key := before.Cache + "/" + window.Name() + ".vk"
	f := stateOf(t, find(false), key)
	require.Equal(t, keys.StateRight, f.State)
	require.NotEmpty(t, f.Digest)
	b, err := os.ReadFile(key)
	require.NoError(t, err)
	b[100] ^= 1
	require.NoError(t, os.WriteFile(key, b, 0o600))
	require.Equal(t, keys.StateWrong, stateOf(t, find(false), key).State)
	require.NoError(t, os.Truncate(key, 7))
	require.Contains(t, stateOf(t, find(false), key).Reason, "has 7 bytes, want 3076")

	// The crs parameters of the small circuit, made by the prover that uses them.
	p, err := prove.NewIn(cache, network, prove.CRS)
	require.NoError(t, err)
	require.NoError(t, p.Warm(t.Context(), window))
	file := before.Cache + "/" + window.Name() + ".params"
	f = stateOf(t, find(true), file)
	require.Equal(t, keys.StateRight, f.State, f.Reason)
	require.EqualValues(t, f.Want, f.Bytes)
}

func TestFilesOfAPublicNetwork(t *testing.T) {
	cache, parents := t.TempDir(), t.TempDir()
	network, err := params.ByName("mainnet")
	require.NoError(t, err)
	o := FilesOptions{Network: network, Sizes: []abi.SectorSize{32 << 30}, ParamsDir: cache, ParentCache: parents}
	found, err := Files(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, 6, found.Missing())
	require.Len(t, found.Files, 4*2+2+1)
	c := MainCircuits(32 << 30)[1]
	path := cache + "/" + c.Name() + ".vk"
	require.NoError(t, os.WriteFile(path, make([]byte, 13_636), 0o600))
	found, err = Files(t.Context(), o)
	require.NoError(t, err)
	f := stateOf(t, found, path)
	require.Equal(t, keys.StateWrong, f.State)
	require.Contains(t, f.Reason, "has digest")
	want, _ := c.Digest("vk")
	require.Equal(t, want, f.Digest)
	require.Equal(t, 6, found.Missing())

	// A parent cache that is cut short.
	sh, err := shape.OfSeal(abi.RegisteredSealProof_StackedDrg32GiBV1_1)
	require.NoError(t, err)
	require.Equal(t, abi.SectorSize(32<<30), sh.Size)
	for _, f := range found.Files {
		if f.Want == 56<<30 {
			require.NoError(t, os.WriteFile(f.Path, []byte("short"), 0o600))
		}
	}
	o.Check = true
	found, err = Files(t.Context(), o)
	require.NoError(t, err)
	for _, f := range found.Files {
		if f.Want == 56<<30 {
			require.Equal(t, keys.StateWrong, f.State)
			require.Contains(t, f.Reason, "has 5 bytes")
		}
	}
	err = MakeParams(t.Context(), network, cache, o.Sizes, func(string) {})
	require.ErrorIs(t, err, prove.ErrRefused)
}

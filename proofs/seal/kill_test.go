package seal

import (
	"bytes"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
)

// childRoot names, in the environment of a child process, the storage path in which it seals.
const childRoot = "VENUS_TEST_SEAL_ROOT"

// childLarge, set, makes the child seal 8 MiB instead of 2 KiB.
const childLarge = "VENUS_TEST_SEAL_LARGE"

// TestKilledChild is the child of TestKilled and TestKilledAtAnyMoment and does nothing in any other run.
func TestKilledChild(t *testing.T) {
	root := os.Getenv(childRoot)
	if root == "" {
		t.Skip("only as a child of TestKilled")
	}
	typ := abi.RegisteredSealProof_StackedDrg2KiBV1_1
	if os.Getenv(childLarge) != "" {
		typ = abi.RegisteredSealProof_StackedDrg8MiBV1_1
	}
	sealed(t, New(Config{ParentCache: filepath.Join(root, "parents")}), root, 4, typ, false)
}

// TestKilledAtAnyMoment kills processes that seal 8 MiB by SIGKILL at 20 moments drawn over the time that sealing takes;
// what is left over is then finished with the same commitments and the same replica.
func TestKilledAtAnyMoment(t *testing.T) {
	child := func(root string) *exec.Cmd {
		c := exec.Command(os.Args[0], "-test.run=^TestKilledChild$")
		c.Env = append(os.Environ(), childRoot+"="+root, childLarge+"=1")
		return c
	}
	const typ, moments = abi.RegisteredSealProof_StackedDrg8MiBV1_1, 20
	wall := clock.Real()
	whole := t.TempDir()
	began := wall.Now()
	require.NoError(t, child(whole).Run())
	takes := wall.Now().Sub(began)
	s := New(Config{ParentCache: filepath.Join(whole, "parents")})
	want := sealed(t, s, whole, 4, typ, false)
	replica := read(t, want.paths.Sealed)
	draw := wall.Now().UnixNano()
	t.Logf("sealing takes %s; moments drawn from %d", takes, draw)
	rnd, unfinished := rand.New(rand.NewSource(draw)), 0
	for range moments {
		root, at := t.TempDir(), time.Duration(rnd.Int63n(int64(takes)))
		c := child(root)
		require.NoError(t, c.Start())
		require.NoError(t, wall.Sleep(t.Context(), at))
		_ = c.Process.Kill() // or it has just ended
		if c.Wait() != nil {
			unfinished++
		}
		l := sealed(t, New(Config{ParentCache: filepath.Join(root, "parents")}), root, 4, typ, false)
		require.Equal(t, want.cids, l.cids, "killed after %s, drawn from %d", at, draw)
		require.True(t, bytes.Equal(replica, read(t, l.paths.Sealed)), "killed after %s, drawn from %d", at, draw)
		require.NoError(t, os.RemoveAll(root))
	}
	require.Positive(t, unfinished)
	t.Logf("%d of %d processes were killed before they had finished", unfinished, moments)
}

// TestKilled kills a sealing process by SIGKILL behind each durable step, and again at the same step of the next run
// where it gets that far; a process that is left alone then finishes with the same commitments.
func TestKilled(t *testing.T) {
	want := sealed(t, New(Config{}), t.TempDir(), 4, 5, false)
	steps := []string{"piece", "tree-d", "layer", "labels", "tree-c", "sealed", "tree-r", "p_aux"}
	for _, step := range steps {
		root := t.TempDir()
		for run := range 2 {
			child := exec.Command(os.Args[0], "-test.run=^TestKilledChild$")
			child.Env = append(os.Environ(), childRoot+"="+root, "VENUS_FAILPOINT=seal."+step+"=kill")
			err := child.Run()
			if run > 0 && err == nil {
				break // the step was done and is not done again
			}
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, step)
			require.Equal(t, -1, exit.ExitCode(), "%s: ended by a signal", step)
		}
		l := sealed(t, New(Config{ParentCache: filepath.Join(root, "parents")}), root, 4, 5, false)
		require.Equal(t, want.cids, l.cids, step)
		require.Equal(t, read(t, want.paths.Sealed), read(t, l.paths.Sealed), step)
		c1, err := New(Config{}).Commit1(ctx, l.Sector, l.paths, ticket, seed, l.pieces, l.cids)
		require.NoError(t, err, step)
		require.NotEmpty(t, c1)
	}
	t.Logf("%d kill points", len(steps))
}

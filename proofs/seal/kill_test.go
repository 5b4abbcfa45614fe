package seal

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// childRoot names, in the environment of a child process, the storage path in which it seals.
const childRoot = "VENUS_TEST_SEAL_ROOT"

// TestKilledChild is the child of TestKilled and does nothing in any other run.
func TestKilledChild(t *testing.T) {
	root := os.Getenv(childRoot)
	if root == "" {
		t.Skip("only as a child of TestKilled")
	}
	sealed(t, New(Config{ParentCache: filepath.Join(root, "parents")}), root, 4, 5, false)
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

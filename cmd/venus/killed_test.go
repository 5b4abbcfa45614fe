package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/proofs/params"
)

// asProgram, set in the environment, makes this test binary the program venus.
const asProgram = "VENUS_TEST_AS_PROGRAM"

// child is venus in a process of its own that kills itself (SIGKILL) at the n-th passage of a failpoint.
func child(point string, n int, args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), asProgram+"=1", fmt.Sprintf("VENUS_FAILPOINT=%s=kill:%d", point, n), params.CacheEnv+"="+proofs)
	return c
}

// An import that is killed anywhere goes on where it stopped, or had been done: the chain that comes out is the archive's,
// byte for byte.
func TestKilledImport(t *testing.T) {
	n := lived(t, 6, 150)
	dir := t.TempDir()
	car := filepath.Join(dir, "chain.car")
	code, _, errOut := venus(t, "--repo", n.repo, "chain", "export", car)
	require.Zero(t, code, errOut)
	for _, c := range []struct {
		point string
		n     int
		done  bool // the chain was there already
	}{
		{"import/block", 1, false}, {"import/block", 700, false}, {"pack/index", 1, false}, {"import/judged", 1, false},
		{"store/adopt", 1, false}, {"chain/headPersist", 1, false}, {"chain/headNotify", 1, true},
	} {
		t.Run(fmt.Sprint(c.point, " ", c.n), func(t *testing.T) {
			home := t.TempDir()
			out, err := child(c.point, c.n, "--repo", home, "chain", "import", "--genesisfile", n.genesis, car).CombinedOutput()
			requireKilled(t, err, out)
			code, _, errOut := venus(t, "--repo", home, "chain", "import", "--genesisfile", n.genesis, car)
			if c.done {
				require.Equal(t, render.ExitPrecondition, code)
				require.Contains(t, errOut, "nothing new")
			} else {
				require.Zero(t, code, errOut)
			}
			sameChain(t, home, car)
		})
	}
}

// A daemon that is killed anywhere while it prunes its store has all of its chain when it starts again, and can prune.
func TestKilledPrune(t *testing.T) {
	n := lived(t, 7, 150)
	car := filepath.Join(t.TempDir(), "chain.car")
	code, _, errOut := venus(t, "--repo", n.repo, "chain", "export", car)
	require.Zero(t, code, errOut)
	for _, point := range []string{"collect/rotate", "collect/copied", "pack/index", "collect/swap", "collect/swapped"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel() // a pruning waits for readers
			home := t.TempDir()
			require.NoError(t, os.CopyFS(home, os.DirFS(n.repo)))
			code, _, died := pruned(t, home, point)
			require.NotZero(t, code)
			requireKilled(t, died, nil)
			sameChain(t, home, car)
			if point == "collect/rotate" { // this one dies without waiting
				code, errOut, died := pruned(t, home, "none")
				require.Zero(t, code, errOut)
				require.NoError(t, died)
				sameChain(t, home, car)
			}
		})
	}
}

// A daemon that is killed while it takes over the store of a former version has all of its chain when it starts again.
func TestKilledTakeover(t *testing.T) {
	n := lived(t, 8, 150)
	old := t.TempDir()
	require.NoError(t, os.CopyFS(old, os.DirFS(n.repo)))
	car := filepath.Join(t.TempDir(), "chain.car")
	code, _, errOut := venus(t, "--repo", n.repo, "chain", "export", car)
	require.Zero(t, code, errOut)
	for _, point := range []string{"store/roll", "pack/index", "store/merged", "store/changed"} {
		t.Run(point, func(t *testing.T) {
			home := t.TempDir()
			require.NoError(t, os.CopyFS(home, os.DirFS(old)))
			out, err := child(point, 1, "--repo", home, "daemon", "--offline", "--api", "/ip4/127.0.0.1/tcp/0").CombinedOutput()
			requireKilled(t, err, out)
			sameChain(t, home, car)
		})
	}
}

// pruned runs a daemon that kills itself at a failpoint, and has it prune its store.
func pruned(t *testing.T, home, point string) (code int, errOut string, died error) {
	t.Helper()
	daemon := child(point, 1, "--repo", home, "daemon", "--offline", "--api", "/ip4/127.0.0.1/tcp/0")
	errs, err := daemon.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, daemon.Start())
	said := bufio.NewScanner(errs)
	for said.Scan() && !strings.Contains(said.Text(), "serves network") {
	}
	ended := make(chan error, 1)
	go func() {
		for said.Scan() {
		}
		ended <- daemon.Wait()
	}()
	code, _, errOut = venus(t, "--repo", home, "chain", "prune")
	_ = daemon.Process.Signal(os.Interrupt) // it may be dead
	return code, errOut, <-ended
}

func requireKilled(t *testing.T, err error, out []byte) {
	t.Helper()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", out)
	require.Equal(t, "signal: killed", exit.String(), "%s", out)
}

// sameChain exports the chain of a directory, which reads all of it, and compares.
func sameChain(t *testing.T, home, car string) {
	t.Helper()
	again := filepath.Join(t.TempDir(), "again.car")
	code, _, errOut := venus(t, "--repo", home, "chain", "export", again)
	require.Zero(t, code, errOut)
	want, err := os.ReadFile(car)
	require.NoError(t, err)
	got, err := os.ReadFile(again)
	require.NoError(t, err)
	require.True(t, string(want) == string(got), "another chain than before")
}

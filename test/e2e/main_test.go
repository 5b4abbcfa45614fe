// Package e2e drives the programs as people do: real processes, real sockets,
// real files. Start reading at TestMain, which builds the programs once, and at
// cluster_test.go, which keeps the clusters that the tests share; each other
// file is one promise: the guide, a second node, kills, foreign clients, bad
// input.
//
// Invariants: whatever is started is ended, also when the test binary itself is
// killed (watchdog_test.go); nothing outside temporary folders is touched;
// nothing waits for a fixed time where a condition can be asked for.
package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/internal/mariadb"
)

// world is what all tests share.
type world struct {
	// root is the repository, bin the folder of the built programs, tmp a
	// folder for everything that outlives a single test.
	root, bin, tmp string
	watch          *watchdog

	// chain is a living cluster whose chain the tests join; victim is one that
	// is there to be killed.
	chain, victim *testCluster
}

// shared is set by TestMain before any test runs.
var shared *world

const (
	// binEnv names a folder with programs that are built already.
	binEnv = "VENUS_E2E_BIN"
	// watchdogEnv makes the test binary a watchdog.
	watchdogEnv = "VENUS_E2E_WATCHDOG"
)

func TestMain(m *testing.M) {
	if bin := os.Getenv(watchdogEnv); bin != "" {
		os.Exit(watchdogMain(bin))
	}
	flag.Parse()
	if testing.Short() {
		fmt.Println("e2e: skipped with -short: these tests run whole clusters")
		return
	}
	// The tests spend their time waiting for a chain; more of them at once than
	// there are cores does no harm.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	w, err := newWorld()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	shared = w
	address.CurrentNetwork = address.Testnet
	code := mariadb.Run(m)
	if err := w.watch.finish(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: clean up:", err)
		return max(code, 1)
	}
	return code
}

func newWorld() (*world, error) {
	_, self, _, ok := runtime.Caller(0)
	if !ok {
		return nil, errors.New("cannot tell where the repository lies")
	}
	w := &world{root: filepath.Join(filepath.Dir(self), "..", "..")}
	var err error
	if w.tmp, err = os.MkdirTemp("", "venus-e2e-"); err != nil {
		return nil, err
	}
	if w.bin = os.Getenv(binEnv); w.bin == "" {
		w.bin = filepath.Join(w.tmp, "bin")
		began := time.Now()
		build := exec.Command("go", "build", "-o", w.bin+"/", "./cmd/...")
		build.Dir = w.root
		if out, err := build.CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("build the programs: %w\n%s", err, out), os.RemoveAll(w.tmp))
		}
		fmt.Printf("e2e: built the programs in %s\n", time.Since(began).Round(time.Second))
	}
	if w.watch, err = startWatchdog(w); err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.tmp))
	}
	w.chain = &testCluster{w: w, name: "chain", once: new(sync.Once)}
	w.victim = &testCluster{w: w, name: "victim", once: new(sync.Once)}
	return w, nil
}

// sharedPath is the path of a file that lies beside the repository for people
// who work on it; ok tells whether it is there.
func (w *world) sharedPath(names ...string) (path string, ok bool) {
	path = filepath.Join(append([]string{w.root, "..", "shared"}, names...)...)
	_, err := os.Stat(path)
	return path, err == nil
}

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cluster"
	"github.com/filecoin-venus/venus/genesis/devnet"
)

// testCluster is a cluster made by venus-cluster, started by the first test
// that needs it and ended with the tests.
type testCluster struct {
	w    *world
	name string
	once *sync.Once

	layout cluster.Layout
	base   int
	began  time.Time
	upLog  string
	upDone chan struct{} // closed when `up` returned
	upErr  error
	err    error
}

// launch starts the cluster in the background; the first call counts.
func (c *testCluster) launch(t *testing.T) {
	t.Helper()
	c.once.Do(func() { c.err = c.up() })
	if c.err != nil {
		t.Fatalf("cluster %s: %v", c.name, c.err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.dump(t)
		}
	})
}

func (c *testCluster) up() (err error) {
	if c.base, err = freePorts(9); err != nil {
		return err
	}
	c.layout = cluster.Layout{Data: filepath.Join(c.w.tmp, c.name)}
	c.upLog = filepath.Join(c.w.tmp, c.name+"-up.log")
	if err := c.w.watch.tell("cluster", c.layout.Data); err != nil {
		return err
	}
	c.began = time.Now()
	c.upDone = make(chan struct{})
	return c.runUp()
}

// runUp runs `venus-cluster up` to its end in the background.
func (c *testCluster) runUp() error {
	log, err := os.OpenFile(c.upLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(c.w.bin, "venus-cluster"), "up", "--data", c.layout.Data, "--port-base", strconv.Itoa(c.base))
	if delay := os.Getenv(nerpaEnv); delay != "" {
		cmd.Args = append(cmd.Args, "--network", "nerpa", "--block-delay", delay)
	}
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(c.w.tmp), log, log
	if err := cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	if err := c.w.watch.tell("process", pid); err != nil {
		return err
	}
	go func() {
		defer close(c.upDone)
		defer log.Close()
		c.upErr = cmd.Wait()
		_ = c.w.watch.tell("gone", pid) // the watchdog ends with the tests
	}()
	return nil
}

// nerpaEnv, set to the length of an epoch (4s), has all tests run on a private network with the parameters of nerpa: sectors
// of 512 MiB, and the windows and lookbacks of a public network. It takes a quiet machine and half an hour, and serves
// TestGuide.
const nerpaEnv = "VENUS_E2E_NERPA"

// patient is how long to wait for what takes so long with sectors of 2 KiB.
func patient(d time.Duration) time.Duration {
	if os.Getenv(nerpaEnv) != "" {
		return 12 * d
	}
	return d
}

// state is what the cluster has recorded of its journey.
func (c *testCluster) state() (*cluster.State, error) { return cluster.LoadState(c.layout) }

// await waits until a step of the journey is recorded.
func (c *testCluster) await(t *testing.T, step string, patience time.Duration) *cluster.State {
	t.Helper()
	var st *cluster.State
	eventually(t, patience, fmt.Sprintf("step %q of cluster %s", step, c.name), func() (err error) {
		if st, err = c.state(); err != nil {
			return err
		}
		if _, ok := st.Done[step]; ok {
			return nil
		}
		select {
		case <-c.upDone:
			if c.upErr != nil {
				t.Fatalf("venus-cluster up: %v\n%s", c.upErr, tailOf(c.upLog, 30))
			}
		default:
		}
		return fmt.Errorf("done so far: %v", keysOf(st.Done))
	})
	return st
}

func keysOf(m map[string]float64) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}

// firstBlock is the step after which the chain moves.
const firstBlock = "first-block"

// living returns the shared cluster once its chain moves.
func living(t *testing.T) (*testCluster, *cluster.State) {
	t.Helper()
	shared.chain.launch(t)
	return shared.chain, shared.chain.await(t, firstBlock, patient(3*time.Minute))
}

// node connects to the cluster's node until the test ends.
func (c *testCluster) node(t *testing.T) *apinode.FullNodeProxy {
	t.Helper()
	st, err := c.state()
	if err != nil {
		t.Fatal(err)
	}
	n, stop, err := cluster.NewClients(c.layout, st.Ports).Node()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return n
}

func (c *testCluster) net() devnet.Layout { return devnet.Layout{Dir: c.layout.Net()} }

// secret reads a token of the cluster.
func (c *testCluster) secret(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(c.layout.Secret(name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// fund sends FIL from the faucet and waits until it has landed.
func (c *testCluster) fund(t *testing.T, to string, fil int) {
	t.Helper()
	c.w.must(t, c.w.tmp, "venus-cluster", "faucet", "--data", c.layout.Data, to, strconv.Itoa(fil))
}

// dialable returns where peers reach the cluster's node.
func (c *testCluster) dialable(ctx context.Context, t *testing.T) string {
	t.Helper()
	info, err := c.node(t).NetAddrsListen(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range info.Addrs {
		if strings.HasPrefix(a, "/ip4/127.0.0.1/tcp/") {
			return a + "/p2p/" + info.ID
		}
	}
	t.Fatalf("the node listens on no loopback address: %v", info.Addrs)
	return ""
}

// dump shows the ends of all logs of the cluster.
func (c *testCluster) dump(t *testing.T) {
	t.Logf("venus-cluster up (%s):\n%s", c.name, tailOf(c.upLog, 30))
	for _, name := range append(cluster.Order(), "supervisor") {
		if _, err := os.Stat(c.layout.Log(name)); err == nil {
			t.Logf("log of %s in cluster %s:\n%s", name, c.name, tailOf(c.layout.Log(name), 15))
		}
	}
}

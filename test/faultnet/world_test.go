//go:build linux

package faultnet

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/beacon"
	"github.com/filecoin-venus/venus/genesis/devnet"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/types"
)

const (
	nodeCount  = 5
	blockDelay = 2 * time.Second
)

// network is the private network with parameters for this test: forks of 200 epochs are shallower than finality, and
// proving periods are longer than the longest run, which leaves window proofs out of it.
func network(t *testing.T) params.Network {
	t.Helper()
	n, err := params.ByName("local")
	require.NoError(t, err)
	n.BlockDelay = blockDelay
	n.Finality, n.ChallengeWindow, n.DisputeWindow = 2*mostPartition, 2000, 3*mostPartition
	period := n.ProvingPeriod()
	n.FaultMaxAge = 42 * period
	n.MaxPreCommitRandLookback = period + n.Finality
	n.RewardVestPeriod, n.RewardVestStep, n.RewardVestQuantization = 180*period, period, period/2
	n.DealMinDuration, n.DealMaxDuration = 2*period, 1000*period
	require.NoError(t, n.Validate())
	return n
}

// world is the network, what is outside of the nodes, and the nodes.
type world struct {
	t       *testing.T
	dir     string
	bin     string
	net     params.Network
	layout  devnet.Layout
	genesis time.Time
	beacon  *httptest.Server
	sealer  *seal.Sealer
	proxy   *proxy
	nodes   []*node
	// diskNode lives on a disk of its own, in diskDir; -1 where none could be made.
	diskNode int
	diskDir  string
	diskMu   sync.Mutex
	emptied  chan struct{} // closed while there is room on it
}

func newWorld(t *testing.T, dir string, length time.Duration) *world {
	t.Helper()
	address.CurrentNetwork = address.Testnet
	w := &world{t: t, dir: dir, layout: devnet.Layout{Dir: filepath.Join(dir, "net")}, diskNode: -1, emptied: make(chan struct{})}
	close(w.emptied)
	w.bin = programs(t, dir)
	w.beacon = httptest.NewUnstartedServer(nil)
	w.genesis = time.Unix(time.Now().Add(-2*blockDelay).Unix(), 0)
	var err error
	w.net, err = devnet.New(t.Context(), devnet.Options{
		Network: network(t), Dir: w.layout.Dir, Timestamp: uint64(w.genesis.Unix()), Miners: nodeCount, SectorsPerMiner: 1,
		Seed: []byte("faultnet"), BeaconServers: []string{"http://" + w.beacon.Listener.Addr().String()},
	})
	require.NoError(t, err)
	w.startBeacon()
	prover, err := prove.NewIn(w.cache(), w.net, prove.Trapdoor)
	require.NoError(t, err)
	w.sealer = seal.New(seal.Config{Prover: prover})
	t.Cleanup(func() { require.NoError(t, w.sealer.Close()) })
	w.proxy = newProxy(w.whoDials)
	w.mountDisk(diskMiB + int(diskMiBEpoch*float64(length/blockDelay)))
	return w
}

// programs builds the node, or finds it built.
func programs(t *testing.T, dir string) string {
	t.Helper()
	if bin := os.Getenv("VENUS_E2E_BIN"); bin != "" {
		return bin
	}
	bin := filepath.Join(dir, "bin")
	build := exec.Command("go", "build", "-o", bin+"/", "github.com/filecoin-venus/venus/cmd/venus")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	return bin
}

func (w *world) cache() string { return filepath.Join(w.dir, "cache") }

func (w *world) startBeacon() {
	text, err := os.ReadFile(w.layout.BeaconKey())
	require.NoError(w.t, err)
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	require.NoError(w.t, err)
	key, err := beacon.KeyFromBytes(raw)
	require.NoError(w.t, err)
	info, err := beacon.InfoOf(w.net.Beacons[0])
	require.NoError(w.t, err)
	handler, err := beacon.NewServer(key, info, clock.Real())
	require.NoError(w.t, err)
	w.beacon.Config.Handler = handler
	w.beacon.Config.ErrorLog = nil
	w.beacon.Start()
	w.t.Cleanup(w.beacon.Close)
}

// epoch is what a clock that is right says.
func (w *world) epoch() abi.ChainEpoch { return abi.ChainEpoch(time.Since(w.genesis) / blockDelay) }

// until waits for the beginning of an epoch.
func (w *world) until(e abi.ChainEpoch) {
	at := w.genesis.Add(time.Duration(e) * blockDelay)
	select {
	case <-time.After(time.Until(at)):
	case <-w.t.Context().Done():
		w.t.FailNow()
	}
}

// whoDials is the node at the near end of a connection.
func (w *world) whoDials(local, remote *net.TCPAddr) (int, error) {
	inode, err := inodeOf(local, remote)
	if err != nil {
		return 0, err
	}
	for _, n := range w.nodes {
		if pid := n.pid.Load(); pid != 0 && holds(int(pid), inode) {
			return n.index, nil
		}
	}
	return 0, fmt.Errorf("the connection from %s is no node's", local)
}

// minerKey is the key of a miner's owner and worker.
func (w *world) minerKey(miner address.Address) types.KeyInfo {
	text, err := os.ReadFile(w.layout.MinerKey(miner))
	require.NoError(w.t, err)
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	require.NoError(w.t, err)
	var k types.KeyInfo
	require.NoError(w.t, json.Unmarshal(raw, &k))
	return k
}

const (
	// diskMiB must hold the data of a short run and what a node keeps free, diskMiBEpoch what it writes in an epoch more.
	diskMiB, diskMiBEpoch = 640, 0.5
	// diskReserve is what a node keeps free by default, in bytes.
	diskReserve = 256 << 20
	// insideEnv marks the process that has mounts of its own.
	insideEnv = "VENUS_FAULTNET_INSIDE"
)

// TestMain runs the tests where a disk can be mounted that goes away with the process, if the system lets it.
func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) == "" {
		again := exec.Command("/proc/self/exe", os.Args[1:]...)
		again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
		again.Env = append(os.Environ(), insideEnv+"=mounts")
		again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		if os.Getuid() != 0 {
			again.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
			again.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			again.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		if again.Start() == nil {
			_ = again.Wait() // its exit code says it
			os.Exit(again.ProcessState.ExitCode())
		}
	}
	os.Exit(m.Run())
}

// mountDisk gives one node a disk of its own.
func (w *world) mountDisk(mib int) {
	if os.Getenv(insideEnv) == "" {
		w.t.Log("no disk is filled: this system does not let the test have mounts of its own")
		return
	}
	w.diskDir = filepath.Join(w.dir, "disk")
	require.NoError(w.t, os.MkdirAll(w.diskDir, 0o700))
	if err := syscall.Mount("tmpfs", w.diskDir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		w.t.Logf("no disk is filled: mount: %v", err)
		return
	}
	w.t.Cleanup(func() { _ = syscall.Unmount(w.diskDir, syscall.MNT_DETACH) })
	w.diskNode = nodeCount - 1
}

// ballast is what fills the disk.
func (w *world) ballast() string { return filepath.Join(w.diskDir, "ballast") }

// diskRoom is closed while there is room on the disk.
func (w *world) diskRoom() <-chan struct{} {
	w.diskMu.Lock()
	defer w.diskMu.Unlock()
	return w.emptied
}

// fillDisk leaves nothing on the disk, but lets the node see it coming, as it does when logs and other programs fill disks:
// below what the node keeps free it waits until the node says so. A node that does not answer has an epoch.
func (w *world) fillDisk() {
	w.diskMu.Lock()
	w.emptied = make(chan struct{})
	w.diskMu.Unlock()
	f, err := os.Create(w.ballast())
	require.NoError(w.t, err)
	defer f.Close()
	free, seen := fsutil.FreeOn(w.diskDir), false
	for buf := make([]byte, 4<<20); ; {
		if _, err := f.Write(buf); err != nil {
			require.ErrorIs(w.t, err, syscall.ENOSPC)
			return
		}
		left, err := free()
		require.NoError(w.t, err)
		if !seen && left < diskReserve {
			seen = true
			if err := w.await(blockDelay, w.nodes[w.diskNode].seesFullDisk); err != nil {
				w.t.Logf("  the disk fills although its node does not say so: %v", err)
			}
		}
	}
}

// seesFullDisk returns nil when the node says that its disk is full.
func (n *node) seesFullDisk(ctx context.Context) error {
	alerts, err := n.rpc.LogAlerts(ctx)
	if err == nil && !slices.ContainsFunc(alerts, func(a api.Alert) bool {
		return a.Active && a.Type.Subsystem == "disk"
	}) {
		err = errors.New("it has no such alert")
	}
	return err
}

func (w *world) emptyDisk() {
	require.NoError(w.t, os.RemoveAll(w.ballast()))
	w.diskMu.Lock()
	defer w.diskMu.Unlock()
	close(w.emptied)
}

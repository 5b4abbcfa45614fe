//go:build linux

package faultnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/stretchr/testify/require"

	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/p2p"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
)

// node is one venus daemon and what it needs to be started again.
type node struct {
	w     *world
	index int
	repo  string
	api   int
	swarm int
	front net.Listener // where the proxy stands for it
	id    peer.ID
	know  []int // the nodes it is told of; the others it finds
	log   *os.File

	offset atomic.Int64 // how wrong its clock is
	pid    atomic.Int64 // 0 while it does not run
	rpc    *apinode.FullNodeProxy

	mu    sync.Mutex
	proc  *os.Process
	ended chan struct{}
	// dying is closed when its death is ours.
	dying chan struct{}
	// down is set while a fault keeps it from running.
	down bool
}

// newNodes makes five nodes, each with a directory, an identity, a place before it in the proxy, and the addresses of two
// others.
func (w *world) newNodes() {
	for i := range nodeCount {
		n := &node{w: w, index: i, repo: filepath.Join(w.dir, "node"+strconv.Itoa(i)), rpc: new(apinode.FullNodeProxy)}
		if i == w.diskNode {
			n.repo = filepath.Join(w.diskDir, "node")
		}
		n.know = []int{(i + 1) % nodeCount, (i + 2) % nodeCount}
		n.id = w.identity(n.repo)
		var err error
		n.front, err = net.Listen("tcp", "127.0.0.1:0")
		require.NoError(w.t, err)
		n.api, n.swarm = freePort(w), freePort(w)
		n.log, err = os.OpenFile(filepath.Join(w.dir, "node"+strconv.Itoa(i)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		require.NoError(w.t, err)
		w.nodes = append(w.nodes, n)
	}
	w.t.Cleanup(func() {
		for _, n := range w.nodes {
			n.kill()
			_ = n.front.Close()
			_ = n.log.Close()
		}
		w.proxy.close()
	})
	for _, n := range w.nodes {
		w.proxy.serve(n.index, n.front, fmt.Sprintf("127.0.0.1:%d", n.swarm))
		n.start()
	}
}

func freePort(w *world) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(w.t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// identity gives a directory the key that its node will find there, so that others can be told of it beforehand.
func (w *world) identity(dir string) peer.ID {
	r, err := repo.Open(dir)
	require.NoError(w.t, err)
	raw, err := r.Keystore().GetOrMake("self", p2p.NewKey)
	require.NoError(w.t, err)
	require.NoError(w.t, r.Close())
	key, err := crypto.UnmarshalPrivateKey(raw)
	require.NoError(w.t, err)
	id, err := peer.IDFromPrivateKey(key)
	require.NoError(w.t, err)
	return id
}

// announced is where others reach a node: at the proxy.
func (n *node) announced() string {
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", n.front.Addr().(*net.TCPAddr).Port)
}

func (n *node) command() *exec.Cmd {
	w := n.w
	args := []string{
		"--repo", n.repo, "daemon", "--network", w.layout.Network(), "--genesisfile", w.layout.Genesis(), "--log-level", "info",
		"--api", fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", n.api), "--swarm", fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", n.swarm), "--announce", n.announced(),
	}
	for _, i := range n.know {
		args = append(args, "--bootstrap-peers", w.reachable(i))
	}
	if by := time.Duration(n.offset.Load()); by != 0 {
		args = append(args, "--clock-offset="+by.String())
	}
	cmd := exec.Command(filepath.Join(w.bin, "venus"), args...)
	cmd.Env = []string{"HOME=" + w.dir, "PATH=" + os.Getenv("PATH"), "TZ=UTC", "FIL_PROOFS_PARAMETER_CACHE=" + w.cache(), "NO_COLOR=1"}
	cmd.Stdout, cmd.Stderr = n.log, n.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// start runs the daemon until kill. The only death of its own that is forgiven is that it refuses to start on a full disk:
// then it is tried again when there is room, and every second meanwhile, as a service manager would.
func (n *node) start() {
	started, ended, dying := make(chan error, 1), make(chan struct{}), make(chan struct{})
	n.mu.Lock()
	n.dying, n.ended = dying, ended
	n.mu.Unlock()
	go func() {
		defer close(ended)
		// The kernel takes the end of the thread that started it for the end of the parent.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for {
			room := n.w.diskRoom()
			wasFull := !closed(room)
			cmd := n.command()
			err := n.launch(cmd)
			select {
			case started <- err:
			default:
			}
			if err != nil {
				return
			}
			err = cmd.Wait()
			n.pid.Store(0)
			if closed(dying) {
				return
			}
			full := wasFull || !closed(n.w.diskRoom())
			if n.index != n.w.diskNode || !full || cmd.ProcessState.ExitCode() != render.ExitPrecondition {
				n.w.t.Errorf("node %d ended by itself: %v\n%s", n.index, err, n.tail(30))
				return
			}
			select {
			case <-n.w.diskRoom():
			case <-time.After(time.Second):
			case <-dying:
			}
		}
	}()
	require.NoError(n.w.t, <-started)
}

var errDying = errors.New("the node is to be dead")

func (n *node) launch(cmd *exec.Cmd) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if closed(n.dying) {
		return errDying
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	n.proc = cmd.Process
	n.pid.Store(int64(cmd.Process.Pid))
	return nil
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (n *node) signal(s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc != nil && !closed(n.dying) {
		_ = n.proc.Signal(s) // it may be gone
	}
}

// kill ends the process at once, and is done when it is gone.
func (n *node) kill() {
	n.mu.Lock()
	if n.dying != nil && !closed(n.dying) {
		close(n.dying)
	}
	ended := n.ended
	if n.proc != nil {
		_ = n.proc.Kill() // it may be gone
	}
	n.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

// dial connects the client once the node has written its token; the port and the token outlive restarts.
func (n *node) dial() {
	w := n.w
	w.eventually(2*time.Minute, fmt.Sprintf("node %d answers", n.index), func(ctx context.Context) error {
		token, err := os.ReadFile(filepath.Join(n.repo, "token"))
		if err != nil {
			return err
		}
		stop, err := rpc.Dial(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", n.api), strings.TrimSpace(string(token)), apinode.Namespace, n.rpc,
			rpc.DialOptions{Service: "venus", Path: "/rpc/v1", Timeout: 20 * time.Second})
		if err != nil {
			return err
		}
		if _, err := n.rpc.ChainHead(ctx); err != nil {
			stop()
			return err
		}
		w.t.Cleanup(stop)
		return nil
	})
}

func (n *node) tail(lines int) string {
	b, err := os.ReadFile(n.log.Name())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(len(all)-lines, 0):], "\n")
}

// rss is the memory of the process, in MiB.
func (n *node) rss() int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.pid.Load()))
	if err != nil {
		return 0
	}
	var size, resident int
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0
	}
	return resident * os.Getpagesize() >> 20
}

// reachable is how others are told of a node.
func (w *world) reachable(i int) string {
	return w.nodes[i].announced() + "/p2p/" + w.nodes[i].id.String()
}

// eventually asks until there is no error.
func (w *world) eventually(patience time.Duration, what string, ask func(context.Context) error) {
	w.t.Helper()
	if err := w.await(patience, ask); err != nil {
		w.t.Fatalf("%s: not within %s: %v", what, patience, err)
	}
}

// await asks what other processes do, until there is no error; it returns the last one when time is up or the test is over.
func (w *world) await(patience time.Duration, ask func(context.Context) error) error {
	end, stop := context.WithTimeout(w.t.Context(), patience)
	defer stop()
	next := time.NewTicker(100 * time.Millisecond)
	defer next.Stop()
	for {
		ctx, cancel := context.WithTimeout(end, 10*time.Second)
		err := ask(ctx)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-next.C:
		case <-end.Done():
			return err
		}
	}
}

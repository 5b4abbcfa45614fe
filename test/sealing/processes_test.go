package sealing

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/worker"
	"github.com/filecoin-venus/venus/worker/bus"
)

// roleEnv tells this binary to be something else than a test, with its arguments as JSON.
const roleEnv = "VENUS_TEST_ROLE"

type role struct {
	// Worker is set for a worker: the sealer's address, its token, the worker's
	// name, and the file that takes down what it sealed.
	Sealer, Token, Name, Notes string
	// Window is what it does with window proofs, "" when it makes none.
	Window string
	// Bear is set for the parent of TestChildrenDieWithTheirParent.
	Bear bool
	// Port and the rest are set for a NATS server.
	Port, ClusterPort int
	Routes            []string
	Dir               string
}

func TestMain(m *testing.M) {
	text := os.Getenv(roleEnv)
	if text == "" {
		os.Exit(m.Run())
	}
	go func() { // the test holds the other end: when it dies, so does this
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(2)
	}()
	var r role
	err := json.Unmarshal([]byte(text), &r)
	switch {
	case err != nil:
	case r.Bear:
		err = r.bear()
	case r.Port > 0:
		err = r.serveNATS()
	default:
		err = r.work()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serveNATS is a server of a cluster, until it is killed.
func (r role) serveNATS() error {
	o := &server.Options{
		ServerName: fmt.Sprint("n", r.Port), Host: "127.0.0.1", Port: r.Port, JetStream: true, StoreDir: r.Dir, SyncAlways: true, NoSigs: true, LogFile: r.Dir + ".nats.log",
		Cluster: server.ClusterOpts{Name: "venus", Host: "127.0.0.1", Port: r.ClusterPort}, Authorization: clusterToken,
	}
	for _, text := range r.Routes {
		u, err := url.Parse(text)
		if err != nil {
			return err
		}
		o.Routes = append(o.Routes, u)
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	s.WaitForShutdown()
	return nil
}

const clusterToken = "secret of the cluster"

// note is what a worker sealed.
type note struct {
	Sector uint64
	Ticket []byte
	CommR  string
}

// witness notes every replica that is made, those that nobody takes over too.
type witness struct {
	worker.Prover
	file *os.File
}

func (w witness) Run(ctx context.Context, t worker.Task) (worker.Result, error) {
	res, err := w.Prover.Run(ctx, t)
	if err == nil && t.Kind == sector.TaskPreCommit2 {
		b, err := json.Marshal(note{uint64(t.Sector.Number), t.Ticket, res.CommR.String()})
		if err != nil {
			return res, err
		}
		if _, err := w.file.Write(append(b, '\n')); err != nil {
			return res, err
		}
	}
	return res, err
}

// work is a worker with one core of its own, until it is killed.
func (r role) work() error {
	ctx := context.Background()
	door := new(worker.JoinProxy)
	stop, err := rpc.Dial(r.Sealer, r.Token, worker.Namespace, door, rpc.DialOptions{Path: worker.JoinPath})
	if err != nil {
		return err
	}
	defer stop()
	w, err := door.Join(ctx)
	if err != nil {
		return err
	}
	sealer, refused := worker.NewSealer(w.Network, worker.Options{})
	if refused != nil {
		return refused
	}
	conn, err := bus.Connect(w, r.Sealer, r.Token, r.Name, bus.Login{})
	if err != nil {
		return err
	}
	source, err := bus.NewClient(conn, w.Bus)
	if err != nil {
		return err
	}
	notes, err := os.OpenFile(r.Notes, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info := worker.Here("", r.Name)
	info.Machine, info.CPUs, info.Kinds = info.ID, 1, sector.TaskKinds()
	var prover worker.Prover = witness{worker.SealProver{Sealer: sealer}, notes}
	if r.Window != "" {
		info.Kinds, prover = []sector.TaskKind{sched.WindowPoSt}, windows{prover, r.Window, notes}
	}
	(&worker.Executor{Source: source, Prover: prover, Info: info, Clock: clock.Real()}).Run(ctx, ctx)
	return nil
}

// process is a program, or this binary in a role.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func start(t *testing.T, log string, r role) *process {
	self, err := os.Executable()
	require.NoError(t, err)
	text, err := json.Marshal(r)
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleEnv+"="+string(text))
	return spawn(t, log, cmd)
}

func spawn(t *testing.T, log string, cmd *exec.Cmd) *process {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer out.Close()
	p := &process{cmd: cmd, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = out, out, dieWithParent()
	_, err = p.cmd.StdinPipe() // open as long as this process lives
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // killed
		close(p.done)
	}()
	return p
}

// kill is kill -9, and waits for the end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func freePorts(t *testing.T, n int) (out []int) {
	var open []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		open = append(open, l)
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	for _, l := range open {
		require.NoError(t, l.Close())
	}
	return out
}

// cluster is three NATS servers.
type cluster struct {
	t     *testing.T
	dir   string
	roles []role
	urls  []string

	mu    sync.Mutex
	nodes []*process
}

func startCluster(t *testing.T) *cluster {
	c := &cluster{t: t, dir: t.TempDir()}
	ports := freePorts(t, 6)
	for i := range 3 {
		r := role{Port: ports[i], ClusterPort: ports[3+i], Dir: filepath.Join(c.dir, fmt.Sprint("n", i))}
		for j := range 3 {
			r.Routes = append(r.Routes, fmt.Sprintf("nats://127.0.0.1:%d", ports[3+j]))
		}
		c.roles = append(c.roles, r)
		c.urls = append(c.urls, fmt.Sprintf("nats://127.0.0.1:%d", r.Port))
		c.nodes = append(c.nodes, c.start(i))
	}
	t.Cleanup(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, n := range c.nodes {
			n.kill()
		}
		for i := range c.nodes {
			if t.Failed() {
				t.Logf("the log of NATS server %d ends with\n%s", i, tail(c.roles[i].Dir+".nats.log"))
			}
		}
	})
	return c
}

func (c *cluster) start(i int) *process {
	return start(c.t, filepath.Join(c.dir, fmt.Sprint("n", i, ".log")), c.roles[i])
}

// kill ends one server; back starts it again.
func (c *cluster) kill(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[i].kill()
}

func (c *cluster) back(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[i] = c.start(i)
}

// ready waits until the servers have found each other and a leader.
func (c *cluster) ready() {
	conn, err := bus.ConnectCluster(bus.Login{URLs: c.urls, Token: clusterToken}, bus.Options("test")...)
	require.NoError(c.t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(c.t, err)
	require.Eventually(c.t, func() bool {
		_, err := js.AccountInfo(c.t.Context())
		return err == nil
	}, time.Minute, 100*time.Millisecond)
}

// tail is the end of a log, for a test that failed.
func tail(file string) string {
	b, _ := os.ReadFile(file)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// pause lets time pass where time is what is tested: epochs, and the moments of
// kills. Whoever waits for something looks at every head, or with require.Eventually.
func pause(ctx context.Context, d time.Duration) { _ = clock.Real().Sleep(ctx, d) }

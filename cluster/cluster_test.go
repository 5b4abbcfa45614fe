package cluster

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
)

func layoutIn(t *testing.T) Layout {
	t.Helper()
	l := Layout{t.TempDir()}
	require.NoError(t, l.make())
	return l
}

func shell(name, script string) Program {
	return Program{Name: name, Binary: "/bin/sh", Args: []string{"-c", script}}
}

func phaseOf(s *Supervisor, name string) Status { return find(s.Status(), name) }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 10*time.Second, 5*time.Millisecond, what)
}

func TestSupervisorRestartsWithBackoff(t *testing.T) {
	l, sim := layoutIn(t), clock.NewSim(time.Unix(0, 0))
	s := NewSupervisor(l, map[string]Program{Auth: shell(Auth, "echo hello; exit 3")}, sim)
	require.NoError(t, s.Start(Auth))
	require.NoError(t, s.Start(Auth), "starting twice is harmless")
	require.Error(t, s.Start("nobody"))
	delay := firstDelay
	for n := 1; n <= 4; n++ {
		eventually(t, "it dies and waits", func() bool { st := phaseOf(s, Auth); return st.Phase == Waiting && st.Restarts == n })
		require.Equal(t, "exit status 3", phaseOf(s, Auth).LastExit)
		require.NoError(t, sim.WaitFor(context.Background(), 1))
		sim.Advance(delay - time.Millisecond)
		require.Equal(t, n, phaseOf(s, Auth).Restarts, "not before its time")
		sim.Advance(time.Millisecond)
		delay *= 2
	}
	s.StopAll()
	require.Equal(t, Stopped, phaseOf(s, Auth).Phase)
	out, err := os.ReadFile(l.Log(Auth))
	require.NoError(t, err)
	require.Contains(t, string(out), "hello")
}

func TestSupervisorWatchesHealthAndStops(t *testing.T) {
	well := make(chan bool, 1)
	well <- false
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		ok := <-well
		well <- ok
		if !ok {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	mark := filepath.Join(t.TempDir(), "ended")
	p := shell(Node, "trap 'touch "+mark+"; exit 0' TERM; while :; do sleep 0.01; done")
	p.Health = srv.URL
	s := NewSupervisor(layoutIn(t), map[string]Program{Node: p}, clock.Real())
	require.NoError(t, s.Start(Node))
	eventually(t, "it says why", func() bool { return phaseOf(s, Node).Health != "" })
	require.Equal(t, Starting, phaseOf(s, Node).Phase)
	<-well
	well <- true
	eventually(t, "it becomes healthy", func() bool { return phaseOf(s, Node).Phase == Healthy })
	require.NotZero(t, phaseOf(s, Node).RSS)
	s.Stop(Node)
	_, err := os.Stat(mark)
	require.NoError(t, err, "the program ends in good order")
}

func TestControl(t *testing.T) {
	ctx := context.Background()
	l := layoutIn(t)
	c := Control{l}
	_, err := c.Status(ctx)
	require.ErrorIs(t, err, ErrDown)
	require.ErrorIs(t, Supervise(ctx, l, "/nowhere", clock.Real()), ErrNoCluster)

	ports, err := PortsFrom(30000)
	require.NoError(t, err)
	require.NoError(t, (&State{Ports: ports, Miner: "t01001"}).save(l))
	ended := make(chan error, 1)
	go func() { ended <- Supervise(ctx, l, "/nowhere", clock.Real()) }()
	eventually(t, "the supervisor answers", func() bool { return c.Alive(ctx) })
	require.ErrorContains(t, Supervise(ctx, l, "/nowhere", clock.Real()), "already")
	list, err := c.Status(ctx)
	require.NoError(t, err)
	require.Len(t, list, len(Order()))
	require.NoError(t, c.Start(ctx, Auth))
	eventually(t, "a program that cannot be found is reported", func() bool {
		list, err := c.Status(ctx)
		return err == nil && find(list, Auth).LastExit != ""
	})
	require.Error(t, c.Start(ctx, "nobody"))
	require.NoError(t, c.Stop(ctx, Auth))
	require.NoError(t, c.Shutdown(ctx, clock.Real()))
	require.NoError(t, <-ended)
	back, err := LoadState(l)
	require.NoError(t, err)
	require.Equal(t, "t01001", back.Miner)
	require.NoError(t, os.WriteFile(l.state(), []byte("{"), 0o600))
	_, err = LoadState(l)
	require.ErrorContains(t, err, "damaged")
}

func TestPortsFrom(t *testing.T) {
	guide, err := PortsFrom(0)
	require.NoError(t, err)
	require.Equal(t, "/ip4/127.0.0.1/tcp/3453", guide.NodeURL())
	require.Equal(t, "http://127.0.0.1:39812/rpc/v0", guide.MessagerURL())
	_, err = PortsFrom(80)
	require.Error(t, err)
	other, err := PortsFrom(21000)
	require.NoError(t, err)
	seen := map[int]bool{}
	for _, p := range []int{other.Auth, other.Beacon, other.Wallet, other.Node, other.Swarm, other.Messager, other.GenesisSealer, other.Sealer, other.Miner} {
		require.False(t, seen[p], "two programs on one port")
		seen[p] = true
	}
}

func TestNoSecretsOnCommandLines(t *testing.T) {
	l := Layout{"/data"}
	for _, p := range Programs(l, guidePorts, "/bin") {
		for i, a := range p.Args {
			if a == "--token" || a == "--node-token" {
				require.Contains(t, p.Args[i+1], "@/", "%s gets its token by file", p.Name)
			}
		}
	}
}

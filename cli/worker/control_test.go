package worker

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/rpc"
)

// sealer is the little of a sealer that these commands ask.
type sealer struct {
	*sealerapi.SealerProxy
	mu       sync.Mutex
	settings map[string]sealerapi.WorkerSettings
	looks    int // at the jobs; they are done at the second
}

func (s *sealer) WorkerStats(context.Context) (map[string]sealerapi.WorkerStats, error) {
	return map[string]sealerapi.WorkerStats{"id": {
		Info:  sealerapi.WorkerInfo{Hostname: "box", Resources: sealerapi.WorkerResources{CPUs: 8, MemPhysical: 64 << 30}},
		Tasks: []string{"PC1"}, CpuUse: 2, Version: "1.0.0", Enabled: true,
	}}, nil
}

func (s *sealer) WorkerJobs(context.Context) (map[string][]sealerapi.WorkerJob, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looks++; s.looks > 1 {
		return map[string][]sealerapi.WorkerJob{}, nil
	}
	return map[string][]sealerapi.WorkerJob{"id": {{ID: sealerapi.CallID{ID: "t01000-1-PC1-1"}}}}, nil
}

func (s *sealer) WorkerGet(_ context.Context, name string) (sealerapi.WorkerSettings, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have, ok := s.settings[name]; ok {
		return have, nil
	}
	return sealerapi.WorkerSettings{Enabled: true}, nil
}

func (s *sealer) WorkerSet(_ context.Context, name string, w sealerapi.WorkerSettings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings[name] = w
	return nil
}

func TestControl(t *testing.T) {
	s := &sealer{SealerProxy: new(sealerapi.SealerProxy), settings: map[string]sealerapi.WorkerSettings{}}
	srv := rpc.NewServer(rpc.Options{Anonymous: api.AllPermissions()})
	require.NoError(t, srv.Register(rpc.DefaultPath, s, new(sealerapi.SealerProxy), sealerapi.Namespace))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = srv.Serve(l) }() // ends with Shutdown
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx) // the test is over
	})
	ask := func(name string, args ...string) (int, string, string) {
		return run(t, Deps{}, append(args, "--sealer", l.Addr().String(), "--name", name)...)
	}
	code, out, errOut := ask("box", "info")
	require.Zero(t, code, errOut)
	for _, want := range []string{"id", "8, 2 in use", "64 GiB", "PC1", "t01000-1-PC1-1 since"} {
		require.Contains(t, out, want)
	}
	code, _, errOut = ask("nobody", "info")
	require.Equal(t, render.ExitCode(api.CodeNotFound), code)
	require.Contains(t, errOut, "it knows: box")

	code, _, errOut = ask("box", "set", "--enabled=false")
	require.Zero(t, code, errOut)
	require.Contains(t, errOut, "no new tasks")
	for _, cmd := range [][]string{{"tasks", "disable"}, {"tasks", "enable"}} {
		code, _, _ = ask("box", cmd...)
		require.Equal(t, render.ExitUsage, code)
	}
	code, _, errOut = run(t, Deps{}, "tasks", "disable", "--sealer", l.Addr().String(), "--name", "box", "pc1", "C2")
	require.Zero(t, code, errOut)
	require.Equal(t, sealerapi.WorkerSettings{DisabledTasks: []string{"PC1", "C2"}}, s.settings["box"])
	code, _, errOut = run(t, Deps{}, "tasks", "enable", "--sealer", l.Addr().String(), "--name", "box", "PC1")
	require.Zero(t, code, errOut)
	require.Equal(t, sealerapi.WorkerSettings{DisabledTasks: []string{"C2"}}, s.settings["box"])

	code, _, errOut = ask("box", "wait-quiet")
	require.Zero(t, code, errOut)
	require.Contains(t, errOut, "have no tasks")
}

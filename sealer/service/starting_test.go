package service

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// asks returns what a health path of a port answers, 0 when nobody does.
func asks(t *testing.T, port int, path string) (int, string) {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/%s", port, path))
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

// TestStartTellsWhatItDoes: from its first moment a sealer answers at its address that it lives, is not ready, and why;
// so do calls. What answers gives the address to the sealer.
func TestStartTellsWhatItDoes(t *testing.T) {
	up, _, dir := daemonUp(t)
	require.NoError(t, up.Close())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	file := filepath.Join(dir, config.FileName)
	cfg, err := config.Load(file)
	require.NoError(t, err)
	node := cfg.Node.URL
	cfg.Node.URL = "/ip4/127.0.0.1/tcp/1" // nobody is there
	require.NoError(t, cfg.Save(file))
	listen := fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/http", port)

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := Start(ctx, Options{Dir: dir, API: listen, Version: "test", Clock: clock.Real()})
		ended <- err
	}()
	require.Eventually(t, func() bool {
		status, text := asks(t, port, "readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "start: waiting for the node: cannot reach venus at")
	}, 10*time.Second, 10*time.Millisecond)
	status, _ := asks(t, port, "livez")
	require.Equal(t, http.StatusOK, status)
	c := new(sealerapi.SealerProxy)
	stop, err := rpc.Dial(listen, "", sealerapi.Namespace, c, rpc.DialOptions{Service: "venus-sealer"})
	require.NoError(t, err)
	defer stop()
	_, err = c.SectorsList(t.Context())
	require.ErrorContains(t, err, "venus-sealer: it starts: waiting for the node")
	require.Equal(t, api.CodeUnavailable, api.Explain(err).Code)
	cancel()
	require.Error(t, <-ended)

	cfg.Node.URL = node
	require.NoError(t, cfg.Save(file))
	s, err := Start(t.Context(), Options{Dir: dir, API: listen, Version: "test", Clock: clock.Real()})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		status, _ := asks(t, port, "readyz")
		return status == http.StatusOK
	}, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, s.Close())
}

// TestLoadingIsTold: the sectors that are read are counted for whoever asks, and in the log every two seconds.
func TestLoadingIsTold(t *testing.T) {
	d, err := db.Open(t.Context(), db.Config{Path: filepath.Join(t.TempDir(), "sealer.db"), NoSync: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, d.Close()) }()
	var changes []db.Change
	for n := range abi.SectorNumber(2100) {
		changes = append(changes, db.Change{Record: sector.New(sealertest.MinerID, n, abi.RegisteredSealProof_StackedDrg2KiBV1_1, time.Unix(0, 0))})
	}
	require.NoError(t, d.SaveSectors(t.Context(), changes))
	clk := clock.NewSim(time.Unix(1e9, 0))
	s := newStarting(clk, "/ip4/127.0.0.1/tcp/0")
	var told []string
	var said []time.Duration
	list, err := d.Load(t.Context(), func(done, total int) {
		before := s.said
		clk.Advance(1500 * time.Millisecond)
		s.loaded(done, total)
		told = append(told, s.now())
		if s.said != before {
			said = append(said, s.said.Sub(time.Unix(1e9, 0)))
		}
	})
	require.NoError(t, err)
	require.Len(t, list, 2100)
	require.Equal(t, []string{"loading sectors, 500 of 2100", "loading sectors, 1000 of 2100", "loading sectors, 1500 of 2100", "loading sectors, 2000 of 2100"}, told)
	require.Equal(t, []time.Duration{1500 * time.Millisecond, 4500 * time.Millisecond}, said)
	require.NoError(t, s.end())
}

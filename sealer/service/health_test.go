package service

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/sealer/heads"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/store"
)

func TestWellStored(t *testing.T) {
	path := func(away, full string, stores bool) seenPath {
		return seenPath{store.Path{Meta: store.Meta{CanStore: stores, CanSeal: true}, Away: away}, full}
	}
	for name, c := range map[string]struct {
		list []seenPath
		lost int
		want string // "" is well
	}{
		"none":                  {nil, 0, "no storage path is attached"},
		"one":                   {[]seenPath{path("", "", true)}, 0, ""},
		"full ones may be":      {[]seenPath{path("", "it is 96 % full", true), path("", "", true)}, 0, ""},
		"all that store full":   {[]seenPath{path("", "it is 96 % full", true), path("", "", false)}, 0, "takes finished sectors"},
		"read-only":             {[]seenPath{path("", "its file system is mounted read-only", true)}, 0, "takes finished sectors"},
		"one away":              {[]seenPath{path("/secret is gone", "", true), path("", "", true)}, 0, "1 storage paths are away"},
		"one never seen":        {[]seenPath{path("", "", true)}, 1, "1 storage paths are away"},
		"away and nowhere else": {[]seenPath{path("/secret is gone", "", true)}, 1, "2 storage paths are away"},
	} {
		note, err := wellStored(c.list, c.lost)
		if c.want == "" {
			require.NoError(t, err, name)
			require.NotEmpty(t, note, name)
			continue
		}
		require.ErrorContains(t, err, c.want, name)
		require.NotContains(t, err.Error(), "/secret", "strangers read it")
	}
}

// TestHeadOfHealth has a node go silent.
func TestHeadOfHealth(t *testing.T) {
	network, err := params.ByName("local")
	require.NoError(t, err)
	clk := clock.NewSim(time.Unix(1e9, 0))
	chain := sealertest.NewChain(network, 1000, clk.Now())
	s := &Service{opts: Options{Clock: clk}, network: network, heads: heads.New(chain, clk)}
	head := func() rpc.Condition {
		clk.Advance(2 * time.Second) // an answer is kept for a second
		return s.health().Conditions(t.Context(), func(c rpc.Check) bool { return c.Name == "head" })[0]
	}
	require.ErrorContains(t, head().Err, "no head yet")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		s.heads.Run(ctx)
		close(done)
	}()
	defer func() {
		cancel()
		<-done
	}()
	require.Eventually(t, func() bool { return s.heads.Latest().Seq > 0 }, time.Minute, time.Millisecond)
	require.NoError(t, head().Err)
	clk.Advance(40 * time.Second)
	for _, c := range s.health().Conditions(t.Context(), func(c rpc.Check) bool { return c.Ready && c.Name != "database" }) {
		t.Fatalf("%s: a sealer is ready where nobody mines yet: the first miner of a network waits for it", c.Name)
	}
	require.ErrorContains(t, head().Err, "the node's head, epoch 1000, is 4")
}

// TestHealthOfASealer asks a running sealer while a disk is away, and after.
func TestHealthOfASealer(t *testing.T) {
	s, chain, dir := daemonUp(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for clock.Real().Sleep(ctx, 500*time.Millisecond) == nil {
			chain.Tick(time.Now())
		}
	}()
	url, err := rpc.ParseEndpoint(s.Address, "/healthz")
	require.NoError(t, err)
	healthz := func() (int, string) {
		res, err := http.Get(url + "?verbose")
		require.NoError(t, err)
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(b)
	}
	becomes := func(status int, what string) {
		var text string
		require.Eventually(t, func() bool {
			var now int
			now, text = healthz()
			return now == status && strings.Contains(text, what)
		}, 20*time.Second, 100*time.Millisecond, "it never says %q", what)
		for _, name := range []string{"database", "head", "nats", "storage", "deadlines"} {
			require.Contains(t, text, "] "+name+": ", text)
		}
		require.NotContains(t, text, dir, "strangers read it")
	}
	becomes(http.StatusServiceUnavailable, "[!] storage: no storage path is attached")
	disk := filepath.Join(dir, "disk")
	_, err = s.StorageAttach(t.Context(), sealerapi.StorageSpec{Path: disk, Init: true, CanStore: true})
	require.NoError(t, err)
	becomes(http.StatusOK, "[+] storage: 1 paths, 1 take finished sectors")
	require.NoError(t, os.Rename(disk, disk+".off"))
	s.store.Look()
	becomes(http.StatusServiceUnavailable, "[!] storage: 1 storage paths are away")
	require.NoError(t, os.Rename(disk+".off", disk))
	s.store.Look()
	becomes(http.StatusOK, "[+] storage: 1 paths, 1 take finished sectors")
}

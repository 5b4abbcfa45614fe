package p2p

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
)

func startHost(t *testing.T, bootstrap ...string) *Host {
	t.Helper()
	key, err := NewKey()
	require.NoError(t, err)
	h, err := New(context.Background(), Config{
		Key: key, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Bootstrap: bootstrap, Network: "test", Agent: "venus/test", Clock: clock.Real(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

func connect(t *testing.T, a, b *Host) {
	t.Helper()
	require.NoError(t, a.Connect(context.Background(), peer.AddrInfo{ID: b.ID(), Addrs: b.Host.Addrs()}))
}

func TestGossipValidatesBeforeForwarding(t *testing.T) {
	ctx := context.Background()
	var mu sync.Mutex
	seen := map[string]int{}
	record := func(who string, verdict Verdict) Validate {
		return func(_ context.Context, _ peer.ID, data []byte, self bool) Verdict {
			if self {
				return Accept
			}
			mu.Lock()
			defer mu.Unlock()
			seen[who+":"+string(data)]++
			if bytes.HasPrefix(data, []byte("bad")) {
				return verdict
			}
			if bytes.HasPrefix(data, []byte("panic")) {
				panic("validator")
			}
			return Accept
		}
	}
	a, b, c := startHost(t), startHost(t), startHost(t)
	ga, err := a.Join(ctx, Handlers{Block: record("a", Ignore), Message: record("a", Ignore)})
	require.NoError(t, err)
	gb, err := b.Join(ctx, Handlers{Block: record("b", Ignore), Message: record("b", Ignore)})
	require.NoError(t, err)
	_, err = c.Join(ctx, Handlers{Block: record("c", Ignore), Message: record("c", Ignore)})
	require.NoError(t, err)
	a.reputation.blame(c.ID(), Foreign, "a and c must not find each other, only b is between them")
	c.reputation.blame(a.ID(), Foreign, "as above")
	connect(t, a, b)
	connect(t, b, c)
	require.Eventually(t, func() bool { return len(ga.BlockPeers()) > 0 && len(gb.BlockPeers()) == 2 }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, ga.PublishBlock(ctx, []byte("bad one")))
	require.NoError(t, ga.PublishBlock(ctx, []byte("panic")))
	// Meshes form at heartbeats: what is published before may miss c, so publish
	// until something arrives.
	n := 0
	require.Eventually(t, func() bool {
		n++
		require.NoError(t, ga.PublishBlock(ctx, fmt.Appendf(nil, "good %d", n)))
		mu.Lock()
		defer mu.Unlock()
		for k := range seen {
			if strings.HasPrefix(k, "c:good") {
				return true
			}
		}
		return false
	}, 20*time.Second, 200*time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, 1, seen["b:bad one"])
	require.Equal(t, 1, seen["b:panic"])
	require.Zero(t, seen["c:bad one"], "what b ignores it does not forward")
	require.Zero(t, seen["c:panic"])
}

func TestBootstrapAndPanickingHandler(t *testing.T) {
	a := startHost(t)
	addrs, err := a.DialAddrs()
	require.NoError(t, err)
	a.HandleStream("/test/panic", time.Second, func(network.Stream) error { panic("handler") })
	b := startHost(t, addrs...)
	require.Eventually(t, func() bool { return b.Network().Connectedness(a.ID()) == network.Connected }, 10*time.Second, 10*time.Millisecond)
	s, err := b.NewStream(context.Background(), a.ID(), "/test/panic")
	require.NoError(t, err)
	_, err = s.Write([]byte("x"))
	require.NoError(t, err)
	_, err = s.Read(make([]byte, 1))
	require.Error(t, err, "the stream is reset, the process lives")
	require.Equal(t, network.Connected, b.Network().Connectedness(a.ID()))
}

func TestParsePeers(t *testing.T) {
	_, err := ParsePeers([]string{"/ip4/127.0.0.1/tcp/1"})
	require.ErrorContains(t, err, "/p2p/ID")
	_, err = ParsePeers([]string{"nonsense"})
	require.ErrorContains(t, err, "nonsense")
	infos, err := ParsePeers(nil)
	require.NoError(t, err)
	require.Empty(t, infos)
}

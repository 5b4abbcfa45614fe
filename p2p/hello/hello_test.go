package hello

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/p2p"
	"github.com/filecoin-venus/venus/types"
)

func start(t *testing.T, genesis string) (*p2p.Host, chan *Hello) {
	t.Helper()
	s, met := startAt(t, genesis, clock.Real())
	return s.host, met
}

// startAt is a service that goes by a clock of its own.
func startAt(t *testing.T, genesis string, c clock.Clock) (*Service, chan *Hello) {
	t.Helper()
	key, err := p2p.NewKey()
	require.NoError(t, err)
	h, err := p2p.New(context.Background(), p2p.Config{Key: key, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Network: "test", Clock: clock.Real()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	g, err := types.CidPrefix.Sum([]byte(genesis))
	require.NoError(t, err)
	met := make(chan *Hello, 4)
	s := New(h, c, func(context.Context) (*Hello, error) {
		return &Hello{Head: []cid.Cid{g}, Height: 7, Weight: big.NewInt(9), Genesis: g}, nil
	}, func(_ peer.ID, m *Hello) { met <- m })
	return s, met
}

func TestPeersOfOneGenesisMeet(t *testing.T) {
	a, metA := start(t, "one")
	b, metB := start(t, "one")
	require.NoError(t, a.Connect(context.Background(), peer.AddrInfo{ID: b.ID(), Addrs: b.Host.Addrs()}))
	for _, met := range []chan *Hello{metA, metB} {
		select {
		case m := <-met:
			require.EqualValues(t, 7, m.Height)
		case <-time.After(10 * time.Second):
			t.Fatal("no greeting")
		}
	}
}

func TestPeersOfAnotherGenesisPart(t *testing.T) {
	a, metA := start(t, "one")
	b, _ := start(t, "two")
	require.NoError(t, a.Connect(context.Background(), peer.AddrInfo{ID: b.ID(), Addrs: b.Host.Addrs()}))
	require.Eventually(t, func() bool { return a.Network().Connectedness(b.ID()) != network.Connected }, 10*time.Second, 10*time.Millisecond)
	require.Empty(t, metA)
}

func FuzzHello(f *testing.F) {
	f.Add([]byte{0x84, 0x80, 0x00, 0x40})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Hello
		if m.UnmarshalCBOR(bytes.NewReader(b)) == nil {
			require.NoError(t, m.MarshalCBOR(&bytes.Buffer{}))
		}
		var l Latency
		_ = l.UnmarshalCBOR(bytes.NewReader(b)) // must not panic
	})
}

package p2p

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
)

// plan is a list of contacts whose pauses are as planned, on a clock moved by hand.
func plan(t *testing.T, chosen ...peer.ID) (*contacts, *clock.Sim) {
	t.Helper()
	sim := clock.NewSim(time.Unix(1000, 0))
	var infos []peer.AddrInfo
	for _, p := range chosen {
		infos = append(infos, peer.AddrInfo{ID: p, Addrs: someAddrs()})
	}
	x := newContacts(sim, 8*time.Second, infos)
	x.jitter = func(d time.Duration) time.Duration { return d }
	return x, sim
}

func someAddrs() []ma.Multiaddr { return []ma.Multiaddr{ma.StringCast("/ip4/10.0.0.1/tcp/1")} }

// lines sets who is connected.
func lines(x *contacts, up ...peer.ID) {
	x.observe(func(p peer.ID) bool { return slices.Contains(up, p) }, func(peer.ID) []ma.Multiaddr { return someAddrs() })
}

func ids(list []peer.AddrInfo) (out []peer.ID) {
	for _, p := range list {
		out = append(out, p.ID)
	}
	return out
}

func TestContactsPausesDoubleAndEnd(t *testing.T) {
	x, sim := plan(t, "boot")
	var pauses []time.Duration
	last := sim.Now()
	for len(pauses) < 7 {
		for _, p := range x.take(0) {
			pauses = append(pauses, sim.Now().Sub(last))
			last = sim.Now()
			require.Empty(t, x.take(0), "not twice at once")
			x.tried(p.ID)
		}
		sim.Advance(time.Second)
	}
	require.Equal(t, []time.Duration{0, 1 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second, 8 * time.Second}, pauses)

	lines(x, "boot")
	sim.Advance(time.Hour)
	require.Empty(t, x.take(0), "it is connected")
	lines(x)
	sim.Advance(time.Second)
	require.Equal(t, []peer.ID{"boot"}, ids(x.take(0)), "after a long life of the line the first try comes soon")
	lines(x, "boot")
	x.tried("boot")
	lines(x)
	sim.Advance(time.Second)
	require.Empty(t, x.take(0), "a peer that hangs up at once is left alone a little longer")
	sim.Advance(time.Second)
	require.Len(t, x.take(0), 1)
	lines(x, "boot")
	lines(x)
	x.tried("boot")
	sim.Advance(time.Minute)
	require.Len(t, x.take(0), 1, "a line that breaks before the try is over is seen")
}

func TestContactsOthersAreDialledWhileThereAreFewPeers(t *testing.T) {
	x, sim := plan(t, "boot")
	x.met("other")
	lines(x, "boot", "other")
	lines(x, "boot", "stranger")
	sim.Advance(time.Minute)
	require.Empty(t, x.take(enoughPeers))
	require.Equal(t, []peer.AddrInfo{{ID: "other", Addrs: someAddrs()}}, x.take(enoughPeers-1))
	x.tried("other")
	lines(x)
	sim.Advance(time.Minute)
	require.Equal(t, []peer.ID{"boot", "other"}, ids(x.take(0)), "those of our choosing first")
	x.tried("boot")
	x.tried("other")
	sim.Advance(forgetAfter)
	require.Equal(t, []peer.ID{"boot"}, ids(x.take(0)), "the other one was away for too long")
}

func TestContactsAreBounded(t *testing.T) {
	x, sim := plan(t, "boot")
	var all []peer.ID
	for i := range maxContacts {
		all = append(all, peer.ID(fmt.Sprint(i)))
		x.met(all[i])
	}
	x.met("late")
	require.Len(t, x.by, maxContacts+1, "who is connected is not given up for a newcomer")
	require.NotContains(t, x.by, peer.ID("late"))
	without := func(gone ...peer.ID) []peer.ID {
		return slices.DeleteFunc(slices.Clone(all), func(p peer.ID) bool { return slices.Contains(gone, p) })
	}
	lines(x, without("7")...)
	sim.Advance(time.Second)
	lines(x, without("7", "3")...)
	x.met("late")
	require.Len(t, x.by, maxContacts+1)
	require.NotContains(t, x.by, peer.ID("7"))
	require.Contains(t, x.by, peer.ID("late"))
	lines(x)
	sim.Advance(time.Minute)
	require.Len(t, x.take(0), dialsAtOnce)
	require.Empty(t, x.take(0))
}

func freeTCP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)
}

// TestLostPeersAreFoundAgain: a bootstrap peer that was not there at the start, one that went away, and a peer met on the
// way are dialled again, by addresses that they announce.
func TestLostPeersAreFoundAgain(t *testing.T) {
	addr := freeTCP(t)
	key, err := NewKey()
	require.NoError(t, err)
	open := func(listen string, announce []string, key []byte, bootstrap ...string) *Host {
		h, err := New(context.Background(), Config{
			Key: key, Listen: []string{listen}, Announce: announce, Bootstrap: bootstrap, Network: "test", Redial: time.Second, Clock: clock.Real(),
		})
		require.NoError(t, err)
		return h
	}
	joined := func(a, b *Host) func() bool {
		return func() bool { return a.Network().Connectedness(b.ID()) == network.Connected }
	}
	a := open(addr, nil, key)
	dial, err := a.DialAddrs()
	require.NoError(t, err)
	require.NoError(t, a.Close())

	key2, err := NewKey()
	require.NoError(t, err)
	b := open("/ip4/127.0.0.1/tcp/0", nil, key2, dial...)
	defer func() { require.NoError(t, b.Close()) }()
	for range 2 {
		a = open(addr, nil, key)
		require.Eventually(t, joined(b, a), 20*time.Second, 10*time.Millisecond)
		require.NoError(t, a.Close())
		require.Eventually(t, func() bool { return !joined(b, a)() }, 20*time.Second, 10*time.Millisecond)
	}
	key3, err := NewKey()
	require.NoError(t, err)
	second := freeTCP(t)
	told := "/dns4/localhost" + second[len("/ip4/127.0.0.1"):]
	c := open(second, []string{told}, key3)
	defer func() { require.NoError(t, c.Close()) }()
	require.Equal(t, told, c.Host.Addrs()[0].String())
	require.Len(t, c.Host.Addrs(), 1)
	connect(t, b, c)
	b.Remember(c.ID())
	require.NoError(t, b.Network().ClosePeer(c.ID()))
	require.Eventually(t, joined(b, c), 20*time.Second, 10*time.Millisecond)

	_, err = New(context.Background(), Config{Key: key, Announce: []string{"nonsense"}, Network: "test", Clock: clock.Real()})
	require.ErrorContains(t, err, "nonsense")
}

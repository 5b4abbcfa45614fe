package p2p

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
)

func TestFaultsAddUpAndFade(t *testing.T) {
	c := clock.NewSim(time.Unix(1000, 0))
	r := newReputation(c, []peer.AddrInfo{{ID: "ours"}})
	require.False(t, r.blame("a", Lie, "one"))
	require.False(t, r.blame("a", Lie, "two"))
	require.InDelta(t, 400, r.points("a"), 1e-6)
	c.Advance(halfLife)
	require.InDelta(t, 200, r.points("a"), 1e-6)
	require.False(t, r.blame("a", Lie, "three"))
	require.True(t, r.blame("a", Malformed, "four"))
	require.True(t, r.banned("a"))
	list := r.list()
	require.Len(t, list, 1)
	require.Equal(t, "four", list[0].Reason)
	require.Equal(t, c.Now().Add(banTime), list[0].Banned)
	c.Advance(banTime)
	require.False(t, r.banned("a"), "an hour later it may try again")
	require.Empty(t, r.list())

	for range 10 {
		require.False(t, r.blame("ours", Foreign, "wrong genesis"), "a chosen peer is not banned")
	}
	require.Greater(t, r.points("ours"), float64(banPoints))
	require.True(t, r.blame("b", Foreign, "wrong genesis"))
	r.forgive("b")
	require.False(t, r.banned("b"))
	r.forgive("")
	require.Empty(t, r.list())
}

func TestReputationIsBounded(t *testing.T) {
	r := newReputation(clock.NewSim(time.Unix(0, 0)), nil)
	require.True(t, r.blame("banned", Foreign, "x"))
	for i := range 2 * maxRemembered {
		r.blame(peer.ID(fmt.Sprint(i)), Malformed, "x")
	}
	require.LessOrEqual(t, len(r.record), maxRemembered)
	require.True(t, r.banned("banned"), "the guilty are remembered longest")
}

func TestBudgetRefills(t *testing.T) {
	c := clock.NewSim(time.Unix(0, 0))
	b := newBudget(c, 3, 0.5)
	for range 3 {
		require.False(t, b.spent("a"))
		b.take("a")
	}
	require.True(t, b.spent("a"))
	require.False(t, b.spent("b"))
	c.Advance(2 * time.Second)
	require.False(t, b.spent("a"))
	b.take("a")
	require.True(t, b.spent("a"))
	c.Advance(time.Hour)
	for range 3 {
		require.False(t, b.spent("a"))
		b.take("a")
	}
	require.True(t, b.spent("a"), "no more than a full bucket")
	for i := range 2 * maxRemembered {
		b.spent(peer.ID(fmt.Sprint(i)))
	}
	require.LessOrEqual(t, len(b.bucket), maxRemembered+1)
}

// TestBannedPeersAreKeptOut disconnects a peer for its faults and refuses it and its streams afterwards.
func TestBannedPeersAreKeptOut(t *testing.T) {
	a, b := startHost(t), startHost(t)
	connect(t, b, a)
	a.Blame(b.ID(), Foreign, "wrong genesis")
	require.Eventually(t, func() bool { return a.Network().Connectedness(b.ID()) != network.Connected }, 10*time.Second, 10*time.Millisecond)
	require.Error(t, a.Connect(context.Background(), peer.AddrInfo{ID: b.ID(), Addrs: b.Host.Addrs()}))
	// The dialler may believe for a moment that it is connected.
	_ = b.Connect(context.Background(), peer.AddrInfo{ID: a.ID(), Addrs: a.Host.Addrs()})
	require.Eventually(t, func() bool {
		return a.Network().Connectedness(b.ID()) != network.Connected && b.Network().Connectedness(a.ID()) != network.Connected
	}, 10*time.Second, 10*time.Millisecond)
	require.Len(t, a.Reputation(), 1)
	a.Forgive(b.ID())
	connect(t, b, a)
}

// TestIgnoredMessagesHaveABudget floods with messages that come to nothing: only as many are looked at as the budget allows,
// while another peer's still are.
func TestIgnoredMessagesHaveABudget(t *testing.T) {
	ctx := context.Background()
	var looked, honest atomic.Int64
	judge := func(_ context.Context, _ peer.ID, data []byte, self bool) Verdict {
		switch {
		case self:
			return Accept
		case string(data[:4]) == "good":
			honest.Add(1)
			return Accept
		}
		looked.Add(1)
		return Ignore
	}
	a, flooder, friend := startHost(t), startHost(t), startHost(t)
	_, err := a.Join(ctx, Handlers{Block: judge, Message: judge})
	require.NoError(t, err)
	easy := func(context.Context, peer.ID, []byte, bool) Verdict { return Accept }
	gf, err := flooder.Join(ctx, Handlers{Block: easy, Message: easy})
	require.NoError(t, err)
	gg, err := friend.Join(ctx, Handlers{Block: easy, Message: easy})
	require.NoError(t, err)
	connect(t, flooder, a)
	connect(t, friend, a)
	require.Eventually(t, func() bool { return len(gf.MessagePeers()) > 0 && len(gg.MessagePeers()) > 0 }, 10*time.Second, 10*time.Millisecond)
	for i := range 3 * messageBudget {
		require.NoError(t, gf.PublishMessage(ctx, fmt.Appendf(nil, "junk %d", i)))
	}
	n := 0
	require.Eventually(t, func() bool {
		n++
		require.NoError(t, gg.PublishMessage(ctx, fmt.Appendf(nil, "good %d", n)))
		return honest.Load() > 0
	}, 20*time.Second, 100*time.Millisecond)
	require.Eventually(t, func() bool { return a.reputation.points(flooder.ID()) > 0 }, 20*time.Second, 50*time.Millisecond)
	require.Less(t, looked.Load(), int64(2*messageBudget))
}

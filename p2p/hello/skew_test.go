package hello

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
)

func TestSkewIsTheMiddleOfMany(t *testing.T) {
	t0 := time.Unix(1000, 0)
	s := &Service{skews: skews{of: map[peer.ID]time.Duration{}}}
	answer := func(p string, ahead, trip time.Duration) {
		s.skews.note(peer.ID(p), t0, t0.Add(trip), Latency{Arrival: t0.Add(ahead + trip/2).UnixNano(), Sent: t0.Add(ahead + trip/2).UnixNano()})
	}
	answer("a", 10*time.Second, time.Second)
	answer("liar", time.Hour, 0)
	ahead, n := s.Skew()
	require.Zero(t, n, "two peers are too few to tell")
	require.Zero(t, ahead)
	answer("slow", 0, maxTrip+1)
	s.skews.note("negative", t0, t0, Latency{Arrival: math.MinInt64, Sent: math.MaxInt64})
	s.skews.note("backwards", t0, t0, Latency{Arrival: 2, Sent: 1})
	_, n = s.Skew()
	require.Zero(t, n)
	answer("b", 11*time.Second, 0)
	ahead, n = s.Skew()
	require.Equal(t, 3, n)
	require.Equal(t, 11*time.Second, ahead)
	s.skews.forget("liar")
	_, n = s.Skew()
	require.Zero(t, n)
}

func TestSkewIsMeasured(t *testing.T) {
	wrong, _ := startAt(t, "one", clock.Shifted(clock.Real(), -time.Minute))
	for range surveyed {
		h, _ := start(t, "one")
		require.NoError(t, wrong.host.Connect(context.Background(), peer.AddrInfo{ID: h.ID(), Addrs: h.Host.Addrs()}))
	}
	require.Eventually(t, func() bool { _, n := wrong.Skew(); return n == surveyed }, 10*time.Second, 10*time.Millisecond)
	ahead, _ := wrong.Skew()
	require.InDelta(t, time.Minute, ahead, float64(2*time.Second))
}

package clock

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSimFiresInOrder(t *testing.T) {
	t0 := time.Unix(1000, 0)
	s := NewSim(t0)
	late, early := s.NewTimer(5*time.Second), s.NewTimer(2*time.Second)
	s.Advance(3 * time.Second)
	require.Equal(t, t0.Add(2*time.Second), <-early.C())
	require.Empty(t, late.C())
	require.True(t, late.Stop())
	s.Advance(time.Minute)
	require.Empty(t, late.C(), "a stopped timer must not fire")
	require.Equal(t, t0.Add(63*time.Second), s.Now())
}

func TestSimSleepWakesAndCancels(t *testing.T) {
	s := NewSim(time.Unix(0, 0))
	woken := make(chan error)
	go func() { woken <- s.Sleep(context.Background(), time.Hour) }()
	require.NoError(t, s.WaitFor(context.Background(), 1))
	s.Advance(time.Hour)
	require.NoError(t, <-woken)

	ctx, cancel := context.WithCancel(context.Background())
	go func() { woken <- s.Sleep(ctx, time.Hour) }()
	require.NoError(t, s.WaitFor(context.Background(), 1))
	cancel()
	require.ErrorIs(t, <-woken, context.Canceled)
}

func TestShifted(t *testing.T) {
	s := NewSim(time.Unix(1000, 0))
	wrong := Shifted(s, -time.Minute)
	require.Equal(t, time.Unix(940, 0), wrong.Now())
	timer := wrong.NewTimer(time.Second)
	s.Advance(time.Second)
	require.Len(t, timer.C(), 1)
	require.Equal(t, time.Unix(941, 0), wrong.Now())
}

// Package clock is the only place that asks the operating system for the time.
// Every part that waits or stamps takes a [Clock], so that tests and the
// simulator move time by hand ([Sim]) and nothing ever sleeps in a test.
package clock

import (
	"context"
	"sync"
	"time"
)

// Clock tells the time and wakes sleepers.
type Clock interface {
	Now() time.Time
	// NewTimer fires once, d from now; at once when d is not positive.
	NewTimer(d time.Duration) Timer
	// Sleep returns nil after d, or the context's error if that ends first.
	Sleep(ctx context.Context, d time.Duration) error
}

// Timer is a stoppable single shot.
type Timer interface {
	// C delivers the time of firing; it holds at most one value.
	C() <-chan time.Time
	// Stop prevents the firing and tells whether it was still due.
	Stop() bool
}

// Real is the machine's clock.
func Real() Clock { return realClock{} }

type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }

func (realClock) NewTimer(d time.Duration) Timer { return realTimer{time.NewTimer(d)} }

func (realClock) Sleep(ctx context.Context, d time.Duration) error {
	return sleepOn(ctx, realClock{}, d)
}

// Shifted is a clock that goes wrong by a constant amount; it waits as long as the one beneath.
func Shifted(c Clock, by time.Duration) Clock { return shifted{c, by} }

type shifted struct {
	Clock
	by time.Duration
}

func (s shifted) Now() time.Time { return s.Clock.Now().Add(s.by) }

type realTimer struct{ t *time.Timer }

func (t realTimer) C() <-chan time.Time { return t.t.C }
func (t realTimer) Stop() bool          { return t.t.Stop() }

func sleepOn(ctx context.Context, c Clock, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	t := c.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Sim is a clock that stands still until [Sim.Advance] moves it.
type Sim struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*simTimer]struct{}
	// changed is closed and replaced whenever the set of timers grows.
	changed chan struct{}
}

// NewSim returns a clock that shows t0.
func NewSim(t0 time.Time) *Sim {
	return &Sim{now: t0, timers: map[*simTimer]struct{}{}, changed: make(chan struct{})}
}

// Now returns the simulated time.
func (s *Sim) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// NewTimer registers a timer on the simulated time line.
func (s *Sim) NewTimer(d time.Duration) Timer {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &simTimer{clock: s, due: s.now.Add(d), c: make(chan time.Time, 1)}
	if d <= 0 {
		t.c <- s.now
		return t
	}
	s.timers[t] = struct{}{}
	close(s.changed)
	s.changed = make(chan struct{})
	return t
}

// Sleep waits on the simulated time line.
func (s *Sim) Sleep(ctx context.Context, d time.Duration) error { return sleepOn(ctx, s, d) }

// Advance moves time forward by d and fires what falls due, in order.
func (s *Sim) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.now.Add(d)
	for {
		var next *simTimer
		for t := range s.timers {
			if !t.due.After(end) && (next == nil || t.due.Before(next.due)) {
				next = t
			}
		}
		if next == nil {
			break
		}
		s.now = next.due
		delete(s.timers, next)
		next.c <- s.now
	}
	s.now = end
}

// NextDue returns how far away the earliest pending timer is.
func (s *Sim) NextDue() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var least time.Duration
	found := false
	for t := range s.timers {
		if d := t.due.Sub(s.now); !found || d < least {
			least, found = d, true
		}
	}
	return least, found
}

// WaitFor blocks until at least n timers are pending, so that a test knows its
// sleepers sleep before it advances.
func (s *Sim) WaitFor(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		have, changed := len(s.timers), s.changed
		s.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type simTimer struct {
	clock *Sim
	due   time.Time
	c     chan time.Time
}

func (t *simTimer) C() <-chan time.Time { return t.c }

func (t *simTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, pending := t.clock.timers[t]
	delete(t.clock.timers, t)
	return pending
}

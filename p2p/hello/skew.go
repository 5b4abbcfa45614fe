package hello

import (
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// surveyed is from how many peers on their clocks are believed: fewer may all be wrong, or lie.
	surveyed = 3
	// maxTrip is the longest round trip that says anything about a clock.
	maxTrip = 2 * time.Second
	// maxSurvey bounds the peers asked.
	maxSurvey = 256
)

// skews are how far ahead of ours the clocks of connected peers are, as their answers to our greetings tell. Safe for
// concurrent use.
type skews struct {
	mu sync.Mutex
	of map[peer.ID]time.Duration
}

// note takes the answer to a greeting that was sent at asked and answered at heard, by our clock: half of the difference on
// the way there and half of that on the way back.
func (s *skews) note(p peer.ID, asked, heard time.Time, a Latency) {
	there, back := time.Unix(0, a.Arrival).Sub(asked), time.Unix(0, a.Sent).Sub(heard)
	if heard.Sub(asked) > maxTrip || a.Arrival <= 0 || a.Sent < a.Arrival {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.of[p]; ok || len(s.of) < maxSurvey {
		s.of[p] = there/2 + back/2
	}
}

func (s *skews) forget(p peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, p)
}

// Skew is how far ahead of ours the clocks of the connected peers are, the middle one of so many; 0 peers when there are
// too few to tell.
func (s *Service) Skew() (ahead time.Duration, peers int) {
	s.skews.mu.Lock()
	defer s.skews.mu.Unlock()
	if len(s.skews.of) < surveyed {
		return 0, 0
	}
	all := make([]time.Duration, 0, len(s.skews.of))
	for _, d := range s.skews.of {
		all = append(all, d)
	}
	slices.Sort(all)
	return all[len(all)/2], len(all)
}

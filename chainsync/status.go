package chainsync

import (
	"github.com/filecoin-venus/venus/types"
)

// State returns what the syncer does now or did last.
func (s *Syncer) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *Syncer) setState(st State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = st
}

func (s *Syncer) progress(stage Stage, ts *types.TipSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Head == nil || ts.Height() > s.state.Head.Height() {
		s.state.Head = ts
	}
	s.state.Stage, s.state.Height = stage, ts.Height()
}

func (s *Syncer) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.End = s.cfg.Clock.Now()
	s.state.Stage, s.state.Message = Complete, ""
	if err != nil {
		s.state.Stage, s.state.Message = Failed, err.Error()
	}
}

// incomingDepth is how many headers wait for a reader of Incoming.
const incomingDepth = 64

// Incoming delivers headers as they are heard, before they are judged. A
// reader that falls behind misses some. The returned function ends it.
func (s *Syncer) Incoming() (<-chan *types.BlockHeader, func()) {
	c := make(chan *types.BlockHeader, incomingDepth)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs[c] = struct{}{}
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, ok := s.subs[c]; ok {
			delete(s.subs, c)
			close(c)
		}
	}
}

func (s *Syncer) announce(h *types.BlockHeader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.subs {
		select {
		case c <- h:
		default:
		}
	}
}

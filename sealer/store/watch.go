package store

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Watch looks after the paths at every interval until ctx ends: one that vanishes
// is away, which only takes its own sectors out of use; one that returns is
// indexed anew from what it holds. changed is told when that happened.
func (s *Store) Watch(ctx context.Context, every time.Duration, changed func()) {
	for s.o.Clock.Sleep(ctx, every) == nil {
		if s.Look() && changed != nil {
			changed()
		}
	}
}

// Look looks at every path once, and tells whether one went away or came back.
func (s *Store) Look() bool {
	cfg, err := readStorage(s.file)
	if err != nil {
		log.Errorf("cannot look after the storage paths: %v", err)
		return false
	}
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex // guards changed
		changed bool
	)
	for _, e := range cfg.StoragePaths {
		wg.Go(func() {
			if s.look(e) {
				mu.Lock()
				changed = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return changed
}

func (s *Store) look(e entry) bool {
	h, p, err := s.held(e.Path)
	if err != nil {
		s.admit(e)
		_, _, err := s.held(e.Path)
		return err == nil
	}
	m, err := h.vol.meta()
	if err == nil {
		if st, merr := s.measure(h); merr == nil {
			s.mu.Lock()
			h.last = st
			s.mu.Unlock()
		}
	}
	if err == nil && m.ID != p.ID {
		err = fmt.Errorf("storage path %s carries id %s now, it was %s: another disk lies there", e.Path, m.ID, p.ID)
	}
	switch {
	case err != nil:
		s.setAway(h, err.Error())
		if p.Away == "" {
			log.Errorf("storage path %s went away with %d files: %v", e.Path, len(s.Holds(p.ID)), err)
		}
		return p.Away == ""
	case p.Away != "":
		if _, err := s.load(e); err != nil {
			s.setAway(h, err.Error())
			return false
		}
		log.Warnf("storage path %s is back with %d files", e.Path, len(s.Holds(p.ID)))
		return true
	}
	return false
}

func (s *Store) setAway(h *held, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.away = why
}

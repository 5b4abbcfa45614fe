package worker

import (
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/proofs/seal"
)

// Phases shorter than quietFor are not worth a line; longer ones have one every
// sayEvery at most.
const (
	quietFor = 2 * time.Second
	sayEvery = 10 * time.Second
)

// progressLog writes how far the phases of sectors are.
type progressLog struct {
	clock clock.Clock
	say   func(format string, args ...any)

	mu      sync.Mutex
	running map[phaseOf]*phaseSeen
}

type phaseOf struct {
	sector abi.SectorID
	phase  string
}

type phaseSeen struct {
	began, said time.Time
	done        uint64
}

// take is a seal.Config's Progress.
func (l *progressLog) take(p seal.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key, now := phaseOf{p.Sector, p.Phase}, l.clock.Now()
	seen, ok := l.running[key]
	if !ok || p.Done < seen.done { // a phase that goes back was begun anew
		seen = &phaseSeen{began: now}
		if l.running == nil {
			l.running = map[phaseOf]*phaseSeen{}
		}
		l.running[key] = seen
	}
	seen.done = p.Done
	if p.Done >= p.Total {
		delete(l.running, key)
	}
	if now.Sub(seen.began) < quietFor || now.Sub(seen.said) < sayEvery {
		return
	}
	seen.said = now
	if p.Left < 0 {
		l.say("sector %d: %s %.0f%%", p.Sector.Number, p.Phase, p.Percent())
		return
	}
	l.say("sector %d: %s %.0f%%, %s left", p.Sector.Number, p.Phase, p.Percent(), p.Left.Round(time.Second))
}

package policy

import (
	"time"

	"github.com/filecoin-project/go-state-types/big"
)

// window is what a key spent of late, by slot: pure. A slot keeps its dearest cost and its latest time.
type window map[string]spending

type spending struct {
	cost big.Int
	at   time.Time
}

// with is what the last day's slots cost together if one more were signed.
func (w window) with(slot string, cost big.Int, now time.Time) big.Int {
	total := cost
	if have, ok := w[slot]; ok && now.Sub(have.at) < Day {
		total = big.Max(cost, have.cost)
	}
	for s, have := range w {
		if s != slot && now.Sub(have.at) < Day {
			total = big.Add(total, have.cost)
		}
	}
	return total
}

// sweepAbove is how many slots are kept before old ones are looked for.
const sweepAbove = 1024

func (w window) add(slot string, cost big.Int, at time.Time) {
	if have, ok := w[slot]; ok && at.Sub(have.at) < Day {
		cost = big.Max(cost, have.cost)
		if have.at.After(at) {
			at = have.at
		}
	}
	w[slot] = spending{cost, at}
	if len(w)%sweepAbove == 0 {
		for s, have := range w {
			if at.Sub(have.at) >= Day {
				delete(w, s)
			}
		}
	}
}

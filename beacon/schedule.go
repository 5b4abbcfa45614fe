package beacon

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/types"
)

// ErrWrongEntries marks beacon entries of a block that its epoch does not allow; the block is bad for good.
var ErrWrongEntries = errors.New("wrong beacon entries")

// Point says from which epoch on a source is in force.
type Point struct {
	Start  abi.ChainEpoch
	Source Source
}

// Schedule is the beacon of a network over time. Points stand in rising order of Start; build it with NewSchedule.
type Schedule []Point

// NewSchedule checks the order of the points.
func NewSchedule(points ...Point) (Schedule, error) {
	if len(points) == 0 {
		return nil, errors.New("beacon schedule is empty")
	}
	for i, p := range points {
		if p.Source == nil {
			return nil, fmt.Errorf("beacon schedule: point %d has no source", i)
		}
		if i > 0 && p.Start <= points[i-1].Start {
			return nil, fmt.Errorf("beacon schedule: epoch %d does not come after %d", p.Start, points[i-1].Start)
		}
	}
	return Schedule(points), nil
}

// At is the source in force at an epoch; epochs before the first point use the first.
func (s Schedule) At(epoch abi.ChainEpoch) Source {
	current := s[0].Source
	for _, p := range s[1:] {
		if p.Start > epoch {
			break
		}
		current = p.Source
	}
	return current
}

// MaxRoundForEpoch is the newest round that a block of the epoch carries, of the chain in force then.
func (s Schedule) MaxRoundForEpoch(epoch abi.ChainEpoch) uint64 {
	return s.At(epoch).MaxRoundForEpoch(epoch)
}

// wanted is the span of rounds that a block must carry: all from first to last, none when first > last.
type wanted struct {
	first, last uint64
	handover    bool
}

// want computes the rounds for a block at epoch whose parent stands at parentEpoch and whose chain last showed prev.
func (s Schedule) want(epoch, parentEpoch abi.ChainEpoch, prev types.BeaconEntry) wanted {
	source := s.At(epoch)
	last := source.MaxRoundForEpoch(epoch)
	if source != s.At(parentEpoch) {
		// Two neighbours bridge the change, so that the second can be checked on the first.
		return wanted{first: max(last, 1) - 1, last: last, handover: true}
	}
	if last == prev.Round {
		return wanted{first: last + 1, last: last}
	}
	if prev.Round != 0 {
		return wanted{first: prev.Round + 1, last: last}
	}
	if source.Chained() {
		return wanted{first: last, last: last}
	}
	// Without a chain every round can be checked alone, so the first block shows the rounds of all epochs since genesis and
	// no epoch is left without its randomness.
	return wanted{first: min(last, max(1, source.MaxRoundForEpoch(1))), last: last}
}

// Entries fetches what a block at epoch must carry, in order; nil when nothing is due. It waits for rounds to come.
func (s Schedule) Entries(ctx context.Context, epoch, parentEpoch abi.ChainEpoch, prev types.BeaconEntry) ([]types.BeaconEntry, error) {
	w := s.want(epoch, parentEpoch, prev)
	source := s.At(epoch)
	if w.last < prev.Round && !w.handover {
		return nil, fmt.Errorf("beacon: epoch %d ends at round %d but the chain already shows round %d", epoch, w.last, prev.Round)
	}
	var out []types.BeaconEntry
	for r := w.first; r <= w.last; r++ {
		e, err := source.Entry(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("beacon entry for epoch %d: %w", epoch, err)
		}
		out = append(out, e)
	}
	return out, nil
}

// Claim is what a block shows of the beacon: its entries, at its epoch, on a parent that last showed Prev.
type Claim struct {
	Epoch, ParentEpoch abi.ChainEpoch
	Prev               types.BeaconEntry
	Entries            []types.BeaconEntry
}

// Ahead verifies the signatures of many blocks' entries at once, so that Check of each of them is fast. It decides nothing:
// an error says that it was of no help.
func (s Schedule) Ahead(claims []Claim) error {
	bySource := map[Source][]Link{}
	for _, c := range claims {
		source, prev := s.At(c.Epoch), c.Prev
		if source != s.At(c.ParentEpoch) {
			continue // the change of a beacon is rare, and Check's
		}
		for _, e := range c.Entries {
			bySource[source] = append(bySource[source], Link{prev, e})
			prev = e
		}
	}
	for source, links := range bySource {
		if err := source.VerifyAll(links); err != nil {
			return err
		}
	}
	return nil
}

// Check judges the entries of a block (node.md 5): the rounds its epoch asks for, each signed, nothing more. Every error
// wraps ErrWrongEntries.
func (s Schedule) Check(epoch, parentEpoch abi.ChainEpoch, prev types.BeaconEntry, entries []types.BeaconEntry) error {
	w := s.want(epoch, parentEpoch, prev)
	source := s.At(epoch)
	if w.handover {
		if len(entries) != 2 {
			return fmt.Errorf("%w: %d where a change of beacon needs two", ErrWrongEntries, len(entries))
		}
		if entries[1].Round != w.last {
			return fmt.Errorf("%w: round %d where round %d is due", ErrWrongEntries, entries[1].Round, w.last)
		}
		if err := source.Verify(entries[0], entries[1]); err != nil {
			return fmt.Errorf("%w: %w", ErrWrongEntries, err)
		}
		return nil
	}
	if w.last < prev.Round {
		return fmt.Errorf("%w: epoch %d ends at round %d but the chain already shows round %d", ErrWrongEntries, epoch, w.last, prev.Round)
	}
	due := uint64(0)
	if w.first <= w.last {
		due = w.last - w.first + 1
	}
	if uint64(len(entries)) != due {
		return fmt.Errorf("%w: %d entries where %d are due", ErrWrongEntries, len(entries), due)
	}
	for i, e := range entries {
		if e.Round != w.first+uint64(i) {
			return fmt.Errorf("%w: round %d where round %d is due", ErrWrongEntries, e.Round, w.first+uint64(i))
		}
		if err := source.Verify(prev, e); err != nil {
			return fmt.Errorf("%w: %w", ErrWrongEntries, err)
		}
		prev = e
	}
	return nil
}

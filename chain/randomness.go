package chain

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"

	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/types"
)

// beaconSearch is how many tipsets are searched for a beacon entry.
const beaconSearch = 20

// ErrNoBeaconEntry: the chain shows no entry where randomness is asked for.
var ErrNoBeaconEntry = errors.New("no beacon entry within reach")

// Rounds tells which beacon round belongs to an epoch.
type Rounds interface {
	MaxRoundForEpoch(epoch abi.ChainEpoch) uint64
}

// Randomness draws from the chain that ends in one tipset. It is what actors see when that tipset is executed.
type Randomness struct {
	store  *Store
	rounds Rounds
	ts     *types.TipSet
}

// NewRandomness returns the randomness of the chain ending in ts.
func NewRandomness(s *Store, rounds Rounds, ts *types.TipSet) *Randomness {
	return &Randomness{store: s, rounds: rounds, ts: ts}
}

// TicketRandomness draws from the smallest ticket of the tipset at an epoch, or of the next one when the epoch was a null
// round. Epochs below zero draw from genesis with their own number; epochs above the tipset are an error.
func (r *Randomness) TicketRandomness(ctx context.Context, tag gscrypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte) ([]byte, error) {
	ts, err := r.store.AtOrAfter(ctx, r.ts, epoch)
	if err != nil {
		return nil, fmt.Errorf("ticket randomness: %w", err)
	}
	ticket := ts.MinTicket()
	if ticket == nil {
		return nil, fmt.Errorf("ticket randomness: tipset %s has no ticket", ts.Key())
	}
	return crypto.DrawRandomness(ticket.VRFProof, tag, epoch, entropy), nil
}

// BeaconRandomness draws from the beacon entry of exactly the epoch's round (node-nv15.md 1.1). Epochs up to zero draw from
// the entry of genesis, the only one it has (node-nv15.md 4.9).
func (r *Randomness) BeaconRandomness(ctx context.Context, tag gscrypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte) ([]byte, error) {
	entry, err := r.EntryForEpoch(ctx, epoch)
	if err != nil {
		return nil, fmt.Errorf("beacon randomness: %w", err)
	}
	return crypto.DrawRandomness(entry.Data, tag, epoch, entropy), nil
}

// EntryForEpoch finds the beacon entry that an epoch draws from.
func (r *Randomness) EntryForEpoch(ctx context.Context, epoch abi.ChainEpoch) (types.BeaconEntry, error) {
	cur, err := r.store.AtOrAfter(ctx, r.ts, epoch)
	if err != nil {
		return types.BeaconEntry{}, err
	}
	if epoch <= 0 {
		return r.store.LatestBeaconEntry(ctx, cur)
	}
	round := r.rounds.MaxRoundForEpoch(epoch)
	for range beaconSearch {
		entries := cur.Blocks()[0].BeaconEntries
		for i := len(entries) - 1; i >= 0; i-- {
			if entries[i].Round == round {
				return entries[i], nil
			}
		}
		if cur.Height() == 0 {
			break
		}
		if cur, err = r.store.Parent(ctx, cur); err != nil {
			return types.BeaconEntry{}, err
		}
	}
	return types.BeaconEntry{}, fmt.Errorf("round %d of epoch %d: %w", round, epoch, ErrNoBeaconEntry)
}

// LatestBeaconEntry is the newest entry on the chain ending in ts, searched over a few tipsets.
func (s *Store) LatestBeaconEntry(ctx context.Context, ts *types.TipSet) (types.BeaconEntry, error) {
	cur := ts
	for range beaconSearch {
		if e := cur.Blocks()[0].LastBeaconEntry(); e != nil {
			return *e, nil
		}
		if cur.Height() == 0 {
			break
		}
		var err error
		if cur, err = s.Parent(ctx, cur); err != nil {
			return types.BeaconEntry{}, fmt.Errorf("latest beacon entry: %w", err)
		}
	}
	return types.BeaconEntry{}, fmt.Errorf("below tipset %s: %w", ts.Key(), ErrNoBeaconEntry)
}

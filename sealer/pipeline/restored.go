package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
)

// numberGap is left free after a restore above every number that is known to be
// used: an earlier life may have begun sectors that left no trace yet.
const numberGap = 1000

// AfterRestore brings a database that came from a backup up to what the chain
// knows. used is the highest sector number that the chain or the storage paths
// know. Call it before Run; without a restore it does nothing. It returns the
// least number that a new sector can get, 0 when nothing was restored.
func (p *Pipeline) AfterRestore(ctx context.Context, used abi.SectorNumber) (abi.SectorNumber, error) {
	if _, err := p.parts.DB.Restored(ctx); errors.Is(err, db.ErrNotFound) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	for _, r := range p.List() {
		used = max(used, r.Number)
		ev, err := p.reconcile(ctx, r)
		if err != nil {
			return 0, err
		}
		if ev == nil {
			continue
		}
		if err := p.Apply(ctx, r.Number, ev, nil); err != nil && !errors.Is(err, sector.ErrIgnored) {
			return 0, err
		}
	}
	floor := used + numberGap
	if err := fault.Point("sealer/settle"); err != nil {
		return 0, err
	}
	return floor, p.parts.DB.Settle(ctx, uint64(floor))
}

// reconcile tells what the chain has of a sector that the record knows as not
// committed to, nil if nothing.
func (p *Pipeline) reconcile(ctx context.Context, r sector.Record) (sector.Event, error) {
	if r.Proven() { // an earlier life may have put data into it
		return p.replica(ctx, r)
	}
	if r.State.Order() >= sector.PreCommitting.Order() && !r.State.Failed() {
		return nil, nil
	}
	fact, pre, err := p.factsWith(ctx, r.Number, types.EmptyTSK)
	if err != nil {
		return nil, err
	}
	switch x := fact.(type) {
	case sector.OnChainProven:
		return sector.Reconciled{CommR: x.CommR, Proven: true}, nil
	case sector.OnChainPreCommitted:
		ent, err := p.entropy()
		if err != nil {
			return nil, err
		}
		ticket, err := p.parts.Chain.StateGetRandomnessFromTickets(ctx, crypto.DomainSeparationTag_SealRandomness, pre.Info.SealRandEpoch, ent, types.EmptyTSK)
		if err != nil {
			return nil, fmt.Errorf("draw the ticket of epoch %d: %w", pre.Info.SealRandEpoch, err)
		}
		return sector.Reconciled{CommR: x.CommR, Ticket: sector.Randomness{Value: ticket, Epoch: pre.Info.SealRandEpoch}}, nil
	}
	return nil, nil
}

// replica tells which replica the chain holds of a proven sector, nil if it is the one of the record.
func (p *Pipeline) replica(ctx context.Context, r sector.Record) (sector.Event, error) {
	fact, err := p.facts(ctx, r.Number, types.EmptyTSK)
	if err != nil {
		return nil, err
	}
	if f, ok := fact.(sector.OnChainProven); ok && r.CommR != nil && !f.CommR.Equals(*r.CommR) {
		return f, nil
	}
	return nil, nil
}

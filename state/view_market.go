package state

import (
	"context"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
)

// MarketParticipants lists the ID addresses that have money in the market.
func (v *View) MarketParticipants(ctx context.Context) ([]address.Address, error) {
	st, err := v.MarketState(ctx)
	if err != nil {
		return nil, err
	}
	table, err := adt.AsMap(v.adt(ctx), st.EscrowTable, adt.BalanceTableBitwidth)
	if err != nil {
		return nil, fmt.Errorf("market escrow: %w", err)
	}
	var out []address.Address
	err = table.ForEach(nil, func(key string) error {
		a, err := address.NewFromBytes([]byte(key))
		out = append(out, a)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("market escrow: %w", err)
	}
	return out, nil
}

// ForEachDeal visits every deal; its state is nil until it is active.
func (v *View) ForEachDeal(ctx context.Context, visit func(abi.DealID, *market.DealProposal, *market.DealState) error) error {
	st, err := v.MarketState(ctx)
	if err != nil {
		return err
	}
	proposals, err := market.AsDealProposalArray(v.adt(ctx), st.Proposals)
	if err != nil {
		return fmt.Errorf("deal proposals: %w", err)
	}
	states, err := market.AsDealStateArray(v.adt(ctx), st.States)
	if err != nil {
		return fmt.Errorf("deal states: %w", err)
	}
	var p market.DealProposal
	return proposals.ForEach(&p, func(i int64) error {
		d, found, err := states.Get(abi.DealID(i))
		if err != nil {
			return fmt.Errorf("state of deal %d: %w", i, err)
		}
		if !found {
			d = nil
		}
		c := p
		return visit(abi.DealID(i), &c, d)
	})
}

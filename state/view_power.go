package state

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/reward"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
)

// ErrNoClaim says that the power actor does not know a miner.
var ErrNoClaim = errors.New("miner has no power claim")

// Power is storage power in bytes: as stored, and weighted by the quality of deals.
type Power struct {
	RawBytePower    abi.StoragePower
	QualityAdjPower abi.StoragePower
}

// PowerState returns the power actor's state object.
func (v *View) PowerState(ctx context.Context) (*power.State, error) {
	_, st, err := stateOf[power.State](ctx, v, builtin.StoragePowerActorAddr, builtin.StoragePowerActorCodeID)
	if err != nil {
		return nil, fmt.Errorf("power state: %w", err)
	}
	return st, nil
}

// TotalPower is the power of all miners at or above the consensus minimum: the sums that elections and weight use
// (node-nv15.md 1.6). It is zero when no miner reaches the minimum.
func (v *View) TotalPower(ctx context.Context) (Power, error) {
	st, err := v.PowerState(ctx)
	if err != nil {
		return Power{}, err
	}
	return Power{RawBytePower: st.TotalRawBytePower, QualityAdjPower: st.TotalQualityAdjPower}, nil
}

// MinerPower is the claim of a miner, or ErrNoClaim.
func (v *View) MinerPower(ctx context.Context, maddr address.Address) (Power, error) {
	st, err := v.PowerState(ctx)
	if err != nil {
		return Power{}, err
	}
	id, err := v.LookupID(ctx, maddr)
	if err != nil {
		return Power{}, err
	}
	claim, found, err := st.GetClaim(v.adt(ctx), id)
	if err != nil {
		return Power{}, fmt.Errorf("claim of %s: %w", maddr, err)
	}
	if !found {
		return Power{}, fmt.Errorf("%s: %w", maddr, ErrNoClaim)
	}
	return Power{RawBytePower: claim.RawBytePower, QualityAdjPower: claim.QualityAdjPower}, nil
}

// HasMinPower applies the consensus minimum (node-nv15.md 1.6): raw power at the minimum, or any power while fewer than
// four miners reach it. ErrNoClaim for an unknown miner.
func (v *View) HasMinPower(ctx context.Context, maddr address.Address) (bool, error) {
	st, err := v.PowerState(ctx)
	if err != nil {
		return false, err
	}
	if _, err := v.MinerPower(ctx, maddr); err != nil {
		return false, err
	}
	id, err := v.LookupID(ctx, maddr)
	if err != nil {
		return false, err
	}
	ok, err := st.MinerNominalPowerMeetsConsensusMinimum(v.adt(ctx), id)
	if err != nil {
		return false, fmt.Errorf("minimum power of %s: %w", maddr, err)
	}
	return ok, nil
}

// Miners lists the ID addresses of all miners with a claim.
func (v *View) Miners(ctx context.Context) ([]address.Address, error) {
	st, err := v.PowerState(ctx)
	if err != nil {
		return nil, err
	}
	claims, err := adt.AsMap(v.adt(ctx), st.Claims, builtin.DefaultHamtBitwidth)
	if err != nil {
		return nil, fmt.Errorf("power claims: %w", err)
	}
	keys, err := claims.CollectKeys()
	if err != nil {
		return nil, fmt.Errorf("power claims: %w", err)
	}
	out := make([]address.Address, 0, len(keys))
	for _, k := range keys {
		a, err := address.NewFromBytes([]byte(k))
		if err != nil {
			return nil, fmt.Errorf("power claim key %x: %w", k, err)
		}
		out = append(out, a)
	}
	return out, nil
}

// RewardState returns the reward actor's state object.
func (v *View) RewardState(ctx context.Context) (*reward.State, error) {
	_, st, err := stateOf[reward.State](ctx, v, builtin.RewardActorAddr, builtin.RewardActorCodeID)
	if err != nil {
		return nil, fmt.Errorf("reward state: %w", err)
	}
	return st, nil
}

// MarketState returns the market actor's state object.
func (v *View) MarketState(ctx context.Context) (*market.State, error) {
	_, st, err := stateOf[market.State](ctx, v, builtin.StorageMarketActorAddr, builtin.StorageMarketActorCodeID)
	if err != nil {
		return nil, fmt.Errorf("market state: %w", err)
	}
	return st, nil
}

// reserveActorID is f090, which holds what the genesis did not hand out.
const reserveActorID = 90

// SupplyParts are the amounts, in attoFIL, that the state itself contributes to the circulating supply.
type SupplyParts struct {
	// Mined is the sum of all block rewards so far.
	Mined abi.TokenAmount
	// Burnt is the balance of f099.
	Burnt abi.TokenAmount
	// Locked is market collateral and client payments plus all initial pledge.
	Locked abi.TokenAmount
	// Reserve is the balance of f090.
	Reserve abi.TokenAmount
}

// SupplyParts reads what node-nv15.md 4.7 needs of the state.
func (v *View) SupplyParts(ctx context.Context) (SupplyParts, error) {
	rew, err := v.RewardState(ctx)
	if err != nil {
		return SupplyParts{}, err
	}
	pow, err := v.PowerState(ctx)
	if err != nil {
		return SupplyParts{}, err
	}
	mkt, err := v.MarketState(ctx)
	if err != nil {
		return SupplyParts{}, err
	}
	burnt, err := v.Balance(ctx, builtin.BurntFundsActorAddr)
	if err != nil {
		return SupplyParts{}, fmt.Errorf("burnt funds: %w", err)
	}
	f090, err := address.NewIDAddress(reserveActorID)
	if err != nil {
		return SupplyParts{}, err
	}
	reserve, err := v.Balance(ctx, f090)
	if err != nil {
		return SupplyParts{}, fmt.Errorf("reserve: %w", err)
	}
	locked := big.Sum(mkt.TotalClientLockedCollateral, mkt.TotalProviderLockedCollateral, mkt.TotalClientStorageFee, pow.TotalPledgeCollateral)
	return SupplyParts{Mined: rew.TotalStoragePowerReward, Burnt: burnt, Locked: locked, Reserve: reserve}, nil
}

// MarketBalance is an account's money in the market actor, attoFIL.
type MarketBalance struct {
	// Escrow is all of it, locked or not.
	Escrow abi.TokenAmount
	// Locked is the part bound to deals.
	Locked abi.TokenAmount
}

// MarketBalance returns what an address has in the market; zeros when it never paid in.
func (v *View) MarketBalance(ctx context.Context, addr address.Address) (MarketBalance, error) {
	st, err := v.MarketState(ctx)
	if err != nil {
		return MarketBalance{}, err
	}
	id, err := v.LookupID(ctx, addr)
	if errors.Is(err, ErrActorNotFound) {
		return MarketBalance{Escrow: big.Zero(), Locked: big.Zero()}, nil
	}
	if err != nil {
		return MarketBalance{}, err
	}
	escrow, err := adt.AsBalanceTable(v.adt(ctx), st.EscrowTable)
	if err != nil {
		return MarketBalance{}, fmt.Errorf("market escrow: %w", err)
	}
	locked, err := adt.AsBalanceTable(v.adt(ctx), st.LockedTable)
	if err != nil {
		return MarketBalance{}, fmt.Errorf("market locked: %w", err)
	}
	var out MarketBalance
	if out.Escrow, err = escrow.Get(id); err != nil {
		return MarketBalance{}, fmt.Errorf("market escrow of %s: %w", addr, err)
	}
	if out.Locked, err = locked.Get(id); err != nil {
		return MarketBalance{}, fmt.Errorf("market locked of %s: %w", addr, err)
	}
	return out, nil
}

// Deal returns a deal's proposal and, once it is active, its state; found is false when the market has no such deal.
func (v *View) Deal(ctx context.Context, id abi.DealID) (proposal *market.DealProposal, deal *market.DealState, found bool, err error) {
	st, err := v.MarketState(ctx)
	if err != nil {
		return nil, nil, false, err
	}
	proposals, err := market.AsDealProposalArray(v.adt(ctx), st.Proposals)
	if err != nil {
		return nil, nil, false, fmt.Errorf("deal proposals: %w", err)
	}
	if proposal, found, err = proposals.Get(id); err != nil || !found {
		return nil, nil, false, err
	}
	states, err := market.AsDealStateArray(v.adt(ctx), st.States)
	if err != nil {
		return nil, nil, false, fmt.Errorf("deal states: %w", err)
	}
	deal, active, err := states.Get(id)
	if err != nil {
		return nil, nil, false, fmt.Errorf("state of deal %d: %w", id, err)
	}
	if !active {
		deal = nil
	}
	return proposal, deal, true, nil
}

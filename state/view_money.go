package state

import (
	"context"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/multisig"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/paych"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/reward"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/verifreg"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
)

// SectorOffer is a sector that a provider thinks of committing.
type SectorOffer struct {
	Proof      abi.RegisteredSealProof
	Deals      []abi.DealID
	Expiration abi.ChainEpoch
}

// offeredPower is the quality-adjusted power of an offer, in bytes.
func (v *View) offeredPower(ctx context.Context, maddr address.Address, o SectorOffer, now abi.ChainEpoch) (abi.StoragePower, error) {
	size, err := o.Proof.SectorSize()
	if err != nil {
		return abi.StoragePower{}, fmt.Errorf("seal proof %d: %w", o.Proof, err)
	}
	mkt, err := v.MarketState(ctx)
	if err != nil {
		return abi.StoragePower{}, err
	}
	deals, verified, _, err := market.ValidateDealsForActivation(mkt, v.adt(ctx), o.Deals, maddr, o.Expiration, now)
	if err != nil {
		return abi.StoragePower{}, fmt.Errorf("deals of the sector: %w", err)
	}
	if o.Expiration <= now {
		return abi.StoragePower{}, fmt.Errorf("sector would expire at %d, it is %d now", o.Expiration, now)
	}
	return miner.QAPowerForWeight(size, o.Expiration-now, deals, verified), nil
}

// estimates are the power of an offer and the states that its costs follow from. The estimate of the network's power
// begins at 732 TiB everywhere and swings: on a network that is far smaller it falls below zero for thousands of epochs, and what
// the actors make of it then is a deposit of one attoFIL at some epochs and of many FIL at others, never less than one.
func (v *View) estimates(ctx context.Context, maddr address.Address, o SectorOffer, now abi.ChainEpoch) (abi.StoragePower, *reward.State, *power.State, error) {
	qa, err := v.offeredPower(ctx, maddr, o, now)
	if err != nil {
		return qa, nil, nil, err
	}
	rew, err := v.RewardState(ctx)
	if err != nil {
		return qa, nil, nil, err
	}
	pow, err := v.PowerState(ctx)
	return qa, rew, pow, err
}

// PreCommitDeposit is the deposit, in attoFIL, that pre-committing an offer
// locks by the estimates of this state (actors-v7-miner.md 5.3).
func (v *View) PreCommitDeposit(ctx context.Context, maddr address.Address, o SectorOffer, now abi.ChainEpoch) (abi.TokenAmount, error) {
	qa, rew, pow, err := v.estimates(ctx, maddr, o, now)
	if err != nil {
		return abi.TokenAmount{}, err
	}
	return miner.PreCommitDepositForPower(rew.ThisEpochRewardSmoothed, pow.ThisEpochQAPowerSmoothed, qa), nil
}

// InitialPledge is the pledge, in attoFIL, that proving an offer locks by the
// estimates of this state and the circulating supply (actors-v7-miner.md 5.4).
func (v *View) InitialPledge(ctx context.Context, maddr address.Address, o SectorOffer, now abi.ChainEpoch, supply abi.TokenAmount) (abi.TokenAmount, error) {
	qa, rew, pow, err := v.estimates(ctx, maddr, o, now)
	if err != nil {
		return abi.TokenAmount{}, err
	}
	return miner.InitialPledgeForPower(qa, rew.ThisEpochBaselinePower, rew.ThisEpochRewardSmoothed, pow.ThisEpochQAPowerSmoothed, supply), nil
}

// SectorExpiration is when a sector leaves its partition: on time, and early
// when a fault will end it before; 0 where it does not.
func (v *View) SectorExpiration(ctx context.Context, maddr address.Address, n abi.SectorNumber) (onTime, early abi.ChainEpoch, err error) {
	_, st, err := v.MinerState(ctx, maddr)
	if err != nil {
		return 0, 0, err
	}
	store := v.adt(ctx)
	dl, part, err := st.FindSector(store, n)
	if err != nil {
		return 0, 0, fmt.Errorf("place of sector %d of %s: %w", n, maddr, err)
	}
	dls, err := st.LoadDeadlines(store)
	if err != nil {
		return 0, 0, fmt.Errorf("deadlines of %s: %w", maddr, err)
	}
	deadline, err := dls.LoadDeadline(store, dl)
	if err != nil {
		return 0, 0, fmt.Errorf("deadline %d of %s: %w", dl, maddr, err)
	}
	partition, err := deadline.LoadPartition(store, part)
	if err != nil {
		return 0, 0, fmt.Errorf("partition %d of %s: %w", part, maddr, err)
	}
	queue, err := adt.AsArray(store, partition.ExpirationsEpochs, miner.PartitionExpirationAmtBitwidth)
	if err != nil {
		return 0, 0, fmt.Errorf("expirations of %s: %w", maddr, err)
	}
	var set miner.ExpirationSet
	err = queue.ForEach(&set, func(epoch int64) error {
		if is, err := set.OnTimeSectors.IsSet(uint64(n)); err != nil {
			return err
		} else if is {
			onTime = abi.ChainEpoch(epoch)
		}
		if is, err := set.EarlySectors.IsSet(uint64(n)); err != nil {
			return err
		} else if is {
			early = abi.ChainEpoch(epoch)
		}
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("expirations of %s: %w", maddr, err)
	}
	return onTime, early, nil
}

// Multisig returns a multisig's balance, in attoFIL, and state object.
func (v *View) Multisig(ctx context.Context, addr address.Address) (abi.TokenAmount, *multisig.State, error) {
	act, st, err := stateOf[multisig.State](ctx, v, addr, builtin.MultisigActorCodeID)
	if err != nil {
		return abi.TokenAmount{}, nil, fmt.Errorf("multisig %s: %w", addr, err)
	}
	return act.Balance, st, nil
}

// MultisigPending visits the transactions that wait for approvals.
func (v *View) MultisigPending(ctx context.Context, addr address.Address, visit func(id int64, tx multisig.Transaction) error) error {
	_, st, err := v.Multisig(ctx, addr)
	if err != nil {
		return err
	}
	pending, err := adt.AsMap(v.adt(ctx), st.PendingTxns, builtin.DefaultHamtBitwidth)
	if err != nil {
		return fmt.Errorf("pending transactions of %s: %w", addr, err)
	}
	var tx multisig.Transaction
	return pending.ForEach(&tx, func(key string) error {
		id, err := abi.ParseIntKey(key)
		if err != nil {
			return fmt.Errorf("transaction id of %s: %w", addr, err)
		}
		return visit(id, tx)
	})
}

// VerifiedRoot is the address that may name verifiers.
func (v *View) VerifiedRoot(ctx context.Context) (address.Address, error) {
	_, st, err := stateOf[verifreg.State](ctx, v, builtin.VerifiedRegistryActorAddr, builtin.VerifiedRegistryActorCodeID)
	if err != nil {
		return address.Undef, fmt.Errorf("verified registry: %w", err)
	}
	return st.RootKey, nil
}

// DataCap is what a verified client may still store, or with verifier what a
// verifier may still grant, in bytes; nil when the address is neither.
func (v *View) DataCap(ctx context.Context, addr address.Address, verifier bool) (*abi.StoragePower, error) {
	_, st, err := stateOf[verifreg.State](ctx, v, builtin.VerifiedRegistryActorAddr, builtin.VerifiedRegistryActorCodeID)
	if err != nil {
		return nil, fmt.Errorf("verified registry: %w", err)
	}
	id, err := v.LookupID(ctx, addr)
	if err != nil {
		return nil, err
	}
	root := st.VerifiedClients
	if verifier {
		root = st.Verifiers
	}
	table, err := adt.AsMap(v.adt(ctx), root, builtin.DefaultHamtBitwidth)
	if err != nil {
		return nil, fmt.Errorf("data caps: %w", err)
	}
	dc := big.Zero()
	found, err := table.Get(abi.AddrKey(id), &dc)
	if err != nil || !found {
		return nil, err
	}
	return &dc, nil
}

// Channel returns balance and state of a payment channel.
func (v *View) Channel(ctx context.Context, addr address.Address) (abi.TokenAmount, *paych.State, error) {
	act, st, err := stateOf[paych.State](ctx, v, addr, builtin.PaymentChannelActorCodeID)
	if err != nil {
		return abi.TokenAmount{}, nil, err
	}
	return act.Balance, st, nil
}

// ChannelLanes visits the lanes of a payment channel in ascending order.
func (v *View) ChannelLanes(ctx context.Context, addr address.Address, visit func(lane uint64, st paych.LaneState) error) error {
	_, st, err := v.Channel(ctx, addr)
	if err != nil {
		return err
	}
	lanes, err := adt.AsArray(v.adt(ctx), st.LaneStates, paych.LaneStatesAmtBitwidth)
	if err != nil {
		return fmt.Errorf("lanes of %s: %w", addr, err)
	}
	var l paych.LaneState
	return lanes.ForEach(&l, func(i int64) error { return visit(uint64(i), l) })
}

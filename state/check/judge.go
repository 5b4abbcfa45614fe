package check

import (
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/account"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/cron"
	init7 "github.com/filecoin-project/specs-actors/v7/actors/builtin/init"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/multisig"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/paych"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/reward"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/verifreg"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/types"
)

// headOnly tells the kinds whose judgement depends on nothing but the head, so that a change of balance or nonce needs none.
func headOnly(code cid.Cid) bool {
	switch code {
	case builtin.StorageMinerActorCodeID, builtin.StorageMarketActorCodeID, builtin.RewardActorCodeID, builtin.PaymentChannelActorCodeID:
		return false
	}
	return true
}

// judge looks at one actor. old is what was known of it before, nil for a new one.
func (c *Checker) judge(s adt.Store, id address.Address, act *types.Actor, old *entry, epoch abi.ChainEpoch) (*entry, error) {
	if old != nil && headOnly(act.Code) && old.actor.Code == act.Code && old.actor.Head == act.Head {
		return &entry{actor: *act, problems: old.problems}, nil
	}
	e := &entry{actor: *act}
	var found *builtin.MessageAccumulator
	var err error
	kind := builtin.ActorNameByCode(act.Code)
	switch act.Code {
	case builtin.StorageMinerActorCodeID:
		return e, c.judgeMiner(s, id, e, old)
	case builtin.StorageMarketActorCodeID:
		return e, c.judgeMarket(s, id, e, old, epoch)
	case builtin.StoragePowerActorCodeID:
		kind = "power"
		var st power.State
		if err = s.Get(s.Context(), act.Head, &st); err == nil {
			c.power, found = power.CheckStateInvariants(&st, s)
			c.pledge = st.TotalPledgeCollateral
		}
	case builtin.RewardActorCodeID:
		kind = "reward"
		var st reward.State
		if err = s.Get(s.Context(), act.Head, &st); err == nil {
			_, found = reward.CheckStateInvariants(&st, s, epoch, act.Balance)
		}
	case builtin.PaymentChannelActorCodeID:
		kind = "paych"
		var st paych.State
		if err = s.Get(s.Context(), act.Head, &st); err == nil {
			_, found = paych.CheckStateInvariants(&st, s, act.Balance)
		}
	default:
		kind, found, err = judgeByHead(s, id, act)
	}
	if err != nil {
		return nil, err
	}
	e.problems = prefixed(id, kind, found)
	return e, nil
}

// judgeByHead covers the kinds that need their state alone.
func judgeByHead(s adt.Store, id address.Address, act *types.Actor) (kind string, found *builtin.MessageAccumulator, err error) {
	switch act.Code {
	case builtin.SystemActorCodeID:
		return "system", nil, nil
	case builtin.AccountActorCodeID:
		var st account.State
		if err = s.Get(s.Context(), act.Head, &st); err == nil {
			_, found = account.CheckStateInvariants(&st, id)
		}
		return "account", found, err
	case builtin.MultisigActorCodeID:
		var st multisig.State
		if err = s.Get(s.Context(), act.Head, &st); err == nil {
			_, found = multisig.CheckStateInvariants(&st, s)
		}
		return "multisig", found, err
	case builtin.InitActorCodeID:
		var st init7.State
		if err = s.Get(s.Context(), act.Head, &st); err == nil {
			_, found = init7.CheckStateInvariants(&st, s)
		}
		return "init", found, err
	case builtin.CronActorCodeID:
		var st cron.State
		if err = s.Get(s.Context(), act.Head, &st); err == nil {
			_, found = cron.CheckStateInvariants(&st, s)
		}
		return "cron", found, err
	case builtin.VerifiedRegistryActorCodeID:
		var st verifreg.State
		if err = s.Get(s.Context(), act.Head, &st); err == nil {
			_, found = verifreg.CheckStateInvariants(&st, s)
		}
		return "verifreg", found, err
	}
	return "", nil, fmt.Errorf("unexpected code %s", act.Code)
}

// prefixed names actor and kind before each finding, as the actors' library does for whole trees.
func prefixed(id address.Address, kind string, found *builtin.MessageAccumulator) []string {
	if found == nil || found.IsEmpty() {
		return nil
	}
	acc := &builtin.MessageAccumulator{}
	acc.WithPrefix("%v %s: ", id, kind).AddAll(found)
	return acc.Messages()
}

// judgeMarket looks again only when more than the epoch of its last tick changed. What the library compares with the
// present epoch are epochs of the past, and deals that wait for their start: both hold later when they held before.
func (c *Checker) judgeMarket(s adt.Store, id address.Address, e, old *entry, epoch abi.ChainEpoch) error {
	st := new(market.State)
	if err := s.Get(s.Context(), e.actor.Head, st); err != nil {
		return err
	}
	e.market = st
	if old != nil && old.market != nil && old.actor.Balance.Equals(e.actor.Balance) && sameDeals(old.market, st) {
		e.problems = old.problems
		return nil
	}
	summary, found := market.CheckStateInvariants(st, s, e.actor.Balance, epoch)
	c.market = summary
	e.problems = prefixed(id, "market", found)
	return nil
}

func sameDeals(a, b *market.State) bool {
	return a.Proposals == b.Proposals && a.States == b.States && a.PendingProposals == b.PendingProposals &&
		a.EscrowTable == b.EscrowTable && a.LockedTable == b.LockedTable && a.NextID == b.NextID && a.DealOpsByEpoch == b.DealOpsByEpoch &&
		a.TotalClientLockedCollateral.Equals(b.TotalClientLockedCollateral) &&
		a.TotalProviderLockedCollateral.Equals(b.TotalProviderLockedCollateral) && a.TotalClientStorageFee.Equals(b.TotalClientStorageFee)
}

package check

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/filecoin-project/specs-actors/v7/actors/states"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/ipfs/go-cid"
	cbor "github.com/ipfs/go-ipld-cbor"

	"github.com/filecoin-venus/venus/types"
)

// Full judges the state under root as the one after an epoch. It returns what is wrong, in alphabetical order, and an
// error when the state cannot be read. Only states of actors v7 can be judged.
func Full(ctx context.Context, store cbor.IpldStore, root cid.Cid, epoch abi.ChainEpoch) ([]string, error) {
	s := adt.WrapStore(ctx, store)
	var sr types.StateRoot
	if err := s.Get(ctx, root, &sr); err != nil {
		return nil, fmt.Errorf("check state %s: %w", root, err)
	}
	tree, err := states.LoadTree(s, sr.Actors)
	if err != nil {
		return nil, fmt.Errorf("check state %s: %w", root, err)
	}
	found, err := states.CheckStateInvariants(tree, builtin.TotalFilecoin, epoch)
	if err != nil {
		return nil, fmt.Errorf("check state %s: %w", root, err)
	}
	recorded, pledged, err := pledges(tree)
	if err != nil {
		return nil, fmt.Errorf("check pledges of state %s: %w", root, err)
	}
	ends, err := dealEnds(tree)
	if err != nil {
		return nil, fmt.Errorf("check deals of state %s: %w", root, err)
	}
	return sorted(append(found.Messages(), comparePledge(recorded, pledged)...), epoch, ends), nil
}

// dealEnds finds the last epoch of a deal.
func dealEnds(tree *states.Tree) (func(abi.DealID) (abi.ChainEpoch, bool), error) {
	act, found, err := tree.GetActor(builtin.StorageMarketActorAddr)
	if err != nil || !found {
		return nil, fmt.Errorf("no market actor: %w", err)
	}
	var st market.State
	if err := tree.Store.Get(tree.Store.Context(), act.Head, &st); err != nil {
		return nil, err
	}
	deals, err := market.AsDealProposalArray(tree.Store, st.Proposals)
	if err != nil {
		return nil, err
	}
	return func(id abi.DealID) (abi.ChainEpoch, bool) {
		d, found, err := deals.Get(id)
		if err != nil || !found {
			return 0, false
		}
		return d.EndEpoch, true
	}, nil
}

// pledges reads the total that the power actor recorded and sums what the miners hold.
func pledges(tree *states.Tree) (recorded, pledged abi.TokenAmount, err error) {
	recorded, pledged = big.Zero(), big.Zero()
	ctx := tree.Store.Context()
	err = tree.ForEach(func(_ address.Address, act *states.Actor) error {
		switch act.Code {
		case builtin.StoragePowerActorCodeID:
			var st power.State
			if err := tree.Store.Get(ctx, act.Head, &st); err != nil {
				return err
			}
			recorded = st.TotalPledgeCollateral
		case builtin.StorageMinerActorCodeID:
			var st miner.State
			if err := tree.Store.Get(ctx, act.Head, &st); err != nil {
				return err
			}
			pledged = big.Sum(pledged, st.InitialPledge, st.LockedFunds)
		}
		return nil
	})
	return recorded, pledged, err
}

func comparePledge(recorded, pledged abi.TokenAmount) []string {
	if recorded.Equals(pledged) {
		return nil
	}
	return []string{fmt.Sprintf("total pledge collateral is %s where miners hold %s", recorded, pledged)}
}

// sorted orders findings and takes out the remarks that need no care.
func sorted(found []string, epoch abi.ChainEpoch, ends func(abi.DealID) (abi.ChainEpoch, bool)) []string {
	var out []string
	for _, f := range found {
		if !harmless(f, epoch) && !overdue(f, epoch, ends) {
			out = append(out, f)
		}
	}
	sort.Strings(out)
	return out
}

// harmless tells the remarks that a genesis of the reference earns: the remainder multisig records its balance as initial
// although nothing vests (public genesis files show the same), before epoch 0 the reward actor's effective baseline stands
// one above its first baseline (node-nv15.md 4.5), and a root key or remainder that is an account has its fixed ID below
// those of others (actors-v7-others.md 3.1). Addresses print as f090 or t090.
func harmless(remark string, epoch abi.ChainEpoch) bool {
	remark = strings.TrimLeft(remark, "ft")
	return strings.HasPrefix(remark, "090 multisig: non-zero locked balance") ||
		remark == "01 init: unexpected singleton ID value 80" || remark == "01 init: unexpected singleton ID value 90" ||
		epoch < 0 && remark == "02 reward: effective baseline power > baseline power"
}

// overdue tells the remark about a deal that is over and whose turn in the market's cron has not come. Its sector may have
// been terminated since, for which there is nothing to slash any more, and compacted away.
func overdue(remark string, epoch abi.ChainEpoch, ends func(abi.DealID) (abi.ChainEpoch, bool)) bool {
	var id abi.DealID
	if n, err := fmt.Sscanf(remark, "un-slashed deal %d not referenced in active sectors", &id); n != 1 || err != nil {
		return false
	}
	end, found := ends(id)
	return found && end <= epoch
}

package state

import (
	"context"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/dline"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/types"
)

// MinerState returns a miner's actor record and state object.
func (v *View) MinerState(ctx context.Context, maddr address.Address) (*types.Actor, *miner.State, error) {
	act, st, err := stateOf[miner.State](ctx, v, maddr, builtin.StorageMinerActorCodeID)
	if err != nil {
		return nil, nil, fmt.Errorf("miner %s: %w", maddr, err)
	}
	return act, st, nil
}

// MinerInfo returns owner, worker, control addresses, peer and sizes of a miner. Addresses are ID addresses.
func (v *View) MinerInfo(ctx context.Context, maddr address.Address) (*miner.MinerInfo, error) {
	_, st, err := v.MinerState(ctx, maddr)
	if err != nil {
		return nil, err
	}
	info, err := loadObject[miner.MinerInfo](ctx, v, st.Info)
	if err != nil {
		return nil, fmt.Errorf("info of miner %s: %w", maddr, err)
	}
	return info, nil
}

// MinerWorkerKey is the BLS key address that signs a miner's blocks.
func (v *View) MinerWorkerKey(ctx context.Context, maddr address.Address) (address.Address, error) {
	info, err := v.MinerInfo(ctx, maddr)
	if err != nil {
		return address.Undef, err
	}
	return v.ResolveToKey(ctx, info.Worker)
}

// MinerAvailableBalance is what a miner can withdraw at an epoch: its balance without deposits, pledge, fee debt and
// rewards that are not vested by then.
func (v *View) MinerAvailableBalance(ctx context.Context, maddr address.Address, epoch abi.ChainEpoch) (abi.TokenAmount, error) {
	act, st, err := v.MinerState(ctx, maddr)
	if err != nil {
		return abi.TokenAmount{}, err
	}
	vested, err := st.CheckVestedFunds(v.adt(ctx), epoch)
	if err != nil {
		return abi.TokenAmount{}, fmt.Errorf("vested funds of %s: %w", maddr, err)
	}
	available, err := st.GetAvailableBalance(act.Balance)
	if err != nil {
		return abi.TokenAmount{}, fmt.Errorf("available balance of %s: %w", maddr, err)
	}
	return big.Add(available, vested), nil
}

// ProvingDeadline places an epoch in a miner's proving period.
func (v *View) ProvingDeadline(ctx context.Context, maddr address.Address, epoch abi.ChainEpoch) (*dline.Info, error) {
	_, st, err := v.MinerState(ctx, maddr)
	if err != nil {
		return nil, err
	}
	return st.DeadlineInfo(epoch).NextNotElapsed(), nil
}

// Partition is one partition of a deadline with its sector sets.
type Partition struct {
	All, Faulty, Recovering, Live, Active, Unproven, Terminated bitfield.BitField
	// LivePower and FaultyPower are sums over the sets of that name.
	LivePower, FaultyPower miner.PowerPair
}

// Deadline is one of a miner's 48 deadlines.
type Deadline struct {
	// PostSubmissions marks the partitions proven in the present window.
	PostSubmissions bitfield.BitField
	// DisputableProofs counts last window's proofs that can still be disputed.
	DisputableProofs uint64
	Partitions       []Partition
}

// Deadlines returns all deadlines of a miner with their partitions, by index.
func (v *View) Deadlines(ctx context.Context, maddr address.Address) ([]Deadline, error) {
	_, st, err := v.MinerState(ctx, maddr)
	if err != nil {
		return nil, err
	}
	store := v.adt(ctx)
	dls, err := st.LoadDeadlines(store)
	if err != nil {
		return nil, fmt.Errorf("deadlines of %s: %w", maddr, err)
	}
	out := make([]Deadline, len(dls.Due))
	seen := map[cid.Cid]Deadline{} // most deadlines of a small miner are the empty one
	for i, c := range dls.Due {
		d, ok := seen[c]
		if !ok {
			dl, err := dls.LoadDeadline(store, uint64(i))
			if err != nil {
				return nil, fmt.Errorf("deadline %d of %s: %w", i, maddr, err)
			}
			if d, err = readDeadline(store, dl); err != nil {
				return nil, fmt.Errorf("deadline %d of %s: %w", i, maddr, err)
			}
			seen[c] = d
		}
		out[i] = d
	}
	return out, nil
}

// Deadline returns one deadline of a miner.
func (v *View) Deadline(ctx context.Context, maddr address.Address, index uint64) (Deadline, error) {
	_, st, err := v.MinerState(ctx, maddr)
	if err != nil {
		return Deadline{}, err
	}
	store := v.adt(ctx)
	dls, err := st.LoadDeadlines(store)
	if err != nil {
		return Deadline{}, fmt.Errorf("deadlines of %s: %w", maddr, err)
	}
	if index >= uint64(len(dls.Due)) {
		return Deadline{}, fmt.Errorf("deadline %d of %s: there are %d", index, maddr, len(dls.Due))
	}
	dl, err := dls.LoadDeadline(store, index)
	if err != nil {
		return Deadline{}, fmt.Errorf("deadline %d of %s: %w", index, maddr, err)
	}
	return readDeadline(store, dl)
}

func readDeadline(store adt.Store, dl *miner.Deadline) (Deadline, error) {
	out := Deadline{PostSubmissions: dl.PartitionsPoSted}
	proofs, err := dl.OptimisticProofsSnapshotArray(store)
	if err != nil {
		return Deadline{}, fmt.Errorf("proofs: %w", err)
	}
	out.DisputableProofs = proofs.Length()
	parts, err := dl.PartitionsArray(store)
	if err != nil {
		return Deadline{}, fmt.Errorf("partitions: %w", err)
	}
	var p miner.Partition
	err = parts.ForEach(&p, func(i int64) error {
		live, err := p.LiveSectors()
		if err != nil {
			return fmt.Errorf("partition %d: %w", i, err)
		}
		active, err := p.ActiveSectors()
		if err != nil {
			return fmt.Errorf("partition %d: %w", i, err)
		}
		out.Partitions = append(out.Partitions, Partition{
			All: p.Sectors, Faulty: p.Faults, Recovering: p.Recoveries, Live: live, Active: active,
			Unproven: p.Unproven, Terminated: p.Terminated, LivePower: p.LivePower, FaultyPower: p.FaultyPower,
		})
		return nil
	})
	return out, err
}

// ActiveSectors is the union of the active sectors of all partitions: live, not faulty, proven once. These are the
// sectors that can win blocks (node-nv15.md 3.5).
func (v *View) ActiveSectors(ctx context.Context, maddr address.Address) (bitfield.BitField, error) {
	return v.unionOf(ctx, maddr, func(p Partition) bitfield.BitField { return p.Active })
}

// FaultySectors is the union of the faulty sectors of all partitions, recovering ones included.
func (v *View) FaultySectors(ctx context.Context, maddr address.Address) (bitfield.BitField, error) {
	return v.unionOf(ctx, maddr, func(p Partition) bitfield.BitField { return p.Faulty })
}

// RecoveringSectors is the union of the recovering sectors of all partitions.
func (v *View) RecoveringSectors(ctx context.Context, maddr address.Address) (bitfield.BitField, error) {
	return v.unionOf(ctx, maddr, func(p Partition) bitfield.BitField { return p.Recovering })
}

// LiveSectors is the union of the sectors of all partitions that are not terminated.
func (v *View) LiveSectors(ctx context.Context, maddr address.Address) (bitfield.BitField, error) {
	return v.unionOf(ctx, maddr, func(p Partition) bitfield.BitField { return p.Live })
}

func (v *View) unionOf(ctx context.Context, maddr address.Address, pick func(Partition) bitfield.BitField) (bitfield.BitField, error) {
	dls, err := v.Deadlines(ctx, maddr)
	if err != nil {
		return bitfield.BitField{}, err
	}
	var sets []bitfield.BitField
	for _, dl := range dls {
		for _, p := range dl.Partitions {
			sets = append(sets, pick(p))
		}
	}
	out, err := bitfield.MultiMerge(sets...)
	if err != nil {
		return bitfield.BitField{}, fmt.Errorf("merge sectors of %s: %w", maddr, err)
	}
	return out, nil
}

// Sector returns the on-chain record of a proven sector; found is false when there is none.
func (v *View) Sector(ctx context.Context, maddr address.Address, n abi.SectorNumber) (info *miner.SectorOnChainInfo, found bool, err error) {
	_, st, err := v.MinerState(ctx, maddr)
	if err != nil {
		return nil, false, err
	}
	info, found, err = st.GetSector(v.adt(ctx), n)
	if err != nil {
		return nil, false, fmt.Errorf("sector %d of %s: %w", n, maddr, err)
	}
	return info, found, nil
}

// Sectors returns the on-chain records of the given sectors in rising order, or of all when only is nil. A sector of the
// set without record is an error.
func (v *View) Sectors(ctx context.Context, maddr address.Address, only *bitfield.BitField) ([]*miner.SectorOnChainInfo, error) {
	_, st, err := v.MinerState(ctx, maddr)
	if err != nil {
		return nil, err
	}
	store := v.adt(ctx)
	if only != nil {
		out, err := st.LoadSectorInfos(store, *only)
		if err != nil {
			return nil, fmt.Errorf("sectors of %s: %w", maddr, err)
		}
		return out, nil
	}
	var out []*miner.SectorOnChainInfo
	err = st.ForEachSector(store, func(s *miner.SectorOnChainInfo) {
		c := *s
		out = append(out, &c)
	})
	if err != nil {
		return nil, fmt.Errorf("sectors of %s: %w", maddr, err)
	}
	return out, nil
}

// PreCommit returns the record of a sector between pre-commit and prove-commit; found is false when there is none.
func (v *View) PreCommit(ctx context.Context, maddr address.Address, n abi.SectorNumber) (info *miner.SectorPreCommitOnChainInfo, found bool, err error) {
	_, st, err := v.MinerState(ctx, maddr)
	if err != nil {
		return nil, false, err
	}
	info, found, err = st.GetPrecommittedSector(v.adt(ctx), n)
	if err != nil {
		return nil, false, fmt.Errorf("pre-commit %d of %s: %w", n, maddr, err)
	}
	return info, found, nil
}

// SectorAllocated tells whether a sector number was ever used by the miner.
func (v *View) SectorAllocated(ctx context.Context, maddr address.Address, n abi.SectorNumber) (bool, error) {
	_, st, err := v.MinerState(ctx, maddr)
	if err != nil {
		return false, err
	}
	var used bitfield.BitField
	if err := v.store.Get(ctx, st.AllocatedSectors, &used); err != nil {
		return false, fmt.Errorf("allocated sectors of %s: %w", maddr, err)
	}
	return used.IsSet(uint64(n))
}

// SectorLocation returns deadline and partition of a sector.
func (v *View) SectorLocation(ctx context.Context, maddr address.Address, n abi.SectorNumber) (deadline, partition uint64, err error) {
	_, st, err := v.MinerState(ctx, maddr)
	if err != nil {
		return 0, 0, err
	}
	deadline, partition, err = st.FindSector(v.adt(ctx), n)
	if err != nil {
		return 0, 0, fmt.Errorf("place of sector %d of %s: %w", n, maddr, err)
	}
	return deadline, partition, nil
}

// EligibleToMine applies the part of node-nv15.md 3.4 that reads the base tipset's parent state: power, no fee debt, no
// consensus fault running at baseHeight. A miner without claim is not eligible.
func (v *View) EligibleToMine(ctx context.Context, maddr address.Address, baseHeight abi.ChainEpoch) (bool, error) {
	pow, err := v.PowerState(ctx)
	if err != nil {
		return false, err
	}
	claim, found, err := pow.GetClaim(v.adt(ctx), maddr)
	if err != nil {
		return false, fmt.Errorf("claim of %s: %w", maddr, err)
	}
	if !found || !hasQAPower(claim) {
		return false, nil
	}
	_, st, err := v.MinerState(ctx, maddr)
	if err != nil {
		return false, err
	}
	if !st.IsDebtFree() {
		return false, nil
	}
	info, err := loadObject[miner.MinerInfo](ctx, v, st.Info)
	if err != nil {
		return false, fmt.Errorf("info of miner %s: %w", maddr, err)
	}
	return baseHeight > info.ConsensusFaultElapsed, nil
}

func hasQAPower(c *power.Claim) bool { return c.QualityAdjPower.Sign() > 0 }

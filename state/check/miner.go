package check

import (
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/ipfs/go-cid"
)

// allocatedMost bounds the sector numbers that are read of one miner, as in the library.
const allocatedMost = 1 << 30

// minerEntry is what is known of a miner. Sectors and deadlines are kept with the roots they were read from: a block
// reward or a declaration leaves nearly all of them as they were.
type minerEntry struct {
	summary *miner.StateSummary
	// pledge is initial pledge and locked funds.
	pledge abi.TokenAmount

	allocatedRoot cid.Cid
	allocated     map[uint64]bool
	sectorsRoot   cid.Cid
	sectors       map[abi.SectorNumber]*miner.SectorOnChainInfo
	sectorRemarks []string
	deadlines     map[uint64]*deadlineEntry
}

type deadlineEntry struct {
	root, sectors cid.Cid
	summary       *miner.DeadlineStateSummary
	remarks       []string
}

// judgeMiner makes the library's checks of a miner piece by piece, those of pieces that did not change from memory.
func (c *Checker) judgeMiner(s adt.Store, id address.Address, e, old *entry) error {
	var st miner.State
	if err := s.Get(s.Context(), e.actor.Head, &st); err != nil {
		return err
	}
	m := &minerEntry{
		summary: &miner.StateSummary{
			LivePower: miner.NewPowerPairZero(), ActivePower: miner.NewPowerPairZero(), FaultyPower: miner.NewPowerPairZero(),
			DeadlineCronActive: st.DeadlineCronActive, Deals: map[abi.DealID]miner.DealSummary{},
		},
		pledge: big.Add(st.InitialPledge, st.LockedFunds), deadlines: map[uint64]*deadlineEntry{},
	}
	e.miner = m
	var before *minerEntry
	if old != nil {
		before = old.miner
	}
	acc := &builtin.MessageAccumulator{}
	info, err := st.GetInfo(s)
	if err != nil {
		return fmt.Errorf("miner info: %w", err)
	}
	m.summary.WindowPoStProofType = info.WindowPoStProofType
	miner.CheckMinerInfo(info, acc)
	miner.CheckMinerBalances(&st, s, e.actor.Balance, acc)
	if err := m.readAllocated(s, &st, before); err != nil {
		return err
	}
	miner.CheckPreCommits(&st, s, m.allocated, acc)
	if err := m.readSectors(s, &st, before); err != nil {
		return err
	}
	for _, r := range m.sectorRemarks {
		acc.Add(r)
	}
	acc.Require(st.CurrentDeadline < miner.WPoStPeriodDeadlines,
		"current deadline index is greater than deadlines per period(%d): %d", miner.WPoStPeriodDeadlines, st.CurrentDeadline)
	if err := m.judgeDeadlines(s, &st, info.SectorSize, before, acc); err != nil {
		return err
	}
	e.problems = prefixed(id, "miner", acc)
	return nil
}

func (m *minerEntry) readAllocated(s adt.Store, st *miner.State, before *minerEntry) error {
	m.allocatedRoot = st.AllocatedSectors
	if before != nil && before.allocatedRoot == st.AllocatedSectors {
		m.allocated = before.allocated
		return nil
	}
	var numbers bitfield.BitField
	if err := s.Get(s.Context(), st.AllocatedSectors, &numbers); err != nil {
		return fmt.Errorf("allocated sectors: %w", err)
	}
	var err error
	if m.allocated, err = numbers.AllMap(allocatedMost); err != nil {
		return fmt.Errorf("allocated sectors: %w", err)
	}
	return nil
}

func (m *minerEntry) readSectors(s adt.Store, st *miner.State, before *minerEntry) error {
	m.sectorsRoot = st.Sectors
	if before != nil && before.sectorsRoot == st.Sectors && before.allocatedRoot == st.AllocatedSectors {
		m.sectors, m.sectorRemarks, m.summary.Deals = before.sectors, before.sectorRemarks, before.summary.Deals
		return nil
	}
	list, err := adt.AsArray(s, st.Sectors, miner.SectorsAmtBitwidth)
	if err != nil {
		return fmt.Errorf("sectors: %w", err)
	}
	m.sectors = map[abi.SectorNumber]*miner.SectorOnChainInfo{}
	var sector miner.SectorOnChainInfo
	err = list.ForEach(&sector, func(n int64) error {
		keep := sector
		m.sectors[abi.SectorNumber(n)] = &keep
		if !m.allocated[uint64(n)] {
			m.sectorRemarks = append(m.sectorRemarks, fmt.Sprintf("on chain sector's sector number has not been allocated %d", n))
		}
		for _, d := range sector.DealIDs {
			m.summary.Deals[d] = miner.DealSummary{SectorStart: sector.Activation, SectorExpiration: sector.Expiration}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sectors: %w", err)
	}
	return nil
}

// judgeDeadlines keeps the judgement of a deadline while its object and the sectors' table stay what they are. Its
// quantization depends on the start of the proving period, of which only the residue counts, and that never changes.
func (m *minerEntry) judgeDeadlines(s adt.Store, st *miner.State, size abi.SectorSize, before *minerEntry, acc *builtin.MessageAccumulator) error {
	dls, err := st.LoadDeadlines(s)
	if err != nil {
		return fmt.Errorf("deadlines: %w", err)
	}
	for i, root := range dls.Due {
		index := uint64(i)
		var d *deadlineEntry
		if before != nil {
			d = before.deadlines[index]
		}
		if d == nil || d.root != root || d.sectors != st.Sectors {
			dl, err := dls.LoadDeadline(s, index)
			if err != nil {
				return fmt.Errorf("deadline %d: %w", index, err)
			}
			own := &builtin.MessageAccumulator{}
			d = &deadlineEntry{root: root, sectors: st.Sectors}
			d.summary = miner.CheckDeadlineStateInvariants(dl, s, st.QuantSpecForDeadline(index), size, m.sectors, own.WithPrefix("deadline %d: ", index))
			d.remarks = own.Messages()
		}
		m.deadlines[index] = d
		for _, r := range d.remarks {
			acc.Add(r)
		}
		m.summary.LivePower = m.summary.LivePower.Add(d.summary.LivePower)
		m.summary.ActivePower = m.summary.ActivePower.Add(d.summary.ActivePower)
		m.summary.FaultyPower = m.summary.FaultyPower.Add(d.summary.FaultyPower)
	}
	return nil
}

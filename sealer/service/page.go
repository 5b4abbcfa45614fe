package service

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/api/node"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/sealer/pipeline"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// maxPage bounds a page; it is also the default.
const maxPage = 1000

// SectorsPage returns a page of sectors. Whatever their number, the node is asked
// for the miner's partitions, once per head, and for the records of the page.
func (s *Service) SectorsPage(ctx context.Context, f sealerapi.SectorFilter) (*sealerapi.SectorPage, error) {
	out := &sealerapi.SectorPage{Sectors: []sealerapi.SectorRow{}, Epoch: s.heads.Latest().Epoch, BlockDelay: s.network.BlockDelay}
	st := &pipeline.Standings{}
	if !f.LocalOnly {
		var err error
		if st, err = s.pipeline.Standings(ctx); err != nil {
			return nil, err
		}
	}
	admits, err := s.filter(ctx, f, st)
	if err != nil {
		return nil, err
	}
	limit := f.Limit
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	page, total := s.pipeline.Page(admits, max(f.Offset, 0), limit)
	out.Total = total
	infos, err := s.infos(ctx, page, st)
	if err != nil {
		return nil, err
	}
	for _, r := range page {
		out.Sectors = append(out.Sectors, rowOf(r, st.BySector[r.Number], infos[r.Number]))
	}
	return out, nil
}

// filter turns a filter into a test of records.
func (s *Service) filter(ctx context.Context, f sealerapi.SectorFilter, st *pipeline.Standings) (func(*sector.Record) bool, error) {
	states := map[sector.State]bool{}
	for _, name := range f.States {
		if !sector.State(name).Known() {
			return nil, unknownState(name)
		}
		states[sector.State(name)] = true
	}
	var ends map[abi.SectorNumber]abi.ChainEpoch
	if f.ExpireBefore > 0 {
		var err error
		if ends, err = s.expirations(ctx); err != nil {
			return nil, err
		}
	}
	return func(r *sector.Record) bool {
		x, known := st.BySector[r.Number]
		switch {
		case len(states) > 0 && !states[r.State], len(states) == 0 && r.State == sector.Removed && !f.ShowRemoved:
			return false
		case f.Deadline != nil && (!known || x.Deadline != *f.Deadline):
			return false
		case f.Faulty && !x.Faulty:
			return false
		case f.ExpireBefore > 0 && (!x.Live || ends[r.Number] >= f.ExpireBefore):
			return false
		case f.Trouble && !inTrouble(r):
			return false
		}
		return true
	}, nil
}

func inTrouble(r *sector.Record) bool {
	return r.Parked != "" || r.State.Failed() || !r.RetryAt.IsZero()
}

// infos reads the chain's records of the sectors of a page that the chain has.
func (s *Service) infos(ctx context.Context, page []sector.Record, st *pipeline.Standings) (map[abi.SectorNumber]*node.SectorOnChainInfo, error) {
	want := bitfield.New()
	n := 0
	for _, r := range page {
		if _, ok := st.BySector[r.Number]; ok {
			want.Set(uint64(r.Number))
			n++
		}
	}
	out := make(map[abi.SectorNumber]*node.SectorOnChainInfo, n)
	if n == 0 {
		return out, nil
	}
	list, err := s.node.StateMinerSectors(ctx, s.miner, &want, st.Head.Key)
	if err != nil {
		return nil, fmt.Errorf("read sectors on chain: %w", err)
	}
	for _, i := range list {
		out[i.SectorNumber] = i
	}
	return out, nil
}

func rowOf(r sector.Record, x pipeline.Standing, info *node.SectorOnChainInfo) sealerapi.SectorRow {
	row := sealerapi.SectorRow{
		SectorID: r.Number, State: string(r.State), CreatedAt: r.CreatedAt, Since: r.Since, Retries: r.Tries, Parked: r.Parked != "",
		Live: x.Live, Active: x.Active, Faulty: x.Faulty, Recovering: x.Recovering, Deadline: x.Deadline, Partition: x.Partition,
		Pledge: big.Zero(), DealWeight: big.Zero(),
	}
	if inTrouble(&r) {
		row.LastErr, _, _ = strings.Cut(r.LastErr, "\n")
	}
	if info != nil {
		row.OnChain, row.Activation, row.Expiration = true, info.Activation, info.Expiration
		row.Pledge, row.DealWeight, row.Deals = orZero(info.InitialPledge), orZero(info.DealWeight), len(info.DealIDs)
	}
	return row
}

// expirations are the ends of all sectors on the chain. They are read again once
// a challenge window: extensions are rare, and reading all is slow.
func (s *Service) expirations(ctx context.Context) (map[abi.SectorNumber]abi.ChainEpoch, error) {
	s.viewMu.Lock()
	defer s.viewMu.Unlock()
	head := s.heads.Latest()
	if s.ends != nil && head.Epoch >= s.endsAt && head.Epoch < s.endsAt+s.network.ChallengeWindow {
		return s.ends, nil
	}
	all, err := s.node.StateMinerSectors(ctx, s.miner, nil, head.Key)
	if err != nil {
		return nil, fmt.Errorf("read sectors on chain: %w", err)
	}
	s.ends, s.endsAt = make(map[abi.SectorNumber]abi.ChainEpoch, len(all)), head.Epoch
	for _, i := range all {
		s.ends[i.SectorNumber] = i.Expiration
	}
	return s.ends, nil
}

// SectorsUnknown returns the sectors that the chain has and this sealer does not
// know, as after a restore from an old backup.
func (s *Service) SectorsUnknown(ctx context.Context) ([]sealerapi.UnknownSector, error) {
	st, err := s.pipeline.Standings(ctx)
	if err != nil {
		return nil, err
	}
	ours := map[abi.SectorNumber]bool{}
	for _, r := range s.pipeline.List() {
		ours[r.Number] = true
	}
	out := []sealerapi.UnknownSector{}
	want := bitfield.New()
	for n, x := range st.BySector {
		if !ours[n] {
			out = append(out, sealerapi.UnknownSector{SectorID: n, Live: x.Live, Faulty: x.Faulty, Deadline: x.Deadline, Partition: x.Partition})
			want.Set(uint64(n))
		}
	}
	if len(out) == 0 {
		return out, nil
	}
	slices.SortFunc(out, func(a, b sealerapi.UnknownSector) int { return int(int64(a.SectorID) - int64(b.SectorID)) })
	list, err := s.node.StateMinerSectors(ctx, s.miner, &want, st.Head.Key)
	if err != nil {
		return nil, fmt.Errorf("read sectors on chain: %w", err)
	}
	for _, i := range list {
		if at, ok := slices.BinarySearchFunc(out, i.SectorNumber, func(u sealerapi.UnknownSector, n abi.SectorNumber) int { return int(int64(u.SectorID) - int64(n)) }); ok {
			out[at].Expiration = i.Expiration
		}
	}
	return out, nil
}

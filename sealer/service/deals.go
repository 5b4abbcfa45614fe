package service

import (
	"context"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/deals"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
)

// openDeals reads the deals whose data was brought, and the rule by which they get their sectors.
func (s *Service) openDeals(ctx context.Context) (sector.DealRule, error) {
	rule, buffer, err := s.cfg.Sealing.Deals.Rule(s.network, s.size)
	if err != nil {
		return rule, err
	}
	s.deals, err = deals.Open(ctx, deals.Config{Miner: s.miner, SectorSize: s.size, Buffer: buffer, Place: s.store.PlaceData}, s.node, s.db, s.opts.Clock)
	return rule, err
}

// DealsImportData begins to take the data of a deal in.
func (s *Service) DealsImportData(ctx context.Context, deal abi.DealID, file string) error {
	if err := s.deals.Import(ctx, deal, file); err != nil {
		return err
	}
	s.pipeline.Poke()
	return nil
}

// DealsList tells of all deals whose data was brought.
func (s *Service) DealsList(context.Context) ([]sealerapi.DealInfo, error) {
	in, out, epoch := s.pipeline.DealsInSectors(), []sealerapi.DealInfo{}, s.heads.Latest().Epoch
	for _, e := range s.deals.List() {
		i := sealerapi.DealInfo{
			DealID: e.ID, State: string(e.State), Err: e.Err, PieceCID: e.Piece.PieceCID, PieceSize: e.Piece.Size, Verified: e.Verified, Start: e.Start, End: e.End,
			Source: e.Source, Bytes: e.Bytes, Done: e.Done, Imported: e.Created, Epoch: epoch, BlockDelay: s.network.BlockDelay,
		}
		r, ok := in[e.ID]
		if ok {
			i.Sector, i.SectorState = &r.Number, string(r.State)
		}
		switch {
		case e.State == db.DealDone, ok && r.Updated(), ok && r.DealsProven > 0:
			i.State = "active"
		case ok && e.State == db.DealHere:
			i.State = "sealing"
		case e.State == db.DealHere:
			i.State = "waiting"
		}
		out = append(out, i)
	}
	return out, nil
}

// SectorMarkForUpgrade offers a sector to deals, if the chain would let it take some in.
func (s *Service) SectorMarkForUpgrade(ctx context.Context, n abi.SectorNumber) error {
	r, err := s.pipeline.Get(n)
	if err != nil {
		return missing(err)
	}
	why := "see 'venus-sealer sectors why %d'"
	switch {
	case r.State.Updating():
		return api.Errorf(api.CodePrecondition, "sector %d is in state %s: it is offered already, or takes data in", n, r.State).WithHint(why, n)
	case r.Update != nil:
		return api.Errorf(api.CodePrecondition, "sector %d has taken data in; a sector takes some in once", n).WithHint("offer another one: venus-sealer sectors list --states Proving")
	case r.State != sector.Proving:
		return api.Errorf(api.CodePrecondition, "sector %d is in state %s: only a sector that is proven and well can take data in", n, r.State).WithHint(why, n)
	}
	info, err := s.node.StateSectorGetInfo(ctx, s.miner, n, types.EmptyTSK)
	if err != nil {
		return err
	}
	st, err := s.pipeline.Standings(ctx)
	if err != nil {
		return err
	}
	switch {
	case info == nil || !st.BySector[n].Active:
		return api.Errorf(api.CodePrecondition, "the chain does not count sector %d as active: it is faulty, or its first window proof did not come yet", n).WithHint("see 'venus-sealer proving deadlines'")
	case len(info.DealIDs) > 0 || info.SectorKeyCID != nil:
		return api.Errorf(api.CodePrecondition, "sector %d has data of %d deals; the chain lets only sectors without any take some in", n, len(info.DealIDs)).WithHint("offer another one: venus-sealer sectors list --states Proving")
	}
	if err := s.store.CanUpdate(r.ID()); err != nil {
		return api.Errorf(api.CodePrecondition, "%w", err).WithHint("see 'venus-sealer storage find %d'", n)
	}
	if err := s.wish(ctx, n, sector.MarkForUpdate{}); err != nil {
		return err
	}
	s.pipeline.Poke()
	return nil
}

// SectorAbortUpgrade takes a sector back that was offered to deals.
func (s *Service) SectorAbortUpgrade(ctx context.Context, n abi.SectorNumber) error {
	r, err := s.pipeline.Get(n)
	if err != nil {
		return missing(err)
	}
	switch {
	case !r.State.Updating():
		return api.Errorf(api.CodePrecondition, "sector %d is in state %s: it takes no data in", n, r.State)
	case r.Updated():
		return api.Errorf(api.CodePrecondition, "the chain has the update of sector %d: there is no way back", n).WithHint("end it on the chain, at a fee: venus-sealer sectors terminate %d", n)
	case r.State == sector.ReplicaUpdateWait:
		return api.Errorf(api.CodePrecondition, "the message with the update of sector %d is under way and may land", n).
			WithHint("see how it fares: venus-messager msg why %s; it is given up by itself when its first deal starts, at epoch %d", r.UpdateMsg.ID, r.Update.First().Start)
	}
	return s.wish(ctx, n, sector.AbortUpdate{})
}

// SectorStartSealing lets a sector with deals go on.
func (s *Service) SectorStartSealing(ctx context.Context, n abi.SectorNumber) error {
	r, err := s.pipeline.Get(n)
	if err != nil {
		return missing(err)
	}
	switch {
	case r.State != sector.SnapDealsWaitDeals && r.State != sector.WaitDeals:
		return api.Errorf(api.CodePrecondition, "sector %d is in state %s: it waits for no deals", n, r.State)
	case r.Update == nil && len(r.Deals) == 0, r.Update != nil && len(r.Update.Deals) == 0:
		return api.Errorf(api.CodePrecondition, "sector %d has no deals yet", n).WithHint("bring data: venus-sealer deals import DEALID FILE; take it back: venus-sealer sectors abort-upgrade %d", n)
	}
	return s.wish(ctx, n, sector.StartPacking{Why: "the operator wants it"})
}

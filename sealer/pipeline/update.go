package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"

	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/sealer/task"
	"github.com/filecoin-venus/venus/worker"
)

// DealsInSectors tells which sector has a deal.
func (p *Pipeline) DealsInSectors() map[abi.DealID]sector.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[abi.DealID]sector.Record{}
	for _, e := range p.sectors {
		switch e.rec.State {
		case sector.DealsExpired, sector.Removing, sector.RemoveFailed, sector.Removed, sector.FailedUnrecoverable:
			if e.rec.DealsProven == 0 && !e.rec.Updated() {
				continue // they are free again
			}
		}
		for _, d := range e.rec.Deals {
			out[d.ID] = e.rec
		}
		if e.rec.Update == nil {
			continue
		}
		for _, d := range e.rec.Update.Deals {
			out[d.ID] = e.rec
		}
	}
	return out
}

// placeDeals gives deals to the sectors that are offered, and lets those go on that wait for no more. That a sector has a
// deal is told by its record alone, so that a deal is never in two.
func (p *Pipeline) placeDeals(ctx context.Context) error {
	if p.parts.Deals == nil {
		return nil
	}
	now, taken := p.now(), p.DealsInSectors()
	err := p.parts.Deals.Expire(ctx, now.Epoch, func(id abi.DealID) bool { _, ok := taken[id]; return ok })
	if err != nil {
		return err
	}
	var (
		waiting []sector.Deal
		errs    []error
	)
	for _, d := range p.parts.Deals.Here() {
		r, ok := taken[d.ID]
		switch {
		case !ok:
			waiting = append(waiting, d)
		case r.State == sector.Proving && r.DealsProven > 0 && now.Epoch >= r.DealsProven+p.cfg.Policy.Finality:
			errs = append(errs, p.parts.Deals.Done(ctx, d.ID)) // a new sector holds it, finally
		}
	}
	offers, err := p.offers(ctx)
	if err != nil {
		return err
	}
	placed := 0
	for _, x := range p.cfg.Deals.Place(now, offers, waiting) {
		placed += len(x.Deals)
		if len(x.Deals) > 0 {
			errs = append(errs, p.move(ctx, x.Number, sector.TakeDeals{Deals: x.Deals}))
		}
		if x.Start != "" {
			errs = append(errs, p.move(ctx, x.Number, sector.StartPacking{Why: x.Start}))
		}
	}
	fits := func(d sector.Deal) bool { return d.Start > now.Epoch && d.End <= now.Epoch+p.cfg.Lifetime }
	if placed < len(waiting) && slices.ContainsFunc(waiting, fits) {
		errs = append(errs, p.beginForDeals(ctx))
	}
	return errors.Join(errs...)
}

// beginForDeals begins a new sector for deals that no offered one has room for, if that is wanted and not enough wait already.
func (p *Pipeline) beginForDeals(ctx context.Context) error {
	p.pledging.Lock()
	defer p.pledging.Unlock()
	if p.count(func(r *sector.Record) bool { return r.State == sector.WaitDeals }) >= p.cfg.MaxWaitDeals {
		return nil
	}
	if p.cfg.MaxSealing > 0 && p.Sealing() >= p.cfg.MaxSealing {
		return nil // they wait for room
	}
	_, err := p.begin(ctx, sector.NewForDeals, "event;sealing.SectorStart", "begun for deals")
	return err
}

// offers are the sectors that wait for deals, with their ends on the chain.
func (p *Pipeline) offers(ctx context.Context) ([]sector.Offer, error) {
	var out []sector.Offer
	waiting, _ := p.Page(func(r *sector.Record) bool {
		return r.State == sector.SnapDealsWaitDeals || r.State == sector.WaitDeals
	}, 0, math.MaxInt)
	for _, r := range waiting {
		if r.State == sector.WaitDeals {
			out = append(out, sector.Offer{Number: r.Number, Expiration: p.parts.Heads.Latest().Epoch + p.cfg.Lifetime, Deals: r.Deals})
			continue
		}
		info, err := p.onChain(ctx, r)
		if err != nil {
			return nil, err
		}
		if info != nil {
			out = append(out, sector.Offer{Number: r.Number, Expiration: info.Expiration, Deals: r.Update.Deals})
		}
	}
	return out, nil
}

// onChain is the chain's record of a sector, nil if it has none.
func (p *Pipeline) onChain(ctx context.Context, r sector.Record) (*node.SectorOnChainInfo, error) {
	info, err := p.parts.Chain.StateSectorGetInfo(ctx, p.cfg.Miner, r.Number, p.parts.Heads.Latest().Key)
	if err != nil {
		return nil, fmt.Errorf("read sector %d on chain: %w", r.Number, err)
	}
	return info, nil
}

// addPieces writes the pieces of a sector's deals one behind the other into its unsealed file. It begins anew each time.
func (p *Pipeline) addPieces(ctx context.Context, rec sector.Record) (sector.Event, error) {
	if p.parts.Deals == nil {
		return nil, errors.New("this sealer takes no deals")
	}
	place, deals, of := p.parts.Store.PlaceUpdate, []sector.Deal(nil), worker.Files.Updated
	if rec.State == sector.AddPiece { // a new one
		place, deals, of = p.parts.Store.PlaceAnew, rec.Deals, worker.Files.Key
	} else {
		deals = rec.Update.Deals
	}
	files, err := place(rec.ID(), p.cfg.SectorSize)
	if err != nil {
		return nil, err
	}
	paths := of(worker.Files(files))
	var have []abi.UnpaddedPieceSize
	for _, d := range deals {
		if err := p.addPiece(ctx, rec, paths, have, d); err != nil {
			return nil, err
		}
		have = append(have, d.Piece.Size.Unpadded())
	}
	if err := p.addZeros(ctx, rec, paths, have); err != nil {
		return nil, err
	}
	p.parts.Store.Declare(rec.ID(), files)
	return sector.PiecesAdded{}, fault.Point("sealer/pieces")
}

func (p *Pipeline) addPiece(ctx context.Context, rec sector.Record, paths seal.Paths, have []abi.UnpaddedPieceSize, d sector.Deal) error {
	data, err := p.parts.Deals.Data(d.ID)
	if err != nil {
		return err
	}
	defer data.Close() // opened for reading only
	piece, err := p.parts.Pieces.AddPiece(ctx, seal.Sector{ID: rec.ID(), Proof: rec.SealProof}, paths, have, d.Piece.Size.Unpadded(), data)
	if err != nil {
		return err
	}
	if !piece.PieceCID.Equals(d.Piece.PieceCID) {
		return fmt.Errorf("the copy of the data of deal %d has the piece commitment %s, not %s: its disk is bad", d.ID, piece.PieceCID, d.Piece.PieceCID)
	}
	return nil
}

// addZeros fills the rest of the sector: after pieces the largest first, each piece of zeros is as large as what is before it
// is aligned to.
func (p *Pipeline) addZeros(ctx context.Context, rec sector.Record, paths seal.Paths, have []abi.UnpaddedPieceSize) error {
	at := abi.PaddedPieceSize(0)
	for _, n := range have {
		at += n.Padded()
	}
	for at < abi.PaddedPieceSize(p.cfg.SectorSize) {
		n := at & -at
		if _, err := p.parts.Pieces.AddPiece(ctx, seal.Sector{ID: rec.ID(), Proof: rec.SealProof}, paths, have, n.Unpadded(), nil); err != nil {
			return err
		}
		have, at = append(have, n.Unpadded()), at+n
	}
	return nil
}

// ensureUpdate hands the work of an update to the queue. All its files lie where the sector rests.
func (p *Pipeline) ensureUpdate(ctx context.Context, rec sector.Record, t worker.Task) error {
	u := rec.Update
	t.Key, t.Pieces, t.CommD, t.CommR, t.Ticket, t.Seed = u.Key, u.Pieces(), u.CommD, u.CommR, nil, nil
	var (
		files store.Files
		err   error
	)
	switch t.Kind {
	case sector.TaskReplicaUpdate:
		files, err = p.parts.Store.PlaceUpdate(rec.ID(), p.cfg.SectorSize)
	case sector.TaskProveUpdate:
		files, err = p.parts.Store.Find(rec.ID(), store.FileTypes()...)
	default: // the old replica may be gone, but not before its time
		files, err = p.parts.Store.Find(rec.ID(), store.Unsealed, store.Update, store.UpdateCache)
	}
	if err != nil {
		return err
	}
	t.Files = worker.Files(files)
	return p.parts.Queue.Ensure(ctx, t)
}

// refuseUpdate looks into what a worker made for an update: whether the replica holds the data of the deals and its files
// are those of its commitment, and whether the proof holds.
func (p *Pipeline) refuseUpdate(ctx context.Context, e task.Entry) (string, error) {
	t, res := e.Task, e.Result
	rec, err := p.Get(t.Sector.Number)
	if err != nil || rec.TaskAttempt != t.Attempt || rec.Update == nil {
		return "", nil // nobody awaits it
	}
	if t.Kind == sector.TaskProveUpdate {
		if rec.Update.Proof = res.Proof; len(res.Proof) == 0 || rec.Update.CommR == nil {
			return "", nil // told by others
		}
		ev, err := p.checkUpdateProof(ctx, rec)
		if err != nil || ev == nil {
			return "", nil // it is checked again before it is sent
		}
		return "its proof does not hold", nil
	}
	if res.CommD == nil || res.CommR == nil {
		return "", nil
	}
	want, err := commp.UnsealedCID(t.SealProof, rec.Update.Pieces())
	if err != nil {
		return "", fmt.Errorf("commitment of the deals: %w", err)
	}
	if !res.CommD.Equals(want) {
		return fmt.Sprintf("its CommD %s is not %s, that of the deals", res.CommD, want), nil
	}
	if p.parts.Replicas == nil {
		return "", nil
	}
	files := t.Work()
	if _, err := os.Stat(files.Update); err != nil {
		files = t.Files // it is taken over
	}
	ref := seal.SectorRef{Sector: seal.Sector{ID: t.Sector, Proof: t.SealProof}, SealedCID: *res.CommR, Paths: files.Updated()}
	why, err := p.unsound(ctx, t, ref)
	if why == "" || err != nil {
		return "", err
	}
	return "its files are not those of the CommR that it told: " + why, nil
}

// checkUpdateProof verifies the proof of an update as the chain will.
func (p *Pipeline) checkUpdateProof(ctx context.Context, rec sector.Record) (sector.Event, error) {
	typ, err := rec.SealProof.RegisteredUpdateProof()
	if err != nil {
		return nil, fmt.Errorf("update of sector %d: %w", rec.Number, err)
	}
	u := rec.Update
	ok, err := p.parts.Verifier.VerifyReplicaUpdate(ctx, proof.ReplicaUpdateInfo{
		UpdateProofType: typ, OldSealedSectorCID: *u.Key, NewSealedSectorCID: *u.CommR, NewUnsealedSectorCID: *u.CommD, Proof: u.Proof,
	})
	if err != nil {
		return nil, fmt.Errorf("check the update of sector %d: %w", rec.Number, err)
	}
	if !ok {
		return sector.ProofInvalid{Err: "our own check refused the proof of the update; it was not sent"}, nil
	}
	return nil, nil
}

// pushUpdate sends the update unless it was sent, or cannot land now, or never.
func (p *Pipeline) pushUpdate(ctx context.Context, rec sector.Record) (sector.Event, error) {
	known, err := p.parts.Messages.Known(ctx, rec.UpdateMsg.ID)
	if err != nil {
		return nil, err
	}
	if known != nil {
		return sector.Pushed{ID: rec.UpdateMsg.ID, Value: known.Value}, nil
	}
	u, head := rec.Update, p.parts.Heads.Latest()
	if u.Withdrawn || u.Begun(head.Epoch) {
		return sector.GiveUp{}, nil // nothing was sent
	}
	if ev, err := p.sameDeals(ctx, u.Deals); ev != nil || err != nil {
		return ev, err
	}
	info, err := p.onChain(ctx, rec)
	if err != nil {
		return nil, err
	}
	if info == nil {
		return p.later("the chain does not have the sector at present")
	}
	if !info.SealedCID.Equals(*u.Key) {
		return sector.OnChainProven{CommR: info.SealedCID}, nil
	}
	at, ev, err := p.updatable(ctx, rec)
	if at == nil || ev != nil || err != nil {
		return ev, err
	}
	if ev, err := p.checkUpdateProof(ctx, rec); ev != nil || err != nil {
		return ev, err
	}
	req, err := p.updateRequest(ctx, rec, *at, info)
	if err != nil {
		return nil, err
	}
	err = p.parts.Messages.Try(ctx, req)
	if refused := (*messages.Refusal)(nil); errors.As(err, &refused) {
		return nil, fmt.Errorf("the chain would refuse the update, nothing was sent: %w", refused)
	} else if err != nil {
		return nil, err
	}
	if err := fault.Point("sealer/intent"); err != nil {
		return nil, err
	}
	value, err := p.parts.Messages.Push(ctx, req)
	if err != nil {
		return nil, err
	}
	return sector.Pushed{ID: rec.UpdateMsg.ID, Value: value}, nil
}

// sameDeals puts a message off whose deals are others on the chain: a sector committed to them could never be proven. It is
// tried again until the first of them starts.
func (p *Pipeline) sameDeals(ctx context.Context, list []sector.Deal) (sector.Event, error) {
	for _, d := range list {
		why, err := p.parts.Deals.Same(ctx, d)
		if err != nil {
			return nil, err
		}
		if why != "" {
			return p.later(why)
		}
	}
	return nil, nil
}

// later puts an effect off for a while.
func (p *Pipeline) later(why string) (sector.Event, error) {
	return sector.Later{Until: p.parts.Clock.Now().UTC().Add(p.cfg.Policy.BackoffMax), Why: why}, nil
}

// updatable tells where the chain has a sector if it takes an update of it now: the sector must be active, and its
// deadline neither open nor the next. nil without an event is a matter of some epochs.
func (p *Pipeline) updatable(ctx context.Context, rec sector.Record) (*Place, sector.Event, error) {
	st, err := p.Standings(ctx)
	if err != nil {
		return nil, nil, err
	}
	s := st.BySector[rec.Number]
	if !s.Active {
		ev, err := p.later("the chain updates only sectors that are proven and not faulty: this one is not, see 'venus-sealer proving faults'")
		return nil, ev, err
	}
	d, err := p.parts.Chain.StateMinerProvingDeadline(ctx, p.cfg.Miner, st.Head.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("read the proving deadline: %w", err)
	}
	if !Mutable(d, s.Deadline, st.Head.Epoch) {
		return nil, nil, nil
	}
	return &Place{s.Deadline, s.Partition}, nil, nil
}

// updateRequest is the message with an update. What the pledge of the sector grows by goes with it.
func (p *Pipeline) updateRequest(ctx context.Context, rec sector.Record, at Place, info *node.SectorOnChainInfo) (messages.Request, error) {
	u := rec.Update
	typ, err := rec.SealProof.RegisteredUpdateProof()
	if err != nil {
		return messages.Request{}, fmt.Errorf("update of sector %d: %w", rec.Number, err)
	}
	raw, err := Encode(&miner.ProveReplicaUpdatesParams{Updates: []miner.ReplicaUpdate{{
		SectorID: rec.Number, Deadline: at.Deadline, Partition: at.Partition, NewSealedSectorCID: *u.CommR, Deals: u.DealIDs(), UpdateProofType: typ, ReplicaProof: u.Proof,
	}}})
	if err != nil {
		return messages.Request{}, err
	}
	pledge, err := p.parts.Chain.StateMinerInitialPledgeCollateral(ctx, p.cfg.Miner, node.SectorPreCommitInfo{
		SealProof: rec.SealProof, SectorNumber: rec.Number, SealedCID: *u.CommR, DealIDs: u.DealIDs(), Expiration: info.Expiration,
	}, p.parts.Heads.Latest().Key)
	if err != nil {
		return messages.Request{}, fmt.Errorf("ask for the pledge: %w", err)
	}
	return messages.Request{
		ID: rec.UpdateMsg.ID, Kind: sector.KindUpdate, Method: builtin.MethodsMiner.ProveReplicaUpdates, Params: raw,
		Value: big.Max(big.Zero(), big.Sub(pledge, info.InitialPledge)),
		// From here on the chain takes the first of the deals no more.
		Expire: u.First().Start,
	}, nil
}

// checkUpdate tells that the chain has lost an update, or still has it when that is final.
func (p *Pipeline) checkUpdate(ctx context.Context, rec sector.Record, x sector.CheckUpdate) (sector.Event, error) {
	head := p.parts.Heads.Latest()
	fact, err := p.facts(ctx, rec.Number, head.Key)
	if err != nil {
		return nil, err
	}
	if f, ok := fact.(sector.OnChainProven); ok && (head.Epoch >= x.ReadyAt || !f.CommR.Equals(*rec.Update.CommR)) {
		return f, nil
	}
	return nil, nil
}

// dropUpdate deletes what was made of an update that was given up, unless the chain took it after all: then it counts.
func (p *Pipeline) dropUpdate(ctx context.Context, rec sector.Record, x sector.DropUpdate) (sector.Event, error) {
	head := p.parts.Heads.Latest()
	fact, err := p.facts(ctx, rec.Number, head.Key)
	if err != nil {
		return nil, err
	}
	f, ok := fact.(sector.OnChainProven)
	if ok && !f.CommR.Equals(*rec.Update.Key) {
		return f, nil
	}
	if !ok || head.Epoch < x.ReadyAt {
		return nil, nil
	}
	if ev, err := p.letGo(ctx, rec, "the update is given up"); ev != nil || err != nil {
		return ev, err
	}
	if err := p.parts.Store.DropUpdate(rec.ID()); err != nil {
		return nil, err
	}
	if err := p.dropWork(rec.ID()); err != nil {
		return nil, err
	}
	return sector.UpdateDropped{}, fault.Point("sealer/update-dropped")
}

// releaseKey deletes the old replica of a sector whose update is final, once the new one was looked into.
func (p *Pipeline) releaseKey(ctx context.Context, rec sector.Record) (sector.Event, error) {
	fact, err := p.facts(ctx, rec.Number, p.parts.Heads.Latest().Key)
	if err != nil {
		return nil, err
	}
	if f, ok := fact.(sector.OnChainProven); !ok || !f.CommR.Equals(*rec.Update.CommR) {
		return fact, nil
	}
	files, err := p.parts.Store.Find(rec.ID(), store.Update, store.UpdateCache)
	if err != nil {
		return nil, fmt.Errorf("the old replica stays: %w", err)
	}
	if p.parts.Replicas != nil {
		ref := seal.SectorRef{Sector: seal.Sector{ID: rec.ID(), Proof: rec.SealProof}, SealedCID: *rec.Update.CommR, Paths: worker.Files(files).Updated()}
		bad, err := p.parts.Replicas.CheckProvable(ctx, []seal.SectorRef{ref}, true)
		if err != nil {
			return nil, err
		}
		if why := bad[rec.ID()]; why != "" {
			return nil, fmt.Errorf("the old replica stays, for the new one is not sound: %s", why)
		}
	}
	if err := p.parts.Store.DropKey(rec.ID()); err != nil {
		return nil, err
	}
	if p.parts.Deals != nil {
		for _, d := range rec.Update.Deals {
			if err := p.parts.Deals.Done(ctx, d.ID); err != nil {
				return nil, err
			}
		}
	}
	return sector.KeyReleased{}, fault.Point("sealer/key-released")
}

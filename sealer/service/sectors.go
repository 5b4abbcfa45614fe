package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/proof"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/node"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/pipeline"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/types"
)

// PledgeSector starts a sector without deals.
func (s *Service) PledgeSector(ctx context.Context) (abi.SectorID, error) {
	canSeal := false
	for _, p := range s.store.Paths() {
		canSeal = canSeal || p.CanSeal
	}
	if !canSeal {
		return abi.SectorID{}, api.Errorf(api.CodePrecondition, "no storage path for sealing is attached").
			WithHint("attach one with 'venus-sealer storage attach --init --store --seal PATH'")
	}
	id, err := s.pipeline.Pledge(ctx)
	if errors.Is(err, pipeline.ErrTooMany) {
		return id, api.Errorf(api.CodeLimit, "%w", err).WithHint("wait, or raise Sealing.MaxSealingSectors")
	}
	return id, err
}

// SectorsList lists the numbers of all sectors.
func (s *Service) SectorsList(context.Context) ([]abi.SectorNumber, error) {
	out := []abi.SectorNumber{}
	for _, r := range s.pipeline.List() {
		out = append(out, r.Number)
	}
	return out, nil
}

// SectorsListInStates lists the numbers of the sectors in the named states.
func (s *Service) SectorsListInStates(_ context.Context, states []string) ([]abi.SectorNumber, error) {
	want := map[sector.State]bool{}
	for _, name := range states {
		st := sector.State(name)
		if !st.Known() {
			return nil, unknownState(name)
		}
		want[st] = true
	}
	out := []abi.SectorNumber{}
	for _, r := range s.pipeline.List() {
		if want[r.State] {
			out = append(out, r.Number)
		}
	}
	return out, nil
}

func unknownState(name string) error {
	return api.Errorf(api.CodeInvalid, "%q is no state of a sector", name).WithHint("states: %v", sector.States())
}

// SectorsSummary counts sectors by state.
func (s *Service) SectorsSummary(context.Context) (map[string]int, error) {
	out := map[string]int{}
	for _, r := range s.pipeline.List() {
		out[string(r.State)]++
	}
	return out, nil
}

func missing(err error) error {
	if errors.Is(err, db.ErrNotFound) {
		return api.Errorf(api.CodeNotFound, "%w", err).WithHint("see 'venus-sealer sectors list'")
	}
	return err
}

// SectorsStatus returns all that is known of a sector.
func (s *Service) SectorsStatus(ctx context.Context, n abi.SectorNumber, onChain bool) (sealerapi.SectorInfo, error) {
	r, err := s.pipeline.Get(n)
	if err != nil {
		return sealerapi.SectorInfo{}, missing(err)
	}
	log, err := s.db.Log(ctx, n)
	if err != nil {
		return sealerapi.SectorInfo{}, err
	}
	out := sealerapi.SectorInfo{
		SectorID: r.Number, State: string(r.State), CommD: r.CommD, CommR: r.CommR, Proof: r.Proof, Deals: []abi.DealID{},
		Ticket:       sealerapi.SealTicket{Value: r.Ticket.Value, Epoch: r.Ticket.Epoch},
		Seed:         sealerapi.SealSeed{Value: r.Seed.Value, Epoch: r.Seed.Epoch},
		PreCommitMsg: r.PreCommit.ID, CommitMsg: r.Commit.ID, Retries: uint64(r.Tries), LastErr: r.LastErr,
		CreatedAt: r.CreatedAt, NextAction: s.pipeline.Why(r).Next, SealProof: r.SealProof,
		DealWeight: big.Zero(), VerifiedDealWeight: big.Zero(), InitialPledge: big.Zero(),
	}
	for _, l := range log {
		out.Log = append(out.Log, sealerapi.SectorLog{Kind: l.Kind, Timestamp: uint64(l.At.Unix()), Message: l.Text})
	}
	if !onChain {
		return out, nil
	}
	view, err := s.onChain(ctx)
	if err != nil {
		return out, err
	}
	info := view.sectors[n]
	if info == nil {
		return out, nil
	}
	out.Activation, out.Expiration, out.InitialPledge = info.Activation, info.Expiration, info.InitialPledge
	out.DealWeight, out.VerifiedDealWeight, out.Active = info.DealWeight, info.VerifiedDealWeight, view.active[n]
	if exp, err := s.node.StateSectorExpiration(ctx, s.miner, n, types.EmptyTSK); err == nil && exp != nil {
		out.OnTime, out.Early = exp.OnTime, exp.Early
	}
	return out, nil
}

// chainView is what the chain has of all our sectors at one head: asked once per
// head however many sectors are listed.
type chainView struct {
	head    types.TipSetKey
	sectors map[abi.SectorNumber]*node.SectorOnChainInfo
	active  map[abi.SectorNumber]bool
}

func (s *Service) onChain(ctx context.Context) (*chainView, error) {
	s.viewMu.Lock()
	defer s.viewMu.Unlock()
	head := s.heads.Latest().Key
	if s.view != nil && s.view.head == head && !head.IsEmpty() {
		return s.view, nil
	}
	v := &chainView{head: head, sectors: map[abi.SectorNumber]*node.SectorOnChainInfo{}, active: map[abi.SectorNumber]bool{}}
	all, err := s.node.StateMinerSectors(ctx, s.miner, nil, head)
	if err != nil {
		return nil, fmt.Errorf("read sectors on chain: %w", err)
	}
	for _, i := range all {
		v.sectors[i.SectorNumber] = i
	}
	active, err := s.node.StateMinerActiveSectors(ctx, s.miner, head)
	if err != nil {
		return nil, fmt.Errorf("read active sectors: %w", err)
	}
	for _, i := range active {
		v.active[i.SectorNumber] = true
	}
	s.view = v
	return v, nil
}

// SectorsUpdate forces a sector into a state.
func (s *Service) SectorsUpdate(ctx context.Context, n abi.SectorNumber, state string) error {
	if !sector.State(state).Known() {
		return unknownState(state)
	}
	return s.wish(ctx, n, sector.Force{To: sector.State(state)})
}

// SectorWhy explains a sector.
func (s *Service) SectorWhy(_ context.Context, n abi.SectorNumber) (sealerapi.SectorWhy, error) {
	r, err := s.pipeline.Get(n)
	if err != nil {
		return sealerapi.SectorWhy{}, missing(err)
	}
	w := s.pipeline.Why(r)
	out := sealerapi.SectorWhy{
		SectorID: n, State: string(w.State), Means: w.Means, Waits: w.Waits, Since: w.Since, Next: w.Next, NextAt: w.NextAt, NextEpoch: w.NextEpoch,
		Limit: w.Limit, LimitEpoch: w.LimitEpoch, Retries: w.Tries, LastErr: w.LastErr, ErrClass: string(w.Class), Options: []sealerapi.SectorOption{},
		Epoch: s.heads.Latest().Epoch, BlockDelay: s.network.BlockDelay,
	}
	for _, o := range w.Options {
		out.Options = append(out.Options, sealerapi.SectorOption(o))
	}
	return out, nil
}

// SectorRetry takes a waiting or failed sector up at once.
func (s *Service) SectorRetry(ctx context.Context, n abi.SectorNumber) error {
	return s.wish(ctx, n, sector.Retry{})
}

func (s *Service) wish(ctx context.Context, n abi.SectorNumber, ev sector.Event) error {
	err := s.pipeline.Apply(ctx, n, ev, nil)
	if errors.Is(err, sector.ErrIgnored) {
		return api.Errorf(api.CodePrecondition, "%w", err).WithHint("see 'venus-sealer sectors status %d'", n)
	}
	return missing(err)
}

// notYet answers calls that this release does not do.
func notYet(what string) error {
	return api.Errorf(api.CodePrecondition, "%s is not possible with this release", what)
}

// SectorRemove deletes the files of a sector under whose number the chain holds nothing of value.
func (s *Service) SectorRemove(ctx context.Context, n abi.SectorNumber) error {
	return s.remove(ctx, n, false)
}

// SectorAbandon also gives up a deposit.
func (s *Service) SectorAbandon(ctx context.Context, n abi.SectorNumber) error {
	return s.remove(ctx, n, true)
}

func (s *Service) remove(ctx context.Context, n abi.SectorNumber, abandon bool) error {
	r, err := s.pipeline.Get(n)
	if err != nil {
		return missing(err)
	}
	switch what := sector.RemovalOf(r); {
	case what == sector.RemoveRefused && r.State == sector.Removed:
		return api.Errorf(api.CodePrecondition, "sector %d is removed already", n)
	case what == sector.RemoveRefused:
		return api.Errorf(api.CodePrecondition, "sector %d is in state %s: the chain wants it proven", n, r.State).
			WithHint("end it on the chain first: venus-sealer sectors terminate %d", n)
	case what == sector.RemoveLosesDeposit && !abandon:
		return api.Errorf(api.CodePrecondition, "sector %d is committed to on the chain, or a message of it may still land; removing it loses %s", n, types.FIL(orZero(r.PreCommit.Value))).
			WithHint("if that is what you want: venus-sealer sectors remove --abandon %d", n)
	}
	return s.wish(ctx, n, sector.Remove{Abandon: abandon})
}

// SectorRedo makes the files of a proven sector anew.
func (s *Service) SectorRedo(ctx context.Context, n abi.SectorNumber) error {
	return s.wish(ctx, n, sector.Redo{})
}

// SectorTerminate is refused.
func (s *Service) SectorTerminate(context.Context, abi.SectorNumber) error {
	return notYet("terminating sectors")
}

// ComputeProof proves the challenged sectors for a block.
func (s *Service) ComputeProof(ctx context.Context, sectors []proof.ExtendedSectorInfo, r abi.PoStRandomness) ([]proof.PoStProof, error) {
	if len(r) != abi.RandomnessLength {
		return nil, api.Errorf(api.CodeInvalid, "randomness has %d bytes, want %d", len(r), abi.RandomnessLength)
	}
	list := make([]proof.SectorInfo, 0, len(sectors))
	for _, x := range sectors {
		list = append(list, proof.SectorInfo{SealProof: x.SealProof, SectorNumber: x.SectorNumber, SealedCID: x.SealedCID})
	}
	start := s.opts.Clock.Now()
	out, err := s.prover.WinningPoSt(ctx, list, r)
	if err != nil {
		log.Errorf("winning proof failed: %v", err)
		return nil, err
	}
	log.Infof("GenerateWinningPoSt took %s", s.opts.Clock.Now().Sub(start))
	return out, nil
}

// warmWinning makes one winning proof for nothing, so that all that is made at
// the first one is at hand.
func (s *Service) warmWinning(ctx context.Context) {
	for _, r := range s.pipeline.List() {
		if r.State != sector.Proving || r.CommR == nil {
			continue
		}
		start := s.opts.Clock.Now()
		seed := make(abi.PoStRandomness, abi.RandomnessLength)
		_, err := s.prover.WinningPoSt(ctx, []proof.SectorInfo{{SealProof: r.SealProof, SectorNumber: r.Number, SealedCID: *r.CommR}}, seed)
		if err != nil {
			log.Warnf("trial winning proof of sector %d: %v", r.Number, err)
			continue
		}
		log.Infof("trial winning proof took %s", s.opts.Clock.Now().Sub(start))
		return
	}
}

// CheckProvable tells why sectors cannot be proven; without numbers it checks all.
func (s *Service) CheckProvable(ctx context.Context, numbers []abi.SectorNumber, slow bool) (map[abi.SectorNumber]string, error) {
	want := map[abi.SectorNumber]bool{}
	for _, n := range numbers {
		want[n] = true
	}
	var list []proof.SectorInfo
	bad := map[abi.SectorNumber]string{}
	for _, r := range s.pipeline.List() {
		if len(numbers) > 0 && !want[r.Number] || len(numbers) == 0 && r.State != sector.Proving {
			continue
		}
		delete(want, r.Number)
		if r.CommR == nil {
			bad[r.Number] = "it is not sealed"
			continue
		}
		list = append(list, proof.SectorInfo{SealProof: r.SealProof, SectorNumber: r.Number, SealedCID: *r.CommR})
	}
	for n := range want {
		bad[n] = "this sealer does not know it"
	}
	found, err := s.prover.check(ctx, list, slow)
	for n, why := range found {
		bad[n] = why
	}
	return bad, err
}

// StorageAttach makes a folder a storage path.
func (s *Service) StorageAttach(_ context.Context, spec sealerapi.StorageSpec) (sealerapi.StorageInfo, error) {
	p, err := s.store.Attach(store.Spec{Dir: spec.Path, Init: spec.Init, CanSeal: spec.CanSeal, CanStore: spec.CanStore, Weight: spec.Weight})
	if err != nil {
		return sealerapi.StorageInfo{}, api.Errorf(api.CodeInvalid, "%w", err)
	}
	s.pipeline.Poke()
	return storageInfo(p), nil
}

func storageInfo(p store.Path) sealerapi.StorageInfo {
	return sealerapi.StorageInfo{ID: p.ID, URLs: []string{}, Weight: p.Weight, CanSeal: p.CanSeal, CanStore: p.CanStore}
}

// StorageDetach forgets a path.
func (s *Service) StorageDetach(_ context.Context, id string) error {
	if err := s.store.Detach(id); err != nil {
		return api.Errorf(api.CodeNotFound, "%w", err)
	}
	return nil
}

// StorageList lists which files each path holds.
func (s *Service) StorageList(context.Context) (map[string][]sealerapi.StorageDecl, error) {
	out := map[string][]sealerapi.StorageDecl{}
	for _, p := range s.store.Paths() {
		out[p.ID] = []sealerapi.StorageDecl{}
		for _, d := range s.store.Holds(p.ID) {
			out[p.ID] = append(out[p.ID], sealerapi.StorageDecl{Miner: d.Sector.Miner, Number: d.Sector.Number, SectorFileType: int(d.Type)})
		}
	}
	return out, nil
}

// StorageLocal returns the folder of each path.
func (s *Service) StorageLocal(context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range s.store.Paths() {
		out[p.ID] = p.Dir
	}
	return out, nil
}

func (s *Service) path(id string) (store.Path, error) {
	for _, p := range s.store.Paths() {
		if p.ID == id {
			return p, nil
		}
	}
	return store.Path{}, api.Errorf(api.CodeNotFound, "storage path %s is not attached", id)
}

// StorageInfo returns the settings of a path.
func (s *Service) StorageInfo(_ context.Context, id string) (sealerapi.StorageInfo, error) {
	p, err := s.path(id)
	return storageInfo(p), err
}

// StorageStat measures a path.
func (s *Service) StorageStat(_ context.Context, id string) (sealerapi.FsStat, error) {
	p, err := s.path(id)
	if err != nil {
		return sealerapi.FsStat{}, err
	}
	st, err := p.Measure()
	return sealerapi.FsStat{Capacity: st.Capacity, Available: st.Available}, err
}

// StorageFindSector lists the paths that hold files of a sector.
func (s *Service) StorageFindSector(_ context.Context, id abi.SectorID, fileType int) ([]sealerapi.SectorStorageInfo, error) {
	out := []sealerapi.SectorStorageInfo{}
	for _, p := range s.store.Paths() {
		for _, d := range s.store.Holds(p.ID) {
			if d.Sector == id && int(d.Type)&fileType != 0 {
				out = append(out, sealerapi.SectorStorageInfo{ID: p.ID, URLs: []string{}, Weight: p.Weight, CanSeal: p.CanSeal, CanStore: p.CanStore, Primary: true})
				break
			}
		}
	}
	return out, nil
}

package service

import (
	"context"
	"errors"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
)

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
		PreCommitMsg: r.PreCommit.ID, CommitMsg: r.Commit.ID, Retries: uint64(r.Tries),
		CreatedAt: r.CreatedAt, NextAction: s.pipeline.Why(r).Next, SealProof: r.SealProof,
		DealWeight: big.Zero(), VerifiedDealWeight: big.Zero(), InitialPledge: big.Zero(),
	}
	if r.Update != nil {
		out.Deals = r.Update.DealIDs()
	} else if len(r.Deals) > 0 {
		out.Deals = sector.IDsOf(r.Deals)
	}
	if w := s.pipeline.Why(r); w.Overcome.IsZero() {
		out.LastErr = w.LastErr
	}
	for _, l := range log {
		out.Log = append(out.Log, sealerapi.SectorLog{Kind: l.Kind, Timestamp: uint64(l.At.Unix()), Message: l.Text})
	}
	if !onChain {
		return out, nil
	}
	st, err := s.pipeline.Standings(ctx)
	if err != nil {
		return out, err
	}
	infos, err := s.infos(ctx, []sector.Record{r}, st)
	if err != nil || infos[n] == nil {
		return out, err
	}
	info := infos[n]
	out.Activation, out.Expiration, out.InitialPledge = info.Activation, info.Expiration, info.InitialPledge
	out.DealWeight, out.VerifiedDealWeight, out.Active = info.DealWeight, info.VerifiedDealWeight, st.BySector[n].Active
	if exp, err := s.node.StateSectorExpiration(ctx, s.miner, n, types.EmptyTSK); err == nil && exp != nil {
		out.OnTime, out.Early = exp.OnTime, exp.Early
	}
	return out, nil
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
		Limit: w.Limit, LimitEpoch: w.LimitEpoch, Retries: w.Tries, LastErr: w.LastErr, ErrClass: string(w.Class), Overcome: w.Overcome, Options: []sealerapi.SectorOption{},
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
	sealed, err := s.sealedOnChain(ctx)
	if err != nil {
		log.Warnf("sectors are checked against this sealer's records, the chain's cannot be read: %v", err)
	}
	for _, r := range s.pipeline.List() {
		if len(numbers) > 0 && !want[r.Number] || len(numbers) == 0 && !r.Proven() {
			continue
		}
		delete(want, r.Number)
		if r.CommR == nil {
			bad[r.Number] = "it is not sealed"
			continue
		}
		commR := *r.CommR
		if c, ok := sealed[r.Number]; ok {
			commR = c
		}
		list = append(list, proof.SectorInfo{SealProof: r.SealProof, SectorNumber: r.Number, SealedCID: commR})
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

// sealedOnChain are the commitments that the chain has for the sectors that take data in, or took some: of those a record
// may be behind or ahead.
func (s *Service) sealedOnChain(ctx context.Context) (map[abi.SectorNumber]cid.Cid, error) {
	var list []sector.Record
	for _, r := range s.pipeline.List() {
		if r.Update != nil && r.Proven() {
			list = append(list, r)
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	st, err := s.pipeline.Standings(ctx)
	if err != nil {
		return nil, err
	}
	infos, err := s.infos(ctx, list, st)
	if err != nil {
		return nil, err
	}
	out := map[abi.SectorNumber]cid.Cid{}
	for n, i := range infos {
		out[n] = i.SealedCID
	}
	return out, nil
}

// findings makes what a look at sectors' files gave show in their states, before the chain finds it out.
func (s *Service) findings(ctx context.Context, looked []proof.SectorInfo, bad map[abi.SectorNumber]string, deep bool) {
	for _, x := range looked {
		r, err := s.pipeline.Get(x.SectorNumber)
		if err != nil {
			continue // the chain has it, this sealer does not know it
		}
		why, isBad := bad[x.SectorNumber]
		var ev sector.Event = sector.FoundGood{Deep: deep}
		if isBad {
			ev = sector.FoundBad{Err: why, Deep: deep}
		}
		if isBad && r.State == sector.Proving || !isBad && r.State == sector.Faulty {
			if err := s.pipeline.Apply(ctx, x.SectorNumber, ev, nil); err != nil && !errors.Is(err, sector.ErrIgnored) && ctx.Err() == nil {
				log.Errorf("sector %d: %v", x.SectorNumber, err)
			}
		}
	}
}

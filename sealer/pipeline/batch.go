package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/dline"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"

	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/heads"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// Aggregator makes one proof of many sectors' proofs.
type Aggregator interface {
	AggregateSeals(ctx context.Context, info proof.AggregateSealVerifyProofAndInfos, proofs [][]byte) ([]byte, error)
}

// Pools lists the kinds of messages that sectors wait to share.
func Pools() []sector.Kind {
	return []sector.Kind{sector.KindPreCommit, sector.KindCommit, sector.KindTerminate}
}

// Waiting lists the sectors that wait to share a message, by kind.
func (p *Pipeline) Waiting() map[sector.Kind][]sector.Waiting {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[sector.Kind][]sector.Waiting{}
	for _, e := range p.sectors {
		if kind, w := e.rec.Pool(p.cfg.Policy); kind != "" {
			out[kind] = append(out[kind], w)
		}
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b sector.Waiting) int { return int(int64(a.Number) - int64(b.Number)) })
	}
	return out
}

// Flush sends what waits of a kind now, however few they are. Terminations whose
// deadlines are near their windows go as soon as the chain lets them.
func (p *Pipeline) Flush(kind sector.Kind) {
	waiting := p.Waiting()[kind]
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range waiting {
		p.flush[w.Number] = true
	}
	p.decided = heads.Head{}
	p.Poke()
}

// hurried tells whether the operator wants one of the waiting sectors sent.
func (p *Pipeline) hurried(waiting []sector.Waiting) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(waiting, func(w sector.Waiting) bool { return p.flush[w.Number] })
}

// decide asks the batch rules which sectors go now, and sends them.
func (p *Pipeline) decide(ctx context.Context) error {
	head := p.parts.Heads.Latest()
	var errs []error
	pools := p.Waiting()
	for _, kind := range Pools() {
		waiting := pools[kind]
		if kind == sector.KindTerminate && len(waiting) > 0 {
			var err error
			if waiting, err = p.mutable(ctx, waiting); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		for _, d := range p.cfg.Batch[kind].Plan(p.now(), head.BaseFee, waiting, p.hurried(waiting)) {
			if d.Alone && kind != sector.KindTerminate {
				p.alone(ctx, d.Numbers, "")
				continue
			}
			errs = append(errs, p.together(ctx, kind, d))
		}
	}
	return errors.Join(errs...)
}

// alone lets sectors go on with messages of their own; why, if not empty, is
// what is wrong with them.
func (p *Pipeline) alone(ctx context.Context, numbers []abi.SectorNumber, why string) {
	for _, n := range numbers {
		if err := p.Apply(ctx, n, sector.Alone{Why: why}, nil); err != nil && !errors.Is(err, sector.ErrIgnored) {
			log.Errorf("sector %d: %v", n, err)
		}
	}
}

// together makes one message for several sectors. Those that a look at the
// chain finds elsewhere move on by themselves.
func (p *Pipeline) together(ctx context.Context, kind sector.Kind, d sector.Decision) error {
	var list []sector.Record
	for _, n := range d.Numbers {
		if r, err := p.Get(n); err == nil {
			if k, _ := r.Pool(p.cfg.Policy); k == kind {
				list = append(list, r)
			}
		}
	}
	make := map[sector.Kind]func(context.Context, []sector.Record) (*db.OutMessage, []sector.Record, error){
		sector.KindPreCommit: p.preCommits, sector.KindCommit: p.aggregate, sector.KindTerminate: p.terminations,
	}[kind]
	m, members, err := make(ctx, list)
	if err != nil || m == nil {
		return err
	}
	m.ID, m.Kind, m.Why = sector.BatchID(p.cfg.ActorID, kind, members), kind, d.Why
	return p.enlist(ctx, *m, members)
}

// move applies a fact about a sector that keeps it from going with the others.
func (p *Pipeline) move(ctx context.Context, n abi.SectorNumber, ev sector.Event) error {
	if err := p.Apply(ctx, n, ev, nil); err != nil && !errors.Is(err, sector.ErrIgnored) {
		return err
	}
	return nil
}

// feeMargin is what the network's fee for shared messages may grow by, in
// quarters, until the message lands.
const feeMargin = 5

// preCommits makes a PreCommitSectorBatch message.
func (p *Pipeline) preCommits(ctx context.Context, list []sector.Record) (*db.OutMessage, []sector.Record, error) {
	head := p.parts.Heads.Latest()
	var (
		params  miner.PreCommitSectorBatchParams
		members []sector.Record
		m       = db.OutMessage{Method: builtin.MethodsMiner.PreCommitSectorBatch, Value: big.Zero()}
		single  []messages.Request
	)
	for _, r := range list {
		s, deposit, ev, err := p.preCommitParams(ctx, r, head)
		if err != nil {
			return nil, nil, err
		}
		if ev != nil {
			if err := p.move(ctx, r.Number, ev); err != nil {
				return nil, nil, err
			}
			continue
		}
		one, err := Encode(s)
		if err != nil {
			return nil, nil, err
		}
		single = append(single, messages.Request{Kind: sector.KindPreCommit, Method: builtin.MethodsMiner.PreCommitSector, Value: deposit, Params: one})
		params.Sectors = append(params.Sectors, *s)
		members = append(members, r)
		m.Value = big.Add(m.Value, deposit)
		if limit := r.Ticket.Epoch + p.cfg.Policy.MaxTicketAge; m.Expire == 0 || limit < m.Expire {
			m.Expire = limit
		}
	}
	if len(members) < 2 {
		p.alone(ctx, numbersOf(members), "")
		return nil, nil, nil
	}
	fee := miner.AggregatePreCommitNetworkFee(len(members), head.BaseFee)
	m.Value = big.Add(m.Value, big.Div(big.Mul(fee, big.NewInt(feeMargin)), big.NewInt(4)))
	var err error
	if m.Params, err = Encode(&params); err != nil {
		return nil, nil, err
	}
	err = p.parts.Messages.Try(ctx, messages.Request{Kind: sector.KindPreCommit, Method: m.Method, Value: m.Value, Params: m.Params})
	if refused := (*messages.Refusal)(nil); errors.As(err, &refused) {
		return nil, nil, p.singleOut(ctx, members, single, refused)
	}
	return &m, members, err
}

// singleOut finds the sectors that make a shared message fail and sends them
// alone; the others are decided anew. If none can be blamed all go alone.
func (p *Pipeline) singleOut(ctx context.Context, members []sector.Record, single []messages.Request, whole *messages.Refusal) error {
	found := false
	for i, r := range members {
		err := p.parts.Messages.Try(ctx, single[i])
		refused := (*messages.Refusal)(nil)
		if errors.As(err, &refused) {
			found = true
			p.alone(ctx, []abi.SectorNumber{r.Number}, "the chain would not take it in a batch: "+refused.Error())
		} else if err != nil {
			return err
		}
	}
	if !found {
		p.alone(ctx, numbersOf(members), "the chain would not take the batch: "+whole.Error())
	}
	return nil
}

func numbersOf(list []sector.Record) []abi.SectorNumber {
	var out []abi.SectorNumber
	for _, r := range list {
		out = append(out, r.Number)
	}
	return out
}

// aggregate makes a ProveCommitAggregate message.
func (p *Pipeline) aggregate(ctx context.Context, list []sector.Record) (*db.OutMessage, []sector.Record, error) {
	head := p.parts.Heads.Latest()
	var (
		info    = proof.AggregateSealVerifyProofAndInfos{Miner: p.cfg.ActorID, SealProof: p.cfg.SealProof, AggregateProof: abi.RegisteredAggregationProof_SnarkPackV1}
		members []sector.Record
		proofs  [][]byte
		params  = miner.ProveCommitAggregateParams{SectorNumbers: bitfield.New()}
		m       = db.OutMessage{Method: builtin.MethodsMiner.ProveCommitAggregate, Value: big.Zero()}
	)
	for _, r := range list { // by ascending number, as the chain has them
		value, ev, err := p.readyToProve(ctx, r, head)
		if err != nil {
			return nil, nil, err
		}
		if ev != nil {
			if err := p.move(ctx, r.Number, ev); err != nil {
				return nil, nil, err
			}
			continue
		}
		members, proofs = append(members, r), append(proofs, r.Proof)
		info.Infos = append(info.Infos, proof.AggregateSealVerifyInfo{
			Number: r.Number, Randomness: r.Ticket.Value, InteractiveRandomness: r.Seed.Value, SealedCID: *r.CommR, UnsealedCID: *r.CommD,
		})
		params.SectorNumbers.Set(uint64(r.Number))
		m.Value = big.Add(m.Value, value)
		if limit := r.PreCommitEpoch + p.cfg.Policy.MaxProveCommitDuration; m.Expire == 0 || limit < m.Expire {
			m.Expire = limit
		}
	}
	if len(members) < max(miner.MinAggregatedSectors, p.cfg.Batch[sector.KindCommit].Min) {
		p.alone(ctx, numbersOf(members), "")
		return nil, nil, nil
	}
	var err error
	if params.AggregateProof, err = p.parts.Aggregator.AggregateSeals(ctx, info, proofs); err != nil {
		if ctx.Err() != nil {
			return nil, nil, err
		}
		p.alone(ctx, numbersOf(members), "the proofs could not be aggregated: "+err.Error())
		return nil, nil, nil
	}
	fee := miner.AggregateProveCommitNetworkFee(len(members), head.BaseFee)
	m.Value = big.Add(m.Value, big.Div(big.Mul(fee, big.NewInt(feeMargin)), big.NewInt(4)))
	m.Params, err = Encode(&params)
	return &m, members, err
}

// mutable keeps the sectors whose deadlines the chain lets change now, and for
// as long as a message may take to land.
func (p *Pipeline) mutable(ctx context.Context, waiting []sector.Waiting) ([]sector.Waiting, error) {
	st, err := p.Standings(ctx)
	if err != nil {
		return nil, err
	}
	d, err := p.parts.Chain.StateMinerProvingDeadline(ctx, p.cfg.Miner, st.Head.Key)
	if err != nil {
		return nil, fmt.Errorf("read the proving deadline: %w", err)
	}
	var out []sector.Waiting
	for _, w := range waiting {
		s := st.BySector[w.Number]
		if !s.Live || Mutable(d, s.Deadline, st.Head.Epoch) {
			out = append(out, w)
		}
	}
	return out, nil
}

// Mutable tells whether a message sent now may change a deadline: the chain
// allows it until one window before the deadline opens.
func Mutable(current *dline.Info, deadline uint64, at abi.ChainEpoch) bool {
	d := dline.NewInfo(current.PeriodStart, deadline, at, current.WPoStPeriodDeadlines, current.WPoStProvingPeriod,
		current.WPoStChallengeWindow, current.WPoStChallengeLookback, current.FaultDeclarationCutoff).NextNotElapsed()
	return at+min(10, d.WPoStChallengeWindow/4) < d.Open-d.WPoStChallengeWindow
}

// terminations makes a TerminateSectors message.
func (p *Pipeline) terminations(ctx context.Context, list []sector.Record) (*db.OutMessage, []sector.Record, error) {
	st, err := p.Standings(ctx)
	if err != nil {
		return nil, nil, err
	}
	var members []sector.Record
	places := map[Place]bitfield.BitField{}
	for _, r := range list {
		s := st.BySector[r.Number]
		if !s.Live {
			ev, err := p.standing(ctx, st, r)
			if err == nil && ev != nil {
				err = p.move(ctx, r.Number, ev)
			}
			if err != nil {
				return nil, nil, err
			}
			continue
		}
		at := Place{s.Deadline, s.Partition}
		if _, ok := places[at]; !ok {
			places[at] = bitfield.New()
		}
		b := places[at]
		b.Set(uint64(r.Number))
		members = append(members, r)
	}
	if len(members) == 0 {
		return nil, nil, nil
	}
	var params miner.TerminateSectorsParams
	for _, at := range Sorted(places) {
		params.Terminations = append(params.Terminations, miner.TerminationDeclaration{Deadline: at.Deadline, Partition: at.Partition, Sectors: places[at]})
	}
	m := db.OutMessage{Method: builtin.MethodsMiner.TerminateSectors, Value: big.Zero()}
	m.Params, err = Encode(&params)
	return &m, members, err
}

// Place is a partition of a deadline.
type Place struct{ Deadline, Partition uint64 }

// Sorted lists places in the order in which the chain walks them.
func Sorted[V any](places map[Place]V) []Place {
	var out []Place
	for at := range places {
		out = append(out, at)
	}
	slices.SortFunc(out, func(a, b Place) int {
		if a.Deadline != b.Deadline {
			return int(int64(a.Deadline) - int64(b.Deadline))
		}
		return int(int64(a.Partition) - int64(b.Partition))
	})
	return out
}

package service

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/google/uuid"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/pipeline"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
)

// PledgeSector starts a sector without deals.
func (s *Service) PledgeSector(ctx context.Context) (abi.SectorID, error) {
	ids, err := s.PledgeSectors(ctx, 1)
	if err != nil {
		return abi.SectorID{}, err
	}
	return ids[0], nil
}

// PledgeSectors starts sectors without deals: all of them, or none when there is no room for so many.
func (s *Service) PledgeSectors(ctx context.Context, count int) ([]abi.SectorID, error) {
	if count < 1 || count > maxPledge {
		return nil, api.Errorf(api.CodeInvalid, "cannot pledge %d sectors at once: want 1 to %d", count, maxPledge).WithHint("for more use 'venus-sealer sectors pledge --target'")
	}
	if err := s.canSeal(); err != nil {
		return nil, err
	}
	ids, err := s.pipeline.PledgeMany(ctx, count)
	if errors.Is(err, pipeline.ErrTooMany) {
		return nil, api.Errorf(api.CodeLimit, "%w", err).WithHint("wait, or raise Sealing.MaxSealingSectors")
	}
	return ids, err
}

// maxPledge bounds one call.
const maxPledge = 1000

func (s *Service) canSeal() error {
	for _, p := range s.store.Paths() {
		if p.CanSeal {
			return nil
		}
	}
	return api.Errorf(api.CodePrecondition, "no storage path for sealing is attached").
		WithHint("attach one with 'venus-sealer storage attach --init --store --seal PATH'")
}

// SectorsTarget returns how many sectors the sealer works towards.
func (s *Service) SectorsTarget(context.Context) (sealerapi.SectorTarget, error) {
	t := s.pipeline.Target()
	return sealerapi.SectorTarget{Total: t.Total, AtOnce: t.AtOnce, Have: s.pipeline.Living(), Sealing: s.pipeline.Sealing()}, nil
}

// SectorsSetTarget makes the sealer pledge by itself until it has so many sectors; 0 ends that.
func (s *Service) SectorsSetTarget(ctx context.Context, total, atOnce int) error {
	if total < 0 || atOnce < 0 || (total > 0 && atOnce == 0) {
		return api.Errorf(api.CodeInvalid, "a target of %d sectors, %d at once", total, atOnce).WithHint("say how many may be under way at once with --at-once")
	}
	if total > 0 {
		if err := s.canSeal(); err != nil {
			return err
		}
	}
	return s.pipeline.SetTarget(ctx, pipeline.Target{Total: total, AtOnce: atOnce})
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
	if r.State == sector.DealsExpired { // the chain may have it after all
		if err := s.pipeline.Recheck(ctx, n); err != nil {
			return err
		}
		if r, err = s.pipeline.Get(n); err != nil {
			return missing(err)
		}
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
	if r, err := s.pipeline.Get(n); err == nil && (r.Update != nil || len(r.Deals) > 0) {
		return api.Errorf(api.CodePrecondition, "sector %d has data of deals: it cannot be made anew from its ticket alone", n).
			WithHint("bring its files back ('venus-sealer storage find %d'), or end it on the chain, at a fee: venus-sealer sectors terminate %d", n, n)
	}
	return s.wish(ctx, n, sector.Redo{})
}

// SectorTerminate ends a sector on the chain, and removes it once that is final.
func (s *Service) SectorTerminate(ctx context.Context, n abi.SectorNumber) error {
	return s.SectorsTerminate(ctx, []abi.SectorNumber{n})
}

// SectorsTerminate ends sectors on the chain: all of them, or none if one cannot be ended.
func (s *Service) SectorsTerminate(ctx context.Context, numbers []abi.SectorNumber) error {
	for _, n := range numbers {
		r, err := s.pipeline.Get(n)
		if err != nil {
			return missing(err)
		}
		if !r.Proven() || r.State == sector.FinalizeSector || r.State == sector.FinalizeFailed || r.State == sector.Terminating {
			return api.Errorf(api.CodePrecondition, "sector %d is in state %s: only a proven sector can be ended", n, r.State).WithHint("see 'venus-sealer sectors why %d'", n)
		}
	}
	for _, n := range numbers {
		if err := s.wish(ctx, n, sector.Terminate{}); err != nil {
			return err
		}
	}
	return nil
}

// placed finds where the chain keeps live sectors. All must be live.
func (s *Service) placed(ctx context.Context, numbers []abi.SectorNumber) (map[pipeline.Place][]abi.SectorNumber, *pipeline.Standings, error) {
	st, err := s.pipeline.Standings(ctx)
	if err != nil {
		return nil, nil, err
	}
	out := map[pipeline.Place][]abi.SectorNumber{}
	for _, n := range numbers {
		x := st.BySector[n]
		if !x.Live {
			return nil, nil, api.Errorf(api.CodePrecondition, "the chain has no live sector %d", n).WithHint("see 'venus-sealer sectors list'")
		}
		at := pipeline.Place{Deadline: x.Deadline, Partition: x.Partition}
		out[at] = append(out[at], n)
	}
	return out, st, nil
}

// maxExtend bounds the sectors of one extension message: each costs gas.
const maxExtend = 400

// SectorsExtend lets sectors live until an epoch. It returns the ids of the messages, one for each few hundred sectors.
func (s *Service) SectorsExtend(ctx context.Context, numbers []abi.SectorNumber, until abi.ChainEpoch) ([]string, error) {
	if len(numbers) == 0 {
		return nil, api.Errorf(api.CodeInvalid, "no sector is named")
	}
	numbers = slices.Clone(numbers)
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	ids := []string{}
	for part := range slices.Chunk(numbers, maxExtend) {
		places, st, err := s.placed(ctx, part)
		if err != nil {
			return ids, err
		}
		if until <= st.Head.Epoch {
			return ids, api.Errorf(api.CodeInvalid, "epoch %d is over: the head is at %d", until, st.Head.Epoch)
		}
		var params miner.ExtendSectorExpirationParams
		for _, at := range pipeline.Sorted(places) {
			params.Extensions = append(params.Extensions, miner.ExpirationExtension{Deadline: at.Deadline, Partition: at.Partition, Sectors: fieldOf(places[at]), NewExpiration: until})
		}
		id, err := s.send(ctx, sector.KindExtend, builtin.MethodsMiner.ExtendSectorExpiration, &params, part, fmt.Sprintf("to live until epoch %d", until))
		if err != nil {
			return ids, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// SectorsCompact takes ended sectors out of partitions of a deadline, and returns the id of the message.
func (s *Service) SectorsCompact(ctx context.Context, deadline uint64, partitions []uint64) (string, error) {
	if len(partitions) == 0 {
		return "", api.Errorf(api.CodeInvalid, "no partition is named").WithHint("see 'venus-sealer proving deadlines'")
	}
	return s.send(ctx, sector.KindCompact, builtin.MethodsMiner.CompactPartitions,
		&miner.CompactPartitionsParams{Deadline: deadline, Partitions: bitfield.NewFromSet(partitions)}, nil, fmt.Sprintf("to compact partitions %v of deadline %d", partitions, deadline))
}

func fieldOf(numbers []abi.SectorNumber) bitfield.BitField {
	b := bitfield.New()
	for _, n := range numbers {
		b.Set(uint64(n))
	}
	return b
}

// send puts a message of the operator's into the outbox, unless the chain says
// beforehand that it would fail.
func (s *Service) send(ctx context.Context, kind sector.Kind, method abi.MethodNum, params cbg.CBORMarshaler, about []abi.SectorNumber, why string) (string, error) {
	raw, err := pipeline.Encode(params)
	if err != nil {
		return "", err
	}
	id := sector.MessageID(s.actorID, uuid.NewString(), kind, 1)
	err = s.pipeline.Send(ctx, db.OutMessage{ID: id, Kind: kind, Method: method, Value: big.Zero(), Params: raw, Members: about, Why: why})
	var refused *messages.Refusal
	if errors.As(err, &refused) {
		return "", api.Errorf(api.CodePrecondition, "the chain would refuse the %s message: %w; nothing was sent", kind, refused)
	}
	return id, err
}

// SectorsBatching shows which sectors wait to share a message, and by what rule.
func (s *Service) SectorsBatching(context.Context) ([]sealerapi.Batching, error) {
	waiting := s.pipeline.Waiting()
	out := []sealerapi.Batching{}
	for _, kind := range pipeline.Pools() {
		rule, on := s.rules[kind]
		b := sealerapi.Batching{
			Kind: string(kind), On: on, Min: rule.Min, Max: rule.Max, MaxWait: rule.MaxWait, Slack: rule.Slack,
			Above: orZero(rule.Above), BaseFee: orZero(s.heads.Latest().BaseFee), Waiting: []sealerapi.BatchMember{},
		}
		for _, w := range waiting[kind] {
			b.Waiting = append(b.Waiting, sealerapi.BatchMember{Number: w.Number, Since: w.Since, Limit: w.Limit})
		}
		out = append(out, b)
	}
	return out, nil
}

// SectorsMessages returns the last messages that concern several sectors, newest first.
func (s *Service) SectorsMessages(ctx context.Context, limit int) ([]sealerapi.SharedMessage, error) {
	if limit <= 0 || limit > 1000 {
		limit = 20
	}
	list, err := s.db.Outbox(ctx, "", limit)
	if err != nil {
		return nil, err
	}
	out := []sealerapi.SharedMessage{}
	for _, m := range list {
		out = append(out, sealerapi.SharedMessage{
			ID: m.ID, Kind: string(m.Kind), State: string(m.State), Sectors: append([]abi.SectorNumber{}, m.Members...), Value: orZero(m.Value), Why: m.Why,
			Created: m.Created, Ended: m.Ended, Exit: m.Exit, Error: m.Err,
		})
	}
	return out, nil
}

// SectorsFlush sends what waits of a kind, however few they are.
func (s *Service) SectorsFlush(_ context.Context, kind string) error {
	if !slices.Contains(pipeline.Pools(), sector.Kind(kind)) {
		return api.Errorf(api.CodeInvalid, "sectors share no message of kind %q", kind).WithHint("kinds: %v", pipeline.Pools())
	}
	s.pipeline.Flush(sector.Kind(kind))
	return nil
}

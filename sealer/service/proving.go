package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/sealer/wdpost"
)

// inPeriod refuses numbers that no deadline has.
func inPeriod(index uint64) error {
	if index >= params.PostDeadlines {
		return api.Errorf(api.CodeInvalid, "there is no deadline %d", index).WithHint("deadlines are numbered from 0 to %d: see 'venus-sealer proving deadlines'", params.PostDeadlines-1)
	}
	return nil
}

// ProvingDeadline returns a deadline's partitions with their sectors.
func (s *Service) ProvingDeadline(ctx context.Context, index uint64) (*sealerapi.DeadlineDetail, error) {
	if err := inPeriod(index); err != nil {
		return nil, err
	}
	list, err := s.ProvingDeadlines(ctx)
	if err != nil {
		return nil, err
	}
	d := list[index]
	head := s.heads.Latest()
	out := &sealerapi.DeadlineDetail{Index: index, Open: d.Open, Close: d.Close, Current: d.Current, Proven: d.ProvenPartitions, Partitions: []sealerapi.PartitionDetail{}, Epoch: head.Epoch, BlockDelay: s.network.BlockDelay}
	ds, err := s.node.StateMinerDeadlines(ctx, s.miner, head.Key)
	if err != nil {
		return nil, fmt.Errorf("read deadlines: %w", err)
	}
	parts, err := s.node.StateMinerPartitions(ctx, s.miner, index, head.Key)
	if err != nil {
		return nil, fmt.Errorf("read partitions of deadline %d: %w", index, err)
	}
	for i, p := range parts {
		x := sealerapi.PartitionDetail{Index: uint64(i)}
		if x.Proven, err = ds[index].PostSubmissions.IsSet(uint64(i)); err != nil {
			return nil, fmt.Errorf("proven partitions of deadline %d: %w", index, err)
		}
		for from, to := range map[*bitfield.BitField]*[]abi.SectorNumber{&p.LiveSectors: &x.Live, &p.FaultySectors: &x.Faulty, &p.RecoveringSectors: &x.Recovering} {
			if *to, err = numbersOf(*from); err != nil {
				return nil, fmt.Errorf("sectors of deadline %d, partition %d: %w", index, i, err)
			}
		}
		out.Partitions = append(out.Partitions, x)
	}
	return out, nil
}

func numbersOf(b bitfield.BitField) ([]abi.SectorNumber, error) {
	out := []abi.SectorNumber{}
	err := b.ForEach(func(n uint64) error {
		out = append(out, abi.SectorNumber(n))
		return nil
	})
	return out, err
}

// ProvingRehearse proves a part of a deadline now and sends nothing.
func (s *Service) ProvingRehearse(ctx context.Context, index uint64, message int) (*sealerapi.Rehearsal, error) {
	if err := inPeriod(index); err != nil {
		return nil, err
	}
	r, err := s.wdpost.Rehearse(ctx, index, message)
	if errors.Is(err, wdpost.ErrBusy) {
		return nil, api.Errorf(api.CodePrecondition, "%w", err).WithHint("real proofs go first: try again when 'venus-sealer proving deadlines' shows none that is proving")
	}
	if err != nil {
		return nil, err
	}
	if r.Messages > 0 && (message < 0 || message >= r.Messages) {
		return nil, api.Errorf(api.CodeInvalid, "deadline %d takes %d messages, there is no message %d", index, r.Messages, message)
	}
	if r.Bad == nil {
		r.Bad = map[abi.SectorNumber]string{}
	}
	return &sealerapi.Rehearsal{
		Parts:    partsOut(r.Parts),
		Deadline: index, Message: message, Messages: r.Messages, Partitions: append([]uint64{}, r.Partitions...), Sectors: r.Wanted, Proven: r.Proven, Bad: r.Bad,
		Check: r.Check, Prove: r.Prove, Err: r.Err, Window: time.Duration(s.network.ChallengeWindow+params.PostChallengeLookback) * s.network.BlockDelay,
	}, nil
}

func partsOut(list []wdpost.Part) []sealerapi.ProofPart {
	out := []sealerapi.ProofPart{}
	for _, p := range list {
		out = append(out, sealerapi.ProofPart(p))
	}
	return out
}

// measured is what the last proofs and messages took.
type measured struct {
	perSector time.Duration
	proofs    int
	gas       int64 // of a message
	messages  int
}

// judgedBy is how many of the last proofs and messages a forecast looks at.
const judgedBy = 50

func (s *Service) measured(ctx context.Context) (m measured, err error) {
	var (
		took    time.Duration
		sectors uint64
		gas     int64
	)
	err = s.db.WindowProofs(ctx, judgedBy, func(_ int64, _ int, raw []byte) error {
		var r wdpost.Record
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("decode window proof: %w", err)
		}
		if r.Took > 0 && r.Sectors > 0 {
			took, sectors, m.proofs = took+r.Took, sectors+r.Sectors, m.proofs+1
		}
		if r.Phase != wdpost.Landed || r.Message == "" {
			return nil
		}
		msg, err := s.messager.GetMessageByUid(ctx, r.Message)
		if err == nil && msg != nil && msg.Receipt != nil && msg.Receipt.ExitCode == 0 {
			gas, m.messages = gas+msg.Receipt.GasUsed, m.messages+1
		}
		return nil // a message that the messager forgot says nothing about gas
	})
	if m.proofs > 0 {
		m.perSector = took / time.Duration(sectors)
	}
	if m.messages > 0 {
		m.gas = gas / int64(m.messages)
	}
	return m, err
}

// ProvingForecast judges what the next proving period will take.
func (s *Service) ProvingForecast(ctx context.Context) (*sealerapi.Forecast, error) {
	list, err := s.ProvingDeadlines(ctx)
	if err != nil {
		return nil, err
	}
	m, err := s.measured(ctx)
	if err != nil {
		return nil, err
	}
	head := s.heads.Latest()
	budget := time.Duration(s.network.ChallengeWindow/2+params.PostChallengeLookback) * s.network.BlockDelay
	return forecast(list, m, s.partitionLimit(), s.cfg.Proving.ParallelProofs, budget, orZero(head.BaseFee)), nil
}

// forecast is pure. Proofs of a deadline are made parallel at a time, 0 being all.
func forecast(list []sealerapi.DeadlineInfo, m measured, limit, parallel int, budget time.Duration, baseFee abi.TokenAmount) *sealerapi.Forecast {
	out := &sealerapi.Forecast{Deadlines: []sealerapi.DeadlineForecast{}, Parallel: parallel, Fee: big.Zero(), BaseFee: baseFee, TimeFrom: m.proofs, GasFrom: m.messages}
	for _, d := range list {
		sectors := d.Sectors - min(d.Faults-min(d.Recovering, d.Faults), d.Sectors)
		if sectors == 0 {
			continue
		}
		f := sealerapi.DeadlineForecast{Index: d.Index, Open: d.Open, Sectors: sectors, Partitions: d.Partitions, Messages: max((d.Partitions+limit-1)/limit, 1)}
		atOnce := f.Messages
		if parallel > 0 {
			atOnce = min(parallel, f.Messages)
		}
		rounds := (f.Messages + atOnce - 1) / atOnce
		f.Time = m.perSector * time.Duration(sectors) / time.Duration(f.Messages) * time.Duration(rounds)
		f.Share = f.Time.Seconds() / budget.Seconds()
		f.Gas = m.gas * int64(f.Messages)
		f.Fee = big.Mul(big.NewInt(f.Gas), baseFee)
		out.Deadlines = append(out.Deadlines, f)
		out.Time, out.Gas, out.Fee = out.Time+f.Time, out.Gas+f.Gas, big.Add(out.Fee, f.Fee)
	}
	slices.SortFunc(out.Deadlines, func(a, b sealerapi.DeadlineForecast) int { return int(a.Open - b.Open) })
	return out
}

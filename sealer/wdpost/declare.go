package wdpost

import (
	"context"
	"fmt"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// checkFiles compares a deadline's sector files with what the chain holds of
// them and declares the difference, all partitions together.
func (s *Shell) checkFiles(ctx context.Context, c Check) ([]Event, error) {
	head := s.parts.Heads.Latest()
	parts, err := s.partitions(ctx, c.Index, head.Key)
	if err != nil {
		return nil, err
	}
	var fields []bitfield.BitField
	for _, p := range parts {
		fields = append(fields, p.Live)
	}
	live, err := bitfield.MultiMerge(fields...)
	if err != nil {
		return nil, fmt.Errorf("merge sectors: %w", err)
	}
	j := job{}
	if j.infos, err = s.infosOf(ctx, live, head.Key); err != nil {
		return nil, err
	}
	if len(j.infos) == 0 {
		return []Event{Checked{Open: c.Open}}, nil
	}
	if j.why, err = s.checked(ctx, j.infos); err != nil {
		return nil, err
	}
	bad := bitfield.New()
	for n := range j.why {
		bad.Set(uint64(n))
	}
	faults, recoveries, err := declarations(parts, bad)
	if err != nil {
		return nil, err
	}
	if !s.set.DeclareFaults {
		faults = nil
	}
	ev := Checked{Open: c.Open, Bad: uint64(len(j.why)), Why: j.first()}
	if ev.Faults, ev.Recoveries, err = s.declareAll(ctx, c, faults, recoveries); err != nil {
		return nil, err
	}
	ev.Declared = ev.Faults+ev.Recoveries > 0
	return []Event{ev}, nil
}

// ofPartition is sectors of one partition.
type ofPartition struct {
	partition uint64
	sectors   bitfield.BitField
}

// maxDeclared is the most sectors that the actor takes in a declaration; what is
// beyond it is declared by the next message.
const maxDeclared = miner.AddressedSectorsMax

// declarations are the faults and recoveries of all partitions.
func declarations(parts []Partition, bad bitfield.BitField) (faults, recoveries []ofPartition, err error) {
	var f, r uint64
	for _, p := range parts {
		d, err := declare(p, bad)
		if err != nil {
			return nil, nil, err
		}
		if faults, err = within(faults, p.Index, d.Faults, &f); err != nil {
			return nil, nil, err
		}
		if recoveries, err = within(recoveries, p.Index, d.Recoveries, &r); err != nil {
			return nil, nil, err
		}
	}
	return faults, recoveries, nil
}

// within adds sectors to a declaration as long as it has room for them.
func within(list []ofPartition, partition uint64, sectors bitfield.BitField, have *uint64) ([]ofPartition, error) {
	n, err := sectors.Count()
	if err != nil {
		return nil, fmt.Errorf("count declared sectors of partition %d: %w", partition, err)
	}
	if n == 0 || *have+n > maxDeclared || len(list) >= miner.DeclarationsMax {
		return list, nil
	}
	*have += n
	return append(list, ofPartition{partition, sectors}), nil
}

// declareAll sends recoveries and faults as messages of their own, so that
// trouble with one does not keep the other back. It counts what was declared.
func (s *Shell) declareAll(ctx context.Context, c Check, faults, recoveries []ofPartition) (f, r uint64, err error) {
	var (
		down miner.DeclareFaultsParams
		up   miner.DeclareFaultsRecoveredParams
	)
	for _, d := range faults {
		down.Faults = append(down.Faults, miner.FaultDeclaration{Deadline: c.Index, Partition: d.partition, Sectors: d.sectors})
	}
	for _, d := range recoveries {
		up.Recoveries = append(up.Recoveries, miner.RecoveryDeclaration{Deadline: c.Index, Partition: d.partition, Sectors: d.sectors})
	}
	if r, err = s.declareOne(ctx, c, sector.KindRecover, builtin.MethodsMiner.DeclareFaultsRecovered, recoveries, &up); err != nil {
		return 0, 0, err
	}
	f, err = s.declareOne(ctx, c, sector.KindFault, builtin.MethodsMiner.DeclareFaults, faults, &down)
	return f, r, err
}

func (s *Shell) declareOne(ctx context.Context, c Check, kind sector.Kind, method abi.MethodNum, list []ofPartition, params cbg.CBORMarshaler) (n uint64, err error) {
	for _, d := range list {
		count, err := d.sectors.Count()
		if err != nil {
			return 0, fmt.Errorf("count declared sectors: %w", err)
		}
		n += count
	}
	if n == 0 {
		return 0, nil
	}
	// The id follows from the stored check: a crash before the outcome is stored sends no second message.
	if err := fault.Point("wdpost/declare"); err != nil {
		return 0, err
	}
	id, err := s.send(ctx, messages.Request{
		ID:   sector.MessageID(s.set.Config.Miner, fmt.Sprintf("open-%d", c.Open), kind, c.Attempt+1),
		Kind: kind, Method: method, Expire: c.Cutoff, Attempt: c.Attempt + 1,
	}, params)
	if err != nil {
		return 0, fmt.Errorf("declare %s of deadline %d: %w", kind, c.Index, err)
	}
	log.Infow("declared", "kind", kind, "deadline", c.Index, "sectors", n, "message", id)
	return n, fault.Point("wdpost/declared")
}

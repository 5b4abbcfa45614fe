package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/sealer/heads"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/task"
)

// Standing is where the chain keeps a sector and what it thinks of it. A sector
// that is not Live has expired or was terminated.
type Standing struct {
	Deadline, Partition              uint64
	Live, Active, Faulty, Recovering bool
}

// Standings is what the chain says of all sectors of the miner at one head.
type Standings struct {
	Head     heads.Head
	BySector map[abi.SectorNumber]Standing
}

// Standings reads what the chain says of all sectors, once per head.
func (p *Pipeline) Standings(ctx context.Context) (*Standings, error) {
	p.standMu.Lock()
	defer p.standMu.Unlock()
	head := p.parts.Heads.Latest()
	if p.stand != nil && p.stand.Head.Key == head.Key && head.Seq != 0 {
		return p.stand, nil
	}
	s := &Standings{Head: head, BySector: map[abi.SectorNumber]Standing{}}
	for d := range uint64(params.PostDeadlines) {
		parts, err := p.parts.Chain.StateMinerPartitions(ctx, p.cfg.Miner, d, head.Key)
		if err != nil {
			return nil, fmt.Errorf("read partitions of deadline %d: %w", d, err)
		}
		for i, part := range parts {
			for _, set := range []struct {
				of   bitfield.BitField
				mark func(*Standing)
			}{
				{part.AllSectors, func(s *Standing) { s.Deadline, s.Partition = d, uint64(i) }},
				{part.LiveSectors, func(s *Standing) { s.Live = true }},
				{part.ActiveSectors, func(s *Standing) { s.Active = true }},
				{part.FaultySectors, func(s *Standing) { s.Faulty = true }},
				{part.RecoveringSectors, func(s *Standing) { s.Recovering = true }},
			} {
				err := set.of.ForEach(func(n uint64) error {
					x := s.BySector[abi.SectorNumber(n)]
					set.mark(&x)
					s.BySector[abi.SectorNumber(n)] = x
					return nil
				})
				if err != nil {
					return nil, fmt.Errorf("read partition %d of deadline %d: %w", i, d, err)
				}
			}
		}
	}
	p.stand = s
	return s, nil
}

// watch compares proven sectors with what the chain says of them, so that
// faults, recoveries, expiries and deep reorgs show in their records.
func (p *Pipeline) watch(ctx context.Context) error {
	list := p.List() // before the chain is asked: a sector that is proven meanwhile is none that the chain forgot
	st, err := p.Standings(ctx)
	if err != nil {
		return err
	}
	for _, r := range list {
		if !r.Proven() && r.State != sector.Expired && r.State != sector.FaultedFinal {
			continue
		}
		ev, err := p.standing(ctx, st, r)
		if err != nil {
			return err
		}
		if ev == nil || as(r, ev) {
			continue
		}
		if err := p.Apply(ctx, r.Number, ev, nil); err != nil && !errors.Is(err, sector.ErrIgnored) {
			return err
		}
	}
	return nil
}

// as tells whether an event says what the record says: of most sectors, at most looks.
func as(r sector.Record, ev sector.Event) bool {
	live, ok := ev.(sector.OnChainLive)
	return ok && (r.State == sector.Proving && !live.Faulty || r.State == sector.FaultReported && live.Faulty)
}

// standing is the event that the chain's word on a proven sector calls for, nil for none.
func (p *Pipeline) standing(ctx context.Context, st *Standings, r sector.Record) (sector.Event, error) {
	s, known := st.BySector[r.Number]
	if s.Live {
		return sector.OnChainLive{Faulty: s.Faulty}, nil
	}
	info, err := p.parts.Chain.StateSectorGetInfo(ctx, p.cfg.Miner, r.Number, st.Head.Key)
	if err != nil && api.Explain(err).Code != api.CodeNotFound {
		return nil, fmt.Errorf("read sector %d on chain: %w", r.Number, err)
	}
	if info != nil && err == nil {
		return sector.OnChainEnded{At: st.Head.Epoch, Early: known && st.Head.Epoch < info.Expiration}, nil
	}
	fact, err := p.facts(ctx, r.Number, st.Head.Key)
	if err != nil {
		return nil, err
	}
	switch x := fact.(type) {
	case sector.OnChainPreCommitted:
		return x, nil // a reorg took the proof out
	case sector.OnChainAbsent:
		if x.Allocated { // compaction forgot a sector that had ended
			return sector.OnChainEnded{At: st.Head.Epoch}, nil
		}
	}
	return nil, nil
}

// checkLife asks whether the chain still has a sector.
func (p *Pipeline) checkLife(ctx context.Context, rec sector.Record) (sector.Event, error) {
	st, err := p.Standings(ctx)
	if err != nil {
		return nil, err
	}
	return p.standing(ctx, st, rec)
}

// Recheck applies what the chain has of a sector to its record.
func (p *Pipeline) Recheck(ctx context.Context, n abi.SectorNumber) error {
	fact, err := p.facts(ctx, n, p.parts.Heads.Latest().Key)
	if err != nil {
		return err
	}
	return p.move(ctx, n, fact)
}

// removeFiles ends all work on a sector, then deletes its files.
func (p *Pipeline) removeFiles(ctx context.Context, rec sector.Record) (sector.Event, error) {
	if ev, err := p.letGo(ctx, rec, "the sector is removed"); ev != nil || err != nil {
		return ev, err
	}
	if err := p.wipe(rec.ID()); err != nil {
		return nil, err
	}
	return sector.FilesRemoved{}, fault.Point("sealer/remove")
}

// letGo ends all work on a sector. An event tells that a worker still has to let go.
func (p *Pipeline) letGo(ctx context.Context, rec sector.Record, why string) (sector.Event, error) {
	for _, e := range p.parts.Queue.Entries() {
		if e.Task.Sector != rec.ID() {
			continue
		}
		if e.State == task.Leased {
			// The worker learns it at its next sign of life; until then it writes.
			if err := p.parts.Queue.Abort(ctx, e.Task.ID, why); err != nil {
				return nil, err
			}
			return sector.Later{Until: p.parts.Clock.Now().UTC().Add(lettingGo), Why: fmt.Sprintf("worker %s lets go of task %s", e.Host, e.Task.Kind)}, nil
		}
		if err := p.parts.Queue.Forget(ctx, e.Task.ID); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// lettingGo is how long a worker may go on with an aborted task: a term of its lease, and some.
const lettingGo = time.Minute

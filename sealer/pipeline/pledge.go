package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// ErrTooMany is returned when as many sectors are sealed as allowed.
var ErrTooMany = errors.New("too many sectors sealing")

// Pledge begins a sector without deals.
func (p *Pipeline) Pledge(ctx context.Context) (abi.SectorID, error) {
	ids, err := p.PledgeMany(ctx, 1)
	if err != nil {
		return abi.SectorID{}, err
	}
	return ids[0], nil
}

// PledgeMany begins sectors without deals. It begins none when there is no room
// for all; after another error some may have begun, which List shows.
func (p *Pipeline) PledgeMany(ctx context.Context, count int) ([]abi.SectorID, error) {
	p.pledging.Lock() // the limit holds for all callers together
	defer p.pledging.Unlock()
	if sealing := p.Sealing(); p.cfg.MaxSealing > 0 && sealing+count > p.cfg.MaxSealing {
		return nil, fmt.Errorf("%w (curSealing: %d, max: %d)", ErrTooMany, sealing, p.cfg.MaxSealing)
	}
	var out []abi.SectorID
	for range count {
		id, err := p.pledge(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, nil
}

func (p *Pipeline) pledge(ctx context.Context) (abi.SectorID, error) {
	return p.begin(ctx, sector.New, "event;sealing.SectorStartCC", "pledged")
}

// begin stores the record of a new sector. Callers hold pledging.
func (p *Pipeline) begin(ctx context.Context, make func(abi.ActorID, abi.SectorNumber, abi.RegisteredSealProof, time.Time) sector.Record, kind, why string) (abi.SectorID, error) {
	n, err := p.takeNumber(ctx)
	if err != nil {
		return abi.SectorID{}, err
	}
	rec := make(p.cfg.ActorID, n, p.cfg.SealProof, p.parts.Clock.Now().UTC())
	p.mu.Lock()
	defer p.mu.Unlock()
	err = p.parts.DB.SaveSector(ctx, db.Change{Record: rec, Log: []db.LogEntry{{At: rec.CreatedAt, Kind: kind, Text: why}}})
	if err != nil {
		return abi.SectorID{}, fmt.Errorf("store sector %d: %w", n, err)
	}
	p.insert(rec)
	p.Poke()
	return rec.ID(), nil
}

// insert takes a record in. Callers hold mu.
func (p *Pipeline) insert(rec sector.Record) {
	if _, ok := p.sectors[rec.Number]; !ok {
		at, _ := slices.BinarySearch(p.numbers, rec.Number)
		p.numbers = slices.Insert(p.numbers, at, rec.Number)
	}
	p.sectors[rec.Number] = &entry{rec: rec}
}

// Sealing counts the sectors under way.
func (p *Pipeline) Sealing() int {
	return p.count(func(r *sector.Record) bool { return r.State.Sealing() && !r.Redo })
}

// Living counts the sectors that are proven or on their way to it.
func (p *Pipeline) Living() int {
	return p.count(func(r *sector.Record) bool {
		return r.State.Sealing() || r.State.Updating() || r.State == sector.Proving || r.State == sector.Faulty || r.State == sector.FaultReported
	})
}

func (p *Pipeline) count(in func(*sector.Record) bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, e := range p.sectors {
		if in(&e.rec) {
			n++
		}
	}
	return n
}

// takeNumber gives out a number that neither this database nor the chain has used.
func (p *Pipeline) takeNumber(ctx context.Context) (abi.SectorNumber, error) {
	for {
		n, err := p.parts.DB.TakeNumber(ctx, 0)
		if err != nil {
			return 0, err
		}
		if err := fault.Point("sealer/number"); err != nil {
			return 0, err
		}
		used, err := p.parts.Chain.StateMinerSectorAllocated(ctx, p.cfg.Miner, n, p.parts.Heads.Latest().Key)
		if err != nil {
			return 0, fmt.Errorf("ask whether sector number %d is free: %w", n, err)
		}
		p.mu.Lock()
		_, ours := p.sectors[n]
		p.mu.Unlock()
		if !used && !ours {
			return n, nil
		}
	}
}

// Target is a number of sectors to work towards: pledged by itself, so many at
// once, until Total are proven or under way. What ends or fails is replaced.
type Target struct{ Total, AtOnce int }

// targetName is the target's name among the database's values.
const targetName = "pledge_target"

// Target returns what the pipeline works towards; the zero Target is none.
func (p *Pipeline) Target() Target {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.target
}

// SetTarget stores a target and begins to work towards it at the next head.
func (p *Pipeline) SetTarget(ctx context.Context, t Target) error {
	if err := p.parts.DB.SaveJSON(ctx, targetName, t); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = t
	return nil
}

// towards pledges what the target lacks. Sectors that wait for the operator count
// as under way: what keeps one from going on would keep its successors, too.
func (p *Pipeline) towards(ctx context.Context) error {
	t := p.Target()
	for t.Total > 0 && p.Living() < t.Total && p.Sealing() < t.AtOnce {
		if _, err := p.Pledge(ctx); err != nil {
			if errors.Is(err, ErrTooMany) {
				return nil
			}
			return err
		}
	}
	return nil
}

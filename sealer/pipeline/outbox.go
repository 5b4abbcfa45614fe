package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// parcel is a message of the outbox with what is done about it now.
type parcel struct {
	msg     db.OutMessage
	running bool
	tries   int
	rest    time.Time // it is not pushed before this moment
	polled  uint64    // the head at which its fate was last asked for
}

// loadOutbox takes up the messages whose fate is open.
func (p *Pipeline) loadOutbox(ctx context.Context) error {
	for _, st := range []db.OutState{db.OutIntended, db.OutPushed} {
		list, err := p.parts.DB.Outbox(ctx, st, 0)
		if err != nil {
			return err
		}
		for _, m := range list {
			p.outbox[m.ID] = &parcel{msg: m}
		}
	}
	return nil
}

// enlist stores a message together with the sectors that share it: from here on
// it is pushed until the messager has it. Sectors that moved on meanwhile make
// it fail; then the batch is decided anew.
func (p *Pipeline) enlist(ctx context.Context, m db.OutMessage, members []sector.Record) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	m.State, m.Created = db.OutIntended, now.Time
	var changes []db.Change
	for _, r := range members {
		m.Members = append(m.Members, r.Number)
		e := p.sectors[r.Number]
		if e == nil || !e.rec.UpdatedAt.Equal(r.UpdatedAt) || e.rec.State != r.State {
			return fmt.Errorf("sector %d moved on while a message for it was made", r.Number)
		}
		ev := sector.Joined{ID: m.ID}
		next, err := sector.Step(p.cfg.Policy, e.rec, now, ev)
		if err != nil {
			return err
		}
		changes = append(changes, db.Change{Record: next, Log: []db.LogEntry{logEntry(now, next, ev)}})
	}
	if err := p.parts.DB.PutOut(ctx, m, changes...); err != nil {
		return err
	}
	if err := fault.Point("sealer/outbox"); err != nil {
		return err
	}
	for _, c := range changes {
		p.sectors[c.Record.Number].rec = c.Record
		delete(p.flush, c.Record.Number)
	}
	p.outbox[m.ID] = &parcel{msg: m}
	log.Infow("message made", "id", m.ID, "kind", m.Kind, "sectors", len(m.Members), "why", m.Why)
	p.Poke()
	return nil
}

// serveOutbox pushes what is to be pushed and follows what is on its way.
func (p *Pipeline) serveOutbox(ctx context.Context, wg *sync.WaitGroup) {
	head, now := p.parts.Heads.Latest(), p.parts.Clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.outbox {
		if x.running || head.Seq == 0 || x.rest.After(now) || (x.msg.State == db.OutPushed && x.polled == head.Seq) {
			continue
		}
		x.running, x.polled = true, head.Seq
		m := x.msg
		wg.Go(func() {
			err := p.forward(ctx, &m)
			p.mu.Lock()
			defer p.mu.Unlock()
			x.running = false
			if err != nil {
				x.tries++
				x.rest = p.parts.Clock.Now().Add(p.cfg.Policy.Backoff(x.tries))
				if ctx.Err() == nil {
					log.Warnf("message %s of kind %s: %v", m.ID, m.Kind, err)
				}
				return
			}
			x.msg, x.tries = m, 0
			if m.State == db.OutLanded || m.State == db.OutDropped {
				delete(p.outbox, m.ID)
			}
		})
	}
}

// forward brings a message one step further, as far as it can go now.
func (p *Pipeline) forward(ctx context.Context, m *db.OutMessage) error {
	if m.State == db.OutPushed {
		return p.follow(ctx, m)
	}
	err := p.push(ctx, m)
	if err == nil {
		return nil
	}
	// The sectors show it: it is their message, too.
	p.tell(ctx, m, sector.Failed{Class: classOf(err), Err: err.Error()}, func(r sector.Record) bool {
		return sector.DueEffect(p.cfg.Policy, r) == sector.AwaitPush{ID: m.ID}
	})
	m.Err = err.Error()
	return errors.Join(err, p.parts.DB.PutOut(ctx, *m))
}

func (p *Pipeline) push(ctx context.Context, m *db.OutMessage) error {
	known, err := p.parts.Messages.Known(ctx, m.ID)
	if err != nil {
		return err
	}
	if known == nil && m.Expire > 0 && p.parts.Heads.Latest().Epoch >= m.Expire {
		return p.conclude(ctx, m, db.OutDropped, "it could not be pushed in time")
	}
	if _, err := p.parts.Messages.Push(ctx, messages.Request{
		ID: m.ID, Kind: m.Kind, Method: m.Method, Value: m.Value, Params: m.Params, Expire: m.Expire, Sectors: len(m.Members),
	}); err != nil {
		return err
	}
	if err := fault.Point("sealer/outbox-pushed"); err != nil {
		return err
	}
	share := m.Value
	if len(m.Members) > 0 {
		share = big.Div(m.Value, big.NewInt(int64(len(m.Members))))
	}
	p.tell(ctx, m, sector.Pushed{ID: m.ID, Value: share}, nil)
	m.State, m.Err = db.OutPushed, ""
	return p.parts.DB.PutOut(ctx, *m)
}

// follow looks whether a message ended. Sectors look for themselves.
func (p *Pipeline) follow(ctx context.Context, m *db.OutMessage) error {
	f, err := p.fate(ctx, m.ID)
	switch {
	case err != nil:
		return err
	case f.Landed:
		m.Exit = int64(f.Exit)
		return p.conclude(ctx, m, db.OutLanded, f.Why)
	case f.Dropped:
		return p.conclude(ctx, m, db.OutDropped, f.Why)
	}
	return nil
}

// conclude stores how a message ended.
func (p *Pipeline) conclude(ctx context.Context, m *db.OutMessage, st db.OutState, why string) error {
	if st == db.OutDropped {
		p.tell(ctx, m, sector.Dropped{ID: m.ID, Err: why}, nil)
	}
	m.State, m.Err, m.Ended = st, why, p.parts.Clock.Now().UTC()
	return p.parts.DB.PutOut(ctx, *m)
}

// tell applies an event to the sectors that share a message, or those of them
// that want it.
func (p *Pipeline) tell(ctx context.Context, m *db.OutMessage, ev sector.Event, wants func(sector.Record) bool) {
	for _, n := range m.Members {
		r, err := p.Get(n)
		if err != nil || (wants != nil && !wants(r)) {
			continue
		}
		if err := p.Apply(ctx, n, ev, nil); err != nil && !errors.Is(err, sector.ErrIgnored) && ctx.Err() == nil {
			log.Errorf("sector %d: %v", n, err)
		}
	}
}

// fate asks for the fate of a message, once per head for one that is shared.
func (p *Pipeline) fate(ctx context.Context, id string) (messages.Fate, error) {
	p.fateMu.Lock()
	defer p.fateMu.Unlock()
	if seq := p.parts.Heads.Latest().Seq; p.fateSeq != seq {
		p.fates, p.fateSeq = map[string]messages.Fate{}, seq
	}
	if f, ok := p.fates[id]; ok {
		return f, nil
	}
	f, err := p.parts.Messages.Fate(ctx, id)
	if err == nil {
		p.fates[id] = f
	}
	return f, err
}

// Send puts a message of the operator's into the outbox, after a trial of it
// on the head's state.
func (p *Pipeline) Send(ctx context.Context, m db.OutMessage) error {
	if err := p.parts.Messages.Try(ctx, messages.Request{Kind: m.Kind, Method: m.Method, Value: m.Value, Params: m.Params}); err != nil {
		return err
	}
	m.State, m.Created = db.OutIntended, p.now().Time
	if err := p.parts.DB.PutOut(ctx, m); err != nil {
		return err
	}
	if err := fault.Point("sealer/outbox"); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outbox[m.ID] = &parcel{msg: m}
	p.Poke()
	return nil
}

func (p *Pipeline) now() sector.Now {
	return sector.Now{Time: p.parts.Clock.Now().UTC(), Epoch: p.parts.Heads.Latest().Epoch}
}

func logEntry(now sector.Now, next sector.Record, ev sector.Event) db.LogEntry {
	return db.LogEntry{At: now.Time, Kind: "event;sealing." + string(next.State), Text: ev.String()}
}

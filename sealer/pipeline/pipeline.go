// Package pipeline is the shell of the sector machine: it stores each transition,
// carries out the side effect that the stored record calls for, and feeds the
// outcome back.
//
// Start at Pipeline.Run and Pipeline.Apply; effects.go carries out effects,
// chain.go asks the chain, tasks.go talks to the task queue.
//
// Invariants: a record is stored before its effect begins (failpoint
// sealer/transition); one effect per sector runs at a time; whatever fails
// becomes an event of the machine, so that its back-off and its classes decide;
// a sector whose record cannot be stored stands still and is tried again.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/heads"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/sealer/task"
)

var log = logging.Logger("sealer/pipeline")

// Config are a miner's sealing settings.
type Config struct {
	Miner      address.Address // ID address
	ActorID    abi.ActorID
	SealProof  abi.RegisteredSealProof
	SectorSize abi.SectorSize
	Policy     sector.Policy
	// TicketLookback is how far behind the head a ticket is drawn.
	TicketLookback abi.ChainEpoch
	// Lifetime is the life of a new sector from its pre-commit on.
	Lifetime abi.ChainEpoch
	// MaxSealing limits the sectors under way, 0 = no limit.
	MaxSealing int
	// WatchEvery is how many epochs lie between two comparisons of proven sectors with the chain.
	WatchEvery abi.ChainEpoch
	// Batch says when sectors share a message, by kind.
	Batch map[sector.Kind]sector.BatchRule
	// Deals says which deals go into which sectors.
	Deals sector.DealRule
	// MaxWaitDeals is how many new sectors are begun for deals that no offered one has room for; 0 begins none.
	MaxWaitDeals int
}

// Parts are what a pipeline works with.
type Parts struct {
	DB       *db.DB
	Queue    *task.Queue
	Store    *store.Store
	Messages *messages.Sender
	Chain    Chain
	Verifier Verifier
	// Loaded, if set, is told how many of all sectors are read.
	Loaded func(done, total int)
	// Replicas looks into what PC2 made; nil takes every worker at its word.
	Replicas Replicas
	// Deals and Pieces may be nil together: then sectors take no data in.
	Deals  Deals
	Pieces Pieces
	// Aggregator may be nil; then Policy.AggregateCommits must be false.
	Aggregator Aggregator
	Heads      *heads.Follower
	Clock      clock.Clock
}

// Pipeline runs all sectors of a miner.
type Pipeline struct {
	cfg   Config
	parts Parts
	head  <-chan struct{}
	poke  chan struct{} // holds a signal when something may be due
	slots chan struct{} // bounds effects that run at once

	standMu sync.Mutex // guards stand
	stand   *Standings

	fateMu  sync.Mutex // guards fates, of the head fateSeq
	fates   map[string]messages.Fate
	fateSeq uint64

	pledging sync.Mutex // held while sectors are begun

	mu      sync.Mutex // guards what follows
	sectors map[abi.SectorNumber]*entry
	numbers []abi.SectorNumber // of sectors, in order
	target  Target
	taking  map[string]bool // ended tasks whose outcome is being taken
	seen    heads.Head      // the head at which overdue sectors were looked for
	looked  heads.Head      // the head at which proven sectors were compared with the chain
	looking bool            // that comparison is under way
	outbox  map[string]*parcel
	flush   map[abi.SectorNumber]bool // the operator wants these sent now
	decided heads.Head                // the head at which batches were decided
	decides bool                      // that decision is under way
}

// entry is a sector with what its shell does now.
type entry struct {
	rec     sector.Record
	running string    // the effect under way, "" when none
	polled  uint64    // the head at which a waiting effect was last tried
	ensured string    // the task that was handed to the queue
	rest    time.Time // no effect is begun before this moment
}

// maxEffects bounds the effects that run at once.
const maxEffects = 16

// storePause is the pause after a record could not be stored.
const storePause = time.Second

// New loads the sectors. Nothing runs before Run.
func New(ctx context.Context, cfg Config, parts Parts) (*Pipeline, error) {
	p := &Pipeline{
		cfg: cfg, parts: parts, head: parts.Heads.Listen(), poke: make(chan struct{}, 1), slots: make(chan struct{}, maxEffects),
		sectors: map[abi.SectorNumber]*entry{}, taking: map[string]bool{},
		outbox: map[string]*parcel{}, flush: map[abi.SectorNumber]bool{},
	}
	recs, err := parts.DB.Load(ctx, parts.Loaded)
	if err != nil {
		return nil, err
	}
	for _, r := range recs {
		if r.Miner != cfg.ActorID {
			return nil, fmt.Errorf("the database holds sector %d of miner f0%d, this sealer is f0%d's", r.Number, r.Miner, cfg.ActorID)
		}
		p.sectors[r.Number] = &entry{rec: r}
		p.numbers = append(p.numbers, r.Number) // the database lists them in order
	}
	if err := p.loadOutbox(ctx); err != nil {
		return nil, err
	}
	if err := parts.DB.LoadJSON(ctx, targetName, &p.target); err != nil {
		return nil, err
	}
	return p, nil
}

// Run drives all sectors until ctx ends, then waits for running effects.
func (p *Pipeline) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		// At every turn: a timer of its own would be put off by every head.
		if err := p.parts.Queue.Sweep(ctx); err != nil && ctx.Err() == nil {
			log.Errorf("cannot look after the task queue: %v", err)
		}
		p.takeOutcomes(ctx, &wg)
		p.newHead(ctx, &wg)
		p.serveOutbox(ctx, &wg)
		next := p.launch(ctx, &wg)
		timer := p.parts.Clock.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-p.head:
		case <-p.poke:
		case <-p.parts.Queue.Wake():
		case <-timer.C():
		}
		timer.Stop()
	}
}

// newHead does what every head calls for: what became pointless is given up, and
// now and then proven sectors are compared with the chain.
func (p *Pipeline) newHead(ctx context.Context, wg *sync.WaitGroup) {
	head := p.parts.Heads.Latest()
	p.mu.Lock()
	defer p.mu.Unlock()
	if head.Seq == 0 {
		return
	}
	p.decideAt(ctx, wg, head)
	if head.Seq == p.seen.Seq {
		return
	}
	p.seen = head
	for _, e := range p.sectors {
		if e.running == "" && sector.IsOverdue(p.cfg.Policy, e.rec, head.Epoch) {
			if err := p.apply(ctx, e, sector.Overdue{}, nil); err != nil && !errors.Is(err, sector.ErrIgnored) {
				log.Errorf("%v", err)
			}
		}
	}
	if p.looking || (p.looked.Seq != 0 && head.Epoch < p.looked.Epoch+p.cfg.WatchEvery && head.Epoch >= p.looked.Epoch) {
		return
	}
	p.looking = true
	wg.Go(func() {
		err := p.watch(ctx)
		if err != nil && ctx.Err() == nil {
			log.Warnf("cannot compare sectors with the chain: %v", err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.looking = false
		if err == nil {
			p.looked = head
		}
	})
}

// decideAt begins to decide about batches, once per head. Callers hold mu.
func (p *Pipeline) decideAt(ctx context.Context, wg *sync.WaitGroup, head heads.Head) {
	if p.decides || head.Seq == p.decided.Seq {
		return
	}
	p.decides, p.decided = true, head
	wg.Go(func() {
		if err := p.towards(ctx); err != nil && ctx.Err() == nil {
			log.Warnf("cannot pledge towards the target: %v", err)
		}
		if err := p.placeDeals(ctx); err != nil && ctx.Err() == nil {
			log.Warnf("cannot give deals to sectors: %v", err)
		}
		if err := p.decide(ctx); err != nil && ctx.Err() == nil {
			log.Warnf("sectors wait on to share a message: %v", err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.decides = false
	})
}

// idle is the longest pause between two looks at all sectors.
const idle = 5 * time.Second

// launch begins every effect that is due and returns when the next may be.
func (p *Pipeline) launch(ctx context.Context, wg *sync.WaitGroup) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, now := idle, p.parts.Clock.Now()
	for n, e := range p.sectors {
		if e.running != "" {
			continue
		}
		if d := e.rest.Sub(now); d > 0 {
			next = min(next, d)
			continue
		}
		eff := sector.DueEffect(p.cfg.Policy, e.rec)
		if w, ok := eff.(sector.Wait); ok {
			if d := w.Until.Sub(now); d > 0 {
				next = min(next, d)
				continue
			}
		}
		if !p.ripe(e, eff) {
			continue
		}
		e.running = eff.String()
		rec := e.rec
		wg.Go(func() { p.carryOut(ctx, n, rec, eff) })
	}
	return next
}

// ripe tells whether an effect should be begun now. Effects that wait for the
// chain are tried once per head.
func (p *Pipeline) ripe(e *entry, eff sector.Effect) bool {
	head := p.parts.Heads.Latest()
	switch x := eff.(type) {
	case sector.Nothing, sector.AwaitBatch, sector.AwaitPush, sector.AwaitDeals:
		return false
	case sector.RunTask:
		return e.ensured != x.String()
	case sector.Wait:
		return true
	case sector.ReadSeed:
		if head.Epoch < x.ReadyAt {
			return false
		}
	case sector.CheckLife:
		if head.Epoch < x.ReadyAt {
			return false
		}
	case sector.RemoveFiles, sector.AddPieces:
		return true
	}
	if head.Seq == 0 || e.polled == head.Seq {
		return false
	}
	e.polled = head.Seq
	return true
}

// carryOut runs one effect and applies what came of it.
func (p *Pipeline) carryOut(ctx context.Context, n abi.SectorNumber, rec sector.Record, eff sector.Effect) {
	p.slots <- struct{}{}
	ev, err := p.effect(ctx, rec, eff)
	<-p.slots
	if err != nil && ctx.Err() == nil {
		ev = sector.Failed{Class: classOf(err), Err: err.Error()}
	}
	if ev != nil && ctx.Err() == nil {
		if err := p.Apply(ctx, n, ev, nil); err != nil && !errors.Is(err, sector.ErrIgnored) {
			log.Errorf("sector %d: %v", n, err)
		}
	}
	// Only now may another effect begin: the outcome of this one is in the record.
	p.mu.Lock()
	if e := p.sectors[n]; e != nil {
		e.running = ""
		if _, ok := eff.(sector.RunTask); ok && err == nil {
			e.ensured = eff.String()
		}
	}
	p.mu.Unlock()
	p.Poke()
}

func classOf(err error) sector.Class {
	if errors.Is(err, store.ErrNoSpace) {
		return sector.Operator
	}
	return messages.ClassOf(err)
}

// effect carries out an effect; a panic in it is an error of this sector only.
func (p *Pipeline) effect(ctx context.Context, rec sector.Record, eff sector.Effect) (ev sector.Event, err error) {
	defer func() {
		if r := recover(); r != nil {
			log.Errorf("effect %q of sector %d panicked: %v\n%s", eff, rec.Number, r, debug.Stack())
			err = fmt.Errorf("effect %q panicked: %v", eff, r)
		}
	}()
	switch x := eff.(type) {
	case sector.Wait:
		return sector.Due{}, nil
	case sector.RunTask:
		return nil, p.ensureTask(ctx, rec, x)
	case sector.ReadTicket:
		return p.readTicket(ctx, rec)
	case sector.PushPreCommit:
		return p.pushPreCommit(ctx, rec)
	case sector.AwaitMessage:
		return p.awaitMessage(ctx, rec, x)
	case sector.ReadSeed:
		return p.readSeed(ctx, rec, x)
	case sector.PushCommit:
		return p.pushCommit(ctx, rec)
	case sector.CheckChain:
		return p.facts(ctx, rec.Number, p.parts.Heads.Latest().Key)
	case sector.CheckLife:
		return p.checkLife(ctx, rec)
	case sector.RemoveFiles:
		return p.removeFiles(ctx, rec)
	}
	return p.updateEffect(ctx, rec, eff)
}

// updateEffect carries out the effects of a sector that takes data in.
func (p *Pipeline) updateEffect(ctx context.Context, rec sector.Record, eff sector.Effect) (sector.Event, error) {
	switch x := eff.(type) {
	case sector.AddPieces:
		return p.addPieces(ctx, rec)
	case sector.PushUpdate:
		return p.pushUpdate(ctx, rec)
	case sector.CheckUpdate:
		return p.checkUpdate(ctx, rec, x)
	case sector.DropUpdate:
		return p.dropUpdate(ctx, rec, x)
	case sector.ReleaseKey:
		return p.releaseKey(ctx, rec)
	}
	return nil, fmt.Errorf("effect %q is not known", eff)
}

// Apply applies an event to a sector and stores the outcome.
func (p *Pipeline) Apply(ctx context.Context, n abi.SectorNumber, ev sector.Event, artifacts map[string][]byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.sectors[n]
	if !ok {
		return fmt.Errorf("sector %d: %w", n, db.ErrNotFound)
	}
	return p.apply(ctx, e, ev, artifacts)
}

// apply is Apply. Callers hold mu.
func (p *Pipeline) apply(ctx context.Context, e *entry, ev sector.Event, artifacts map[string][]byte) error {
	now := p.now()
	next, err := sector.Step(p.cfg.Policy, e.rec, now, ev)
	if err != nil {
		log.Debugf("%v", err)
		return err
	}
	if next.State == sector.Removed {
		artifacts = map[string][]byte{string(sector.TaskPreCommit1): nil, string(sector.TaskCommit1): nil}
	}
	change := db.Change{Record: next, Artifacts: artifacts}
	if !quiet(ev) {
		change.Log = []db.LogEntry{logEntry(now, next, ev)}
	}
	if err := p.parts.DB.SaveSector(ctx, change); err != nil {
		e.rest = now.Time.Add(storePause)
		return fmt.Errorf("store sector %d: %w", next.Number, err)
	}
	if err := fault.Point("sealer/transition"); err != nil {
		return err
	}
	if next.State != e.rec.State {
		log.Infow("sector", "number", next.Number, "from", e.rec.State, "to", next.State, "event", ev.String())
	} else if next.LastErr != "" && next.Tries > e.rec.Tries {
		log.Warnw("sector waits", "number", next.Number, "state", next.State, "tries", next.Tries, "err", next.LastErr)
	}
	if _, went := ev.(sector.Alone); went {
		delete(p.flush, next.Number)
	}
	e.rec = next
	e.polled = 0
	p.Poke()
	return nil
}

// quiet events are not worth a line in the sector's log.
func quiet(ev sector.Event) bool {
	_, due := ev.(sector.Due)
	return due
}

// Poke makes Run look at all sectors again.
func (p *Pipeline) Poke() {
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

// Adopt takes in a sector that was sealed elsewhere, such as a genesis sector.
// An already known one is left alone.
func (p *Pipeline) Adopt(ctx context.Context, rec sector.Record) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.sectors[rec.Number]; ok {
		return nil
	}
	if err := p.parts.DB.SaveSector(ctx, db.Change{Record: rec, Log: []db.LogEntry{{At: rec.CreatedAt, Kind: "event;sealing.Adopted", Text: "sealed elsewhere"}}}); err != nil {
		return err
	}
	p.insert(rec)
	return nil
}

// List returns all sectors by number.
func (p *Pipeline) List() []sector.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]sector.Record, 0, len(p.sectors))
	for _, n := range p.numbers {
		out = append(out, p.sectors[n].rec)
	}
	return out
}

// Page returns the sectors that in admits, by number, without the first offset
// of them and at most limit, and how many it admits in all.
func (p *Pipeline) Page(in func(*sector.Record) bool, offset, limit int) (page []sector.Record, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.numbers {
		r := &p.sectors[n].rec
		if !in(r) {
			continue
		}
		if total >= offset && len(page) < limit {
			page = append(page, *r)
		}
		total++
	}
	return page, total
}

// Get returns one sector.
func (p *Pipeline) Get(n abi.SectorNumber) (sector.Record, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.sectors[n]
	if !ok {
		return sector.Record{}, fmt.Errorf("sector %d: %w", n, db.ErrNotFound)
	}
	return e.rec, nil
}

// Why explains a sector.
func (p *Pipeline) Why(r sector.Record) sector.Why { return sector.Explain(p.cfg.Policy, r) }

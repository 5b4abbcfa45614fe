// Package spread makes window proofs on workers, and on this machine what they do not.
//
// Start at Prover.WindowPoSt (a window proof is wanted) and run (run.go), which carries one through. A window proof is
// the proofs of its partitions one after the other (proofs/seal.Sealer.WindowPoStFrom), so each can be made by another
// machine. They are offered to workers (sealer/task.Offer) that say they make window proofs and reach the files of all
// sectors of the partition.
//
// Invariants: what comes back counts only once it was verified here, and a sector that a worker calls faulty only once
// its files were looked at from here; a worker that failed, lied or was late is passed over for an hour; workers are
// waited for only as long as the proof can still be made here in time (Patience, a pure function), so that the loss of
// one costs no deadline. Nothing is stored: the planner asks again after a restart.
package spread

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/google/uuid"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/proofs/shape"
	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/task"
	"github.com/filecoin-venus/venus/sealer/wdpost"
	"github.com/filecoin-venus/venus/worker"
)

var log = logging.Logger("sealer/spread")

// Mode says who makes window proofs.
type Mode string

// The modes.
const (
	// Local is this process alone.
	Local Mode = "local"
	// Prefer is workers, and this process what none of them has begun or they fail at.
	Prefer Mode = "prefer"
	// Only is workers alone.
	Only Mode = "only"
)

// ParseMode reads a mode; "" is Prefer.
func ParseMode(text string) (Mode, error) {
	switch m := Mode(text); m {
	case "":
		return Prefer, nil
	case Local, Prefer, Only:
		return m, nil
	}
	return "", fmt.Errorf("%q: want %s, %s or %s", text, Local, Prefer, Only)
}

// Here is what this machine does by itself.
type Here interface {
	// Check is that of wdpost.Prover; Look reads leaves, too.
	Check(ctx context.Context, sectors []proof.SectorInfo) (map[abi.SectorNumber]string, error)
	Look(ctx context.Context, sectors []proof.SectorInfo) (map[abi.SectorNumber]string, error)
	// WindowPoStFrom is that of seal.Sealer.
	WindowPoStFrom(ctx context.Context, first int, sectors []proof.SectorInfo, r abi.PoStRandomness) ([]proof.PoStProof, []abi.SectorNumber, error)
	// Find tells where a sector's files lie, and in which storage paths; false when no worker can have them.
	Find(s proof.SectorInfo) (worker.Files, []string, bool)
}

// Queue gives tasks to workers.
type Queue interface {
	Offer(ctx context.Context, o task.Offer) (bool, error)
	Offered(id string) (task.Entry, bool)
	Withdraw(ctx context.Context, id string, idle bool) bool
}

// Verifier judges the proofs of partitions.
type Verifier interface {
	VerifyWindowPoStFrom(ctx context.Context, first int, info proof.WindowPoStVerifyInfo) (bool, error)
}

// Config is how proofs are spread.
type Config struct {
	Miner abi.ActorID
	Mode  Mode
	// Slots is how many proofs are made here at once, 0 = no limit.
	Slots int
}

// What became of a proof, as Parts.Told is told.
const (
	Proven  = "proven"
	Failed  = "failed"
	Refused = "refused" // it does not hold, or its faults are none
	Late    = "late"
	Lost    = "lost" // its worker fell silent
)

// Parts are what a prover works with. Told, if set, is told of each proof of this machine ("") and others, and what it took.
type Parts struct {
	Here     Here
	Queue    Queue
	Verifier Verifier
	Clock    clock.Clock
	Told     func(host, outcome string, took time.Duration)
}

// Prover is a wdpost.Prover.
type Prover struct {
	cfg   Config
	parts Parts
	slots chan struct{}
	nonce string // makes tasks of this process differ from those of all before

	mu     sync.Mutex // guards what follows
	serial int
	pace   time.Duration // what a partition takes here, 0 while that is not known
	passed map[string]Passed
	proven map[string]proven // by what was proven
	order  []string          // of proven, the oldest first
}

// proven is a partition's proof, with who made it.
type proven struct {
	proof []byte
	host  string
	took  time.Duration
}

// passOver is for how long a host is passed over that failed, lied or was late; where workers alone prove, it may be the
// only one that there is.
const (
	passOver     = time.Hour
	passOverOnly = time.Minute
)

// remembered is how many proofs of partitions are kept: a fault found in one makes those before it no worse.
const remembered = 256

// unlimited stands for no limit of proofs at once.
const unlimited = 1 << 16

// New makes a prover.
func New(cfg Config, parts Parts) *Prover {
	if cfg.Slots <= 0 {
		cfg.Slots = unlimited
	}
	if parts.Told == nil {
		parts.Told = func(string, string, time.Duration) {}
	}
	return &Prover{
		cfg: cfg, parts: parts, slots: make(chan struct{}, cfg.Slots), nonce: uuid.NewString()[:8], passed: map[string]Passed{}, proven: map[string]proven{},
	}
}

// Check implements wdpost.Prover.
func (p *Prover) Check(ctx context.Context, sectors []proof.SectorInfo) (map[abi.SectorNumber]string, error) {
	return p.parts.Here.Check(ctx, sectors)
}

// WindowPoSt implements wdpost.Prover.
func (p *Prover) WindowPoSt(ctx context.Context, w wdpost.Work) (wdpost.Made, error) {
	r, err := p.split(w)
	if err != nil {
		return wdpost.Made{}, err
	}
	left := w.By.Sub(p.parts.Clock.Now())
	patience := max(left, time.Minute)
	switch p.cfg.Mode {
	case Local:
		patience = 0
	case Prefer:
		own := p.paceHere() * time.Duration(len(r.list))
		patience = Patience(left, own, own*time.Duration(w.Others+1))
	}
	if patience <= 0 || !r.offer(ctx) {
		if p.cfg.Mode == Only && patience > 0 {
			return wdpost.Made{}, errors.New("no worker is here that makes window proofs and reaches the files of these sectors (venus-worker run --window-post; 'venus-sealer sealing workers'), and Proving.Workers = \"only\" keeps this sealer from it")
		}
		return p.here(ctx, r)
	}
	defer r.withdraw(ctx)
	return r.run(ctx, patience)
}

// Patience is how long workers may take over a window proof, so that it can still be made here. left is the time until it
// is wanted, own what it takes here, all what those of its deadline take here one after the other; own is 0 when it was
// never measured. Of what is left half goes to workers at most.
func Patience(left, own, all time.Duration) time.Duration {
	if own <= 0 {
		return max(left/4, 0)
	}
	need := all + all/2
	if need > left { // this machine cannot make them all: without workers some are lost anyway
		need = own + own/2
	}
	return max(min(left/2, left-need), 0)
}

// split makes the partitions of a proof: its sectors ascending, each once.
func (p *Prover) split(w wdpost.Work) (*run, error) {
	list := slices.Clone(w.Sectors)
	slices.SortFunc(list, func(a, b proof.SectorInfo) int { return int(int64(a.SectorNumber) - int64(b.SectorNumber)) })
	list = slices.CompactFunc(list, func(a, b proof.SectorInfo) bool { return a.SectorNumber == b.SectorNumber })
	if len(list) == 0 {
		return nil, errors.New("a window proof of no sectors")
	}
	typ, err := list[0].SealProof.RegisteredWindowPoStProof()
	if err != nil {
		return nil, fmt.Errorf("sector %d: %w", list[0].SectorNumber, err)
	}
	sh, err := shape.OfPoSt(typ)
	if err != nil {
		return nil, err
	}
	r := &run{p: p, work: w, typ: typ, news: make(chan struct{}, 1), made: make(chan local, 1)}
	for sectors := range slices.Chunk(list, sh.Sectors) {
		pt := &part{first: len(r.list), sectors: sectors, key: keyOf(w.Randomness, len(r.list), sectors)}
		if !w.Anew {
			pt.proven = p.remember(pt.key)
		}
		r.list = append(r.list, pt)
	}
	return r, nil
}

// keyOf names the statement of a partition's proof.
func keyOf(randomness abi.PoStRandomness, first int, sectors []proof.SectorInfo) string {
	h := sha256.New()
	fmt.Fprintf(h, "%x %d", randomness, first)
	for _, s := range sectors {
		fmt.Fprintf(h, " %d %d %s", s.SealProof, s.SectorNumber, s.SealedCID)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// here makes a whole proof on this machine.
func (p *Prover) here(ctx context.Context, r *run) (wdpost.Made, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return wdpost.Made{}, ctx.Err()
	}
	defer func() { <-p.slots }()
	var list []proof.SectorInfo
	for _, pt := range r.list {
		list = append(list, pt.sectors...)
	}
	start := p.parts.Clock.Now()
	proofs, faulty, err := p.parts.Here.WindowPoStFrom(ctx, 0, list, r.work.Randomness)
	took := p.parts.Clock.Now().Sub(start)
	if ctx.Err() == nil {
		p.tookHere(took, len(r.list), err)
	}
	return wdpost.Made{Proofs: proofs, Faulty: faulty, Parts: []wdpost.Part{{Sectors: len(list) - len(faulty), Took: took}}}, err
}

// tookHere takes down what a proof took here.
func (p *Prover) tookHere(took time.Duration, partitions int, err error) {
	if err != nil {
		p.parts.Told("", Failed, took)
		return
	}
	p.parts.Told("", Proven, took)
	each := took / time.Duration(partitions)
	p.mu.Lock()
	defer p.mu.Unlock()
	if each < p.pace { // one fast proof promises nothing
		each = (3*p.pace + each) / 4
	}
	p.pace = each
}

func (p *Prover) paceHere() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pace
}

// pass has a host passed over for a while.
func (p *Prover) pass(host, why string) {
	d := passOver
	if p.cfg.Mode == Only {
		d = passOverOnly
	}
	log.Errorw("a worker is passed over for window proofs", "host", host, "for", d, "why", why)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed[host] = Passed{why, p.parts.Clock.Now().Add(d)}
}

// Passed is a host that gets no window proofs for a while.
type Passed struct {
	Why   string
	Until time.Time
}

// PassedOver lists the hosts that are passed over.
func (p *Prover) PassedOver() map[string]Passed {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.parts.Clock.Now()
	maps.DeleteFunc(p.passed, func(_ string, x Passed) bool { return !now.Before(x.Until) })
	return maps.Clone(p.passed)
}

// shunned are the hosts that are passed over, and why.
func (p *Prover) shunned() map[string]string {
	out := map[string]string{}
	for host, x := range p.PassedOver() {
		out[host] = x.Why
	}
	return out
}

func (p *Prover) remember(key string) proven {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proven[key]
}

func (p *Prover) keep(key string, x proven) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proven[key].proof == nil {
		p.order = append(p.order, key)
	}
	p.proven[key] = x
	for len(p.order) > remembered {
		delete(p.proven, p.order[0])
		p.order = p.order[1:]
	}
}

func (p *Prover) taskID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serial++
	return fmt.Sprintf("t0%d-%s-%s-%d", p.cfg.Miner, sched.WindowPoSt, p.nonce, p.serial)
}

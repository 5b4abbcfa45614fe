package wdpost

import (
	"context"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/dline"
	"github.com/filecoin-project/go-state-types/proof"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/sealer/heads"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/types"
)

var log = logging.Logger("wdpost")

// Deadlines is the part of the node that knows what must be proven when.
type Deadlines interface {
	StateMinerProvingDeadline(ctx context.Context, miner address.Address, tsk types.TipSetKey) (*dline.Info, error)
	StateMinerDeadlines(ctx context.Context, miner address.Address, tsk types.TipSetKey) ([]node.Deadline, error)
	StateMinerPartitions(ctx context.Context, miner address.Address, deadline uint64, tsk types.TipSetKey) ([]node.Partition, error)
	StateMinerSectors(ctx context.Context, miner address.Address, filter *bitfield.BitField, tsk types.TipSetKey) ([]*node.SectorOnChainInfo, error)
}

// Randomness is the part of the node that draws randomness.
type Randomness interface {
	StateGetRandomnessFromTickets(ctx context.Context, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte, tsk types.TipSetKey) (abi.Randomness, error)
	StateGetRandomnessFromBeacon(ctx context.Context, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte, tsk types.TipSetKey) (abi.Randomness, error)
}

// Chain is the part of the node that is used.
type Chain interface {
	Deadlines
	Randomness
}

// Prover makes proofs from sector files, here or on other machines.
type Prover interface {
	// Check returns, by number, why sectors cannot be proven; it gives up on a slow one by itself.
	Check(ctx context.Context, sectors []proof.SectorInfo) (map[abi.SectorNumber]string, error)
	// WindowPoSt proves the sectors that can be proven, and names those that cannot.
	WindowPoSt(ctx context.Context, w Work) (Made, error)
}

// Work is what a window proof is asked for. A sector may be listed again, in the place of one that is not proven.
type Work struct {
	Sectors    []proof.SectorInfo
	Randomness abi.PoStRandomness
	// By is when the proof is wanted at the latest: there is time left then for a second message.
	By time.Time
	// Others counts the proofs of the same deadline that are still to be made.
	Others int
	// Anew asks for work that is done now, whatever was proven before: it is to be measured.
	Anew bool
}

// Made is what came of it. Proofs of fewer sectors than were asked for are worth something when only Faulty ones lack.
type Made struct {
	Proofs []proof.PoStProof
	Faulty []abi.SectorNumber
	Parts  []Part
}

// Part tells who proved a part of a window proof.
type Part struct {
	Host    string // "" is the sealer
	Sectors int
	Took    time.Duration
	// Before tells of those who were to prove it and did not, "" when there were none.
	Before string `json:",omitempty"`
}

// Verifier checks a proof before it is sent.
type Verifier interface {
	VerifyWindowPoSt(ctx context.Context, info proof.WindowPoStVerifyInfo) (bool, error)
}

// Store keeps the planner's state and the history of proofs.
type Store interface {
	LoadJSON(ctx context.Context, name string, v any) error
	SaveJSON(ctx context.Context, name string, v any) error
	SaveWindowProof(ctx context.Context, open int64, group int, record any) error
}

// Record is a window proof as the history keeps it.
type Record struct {
	Deadline   uint64
	Open       abi.ChainEpoch
	Partitions []uint64
	Sectors    uint64
	Skipped    uint64
	Message    string
	Phase      Phase
	Took       time.Duration
	Parts      []Part `json:",omitempty"` // who proved
	Err        string
	At         time.Time
}

// Parts are what the shell works with.
type Parts struct {
	Chain    Chain
	Messages *messages.Sender
	Prover   Prover
	Verifier Verifier
	Store    Store
	Heads    *heads.Follower
	Clock    clock.Clock
	// Alert is told every alert once, Lost every partition that closed unproven;
	// nil means nobody. They must not block.
	Alert func(Alert)
	Lost  func(partitions int)
}

// Settings are what the shell must know besides the planner's margins.
type Settings struct {
	Config
	Miner address.Address // ID address
	// MaxPartitions limits the partitions of one message.
	MaxPartitions int
	// ParallelProofs is how many window proofs are made at once, 0 = no limit.
	ParallelProofs int
	// BlockDelay is the time of an epoch: by it the clock tells the epoch when the node is silent.
	BlockDelay time.Duration
	// DeclareFaults lets bad sectors be declared before the cutoff instead of skipped in the proof.
	DeclareFaults bool
}

// Shell runs the planner.
type Shell struct {
	set   Settings
	parts Parts
	head  <-chan struct{}
	poke  chan struct{}

	mu      sync.Mutex // guards what follows
	state   State
	running map[string]context.CancelFunc
	seen    uint64 // the head that was planned last
	looked  map[abi.ChainEpoch]uint64
	took    map[string]time.Duration
	proofs  int // being made
	alerts  []Alert
	// rehearsal ends a rehearsal that is under way; nil when none is.
	rehearsal context.CancelCauseFunc
}

// stateName is the name of the planner's state in the store.
const stateName = "wdpost"

// New loads the stored state. Nothing runs before Run.
func New(ctx context.Context, set Settings, parts Parts) (*Shell, error) {
	if set.BlockDelay <= 0 {
		return nil, fmt.Errorf("window proofs: the time of an epoch is %s", set.BlockDelay)
	}
	s := &Shell{
		set: set, parts: parts, head: parts.Heads.Listen(), poke: make(chan struct{}, 1),
		running: map[string]context.CancelFunc{}, looked: map[abi.ChainEpoch]uint64{}, took: map[string]time.Duration{},
	}
	if err := parts.Store.LoadJSON(ctx, stateName, &s.state); err != nil {
		return nil, err
	}
	return s, nil
}

// Run plans at every head until ctx ends.
func (s *Shell) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.watch(ctx) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.head:
			if err := s.plan(ctx); err != nil && ctx.Err() == nil {
				log.Errorf("cannot plan window proofs: %v", err)
				wg.Go(func() { s.again(ctx) })
				continue
			}
		case <-s.poke:
		}
		s.launch(ctx, &wg)
	}
}

// watch looks for alerts once an epoch by the clock, also when no head comes.
func (s *Shell) watch(ctx context.Context) {
	for s.parts.Clock.Sleep(ctx, s.set.BlockDelay) == nil {
		s.alarm()
	}
}

// alarm tells the alerts that are new.
func (s *Shell) alarm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := s.parts.Heads.Latest()
	at := s.state.Height
	if head.Seq > 0 {
		at = head.Epoch + abi.ChainEpoch(s.parts.Clock.Now().Sub(head.Time)/s.set.BlockDelay)
	}
	now := Alerts(s.set.Config, s.state, at)
	for _, a := range now {
		if slices.ContainsFunc(s.alerts, func(o Alert) bool { return o.Key == a.Key }) {
			continue
		}
		log.Errorw(a.Text, "alert", a.Key)
		if s.parts.Alert != nil {
			s.parts.Alert(a)
		}
	}
	s.alerts = now
}

// NextClose is how many epochs are left to prove the deadline that closes next
// among those that are not wholly proven on the chain; -1 when there is none.
func (s *Shell) NextClose() abi.ChainEpoch {
	st := s.Snapshot()
	for _, w := range st.Windows { // they are sorted
		if st.Height < w.Close && (!w.Loaded || len(w.missing()) > 0) {
			return w.Close - st.Height
		}
	}
	return -1
}

// Alerts are the alerts of this epoch.
func (s *Shell) Alerts() []Alert {
	s.alarm()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.alerts)
}

// again asks for another plan of the same head a moment later.
func (s *Shell) again(ctx context.Context) {
	if s.parts.Clock.Sleep(ctx, time.Second) == nil {
		if err := s.plan(ctx); err == nil {
			s.wake()
		}
	}
}

// plan tells the planner of the latest head.
func (s *Shell) plan(ctx context.Context) error {
	head := s.parts.Heads.Latest()
	if head.Seq == 0 {
		return nil
	}
	d, err := s.parts.Chain.StateMinerProvingDeadline(ctx, s.set.Miner, head.Key)
	if err != nil {
		return fmt.Errorf("read the proving deadline: %w", err)
	}
	s.mu.Lock()
	s.seen = head.Seq
	s.mu.Unlock()
	d.CurrentEpoch = head.Epoch
	return s.apply(ctx, Head{Deadline: *d})
}

// apply stores what an event changes.
func (s *Shell) apply(ctx context.Context, ev Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store(ctx, Step(s.set.Config, s.state, ev))
}

// store saves a new state; the height alone is not worth a write. Callers hold mu.
func (s *Shell) store(ctx context.Context, next State) error {
	same := next
	same.Height = s.state.Height
	if !reflect.DeepEqual(same, s.state) {
		if err := fault.Point("wdpost/plan"); err != nil {
			return err
		}
		if err := s.parts.Store.SaveJSON(ctx, stateName, next); err != nil {
			return fmt.Errorf("store the plan of window proofs: %w", err)
		}
		// Only a stored plan is acted on.
		if err := fault.Point("wdpost/planned"); err != nil {
			return err
		}
		s.history(ctx, next)
	}
	s.state = next
	s.wake()
	return nil
}

// history records the groups that changed. Callers hold mu.
func (s *Shell) history(ctx context.Context, next State) {
	for _, w := range next.Windows {
		old := s.state.window(w.Open)
		for i, g := range w.Groups {
			if old != nil && i < len(old.Groups) && reflect.DeepEqual(old.Groups[i], g) {
				continue
			}
			r := Record{
				Deadline: w.Index, Open: w.Open, Partitions: g.Partitions, Message: g.MessageID, Phase: g.Phase,
				Err: g.LastErr, At: s.parts.Clock.Now().UTC(), Took: s.took[Prove{Window: w, Group: i}.Key()],
			}
			if g.Proof != nil {
				r.Sectors, r.Parts = g.Proof.Sectors, g.Proof.Parts
				for _, b := range g.Proof.Skipped {
					if n, err := b.Count(); err == nil {
						r.Skipped += n
					}
				}
			}
			if err := s.parts.Store.SaveWindowProof(ctx, int64(w.Open), i, r); err != nil {
				log.Warnf("cannot record a window proof: %v", err)
			}
		}
	}
}

// Snapshot returns the planner's state.
func (s *Shell) Snapshot() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.clone()
}

func (s *Shell) wake() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// launch begins what is due and not running, and stops proofs nobody needs.
func (s *Shell) launch(ctx context.Context, wg *sync.WaitGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range Due(s.set.Config, s.state) {
		key := a.Key()
		if s.running[key] != nil {
			continue
		}
		if _, ok := a.(Prove); ok {
			if s.set.ParallelProofs > 0 && s.proofs >= s.set.ParallelProofs {
				continue // due is sorted by urgency, and is looked at again when one is done
			}
			s.proofs++
			if s.rehearsal != nil {
				s.rehearsal(ErrBusy)
			}
		}
		if look, ok := a.(Look); ok {
			if s.looked[look.Window.Open] == s.seen {
				continue // one look per head
			}
			s.looked[look.Window.Open] = s.seen
		}
		run, cancel := context.WithCancel(ctx)
		s.running[key] = cancel
		wg.Go(func() { s.carryOut(run, cancel, a) })
	}
	for _, w := range s.state.Windows {
		if s.state.Height < w.Close {
			continue
		}
		delete(s.looked, w.Open)
		for i := range w.Groups {
			if cancel := s.running[Prove{Window: w, Group: i}.Key()]; cancel != nil {
				cancel()
			}
		}
	}
}

func (s *Shell) carryOut(ctx context.Context, cancel context.CancelFunc, a Action) {
	defer cancel()
	start := s.parts.Clock.Now()
	events, err := s.run(ctx, a)
	if err != nil && ctx.Err() == nil {
		log.Warnw("window proof action failed", "action", a.Key(), "err", err)
		events = append(events, troubleOf(a, err))
	}
	if _, ok := a.(Prove); ok {
		s.mu.Lock()
		s.took[a.Key()] = s.parts.Clock.Now().Sub(start)
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			s.proofs--
			s.mu.Unlock()
			s.wake()
		}()
	}
	for _, ev := range events {
		if err := s.apply(context.WithoutCancel(ctx), ev); err != nil {
			log.Errorf("after %s: %v", a.Key(), err)
			_ = s.parts.Clock.Sleep(ctx, time.Second) // the action is begun again; not at once
		}
	}
	// Only now may the action be begun again: its outcome is in the state.
	s.mu.Lock()
	delete(s.running, a.Key())
	s.mu.Unlock()
	s.wake()
}

func troubleOf(a Action, err error) Event {
	t := Trouble{Group: -1, Err: err.Error()}
	switch x := a.(type) {
	case Load:
		t.Open = x.Window.Open
	case Look:
		t.Open = x.Window.Open
	case Report:
		t.Open = x.Window.Open
	case Prove:
		t.Open, t.Group = x.Window.Open, x.Group
	case Push:
		t.Open, t.Group = x.Window.Open, x.Group
	case CheckFiles:
		t.Open, t.Check = x.Check.Open, true
	}
	return t
}

// run carries out an action; a panic in it concerns this action only.
func (s *Shell) run(ctx context.Context, a Action) (evs []Event, err error) {
	defer func() {
		if r := recover(); r != nil {
			log.Errorf("%s panicked: %v\n%s", a.Key(), r, debug.Stack())
			err = fmt.Errorf("%s panicked: %v", a.Key(), r)
		}
	}()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", a.Key(), ctx.Err())
	}
	switch x := a.(type) {
	case Load:
		return s.load(ctx, x.Window)
	case Prove:
		return s.prove(ctx, x.Window, x.Group)
	case Push:
		if err := fault.Point("wdpost/intent"); err != nil {
			return nil, err
		}
		return s.push(ctx, x.Window, x.Group)
	case Look:
		return s.look(ctx, x.Window)
	case CheckFiles:
		return s.checkFiles(ctx, x.Check)
	case Report:
		return s.report(ctx, x)
	}
	return nil, fmt.Errorf("action %s is not known", a.Key())
}

// report tells a loss, unless a message landed in the deadline's last epochs,
// which the chain's record of the open deadline cannot show any more.
func (s *Shell) report(ctx context.Context, r Report) ([]Event, error) {
	if !r.Window.Loaded {
		return nil, s.reportUnread(ctx, r.Window)
	}
	var proven, lost []uint64
	why := ""
	for _, g := range r.Window.Groups {
		landed := g.Phase == Landed
		if g.Phase == Pushed {
			fate, err := s.parts.Messages.Fate(ctx, g.MessageID)
			if err != nil {
				return nil, err
			}
			landed = fate.Landed && fate.Exit == 0
		}
		if landed {
			proven = append(proven, g.Partitions...)
		} else {
			lost, why = append(lost, g.Partitions...), g.standing()
		}
	}
	if len(lost) == 0 {
		return []Event{OnChain{Open: r.Window.Open, Partitions: proven}}, nil
	}
	return nil, s.lost(ctx, r.Window, len(lost), fmt.Sprintf("partitions %v closed unproven (%s); their sectors are faulty now", lost, why))
}

// reportUnread tells the loss in a deadline whose partitions were never read:
// only the chain knows whether there was something to prove.
func (s *Shell) reportUnread(ctx context.Context, w Window) error {
	parts, err := s.partitions(ctx, w.Index, s.parts.Heads.Latest().Key)
	if err != nil {
		return err
	}
	n, sectors := 0, uint64(0)
	for _, p := range parts {
		faulty, err := bitfield.SubtractBitField(p.Faulty, p.Recovering)
		if err != nil {
			return fmt.Errorf("faults of partition %d: %w", p.Index, err)
		}
		count, err := faulty.Count()
		if err != nil {
			return fmt.Errorf("faults of partition %d: %w", p.Index, err)
		}
		if count > 0 {
			n, sectors = n+1, sectors+count
		}
	}
	return s.lost(ctx, w, n, fmt.Sprintf("closed unproven (%s); %d of its sectors are faulty now", reason(w.LastErr), sectors))
}

// lost records that the loss of a deadline was told; none is told for 0 partitions.
func (s *Shell) lost(ctx context.Context, w Window, partitions int, text string) error {
	if err := fault.Point("wdpost/report"); err != nil {
		return err
	}
	if partitions > 0 {
		log.Errorf("deadline %d (epochs %d to %d): %s; they are declared recovered before its next fault cutoff if their files are well", w.Index, w.Open, w.Close, text)
		if s.parts.Lost != nil {
			s.parts.Lost(partitions)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store(ctx, s.state.MarkReported(w.Open))
}

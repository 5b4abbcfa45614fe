package wdpost

import (
	"fmt"
	"slices"
	"sort"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/dline"

	"github.com/filecoin-venus/venus/sealer/sector"
)

// Config are the planner's margins, all in epochs.
type Config struct {
	Miner abi.ActorID
	// ChallengeConfidence is how far the head must be past the challenge epoch
	// before a proof is begun; the beacon makes 0 safe against all but deep reorgs.
	ChallengeConfidence abi.ChainEpoch
	// SubmitConfidence is how far past the opening a proof is pushed.
	SubmitConfidence abi.ChainEpoch
	// StuckAfter is how long a pushed message may stay off the chain before
	// another is pushed.
	StuckAfter abi.ChainEpoch
	// CheckLead is how long before its fault cutoff a deadline's files are checked.
	CheckLead abi.ChainEpoch
	// Keep is how long a closed deadline is remembered, for reorgs.
	Keep abi.ChainEpoch
}

// Phase is how far one message's worth of partitions is.
type Phase string

// The phases of a Group.
const (
	Proving Phase = "proving"
	Proved  Phase = "proved"
	Pushed  Phase = "pushed"
	Landed  Phase = "landed"
	// Nothing means that no sector of the group can be proven now; it is tried
	// again now and then, since files can come back.
	Nothing Phase = "nothing"
)

// Group is the partitions that go into one message.
type Group struct {
	Partitions []uint64
	Phase      Phase
	// Proof is set from Proved on.
	Proof *Proof `json:",omitempty"`
	// Attempt and MessageID name the message, fixed before it is pushed.
	Attempt   int
	MessageID string
	PushedAt  abi.ChainEpoch
	Tries     int
	RetryAt   abi.ChainEpoch
	LastErr   string `json:",omitempty"`
}

// Window is one deadline at one time.
type Window struct {
	Index                               uint64
	Open, Close, Challenge, FaultCutoff abi.ChainEpoch
	Loaded                              bool
	RetryAt                             abi.ChainEpoch
	LastErr                             string `json:",omitempty"`
	Groups                              []Group
	// Reported is set once a loss was reported.
	Reported bool
}

// Check is one deadline's files to be checked before its fault cutoff.
type Check struct {
	Index           uint64
	Open, Cutoff    abi.ChainEpoch
	Done            bool
	Attempt         int
	RetryAt         abi.ChainEpoch
	FaultsDeclared  uint64
	RecoverDeclared uint64
	// Bad counts the live sectors whose files were not well, Why is of the first.
	Bad          uint64
	Why, LastErr string `json:",omitempty"`
}

// Current is the deadline that the latest head lies in. Length is 0 before the first head.
type Current struct {
	Index        uint64
	Open, Length abi.ChainEpoch
}

// State is all that the planner remembers; it is stored as JSON.
type State struct {
	Height  abi.ChainEpoch
	Current Current
	Windows []Window
	Checks  []Check
}

// Event is something that happened.
type Event interface{ isEvent() }

type (
	// Head is a new head and the deadline that is current at it.
	Head struct{ Deadline dline.Info }
	// PartitionsLoaded brings the groups to prove; none for an empty deadline.
	PartitionsLoaded struct {
		Open   abi.ChainEpoch
		Groups [][]uint64
	}
	// ProofReady brings a checked proof; a nil proof means that nothing is provable.
	ProofReady struct {
		Open  abi.ChainEpoch
		Group int
		Proof *Proof
		Why   string
	}
	// SeedChanged tells that the stored proof is of a challenge that a reorg replaced.
	SeedChanged struct {
		Open  abi.ChainEpoch
		Group int
	}
	// MessagePushed tells that the messager accepted the message.
	MessagePushed struct {
		Open  abi.ChainEpoch
		Group int
	}
	// MessageLost tells that the message landed with an error or was given up.
	MessageLost struct {
		Open  abi.ChainEpoch
		Group int
		ID    string
		Err   string
	}
	// OnChain is a chain fact: the partitions proven in the open deadline.
	OnChain struct {
		Open       abi.ChainEpoch
		Partitions []uint64
	}
	// Checked tells that a deadline's files were checked. Declared is set when a
	// declaration was pushed, which a later check must find on the chain. Bad
	// sectors are looked at again: files can come back before the cutoff.
	Checked struct {
		Open               abi.ChainEpoch
		Faults, Recoveries uint64
		Declared           bool
		Bad                uint64
		Why                string
	}
	// Trouble tells that an action failed. Group is -1 for Load, and CheckFiles.
	Trouble struct {
		Open  abi.ChainEpoch
		Group int
		Check bool
		Err   string
	}
)

func (Head) isEvent()             {}
func (PartitionsLoaded) isEvent() {}
func (ProofReady) isEvent()       {}
func (SeedChanged) isEvent()      {}
func (MessagePushed) isEvent()    {}
func (MessageLost) isEvent()      {}
func (OnChain) isEvent()          {}
func (Checked) isEvent()          {}
func (Trouble) isEvent()          {}

// Action is something that is called for now. Key names it, so that the shell
// runs it at most once at a time.
type Action interface{ Key() string }

type (
	// Load reads the deadline's partitions.
	Load struct{ Window Window }
	// Prove makes the proof of a group.
	Prove struct {
		Window Window
		Group  int
	}
	// Push sends the proof of a group under its message id.
	Push struct {
		Window Window
		Group  int
	}
	// Look reads which partitions the chain has as proven, and the fate of
	// pushed messages.
	Look struct{ Window Window }
	// CheckFiles compares files with faults and declares.
	CheckFiles struct{ Check Check }
	// Report tells the operator that a deadline closed unproven.
	Report struct{ Window Window }
)

// Key implements Action.
func (a Load) Key() string { return fmt.Sprintf("load %d", a.Window.Open) }

// Key implements Action.
func (a Prove) Key() string { return fmt.Sprintf("prove %d/%d", a.Window.Open, a.Group) }

// Key implements Action.
func (a Push) Key() string { return fmt.Sprintf("push %d/%d", a.Window.Open, a.Group) }

// Key implements Action.
func (a Look) Key() string { return fmt.Sprintf("look %d", a.Window.Open) }

// Key implements Action.
func (a CheckFiles) Key() string { return fmt.Sprintf("check %d", a.Check.Open) }

// Key implements Action.
func (a Report) Key() string { return fmt.Sprintf("report %d", a.Window.Open) }

// Step applies an event. The given State is not changed.
func Step(cfg Config, s State, ev Event) State {
	s = s.clone()
	switch e := ev.(type) {
	case Head:
		s.head(cfg, e.Deadline)
	case PartitionsLoaded:
		if w := s.window(e.Open); w != nil && !w.Loaded {
			w.Loaded, w.LastErr = true, ""
			for _, p := range e.Groups {
				w.Groups = append(w.Groups, Group{Partitions: slices.Clone(p), Phase: Proving})
			}
		}
	case ProofReady:
		s.proofReady(cfg, e)
	case SeedChanged:
		if g := s.group(e.Open, e.Group); g != nil && (g.Phase == Proved || g.Phase == Pushed) {
			g.Phase, g.Proof, g.LastErr = Proving, nil, "a reorg changed the challenge"
		}
	case MessagePushed:
		if g := s.group(e.Open, e.Group); g != nil && g.Phase == Proved {
			g.Phase, g.PushedAt, g.Tries = Pushed, s.Height, 0
		}
	case MessageLost:
		if g := s.group(e.Open, e.Group); g != nil && g.Phase == Pushed && g.MessageID == e.ID {
			g.again(cfg, e.Open, s.Height, e.Err)
		}
	case OnChain:
		s.onChain(cfg, e)
	case Checked:
		s.checked(cfg, e)
	case Trouble:
		s.trouble(e)
	}
	return s
}

// head admits the deadlines whose challenge is known and forgets closed ones.
func (s *State) head(cfg Config, d dline.Info) {
	s.Height = d.CurrentEpoch
	s.slept(d)
	s.Current = Current{Index: d.Index, Open: d.Open, Length: d.WPoStChallengeWindow}
	for _, info := range upcoming(d, func(i dline.Info) bool { return s.Height >= i.Challenge+cfg.ChallengeConfidence }) {
		if s.window(info.Open) == nil && s.Height < info.Close {
			s.Windows = append(s.Windows, Window{Index: info.Index, Open: info.Open, Close: info.Close, Challenge: info.Challenge, FaultCutoff: info.FaultCutoff})
		}
	}
	s.Windows = slices.DeleteFunc(s.Windows, func(w Window) bool {
		return s.Height >= w.Close+cfg.Keep && (w.Reported || w.Loaded && len(w.missing()) == 0)
	})
	sort.Slice(s.Windows, func(i, j int) bool { return s.Windows[i].Open < s.Windows[j].Open })

	for _, info := range upcoming(d, func(i dline.Info) bool { return i.FaultCutoff <= s.Height+cfg.CheckLead }) {
		known := slices.ContainsFunc(s.Checks, func(c Check) bool { return c.Open == info.Open })
		if !known && s.Height < info.FaultCutoff {
			s.Checks = append(s.Checks, Check{Index: info.Index, Open: info.Open, Cutoff: info.FaultCutoff})
		}
	}
	s.Checks = slices.DeleteFunc(s.Checks, func(c Check) bool { return s.Height >= c.Cutoff+cfg.Keep })
}

// slept admits the deadlines, of the last proving period at most, that passed
// between the head before and this one: what was lost in them is to be told.
func (s *State) slept(d dline.Info) {
	if s.Current.Length == 0 {
		return
	}
	first := max(s.Current.Open+d.WPoStChallengeWindow, d.Open-d.WPoStProvingPeriod)
	for open := first; open < d.Open; open += d.WPoStChallengeWindow {
		back := uint64((d.Open-open)/d.WPoStChallengeWindow) % d.WPoStPeriodDeadlines
		if s.window(open) == nil {
			shift := open - d.Open
			s.Windows = append(s.Windows, Window{
				Index: (d.Index + d.WPoStPeriodDeadlines - back) % d.WPoStPeriodDeadlines, Open: open, Close: d.Close + shift,
				Challenge: d.Challenge + shift, FaultCutoff: d.FaultCutoff + shift, LastErr: "the sealer was not running, or saw no heads",
			})
		}
	}
}

// upcoming lists the current deadline and those after it while ok says so, at
// most one proving period.
func upcoming(d dline.Info, ok func(dline.Info) bool) []dline.Info {
	var out []dline.Info
	for k := uint64(0); k < d.WPoStPeriodDeadlines; k++ {
		shift := abi.ChainEpoch(k) * d.WPoStChallengeWindow
		n := d
		n.Open, n.Close, n.Challenge, n.FaultCutoff = d.Open+shift, d.Close+shift, d.Challenge+shift, d.FaultCutoff+shift
		n.Index = (d.Index + k) % d.WPoStPeriodDeadlines
		if !ok(n) {
			break
		}
		out = append(out, n)
	}
	return out
}

func (s *State) proofReady(cfg Config, e ProofReady) {
	g := s.group(e.Open, e.Group)
	if g == nil || !g.unproved() {
		return
	}
	g.Tries, g.RetryAt, g.LastErr = 0, 0, ""
	if e.Proof == nil {
		g.Phase, g.LastErr, g.RetryAt = Nothing, e.Why, s.Height+max(cfg.StuckAfter, 1)
		return
	}
	g.Phase, g.Proof = Proved, e.Proof
	g.name(cfg, e.Open)
}

// unproved tells whether a proof has to be made first.
func (g Group) unproved() bool { return g.Phase == Proving || g.Phase == Nothing }

// name fixes the id of the next message.
func (g *Group) name(cfg Config, open abi.ChainEpoch) {
	g.Attempt++
	g.MessageID = sector.MessageID(cfg.Miner, fmt.Sprintf("open-%d-partition-%d", open, g.Partitions[0]), sector.KindWindowPoSt, g.Attempt)
}

// again prepares another message with the same proof.
func (g *Group) again(cfg Config, open, height abi.ChainEpoch, why string) {
	g.Phase, g.LastErr = Proved, why
	g.Tries++
	g.RetryAt = height + 1
	g.name(cfg, open)
}

// onChain compares the groups with what the chain has as proven.
func (s *State) onChain(cfg Config, e OnChain) {
	w := s.window(e.Open)
	if w == nil {
		return
	}
	for i := range w.Groups {
		g := &w.Groups[i]
		left := slices.DeleteFunc(slices.Clone(g.Partitions), func(p uint64) bool { return slices.Contains(e.Partitions, p) })
		switch {
		case len(left) == 0:
			g.Phase, g.LastErr = Landed, "" // the proof stays: a reorg may ask for it again
		case g.Phase == Landed: // a reorg took it out; the messager lands the same message again
			g.Phase, g.PushedAt = Pushed, s.Height
		case len(left) < len(g.Partitions): // someone proved a part: the rest needs its own proof
			g.Partitions, g.Phase, g.Proof = left, Proving, nil
		case g.Phase == Pushed && s.Height-g.PushedAt >= cfg.StuckAfter:
			g.again(cfg, e.Open, s.Height, fmt.Sprintf("the message did not land within %d epochs", s.Height-g.PushedAt))
		}
	}
}

func (s *State) checked(cfg Config, e Checked) {
	for i := range s.Checks {
		c := &s.Checks[i]
		if c.Open != e.Open || c.Done {
			continue
		}
		c.Done = !e.Declared && e.Bad == 0
		c.RetryAt, c.Bad, c.Why, c.LastErr = s.Height+max(cfg.StuckAfter, 1), e.Bad, e.Why, ""
		c.FaultsDeclared, c.RecoverDeclared = e.Faults, e.Recoveries
		if e.Declared {
			c.Attempt++
		}
	}
}

func (s *State) trouble(e Trouble) {
	if e.Check {
		for i := range s.Checks {
			if s.Checks[i].Open == e.Open {
				s.Checks[i].RetryAt, s.Checks[i].LastErr = s.Height+1, e.Err
			}
		}
		return
	}
	if e.Group < 0 {
		if w := s.window(e.Open); w != nil {
			w.RetryAt, w.LastErr = s.Height+1, e.Err
		}
		return
	}
	if g := s.group(e.Open, e.Group); g != nil {
		g.Tries++
		g.RetryAt, g.LastErr = s.Height+1, e.Err
	}
}

// MarkReported records that the loss of a deadline was told.
func (s State) MarkReported(open abi.ChainEpoch) State {
	s = s.clone()
	if w := s.window(open); w != nil {
		w.Reported = true
	}
	return s
}

// reportAfter is how long after the close a loss is told: what landed in the
// last epoch of a deadline is only seen after it.
const reportAfter = 2

// Due derives the actions that are called for, the soonest closing deadline
// first. A push needs one epoch to be executed in, so it ends two before the close.
func Due(cfg Config, s State) []Action {
	var out []Action
	for _, w := range s.Windows {
		if s.Height >= w.Close {
			if (!w.Loaded || len(w.missing()) > 0) && !w.Reported && s.Height >= max(w.Close+reportAfter, w.RetryAt) {
				out = append(out, Report{Window: w})
			}
			continue
		}
		if !w.Loaded {
			if s.Height >= w.RetryAt && s.Height >= w.Challenge+cfg.ChallengeConfidence {
				out = append(out, Load{Window: w})
			}
			continue
		}
		if s.Height >= w.Open && slices.ContainsFunc(w.Groups, func(g Group) bool { return g.Phase != Nothing }) {
			out = append(out, Look{Window: w})
		}
		for i, g := range w.Groups {
			late := s.Height+1 >= w.Close
			switch {
			case late || s.Height < g.RetryAt:
			case g.unproved() && s.Height >= w.Challenge+cfg.ChallengeConfidence:
				out = append(out, Prove{Window: w, Group: i})
			case g.Phase == Proved && s.Height >= w.Open+cfg.SubmitConfidence:
				out = append(out, Push{Window: w, Group: i})
			}
		}
	}
	for _, c := range s.Checks {
		if !c.Done && s.Height < c.Cutoff && s.Height >= c.RetryAt {
			out = append(out, CheckFiles{Check: c})
		}
	}
	return out
}

// missing lists the partitions that are not known to be proven.
func (w Window) missing() []uint64 {
	var out []uint64
	for _, g := range w.Groups {
		if g.Phase != Landed {
			out = append(out, g.Partitions...)
		}
	}
	return out
}

// unproved counts the groups whose proofs are still to be made.
func (w Window) unproved() (n int) {
	for _, g := range w.Groups {
		if g.unproved() {
			n++
		}
	}
	return n
}

func (s *State) window(open abi.ChainEpoch) *Window {
	for i := range s.Windows {
		if s.Windows[i].Open == open {
			return &s.Windows[i]
		}
	}
	return nil
}

func (s *State) group(open abi.ChainEpoch, i int) *Group {
	w := s.window(open)
	if w == nil || i < 0 || i >= len(w.Groups) {
		return nil
	}
	return &w.Groups[i]
}

func (s State) clone() State {
	s.Windows = slices.Clone(s.Windows)
	for i := range s.Windows {
		s.Windows[i].Groups = slices.Clone(s.Windows[i].Groups)
		for j := range s.Windows[i].Groups {
			s.Windows[i].Groups[j].Partitions = slices.Clone(s.Windows[i].Groups[j].Partitions)
		}
	}
	s.Checks = slices.Clone(s.Checks)
	return s
}

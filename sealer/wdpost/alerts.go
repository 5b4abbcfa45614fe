package wdpost

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/params"
)

// Alert is trouble that a person can still mend. From Cutoff on nothing helps,
// and it is told no more.
type Alert struct {
	// Key names the trouble: as long as it lasts it is told once.
	Key      string
	Deadline uint64
	Cutoff   abi.ChainEpoch
	Text     string
}

// Alerts derives what is worth waking somebody for at an epoch, the soonest
// cutoff first. The epoch is told by the clock, not by the head: a silent node is
// trouble too.
func Alerts(cfg Config, s State, at abi.ChainEpoch) []Alert {
	at = max(at, s.Height)
	out := s.silence(at)
	for _, w := range s.Windows {
		out = append(out, w.alerts(at)...)
	}
	for _, c := range s.Checks {
		out = append(out, c.alerts(cfg, at)...)
	}
	out = slices.DeleteFunc(out, func(a Alert) bool { return at >= a.Cutoff })
	slices.SortStableFunc(out, func(a, b Alert) int { return cmp.Compare(a.Cutoff, b.Cutoff) })
	return out
}

// silence is no head for a quarter of a window, told again for every deadline
// that it lasts into.
func (s State) silence(at abi.ChainEpoch) []Alert {
	c, behind := s.Current, at-s.Height
	if c.Length == 0 || behind < max(c.Length/4, 5) {
		return nil
	}
	n := (at - c.Open) / c.Length
	i := (c.Index + uint64(n)) % params.PostDeadlines
	return []Alert{{
		Key: fmt.Sprintf("silence %d", c.Open+n*c.Length), Deadline: i, Cutoff: c.Open + (n+1)*c.Length,
		Text: fmt.Sprintf("deadline %d closes at epoch %d and cannot be proven without a new head: the node gave none for %d epochs", i, c.Open+(n+1)*c.Length, behind),
	}}
}

// lastPush is the first epoch in which a push comes too late: a message needs
// one epoch to be executed in.
func (w Window) lastPush() abi.ChainEpoch { return w.Close - 1 }

// alerts tells what is not proven when half of the window is over, and at once
// what does not get better by waiting.
func (w Window) alerts(at abi.ChainEpoch) []Alert {
	half := at >= w.Open+(w.Close-w.Open)/2
	add := func(out []Alert, key, text string) []Alert {
		text = fmt.Sprintf("deadline %d closes at epoch %d, in %d epochs: %s", w.Index, w.Close, w.Close-at, text)
		return append(out, Alert{Key: fmt.Sprintf("window %d %s", w.Open, key), Deadline: w.Index, Cutoff: w.lastPush(), Text: text})
	}
	if !w.Loaded {
		if !half || w.LastErr == "" && at < w.Close-(w.Close-w.Open)/4 {
			return nil
		}
		return add(nil, "load", "its partitions could not be read: "+reason(w.LastErr))
	}
	var out []Alert
	for i, g := range w.Groups {
		hopeless := g.Phase == Nothing || g.Tries >= patience
		if g.Phase == Landed || !half && !hopeless {
			continue
		}
		out = add(out, fmt.Sprint(i), fmt.Sprintf("partitions %v are %s", g.Partitions, g.standing()))
	}
	return out
}

// patience is how many failures in a row of one step are worth an alert at once.
const patience = 3

// standing says in words how far a group is.
func (g Group) standing() string {
	failed := ""
	if g.LastErr != "" {
		failed = ": " + reason(g.LastErr)
	}
	switch g.Phase {
	case Proved:
		return "proven but not sent" + failed
	case Pushed:
		return "sent as message " + g.MessageID + " and not on the chain" + failed
	case Nothing:
		return "not provable" + failed
	case Landed:
		return "proven on the chain"
	}
	return "not proven yet" + failed
}

// alerts tells bad files as soon as they are known, and what is not declared
// when half of the time for it is over.
func (c Check) alerts(cfg Config, at abi.ChainEpoch) []Alert {
	var out []Alert
	if c.Bad > 0 {
		out = append(out, Alert{
			Key: fmt.Sprintf("files %d", c.Open), Deadline: c.Index, Cutoff: c.Cutoff,
			Text: fmt.Sprintf("sectors of deadline %d that cannot be proven: %d, the first is %s; mend their files before the proof is made, at epoch %d, and those that are faulty already before epoch %d, in %d epochs",
				c.Index, c.Bad, reason(c.Why), c.Open-params.PostChallengeLookback, c.Cutoff, c.Cutoff-at),
		})
	}
	if c.Done || at < c.Cutoff-cfg.CheckLead/2 {
		return out
	}
	late := func(text string) {
		out = append(out, Alert{
			Key: fmt.Sprintf("declare %d", c.Open), Deadline: c.Index, Cutoff: c.Cutoff,
			Text: fmt.Sprintf("faults and recoveries of deadline %d can be declared for %d more epochs: %s", c.Index, c.Cutoff-at, text),
		})
	}
	switch {
	case c.LastErr != "":
		late("its files could not be checked: " + reason(c.LastErr))
	case c.FaultsDeclared+c.RecoverDeclared > 0:
		late(fmt.Sprintf("the message with %d faults and %d recoveries is not on the chain", c.FaultsDeclared, c.RecoverDeclared))
	case c.Attempt == 0 && c.Bad == 0 && at >= c.Cutoff-cfg.CheckLead/4:
		late("its files are not checked yet")
	}
	return out
}

// reason is the first line of an error.
func reason(text string) string {
	if text == "" {
		return "no reason is known"
	}
	line, _, _ := strings.Cut(text, "\n")
	return line
}

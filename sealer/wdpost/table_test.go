package wdpost

import (
	"fmt"
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/internal/golden"
)

// standing is a state that an event can meet: a deadline [100,120) with one group.
type standing struct {
	name  string
	state func() State
}

func standings() []standing {
	at := func(h abi.ChainEpoch, loaded bool, groups ...Group) func() State {
		return func() State {
			return State{
				Height: h, Current: Current{Index: 5, Open: 100, Length: 20},
				Windows: []Window{{Index: 5, Open: 100, Close: 120, Challenge: 80, FaultCutoff: 30, Loaded: loaded, Groups: groups}},
				Checks:  []Check{{Index: 11, Open: 220, Cutoff: 150}},
			}
		}
	}
	with := func(p Phase) Group {
		g := Group{Partitions: []uint64{0, 1}, Phase: p}
		if p != Proving && p != Nothing {
			g.Proof, g.Attempt, g.MessageID, g.PushedAt = &Proof{}, 1, "m1", 95
		}
		return g
	}
	var out []standing
	for _, when := range []struct {
		name string
		h    abi.ChainEpoch
	}{{"before", 90}, {"open", 105}, {"late", 119}, {"closed", 122}} {
		out = append(out, standing{when.name + " unread", at(when.h, false)}, standing{when.name + " empty", at(when.h, true)})
		for _, p := range []Phase{Proving, Proved, Pushed, Landed, Nothing} {
			out = append(out, standing{when.name + " " + string(p), at(when.h, true, with(p))})
		}
	}
	return append(out, standing{"none", func() State { return State{Height: 105, Current: Current{Index: 5, Open: 100, Length: 20}} }})
}

// events is every kind of event, and those kinds in every form that matters.
func tableEvents() []struct {
	name string
	ev   Event
} {
	return []struct {
		name string
		ev   Event
	}{
		{"head same window", Head{Deadline: info(20, 106)}},
		{"head next window", Head{Deadline: info(20, 123)}},
		{"head forgotten", Head{Deadline: info(20, 125)}},
		{"head reverted", Head{Deadline: info(20, 85)}},
		{"head after sleep", Head{Deadline: info(20, 165)}},
		{"loaded", PartitionsLoaded{Open: 100, Groups: [][]uint64{{0}, {1}}}},
		{"loaded none", PartitionsLoaded{Open: 100}},
		{"proof", ProofReady{Open: 100, Proof: &Proof{}}},
		{"proof of no sector", ProofReady{Open: 100, Why: "bad disk"}},
		{"proof of other group", ProofReady{Open: 100, Group: 9, Proof: &Proof{}}},
		{"seed", SeedChanged{Open: 100}},
		{"pushed", MessagePushed{Open: 100}},
		{"lost", MessageLost{Open: 100, ID: "m1", Err: "exit 16"}},
		{"lost older", MessageLost{Open: 100, ID: "m0", Err: "exit 16"}},
		{"on chain none", OnChain{Open: 100}},
		{"on chain part", OnChain{Open: 100, Partitions: []uint64{1}}},
		{"on chain all", OnChain{Open: 100, Partitions: []uint64{0, 1}}},
		{"checked well", Checked{Open: 220}},
		{"checked declared", Checked{Open: 220, Recoveries: 2, Declared: true}},
		{"checked bad", Checked{Open: 220, Bad: 1, Why: "sector 7: gone"}},
		{"load trouble", Trouble{Open: 100, Group: -1, Err: "away"}},
		{"group trouble", Trouble{Open: 100, Err: "away"}},
		{"check trouble", Trouble{Open: 220, Check: true, Err: "away"}},
	}
}

// TestTable holds every (state, event) pair against testdata/transitions.table: what becomes of the state and what is
// called for then. A pair that changes nothing is marked with =.
func TestTable(t *testing.T) {
	cfg := Config{Miner: 1000, StuckAfter: 6, Keep: 5}
	name := func(id string) string {
		if id == "" || id == "m1" {
			return id
		}
		return "m2"
	}
	show := func(s State) string {
		var out []string
		for _, w := range s.Windows {
			line := fmt.Sprintf("[%d,%d)", w.Open, w.Close)
			if !w.Loaded {
				line += " unread"
			}
			if w.RetryAt > 0 {
				line += fmt.Sprintf(" retry@%d", w.RetryAt)
			}
			for _, g := range w.Groups {
				line += fmt.Sprintf(" %v %s %s", g.Partitions, g.Phase, name(g.MessageID))
				if g.RetryAt > 0 {
					line += fmt.Sprintf(" retry@%d", g.RetryAt)
				}
				line = strings.TrimRight(line, " ")
			}
			out = append(out, line)
		}
		for _, c := range s.Checks {
			out = append(out, fmt.Sprintf("check %d done=%v retry@%d #%d", c.Open, c.Done, c.RetryAt, c.Attempt))
		}
		return strings.Join(out, "; ")
	}
	due := func(s State) string {
		var out []string
		for _, a := range Due(cfg, s) {
			out = append(out, a.Key())
		}
		if len(out) == 0 {
			return "nothing"
		}
		return strings.Join(out, ", ")
	}
	var b strings.Builder
	for _, st := range standings() {
		s := st.state()
		fmt.Fprintf(&b, "%s: %s\n    due: %s\n", st.name, show(s), due(s))
		for _, e := range tableEvents() {
			next := Step(cfg, s, e.ev)
			if show(st.state()) != show(s) {
				t.Fatalf("%s, %s: the step changed the state that it was given", st.name, e.name)
			}
			if show(next) == show(s) && due(next) == due(s) {
				fmt.Fprintf(&b, "  %-21s =\n", e.name)
				continue
			}
			fmt.Fprintf(&b, "  %-21s %s\n%25sdue: %s\n", e.name, show(next), "", due(next))
		}
	}
	golden.Equal(t, "testdata/transitions.table", b.String())
}

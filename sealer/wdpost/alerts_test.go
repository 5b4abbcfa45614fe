package wdpost

import (
	"fmt"
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestEveryLossWasAlerted lets every action fail as it likes for ten deadlines: what was not proven in the end had been
// told before its cutoff, and nothing was told after one.
func TestEveryLossWasAlerted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := Config{Miner: 1000, StuckAfter: 6, CheckLead: 40, Keep: 5}
		luck := rapid.IntRange(0, 9).Draw(rt, "luck") // out of 10
		lucky := func(what string) bool { return rapid.IntRange(0, 9).Draw(rt, what) < luck }
		var s State
		told, reports := map[abi.ChainEpoch]bool{}, 0
		for e := abi.ChainEpoch(100); e < 300; e++ {
			s = Step(cfg, s, Head{Deadline: info(20, e)})
			for _, a := range Due(cfg, s) {
				switch x := a.(type) {
				case Load:
					if lucky("load") {
						s = Step(cfg, s, PartitionsLoaded{Open: x.Window.Open, Groups: [][]uint64{{0, 1}, {2}}})
					} else {
						s = Step(cfg, s, Trouble{Open: x.Window.Open, Group: -1, Err: "away"})
					}
				case Prove:
					switch {
					case lucky("prove"):
						s = Step(cfg, s, ProofReady{Open: x.Window.Open, Group: x.Group, Proof: &Proof{}})
					case lucky("files"):
						s = Step(cfg, s, ProofReady{Open: x.Window.Open, Group: x.Group, Why: "no files"})
					default:
						s = Step(cfg, s, Trouble{Open: x.Window.Open, Group: x.Group, Err: "slow"})
					}
				case Push:
					if lucky("push") {
						s = Step(cfg, s, MessagePushed{Open: x.Window.Open, Group: x.Group})
					} else {
						s = Step(cfg, s, Trouble{Open: x.Window.Open, Group: x.Group, Err: "away"})
					}
				case Look:
					var done []uint64
					for _, g := range x.Window.Groups {
						if g.Phase == Landed || g.Phase == Pushed && lucky("land") {
							done = append(done, g.Partitions...)
						}
					}
					s = Step(cfg, s, OnChain{Open: x.Window.Open, Partitions: done})
				case Report:
					reports++
					if !told[x.Window.Open] {
						rt.Fatalf("the loss of [%d,%d) came without a warning: %+v", x.Window.Open, x.Window.Close, x.Window)
					}
					s = s.MarkReported(x.Window.Open)
				}
			}
			for _, a := range Alerts(cfg, s, e) {
				if e >= a.Cutoff {
					rt.Fatalf("told at %d what ended at %d: %s", e, a.Cutoff, a.Text)
				}
				var open abi.ChainEpoch
				if n, _ := fmt.Sscanf(a.Key, "window %d", &open); n == 1 {
					told[open] = true
				}
			}
		}
		if luck == 9 && reports > 6 {
			rt.Fatalf("%d losses with that much luck", reports)
		}
	})
}

// TestAlertsOfAGoodLife walks a period in which all goes well: nobody is woken.
func TestAlertsOfAGoodLife(t *testing.T) {
	cfg := Config{Miner: 1000, StuckAfter: 15, SubmitConfidence: 4, ChallengeConfidence: 1, CheckLead: 120, Keep: 10}
	var s State
	for e := abi.ChainEpoch(60); e < 48*60; e++ {
		s = Step(cfg, s, Head{Deadline: info(60, e)})
		for _, a := range Due(cfg, s) {
			switch x := a.(type) {
			case Load:
				s = Step(cfg, s, PartitionsLoaded{Open: x.Window.Open, Groups: [][]uint64{{0}}})
			case Prove:
				if e >= x.Window.Open+5 { // a proof takes 25 epochs
					s = Step(cfg, s, ProofReady{Open: x.Window.Open, Proof: &Proof{}})
				}
			case Push:
				s = Step(cfg, s, MessagePushed{Open: x.Window.Open})
			case Look:
				if g := x.Window.Groups[0]; g.Phase == Landed || g.Phase == Pushed && e >= g.PushedAt+5 {
					s = Step(cfg, s, OnChain{Open: x.Window.Open, Partitions: []uint64{0}})
				}
			case CheckFiles:
				s = Step(cfg, s, Checked{Open: x.Check.Open})
			case Report:
				t.Fatalf("a loss: %+v", x)
			}
		}
		for _, a := range Alerts(cfg, s, e) {
			// A start in the middle of things may be told.
			require.True(t, e < 180 && strings.Contains(a.Text, "deadline"), "%d: %s", e, a.Text)
		}
	}
}

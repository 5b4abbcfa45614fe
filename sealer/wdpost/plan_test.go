package wdpost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/dline"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/internal/golden"
)

// script runs a scenario of the planner. Deadlines start at epoch 0.
type script struct {
	t      *testing.T
	cfg    Config
	window abi.ChainEpoch
	state  State
	out    strings.Builder
}

func info(window, at abi.ChainEpoch) dline.Info {
	period := window * 48
	start := at - at%period
	return *dline.NewInfo(start, uint64((at-start)/window), at, 48, period, window, 20, 70)
}

func (s *script) run(line string) {
	f := strings.Fields(line)
	fmt.Fprintf(&s.out, "> %s\n", line)
	open := func() abi.ChainEpoch { return abi.ChainEpoch(s.num(f[1])) }
	switch f[0] {
	case "new":
		s.window = abi.ChainEpoch(s.num(f[1]))
		s.cfg = Config{Miner: 1000, ChallengeConfidence: 1, SubmitConfidence: 4, StuckAfter: 15, CheckLead: 0, Keep: 5}
		if s.window < 60 {
			s.cfg.ChallengeConfidence, s.cfg.SubmitConfidence, s.cfg.StuckAfter = 0, 0, 6
		}
		if len(f) > 2 {
			s.cfg.CheckLead = abi.ChainEpoch(s.num(f[2]))
		}
		s.state = State{}
		return
	case "head":
		s.apply(Head{Deadline: info(s.window, open())})
	case "loaded":
		s.apply(PartitionsLoaded{Open: open(), Groups: parseGroups(s, f[2:])})
	case "proof":
		s.apply(ProofReady{Open: open(), Group: s.num(f[2]), Proof: &Proof{Randomness: []byte("r")}})
	case "none":
		s.apply(ProofReady{Open: open(), Group: s.num(f[2]), Why: "no sector can be proven"})
	case "seed":
		s.apply(SeedChanged{Open: open(), Group: s.num(f[2])})
	case "pushed":
		s.apply(MessagePushed{Open: open(), Group: s.num(f[2])})
	case "lost":
		g := s.state.group(open(), s.num(f[2]))
		s.apply(MessageLost{Open: open(), Group: s.num(f[2]), ID: g.MessageID, Err: strings.Join(f[3:], " ")})
	case "lost-old":
		s.apply(MessageLost{Open: open(), Group: s.num(f[2]), ID: "an earlier id", Err: "x"})
	case "onchain":
		var list []uint64
		for _, x := range f[2:] {
			list = append(list, uint64(s.num(x)))
		}
		s.apply(OnChain{Open: open(), Partitions: list})
	case "trouble":
		s.apply(Trouble{Open: open(), Group: s.num(f[2]), Err: strings.Join(f[3:], " ")})
	case "check-trouble":
		s.apply(Trouble{Open: open(), Check: true, Err: "x"})
	case "load-trouble":
		s.apply(Trouble{Open: open(), Group: -1, Err: strings.Join(f[2:], " ")})
	case "checked": // OPEN RECOVERIES BAD
		ev := Checked{Open: open()}
		if len(f) > 2 {
			ev.Recoveries = uint64(s.num(f[2]))
			ev.Declared = ev.Recoveries > 0
		}
		if len(f) > 3 {
			ev.Bad, ev.Why = uint64(s.num(f[3])), "sector 7: gone"
		}
		s.apply(ev)
	case "clock": // what is told when the clock shows this epoch, without a head
		for _, a := range Alerts(s.cfg, s.state, open()) {
			fmt.Fprintf(&s.out, "  alert until %d: %s\n", a.Cutoff, a.Text)
		}
		return
	case "reported":
		s.state = s.state.MarkReported(open())
	default:
		s.t.Fatalf("unknown step %q", line)
	}
	s.show()
}

func (s *script) apply(ev Event) { s.state = Step(s.cfg, s.state, ev) }

func (s *script) num(x string) int {
	n, err := strconv.Atoi(x)
	require.NoError(s.t, err)
	return n
}

func parseGroups(s *script, words []string) [][]uint64 {
	var out [][]uint64
	for _, w := range words {
		var g []uint64
		for _, x := range strings.Split(w, ",") {
			g = append(g, uint64(s.num(x)))
		}
		out = append(out, g)
	}
	return out
}

func (s *script) show() {
	for _, w := range s.state.Windows {
		fmt.Fprintf(&s.out, "  deadline %d [%d,%d)", w.Index, w.Open, w.Close)
		for i, g := range w.Groups {
			fmt.Fprintf(&s.out, " %d:%v %s", i, g.Partitions, g.Phase)
			if g.Attempt > 0 {
				fmt.Fprintf(&s.out, " #%d", g.Attempt)
			}
			if g.LastErr != "" {
				fmt.Fprintf(&s.out, " (%s)", g.LastErr)
			}
		}
		s.out.WriteByte('\n')
	}
	for _, a := range Due(s.cfg, s.state) {
		fmt.Fprintf(&s.out, "  due: %s\n", a.Key())
	}
	for _, a := range Alerts(s.cfg, s.state, s.state.Height) {
		fmt.Fprintf(&s.out, "  alert until %d: %s\n", a.Cutoff, a.Text)
	}
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			s := &script{t: t}
			for _, line := range strings.Split(strings.TrimRight(string(want), "\n"), "\n") {
				switch {
				case strings.HasPrefix(line, "#"), line == "":
					s.out.WriteString(line + "\n")
				case strings.HasPrefix(line, "> "):
					s.run(strings.TrimPrefix(line, "> "))
				}
			}
			golden.Equal(t, file, s.out.String())
		})
	}
}

// TestCutoffsAndCloses walks every epoch of two proving periods and compares
// what is due with the actor's own bounds.
func TestCutoffsAndCloses(t *testing.T) {
	for _, window := range []abi.ChainEpoch{20, 60} {
		cfg := Config{Miner: 1000, StuckAfter: 5, CheckLead: 2 * window, Keep: 5}
		var s State
		checked, proved := map[abi.ChainEpoch]bool{}, map[abi.ChainEpoch]bool{}
		for e := abi.ChainEpoch(0); e < 2*48*window; e++ {
			s = Step(cfg, s, Head{Deadline: info(window, e)})
			for _, a := range Due(cfg, s) {
				switch x := a.(type) {
				case CheckFiles:
					require.Less(t, e, x.Check.Open-70, "a declaration at or after the cutoff is refused")
					require.EqualValues(t, x.Check.Open/window%48, x.Check.Index)
					checked[x.Check.Open] = true
					s = Step(cfg, s, Checked{Open: x.Check.Open})
				case Load:
					require.GreaterOrEqual(t, e, x.Window.Open-20)
					s = Step(cfg, s, PartitionsLoaded{Open: x.Window.Open, Groups: [][]uint64{{0}}})
				case Prove:
					s = Step(cfg, s, ProofReady{Open: x.Window.Open, Proof: &Proof{}})
				case Push:
					require.GreaterOrEqual(t, e, x.Window.Open)
					require.Less(t, e+1, x.Window.Close, "the message must be executed before the close")
					require.False(t, proved[x.Window.Open], "one message is enough")
					proved[x.Window.Open] = true
					s = Step(cfg, s, MessagePushed{Open: x.Window.Open})
				case Look:
					s = Step(cfg, s, OnChain{Open: x.Window.Open, Partitions: []uint64{0}})
				case Report:
					t.Fatalf("epoch %d: deadline %d was missed", e, x.Window.Open)
				}
			}
			require.LessOrEqual(t, len(s.Windows), 4)
		}
		require.GreaterOrEqual(t, len(proved), 94)
		require.GreaterOrEqual(t, len(checked), 90)
	}
}

// TestRandomTrouble throws events at the planner in any order: attempts only
// grow, message ids are never shared, nothing is pushed outside the window, and
// what the chain has as proven is not proven again.
func TestRandomTrouble(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := Config{Miner: 1000, StuckAfter: 5, CheckLead: 40, Keep: 5}
		var s State
		ids := map[string]string{}
		e := abi.ChainEpoch(100)
		for range rapid.IntRange(1, 120).Draw(rt, "steps") {
			e = max(e+abi.ChainEpoch(rapid.IntRange(-3, 4).Draw(rt, "epochs")), 0)
			s = Step(cfg, s, Head{Deadline: info(20, e)})
			open := abi.ChainEpoch(rapid.IntRange(int(e)/20, int(e)/20+1).Draw(rt, "deadline")) * 20
			g := rapid.IntRange(0, 1).Draw(rt, "group")
			ev := rapid.SampledFrom([]Event{
				PartitionsLoaded{Open: open, Groups: [][]uint64{{0, 1}, {2}}}, ProofReady{Open: open, Group: g, Proof: &Proof{}}, ProofReady{Open: open, Group: g},
				SeedChanged{Open: open, Group: g}, MessagePushed{Open: open, Group: g}, OnChain{Open: open}, OnChain{Open: open, Partitions: []uint64{0}}, OnChain{Open: open, Partitions: []uint64{0, 1, 2}},
				Trouble{Open: open, Group: g, Err: "x"}, Checked{Open: open, Declared: true}, Checked{Open: open},
			}).Draw(rt, "event")
			before := s.clone()
			s = Step(cfg, s, ev)
			for _, w := range s.Windows {
				for i, x := range w.Groups {
					if old := before.group(w.Open, i); old != nil && x.Attempt < old.Attempt {
						rt.Fatalf("an attempt was taken back")
					}
					key := fmt.Sprint(w.Open, "/", i)
					if owner, ok := ids[x.MessageID]; ok && owner != key && x.MessageID != "" {
						rt.Fatalf("message id of %s used by %s", owner, key)
					}
					ids[x.MessageID] = key
				}
			}
			for _, a := range Due(cfg, s) {
				if p, ok := a.(Push); ok && (e < p.Window.Open || e+1 >= p.Window.Close) {
					rt.Fatalf("push at %d for [%d,%d)", e, p.Window.Open, p.Window.Close)
				}
			}
		}
	})
}

func bits(n ...uint64) bitfield.BitField { return bitfield.NewFromSet(n) }

func TestStatement(t *testing.T) {
	a := Partition{Index: 0, All: bits(1, 3, 5, 9), Live: bits(1, 3, 5), Faulty: bits(3), Recovering: bits()}
	b := Partition{Index: 1, All: bits(2, 4), Live: bits(2, 4), Faulty: bits(2), Recovering: bits(2)}
	order, good, skipped, err := statement([]Partition{a, b}, bits(1, 7))
	require.NoError(t, err)
	// 1 is bad, 3 faulty, 9 terminated: the first good sector, 2, stands in for them.
	require.Equal(t, []abi.SectorNumber{2, 2, 2, 4, 5, 2}, order)
	all, err := good.All(10)
	require.NoError(t, err)
	require.Equal(t, []uint64{2, 4, 5}, all)
	s0, err := skipped[0].All(10)
	require.NoError(t, err)
	require.Equal(t, []uint64{1}, s0)
	empty, err := skipped[1].IsEmpty()
	require.NoError(t, err)
	require.True(t, empty)
	order, _, _, err = statement([]Partition{a}, bits(1, 5))
	require.NoError(t, err)
	require.Empty(t, order)
}

func TestGroups(t *testing.T) {
	live := Partition{All: bits(1), Live: bits(1)}
	dead := Partition{All: bits(1), Live: bits(1), Faulty: bits(1)}
	var parts []Partition
	for i := range uint64(6) {
		p := live
		if i == 2 {
			p = dead
		}
		p.Index = i
		parts = append(parts, p)
	}
	g, err := groups(parts, bits(4), 2)
	require.NoError(t, err)
	require.Equal(t, [][]uint64{{0, 1}, {3, 5}}, g)
}

func TestDeclare(t *testing.T) {
	p := Partition{All: bits(1, 2, 3, 4, 5), Live: bits(1, 2, 3, 4), Faulty: bits(2, 3, 4, 5), Recovering: bits(4)}
	d, err := declare(p, bits(1, 3, 9))
	require.NoError(t, err)
	f, err1 := d.Faults.All(9)
	r, err2 := d.Recoveries.All(9)
	require.NoError(t, errors.Join(err1, err2))
	require.Equal(t, []uint64{1}, f)
	require.Equal(t, []uint64{2}, r, "3 is still bad, 4 is declared, 5 is terminated")
}

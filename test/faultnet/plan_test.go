//go:build linux

package faultnet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// kind is a sort of fault.
type kind string

const (
	partition kind = "partition" // the nodes of side against the others, lines cut or held
	trouble   kind = "trouble"   // delay, jitter, loss and a low rate on every line
	resets    kind = "resets"    // connections are reset at random, every epoch
	halfOpen  kind = "half-open" // one node sends and hears nothing
	kill      kind = "kill -9"   // started again when the fault ends
	freeze    kind = "freeze"    // SIGSTOP, SIGCONT
	diskFull  kind = "disk full" // of the node that lives on a disk of its own
	wrongTime kind = "wrong clock"
)

// fault is one thing that goes wrong, from one epoch of its round to another.
type fault struct {
	kind        kind
	from, until int
	node        int
	side        []bool // partition: on which side each node is
	hold        bool   // partition: swallow instead of cut
	line        line   // trouble
	part        float64
	offset      time.Duration
}

func (f fault) String() string {
	at := fmt.Sprintf("epochs %d to %d: ", f.from, f.until)
	switch f.kind {
	case partition:
		var a, b []string
		for i, left := range f.side {
			if left {
				a = append(a, fmt.Sprint(i))
			} else {
				b = append(b, fmt.Sprint(i))
			}
		}
		how := "cut"
		if f.hold {
			how = "held"
		}
		return fmt.Sprintf("%s%s {%s}|{%s}, %s", at, f.kind, strings.Join(a, " "), strings.Join(b, " "), how)
	case trouble:
		return fmt.Sprintf("%s%s: %s + up to %s, %.0f%% lost, %d kB/s", at, f.kind, f.line.delay, f.line.jitter, f.line.loss*100, f.line.rate/1000)
	case resets:
		return fmt.Sprintf("%s%s of %.0f%%", at, f.kind, f.part*100)
	case wrongTime:
		return fmt.Sprintf("%s%s of node %d by %s", at, f.kind, f.node, f.offset)
	case diskFull:
		return at + string(f.kind)
	}
	return fmt.Sprintf("%s%s, node %d", at, f.kind, f.node)
}

// round is a time of faults, after which everything is healed.
type round struct {
	epochs int
	faults []fault
}

// Lengths, in epochs.
const (
	leastPartition = 5
	mostPartition  = 200
	// convergence is what the nodes have after healing, calm what they get to show that it lasts.
	convergence = 10
	calm        = 3
	// besides is what a round takes besides its faults, as a rule.
	besides = calm + 3
)

// planner draws rounds.
type planner struct {
	r     *rand.Rand
	nodes int
	disk  bool // there is a disk to fill
}

// plan draws rounds for so many epochs. The first rounds have every kind of fault in them; later ones are mixed. When there
// is time for it one partition lasts as long as partitions do.
func plan(seed uint64, epochs, nodes int, disk bool) []round {
	p := planner{r: rand.New(rand.NewPCG(seed, 0)), nodes: nodes, disk: disk}
	var out []round
	left := epochs
	add := func(r round) {
		out = append(out, r)
		left -= r.epochs + besides
	}
	first := p.round(8, partition, kill)
	add(first)
	add(p.round(8, trouble, diskFull, wrongTime))
	if left >= 10+20+2*besides {
		add(p.round(10, halfOpen, freeze, resets))
		add(p.round(20, partition, trouble))
	}
	if left > 2*mostPartition {
		add(p.round(mostPartition, partition, kill))
	}
	for left > 2*leastPartition+besides {
		// From 5 epochs to what is left, short ones as often as long ones.
		most := math.Min(float64(left-besides), mostPartition)
		n := int(leastPartition * math.Pow(most/leastPartition, p.r.Float64()))
		kinds := []kind{partition, trouble, resets, halfOpen, kill, freeze, diskFull, wrongTime}
		p.r.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		kinds = kinds[:1+p.r.IntN(3)]
		if p.r.IntN(2) == 0 {
			kinds = append(kinds, partition)
		}
		add(p.round(n, kinds...))
	}
	return out
}

// round draws one with the given kinds of faults, each once.
func (p planner) round(epochs int, kinds ...kind) round {
	out := round{epochs: epochs}
	seen := map[kind]bool{}
	for _, k := range kinds {
		if seen[k] || k == diskFull && !p.disk {
			continue
		}
		seen[k] = true
		out.faults = append(out.faults, p.fault(k, epochs))
	}
	return out
}

func (p planner) fault(k kind, epochs int) fault {
	f := fault{kind: k, node: p.r.IntN(p.nodes), until: epochs}
	if k != partition { // those last for all of the round
		f.from = p.r.IntN(epochs/2 + 1)
		f.until = min(epochs, f.from+2+p.r.IntN(epochs-f.from))
	}
	ms := func(n int) time.Duration { return time.Duration(p.r.IntN(n)) * time.Millisecond }
	switch k {
	case partition:
		order := p.r.Perm(p.nodes)
		f.side = make([]bool, p.nodes)
		for _, i := range order[:1+p.r.IntN(p.nodes-1)] {
			f.side[i] = true
		}
		f.hold = p.r.IntN(3) == 0
	case trouble:
		f.line = line{delay: ms(400), jitter: ms(300), loss: p.r.Float64() / 5, rate: 200_000 + p.r.IntN(1_000_000)}
	case resets:
		f.part = 0.1 + p.r.Float64()/2
	case wrongTime:
		f.offset = time.Second + ms(20_000)
		if p.r.IntN(2) == 0 {
			f.offset = -f.offset
		}
	}
	return f
}

// TestPlan: the same seed gives the same plan, plans fit their time, and what long runs promise is in them.
func TestPlan(t *testing.T) {
	for seed := range uint64(200) {
		for _, epochs := range []int{30, 45, 90, 400, 900, 1800} {
			rounds := plan(seed, epochs, 5, true)
			require.Equal(t, rounds, plan(seed, epochs, 5, true))
			kinds, used, longest := map[kind]int{}, 0, 0
			for _, r := range rounds {
				used += r.epochs + besides
				for _, f := range r.faults {
					kinds[f.kind]++
					require.Less(t, f.from, f.until)
					require.LessOrEqual(t, f.until, r.epochs)
					require.NotEmpty(t, f.String())
					if f.kind != partition {
						continue
					}
					longest = max(longest, r.epochs)
					require.GreaterOrEqual(t, r.epochs, leastPartition)
					require.Contains(t, f.side, true, "nobody is on one side")
					require.Contains(t, f.side, false)
				}
			}
			require.LessOrEqual(t, used, max(epochs, 28), "%d rounds", len(rounds))
			for _, k := range []kind{partition, trouble, kill, diskFull, wrongTime} {
				require.Positive(t, kinds[k], k)
			}
			if epochs >= 900 {
				require.Equal(t, mostPartition, longest)
				require.Positive(t, kinds[halfOpen]*kinds[freeze]*kinds[resets])
			}
		}
	}
	require.NotEqual(t, plan(1, 900, 5, true), plan(2, 900, 5, true))
	for _, r := range plan(1, 900, 5, false) {
		for _, f := range r.faults {
			require.NotEqual(t, diskFull, f.kind)
		}
	}
}

package sched

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/sealer/sector"
)

var start = time.Unix(1e9, 0)

var everyKind = append([]sector.TaskKind{WinningPoSt, WindowPoSt}, sector.TaskKinds()...)

func drawTask(t *rapid.T, id string) Task {
	return Task{
		ID: id, Kind: rapid.SampledFrom(everyKind).Draw(t, "kind"), Created: start.Add(-time.Duration(rapid.IntRange(0, 200).Draw(t, "age")) * time.Minute),
		Need: Need{Cores: rapid.IntRange(0, 6).Draw(t, "cores"), Memory: rapid.Uint64Range(0, 12).Draw(t, "memory"), Disk: rapid.Uint64Range(0, 5).Draw(t, "disk")},
		Path: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "path"), Near: rapid.SampledFrom([]string{"", "m0", "m1"}).Draw(t, "near"),
		Reads: rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 2).Draw(t, "reads"),
	}
}

func drawWorld(t *rapid.T) World {
	w := World{Now: start, Free: map[string]uint64{}}
	for _, p := range []string{"a", "b"} {
		w.Free[p] = rapid.Uint64Range(0, 12).Draw(t, "free")
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "workers") {
		x := Worker{
			ID: fmt.Sprint("w", i), Machine: fmt.Sprint("m", rapid.IntRange(0, 2).Draw(t, "machine")), Cores: rapid.IntRange(0, 8).Draw(t, "cores"),
			Memory: rapid.Uint64Range(0, 16).Draw(t, "memory"), Slots: rapid.IntRange(0, 3).Draw(t, "slots"), Kinds: map[sector.TaskKind]int{},
			Away: rapid.SampledFrom([]string{"", "", "", "it drains"}).Draw(t, "away"),
		}
		for _, k := range everyKind {
			if n := rapid.IntRange(-1, 2).Draw(t, "limit"); n >= 0 {
				x.Kinds[k] = n
			}
		}
		if rapid.Bool().Draw(t, "some paths") {
			x.Reaches = map[string]bool{"a": rapid.Bool().Draw(t, "a"), "c": true}
		}
		for j := range rapid.IntRange(0, 3).Draw(t, "running") {
			x.Running = append(x.Running, drawTask(t, fmt.Sprint("r", i, "-", j)))
		}
		w.Workers = append(w.Workers, x)
	}
	for i := range rapid.IntRange(0, 12).Draw(t, "tasks") {
		w.Waiting = append(w.Waiting, drawTask(t, fmt.Sprint("t", i)))
	}
	return w
}

// model is the dumb truth: it knows who runs what, and adds up anew each time.
type model struct {
	w    World
	runs map[string][]Task
}

func newModel(w World) model {
	m := model{w, map[string][]Task{}}
	for _, x := range w.Workers {
		m.runs[x.ID] = slices.Clone(x.Running)
	}
	return m
}

// fits adds everything up as if nothing else had ever been computed.
func (m model) fits(id string, t Task) bool {
	x := m.w.Workers[slices.IndexFunc(m.w.Workers, func(x Worker) bool { return x.ID == id })]
	limit, takes := x.Kinds[t.Kind]
	if !takes || x.Away != "" || t.Path != "" && x.Reaches != nil && !x.Reaches[t.Path] {
		return false
	}
	for _, dir := range t.Reads {
		if x.Reaches != nil && !x.Reaches[dir] {
			return false
		}
	}
	cores, memory := m.capacity(x.Machine)
	usedCores, usedMemory, kind := 0, t.Need.Memory, 0
	for _, w := range m.w.Workers {
		for _, r := range m.runs[w.ID] {
			if w.Machine == x.Machine {
				usedCores += bounded(r.Need.Cores, cores)
				usedMemory += r.Need.Memory
			}
			if w.ID == id && r.Kind == t.Kind {
				kind++
			}
		}
	}
	if free, ok := m.w.Free[t.Path]; ok && m.disk(t.Path)+t.Need.Disk > free && t.Need.Disk > 0 {
		return false
	}
	return (limit == 0 || kind < limit) && (x.Slots == 0 || len(m.runs[id]) < x.Slots) &&
		(cores == 0 || usedCores+bounded(t.Need.Cores, cores) <= cores) && (memory == 0 || usedMemory <= memory)
}

func (m model) disk(path string) (n uint64) {
	for _, list := range m.runs {
		for _, r := range list {
			if r.Path == path {
				n += r.Need.Disk
			}
		}
	}
	return n
}

func bounded(n, cores int) int {
	if cores == 0 {
		return n
	}
	return min(n, cores)
}

func (m model) capacity(machine string) (cores int, memory uint64) {
	unlimitedCores, unlimitedMemory := false, false
	for _, w := range m.w.Workers {
		if w.Machine == machine {
			cores, memory = max(cores, w.Cores), max(memory, w.Memory)
			unlimitedCores, unlimitedMemory = unlimitedCores || w.Cores == 0, unlimitedMemory || w.Memory == 0
		}
	}
	if unlimitedCores {
		cores = 0
	}
	if unlimitedMemory {
		memory = 0
	}
	return cores, memory
}

// TestAgainstTheDumbModel replays each decision: what is placed fits at that
// moment, and what is not placed fits nowhere, unless a machine is kept free for
// something more urgent.
func TestAgainstTheDumbModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		got := map[string]string{}
		for _, a := range Decide(w) {
			require.NotContains(t, got, a.Task, "given twice")
			got[a.Task] = a.Worker
		}
		m := newModel(w)
		ordered := slices.Clone(w.Waiting)
		Order(ordered, w.Now)
		passedOver := false // a patient or urgent task that may have a machine kept free
		for i, task := range ordered {
			if i > 0 {
				require.LessOrEqual(t, rank(&ordered[i-1], w.Now), rank(&task, w.Now))
			}
			if id, placed := got[task.ID]; placed {
				require.True(t, m.fits(id, task), "%s does not fit on %s", task.ID, id)
				m.runs[id] = append(m.runs[id], task)
				delete(got, task.ID)
				continue
			}
			for _, x := range w.Workers {
				if m.fits(x.ID, task) {
					require.True(t, passedOver, "%s fits on %s and nothing more urgent waits", task.ID, x.ID)
				}
			}
			passedOver = passedOver || urgent(task.Kind) || w.Now.Sub(task.Created) >= patience
		}
		require.Empty(t, got, "tasks nobody asked for")
	})
}

// TestExplainSaysWhatDecideDoes holds the words against the deeds.
func TestExplainSaysWhatDecideDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		got := map[string]string{}
		for _, a := range Decide(w) {
			got[a.Task] = a.Worker
		}
		for _, task := range w.Waiting {
			list := Explain(w, task.ID)
			require.Len(t, list, len(w.Workers))
			chosen := ""
			for _, r := range list {
				if r.Reason == "" {
					require.Empty(t, chosen)
					chosen = r.Worker
				}
			}
			require.Equal(t, got[task.ID], chosen)
		}
	})
	require.Nil(t, Explain(World{}, "none"))
}

// TestNothingStarves floods two machines with seven times the small, more urgent
// tasks that they can do. A task that needs a whole machine, and one of the least
// urgent kind, are done once those of the first half hour are: ageing puts them
// before all later ones.
func TestNothingStarves(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	w := World{Now: start}
	for i := range 2 {
		w.Workers = append(w.Workers, Worker{ID: fmt.Sprint("w", i), Machine: fmt.Sprint("m", i), Cores: 8, Memory: 64, Kinds: map[sector.TaskKind]int{
			sector.TaskPreCommit1: 0, sector.TaskCommit2: 0, sector.TaskAddPiece: 0,
		}})
	}
	w.Waiting = []Task{
		{ID: "big", Kind: sector.TaskPreCommit1, Need: Need{Cores: 8, Memory: 64}, Created: start},
		{ID: "least", Kind: sector.TaskAddPiece, Need: Need{Cores: 1, Memory: 1}, Created: start},
	}
	ends, began := map[string]time.Time{}, map[string]time.Time{}
	for n := 0; w.Now.Before(start.Add(6 * time.Hour)); n++ {
		w.Now = w.Now.Add(time.Minute)
		for range 4 {
			w.Waiting = append(w.Waiting, Task{ID: fmt.Sprint("small", n, "-", rng.Uint64()), Kind: sector.TaskCommit2, Need: Need{Cores: 3, Memory: 9}, Created: w.Now})
		}
		for i := range w.Workers {
			w.Workers[i].Running = slices.DeleteFunc(w.Workers[i].Running, func(t Task) bool { return !ends[t.ID].After(w.Now) })
		}
		for _, a := range Decide(w) {
			i := slices.IndexFunc(w.Waiting, func(t Task) bool { return t.ID == a.Task })
			j := slices.IndexFunc(w.Workers, func(x Worker) bool { return x.ID == a.Worker })
			w.Workers[j].Running = append(w.Workers[j].Running, w.Waiting[i])
			began[a.Task], ends[a.Task] = w.Now, w.Now.Add(time.Duration(1+rng.IntN(20))*time.Minute)
			w.Waiting = slices.Delete(w.Waiting, i, i+1)
		}
	}
	for _, id := range []string{"big", "least"} {
		require.Contains(t, began, id)
		require.Less(t, began[id].Sub(start), 4*time.Hour, id)
	}
}

// TestProofsWithADeadlineGoFirst gives the last core to the proof, and keeps a
// full machine free for it.
func TestProofsWithADeadlineGoFirst(t *testing.T) {
	all := map[sector.TaskKind]int{WindowPoSt: 0, WinningPoSt: 0, sector.TaskFinalize: 0}
	w := World{Now: start, Workers: []Worker{{ID: "w", Machine: "m", Cores: 4, Kinds: all}}, Waiting: []Task{
		{ID: "old", Kind: sector.TaskFinalize, Need: Need{Cores: 4}, Created: start.Add(-1000 * time.Hour)},
		{ID: "window", Kind: WindowPoSt, Need: Need{Cores: 4}, Created: start}, {ID: "winning", Kind: WinningPoSt, Need: Need{Cores: 4}, Created: start},
	}}
	require.Equal(t, []Assignment{{"winning", "w"}}, Decide(w))
	w.Workers[0].Running = []Task{{ID: "busy", Kind: sector.TaskFinalize, Need: Need{Cores: 1}}}
	w.Waiting[0].Need.Cores = 1
	require.Empty(t, Decide(w), "three cores are kept for the proof that needs four")
	require.Equal(t, "the machine is kept free for winning", Explain(w, "old")[0].Reason)
	require.Equal(t, "the task needs 4 cores, 1 of the machine's 4 are taken", Explain(w, "winning")[0].Reason)
}

// TestLocality keeps a sector where it was, and never sends it where its files
// cannot be reached.
func TestLocality(t *testing.T) {
	kinds := map[sector.TaskKind]int{sector.TaskPreCommit2: 0}
	w := World{Now: start, Workers: []Worker{
		{ID: "a", Machine: "ma", Kinds: kinds, Reaches: map[string]bool{"p": true}}, {ID: "b", Machine: "mb", Kinds: kinds, Reaches: map[string]bool{"p": true}},
		{ID: "c", Machine: "mc", Kinds: kinds, Reaches: map[string]bool{"q": true}},
	}, Waiting: []Task{{ID: "1", Kind: sector.TaskPreCommit2, Path: "p", Near: "mb"}, {ID: "2", Kind: sector.TaskPreCommit2, Path: "q", Near: "ma"}, {ID: "3", Kind: sector.TaskPreCommit2, Path: "r"}}}
	require.Equal(t, []Assignment{{"1", "b"}, {"2", "c"}}, Decide(w))
	for _, r := range Explain(w, "3") {
		require.Equal(t, Reason{Worker: r.Worker, Reason: "it cannot reach the files in r"}, r)
	}
}

// TestWindowProofs gives a proof to a worker that reaches all its files and was not found lying; the sealer makes those that
// none can.
func TestWindowProofs(t *testing.T) {
	takes := map[sector.TaskKind]int{WindowPoSt: 0}
	worker := func(host string, reaches ...string) Worker {
		w := Worker{ID: "w-" + host, Host: host, Machine: host, Cores: 4, Kinds: takes, Reaches: map[string]bool{}}
		for _, dir := range reaches {
			w.Reaches[dir] = true
		}
		return w
	}
	lied := map[string]string{"a": "its proof does not hold"}
	for name, c := range map[string]struct {
		task Task
		to   string // "" for nobody
		able bool
		why  []string
	}{
		"all files":      {Task{Reads: []string{"p", "q"}}, "w-b", true, []string{"it cannot reach the files in q", ""}},
		"one path":       {Task{Reads: []string{"p"}}, "w-a", true, []string{"", "it could, another worker suits better"}},
		"nobody reaches": {Task{Reads: []string{"p", "r"}}, "", false, []string{"it cannot reach the files in r", "it cannot reach the files in r"}},
		"a liar":         {Task{Reads: []string{"p"}, Refused: lied, Spared: true}, "w-b", true, []string{"the sealer does it: what this host made was refused: its proof does not hold", ""}},
		"all liars":      {Task{Reads: []string{"p"}, Refused: map[string]string{"a": "x", "b": "y"}, Spared: true}, "", false, nil},
		"liars at need":  {Task{Reads: []string{"p"}, Refused: map[string]string{"a": "x", "b": "y"}}, "w-a", true, nil},
		"busy":           {Task{Need: Need{Cores: 4}, Reads: []string{"s"}}, "", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			busy := worker("c", "s")
			busy.Running = []Task{{ID: "PC2", Kind: sector.TaskPreCommit2, Need: Need{Cores: 1}}}
			c.task.ID, c.task.Kind = "t", WindowPoSt
			w := World{Now: start, Workers: []Worker{worker("a", "p"), worker("b", "p", "q"), busy}, Waiting: []Task{c.task}}
			var want []Assignment
			if c.to != "" {
				want = []Assignment{{"t", c.to}}
			}
			require.Equal(t, want, Decide(w))
			require.Equal(t, c.able, Able(w, "t"))
			for i, why := range c.why {
				require.Equal(t, why, Explain(w, "t")[i].Reason)
			}
		})
	}
	require.False(t, Able(World{}, "t"))
}

func crowd(tasks, workers int) World {
	rng := rand.New(rand.NewPCG(3, 4))
	w := World{Now: start, Free: map[string]uint64{}}
	for i := range workers {
		x := Worker{ID: fmt.Sprint("w", i), Machine: fmt.Sprint("m", i), Cores: 64, Memory: 512 << 30, Kinds: map[sector.TaskKind]int{}, Reaches: map[string]bool{}}
		for _, k := range sector.TaskKinds() {
			x.Kinds[k] = 8
		}
		for range 4 {
			x.Reaches[fmt.Sprint("p", rng.IntN(20))] = true
		}
		w.Workers = append(w.Workers, x)
	}
	for i := range tasks {
		path := fmt.Sprint("p", rng.IntN(20))
		w.Free[path] = 50 << 40
		w.Waiting = append(w.Waiting, Task{
			ID: fmt.Sprint("t", i), Kind: sector.TaskKinds()[rng.IntN(6)], Path: path, Near: fmt.Sprint("m", rng.IntN(workers)),
			Need: Need{Cores: 1 + rng.IntN(8), Memory: rng.Uint64N(64 << 30), Disk: rng.Uint64N(400 << 30)}, Created: start.Add(-time.Duration(rng.IntN(3600)) * time.Second),
		})
	}
	return w
}

// BenchmarkDecide is the decision of issue 6: 1,000 tasks, 50 workers, below 10 ms.
func BenchmarkDecide(b *testing.B) {
	w := crowd(1000, 50)
	placed := 0
	for b.Loop() {
		placed = len(Decide(w))
	}
	b.ReportMetric(float64(placed), "placed")
}

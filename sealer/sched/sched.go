// Package sched decides which worker does which task: a pure function of what
// waits, who is there and what they have.
//
// Start at Decide; Explain tells why a task was not placed.
//
// Invariants, each held against a dumb model by the tests: no machine is given
// more cores or memory than it has, no path more than it has free, no worker
// more than its limits; a task goes to no worker that does not take its kind or
// cannot reach its files; a task never waits for a less urgent one; whatever can
// be done by an idle worker is done at last, however much else comes.
package sched

import (
	"cmp"
	"slices"
	"time"

	"github.com/filecoin-venus/venus/sealer/sector"
)

// Kinds beside those of sealing. They are proofs with a deadline: nothing that
// seals is begun on a machine while one of them waits for it.
const (
	WinningPoSt sector.TaskKind = "WNP"
	WindowPoSt  sector.TaskKind = "WDP"
)

// Need is what a task takes while it runs. Cores beyond what a machine has
// count as all it has; Disk is bytes on the task's path.
type Need struct {
	Cores  int    `toml:"Cores" json:"Cores"`
	Memory uint64 `toml:"Memory" json:"Memory"`
	Disk   uint64 `toml:"Disk" json:"Disk"`
}

// Task waits or runs.
type Task struct {
	ID      string
	Kind    sector.TaskKind
	Need    Need
	Created time.Time
	// Path is the folder that holds the sector's files, "" when the task needs none.
	Path string
	// Reads are further folders that the task must reach, to read in them.
	Reads []string
	// Near is the machine that did the sector's task before: its caches are warm.
	Near string
	// Refused are the hosts whose outcome of this work was refused, and why: others do it, if there are any that could.
	Refused map[string]string
	// Spared tells that somebody who is no worker does the task if none takes it: hosts that were refused never do it.
	Spared bool
}

// Worker takes tasks. Workers of one Machine share its cores and memory; the
// machine has as much as the largest of their claims, 0 being no limit.
type Worker struct {
	ID      string
	Host    string // the name that people know it by
	Machine string
	Cores   int
	Memory  uint64
	// Kinds are the kinds it takes, with how many of each at once, 0 being no limit.
	Kinds map[sector.TaskKind]int
	// Slots bounds the tasks at once, 0 being no limit.
	Slots int
	// Away is why it takes nothing new now, "" when it does.
	Away string
	// Reaches tells which paths it can read and write; nil is all of them.
	Reaches map[string]bool
	// Running are the tasks it holds.
	Running []Task
}

// World is what a decision is made of. Free is the room on paths in bytes; a
// path that is not in it is not measured, and not judged.
type World struct {
	Now     time.Time
	Waiting []Task
	Workers []Worker
	Free    map[string]uint64
}

// Assignment gives a task to a worker.
type Assignment struct{ Task, Worker string }

// ranks order the kinds, the most urgent lowest: proofs with a deadline, then
// what is nearer to the chain (sealer-miner.md 4.2).
var ranks = map[sector.TaskKind]int{
	WinningPoSt: -1000, WindowPoSt: -900,
	sector.TaskFinalize: -2, sector.TaskCommit1: 2, sector.TaskCommit2: 3,
	sector.TaskPreCommit2: 4, sector.TaskPreCommit1: 5, sector.TaskAddPiece: 6,
}

const (
	// ageing is the wait that lifts a task by one rank, up to top: so none waits
	// for ever behind others that keep coming.
	ageing = 10 * time.Minute
	top    = -100
	// patience is how long a task that needs much waits for a gap before the
	// machine that suits it best is kept free for it.
	patience = 2 * time.Minute
)

// Rank is a kind's urgency, the most urgent lowest.
func Rank(k sector.TaskKind) int { return ranks[k] }

func urgent(k sector.TaskKind) bool { return ranks[k] < top }

// rank is a task's urgency now.
func rank(t *Task, now time.Time) int {
	r := ranks[t.Kind]
	if urgent(t.Kind) {
		return r
	}
	return max(r-int(max(now.Sub(t.Created), 0)/ageing), top)
}

// Order sorts tasks, the most urgent and then the oldest first.
func Order(tasks []Task, now time.Time) {
	slices.SortFunc(tasks, func(a, b Task) int {
		return cmp.Or(cmp.Compare(rank(&a, now), rank(&b, now)), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
}

// Decide places as many waiting tasks as fit, most urgent first.
func Decide(w World) []Assignment {
	s := newState(w)
	var out []Assignment
	for i := range s.waiting {
		t := &s.waiting[i]
		if best := s.choose(t); best != nil {
			s.start(best, t)
			out = append(out, Assignment{Task: t.ID, Worker: best.ID})
			continue
		}
		s.keepFree(t)
	}
	return out
}

// state is a world with sums. Kinds have numbers in it: a thousand tasks meet
// fifty workers, and looking names up would be most of the work.
type state struct {
	now      time.Time
	waiting  []waiting
	workers  []worker
	machines map[string]*machine
	free     map[string]uint64
	kinds    map[sector.TaskKind]int
}

type waiting struct {
	Task
	kind      int
	elsewhere bool // another host than those refused could do it
}

type worker struct {
	*Worker
	machine *machine
	kinds   []taking // by number of kind
	count   int
}

// taking is what a worker does of one kind.
type taking struct {
	takes          bool
	limit, running int
}

type machine struct {
	cores, usedCores   int
	memory, usedMemory uint64
	heldFor            string // the task it is kept free for
}

func newState(w World) *state {
	s := &state{now: w.Now, machines: map[string]*machine{}, free: map[string]uint64{}, kinds: map[sector.TaskKind]int{}}
	ordered := slices.Clone(w.Waiting)
	Order(ordered, w.Now)
	s.waiting = make([]waiting, len(ordered))
	for i, t := range ordered {
		s.waiting[i] = waiting{Task: t, kind: s.number(t.Kind)}
	}
	for p, n := range w.Free {
		s.free[p] = n
	}
	s.workers = make([]worker, len(w.Workers))
	for i := range w.Workers {
		x := &w.Workers[i]
		m := s.machines[x.Machine]
		if m == nil {
			m = &machine{cores: x.Cores, memory: x.Memory}
			s.machines[x.Machine] = m
		}
		m.cores, m.memory = larger(m.cores, x.Cores), larger(m.memory, x.Memory)
		for k := range x.Kinds {
			s.number(k)
		}
		for j := range x.Running {
			s.number(x.Running[j].Kind)
		}
		s.workers[i] = worker{Worker: x, machine: m}
	}
	for i := range s.workers {
		s.load(&s.workers[i])
	}
	slices.SortFunc(s.workers, func(a, b worker) int { return cmp.Compare(a.ID, b.ID) })
	for i := range s.waiting {
		if t := &s.waiting[i]; len(t.Refused) > 0 {
			t.elsewhere = t.Spared || slices.ContainsFunc(s.workers, func(w worker) bool { return t.Refused[w.Host] == "" && s.check(&w, t) >= noRoom })
		}
	}
	return s
}

// number gives a kind its number.
func (s *state) number(k sector.TaskKind) int {
	n, ok := s.kinds[k]
	if !ok {
		n = len(s.kinds)
		s.kinds[k] = n
	}
	return n
}

// load counts what a worker takes and runs.
func (s *state) load(w *worker) {
	w.kinds = make([]taking, len(s.kinds))
	for k, limit := range w.Kinds {
		w.kinds[s.kinds[k]] = taking{takes: true, limit: limit}
	}
	for _, t := range w.Running {
		s.start(w, &waiting{Task: t, kind: s.kinds[t.Kind]})
	}
}

// larger is the larger claim; 0 is no limit.
func larger[T int | uint64](a, b T) T {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}

func (m *machine) coresOf(t *waiting) int {
	if m.cores == 0 {
		return t.Need.Cores
	}
	return min(t.Need.Cores, m.cores)
}

func (s *state) start(w *worker, t *waiting) {
	w.count++
	w.kinds[t.kind].running++
	w.machine.usedCores += w.machine.coresOf(t)
	w.machine.usedMemory += t.Need.Memory
	if left, ok := s.free[t.Path]; ok {
		s.free[t.Path] = left - min(left, t.Need.Disk)
	}
}

// obstacle is what keeps a task from a worker.
type obstacle int

const (
	// Never: only another worker, or another setting, helps.
	otherKind obstacle = iota
	unreachable
	tooSmall
	away
	refused
	// For now: when something ends it goes on.
	noRoom
	kindFull
	slotsFull
	coresBusy
	memoryBusy
	kept
	none
)

// forNow tells an obstacle that goes away by itself.
func (o obstacle) forNow() bool { return o >= kindFull && o < none }

// beyond is the first of a task's folders that a worker cannot reach, "" when it reaches all.
func (w *Worker) beyond(t *Task) string {
	if w.Reaches == nil {
		return ""
	}
	if t.Path != "" && !w.Reaches[t.Path] {
		return t.Path
	}
	for _, dir := range t.Reads {
		if !w.Reaches[dir] {
			return dir
		}
	}
	return ""
}

// check finds the first obstacle between a task and a worker.
func (s *state) check(w *worker, t *waiting) obstacle {
	m, k := w.machine, w.kinds[t.kind]
	switch {
	case !k.takes:
		return otherKind
	case w.beyond(&t.Task) != "":
		return unreachable
	case m.memory > 0 && t.Need.Memory > m.memory:
		return tooSmall
	case w.Away != "":
		return away
	case t.elsewhere && t.Refused[w.Host] != "":
		return refused
	}
	if left, ok := s.free[t.Path]; ok && t.Need.Disk > left {
		return noRoom
	}
	switch {
	case k.limit > 0 && k.running >= k.limit:
		return kindFull
	case w.Slots > 0 && w.count >= w.Slots:
		return slotsFull
	case m.cores > 0 && m.usedCores+m.coresOf(t) > m.cores:
		return coresBusy
	case m.memory > 0 && m.usedMemory+t.Need.Memory > m.memory:
		return memoryBusy
	case m.heldFor != "" && m.heldFor != t.ID:
		return kept
	}
	return none
}

// choose picks the worker for a task: where the sector was worked on before,
// then who takes the fewest kinds, then the least busy machine.
func (s *state) choose(t *waiting) *worker {
	var best *worker
	for i := range s.workers {
		w := &s.workers[i]
		if s.check(w, t) == none && (best == nil || s.better(w, best, t)) {
			best = w
		}
	}
	return best
}

func (s *state) better(a, b *worker, t *waiting) bool {
	if near := a.Machine == t.Near; near != (b.Machine == t.Near) {
		return near
	}
	if len(a.Kinds) != len(b.Kinds) {
		return len(a.Kinds) < len(b.Kinds)
	}
	if x, y := a.machine.load(), b.machine.load(); x != y {
		return x < y
	}
	return a.count < b.count // then the first by id
}

// load is the busier of cores and memory, 0 to 1.
func (m *machine) load() float64 {
	l := 0.0
	if m.cores > 0 {
		l = float64(m.usedCores) / float64(m.cores)
	}
	if m.memory > 0 {
		l = max(l, float64(m.usedMemory)/float64(m.memory))
	}
	return l
}

// keepFree keeps the least busy machine that could do a task free for it, once
// it waited long enough; a proof with a deadline does not wait for that.
func (s *state) keepFree(t *waiting) {
	if !urgent(t.Kind) && s.now.Sub(t.Created) < patience {
		return
	}
	var best *machine
	for i := range s.workers {
		w := &s.workers[i]
		if !s.check(w, t).forNow() || w.machine.heldFor != "" {
			continue
		}
		if best == nil || w.machine.load() < best.load() {
			best = w.machine
		}
	}
	if best != nil {
		best.heldFor = t.ID
	}
}

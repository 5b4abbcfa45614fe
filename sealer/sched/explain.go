package sched

import (
	"fmt"
	"slices"
)

// Reason is why a worker does not do a task now.
type Reason struct {
	Worker string
	// Reason is in plain words, "" for the worker that will be given the task.
	Reason string
	// ForNow tells that nobody needs to do anything: it goes on when something ends.
	ForNow bool
}

// Explain tells for a waiting task what stands between it and each worker, after
// all more urgent tasks were placed.
func Explain(w World, id string) []Reason {
	s := newState(w)
	for i := range s.waiting {
		t := &s.waiting[i]
		best := s.choose(t)
		if t.ID == id {
			return s.explain(t, best)
		}
		if best != nil {
			s.start(best, t)
		} else {
			s.keepFree(t)
		}
	}
	return nil
}

// Able tells whether a worker that is there could do a waiting task, now or when something ends.
func Able(w World, id string) bool {
	s := newState(w)
	for i := range s.waiting {
		if t := &s.waiting[i]; t.ID == id {
			return slices.ContainsFunc(s.workers, func(w worker) bool { return s.check(&w, t) >= noRoom })
		}
	}
	return false
}

func (s *state) explain(t *waiting, best *worker) []Reason {
	out := make([]Reason, 0, len(s.workers))
	for i := range s.workers {
		w := &s.workers[i]
		o := s.check(w, t)
		r := Reason{Worker: w.ID, Reason: s.say(o, w, t), ForNow: o.forNow()}
		if o == none && w != best {
			r.Reason, r.ForNow = "it could, another worker suits better", true
		}
		out = append(out, r)
	}
	return out
}

func (s *state) say(o obstacle, w *worker, t *waiting) string {
	m := w.machine
	switch o {
	case otherKind:
		return fmt.Sprintf("it takes no %s tasks", t.Kind)
	case unreachable:
		return "it cannot reach the files in " + w.beyond(&t.Task)
	case tooSmall:
		return fmt.Sprintf("the task needs %s of memory, the machine has %s", size(t.Need.Memory), size(m.memory))
	case away:
		return w.Away
	case refused:
		who := "another worker"
		if t.Spared {
			who = "the sealer"
		}
		return who + " does it: what this host made was refused: " + t.Refused[w.Host]
	case noRoom:
		return fmt.Sprintf("the task writes %s to %s, where %s are free", size(t.Need.Disk), t.Path, size(s.free[t.Path]))
	case kindFull:
		return fmt.Sprintf("it runs %d %s tasks, its limit", w.kinds[t.kind].running, t.Kind)
	case slotsFull:
		return fmt.Sprintf("it runs %d tasks, its limit", w.count)
	case coresBusy:
		return fmt.Sprintf("the task needs %d cores, %d of the machine's %d are taken", m.coresOf(t), m.usedCores, m.cores)
	case memoryBusy:
		return fmt.Sprintf("the task needs %s of memory, %s of the machine's %s are taken", size(t.Need.Memory), size(m.usedMemory), size(m.memory))
	case kept:
		return "the machine is kept free for " + m.heldFor
	}
	return ""
}

// size writes bytes for people.
func size(n uint64) string {
	const kib = 1 << 10
	for _, u := range []struct {
		name string
		size uint64
	}{{"TiB", kib * kib * kib * kib}, {"GiB", kib * kib * kib}, {"MiB", kib * kib}, {"KiB", kib}} {
		if n >= u.size {
			return fmt.Sprintf("%.4g %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

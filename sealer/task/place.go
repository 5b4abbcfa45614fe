package task

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/proofs/machine"
	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/worker"
)

// Needs are what tasks take, by kind.
type Needs map[sector.TaskKind]sched.Need

// wide is how many cores a task counts as that works on all it can get. More of
// them side by side would only share.
func wide(size abi.SectorSize) int {
	switch {
	case size <= 8<<20:
		return 1
	case size <= 512<<20:
		return 4
	}
	return 16
}

// DefaultNeeds are what the tasks of a sector size take with this program's own
// provers (docs/guide/proofs.md), with parameter files or the trapdoor.
func DefaultNeeds(size abi.SectorSize, crs bool) Needs {
	n, err := machine.NeedOf(size, wide(size))
	if err != nil {
		return Needs{} // a size that no network has: nothing is declared
	}
	m, d := n.Memory, n.Disk
	commit2, window, winning, update := m.Commit2Trapdoor, m.WindowTrapdoor, m.WinningTrapdoor, m.UpdateTrapdoor
	if crs {
		commit2, window, winning, update = m.Commit2CRS, m.WindowCRS, m.WinningCRS, m.UpdateCRS
	}
	out := Needs{
		sector.TaskAddPiece:   {Cores: 1, Memory: machine.Base, Disk: d.Unsealed},
		sector.TaskPreCommit1: {Cores: min(2, wide(size)), Memory: m.PreCommit1, Disk: d.TreeD + d.Layers},
		sector.TaskPreCommit2: {Cores: wide(size), Memory: m.PreCommit2, Disk: d.TreeC + d.TreeRLast + d.Sealed},
		sector.TaskCommit1:    {Cores: 1, Memory: m.Commit1},
		sector.TaskCommit2:    {Cores: wide(size), Memory: commit2},
		sector.TaskFinalize:   {Memory: machine.Base},
		// An update builds the same trees but that of the columns, and proves several partitions one after the other.
		sector.TaskReplicaUpdate: {Cores: wide(size), Memory: m.PreCommit2, Disk: d.TreeD + d.TreeRLast + d.Sealed},
		sector.TaskProveUpdate:   {Cores: wide(size), Memory: update},
		sched.WindowPoSt:         {Cores: wide(size), Memory: window},
		sched.WinningPoSt:        {Cores: wide(size), Memory: winning},
	}
	if size <= 8<<20 {
		// A small sector is never kept waiting by memory (sealer-miner.md 4.2).
		for k, x := range out {
			x.Memory = uint64(size)
			out[k] = x
		}
	}
	return out
}

func (q *Queue) needOf(t worker.Task) sched.Need {
	if q.Needs == nil {
		return sched.Need{Cores: 1}
	}
	return q.Needs(t)
}

// machineOf names whose cores a worker uses.
func machineOf(i worker.Info) string {
	if i.Machine != "" {
		return i.Machine
	}
	return i.ID
}

// world is what the scheduler decides on. Callers hold mu.
func (q *Queue) world() sched.World {
	w := sched.World{Now: q.clk.Now(), Free: q.free}
	at := map[string]int{}
	for id, m := range q.workers {
		at[id] = len(w.Workers)
		w.Workers = append(w.Workers, q.workerOf(m))
	}
	for _, e := range q.tasks {
		t := sched.Task{ID: e.Task.ID, Kind: e.Task.Kind, Need: q.needOf(e.Task), Created: e.Created, Path: e.Task.Path(), Near: q.near[e.Task.Sector],
			Refused: q.refused[e.Task.Sector][e.Task.Kind], Reads: e.Task.Reads}
		if e.offer != nil {
			t.Refused, t.Spared = e.offer.Refused, e.offer.Spared
		}
		switch e.State {
		case Queued:
			w.Waiting = append(w.Waiting, t)
		case Leased:
			i, ok := at[e.Worker]
			if !ok {
				continue // silent for long, or not heard of since the restart
			}
			w.Workers[i].Running = append(w.Workers[i].Running, t)
		}
	}
	for _, t := range q.reserved {
		for i, x := range w.Workers {
			if x.Machine == q.Machine {
				w.Workers[i].Running = append(w.Workers[i].Running, t)
				break
			}
		}
	}
	return w
}

func (q *Queue) workerOf(m *member) sched.Worker {
	s := q.settings[m.info.Hostname]
	w := sched.Worker{ID: m.info.ID, Host: m.info.Hostname, Machine: machineOf(m.info), Cores: m.info.CPUs, Memory: m.info.Memory, Slots: m.info.Slots, Kinds: map[sector.TaskKind]int{}}
	for _, k := range m.info.Kinds {
		if !slices.Contains(s.Without, k) {
			w.Kinds[k] = m.info.Limits[k]
		}
	}
	if q.Paths != nil {
		w.Reaches = map[string]bool{}
		for _, dir := range m.info.Reaches {
			w.Reaches[dir] = true
		}
	}
	switch {
	case m.leaving:
		w.Away = "it is leaving: it takes nothing new"
	case s.Disabled:
		w.Away = "an operator disabled it"
	case q.clk.Now().Before(m.shunned):
		w.Away = "it did not take a task that it was given; it is tried again in " + m.shunned.Sub(q.clk.Now()).Truncate(time.Second).String()
	case q.clk.Now().Sub(m.at) >= q.ttl:
		w.Away = "it was not heard of for " + q.clk.Now().Sub(m.at).Truncate(time.Second).String()
	}
	return w
}

// place gives waiting tasks to workers, as the scheduler decides. Each lease is
// stored before its worker may hear of it. Callers hold mu.
func (q *Queue) place(ctx context.Context) {
	waits := false
	for _, e := range q.tasks {
		waits = waits || e.State == Queued
	}
	if !waits || len(q.workers) == 0 {
		return
	}
	for _, a := range sched.Decide(q.world()) {
		e, info := q.tasks[a.Task], q.workers[a.Worker].info
		err := q.move(ctx, e, "task/leased", func(n *Entry) {
			n.State, n.Worker, n.Host, n.Started = Leased, a.Worker, info.Hostname, q.clk.Now()
			n.Task.Fence++
			n.until, n.offered, n.held = q.clk.Now().Add(q.ttl), false, false
		})
		if err != nil {
			if ctx.Err() == nil {
				log.Errorf("cannot give task %s to a worker, it is tried again: %v", a.Task, err)
			}
			return
		}
	}
	q.wake()
}

// wake lets those who wait for offers look again. Callers hold mu.
func (q *Queue) wake() {
	close(q.offers)
	q.offers = make(chan struct{})
}

// Why tells what stands between a waiting task and each worker.
func (q *Queue) Why(id string) []sched.Reason {
	q.mu.Lock()
	defer q.mu.Unlock()
	return sched.Explain(q.world(), id)
}

// Measured tells how much room a path has, in bytes.
func (q *Queue) Measured(dir string, free uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free[dir] = free
}

// Reserve tells that this process makes a proof with a deadline: what it needs is
// not given to sealing until the returned function is called. It never waits.
func (q *Queue) Reserve(kind sector.TaskKind, proof abi.RegisteredSealProof) (release func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.serial++
	n := q.serial
	q.reserved[n] = sched.Task{ID: string(kind), Kind: kind, Need: q.needOf(worker.Task{Kind: kind, SealProof: proof}), Created: q.clk.Now()}
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.reserved, n)
		q.place(context.Background())
	}
}

// Reserved lists the proofs that this process makes now, the oldest first.
func (q *Queue) Reserved() []sched.Task {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := slices.Collect(maps.Values(q.reserved))
	slices.SortFunc(out, func(a, b sched.Task) int { return a.Created.Compare(b.Created) })
	return out
}

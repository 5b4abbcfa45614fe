package service

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/sealer/broker"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/sealer/task"
	"github.com/filecoin-venus/venus/worker"
	"github.com/filecoin-venus/venus/worker/bus"
)

// assembleTasks makes what gives tasks to workers: the queue's rules, the broker,
// and the executor of this process.
func (s *Service) assembleTasks(ctx context.Context) error {
	invalid := func(err error) error {
		return api.Errorf(api.CodeInvalid, "%w", err).WithHint("correct %s", s.repo.Path(config.FileName))
	}
	crs := worker.BackendOf(s.network, prove.Backend(s.cfg.Sealing.Proofs)) == prove.CRS
	needs, err := s.cfg.Workers.Over(s.size, crs)
	if err != nil {
		return invalid(err)
	}
	here := worker.Here(task.BuiltIn, "")
	s.queue.Machine, s.queue.Paths = here.Machine, s.paths
	s.queue.Needs = func(t worker.Task) sched.Need { return needs[t.Kind] }
	kinds, err := s.cfg.Sealing.Kinds()
	if err != nil {
		return invalid(err)
	}
	if here.Limits, err = s.cfg.Sealing.TaskLimits(); err != nil {
		return invalid(err)
	}
	if len(kinds) > 0 {
		here.Kinds, here.Slots, here.Version = kinds, s.cfg.Sealing.Slots, s.opts.Version
		s.executor = &worker.Executor{Source: s.queue, Prover: worker.SealProver{Sealer: s.sealer}, Clock: s.opts.Clock, Info: here}
	}
	login, err := s.cfg.Workers.Login()
	if err != nil {
		return invalid(err)
	}
	name, err := s.busName(ctx)
	if err != nil {
		return err
	}
	s.welcome = worker.Welcome{
		Network: s.network, Bus: name, URLs: login.URLs, User: login.User, Password: login.Password, Token: login.Token, Credentials: login.Credentials, NKey: login.NKey, CA: login.CA,
	}
	if len(login.URLs) == 0 {
		if s.nats, err = broker.StartEmbedded(s.repo.Path("nats"), s.opts.Clock); err != nil {
			return err
		}
		s.opened.Add(s.nats.Close)
	}
	s.broker, err = broker.New(broker.Config{Bus: bus.Bus(name), Login: login, Embedded: s.nats, Replicas: s.cfg.Workers.Replicas}, &hearing{Queue: s.queue, store: s.store, trying: map[string]bool{}}, s.opts.Clock)
	if err != nil {
		return invalid(err)
	}
	s.opened.Add(s.broker.Close)
	return nil
}

// hearing attaches the own paths of workers that are heard of.
type hearing struct {
	*task.Queue
	store *store.Store

	mu     sync.Mutex
	trying map[string]bool // being attached
}

// RemoteBeat implements broker.Queue.
func (h *hearing) RemoteBeat(ctx context.Context, b worker.Beat) (worker.Orders, error) {
	refused := h.store.Detached()
	var detached []string
	for _, id := range b.Info.Own {
		if slices.Contains(refused, store.AfarPrefix+id) {
			detached = append(detached, id)
			continue
		}
		h.attach(id, b.Info.Hostname)
	}
	o, err := h.Queue.RemoteBeat(ctx, b)
	o.Detached = detached
	return o, err
}

// attach attaches a path, not holding up the beat: its worker has to be asked.
func (h *hearing) attach(id, host string) {
	attached := h.store.Attached(id)
	h.mu.Lock()
	defer h.mu.Unlock()
	if attached || h.trying[id] {
		return
	}
	h.trying[id] = true
	go func() {
		_, err := h.store.Offered(id)
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.trying, id) // the next beat may try again
		if err != nil {
			log.Warnf("the sealing path %s of worker %s is not attached: %v", id, host, err)
			return
		}
		log.Infof("worker %s seals in a path of its own, %s%s", host, store.AfarPrefix, id)
	}()
}

func (s *Service) paths() []worker.Path {
	var out []worker.Path
	for _, p := range s.store.Paths() {
		out = append(out, worker.Path{ID: p.ID, Dir: p.Dir})
	}
	return out
}

// busName names this sealer's streams. It belongs to the database: another
// database of the same miner does not hear of this one's tasks.
func (s *Service) busName(ctx context.Context) (string, error) {
	var name string
	if err := s.db.LoadJSON(ctx, busNameKey, &name); err != nil || name != "" {
		return name, err
	}
	var b [6]byte
	_, _ = rand.Read(b[:]) // it never fails
	name = fmt.Sprintf("t0%d-%s", s.actorID, hex.EncodeToString(b[:]))
	return name, s.db.SaveJSON(ctx, busNameKey, name)
}

const busNameKey = "bus-name"

// serveWorkers lets workers join, and reach the sealer's own NATS.
func (s *Service) serveWorkers(srv *rpc.Server) error {
	if err := srv.Register(worker.JoinPath, door{s.welcome}, new(worker.JoinProxy), worker.Namespace); err != nil {
		return err
	}
	if s.nats != nil {
		srv.Handle(worker.BusPath, s.nats.Handler(srv))
	}
	return nil
}

// door lets workers in.
type door struct{ welcome worker.Welcome }

// Join answers worker.JoinProxy.
func (d door) Join(context.Context) (worker.Welcome, error) { return d.welcome, nil }

// backgroundTasks starts what gives tasks to workers and works on them.
func (s *Service) backgroundTasks(ctx context.Context) {
	s.wg.Go(func() { s.broker.Run(ctx) })
	s.wg.Go(func() { s.measure(ctx) })
	if s.executor != nil {
		s.wg.Go(func() { s.executor.Run(ctx, ctx) })
	}
}

// measureEvery is the pause between two looks at the storage paths.
const measureEvery = 10 * time.Second

// measure tells the queue how much room there is, and clears away what dead
// workers left. A path that hangs holds up only the next look at it.
func (s *Service) measure(ctx context.Context) {
	busy := map[string]chan struct{}{}
	for {
		for _, p := range s.store.Paths() {
			if done := busy[p.ID]; done != nil {
				select {
				case <-done:
				default:
					continue
				}
			}
			done := make(chan struct{})
			busy[p.ID] = done
			go func() {
				defer close(done)
				if st, err := s.store.Measure(p.ID); err == nil {
					s.queue.Measured(p.Dir, uint64(max(st.Available, 0)))
				}
				if err := s.sweep(p.Dir); err != nil {
					log.Warnf("what workers left in %s stays: %v", p.Dir, err)
				}
			}()
		}
		if s.opts.Clock.Sleep(ctx, measureEvery) != nil {
			return
		}
	}
}

// sweep clears away what tasks left in a path that nobody asks for any more.
func (s *Service) sweep(dir string) error {
	if !strings.HasPrefix(dir, store.AfarPrefix) {
		return worker.SweepWork(dir, s.queue.Knows)
	}
	return s.store.SweepAfar(dir, func(folder string) bool {
		id, ok := worker.TaskOf(folder)
		return !ok || s.queue.Knows(id)
	})
}

// WorkerStats returns the workers heard of lately.
func (s *Service) WorkerStats(context.Context) (map[string]sealerapi.WorkerStats, error) {
	out := map[string]sealerapi.WorkerStats{}
	passed := s.spread.PassedOver()
	for _, w := range s.queue.Workers() {
		st := sealerapi.WorkerStats{
			Info:    sealerapi.WorkerInfo{Hostname: w.Info.Hostname, Resources: sealerapi.WorkerResources{MemPhysical: w.Info.Memory, CPUs: uint64(w.Info.CPUs), GPUs: []string{}}},
			Enabled: !w.Settings.Disabled, LastSeen: w.LastSeen, Tasks: []string{}, Running: len(w.Tasks), Leaving: w.Leaving, Silent: w.Silent, Remote: w.Remote,
			Version: w.Info.Version, Slots: w.Info.Slots, Reaches: w.Info.Reaches, Limits: map[string]int{}, Disabled: []string{},
		}
		if x, ok := passed[w.Info.Hostname]; ok {
			st.PassedOver, st.PassedUntil = x.Why, x.Until
		}
		for _, k := range w.Info.Kinds {
			st.Tasks = append(st.Tasks, string(k))
		}
		for k, n := range w.Info.Limits {
			st.Limits[string(k)] = n
		}
		for _, k := range w.Settings.Without {
			st.Disabled = append(st.Disabled, string(k))
		}
		for _, e := range w.Tasks {
			n := s.queue.Needs(e.Task)
			st.CpuUse += uint64(n.Cores)
			st.MemUsedMin += n.Memory
			st.MemUsedMax += n.Memory
		}
		out[w.Info.ID] = st
	}
	return out, nil
}

// WorkerJobs returns what the workers do; jobs that wait for a worker are under "".
func (s *Service) WorkerJobs(context.Context) (map[string][]sealerapi.WorkerJob, error) {
	out := map[string][]sealerapi.WorkerJob{}
	waiting := 0
	for _, e := range s.queue.Entries() {
		n := s.queue.Needs(e.Task)
		j := sealerapi.WorkerJob{
			ID: sealerapi.CallID{Sector: e.Task.Sector, ID: e.Task.ID}, Sector: e.Task.Sector, Task: string(e.Task.Kind), Start: e.Created, Hostname: e.Host,
			Cores: n.Cores, Memory: n.Memory, Disk: n.Disk, Path: places(e.Task), Losses: e.Losses,
		}
		switch e.State {
		case task.Queued:
			waiting++
			j.RunWait = waiting
		case task.Leased:
			j.Start = e.Started
		default:
			j.RunWait = sealerapi.JobReturned
		}
		out[e.Worker] = append(out[e.Worker], j)
	}
	for _, t := range s.queue.Reserved() {
		out["built-in"] = append(out["built-in"], sealerapi.WorkerJob{
			ID: sealerapi.CallID{ID: t.ID}, Task: string(t.Kind), Start: t.Created, Hostname: "this sealer", Cores: t.Need.Cores, Memory: t.Need.Memory,
		})
	}
	return out, nil
}

// places tells where a task's files lie.
func places(t worker.Task) string {
	if t.Path() != "" {
		return t.Path()
	}
	return strings.Join(t.Reads, ", ")
}

// SealingSchedDiag returns queue, workers and planner as they are.
func (s *Service) SealingSchedDiag(ctx context.Context) (any, error) {
	stats, err := s.WorkerStats(ctx)
	if err != nil {
		return nil, err
	}
	why := map[string][]sealerapi.JobObstacle{}
	for _, e := range s.queue.Entries() {
		if e.State == task.Queued {
			why[e.Task.ID] = s.obstacles(e.Task.ID)
		}
	}
	out := map[string]any{
		"Tasks": s.queue.Entries(), "Workers": stats, "Waiting": why, "Bus": s.welcome.Bus, "NATS": s.broker.Connected(), "WindowPoSt": s.wdpost.Snapshot(),
	}
	if err := s.broker.Trouble(); err != nil {
		out["NATSTrouble"] = err.Error()
	}
	return out, nil
}

func (s *Service) obstacles(id string) []sealerapi.JobObstacle {
	hosts := map[string]string{}
	for _, w := range s.queue.Workers() {
		hosts[w.Info.ID] = w.Info.Hostname
	}
	out := []sealerapi.JobObstacle{}
	for _, r := range s.queue.Why(id) {
		out = append(out, sealerapi.JobObstacle{Worker: r.Worker, Hostname: hosts[r.Worker], Reason: r.Reason, ForNow: r.ForNow})
	}
	return out
}

// SealingWhy explains one job.
func (s *Service) SealingWhy(_ context.Context, id string) (sealerapi.JobWhy, error) {
	for _, e := range s.queue.Entries() {
		if e.Task.ID != id {
			continue
		}
		n := s.queue.Needs(e.Task)
		w := sealerapi.JobWhy{
			ID: id, Sector: e.Task.Sector, Task: string(e.Task.Kind), Since: e.Created, Cores: n.Cores, Memory: n.Memory, Disk: n.Disk, Path: places(e.Task),
			State: string(e.State), Worker: e.Worker, Hostname: e.Host, Losses: e.Losses, Reason: e.Reason, Obstacles: []sealerapi.JobObstacle{},
		}
		if e.State == task.Leased {
			w.Since = e.Started
		}
		if e.State == task.Queued {
			w.Obstacles = s.obstacles(id)
		}
		return w, nil
	}
	return sealerapi.JobWhy{}, api.Errorf(api.CodeNotFound, "no job is called %q", id).WithHint("see 'venus-sealer sealing jobs'")
}

// SealingAbort gives a job up; the sector tries again after a back-off.
func (s *Service) SealingAbort(ctx context.Context, id string) error {
	if err := s.queue.Abort(ctx, id, "aborted by the operator"); err != nil {
		return api.Errorf(api.CodeNotFound, "%w", err).WithHint("see 'venus-sealer sealing jobs'")
	}
	return nil
}

// WorkerSet changes what the workers of a name are given.
func (s *Service) WorkerSet(ctx context.Context, name string, w sealerapi.WorkerSettings) error {
	if name == "" {
		return api.Errorf(api.CodeInvalid, "no worker has an empty name").WithHint("see 'venus-sealer sealing workers'")
	}
	without, err := config.KindsOf(w.DisabledTasks, sched.WindowPoSt)
	if err != nil {
		return api.Errorf(api.CodeInvalid, "%w", err)
	}
	return s.queue.Set(ctx, name, task.Settings{Disabled: !w.Enabled, Without: without})
}

// WorkerGet returns what the workers of a name are given.
func (s *Service) WorkerGet(_ context.Context, name string) (sealerapi.WorkerSettings, error) {
	have := s.queue.Get(name)
	out := sealerapi.WorkerSettings{Enabled: !have.Disabled, DisabledTasks: []string{}}
	for _, k := range have.Without {
		out.DisabledTasks = append(out.DisabledTasks, string(k))
	}
	return out, nil
}

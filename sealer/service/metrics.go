package service

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/filecoin-venus/venus/rpc/meters"
	"github.com/filecoin-venus/venus/sealer/task"
)

// meter makes the sealer's numbers; docs/metrics.md tells what they mean.
func (s *Service) meter() *meters.Meters {
	m := meters.New(prometheus.Labels{"version": s.opts.Version, "network": s.network.Name})
	ended := m.Counter("venus_sealer_tasks_total", "Tasks that ended, by kind and result: done, failed, lost with their worker, or given back.", "kind", "result")
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "venus_sealer_task_seconds", Help: "Time from a lease to the stored outcome of tasks that were done.", Buckets: prometheus.ExponentialBuckets(0.1, 4, 10),
	}, []string{"kind"})
	m.Registry.MustRegister(took, taskGauges{s}, storageGauges{s})
	s.queue.Told = func(e task.Entry, result string) {
		ended.WithLabelValues(string(e.Task.Kind), result).Inc()
		if result == task.ResultDone {
			took.WithLabelValues(string(e.Task.Kind)).Observe(s.opts.Clock.Now().Sub(e.Started).Seconds())
		}
	}
	m.Gauge("venus_sealer_nats_up", "1 while the NATS that carries tasks is reached.", func() float64 { return number(s.broker.Connected()) })
	s.windows.show(m, s.wdpost)
	return m
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

var (
	taskCount   = prometheus.NewDesc("venus_sealer_tasks", "Tasks by kind and state: queued or leased.", []string{"kind", "state"}, nil)
	taskAge     = prometheus.NewDesc("venus_sealer_task_wait_seconds", "Age of the oldest queued task of a kind.", []string{"kind"}, nil)
	workerCount = prometheus.NewDesc("venus_sealer_workers", "Workers by state: enabled, disabled, leaving or silent.", []string{"state"}, nil)
	coresUsed   = prometheus.NewDesc("venus_sealer_worker_cores_used", "Cores that running tasks take, by worker.", []string{"worker"}, nil)
	memoryUsed  = prometheus.NewDesc("venus_sealer_worker_memory_used_bytes", "Memory that running tasks take, by worker.", []string{"worker"}, nil)
)

// taskGauges are read when somebody asks.
type taskGauges struct{ s *Service }

// Describe implements prometheus.Collector.
func (taskGauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{taskCount, taskAge, workerCount, coresUsed, memoryUsed} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (g taskGauges) Collect(out chan<- prometheus.Metric) {
	type key struct{ kind, state string }
	count, age := map[key]float64{}, map[string]float64{}
	now := g.s.opts.Clock.Now()
	for _, e := range g.s.queue.Entries() {
		k := string(e.Task.Kind)
		if e.State != task.Queued && e.State != task.Leased {
			continue
		}
		count[key{k, string(e.State)}]++
		if e.State == task.Queued {
			age[k] = max(age[k], now.Sub(e.Created).Seconds())
		}
	}
	send := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for k, n := range count {
		send(taskCount, n, k.kind, k.state)
	}
	for k, n := range age {
		send(taskAge, n, k)
	}
	states := map[string]float64{"enabled": 0, "disabled": 0, "leaving": 0, "silent": 0}
	cores, memory := map[string]float64{}, map[string]float64{}
	for _, w := range g.s.queue.Workers() {
		switch {
		case w.Silent:
			states["silent"]++
		case w.Leaving:
			states["leaving"]++
		case w.Settings.Disabled:
			states["disabled"]++
		default:
			states["enabled"]++
		}
		for _, e := range w.Tasks {
			n := g.s.queue.Needs(e.Task)
			cores[w.Info.Hostname] += float64(n.Cores)
			memory[w.Info.Hostname] += float64(n.Memory)
		}
	}
	for k, n := range states {
		send(workerCount, n, k)
	}
	for w, n := range cores {
		send(coresUsed, n, w)
		send(memoryUsed, memory[w], w)
	}
}

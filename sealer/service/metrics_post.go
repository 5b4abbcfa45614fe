package service

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/filecoin-venus/venus/rpc/meters"
	"github.com/filecoin-venus/venus/sealer/spread"
	"github.com/filecoin-venus/venus/sealer/wdpost"
)

// windowCounts count what the planner of window proofs tells.
type windowCounts struct {
	alerts, lost prometheus.Counter
	proofs       *prometheus.CounterVec
	took         *prometheus.HistogramVec
}

func newWindowCounts() windowCounts {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return windowCounts{
		alerts: counter("venus_sealer_window_alerts_total", "Alerts about window proofs, each told once."),
		lost:   counter("venus_sealer_window_lost_partitions_total", "Partitions whose deadline closed unproven."),
		proofs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "venus_sealer_window_proofs_total", Help: "Window proofs, and proofs of their partitions, by machine and outcome: proven, failed, refused, late, or lost with the worker.",
		}, []string{"machine", "outcome"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "venus_sealer_window_proof_seconds", Help: "Time that the proven ones took.", Buckets: prometheus.ExponentialBuckets(0.1, 3, 10),
		}, []string{"machine"}),
	}
}

func (w windowCounts) alerted(wdpost.Alert) { w.alerts.Inc() }

func (w windowCounts) lostPartitions(n int) { w.lost.Add(float64(n)) }

// proven counts a proof; the machine with no name is the sealer.
func (w windowCounts) proven(host, outcome string, took time.Duration) {
	if host == "" {
		host = "sealer"
	}
	w.proofs.WithLabelValues(host, outcome).Inc()
	if outcome == spread.Proven {
		w.took.WithLabelValues(host).Observe(took.Seconds())
	}
}

// show adds the counts, and how the planner stands when somebody asks.
func (w windowCounts) show(m *meters.Meters, s *wdpost.Shell) {
	m.Registry.MustRegister(w.alerts, w.lost, w.proofs, w.took)
	m.Gauge("venus_sealer_window_alerts", "Trouble with window proofs that a person can still mend.", func() float64 { return float64(len(s.Alerts())) })
	m.Gauge("venus_sealer_window_next_close_epochs", "Epochs until the next close of a deadline that is not wholly proven on the chain; -1 when there is none.", func() float64 {
		return float64(s.NextClose())
	})
}

package service

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/filecoin-venus/venus/rpc/meters"
	"github.com/filecoin-venus/venus/sealer/wdpost"
)

// windowCounts count what the planner of window proofs tells.
type windowCounts struct{ alerts, lost prometheus.Counter }

func newWindowCounts() windowCounts {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return windowCounts{
		alerts: counter("venus_sealer_window_alerts_total", "Alerts about window proofs, each told once."),
		lost:   counter("venus_sealer_window_lost_partitions_total", "Partitions whose deadline closed unproven."),
	}
}

func (w windowCounts) alerted(wdpost.Alert) { w.alerts.Inc() }

func (w windowCounts) lostPartitions(n int) { w.lost.Add(float64(n)) }

// show adds the counts, and how the planner stands when somebody asks.
func (w windowCounts) show(m *meters.Meters, s *wdpost.Shell) {
	m.Registry.MustRegister(w.alerts, w.lost)
	m.Gauge("venus_sealer_window_alerts", "Trouble with window proofs that a person can still mend.", func() float64 { return float64(len(s.Alerts())) })
	m.Gauge("venus_sealer_window_next_close_epochs", "Epochs until the next close of a deadline that is not wholly proven on the chain; -1 when there is none.", func() float64 {
		return float64(s.NextClose())
	})
}

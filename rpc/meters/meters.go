// Package meters are the numbers that every program serves at /metrics, in the
// format of Prometheus; docs/metrics.md tells what they mean.
//
// Start reading at New. A program registers its own numbers in Registry. Labels
// are names of methods, codes and checks: never what a caller sent.
package meters

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Meters belong to one program: several in one process keep apart. They
// implement rpc.Meter.
type Meters struct {
	Registry *prometheus.Registry

	calls    *prometheus.CounterVec
	callTime *prometheus.HistogramVec
	conns    prometheus.Gauge
	streams  prometheus.Gauge
	slow     *prometheus.CounterVec
}

// New makes the numbers of a program. The labels of venus_info tell what runs.
func New(info prometheus.Labels) *Meters {
	m := &Meters{
		Registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "venus_rpc_calls_total", Help: "Calls answered, by method and by how they ended (ok or an error code).",
		}, []string{"method", "code"}),
		callTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "venus_rpc_call_seconds", Help: "Time until a call was answered, by method.",
			Buckets: prometheus.ExponentialBuckets(0.001, 10, 6),
		}, []string{"method"}),
		conns:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "venus_rpc_connections", Help: "Open WebSocket connections."}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "venus_rpc_subscriptions", Help: "Open subscriptions."}),
		slow: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "venus_rpc_slow_subscribers_total", Help: "Connections closed because a subscriber fell behind, by method.",
		}, []string{"method"}),
	}
	one := prometheus.NewGauge(prometheus.GaugeOpts{Name: "venus_info", Help: "Always 1; the labels tell what runs.", ConstLabels: info})
	one.Set(1)
	m.Registry.MustRegister(m.calls, m.callTime, m.conns, m.streams, m.slow, one,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gauge adds a number that is read at the moment somebody asks.
func (m *Meters) Gauge(name, help string, read func() float64) {
	m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// Counter adds a count by labels.
func (m *Meters) Counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.Registry.MustRegister(c)
	return c
}

// Histogram adds a distribution of seconds, from 50 microseconds to 13 seconds.
func (m *Meters) Histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.00005, 4, 10)}, labels)
	m.Registry.MustRegister(h)
	return h
}

// Handler serves /metrics.
func (m *Meters) Handler() http.Handler {
	return promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Called implements rpc.Meter.
func (m *Meters) Called(method, code string, took time.Duration) {
	m.calls.WithLabelValues(method, code).Inc()
	if took > 0 {
		m.callTime.WithLabelValues(method).Observe(took.Seconds())
	}
}

// Connections implements rpc.Meter.
func (m *Meters) Connections(delta int) { m.conns.Add(float64(delta)) }

// Subscriptions implements rpc.Meter.
func (m *Meters) Subscriptions(delta int) { m.streams.Add(float64(delta)) }

// TooSlow implements rpc.Meter.
func (m *Meters) TooSlow(method string) { m.slow.WithLabelValues(method).Inc() }

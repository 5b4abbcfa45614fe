package node

import (
	"math"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/filecoin-venus/venus/mpool"
)

// meters are the numbers of /metrics; docs/metrics.md tells what they mean. They
// belong to one node: several in one process keep apart.
type meters struct {
	registry   *prometheus.Registry
	validation *prometheus.HistogramVec
	calls      *prometheus.CounterVec
	callTime   *prometheus.HistogramVec
	conns      prometheus.Gauge
	streams    prometheus.Gauge
	slow       *prometheus.CounterVec
}

func newMeters(version, network string) *meters {
	m := &meters{
		registry: prometheus.NewRegistry(),
		validation: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "venus_block_validation_seconds", Help: "Time that a check of a block took, by check.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, []string{"check"}),
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
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "venus_info", Help: "Always 1; the labels tell what runs.", ConstLabels: prometheus.Labels{"version": version, "network": network},
	})
	info.Set(1)
	m.registry.MustRegister(m.validation, m.calls, m.callTime, m.conns, m.streams, m.slow, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch adds what is read at the moment somebody asks.
func (m *meters) watch(v vitals, pool *mpool.Pool) {
	for _, g := range []struct {
		name, help string
		read       func() float64
	}{
		{"venus_head_epoch", "Height of the head.", func() float64 { return float64(v.store.Head().Height()) }},
		{"venus_head_age_seconds", "Time since the timestamp of the head.", func() float64 { return v.age().Seconds() }},
		{"venus_sync_lag_epochs", "Epochs between the head and the clock.", func() float64 {
			return float64(epochOf(v.clock.Now(), v.store.Genesis().MinTimestamp(), v.net.BlockDelay) - v.store.Head().Height())
		}},
		{"venus_mpool_messages", "Messages that wait for a block.", func() float64 { return float64(pool.Len()) }},
		{"venus_peers", "Connected peers.", func() float64 { return float64(v.peers()) }},
		{"venus_disk_free_bytes", "Room left on the disk of the stores.", func() float64 {
			free, err := v.room.Free()
			if err != nil {
				return math.NaN()
			}
			return float64(free)
		}},
		{"venus_store_bytes", "Disk that the store of chain objects takes; may be a minute old.", func() float64 { return float64(v.disk.Size()) }},
	} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: g.name, Help: g.help}, g.read))
	}
}

func (m *meters) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// checked takes the time of one check of a block.
func (m *meters) checked(check string, took time.Duration) {
	m.validation.WithLabelValues(check).Observe(took.Seconds())
}

// Called implements rpc.Meter.
func (m *meters) Called(method, code string, took time.Duration) {
	m.calls.WithLabelValues(method, code).Inc()
	if took > 0 {
		m.callTime.WithLabelValues(method).Observe(took.Seconds())
	}
}

// Connections implements rpc.Meter.
func (m *meters) Connections(delta int) { m.conns.Add(float64(delta)) }

// Subscriptions implements rpc.Meter.
func (m *meters) Subscriptions(delta int) { m.streams.Add(float64(delta)) }

// TooSlow implements rpc.Meter.
func (m *meters) TooSlow(method string) { m.slow.WithLabelValues(method).Inc() }

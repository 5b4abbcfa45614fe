package node

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/filecoin-venus/venus/mpool"
	"github.com/filecoin-venus/venus/rpc/meters"
)

// nodeMeters are the numbers of /metrics; docs/metrics.md tells what they mean.
type nodeMeters struct {
	*meters.Meters
	validation *prometheus.HistogramVec
	prunings   *prometheus.CounterVec
	pruned     prometheus.Counter
	pruneTime  prometheus.Gauge
}

func newMeters(version, network string) *nodeMeters {
	m := &nodeMeters{
		Meters: meters.New(prometheus.Labels{"version": version, "network": network}),
		validation: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "venus_block_validation_seconds", Help: "Time that a check of a block took, by check.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, []string{"check"}),
		prunings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "venus_store_prunings_total", Help: "Prunings of the store of chain objects, by how they ended (ok or failed).",
		}, []string{"result"}),
		pruned:    prometheus.NewCounter(prometheus.CounterOpts{Name: "venus_store_pruned_bytes_total", Help: "Disk that prunings gave back."}),
		pruneTime: prometheus.NewGauge(prometheus.GaugeOpts{Name: "venus_store_pruning_seconds", Help: "How long the last pruning took."}),
	}
	m.Registry.MustRegister(m.validation, m.prunings, m.pruned, m.pruneTime)
	return m
}

// watch adds what is read at the moment somebody asks.
func (m *nodeMeters) watch(v vitals, pool *mpool.Pool) {
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
		{"venus_store_bytes", "Disk that the store of chain objects takes.", func() float64 { return float64(v.disk.Size()) }},
		{"venus_store_hot_bytes", "The part of it that was written since the last import or pruning.", func() float64 { return float64(v.disk.Usage().Hot) }},
		{"venus_store_packed_blocks", "Blocks that the last imports or pruning left.", func() float64 { return float64(v.disk.Usage().Packed) }},
	} {
		m.Gauge(g.name, g.help, g.read)
	}
}

// checked takes the time of one check of a block.
func (m *nodeMeters) checked(check string, took time.Duration) {
	m.validation.WithLabelValues(check).Observe(took.Seconds())
}

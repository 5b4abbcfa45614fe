package mining

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/mining/record"
	"github.com/filecoin-venus/venus/rpc"
)

// meters are the numbers of /metrics; docs/metrics.md tells what they mean.
type meters struct {
	registry *prometheus.Registry
	elected  *prometheus.CounterVec
	wins     *prometheus.CounterVec
	expected *prometheus.CounterVec
	blocks   *prometheus.CounterVec
	proofs   *prometheus.HistogramVec
	lateness prometheus.Histogram
}

func newMeters() *meters {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "venus_miner_" + name, Help: help}, labels)
	}
	m := &meters{
		registry: prometheus.NewRegistry(),
		elected:  counter("elections_total", "Elections that were held.", "miner"),
		wins:     counter("wins_total", "Sum of the win counts of won elections.", "miner"),
		expected: counter("expected_wins_total", "What the power of the miner promised for wins_total.", "miner"),
		blocks:   counter("blocks_total", "What became of recorded blocks; a block may pass several states.", "miner", "state"),
		proofs: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "venus_miner_proof_seconds", Help: "How long winning proofs took, by result.", Buckets: prometheus.ExponentialBuckets(0.05, 2, 12),
		}, []string{"result"}),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "venus_miner_block_lateness_seconds", Help: "How long after its own timestamp a block was taken by a node.", Buckets: prometheus.ExponentialBuckets(0.05, 2, 10),
		}),
	}
	m.registry.MustRegister(m.elected, m.wins, m.expected, m.blocks, m.proofs, m.lateness, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *meters) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

func (m *meters) held(miner address.Address, expected float64, wins int64) {
	m.elected.WithLabelValues(miner.String()).Inc()
	m.wins.WithLabelValues(miner.String()).Add(float64(wins))
	m.expected.WithLabelValues(miner.String()).Add(expected)
}

func (m *meters) block(miner address.Address, s record.State) {
	m.blocks.WithLabelValues(miner.String(), string(s)).Inc()
}

func (m *meters) proof(took time.Duration, err error) {
	result := "made"
	if err != nil {
		result = "failed"
	}
	m.proofs.WithLabelValues(result).Observe(took.Seconds())
}

func (m *meters) submitted(late time.Duration) { m.lateness.Observe(max(0, late.Seconds())) }

// watch adds what is read from a service when somebody asks.
func (m *meters) watch(s *Service) { m.registry.MustRegister(newGauges(s)) }

// gauges show the miners and nodes of a service.
type gauges struct {
	s                                       *Service
	mining, failing, epoch, up, behind, use *prometheus.Desc
}

func newGauges(s *Service) *gauges {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("venus_miner_"+name, help, labels, nil)
	}
	return &gauges{
		s:       s,
		mining:  d("mining", "1 when the miner shall mine, 0 when it is stopped.", "miner"),
		failing: d("failing", "1 when something keeps the miner from winning.", "miner"),
		epoch:   d("last_epoch", "The last epoch that was tried.", "miner"),
		up:      d("node_up", "1 when the node can be heard.", "node"),
		behind:  d("node_head_epoch", "Height of the node's head.", "node"),
		use:     d("node_used", "1 for the node on whose head is mined.", "node"),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.mining, g.failing, g.epoch, g.up, g.behind, g.use} {
		out <- d
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, label string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, label)
	}
	for _, st := range g.s.states() {
		gauge(g.mining, flag(st.IsMining), st.Addr.String())
		gauge(g.failing, flag(st.IsMining && st.Err != ""), st.Addr.String())
		gauge(g.epoch, float64(st.LastEpoch), st.Addr.String())
	}
	for _, n := range g.s.heads.states() {
		gauge(g.up, flag(n.Err == ""), n.Node)
		gauge(g.use, flag(n.Used), n.Node)
		gauge(g.behind, float64(n.Head), n.Node)
	}
}

// health is what /readyz and /healthz look at.
func (s *Service) health(c clock.Clock) *rpc.Health {
	return rpc.NewHealth(c,
		rpc.Check{Name: "records", Live: true, Ask: func(ctx context.Context) (string, error) {
			return "what was signed and won can be recorded", s.parts.Records.Ping(ctx)
		}},
		rpc.Check{Name: "node", Ready: true, Ask: func(context.Context) (string, error) {
			_, _, away := s.heads.get()
			return "a node is heard", away
		}},
		rpc.Check{Name: "miners", Ask: func(context.Context) (string, error) {
			bad := 0
			for _, st := range s.states() {
				if st.IsMining && st.Err != "" {
					bad++
				}
			}
			if bad > 0 {
				return "", fmt.Errorf("%d miners cannot win: see venus-miner address state", bad)
			}
			return "nothing keeps a miner from winning", nil
		}},
	)
}

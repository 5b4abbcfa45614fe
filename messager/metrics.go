package messager

import (
	"context"
	"math/big"
	"net/http"
	"strconv"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/filecoin-venus/venus/messager/machine"
)

// scrapeTimeout bounds the questions to the database for one look at the metrics.
const scrapeTimeout = 5 * time.Second

// meters are the numbers of /metrics; docs/metrics.md tells what they mean. They
// belong to one messager: several in one process keep apart.
type meters struct {
	registry  *prometheus.Registry
	steps     *prometheus.CounterVec
	spent     *prometheus.CounterVec
	foreigner *prometheus.CounterVec
}

func newMeters() *meters {
	m := &meters{
		registry: prometheus.NewRegistry(),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "venus_messager_events_total", Help: "What happened to messages: queued, signed, pushed, included, replaced, reverted, conflict, failed, delays and failed pushes.",
		}, []string{"event"}),
		spent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "venus_messager_spent_fil_total", Help: "FIL that landed messages cost besides their value, by sender and method; what a reorganisation undid is not taken off.",
		}, []string{"from", "method"}),
		foreigner: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "venus_messager_foreign_nonces_total", Help: "Times that nonces were found used which this messager did not give out, by sender.",
		}, []string{"from"}),
	}
	m.registry.MustRegister(m.steps, m.spent, m.foreigner, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *meters) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

func (m *meters) foreign(a address.Address) { m.foreigner.WithLabelValues(a.String()).Inc() }

// event counts what happened to a message once that is durable.
func (m *meters) event(kind string, after *machine.Message) {
	m.steps.WithLabelValues(kind).Inc()
	if kind != "included" || after.Spent.Int == nil {
		return
	}
	fil, _ := new(big.Rat).SetFrac(after.Spent.Int, big.NewInt(1e18)).Float64() // as near as a float comes
	m.spent.WithLabelValues(after.Msg.From.String(), strconv.FormatUint(uint64(after.Msg.Method), 10)).Add(fil)
}

// gauges are read from the database when somebody asks.
type gauges struct {
	s                                             *Service
	queued, age, underway, stuck, leases, up, lag *prometheus.Desc
}

func newGauges(s *Service) *gauges {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("venus_messager_"+name, help, labels, nil)
	}
	return &gauges{
		s:        s,
		queued:   d("queued", "Messages without a nonce, by lane.", "lane"),
		age:      d("queue_age_seconds", "Age of the oldest message without a nonce, by lane.", "lane"),
		underway: d("underway", "Messages with a nonce that have not landed."),
		stuck:    d("stuck", "Messages that wait for longer than their lane allows, by state: queued with an obstacle, or under way.", "state"),
		leases:   d("leases", "Leases this messager holds: senders whose nonces it gives out, and the chain."),
		up:       d("node_up", "1 when the node answered last time, by node.", "node"),
		lag:      d("head_age_seconds", "Time since the timestamp of the head that is followed."),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.queued, g.age, g.underway, g.stuck, g.leases, g.up, g.lag} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	now := g.s.clk.Now()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if head := g.s.Head(); head != nil {
		gauge(g.lag, g.s.age(head).Seconds())
	}
	g.s.leases.mu.Lock()
	held := len(g.s.leases.fences)
	g.s.leases.mu.Unlock()
	gauge(g.leases, float64(held))
	g.s.nodes.mu.Lock()
	for i, e := range g.s.nodes.all {
		if len(g.s.nodes.all) == 1 {
			break // nobody compares it with others
		}
		up := 0.0
		if g.s.nodes.views[i].Up {
			up = 1
		}
		gauge(g.up, up, e.Name)
	}
	g.s.nodes.mu.Unlock()
	lanes, err := g.s.db.Lanes(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(g.queued, err)
		return
	}
	for _, lane := range []machine.Lane{machine.LaneProof, machine.LaneCommit, machine.LaneNormal} {
		l := lanes[lane]
		age := 0.0
		if l.Queued > 0 {
			age = max(0, now.Sub(l.Oldest).Seconds())
		}
		gauge(g.queued, float64(l.Queued), lane.String())
		gauge(g.age, age, lane.String())
	}
	load, err := g.s.db.Load(ctx, now.Add(-machine.Patience(machine.LaneNormal, g.s.epochTime())))
	if err != nil {
		ch <- prometheus.NewInvalidMetric(g.underway, err)
		return
	}
	gauge(g.underway, float64(load.Underway))
	gauge(g.stuck, float64(load.QueuedStuck), "queued")
	gauge(g.stuck, float64(load.UnderwayStuck), "underway")
}

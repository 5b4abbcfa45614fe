package auth

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/filecoin-venus/venus/auth/influx"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/rpc/meters"
)

// watch counts what the service does and, where it is configured, tells InfluxDB.
type watch struct {
	*meters.Meters
	verified  *prometheus.CounterVec
	verifying *prometheus.HistogramVec
	managed   *prometheus.CounterVec
	points    *influx.Writer // nil: none
}

// newWatch makes the numbers of a daemon; stop writes what waits for InfluxDB.
func newWatch(c Config, clk clock.Clock) (w *watch, stop func() error, err error) {
	m := meters.New(prometheus.Labels{"version": ProgramVersion, "network": ""})
	w = &watch{
		Meters:    m,
		verified:  m.Counter("venus_auth_verified_total", "Tokens judged, by result: ok or the code of the refusal.", "result"),
		verifying: m.Histogram("venus_auth_verify_seconds", "Time until a token was judged."),
		managed:   m.Counter("venus_auth_managed_total", "Managing calls, by action and by result.", "action", "result"),
	}
	stop = func() error { return nil }
	if !c.influx() {
		return w, stop, nil
	}
	i := c.Log.InfluxDB
	w.points, err = influx.New(influx.Config{
		ServerURL: i.ServerURL, AuthToken: i.AuthToken, Org: i.Org, Bucket: i.Bucket, BatchSize: i.BatchSize, FlushInterval: time.Duration(i.FlushInterval),
	}, clk)
	if err != nil {
		return nil, nil, err
	}
	m.Gauge("venus_auth_influx_waiting", "Points that wait for InfluxDB.", func() float64 { return float64(w.points.Stats().Waiting) })
	m.Gauge("venus_auth_influx_dropped", "Points dropped because InfluxDB was away too long or rejected them.", func() float64 { return float64(w.points.Stats().Dropped) })
	stop = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := w.points.Close(ctx); err != nil {
			log.Warn(err) // it must not make the end a failure
		}
		return nil
	}
	return w, stop, nil
}

// Verified implements Watcher.
func (w *watch) Verified(v Verification) {
	w.verified.WithLabelValues(v.Result).Inc()
	w.verifying.WithLabelValues().Observe(v.Took.Seconds())
	if w.points == nil {
		return
	}
	level := "trace"
	if v.Result != "ok" {
		level = "error"
	}
	w.points.Write(influx.Point{
		Measurement: "verify", Time: v.At,
		Tags:   map[string]string{"level": level, "name": v.Name, "ip": v.From, "svcName": v.Service},
		Fields: map[string]any{"message": v.Result, "elapsed": v.Took.Milliseconds(), "preHost": v.PreHost, "spanId": v.Span},
	})
}

// Managed implements Watcher.
func (w *watch) Managed(e Entry) {
	w.managed.WithLabelValues(e.Action, e.Result).Inc()
	if w.points != nil {
		w.points.Write(influx.Point{
			Measurement: "manage", Time: e.At,
			Tags:   map[string]string{"action": e.Action, "result": e.Result, "name": e.Caller, "ip": e.From},
			Fields: map[string]any{"subject": e.Subject},
		})
	}
}

// health asks the store for something that is not there.
func (s *Service) health() *rpc.Health {
	return rpc.NewHealth(s.clk, rpc.Check{Name: "store", Ready: true, Ask: func(ctx context.Context) (string, error) {
		if _, err := s.store.Get(ctx, "health"); err != nil && !errors.Is(err, ErrUnknown) {
			return "", errStore("look at the store", err)
		}
		return "tokens can be read", nil
	}})
}

// pruneInterval is how often old entries of the audit log are removed.
const pruneInterval = time.Hour

func (s *Service) pruneAudit(ctx context.Context, keep time.Duration) {
	for {
		n, err := s.store.Prune(ctx, s.clk.Now().Add(-keep))
		switch {
		case err != nil && ctx.Err() == nil:
			log.Errorf("old entries of the audit log cannot be removed: %v", err)
		case n > 0:
			log.Infof("%d entries of the audit log were older than %s and are removed", n, keep)
		}
		if s.clk.Sleep(ctx, pruneInterval) != nil {
			return
		}
	}
}

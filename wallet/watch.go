package wallet

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/rpc/meters"
	"github.com/filecoin-venus/venus/wallet/keystore"
	"github.com/filecoin-venus/venus/wallet/signlog"
)

// watch counts what the wallet does. No address is among the labels: who reaches the port learns no keys.
type watch struct {
	*meters.Meters
	decided *prometheus.CounterVec
	signing *prometheus.HistogramVec
}

func newWatch(version, network string, keys *keystore.Store) *watch {
	m := meters.New(prometheus.Labels{"version": version, "network": network})
	m.Gauge("venus_wallet_keys", "Keys that can be used once unlocked.", func() float64 { return float64(len(keys.List())) })
	m.Gauge("venus_wallet_damaged_keys", "Key files that cannot be used.", func() float64 { return float64(len(keys.Damaged())) })
	m.Gauge("venus_wallet_locked", "1 while nothing can be signed.", func() float64 {
		if keys.Locked() {
			return 1
		}
		return 0
	})
	return &watch{
		Meters:  m,
		decided: m.Counter("venus_wallet_requests_total", "Requests to sign, by type and by decision: signed or refused.", "type", "decision"),
		signing: m.Histogram("venus_wallet_sign_seconds", "Time until a signature was made, its record durable.", "type"),
	}
}

// Decided implements Watcher.
func (w *watch) Decided(kind string, d signlog.Decision, took time.Duration) {
	w.decided.WithLabelValues(kind, string(d)).Inc()
	if d == signlog.Signed {
		w.signing.WithLabelValues(kind).Observe(took.Seconds())
	}
}

// health looks at what signing needs.
func (s *Service) health() *rpc.Health {
	return rpc.NewHealth(s.clock,
		rpc.Check{Name: "signlog", Live: true, Ready: true, Ask: func(context.Context) (string, error) {
			return "records can be written", s.records.Broken()
		}},
		rpc.Check{Name: "lock", Ready: true, Ask: func(context.Context) (string, error) { return "unlocked", s.usable() }},
		rpc.Check{Name: "keys", Ask: func(context.Context) (string, error) {
			if n := len(s.keys.Damaged()); n > 0 {
				return "", fmt.Errorf("%d key files cannot be used; the log names them", n)
			}
			return "every key file can be read", nil
		}},
	)
}

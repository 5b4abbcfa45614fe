package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/sealer/store"
)

// headTooOld is from how many epochs on, and from what time on at least, a head is old.
const (
	headTooOld      = 5
	headTooOldLeast = 30 * time.Second
)

// health is what /livez, /readyz and /healthz look at. Strangers read it: no names of paths, no texts of others' errors.
func (s *Service) health() *rpc.Health {
	return rpc.NewHealth(s.opts.Clock,
		rpc.Check{Name: "database", Ready: true, Ask: func(ctx context.Context) (string, error) {
			if _, err := s.db.Meta(ctx, busNameKey); err != nil {
				return "", errors.New("the database does not answer as it should: nothing can be sealed or proven")
			}
			return "it answers", nil
		}},
		// It answers all the same: a network on which nobody mines yet needs its sealer first.
		rpc.Check{Name: "head", Ask: func(context.Context) (string, error) {
			h := s.heads.Latest()
			if h.Seq == 0 {
				return "", errors.New("the node gave no head yet")
			}
			age := s.opts.Clock.Now().Sub(h.Time).Round(time.Second)
			if age > max(headTooOldLeast, headTooOld*s.network.BlockDelay) {
				return "", fmt.Errorf("the node's head, epoch %d, is %s old", h.Epoch, age)
			}
			return fmt.Sprintf("epoch %d, %s old", h.Epoch, age), nil
		}},
		rpc.Check{Name: "nats", Ask: func(context.Context) (string, error) {
			if !s.broker.Connected() {
				return "", errors.New("NATS is not reached: workers get no tasks; 'venus-sealer sealing sched-diag' tells why")
			}
			return "tasks reach workers", nil
		}},
		rpc.Check{Name: "storage", Ask: func(context.Context) (string, error) { return wellStored(s.seenPaths()) }},
		rpc.Check{Name: "deadlines", Ask: func(context.Context) (string, error) {
			if n := len(s.wdpost.Alerts()); n > 0 {
				return "", fmt.Errorf("%d alerts about window proofs: see venus-sealer proving info", n)
			}
			return "no deadline is in danger", nil
		}},
	)
}

// seenPath is a path as its last look saw it: no disk is asked.
type seenPath struct {
	store.Path
	full string
}

func (s *Service) seenPaths() (list []seenPath, lost int) {
	for _, p := range s.store.Paths() {
		list = append(list, seenPath{p, s.store.Full(s.store.Last(p.ID))})
	}
	return list, len(s.store.Lost())
}

// wellStored judges storage paths: each is there, and what is sealed has somewhere to go.
func wellStored(list []seenPath, lost int) (string, error) {
	away, stores := lost, 0
	for _, p := range list {
		switch {
		case p.Away != "":
			away++
		case p.CanStore && p.full == "":
			stores++
		}
	}
	switch {
	case away > 0:
		return "", fmt.Errorf("%d storage paths are away, and their sectors with them: see venus-sealer storage list", away)
	case len(list) == 0:
		return "", errors.New("no storage path is attached: venus-sealer storage attach --init --store --seal PATH")
	case stores == 0:
		return "", errors.New("no storage path takes finished sectors: all that store are full; attach another, see venus-sealer storage list")
	}
	return fmt.Sprintf("%d paths, %d take finished sectors", len(list), stores), nil
}

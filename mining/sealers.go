package mining

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"

	"github.com/filecoin-venus/venus/internal/clock"
)

// NamedProver is one of a miner's sealers.
type NamedProver struct {
	Name   string // for people: its address
	Prover Prover
}

// sealers are a miner's sealers as one. A proof is asked of the one that made the last; another is asked beside it when it
// fails, or when it has not answered within patience. The first proof counts.
type sealers struct {
	list     []NamedProver
	clock    clock.Clock
	patience time.Duration

	mu   sync.Mutex
	last int // index of the one that made the last proof
}

// NewSealers makes one Prover of several, the operator's first choice first. patience is how long one may take before the
// next is asked beside it.
func NewSealers(c clock.Clock, patience time.Duration, list ...NamedProver) Prover {
	if len(list) == 1 {
		return list[0].Prover
	}
	return &sealers{list: list, clock: c, patience: patience}
}

// order lists the indices as they should be asked.
func (s *sealers) order() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []int{s.last}
	for i := range s.list {
		if i != s.last {
			out = append(out, i)
		}
	}
	return out
}

// ComputeProof implements Prover.
func (s *sealers) ComputeProof(ctx context.Context, sectors []proof.ExtendedSectorInfo, r abi.PoStRandomness) ([]proof.PoStProof, error) {
	ctx, cancel := context.WithCancel(ctx) // whoever is slower stops
	defer cancel()
	type answer struct {
		from   int
		proofs []proof.PoStProof
		err    error
	}
	answers := make(chan answer, len(s.list))
	waiting, order := 0, s.order()
	next := func() {
		i := order[0]
		order = order[1:]
		waiting++
		go func() {
			a := answer{from: i}
			a.err = guarded(func() (err error) {
				if a.proofs, err = s.list[i].Prover.ComputeProof(ctx, sectors, r); err == nil && len(a.proofs) == 0 {
					err = errors.New("the answer holds no proof")
				}
				return err
			})
			answers <- a
		}()
	}
	var errs error
	for next(); waiting > 0; {
		var patience <-chan time.Time
		if len(order) > 0 {
			t := s.clock.NewTimer(s.patience)
			defer t.Stop()
			patience = t.C()
		}
		select {
		case a := <-answers:
			if waiting--; a.err == nil {
				s.mu.Lock()
				s.last = a.from
				s.mu.Unlock()
				return a.proofs, nil
			}
			errs = errors.Join(errs, fmt.Errorf("sealer %s: %w", s.list[a.from].Name, a.err))
			if len(order) > 0 {
				next()
			}
		case <-patience:
			next()
		case <-ctx.Done():
			return nil, errors.Join(errs, ctx.Err())
		}
	}
	return nil, errs
}

// ActorAddress implements Prover: all sealers must serve one miner.
func (s *sealers) ActorAddress(ctx context.Context) (address.Address, error) {
	var all address.Address
	for i, n := range s.list {
		a, err := n.Prover.ActorAddress(ctx)
		if err != nil {
			return address.Undef, fmt.Errorf("sealer %s: %w", n.Name, err)
		}
		if i > 0 && a != all {
			return address.Undef, fmt.Errorf("sealer %s serves miner %s, sealer %s serves %s", s.list[0].Name, all, n.Name, a)
		}
		all = a
	}
	return all, nil
}

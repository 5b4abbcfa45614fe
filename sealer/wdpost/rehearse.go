package wdpost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"

	"github.com/filecoin-venus/venus/params"
)

// ErrBusy says that a real proof is being made, or is due.
var ErrBusy = errors.New("a window proof is being made")

// Rehearsal is what came of proving one message's worth of partitions for nothing.
type Rehearsal struct {
	Messages       int // that the deadline takes; 0 when there is nothing to prove
	Partitions     []uint64
	Wanted, Proven uint64 // sectors
	Bad            map[abi.SectorNumber]string
	Check, Prove   time.Duration
	Parts          []Part
	Err            string
}

// Rehearse proves partitions of a deadline now, as the real proof will, under a
// challenge of the present epoch. Real proofs go first: it gives way to them.
func (s *Shell) Rehearse(ctx context.Context, deadline uint64, message int) (r Rehearsal, err error) {
	ctx, leave, err := s.enterRehearsal(ctx)
	if err != nil {
		return r, err
	}
	defer leave()
	head := s.parts.Heads.Latest()
	parts, err := s.partitions(ctx, deadline, head.Key)
	if err != nil {
		return r, err
	}
	list, err := groups(parts, bitfield.New(), s.set.MaxPartitions)
	if err != nil {
		return r, err
	}
	if r.Messages = len(list); message < 0 || message >= len(list) {
		return r, nil
	}
	r.Partitions = list[message]
	start := s.parts.Clock.Now()
	j, err := s.prepare(ctx, deadline, r.Partitions)
	if err != nil {
		return r, gaveWay(ctx, err)
	}
	r.Wanted, r.Bad, r.Check = uint64(len(j.infos)), j.why, s.parts.Clock.Now().Sub(start)
	ent, err := s.entropy()
	if err != nil {
		return r, err
	}
	seed, err := s.parts.Chain.StateGetRandomnessFromBeacon(ctx, crypto.DomainSeparationTag_WindowedPoStChallengeSeed, head.Epoch, ent, head.Key)
	if err != nil {
		return r, fmt.Errorf("draw a challenge of epoch %d: %w", head.Epoch, err)
	}
	start = s.parts.Clock.Now()
	j.anew = true
	j.by, j.others = s.by(head.Epoch+s.Snapshot().Current.Length+params.PostChallengeLookback), len(list)-1
	p, err := s.compute(ctx, j, abi.PoStRandomness(seed))
	r.Prove = s.parts.Clock.Now().Sub(start)
	switch {
	case ctx.Err() != nil:
		return r, gaveWay(ctx, ctx.Err())
	case err != nil:
		r.Err = err.Error()
	case p == nil:
		r.Err = "no sector of these partitions can be proven"
	default:
		r.Proven, r.Parts = p.Sectors, p.Parts
	}
	return r, nil
}

func gaveWay(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), ErrBusy) {
		return fmt.Errorf("the rehearsal gave way: %w", ErrBusy)
	}
	return err
}

// enterRehearsal makes a context that ends when a real proof begins.
func (s *Shell) enterRehearsal(ctx context.Context) (context.Context, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proofs > 0 || s.rehearsal != nil {
		return nil, nil, ErrBusy
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s.rehearsal = cancel
	return ctx, func() {
		cancel(nil)
		s.mu.Lock()
		s.rehearsal = nil
		s.mu.Unlock()
	}, nil
}

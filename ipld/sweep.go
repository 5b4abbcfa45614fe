package ipld

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/ipfs/go-cid"
)

// Sweep visits every block that some roots reach, each once, parents first. Blocks are read on all processors, some ahead,
// and visited one after the other, in an order that depends on the content alone.
type Sweep struct {
	From Blockstore
	// Seen holds what was visited; sweeps of similar graphs share their work through it. Nil starts empty.
	Seen map[Key]struct{}
	// Visit gets every block; nil visits nothing.
	Visit func(c cid.Cid, data []byte) error
	// Follow lists where a block leads; nil means all its links.
	Follow func(c cid.Cid, data []byte) ([]cid.Cid, error)
	// Absent is told of blocks that the store lacks; nil makes that an error.
	Absent func(c cid.Cid) error

	view Blockstore // From, as this sweep reads it
}

// sweepRound is how many blocks are read at a time; a few are not worth a goroutine.
const (
	sweepRound = 256
	sweepAlone = 8
)

// step is a block of one round.
type step struct {
	cid   cid.Cid
	data  []byte
	links []cid.Cid
	err   error
}

// Walk visits what the roots reach and what Seen does not hold yet.
func (s *Sweep) Walk(ctx context.Context, roots ...cid.Cid) error {
	if s.Seen == nil {
		s.Seen = map[Key]struct{}{}
	}
	if s.view == nil {
		s.view = s.From
		if from, ok := s.From.(Sequential); ok {
			s.view = from.Sequential()
		}
	}
	stack := make([]cid.Cid, 0, len(roots))
	for i := len(roots) - 1; i >= 0; i-- {
		stack = append(stack, roots[i])
	}
	next := s.round(&stack, nil)
	s.load(ctx, next)
	var spare []step
	for len(next) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		round := next
		for i := len(round) - 1; i >= 0; i-- {
			for j := len(round[i].links) - 1; j >= 0; j-- {
				stack = append(stack, round[i].links[j])
			}
		}
		next = s.round(&stack, spare)
		var loading sync.WaitGroup // while this round is visited
		if len(next) > 0 {
			loading.Go(func() { s.load(ctx, next) })
		}
		err := s.visit(round)
		loading.Wait()
		if err != nil {
			return err
		}
		spare = round
	}
	return nil
}

// round takes the next blocks from the stack.
func (s *Sweep) round(stack *[]cid.Cid, into []step) []step {
	into = into[:0]
	left := *stack
	for len(left) > 0 && len(into) < sweepRound {
		c := left[len(left)-1]
		left = left[:len(left)-1]
		if !walkable(c) {
			continue
		}
		k := KeyOf(c)
		if _, done := s.Seen[k]; done {
			continue
		}
		s.Seen[k] = struct{}{}
		into = append(into, step{cid: c})
	}
	*stack = left
	return into
}

func (s *Sweep) visit(round []step) error {
	for i := range round {
		if err := s.take(&round[i]); err != nil {
			return err
		}
	}
	return nil
}

// Children lists the links of a block that lead to objects which stores hold: not what identity CIDs carry themselves, not
// the commitments to data that is never stored.
func Children(c cid.Cid, data []byte) ([]cid.Cid, error) {
	links, err := Links(c, data)
	kept := links[:0]
	for _, l := range links {
		if walkable(l) {
			kept = append(kept, l)
		}
	}
	return kept, err
}

func (s *Sweep) take(b *step) error {
	if s.Absent != nil && errors.Is(b.err, ErrNotFound) {
		return s.Absent(b.cid)
	}
	if b.err != nil {
		return fmt.Errorf("walk: %w", b.err)
	}
	if s.Visit == nil {
		return nil
	}
	return s.Visit(b.cid, b.data)
}

// load reads a round.
func (s *Sweep) load(ctx context.Context, round []step) {
	if len(round) <= sweepAlone {
		for i := range round {
			s.read(ctx, &round[i])
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(round); i = int(next.Add(1)) - 1 {
				s.read(ctx, &round[i])
			}
		})
	}
	wg.Wait()
}

func (s *Sweep) read(ctx context.Context, b *step) {
	defer func() {
		if p := recover(); p != nil {
			b.err = fmt.Errorf("block %s: %v", b.cid, p)
		}
	}()
	if b.data, b.err = s.view.Get(ctx, b.cid); b.err != nil {
		return
	}
	follow := s.Follow
	if follow == nil {
		follow = Links
	}
	b.links, b.err = follow(b.cid, b.data)
}

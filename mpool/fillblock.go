package mpool

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"sort"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/types"
)

// maxReorgWalk is how far a base may lie from the pool's head.
const maxReorgWalk = 900

// Select fills a block on base for a miner whose ticket has the given quality.
func (p *Pool) Select(ctx context.Context, base *types.TipSet, quality float64) ([]*types.SignedMessage, error) {
	all, err := p.SelectMany(ctx, base, []float64{quality})
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// SelectMany fills one block per ticket quality, each from what the ones before
// left over. A block for which nothing is left carries the first one's messages:
// if the first block is lost, they still land.
func (p *Pool) SelectMany(ctx context.Context, base *types.TipSet, qualities []float64) ([][]*types.SignedMessage, error) {
	baseFee, err := p.o.Chain.BaseFeeAfter(ctx, base)
	if err != nil {
		return nil, fmt.Errorf("base fee after %s: %w", base.Key(), err)
	}
	queues, err := p.queues(ctx, base, nil)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	priority, seed := p.cfg.PriorityAddrs, p.rng.Int63()
	p.mu.Unlock()
	out := make([][]*types.SignedMessage, len(qualities))
	for i, q := range qualities {
		out[i] = SelectMessages(queues, SelectParams{
			BaseFee: baseFee, Quality: q, Priority: priority, Rand: rand.New(rand.NewSource(seed + int64(i))),
		})
		if len(out[i]) == 0 && i > 0 {
			out[i] = out[0]
		}
		queues = without(queues, out[i])
	}
	return out, nil
}

// without removes chosen messages and moves the senders' actors past them.
func without(queues []Queue, chosen []*types.SignedMessage) []Queue {
	taken := make(map[*types.SignedMessage]bool, len(chosen))
	for _, m := range chosen {
		taken[m] = true
	}
	out := make([]Queue, 0, len(queues))
	for _, q := range queues {
		left := Queue{Sender: q.Sender, Actor: q.Actor}
		for _, m := range q.Msgs {
			if taken[m] {
				left.Actor.Nonce = m.Message.Nonce + 1
			} else {
				left.Msgs = append(left.Msgs, m)
			}
		}
		out = append(out, left)
	}
	return out
}

// queues gathers the senders' messages and actors after base. With senders nil it
// takes all. Messages of tipsets between the fork point and the pool's head count
// as pending again.
func (p *Pool) queues(ctx context.Context, base *types.TipSet, senders []address.Address) ([]Queue, error) {
	p.mu.Lock()
	head := p.head
	bySender := make(map[address.Address]map[uint64]*types.SignedMessage, len(p.core.lines))
	for s, l := range p.core.lines {
		msgs := make(map[uint64]*types.SignedMessage, len(l.msgs))
		for n, e := range l.msgs {
			msgs[n] = e.msg
		}
		bySender[s] = msgs
	}
	p.mu.Unlock()
	if !base.Equals(head) {
		if err := p.unland(ctx, head, base, bySender); err != nil {
			return nil, err
		}
	}
	if senders == nil {
		for s := range bySender {
			senders = append(senders, s)
		}
		sort.Slice(senders, func(i, j int) bool { return string(senders[i].Bytes()) < string(senders[j].Bytes()) })
	}
	out := make([]Queue, 0, len(senders))
	for _, s := range senders {
		actor, err := p.o.Chain.ActorAfter(ctx, s, base)
		if errors.Is(err, ErrUnknownSender) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look up %s: %w", s, err)
		}
		q := Queue{Sender: s, Actor: actor}
		for n, m := range bySender[s] {
			if n >= actor.Nonce {
				q.Msgs = append(q.Msgs, m)
			}
		}
		sort.Slice(q.Msgs, func(i, j int) bool { return q.Msgs[i].Message.Nonce < q.Msgs[j].Message.Nonce })
		out = append(out, q)
	}
	return out, nil
}

// unland adds the messages that the pool's head holds above its fork point with
// base. Nonces that base already executed fall away later by the actor's nonce.
func (p *Pool) unland(ctx context.Context, head, base *types.TipSet, bySender map[address.Address]map[uint64]*types.SignedMessage) error {
	for steps := 0; !head.Equals(base); steps++ {
		if steps > maxReorgWalk {
			return fmt.Errorf("base %s is more than %d tipsets from the pool's head", base.Key(), maxReorgWalk)
		}
		if head.Height() < base.Height() {
			parent, err := p.o.Chain.TipSet(ctx, base.Parents())
			if err != nil {
				return fmt.Errorf("load tipset %s: %w", base.Parents(), err)
			}
			base = parent
			continue
		}
		if err := p.unlandOne(ctx, head, bySender); err != nil {
			return err
		}
		parent, err := p.o.Chain.TipSet(ctx, head.Parents())
		if err != nil {
			return fmt.Errorf("load tipset %s: %w", head.Parents(), err)
		}
		head = parent
	}
	return nil
}

func (p *Pool) unlandOne(ctx context.Context, ts *types.TipSet, bySender map[address.Address]map[uint64]*types.SignedMessage) error {
	msgs, err := p.o.Chain.Messages(ctx, ts)
	if err != nil {
		return fmt.Errorf("messages of %s: %w", ts.Key(), err)
	}
	for _, m := range msgs {
		sm := p.signed(m)
		if sm == nil {
			continue
		}
		key, err := p.resolve(ctx, sm.Message.From, ts)
		if err != nil {
			return err
		}
		if bySender[key] == nil {
			bySender[key] = make(map[uint64]*types.SignedMessage)
		}
		bySender[key][sm.Message.Nonce] = sm
	}
	return nil
}

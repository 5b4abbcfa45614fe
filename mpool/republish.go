package mpool

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/types"
)

// republishInterval is ten epochs and the time a message needs to spread.
func (p *Pool) republishInterval() time.Duration { return 10*p.o.BlockDelay + p.o.PropagationDelay }

// Run republishes pending local messages on schedule, and soon after a reorg
// brought some back, until ctx ends.
func (p *Pool) Run(ctx context.Context) error {
	for {
		timer := p.o.Clock.NewTimer(p.republishInterval())
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C():
		case <-p.repub:
			timer.Stop()
		}
		if err := p.Republish(ctx); err != nil && ctx.Err() == nil {
			log.Warnw("pending messages not republished", "err", err)
		}
	}
}

// Republish sends the best-paying executable chains of local messages again, a
// bounded number per round, paced so that a long outage ends without a storm.
func (p *Pool) Republish(ctx context.Context) error {
	head := p.Head()
	baseFee, err := p.o.Chain.BaseFeeAfter(ctx, head)
	if err != nil {
		return fmt.Errorf("base fee after %s: %w", head.Key(), err)
	}
	queues, err := p.queues(ctx, head, p.localSenders())
	if err != nil {
		return err
	}
	for i, m := range republishChoice(queues, feeCapLowerBound(baseFee)) {
		if i > 0 {
			if err := p.o.Clock.Sleep(ctx, republishGap); err != nil {
				return err
			}
		}
		if err := p.publish(ctx, m); err != nil {
			return fmt.Errorf("publish %s: %w", m.Cid(), err)
		}
	}
	return nil
}

// republishChoice picks at most republishLimit messages: whole chains from the
// senders' fronts, best payers first. Fees are judged at the relay's lower bound,
// so that a passing spike of the base fee does not silence everything.
func republishChoice(queues []Queue, lowest big.Int) []*types.SignedMessage {
	var chains []*chain
	for i, q := range queues {
		chains = append(chains, buildChains(q, i, lowest)...)
	}
	sort.SliceStable(chains, func(i, j int) bool { return better(chains[i], chains[j]) })
	var out []*types.SignedMessage
	for _, c := range chains {
		if c.perf < 0 {
			break
		}
		room := republishLimit - len(out)
		out = append(out, c.msgs[:min(room, len(c.msgs))]...)
		if len(out) == republishLimit {
			break
		}
	}
	return out
}

func (p *Pool) localSenders() []address.Address {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []address.Address
	for _, s := range p.core.senders() {
		for _, e := range p.core.lines[s].msgs {
			if e.local {
				out = append(out, s)
				break
			}
		}
	}
	return out
}

// pruneLocked throws out the worst-paying messages of others when the pool is
// over its limit, at most once per cooldown.
func (p *Pool) pruneLocked() {
	now := p.o.Clock.Now()
	if p.core.count <= p.cfg.SizeLimitHigh || now.Sub(p.lastPrune) < p.cfg.PruneCooldown {
		return
	}
	p.lastPrune = now
	gone := p.core.prune(p.cfg.SizeLimitLow, p.cfg.PriorityAddrs)
	p.dropLocked(gone)
	log.Infow("message pool pruned", "removed", len(gone), "left", p.core.count)
}

// prune shrinks the pool to a size. Lines with a local message and lines of
// protected senders stay; of the others the tails of the cheapest go first, so
// that no line gets a gap.
func (c *core) prune(size int, protected []address.Address) []*entry {
	keep := make(map[address.Address]bool, len(protected))
	for _, a := range protected {
		keep[a] = true
	}
	var lines [][]*entry
	for _, s := range c.senders() {
		es := c.of(s)
		local := keep[s]
		for _, e := range es {
			local = local || e.local
		}
		if !local {
			lines = append(lines, es)
		}
	}
	mean := func(es []*entry) big.Int {
		sum := big.Zero()
		for _, e := range es {
			sum = big.Add(sum, e.msg.Message.GasPremium)
		}
		return big.Div(sum, big.NewInt(int64(len(es))))
	}
	sort.SliceStable(lines, func(i, j int) bool { return mean(lines[i]).LessThan(mean(lines[j])) })
	var gone []*entry
	for _, es := range lines {
		for i := len(es) - 1; i >= 0 && c.count > size; i-- {
			gone = append(gone, c.remove(es[i].key, es[i].msg.Message.Nonce))
		}
	}
	return gone
}

package chainsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"

	chainstore "github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/p2p/exchange"
	"github.com/filecoin-venus/venus/types"
)

// CatchUp fetches and judges everything between our chain and a target: headers back to what we have, then messages
// forwards. What was judged is stored, so that a catch-up that was cut short goes on from there.
func (s *Syncer) CatchUp(ctx context.Context, t Target) error {
	chain, err := s.headersTo(ctx, t)
	if err != nil || len(chain) == 0 {
		return err
	}
	if err := s.worthJudging(ctx, chain[0]); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	bodies := &bodies{ahead: s.bodiesAhead(ctx, t, chain), full: make([][]*types.FullBlock, len(chain)), start: len(chain)}
	scout := &scout{syncer: s, chain: chain, bodies: bodies}
	defer scout.wait()
	trail := trail{syncer: s, since: s.cfg.Clock.Now()}
	for i := len(chain) - 1; i >= 0 && err == nil; i-- {
		if err = scout.before(ctx, i); err != nil {
			break
		}
		if err = s.keepTipSet(ctx, bodies.take(i)); err != nil {
			s.condemn(chain[:i], err)
			break
		}
		s.progress(FetchingMessages, chain[i])
		err = trail.keep(ctx, chain[i])
	}
	return errors.Join(err, trail.end(context.WithoutCancel(ctx)))
}

// bodies are the messages of a chain, given newest first, as far as they were fetched and not taken.
type bodies struct {
	ahead <-chan batch
	full  [][]*types.FullBlock
	// start is the newest tipset whose messages came.
	start int
}

// reach waits for the messages of the chain's tipset i.
func (b *bodies) reach(ctx context.Context, i int) error {
	for b.start > i {
		got, ok := <-b.ahead
		if !ok {
			return ctx.Err()
		}
		if got.err != nil {
			return got.err
		}
		copy(b.full[got.start:], got.full)
		b.start = got.start
	}
	return nil
}

// take returns the blocks of tipset i, and forgets them.
func (b *bodies) take(i int) []*types.FullBlock {
	full := b.full[i]
	b.full[i] = nil
	return full
}

// trail moves the head after what a catch-up has judged: not at every tipset, since each move waits for the disk, and beside the
// judgement of what comes next.
type trail struct {
	syncer *Syncer
	// last is the newest tipset that was judged and not followed, count how many of them there are, since when the head
	// was moved.
	last  *types.TipSet
	count int
	since time.Time
	// moving gets what came of the move under way; nil when there is none.
	moving chan error
}

// The head of a catch-up lags by so much at most, and by as much again while it moves.
const (
	trailTipSets = 64
	trailTime    = time.Second
)

func (r *trail) keep(ctx context.Context, ts *types.TipSet) error {
	r.last = ts
	if r.count++; r.count < trailTipSets && r.syncer.cfg.Clock.Now().Sub(r.since) < trailTime {
		return nil
	}
	return r.follow(ctx)
}

// follow waits for the move under way and begins the next one. Its error is the last one's.
func (r *trail) follow(ctx context.Context) error {
	if err := r.wait(); err != nil || r.last == nil {
		return err
	}
	h := r.last.Blocks()[0]
	r.last, r.count, r.since = nil, 0, r.syncer.cfg.Clock.Now()
	moved := make(chan error, 1)
	r.moving = moved
	go func() {
		defer func() {
			if p := recover(); p != nil {
				moved <- fmt.Errorf("move the head to height %d: panic: %v", h.Height, p)
			}
		}()
		moved <- r.syncer.follow(ctx, h)
	}()
	return nil
}

func (r *trail) wait() error {
	if r.moving == nil {
		return nil
	}
	err := <-r.moving
	r.moving = nil
	return err
}

// end moves the head to the last tipset that was judged.
func (r *trail) end(ctx context.Context) error {
	return errors.Join(r.follow(ctx), r.wait())
}

// ErrLighter: the chain offered is lighter than ours by what its own headers claim. It is left alone until it grows.
var ErrLighter = errors.New("chain is lighter than ours")

// worthJudging refuses a chain that claims less weight than ours: whether the claim is true does not matter then. After a
// split the heavier side is spared the blocks of the lighter one.
func (s *Syncer) worthJudging(ctx context.Context, tip *types.TipSet) error {
	head := s.cfg.Chain.Head()
	ours, err := s.cfg.Weigh(ctx, head)
	if err != nil {
		return err
	}
	// The weight that the tip itself adds depends on a state that we do not have. It is about what our head adds for as
	// many wins; twice that is never too little.
	wins := func(ts *types.TipSet) (n int64) {
		for _, b := range ts.Blocks() {
			if b.ElectionProof != nil {
				n += max(b.ElectionProof.WinCount, 0)
			}
		}
		return n
	}
	adds := big.Sub(ours, head.ParentWeight())
	most := big.Add(tip.ParentWeight(), big.Mul(adds, big.NewInt(2*(1+wins(tip)))))
	if most.GreaterThanEqual(ours) {
		return nil
	}
	return fmt.Errorf("tipset at height %d claims a parent weight of %s, our head %d has %s: %w", tip.Height(), tip.ParentWeight(), head.Height(), ours, ErrLighter)
}

// batch holds the blocks of consecutive tipsets, newest first; start is where the newest stands in the chain.
type batch struct {
	start int
	full  [][]*types.FullBlock
	err   error
}

// bodiesAhead fetches the messages of a chain, given newest first, from its old end on, and is one batch ahead of its
// reader. The channel closes after the newest batch, after a failure, or when the context ends.
func (s *Syncer) bodiesAhead(ctx context.Context, t Target, chain []*types.TipSet) <-chan batch {
	out := make(chan batch)
	go func() {
		defer close(out)
		for end := len(chain); end > 0; {
			b := batch{start: max(end-messageBatch, 0)}
			b.full, b.err = s.guardedBodies(ctx, t, chain[b.start:end])
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
			if b.err != nil {
				return
			}
			end = b.start
		}
	}()
	return out
}

// scout has the signatures and proofs of a catch-up verified many at once, some tipsets ahead of their judgement: while
// one stretch is judged, which mostly means executed, the next one is prechecked on another core.
type scout struct {
	syncer *Syncer
	// chain is newest first, as in CatchUp.
	chain  []*types.TipSet
	bodies *bodies
	// busy closes when the precheck under way ends.
	busy chan struct{}
}

// before is called with the index of every tipset before it is judged, in order. It waits for the messages of the tipset and of
// those prechecked with it; its error is that they cannot be had.
func (c *scout) before(ctx context.Context, i int) error {
	stretch := max(1, int(c.syncer.cfg.Validator.Ahead()/2))
	done := len(c.chain) - 1 - i // so many are judged
	if done%stretch != 0 {
		return nil
	}
	c.wait()
	if err := c.bodies.reach(ctx, max(0, i+1-2*stretch)); err != nil {
		return err
	}
	stored, err := c.syncer.cfg.Chain.TipSet(ctx, c.chain[i].Parents())
	if err != nil {
		return nil // the judgement will say so
	}
	if done == 0 {
		c.start(ctx, stored, i+1, stretch)
		c.wait()
	}
	c.start(ctx, stored, i+1, 2*stretch)
	return nil
}

// start prechecks the oldest n of the first rest tipsets of the chain, whose messages came.
func (c *scout) start(ctx context.Context, stored *types.TipSet, rest, n int) {
	from := max(0, rest-n)
	headers := slices.Clone(c.chain[from:rest])
	slices.Reverse(headers)
	full := slices.Concat(c.bodies.full[from:rest]...)
	slices.Reverse(full)
	busy := make(chan struct{})
	c.busy = busy
	go func() {
		defer close(busy)
		if err := c.syncer.cfg.Validator.Precheck(ctx, stored, headers); err != nil && ctx.Err() == nil {
			log.Debugw("could not precheck", "above", stored.Height(), "reason", err)
		}
		for _, b := range full {
			if ctx.Err() != nil {
				return
			}
			if err := c.syncer.cfg.Validator.PrecheckMessages(ctx, b); err != nil {
				log.Debugw("could not precheck messages", "block", b.Cid(), "reason", err)
			}
		}
	}()
}

func (c *scout) wait() {
	if c.busy != nil {
		<-c.busy
	}
}

// guardedBodies is bodies on a goroutine of its own: what peers send must not end the process.
func (s *Syncer) guardedBodies(ctx context.Context, t Target, chain []*types.TipSet) (full [][]*types.FullBlock, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("messages from peers: panic: %v", r)
		}
	}()
	return s.bodies(ctx, t, chain)
}

// condemn marks the descendants of a bad block bad too: nothing on top of it
// can be valid.
func (s *Syncer) condemn(descendants []*types.TipSet, cause error) {
	if reject, ok := consensus.IsReject(cause); !ok || !reject.Condemns() {
		return
	}
	for _, ts := range descendants {
		for _, c := range ts.Cids() {
			s.bad.Add(c, "builds on a bad block: "+cause.Error())
		}
	}
}

// headersTo walks back from the target to a tipset whose parents we have.
func (s *Syncer) headersTo(ctx context.Context, t Target) ([]*types.TipSet, error) {
	var chain []*types.TipSet
	for key := t.Key; ; {
		has, err := s.cfg.Chain.Has(ctx, key)
		if err != nil {
			return nil, err
		}
		if has {
			return chain, s.checkFork(ctx, key)
		}
		if len(chain) > 0 && chain[len(chain)-1].Height() == 0 {
			return nil, fmt.Errorf("chain of peer %s ends in genesis %s, ours is another", t.From, chain[len(chain)-1].Key())
		}
		if len(chain) >= maxHeaders {
			return nil, fmt.Errorf("more than %d tipsets behind: import a snapshot instead", maxHeaders)
		}
		batch, err := s.cfg.Fetch.Chain(ctx, key, headerBatch, exchange.Headers, t.From)
		if err != nil {
			return nil, err
		}
		for _, item := range batch {
			ts, err := types.NewTipSet(item.Blocks)
			if err != nil {
				return nil, fmt.Errorf("tipset from peer %s: %w", t.From, err)
			}
			if has, err := s.cfg.Chain.Has(ctx, ts.Key()); err != nil || has {
				break // the rest is ours already; the loop above settles where
			}
			for _, c := range ts.Cids() {
				if reason, ok := s.Bad(c); ok {
					return nil, fmt.Errorf("block %s: %w: %s", c, ErrBad, reason)
				}
			}
			chain = append(chain, ts)
			s.progress(FetchingHeaders, ts)
		}
		if len(chain) > 0 {
			oldest := chain[len(chain)-1]
			key = oldest.Parents()
			// What it builds on is lower still: no need to fetch the rest to know how deep the fork is.
			if deep := s.tooDeep(oldest.Height()); deep != nil {
				if has, err := s.cfg.Chain.Has(ctx, key); err != nil || !has {
					return nil, errors.Join(err, deep)
				}
			}
		}
	}
}

// checkFork refuses a chain that leaves ours below finality or below the operator's checkpoint.
func (s *Syncer) checkFork(ctx context.Context, at types.TipSetKey) error {
	base, err := s.cfg.Chain.TipSet(ctx, at)
	if err != nil {
		return err
	}
	return s.tooDeep(base.Height())
}

// tooDeep says why a chain that leaves ours at a height or below cannot become ours.
func (s *Syncer) tooDeep(at abi.ChainEpoch) error {
	head := s.cfg.Chain.Head().Height()
	if at < head-s.cfg.Network.Finality {
		return fmt.Errorf("fork at height %d or below, our head is at %d, finality is %d epochs: %w", at, head, s.cfg.Network.Finality, ErrForkTooLong)
	}
	if pin := s.cfg.Checkpoint(); at < pin {
		return fmt.Errorf("fork at height %d or below: the operator's %w stands at %d", at, chainstore.ErrCheckpoint, pin)
	}
	return nil
}

// bodies fetches the messages of consecutive tipsets, given newest first.
func (s *Syncer) bodies(ctx context.Context, t Target, chain []*types.TipSet) ([][]*types.FullBlock, error) {
	out := make([][]*types.FullBlock, 0, len(chain))
	for len(out) < len(chain) {
		rest := chain[len(out):]
		got, err := s.cfg.Fetch.Chain(ctx, rest[0].Key(), uint64(len(rest)), exchange.Headers|exchange.Messages, t.From)
		if err != nil {
			return nil, fmt.Errorf("fetch messages: %w", err)
		}
		for i, item := range got {
			// The exchange has checked the head and the links, so item i is rest[i].
			full, err := item.Messages.Expand(rest[i].Blocks())
			if err != nil {
				return nil, fmt.Errorf("messages of tipset %s: %w", rest[i].Key(), err)
			}
			out = append(out, full)
		}
	}
	return out, nil
}

// Bad tells whether a block is known to be bad and why.
func (s *Syncer) Bad(c cid.Cid) (string, bool) { return s.bad.Get(c) }

// MarkBad refuses a block by an operator's decision.
func (s *Syncer) MarkBad(c cid.Cid, reason string) { s.bad.Add(c, reason) }

// UnmarkBad gives a block another chance; Undef clears the whole list.
func (s *Syncer) UnmarkBad(c cid.Cid) {
	if !c.Defined() {
		s.bad.Purge()
		return
	}
	s.bad.Remove(c)
}

package chainsync

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/p2p/exchange"
	"github.com/filecoin-venus/venus/types"
)

// CatchUp fetches and judges everything between our chain and a target.
func (s *Syncer) CatchUp(ctx context.Context, t Target) error {
	chain, err := s.headersTo(ctx, t)
	if err != nil {
		return err
	}
	// chain is newest first: judge from its end.
	for end := len(chain); end > 0; {
		start := max(end-messageBatch, 0)
		full, err := s.bodies(ctx, t, chain[start:end])
		if err != nil {
			return err
		}
		for i := end - 1; i >= start; i-- {
			if err := s.takeTipSet(ctx, full[i-start]); err != nil {
				s.condemn(chain[:i], err)
				return err
			}
			s.progress(FetchingMessages, chain[i])
		}
		end = start
	}
	return nil
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
			key = chain[len(chain)-1].Parents()
		}
	}
}

// checkFork refuses a chain that leaves ours below finality.
func (s *Syncer) checkFork(ctx context.Context, at types.TipSetKey) error {
	head := s.cfg.Chain.Head()
	base, err := s.cfg.Chain.TipSet(ctx, at)
	if err != nil {
		return err
	}
	limit := head.Height() - s.cfg.Network.Finality
	if base.Height() >= limit {
		return nil
	}
	return fmt.Errorf("fork at height %d, our head is at %d: %w", base.Height(), head.Height(), ErrForkTooLong)
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

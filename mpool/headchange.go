package mpool

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/filecoin-project/go-address"
	stcrypto "github.com/filecoin-project/go-state-types/crypto"

	"github.com/filecoin-venus/venus/types"
)

func isLanded(err error) bool { return errors.Is(err, ErrNonceTooLow) }

// effect is what a head change does to one sender's line.
type effect struct {
	// back are messages of reverted tipsets by nonce.
	back map[uint64]*types.SignedMessage
	// lowest is the least reverted nonce; touched tells whether there is one.
	lowest  uint64
	touched bool
	// next is the nonce after the last applied message; landed tells whether there is one.
	next   uint64
	landed bool
}

// HeadChange follows the chain: reverted tipsets from the highest down, then
// applied ones upwards. Messages that landed leave the pool, messages of reverted
// blocks return unless the new chain holds their nonce. On error the pool is
// unchanged and the same change may be offered again.
func (p *Pool) HeadChange(ctx context.Context, revert, apply []*types.TipSet) error {
	if len(revert) == 0 && p.skip(apply) {
		return nil
	}
	effects, err := p.effects(ctx, revert, apply)
	if err != nil {
		return err
	}
	var head *types.TipSet
	if n := len(apply); n > 0 {
		head = apply[n-1]
	} else if n := len(revert); n > 0 {
		if head, err = p.o.Chain.TipSet(ctx, revert[n-1].Parents()); err != nil {
			return fmt.Errorf("load tipset %s: %w", revert[n-1].Parents(), err)
		}
	} else {
		return nil
	}
	gone, returned := p.apply(head, effects)
	for _, e := range gone {
		if e.local {
			if err := p.o.Store.Delete(ctx, storeKey(e)); err != nil {
				log.Warnw("landed message not erased from disk", "cid", e.cid, "err", err)
			}
		}
	}
	if returned > 0 {
		select {
		case p.repub <- struct{}{}:
		default:
		}
	}
	return nil
}

// effects gathers, sender by sender, what the change means. It reads the chain
// and changes nothing.
func (p *Pool) effects(ctx context.Context, revert, apply []*types.TipSet) (map[address.Address]*effect, error) {
	out := make(map[address.Address]*effect)
	of := func(m types.ChainMsg, ts *types.TipSet) (*effect, error) {
		key, err := p.resolve(ctx, m.VMMessage().From, ts)
		if err != nil {
			return nil, err
		}
		f := out[key]
		if f == nil {
			f = &effect{back: make(map[uint64]*types.SignedMessage)}
			out[key] = f
		}
		return f, nil
	}
	for _, ts := range revert {
		msgs, err := p.o.Chain.Messages(ctx, ts)
		if err != nil {
			return nil, fmt.Errorf("messages of %s: %w", ts.Key(), err)
		}
		for _, m := range msgs {
			f, err := of(m, ts)
			if err != nil {
				return nil, err
			}
			nonce := m.VMMessage().Nonce
			if !f.touched || nonce < f.lowest {
				f.lowest, f.touched = nonce, true
			}
			if sm := p.signed(m); sm != nil {
				f.back[nonce] = sm
			}
		}
	}
	for _, ts := range apply {
		msgs, err := p.o.Chain.Messages(ctx, ts)
		if err != nil {
			return nil, fmt.Errorf("messages of %s: %w", ts.Key(), err)
		}
		for _, m := range msgs {
			f, err := of(m, ts)
			if err != nil {
				return nil, err
			}
			f.landed = true
			f.next = max(f.next, m.VMMessage().Nonce+1)
		}
	}
	return out, nil
}

// signed finds the signed form of a message that stood in a block, or nil: the
// signature of a BLS message is known only if it came through the pool.
func (p *Pool) signed(m types.ChainMsg) *types.SignedMessage {
	if sm, ok := m.(*types.SignedMessage); ok {
		return sm
	}
	sig, ok := p.blsSigs.Get(m.Cid())
	if !ok {
		return nil
	}
	return &types.SignedMessage{Message: *m.VMMessage(), Signature: stcrypto.Signature{Type: sig.Type, Data: sig.Data}}
}

// skip moves an empty pool to a new head, and tells whether it did: from it nothing can leave. A catch-up reads no message a
// second time for it.
func (p *Pool) skip(apply []*types.TipSet) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.core.lines) > 0 {
		return false
	}
	if n := len(apply); n > 0 {
		p.head = apply[n-1]
	}
	return true
}

// apply moves the pool to the new head in one step.
func (p *Pool) apply(head *types.TipSet, effects map[address.Address]*effect) (gone []*entry, returned int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.head = head
	for _, key := range sortedKeys(effects) {
		f := effects[key]
		base := f.lowest
		if f.landed {
			base = f.next
		}
		dropped := p.core.rebase(key, base)
		p.dropLocked(dropped)
		gone = append(gone, dropped...)
		nonces := make([]uint64, 0, len(f.back))
		for n := range f.back {
			nonces = append(nonces, n)
		}
		sort.Slice(nonces, func(i, j int) bool { return nonces[i] < nonces[j] })
		for _, n := range nonces {
			if e := newEntry(f.back[n], key, false); p.core.restore(e, base) {
				returned++
				p.tellLocked(Update{Added, e.msg})
			}
		}
	}
	return gone, returned
}

func sortedKeys(m map[address.Address]*effect) []address.Address {
	out := make([]address.Address, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Slice(out, func(i, j int) bool { return string(out[i].Bytes()) < string(out[j].Bytes()) })
	return out
}

package chain

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// Found is where a message was executed.
type Found struct {
	// Message is the on-chain CID of what was executed; it differs from what was searched after a replacement.
	Message cid.Cid
	Receipt types.MessageReceipt
	// Included is the tipset that carries the message; Executed is its child, whose header names the receipt.
	Included *types.TipSet
	Executed *types.TipSet
}

// NoLimit lets SearchMessage walk to genesis.
const NoLimit = abi.ChainEpoch(-1)

// SearchMessage walks back from a tipset, at most limit epochs, for the execution of a message given by its on-chain or
// unsigned CID. It returns nil when the message was not executed there. With replaced, a message of the same sender and
// nonce that differs in gas values only counts as the message. ErrMissingMessage when the store never saw the message.
func (s *Store) SearchMessage(ctx context.Context, from *types.TipSet, c cid.Cid, limit abi.ChainEpoch, replaced bool) (*Found, error) {
	m, err := s.Message(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("search message: %w", err)
	}
	msg := m.VMMessage()
	after, err := s.nonceAt(ctx, from, msg)
	if err != nil {
		return nil, fmt.Errorf("search message %s: %w", c, err)
	}
	for cur := from; cur.Height() > 0; {
		if after <= msg.Nonce {
			return nil, nil // not executed up to here, so not before either
		}
		if limit != NoLimit && cur.Height() < from.Height()-limit {
			return nil, nil
		}
		parent, err := s.Parent(ctx, cur)
		if err != nil {
			return nil, fmt.Errorf("search message %s: %w", c, err)
		}
		before, err := s.nonceAt(ctx, parent, msg)
		if err != nil {
			return nil, fmt.Errorf("search message %s: %w", c, err)
		}
		if before <= msg.Nonce {
			// The sender's nonce passed the message's while parent was executed.
			return s.foundIn(ctx, parent, cur, m, replaced)
		}
		cur, after = parent, before
	}
	return nil, nil
}

// nonceAt is the sender's nonce in the state before a tipset; zero when the sender did not exist.
func (s *Store) nonceAt(ctx context.Context, ts *types.TipSet, msg *types.Message) (uint64, error) {
	act, err := s.View(ts.ParentState()).Actor(ctx, msg.From)
	if errors.Is(err, state.ErrActorNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("sender at height %d: %w", ts.Height(), err)
	}
	return act.Nonce, nil
}

func (s *Store) foundIn(ctx context.Context, included, executed *types.TipSet, m types.ChainMsg, replaced bool) (*Found, error) {
	lists, err := s.ExecutionList(ctx, included)
	if err != nil {
		return nil, err
	}
	want := m.VMMessage()
	view := s.View(included.ParentState())
	sender, err := view.LookupID(ctx, want.From)
	if err != nil {
		return nil, fmt.Errorf("sender of message %s: %w", m.Cid(), err)
	}
	index := -1
	for _, b := range lists {
		for _, cand := range b.All() {
			index++
			have := cand.VMMessage()
			if have.Nonce != want.Nonce {
				continue
			}
			if id, err := view.LookupID(ctx, have.From); err != nil || id != sender {
				continue
			}
			same := cand.Cid() == m.Cid() || have.Cid() == want.Cid()
			if !same && !(replaced && equalButGas(have, want)) {
				return nil, nil // another message took the nonce
			}
			r, err := s.Receipt(ctx, executed.Blocks()[0].ParentMessageReceipts, index)
			if err != nil {
				return nil, err
			}
			return &Found{Message: cand.Cid(), Receipt: *r, Included: included, Executed: executed}, nil
		}
	}
	return nil, nil
}

func equalButGas(a, b *types.Message) bool {
	x, y := *a, *b
	x.GasLimit, y.GasLimit = 0, 0
	x.GasFeeCap, y.GasFeeCap = big.Zero(), big.Zero()
	x.GasPremium, y.GasPremium = big.Zero(), big.Zero()
	return x.Cid() == y.Cid()
}

package node

import (
	"context"
	"errors"
	"math"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// messageAPI finds messages on the chain.
type messageAPI struct{ reader }

func (a messageAPI) StateSearchMsg(ctx context.Context, from types.TipSetKey, c cid.Cid, limit abi.ChainEpoch, replaced bool) (*apinode.MsgLookup, error) {
	ts, err := a.tipset(ctx, from)
	if err != nil {
		return nil, err
	}
	return a.search(ctx, ts, c, limit, replaced)
}

func (a messageAPI) search(ctx context.Context, ts *types.TipSet, c cid.Cid, limit abi.ChainEpoch, replaced bool) (*apinode.MsgLookup, error) {
	found, err := a.store.SearchMessage(ctx, ts, c, limit, replaced)
	if errors.Is(err, chain.ErrMissingMessage) {
		return nil, nil // never seen, so not executed as far as we know
	}
	if err != nil || found == nil {
		return nil, err
	}
	out := &apinode.MsgLookup{Message: found.Message, Receipt: found.Receipt, TipSet: found.Executed.Key(), Height: found.Executed.Height()}
	a.decodeReturn(ctx, found, out)
	return out, nil
}

// decodeReturn adds the return value in readable form where it can.
func (a messageAPI) decodeReturn(ctx context.Context, found *chain.Found, out *apinode.MsgLookup) {
	if len(found.Receipt.Return) == 0 {
		return
	}
	m, err := a.store.Message(ctx, found.Message)
	if err != nil {
		return
	}
	msg := m.VMMessage()
	act, err := a.store.View(found.Executed.ParentState()).Actor(ctx, msg.To)
	if err != nil {
		return
	}
	if dec, err := state.DecodeReturn(act.Code, msg.Method, found.Receipt.Return); err == nil {
		out.ReturnDec = dec
	}
}

// StateWaitMsg follows the head until the message is deep enough. A
// reorganisation that drops it sends the search back to the start.
func (a messageAPI) StateWaitMsg(ctx context.Context, c cid.Cid, confidence uint64, limit abi.ChainEpoch, replaced bool) (*apinode.MsgLookup, error) {
	sub := a.store.Subscribe()
	defer sub.Close()
	var found *apinode.MsgLookup
	first := true
	for {
		select {
		case changes, ok := <-sub.Changes():
			if !ok {
				return nil, api.Errorf(api.CodeUnavailable, "wait for message %s: %w", c, sub.Err())
			}
			head := changes[len(changes)-1].TipSet
			if reverted(changes) {
				found, first = nil, true
				head = a.store.Head()
			}
			if found == nil {
				back := abi.ChainEpoch(len(changes))
				if first {
					back = limit
				}
				var err error
				if found, err = a.search(ctx, head, c, deeper(back), replaced); err != nil {
					return nil, err
				}
				first = false
			}
			if found != nil && uint64(max(head.Height()-found.Height, 0)) >= confidence {
				return found, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// deeper looks a little further back than the tipsets that are new, for null rounds.
func deeper(n abi.ChainEpoch) abi.ChainEpoch {
	const nullRounds = 20
	if n == chain.NoLimit || n > math.MaxInt64-nullRounds {
		return chain.NoLimit
	}
	return n + nullRounds
}

func reverted(changes []chain.HeadChange) bool {
	for _, c := range changes {
		if c.Kind == chain.Revert {
			return true
		}
	}
	return false
}

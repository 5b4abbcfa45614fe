package chain

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// Retention says how much of a chain something holds: an archive, or a store after a collection. All headers down to the
// genesis and the genesis state are always there.
type Retention struct {
	// Recent is for how many epochs, counted back from the head, states, receipts and messages are there.
	Recent abi.ChainEpoch
	// SkipOldMessages leaves the messages of older blocks out.
	SkipOldMessages bool
}

// NeededEpochs is for how many epochs a node needs states: a fork may leave our chain as far back as finality, and its
// first blocks are judged by the state that lies the election's lookback before them.
func NeededEpochs(net *params.Network) abi.ChainEpoch { return net.Finality + net.WinningPoStLookback }

// Parts are the graphs below a header that are there when the chain ends at height head.
func (r Retention) Parts(h *types.BlockHeader, head abi.ChainEpoch) []cid.Cid {
	var out []cid.Cid
	young := r.Young(h.Height, head)
	if young || !r.SkipOldMessages {
		out = append(out, h.Messages)
	}
	if young {
		out = append(out, h.ParentStateRoot, h.ParentMessageReceipts)
	}
	return out
}

// Young tells whether everything at a height is there.
func (r Retention) Young(h, head abi.ChainEpoch) bool { return h == 0 || h > head-r.Recent }

// headerMark is how the CBOR of a header begins: a list of 16.
const headerMark = 0x90

// AsHeader reads a block as a header; nil when it is none.
func AsHeader(c cid.Cid, data []byte) *types.BlockHeader {
	if len(data) == 0 || data[0] != headerMark || c.Prefix().Codec != cid.DagCBOR {
		return nil
	}
	h, err := types.DecodeBlock(data)
	if err != nil || h.Cid() != c {
		return nil
	}
	return h
}

// Below lists where a block leads as far as it belongs to it: a header to its state, receipts and messages, but not to the
// headers before.
func Below(c cid.Cid, data []byte) ([]cid.Cid, error) {
	if h := AsHeader(c, data); h != nil {
		return []cid.Cid{h.Messages, h.ParentStateRoot, h.ParentMessageReceipts}, nil
	}
	return ipld.Links(c, data)
}

// Roots names what a store must keep for its chain, in the form of ipld.CollectOptions: all headers of the chain and what
// lies below them as far as keep says, and the same of accepted blocks beside the chain that may still become part of it.
// Asked again, it stops where nothing is new.
func (s *Store) Roots(ctx context.Context, keep Retention, leaf ipld.Leaf, graph ipld.Graph) error {
	head := s.Head()
	err := s.EachBack(ctx, head, func(ts *types.TipSet) error {
		fresh := false
		for _, h := range ts.Blocks() {
			first, err := leaf(h.Cid())
			if err != nil {
				return err
			}
			fresh = fresh || first
			if err := graph(false, keep.Parts(h, head.Height())...); err != nil {
				return fmt.Errorf("below block %s at height %d: %w", h.Cid(), h.Height, err)
			}
		}
		if !fresh && !keep.Young(ts.Height(), head.Height()) {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	// The next block names the state after the head: it may have been computed already.
	if res, ok, err := s.result(ctx, head.Key()); err != nil {
		return err
	} else if ok {
		if err := graph(true, res.State, res.Receipts); err != nil {
			return err
		}
	}
	for _, h := range s.siblings.all() {
		if err := s.rootsBeside(ctx, h, leaf, graph); err != nil {
			return err
		}
	}
	return nil
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// rootsBeside follows a branch down to what is kept already.
func (s *Store) rootsBeside(ctx context.Context, h *types.BlockHeader, leaf ipld.Leaf, graph ipld.Graph) error {
	for todo := []cid.Cid{h.Cid()}; len(todo) > 0; {
		c := todo[0]
		todo = todo[1:]
		first, err := leaf(c)
		if errors.Is(err, ipld.ErrNotFound) || err == nil && !first {
			continue
		}
		if err != nil {
			return err
		}
		h, err := s.Header(ctx, c)
		if err != nil {
			return err
		}
		if err := graph(true, h.Messages, h.ParentStateRoot, h.ParentMessageReceipts); err != nil {
			return err
		}
		if h.Height > 0 {
			todo = append(todo, h.Parents...)
		}
	}
	return nil
}

// Hold runs fn while the head stays where it is.
func (s *Store) Hold(fn func() error) error {
	s.switchMu.Lock()
	defer s.switchMu.Unlock()
	return fn()
}

// Forget empties the caches of tipsets, after blocks were dropped from the store.
func (s *Store) Forget() {
	s.tipsets.Purge()
	s.jumps.Purge()
	s.messages.Purge()
}

// EachBack visits ts and its ancestors, the genesis last, past the caches: it reads what nobody asks for again.
func (s *Store) EachBack(ctx context.Context, ts *types.TipSet, visit func(*types.TipSet) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := visit(ts); err != nil {
			return err
		}
		if ts.Height() == 0 {
			return nil
		}
		key := ts.Parents()
		parent, ok := s.tipsets.Peek(key)
		if !ok {
			var err error
			if parent, err = s.loadTipSet(ctx, key); err != nil {
				return err
			}
		}
		if parent.Height() >= ts.Height() {
			return fmt.Errorf("tipset %s at height %d has a parent at height %d", ts.Key(), ts.Height(), parent.Height())
		}
		ts = parent
	}
}

package chain

import (
	"context"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

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

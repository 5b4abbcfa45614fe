package mining

import (
	"context"
	"fmt"
	"sync"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/types"
)

// remembersBases is for how many tipsets the choices of our miners are remembered.
const remembersBases = 8

// selects spreads messages over the blocks of several miners of ours on one base: each asks the node for a division among
// all that asked so far and takes its own part. Nobody waits for anybody.
type selects struct {
	mu    sync.Mutex
	order []types.TipSetKey
	asked map[types.TipSetKey][]asked
}

type asked struct {
	miner   address.Address
	quality float64
}

func newSelects() *selects { return &selects{asked: map[types.TipSetKey][]asked{}} }

// join returns the qualities of all that asked for messages on base, the miner included, and its place among them.
func (s *selects) join(miner address.Address, base types.TipSetKey, quality float64) (qualities []float64, own int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, known := s.asked[base]
	if !known {
		s.order = append(s.order, base)
		if len(s.order) > remembersBases {
			delete(s.asked, s.order[0])
			s.order = s.order[1:]
		}
	}
	own = -1
	for i, a := range list {
		if a.miner == miner {
			list[i].quality, own = quality, i
		}
	}
	if own < 0 {
		list, own = append(list, asked{miner, quality}), len(list)
	}
	s.asked[base] = list
	for _, a := range list {
		qualities = append(qualities, a.quality)
	}
	return qualities, own
}

// messages picks the messages of a miner's block.
func (s *selects) messages(ctx context.Context, p Producer, miner address.Address, base types.TipSetKey, quality float64) ([]*types.SignedMessage, error) {
	qualities, own := s.join(miner, base, quality)
	sets, err := p.MpoolSelects(ctx, base, qualities)
	if err != nil {
		return nil, err
	}
	if own >= len(sets) {
		return nil, fmt.Errorf("the node divided the messages into %d sets, not %d", len(sets), len(qualities))
	}
	return sets[own], nil
}

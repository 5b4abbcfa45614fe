// Package heads follows the chain's head: one subscription to the node, many
// listeners that are only told that something changed and read the latest head.
//
// Start at Follower.Run. Invariants: a listener never blocks the follower and
// never sees an older head after a newer one, save by a reorg; a broken
// subscription is taken up again for ever.
package heads

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

var log = logging.Logger("sealer/heads")

// Chain is the part of the node that is used.
type Chain interface {
	ChainHead(ctx context.Context) (*types.TipSet, error)
	ChainNotify(ctx context.Context) (<-chan []*node.HeadChange, error)
}

// Head is the latest head. Seq grows with every change.
type Head struct {
	Seq     uint64
	Epoch   abi.ChainEpoch
	Key     types.TipSetKey
	Time    time.Time
	BaseFee big.Int
}

// pause lies between two tries to subscribe.
const pause = time.Second

// Follower follows.
type Follower struct {
	chain Chain
	clk   clock.Clock

	mu     sync.Mutex // guards what follows
	latest Head
	listen []chan struct{}
}

// New makes a follower that knows no head yet.
func New(c Chain, clk clock.Clock) *Follower { return &Follower{chain: c, clk: clk} }

// Listen returns a channel that holds a signal when the head changed. Call it
// before Run.
func (f *Follower) Listen() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := make(chan struct{}, 1)
	f.listen = append(f.listen, c)
	return c
}

// Latest returns the latest head; Seq 0 means none yet.
func (f *Follower) Latest() Head {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latest
}

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := f.follow(ctx); err != nil && ctx.Err() == nil {
			log.Warnf("lost the chain's head: %v", err)
		}
		_ = f.clk.Sleep(ctx, pause) // the loop looks at ctx
	}
}

func (f *Follower) follow(ctx context.Context) error {
	sub, cancel := context.WithCancel(ctx)
	defer cancel()
	changes, err := f.chain.ChainNotify(sub)
	if err != nil {
		return fmt.Errorf("subscribe to heads: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case batch, ok := <-changes:
			if !ok {
				return fmt.Errorf("the node ended the subscription to heads")
			}
			if err := f.take(ctx, batch); err != nil {
				return err
			}
		}
	}
}

// take finds the head after a batch of changes.
func (f *Follower) take(ctx context.Context, batch []*node.HeadChange) error {
	var head *types.TipSet
	for _, c := range batch {
		if c == nil || c.Val == nil {
			return fmt.Errorf("the node sent an empty head change")
		}
		if c.Type == node.HeadRevert {
			head = nil
		} else {
			head = c.Val
		}
	}
	if head == nil {
		var err error
		if head, err = f.chain.ChainHead(ctx); err != nil {
			return fmt.Errorf("read head: %w", err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest = Head{
		Seq: f.latest.Seq + 1, Epoch: head.Height(), Key: head.Key(),
		Time: time.Unix(int64(head.MinTimestamp()), 0), BaseFee: head.ParentBaseFee(),
	}
	for _, c := range f.listen {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	return nil
}

package mining

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	logging "github.com/ipfs/go-log/v2"

	miningapi "github.com/filecoin-venus/venus/api/mining"
	nodeapi "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

var log = logging.Logger("mining")

const (
	// reconnectPause bounds the wait before a node is asked again, growing from a tenth of it.
	reconnectPause = 2 * time.Second
	// beaconTimeout bounds the question for a beacon entry ahead of its use.
	beaconTimeout = time.Minute
)

// feed is a node and what it says is the head.
type feed struct {
	NamedNode
	index int

	// What follows is guarded by heads.mu.
	head   *types.TipSet
	weight big.Int
	away   error // why it cannot be heard
	beacon error // why it has no beacon entry, when it should have
}

// heads keeps the heaviest head of all nodes that can be heard.
type heads struct {
	clock clock.Clock
	feeds []*feed

	mu      sync.Mutex
	best    *feed // whose head it is; nil until a node was heard
	head    *types.TipSet
	changed chan struct{}
}

func newHeads(nodes []NamedNode, c clock.Clock) *heads {
	h := &heads{clock: c, changed: make(chan struct{})}
	for i, n := range nodes {
		h.feeds = append(h.feeds, &feed{NamedNode: n, index: i, away: errors.New("not connected yet")})
	}
	return h
}

// get returns the head, a channel that closes at the next change, and why no node can be heard, if so. The head is nil
// until a node was heard once.
func (h *heads) get() (head *types.TipSet, changed <-chan struct{}, away error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.head, h.changed, h.awayLocked()
}

func (h *heads) awayLocked() error {
	var errs []error
	for _, f := range h.feeds {
		if f.away == nil {
			return nil
		}
		errs = append(errs, f.away)
	}
	return errors.Join(errs...)
}

// set notes a node's head.
func (h *heads) set(f *feed, head *types.TipSet, weight big.Int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.away != nil && len(h.feeds) > 1 {
		log.Infof("node %s is heard, its head is at %d", f.Name, head.Height())
	}
	f.head, f.weight, f.away = head, weight, nil
	h.choose()
}

func (h *heads) lost(f *feed, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.away = err
	h.choose()
}

// choose takes the heaviest head; of equal ones that of the node in use, then that of the first. Callers hold mu.
func (h *heads) choose() {
	best := h.best
	if best != nil && best.away != nil {
		best = nil
	}
	for _, f := range h.feeds {
		if f.away == nil && (best == nil || f.weight.GreaterThan(best.weight)) {
			best = f
		}
	}
	if best == nil {
		return // nobody is heard: the last head stays
	}
	h.best = best
	if h.head != nil && h.head.Key() == best.head.Key() {
		return
	}
	h.head = best.head
	close(h.changed)
	h.changed = make(chan struct{})
}

// order lists the nodes as they should be asked: those on the best head first, the one in use before others, then those
// that lie behind, then those that cannot be heard.
func (h *heads) order() []*feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	rank := func(f *feed) int {
		switch {
		case f.away != nil:
			return 3
		case f == h.best:
			return 0
		case h.head != nil && f.head.Key() == h.head.Key():
			return 1
		}
		return 2
	}
	out := make([]*feed, 0, len(h.feeds))
	for r := range 4 {
		for _, f := range h.feeds {
			if rank(f) == r {
				out = append(out, f)
			}
		}
	}
	return out
}

// states tells of each node what is known of it, in the operator's order.
func (h *heads) states() []miningapi.NodeState {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]miningapi.NodeState, len(h.feeds))
	for i, f := range h.feeds {
		out[i] = miningapi.NodeState{Node: f.Name, Used: f == h.best && f.away == nil}
		if f.head != nil {
			out[i].Head = f.head.Height()
		}
		if err := cmp.Or(f.away, f.beacon); err != nil {
			out[i].Err = err.Error()
		}
	}
	return out
}

// run follows the nodes until ctx ends and connects again whenever one is lost.
func (h *heads) run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, f := range h.feeds {
		wg.Go(func() { h.runFeed(ctx, f) })
	}
	wg.Wait()
}

func (h *heads) runFeed(ctx context.Context, f *feed) {
	pause := reconnectPause / 10
	for ctx.Err() == nil {
		heard, err := h.follow(ctx, f)
		if ctx.Err() != nil {
			return
		}
		if heard {
			pause = reconnectPause / 10
		}
		h.lost(f, err)
		log.Warnf("node %s lost: %s; trying again in %s", f.Name, err, pause)
		if h.clock.Sleep(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, reconnectPause)
	}
}

// follow listens to one subscription until it ends.
func (h *heads) follow(ctx context.Context, f *feed) (heard bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("head change cannot be read: %v", r)
		}
	}()
	sub, cancel := context.WithCancel(ctx)
	defer cancel()
	if f.Check != nil {
		if err := f.Check(sub); err != nil {
			return false, err
		}
	}
	changes, err := f.Node.ChainNotify(sub)
	if err != nil {
		return false, fmt.Errorf("subscribe to the head: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return heard, ctx.Err()
		case batch, ok := <-changes:
			if !ok {
				return heard, errors.New("the subscription ended")
			}
			head, err := last(ctx, f.Node, batch)
			if err != nil {
				return heard, err
			}
			weight := head.ParentWeight()
			if len(h.feeds) > 1 { // one node needs no comparison
				if weight, err = f.Node.ChainTipSetWeight(ctx, head.Key()); err != nil {
					return heard, fmt.Errorf("weigh the head: %w", err)
				}
			}
			heard = true
			h.set(f, head, weight)
		}
	}
}

// last is the head after a batch of changes: its last application, or, when it only reverts, what the node says.
func last(ctx context.Context, n Node, batch []*nodeapi.HeadChange) (*types.TipSet, error) {
	for i := len(batch) - 1; i >= 0; i-- {
		if c := batch[i]; c != nil && c.Type != nodeapi.HeadRevert && c.Val != nil {
			return c.Val, nil
		}
	}
	head, err := n.ChainHead(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the head: %w", err)
	}
	return head, nil
}

// prefetch has every node get the beacon entry of the next round the moment it is published, a propagation delay before
// the head comes that it is drawn on: a slow beacon costs no time of a round.
func (h *heads) prefetch(ctx context.Context, delay time.Duration) {
	var wg sync.WaitGroup
	defer wg.Wait()
	asked := map[*feed]abi.ChainEpoch{}
	for {
		head, changed, _ := h.get()
		wait := reconnectPause
		if head != nil {
			began := time.Unix(int64(head.MinTimestamp()), 0)
			gone := h.clock.Now().Sub(began)
			epoch := head.Height() + abi.ChainEpoch(max(gone, 0)/delay) + 1
			for _, f := range h.order() {
				if asked[f] < epoch && gone < oldHead*delay {
					asked[f] = epoch
					wg.Go(func() { h.fetchBeacon(ctx, f, epoch) })
				}
			}
			wait = began.Add(delay * time.Duration(epoch-head.Height())).Sub(h.clock.Now())
		}
		t := h.clock.NewTimer(wait)
		select {
		case <-t.C():
		case <-changed:
			t.Stop()
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

func (h *heads) fetchBeacon(ctx context.Context, f *feed, epoch abi.ChainEpoch) {
	ctx, cancel := context.WithTimeout(ctx, beaconTimeout)
	defer cancel()
	_, err := f.Node.BeaconGetEntry(ctx, epoch)
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.beacon = err; err != nil {
		f.beacon = fmt.Errorf("no beacon entry of epoch %d: %w", epoch, err)
	}
}

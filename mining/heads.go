package mining

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	logging "github.com/ipfs/go-log/v2"

	nodeapi "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

var log = logging.Logger("mining")

// reconnectPause bounds the wait before the node is asked again, growing from a tenth of it.
const reconnectPause = 2 * time.Second

// heads keeps the node's current head.
type heads struct {
	source HeadSource
	clock  clock.Clock

	mu      sync.Mutex
	head    *types.TipSet
	away    error
	changed chan struct{}
}

func newHeads(source HeadSource, c clock.Clock) *heads {
	return &heads{source: source, clock: c, changed: make(chan struct{}), away: errors.New("not connected yet")}
}

// get returns the head, a channel that closes at the next change, and why the node cannot be heard, if so. The head is
// nil until the node was heard once.
func (h *heads) get() (head *types.TipSet, changed <-chan struct{}, away error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.head, h.changed, h.away
}

func (h *heads) set(head *types.TipSet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.away = nil
	if h.head != nil && h.head.Key() == head.Key() {
		return
	}
	h.head = head
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *heads) lost(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.away = err
}

// run follows the node until ctx ends and connects again whenever it is lost.
func (h *heads) run(ctx context.Context) {
	pause := reconnectPause / 10
	for ctx.Err() == nil {
		heard, err := h.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if heard {
			pause = reconnectPause / 10
		}
		h.lost(err)
		log.Warnf("node lost: %s; trying again in %s", err, pause)
		if h.clock.Sleep(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, reconnectPause)
	}
}

// follow listens to one subscription until it ends.
func (h *heads) follow(ctx context.Context) (heard bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("head change cannot be read: %v", r)
		}
	}()
	sub, cancel := context.WithCancel(ctx)
	defer cancel()
	changes, err := h.source.ChainNotify(sub)
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
			head, err := h.last(ctx, batch)
			if err != nil {
				return heard, err
			}
			heard = true
			h.set(head)
		}
	}
}

// last is the head after a batch of changes: its last application, or, when it only reverts, what the node says.
func (h *heads) last(ctx context.Context, batch []*nodeapi.HeadChange) (*types.TipSet, error) {
	for i := len(batch) - 1; i >= 0; i-- {
		if c := batch[i]; c != nil && c.Type != nodeapi.HeadRevert && c.Val != nil {
			return c.Val, nil
		}
	}
	head, err := h.source.ChainHead(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the head: %w", err)
	}
	return head, nil
}

package exchange

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/p2p"
	"github.com/filecoin-venus/venus/types"
)

const (
	// impatience is after how long without an answer the next peer is asked beside the ones that were.
	impatience = 1500 * time.Millisecond
	// askAtOnce bounds the peers that one question is open with.
	askAtOnce = 3
	// maxKnown bounds the peers whose past is remembered, those that are connected aside.
	maxKnown = 1024
	// maxScore bounds what a peer's past counts for.
	maxScore = 100
	// preferred is the lead of peers that a caller prefers: those that told of the chain have it.
	preferred = 10
)

// Client asks peers for chains, the best first, and does not wait for one that is slow.
type Client struct {
	host  *p2p.Host
	clock clock.Clock

	mu    sync.Mutex
	known map[peer.ID]int // successes minus failures; bounded by maxKnown
}

// NewClient makes a client; peers become known by AddPeer.
func NewClient(h *p2p.Host, c clock.Clock) *Client {
	return &Client{host: h, clock: c, known: map[peer.ID]int{}}
}

// AddPeer adds a peer of our network.
func (c *Client) AddPeer(p peer.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.known[p]; ok {
		return
	}
	for old := range c.known {
		if len(c.known) < maxKnown {
			break
		}
		if c.host.Network().Connectedness(old) != network.Connected {
			delete(c.known, old)
		}
	}
	c.known[p] = 0
}

// Peers lists connected peers, best first; those of prefer have a lead, which a bad past eats up.
func (c *Client) Peers(prefer ...peer.ID) []peer.ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	score := map[peer.ID]int{}
	for p, n := range c.known {
		score[p] = n
	}
	for _, p := range prefer {
		score[p] = c.known[p] + preferred
	}
	var out []peer.ID
	for p := range score {
		if c.host.Network().Connectedness(p) == network.Connected {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b peer.ID) int { return cmp.Or(cmp.Compare(score[b], score[a]), cmp.Compare(a, b)) })
	return out
}

func (c *Client) rate(p peer.ID, by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.known[p]; ok {
		c.known[p] = max(min(c.known[p]+by, maxScore), -maxScore)
	}
}

// reply is how a peer answered a question.
type reply struct {
	from  peer.ID
	chain []*TipSet
	err   error
}

// Chain asks for up to length tipsets backwards from head, newest first. It returns the first answer of good form, which
// may be shorter than asked: the best peer is asked first, the next one when that fails or takes its time.
func (c *Client) Chain(ctx context.Context, head types.TipSetKey, length, options uint64, prefer ...peer.ID) ([]*TipSet, error) {
	req := &Request{Head: head.Cids(), Length: min(length, MaxLength), Options: options}
	peers := c.Peers(prefer...)
	asking, cancel := context.WithCancel(ctx)
	defer cancel() // the slower ones need not go on
	replies := make(chan reply, len(peers))
	var failures []error
	var open []peer.ID
	for len(open) > 0 || len(peers) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(open) < askAtOnce && len(peers) > 0 {
			open = append(open, peers[0])
			go c.reply(asking, peers[0], req, replies)
			peers = peers[1:]
		}
		r, ok := c.await(ctx, replies, len(open) < askAtOnce && len(peers) > 0)
		if !ok {
			continue
		}
		open = slices.DeleteFunc(open, func(p peer.ID) bool { return p == r.from })
		if r.err != nil {
			c.rate(r.from, -1)
			failures = append(failures, fmt.Errorf("peer %s: %w", r.from, r.err))
			continue
		}
		c.rate(r.from, 1)
		for _, slow := range open {
			c.rate(slow, -1)
		}
		return r.chain, nil
	}
	return nil, fmt.Errorf("chain from %s: %w", head, errors.Join(append([]error{ErrNoPeer}, failures...)...))
}

// await waits for a reply, and not for long while there is somebody else to ask; false when none came.
func (c *Client) await(ctx context.Context, replies <-chan reply, others bool) (reply, bool) {
	var slow <-chan time.Time
	if others {
		t := c.clock.NewTimer(impatience)
		defer t.Stop()
		slow = t.C()
	}
	select {
	case r := <-replies:
		return r, true
	case <-slow:
	case <-ctx.Done():
	}
	return reply{}, false
}

func (c *Client) reply(ctx context.Context, p peer.ID, req *Request, to chan<- reply) {
	r := reply{from: p}
	defer func() {
		if x := recover(); x != nil {
			r.chain, r.err = nil, fmt.Errorf("reading the answer panicked: %v", x)
		}
		to <- r
	}()
	r.chain, r.err = c.ask(ctx, p, req)
}

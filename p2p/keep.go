package p2p

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/filecoin-venus/venus/internal/clock"
)

const (
	// defaultRedial is the longest pause between two tries to reach a peer of our choosing again.
	defaultRedial = 30 * time.Second
	// enoughPeers is with how many connected peers nobody is dialled again but those of our choosing: as many as a mesh of
	// gossip wants.
	enoughPeers = 8
	// maxContacts bounds the peers remembered beside those of our choosing.
	maxContacts = 64
	// forgetAfter is how long one of them may be away before it is forgotten.
	forgetAfter = time.Hour
	// steady is how many longest pauses a line must have held for its loss to be answered quickly: a peer that wants us gone
	// is not to be bothered at once.
	steady = 2
	// dialLimit bounds one try, in time; a cut line may swallow it whole.
	dialLimit = 10 * time.Second
	// dialsAtOnce bounds the tries at one time.
	dialsAtOnce = 8
	// keepTick is how often the list of contacts is looked through.
	keepTick = 250 * time.Millisecond
)

// contact is a peer that we want to stay connected to.
type contact struct {
	id    peer.ID
	addrs []ma.Multiaddr
	// chosen: by the operator or the network's makers; never forgotten.
	chosen bool
	// away is since when it is not connected, zero while it is; since is when it was connected last.
	away    time.Time
	since   time.Time
	pause   time.Duration // between the last try and the next
	due     time.Time
	dialing bool
}

// contacts plans whom to dial and when: peers of our choosing whenever they are away, those met on the way while we have
// too few. Pauses double up to longest. It does no I/O. Safe for concurrent use.
type contacts struct {
	clock   clock.Clock
	longest time.Duration
	// jitter spreads the tries of many nodes that lost their lines at one moment: it takes up to half of a pause away.
	jitter func(time.Duration) time.Duration

	mu sync.Mutex
	by map[peer.ID]*contact
}

func newContacts(c clock.Clock, longest time.Duration, chosen []peer.AddrInfo) *contacts {
	if longest <= 0 {
		longest = defaultRedial
	}
	x := &contacts{clock: c, longest: longest, by: map[peer.ID]*contact{}, jitter: func(d time.Duration) time.Duration {
		return d - time.Duration(rand.Int64N(int64(d)/2+1))
	}}
	now := c.Now()
	for _, p := range chosen {
		x.by[p.ID] = &contact{id: p.ID, addrs: p.Addrs, chosen: true, away: now, due: now}
	}
	return x
}

// met takes note that a peer of our network is connected.
func (x *contacts) met(id peer.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	c, ok := x.by[id]
	if !ok {
		if !x.makeRoom() {
			return
		}
		c = &contact{id: id}
		x.by[id] = c
	}
	x.here(c)
}

// here ends the absence of a contact, if it was away.
func (x *contacts) here(c *contact) {
	if c.since.IsZero() || !c.away.IsZero() {
		c.away, c.since = time.Time{}, x.clock.Now()
	}
}

// makeRoom forgets the peer that is away for longest when there are too many; those that are connected stay.
func (x *contacts) makeRoom() bool {
	var oldest *contact
	others := 0
	for _, c := range x.by {
		if c.chosen {
			continue
		}
		others++
		if !c.away.IsZero() && (oldest == nil || c.away.Before(oldest.away)) {
			oldest = c
		}
	}
	if others < maxContacts {
		return true
	}
	if oldest != nil {
		delete(x.by, oldest.id)
	}
	return oldest != nil
}

// observe compares the list with the lines that there are; where gives the addresses of a peer whose line broke. Asking
// beats listening for events here: those may come in another order than what they tell of.
func (x *contacts) observe(connected func(peer.ID) bool, where func(peer.ID) []ma.Multiaddr) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, c := range x.by {
		switch up := connected(id); {
		case up:
			x.here(c)
		case c.away.IsZero():
			x.lost(c, where(id))
		}
	}
}

// lost begins the absence of a contact, who said that it can be reached at addrs.
func (x *contacts) lost(c *contact, addrs []ma.Multiaddr) {
	if !c.chosen {
		c.addrs = addrs
	}
	c.away = x.clock.Now()
	if c.away.Sub(c.since) > steady*x.longest {
		c.pause = 0
	}
	x.later(c)
}

// later doubles the pause of a contact and sets its next try.
func (x *contacts) later(c *contact) {
	c.pause = min(max(2*c.pause, x.longest/8), x.longest)
	c.due = x.clock.Now().Add(x.jitter(c.pause))
}

// take returns whom to dial now, those of our choosing first, and holds them as being dialled; tried ends that.
func (x *contacts) take(peers int) []peer.AddrInfo {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := x.clock.Now()
	var due []*contact
	busy := 0
	for id, c := range x.by {
		switch {
		case c.dialing:
			busy++
		case c.away.IsZero() || c.due.After(now):
		case !c.chosen && now.Sub(c.away) > forgetAfter:
			delete(x.by, id)
		case c.chosen || peers < enoughPeers:
			due = append(due, c)
		}
	}
	slices.SortFunc(due, func(a, b *contact) int {
		if a.chosen != b.chosen {
			if a.chosen {
				return -1
			}
			return 1
		}
		return a.due.Compare(b.due)
	})
	due = due[:min(len(due), max(dialsAtOnce-busy, 0))]
	out := make([]peer.AddrInfo, len(due))
	for i, c := range due {
		c.dialing = true
		out[i] = peer.AddrInfo{ID: c.id, Addrs: c.addrs}
	}
	return out
}

// tried ends a try; whether it succeeded, observe sees.
func (x *contacts) tried(id peer.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c, ok := x.by[id]; ok {
		c.dialing = false
		if !c.away.IsZero() {
			x.later(c)
		}
	}
}

// Remember keeps a connected peer of our network for the case that its line breaks.
func (h *Host) Remember(id peer.ID) { h.contacts.met(id) }

// keepConnected dials whom we lost until the context ends.
func (h *Host) keepConnected(ctx context.Context) {
	defer h.done.Done()
	if err := h.dht.Bootstrap(ctx); err != nil {
		log.Warnw("peer discovery does not start", "error", err)
	}
	connected := func(p peer.ID) bool { return h.Network().Connectedness(p) == network.Connected }
	var dials sync.WaitGroup
	defer dials.Wait()
	for {
		h.contacts.observe(connected, h.Peerstore().Addrs)
		for _, p := range h.contacts.take(len(h.Network().Peers())) {
			dials.Go(func() { h.redial(ctx, p) })
		}
		if h.cfg.Clock.Sleep(ctx, keepTick) != nil {
			return
		}
	}
}

// redial tries to reach a peer once.
func (h *Host) redial(ctx context.Context, p peer.AddrInfo) {
	defer h.contacts.tried(p.ID)
	if p.ID == h.ID() || h.reputation.banned(p.ID) {
		return
	}
	// The swarm's own back-off grows to minutes; ours decides.
	if s, ok := h.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(p.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	if err := h.Connect(ctx, p); err != nil && ctx.Err() == nil {
		log.Debugw("peer does not answer", "peer", p.ID, "error", err)
	}
}

package p2p

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/filecoin-venus/venus/internal/clock"
)

// Fault is something a peer did that an honest peer of our network does not, in points.
type Fault float64

// The faults. A peer that reaches banPoints is disconnected and kept out for banTime; points halve every halfLife, so that
// what happens to an honest peer now and then is forgotten.
const (
	// Flood: it sent more that came to nothing than its budget allows; for each message.
	Flood Fault = 0.2
	// Invalid: it passed on a block or message that no honest peer passes on.
	Invalid Fault = 100
	// Malformed: bytes that are no record of the protocol.
	Malformed Fault = 100
	// Lie: a record of good form that does not answer what was asked, or contradicts itself.
	Lie Fault = 200
	// Foreign: it lives on another genesis.
	Foreign Fault = 1000
)

const (
	banPoints = 500
	banTime   = time.Hour
	halfLife  = 10 * time.Minute
	// gossipPerPoint is what a point takes from a peer's gossip score. At -500 a peer gets no gossip, which is where it is
	// banned here; invalid messages bring it to -2500, where nobody listens, no sooner.
	gossipPerPoint = 1
	// maxRemembered bounds the peers remembered; the least guilty are forgotten first.
	maxRemembered = 4096
)

// Record is what is remembered of a peer.
type Record struct {
	Peer peer.ID
	// Points are those that are left.
	Points float64
	// Banned is until when it is kept out; zero if it is not.
	Banned time.Time
	// Reason is its last fault.
	Reason string
}

// reputation remembers the faults of peers. Peers of our own choosing lose gossip score but are not banned: cut off from
// them, a node with a wrong clock would be alone. Safe for concurrent use.
type reputation struct {
	clock  clock.Clock
	chosen map[peer.ID]bool

	mu     sync.Mutex
	record map[peer.ID]*fault
}

type fault struct {
	points float64
	at     time.Time // when points were true
	banned time.Time
	reason string
}

func newReputation(c clock.Clock, chosen []peer.AddrInfo) *reputation {
	r := &reputation{clock: c, chosen: map[peer.ID]bool{}, record: map[peer.ID]*fault{}}
	for _, p := range chosen {
		r.chosen[p.ID] = true
	}
	return r
}

func (f *fault) left(now time.Time) float64 {
	return f.points * math.Exp2(-float64(now.Sub(f.at))/float64(halfLife))
}

// blame adds a fault and tells whether the peer is banned for it now.
func (r *reputation) blame(p peer.ID, by Fault, reason string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	f, ok := r.record[p]
	if !ok {
		r.makeRoom(now)
		f = &fault{}
		r.record[p] = f
	}
	f.points, f.at, f.reason = f.left(now)+float64(by), now, reason
	if f.points < banPoints || r.chosen[p] {
		return false
	}
	f.points, f.banned = 0, now.Add(banTime)
	return true
}

// makeRoom forgets the least guilty peer that is not banned when there are too many.
func (r *reputation) makeRoom(now time.Time) {
	if len(r.record) < maxRemembered {
		return
	}
	var least peer.ID
	lowest := math.Inf(1)
	for p, f := range r.record {
		weight := f.left(now)
		if now.Before(f.banned) {
			weight += banPoints
		}
		if weight < lowest {
			least, lowest = p, weight
		}
	}
	delete(r.record, least)
}

func (r *reputation) banned(p peer.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.record[p]
	return ok && r.clock.Now().Before(f.banned)
}

// points are those that a peer has left.
func (r *reputation) points(p peer.ID) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.record[p]; ok {
		return f.left(r.clock.Now())
	}
	return 0
}

// list is everything worth telling, the worst first.
func (r *reputation) list() (out []Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	for p, f := range r.record {
		rec := Record{Peer: p, Points: f.left(now), Reason: f.reason}
		if now.Before(f.banned) {
			rec.Banned = f.banned
		}
		if rec.Points >= 1 || !rec.Banned.IsZero() {
			out = append(out, rec)
		}
	}
	slices.SortFunc(out, func(x, y Record) int {
		return cmp.Or(y.Banned.Compare(x.Banned), cmp.Compare(y.Points, x.Points), cmp.Compare(x.Peer, y.Peer))
	})
	return out
}

// forgive forgets a peer's faults; without a peer everybody's.
func (r *reputation) forgive(p peer.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p == "" {
		clear(r.record)
		return
	}
	delete(r.record, p)
}

// gater keeps out banned peers and whom the operator refuses.
type gater struct {
	r        *reputation
	operator connmgr.ConnectionGater
}

var _ connmgr.ConnectionGater = gater{}

func (g gater) InterceptPeerDial(p peer.ID) bool {
	return !g.r.banned(p) && g.operator.InterceptPeerDial(p)
}

func (g gater) InterceptAddrDial(p peer.ID, a ma.Multiaddr) bool {
	return !g.r.banned(p) && g.operator.InterceptAddrDial(p, a)
}

func (g gater) InterceptAccept(c network.ConnMultiaddrs) bool { return g.operator.InterceptAccept(c) }

func (g gater) InterceptSecured(d network.Direction, p peer.ID, c network.ConnMultiaddrs) bool {
	return !g.r.banned(p) && g.operator.InterceptSecured(d, p, c)
}

func (g gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

// Blame takes note of a fault of a peer: its gossip counts less, and when it has too many it is disconnected and kept out
// for an hour.
func (h *Host) Blame(p peer.ID, f Fault, reason string) {
	if !h.reputation.blame(p, f, reason) {
		log.Debugw("peer at fault", "peer", p, "points", float64(f), "reason", reason)
		return
	}
	log.Warnw("peer is kept out", "peer", p, "for", banTime, "reason", reason)
	go func() { _ = h.Network().ClosePeer(p) }() // not from inside its own stream
}

// Reputation lists peers with faults, the banned first.
func (h *Host) Reputation() []Record { return h.reputation.list() }

// Forgive forgets a peer's faults and lets it in again; the empty id forgives all.
func (h *Host) Forgive(p peer.ID) { h.reputation.forgive(p) }

// budget bounds how much of what a peer sends may come to nothing: a bucket for each peer that refills with time.
type budget struct {
	clock  clock.Clock
	size   float64
	refill float64 // per second

	mu     sync.Mutex
	bucket map[peer.ID]*bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newBudget(c clock.Clock, size, perSecond float64) *budget {
	return &budget{clock: c, size: size, refill: perSecond, bucket: map[peer.ID]*bucket{}}
}

// now is a peer's bucket as it stands at this moment.
func (b *budget) now(p peer.ID) *bucket {
	now := b.clock.Now()
	x, ok := b.bucket[p]
	if !ok {
		if len(b.bucket) >= maxRemembered {
			b.forgetFull(now)
		}
		x = &bucket{left: b.size, at: now}
		b.bucket[p] = x
	}
	x.left = min(b.size, x.left+b.refill*now.Sub(x.at).Seconds())
	x.at = now
	return x
}

func (b *budget) forgetFull(now time.Time) {
	for p, x := range b.bucket {
		if x.left+b.refill*now.Sub(x.at).Seconds() >= b.size {
			delete(b.bucket, p)
		}
	}
}

// spent tells whether a peer has nothing left.
func (b *budget) spent(p peer.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now(p).left < 1
}

// take charges a peer for one message that came to nothing.
func (b *budget) take(p peer.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now(p).left--
}

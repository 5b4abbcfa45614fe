package p2p

import (
	"context"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	manet "github.com/multiformats/go-multiaddr/net"
)

// scoresEvery is how old the scores of Scores may be.
const scoresEvery = 10 * time.Second

// scores are gossip's ratings of peers, as it told them last.
type scores struct {
	mu sync.Mutex
	by map[peer.ID]*pubsub.PeerScoreSnapshot
}

func (s *scores) take(by map[peer.ID]*pubsub.PeerScoreSnapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by = by
}

// Scores returns gossip's ratings of peers, some seconds old; none before Join.
func (h *Host) Scores() map[peer.ID]*pubsub.PeerScoreSnapshot {
	h.scores.mu.Lock()
	defer h.scores.mu.Unlock()
	return maps.Clone(h.scores.by)
}

// BandwidthByPeer returns the traffic with each peer.
func (h *Host) BandwidthByPeer() map[peer.ID]metrics.Stats { return h.bandwidth.GetBandwidthByPeer() }

// BandwidthByProtocol returns the traffic of each protocol.
func (h *Host) BandwidthByProtocol() map[protocol.ID]metrics.Stats {
	return h.bandwidth.GetBandwidthByProtocol()
}

// Reachability tells whether others could dial us when it was last tried.
func (h *Host) Reachability() network.Reachability {
	return network.Reachability(h.reachable.Load())
}

// followReachability keeps Reachability true until the subscription ends.
func (h *Host) followReachability(sub event.Subscription) {
	defer h.done.Done()
	for e := range sub.Out() {
		if e, ok := e.(event.EvtLocalReachabilityChanged); ok {
			h.reachable.Store(int32(e.Reachability))
		}
	}
}

// Ping measures one round trip to a peer.
func (h *Host) Ping(ctx context.Context, id peer.ID) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	select {
	case r, ok := <-ping.Ping(ctx, h.Host, id):
		if !ok {
			return 0, fmt.Errorf("ping %s: %w", id, context.Cause(ctx))
		}
		if r.Error != nil {
			return 0, fmt.Errorf("ping %s: %w", id, r.Error)
		}
		return r.RTT, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("ping %s: %w", id, ctx.Err())
	}
}

// Blocked is who we refuse: peers, addresses, subnets.
type Blocked struct {
	Peers   []peer.ID
	IPs     []net.IP
	Subnets []*net.IPNet
}

// Block refuses connections from and to these, and closes those there are.
func (h *Host) Block(b Blocked) error {
	for _, p := range b.Peers {
		if err := h.blocked.BlockPeer(p); err != nil {
			return fmt.Errorf("block peer %s: %w", p, err)
		}
	}
	for _, ip := range b.IPs {
		if err := h.blocked.BlockAddr(ip); err != nil {
			return fmt.Errorf("block address %s: %w", ip, err)
		}
	}
	for _, n := range b.Subnets {
		if err := h.blocked.BlockSubnet(n); err != nil {
			return fmt.Errorf("block subnet %s: %w", n, err)
		}
	}
	for _, c := range h.Network().Conns() {
		if !b.holds(c) {
			continue
		}
		if err := c.Close(); err != nil {
			return fmt.Errorf("hang up on %s: %w", c.RemotePeer(), err)
		}
	}
	return nil
}

// holds tells whether a connection is with somebody blocked.
func (b Blocked) holds(c network.Conn) bool {
	for _, p := range b.Peers {
		if p == c.RemotePeer() {
			return true
		}
	}
	ip, err := manet.ToIP(c.RemoteMultiaddr())
	if err != nil {
		return false
	}
	for _, x := range b.IPs {
		if x.Equal(ip) {
			return true
		}
	}
	for _, n := range b.Subnets {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// Unblock takes these from what is refused.
func (h *Host) Unblock(b Blocked) error {
	for _, p := range b.Peers {
		if err := h.blocked.UnblockPeer(p); err != nil {
			return fmt.Errorf("unblock peer %s: %w", p, err)
		}
	}
	for _, ip := range b.IPs {
		if err := h.blocked.UnblockAddr(ip); err != nil {
			return fmt.Errorf("unblock address %s: %w", ip, err)
		}
	}
	for _, n := range b.Subnets {
		if err := h.blocked.UnblockSubnet(n); err != nil {
			return fmt.Errorf("unblock subnet %s: %w", n, err)
		}
	}
	return nil
}

// Blocked lists what is refused.
func (h *Host) Blocked() Blocked {
	return Blocked{Peers: h.blocked.ListBlockedPeers(), IPs: h.blocked.ListBlockedAddrs(), Subnets: h.blocked.ListBlockedSubnets()}
}

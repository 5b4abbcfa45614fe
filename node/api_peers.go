package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/p2p"
)

func (a netAPI) NetPing(ctx context.Context, p string) (apinode.Duration, error) {
	id, err := peerID(p)
	if err != nil {
		return 0, err
	}
	took, err := a.host.Ping(ctx, id)
	if err != nil {
		return 0, api.Errorf(api.CodeUnavailable, "%w", err)
	}
	return took, nil
}

func (a netAPI) NetAutoNatStatus(context.Context) (apinode.NatInfo, error) {
	out := apinode.NatInfo{Reachability: int(a.host.Reachability()), PublicAddrs: []string{}}
	if a.host.Reachability() == network.ReachabilityPublic {
		for _, m := range a.host.Addrs() {
			if manet.IsPublicAddr(m) {
				out.PublicAddrs = append(out.PublicAddrs, m.String())
			}
		}
	}
	if len(out.PublicAddrs) > 0 {
		out.PublicAddr = out.PublicAddrs[0]
	}
	return out, nil
}

func wireBandwidth(s metrics.Stats) apinode.Bandwidth {
	return apinode.Bandwidth{TotalIn: s.TotalIn, TotalOut: s.TotalOut, RateIn: s.RateIn, RateOut: s.RateOut}
}

func (a netAPI) NetBandwidthStats(context.Context) (apinode.Bandwidth, error) {
	return wireBandwidth(a.host.Bandwidth()), nil
}

func (a netAPI) NetBandwidthStatsByPeer(context.Context) (map[string]apinode.Bandwidth, error) {
	out := map[string]apinode.Bandwidth{}
	for p, s := range a.host.BandwidthByPeer() {
		out[p.String()] = wireBandwidth(s)
	}
	return out, nil
}

func (a netAPI) NetBandwidthStatsByProtocol(context.Context) (map[string]apinode.Bandwidth, error) {
	out := map[string]apinode.Bandwidth{}
	for p, s := range a.host.BandwidthByProtocol() {
		out[string(p)] = wireBandwidth(s)
	}
	return out, nil
}

// peersAPI judges peers.
type peersAPI struct {
	host *p2p.Host
	// blocked is the file that keeps who is refused.
	blocked string

	mu *sync.Mutex
	// protected are the peers that NetProtectAdd named.
	protected map[peer.ID]struct{}
}

// protectTag is whose protection of a connection is meant.
const protectTag = "api"

// newPeersAPI refuses from the start whom an earlier run was told to refuse.
func newPeersAPI(host *p2p.Host, file string) (peersAPI, error) {
	a := peersAPI{host: host, blocked: file, mu: new(sync.Mutex), protected: map[peer.ID]struct{}{}}
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return a, fmt.Errorf("read who is blocked: %w", err)
	}
	var list apinode.NetBlockList
	if err := json.Unmarshal(raw, &list); err != nil {
		return a, fmt.Errorf("%s: %w; mend it or move it away", file, err)
	}
	b, err := parseBlocked(list)
	if err != nil {
		return a, fmt.Errorf("%s: %w", file, err)
	}
	return a, host.Block(b)
}

func parseBlocked(l apinode.NetBlockList) (p2p.Blocked, error) {
	var out p2p.Blocked
	for _, s := range l.Peers {
		id, err := peerID(s)
		if err != nil {
			return out, err
		}
		out.Peers = append(out.Peers, id)
	}
	for _, s := range l.IPAddrs {
		ip := net.ParseIP(s)
		if ip == nil {
			return out, api.Errorf(api.CodeInvalid, "%q is no IP address", s)
		}
		out.IPs = append(out.IPs, ip)
	}
	for _, s := range l.IPSubnets {
		_, n, err := net.ParseCIDR(s)
		if err != nil {
			return out, api.Errorf(api.CodeInvalid, "%q is no subnet such as 10.0.0.0/8", s)
		}
		out.Subnets = append(out.Subnets, n)
	}
	return out, nil
}

func (a peersAPI) NetBlockAdd(ctx context.Context, l apinode.NetBlockList) error {
	return a.change(ctx, l, a.host.Block)
}

func (a peersAPI) NetBlockRemove(ctx context.Context, l apinode.NetBlockList) error {
	return a.change(ctx, l, a.host.Unblock)
}

// change makes a change and keeps what came of it for the next start.
func (a peersAPI) change(ctx context.Context, l apinode.NetBlockList, act func(p2p.Blocked) error) error {
	b, err := parseBlocked(l)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := act(b); err != nil {
		return err
	}
	now, err := a.NetBlockList(ctx)
	if err != nil {
		return err
	}
	return saveJSON(a.blocked, now)
}

func (a peersAPI) NetBlockList(context.Context) (apinode.NetBlockList, error) {
	b := a.host.Blocked()
	out := apinode.NetBlockList{Peers: []string{}, IPAddrs: []string{}, IPSubnets: []string{}}
	for _, p := range b.Peers {
		out.Peers = append(out.Peers, p.String())
	}
	for _, ip := range b.IPs {
		out.IPAddrs = append(out.IPAddrs, ip.String())
	}
	for _, n := range b.Subnets {
		out.IPSubnets = append(out.IPSubnets, n.String())
	}
	for _, l := range [][]string{out.Peers, out.IPAddrs, out.IPSubnets} {
		slices.Sort(l)
	}
	return out, nil
}

func (a peersAPI) each(peers []string, act func(peer.ID)) error {
	ids := make([]peer.ID, len(peers))
	for i, s := range peers {
		var err error
		if ids[i], err = peerID(s); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		act(id)
	}
	return nil
}

func (a peersAPI) NetProtectAdd(_ context.Context, peers []string) error {
	return a.each(peers, func(id peer.ID) {
		a.host.ConnManager().Protect(id, protectTag)
		a.protected[id] = struct{}{}
	})
}

func (a peersAPI) NetProtectRemove(_ context.Context, peers []string) error {
	return a.each(peers, func(id peer.ID) {
		a.host.ConnManager().Unprotect(id, protectTag)
		delete(a.protected, id)
	})
}

func (a peersAPI) NetProtectList(context.Context) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]string, 0, len(a.protected))
	for id := range a.protected {
		out = append(out, id.String())
	}
	slices.Sort(out)
	return out, nil
}

func (a peersAPI) NetPubsubScores(context.Context) ([]apinode.PubsubScore, error) {
	out := []apinode.PubsubScore{}
	for id, s := range a.host.Scores() {
		p := apinode.PubsubScore{ID: id.String(), Score: apinode.PeerScore{
			Score: s.Score, Topics: map[string]apinode.TopicScore{}, AppSpecificScore: s.AppSpecificScore,
			IPColocationFactor: s.IPColocationFactor, BehaviourPenalty: s.BehaviourPenalty,
		}}
		for name, t := range s.Topics {
			p.Score.Topics[name] = apinode.TopicScore{
				TimeInMesh: t.TimeInMesh, FirstMessageDeliveries: t.FirstMessageDeliveries,
				MeshMessageDeliveries: t.MeshMessageDeliveries, InvalidMessageDeliveries: t.InvalidMessageDeliveries,
			}
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(x, y apinode.PubsubScore) int {
		switch {
		case x.ID < y.ID:
			return -1
		case x.ID > y.ID:
			return 1
		}
		return 0
	})
	return out, nil
}

func (a peersAPI) NetFaults(context.Context) ([]apinode.PeerFaults, error) {
	out := []apinode.PeerFaults{}
	for _, r := range a.host.Reputation() {
		f := apinode.PeerFaults{ID: r.Peer.String(), Points: r.Points, Reason: r.Reason}
		if !r.Banned.IsZero() {
			f.BannedUntil = &r.Banned
		}
		out = append(out, f)
	}
	return out, nil
}

func (a peersAPI) NetForgive(_ context.Context, peers []string) error {
	if len(peers) == 0 {
		a.host.Forgive("")
		return nil
	}
	return a.each(peers, a.host.Forgive)
}

func (a peersAPI) NetPeerInfo(_ context.Context, p string) (*apinode.PeerInfo, error) {
	id, err := peerID(p)
	if err != nil {
		return nil, err
	}
	out := &apinode.PeerInfo{ID: id.String(), Addrs: wireAddrs(a.host.Peerstore().PeerInfo(id)).Addrs}
	if v, err := a.host.Peerstore().Get(id, "AgentVersion"); err == nil {
		out.Agent, _ = v.(string) // a peer that has not said has none
	}
	protocols, err := a.host.Peerstore().GetProtocols(id)
	if err != nil {
		return nil, fmt.Errorf("protocols of %s: %w", id, err)
	}
	for _, proto := range protocols {
		out.Protocols = append(out.Protocols, string(proto))
	}
	slices.Sort(out.Protocols)
	if tag := a.host.ConnManager().GetTagInfo(id); tag != nil {
		out.ConnMgrMeta = &apinode.ConnInfo{FirstSeen: tag.FirstSeen, Value: tag.Value, Tags: tag.Tags, Conns: tag.Conns}
	}
	if len(out.Addrs) == 0 && len(out.Protocols) == 0 && out.ConnMgrMeta == nil {
		return nil, api.Errorf(api.CodeNotFound, "peer %s is not known here", id)
	}
	return out, nil
}

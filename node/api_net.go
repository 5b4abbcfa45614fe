package node

import (
	"context"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/p2p"
)

type netAPI struct{ host *p2p.Host }

func peerID(s string) (peer.ID, error) {
	id, err := peer.Decode(s)
	if err != nil {
		return "", api.Errorf(api.CodeInvalid, "peer id %q: %w", s, err)
	}
	return id, nil
}

func wireAddrs(info peer.AddrInfo) apinode.AddrInfo {
	out := apinode.AddrInfo{ID: info.ID.String()}
	for _, a := range info.Addrs {
		out.Addrs = append(out.Addrs, a.String())
	}
	return out
}

func (a netAPI) ID(context.Context) (string, error) { return a.host.ID().String(), nil }

func (a netAPI) NetAddrsListen(context.Context) (apinode.AddrInfo, error) {
	return wireAddrs(peer.AddrInfo{ID: a.host.ID(), Addrs: a.host.Addrs()}), nil
}

func (a netAPI) NetPeers(context.Context) ([]apinode.AddrInfo, error) {
	conns := a.host.Network().Conns()
	out := make([]apinode.AddrInfo, len(conns))
	for i, c := range conns {
		out[i] = wireAddrs(peer.AddrInfo{ID: c.RemotePeer(), Addrs: []ma.Multiaddr{c.RemoteMultiaddr()}})
	}
	return out, nil
}

func (a netAPI) NetConnect(ctx context.Context, p apinode.AddrInfo) error {
	id, err := peerID(p.ID)
	if err != nil {
		return err
	}
	info := peer.AddrInfo{ID: id}
	for _, s := range p.Addrs {
		m, err := ma.NewMultiaddr(s)
		if err != nil {
			return api.Errorf(api.CodeInvalid, "address %q of peer %s: %w", s, p.ID, err)
		}
		info.Addrs = append(info.Addrs, m)
	}
	if err := a.host.Connect(ctx, info); err != nil {
		return api.Errorf(api.CodeUnavailable, "connect to %s: %w", p.ID, err)
	}
	return nil
}

func (a netAPI) NetDisconnect(_ context.Context, p string) error {
	id, err := peerID(p)
	if err != nil {
		return err
	}
	return a.host.Network().ClosePeer(id)
}

func (a netAPI) NetConnectedness(_ context.Context, p string) (int, error) {
	id, err := peerID(p)
	if err != nil {
		return int(network.NotConnected), err
	}
	return int(a.host.Network().Connectedness(id)), nil
}

func (a netAPI) NetFindPeer(ctx context.Context, p string) (apinode.AddrInfo, error) {
	id, err := peerID(p)
	if err != nil {
		return apinode.AddrInfo{}, err
	}
	info, err := a.host.FindPeer(ctx, id)
	return wireAddrs(info), err
}

func (a netAPI) NetAgentVersion(_ context.Context, p string) (string, error) {
	id, err := peerID(p)
	if err != nil {
		return "", err
	}
	v, err := a.host.Peerstore().Get(id, "AgentVersion")
	if err != nil {
		return "", api.Errorf(api.CodeNotFound, "peer %s has not said what it runs", p)
	}
	s, ok := v.(string)
	if !ok {
		return "", api.Errorf(api.CodeInternal, "peer store holds a %T for the agent of %s", v, p)
	}
	return s, nil
}

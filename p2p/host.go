package p2p

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	logging "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/conngater"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/filecoin-venus/venus/internal/clock"
)

var log = logging.Logger("p2p")

// Connection limits (the field's defaults, node.md 3).
const (
	connLow   = 150
	connHigh  = 180
	connGrace = 20 * time.Second
)

// Config says who we are and where we listen.
type Config struct {
	// Key is a marshalled libp2p private key (NewKey).
	Key []byte
	// Listen are multiaddrs, such as /ip4/0.0.0.0/tcp/0; empty means dial only.
	Listen []string
	// Announce are multiaddrs at which others reach us, where they differ from what we listen on: behind a router or a
	// proxy. Empty means that we tell of the addresses we listen on.
	Announce []string
	// Bootstrap are multiaddrs with /p2p/ parts to start from.
	Bootstrap []string
	// Redial is the longest pause between two tries to reach a peer that was lost; 0 means half a minute.
	Redial time.Duration
	// Network is the network's name in topics and in the DHT's prefix.
	Network string
	// Agent is what identify tells peers.
	Agent string
	Clock clock.Clock
}

// Host is our presence in the network of peers.
type Host struct {
	host.Host
	cfg        Config
	dht        *dht.IpfsDHT
	bandwidth  *metrics.BandwidthCounter
	reputation *reputation
	contacts   *contacts
	bootstrap  []peer.AddrInfo
	cancel     context.CancelFunc
	done       sync.WaitGroup

	blocked   *conngater.BasicConnectionGater // whom the operator refuses
	reachable atomic.Int32                    // a network.Reachability
	scores    scores

	mu     sync.Mutex
	gossip *Gossip
}

// NewKey makes a marshalled Ed25519 identity.
func NewKey() ([]byte, error) {
	k, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make peer key: %w", err)
	}
	return crypto.MarshalPrivateKey(k)
}

// New starts a host and its discovery. Bootstrap peers are dialled in the
// background, and again whenever they are away (keep.go).
func New(ctx context.Context, cfg Config) (*Host, error) {
	key, err := crypto.UnmarshalPrivateKey(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("peer key: %w", err)
	}
	boot, err := ParsePeers(cfg.Bootstrap)
	if err != nil {
		return nil, fmt.Errorf("bootstrap peers: %w", err)
	}
	cm, err := connmgr.NewConnManager(connLow, connHigh, connmgr.WithGracePeriod(connGrace))
	if err != nil {
		return nil, fmt.Errorf("connection manager: %w", err)
	}
	for _, b := range boot {
		cm.Protect(b.ID, "chosen")
	}
	blocked, err := conngater.NewBasicConnectionGater(nil) // who is blocked, the caller keeps
	if err != nil {
		return nil, fmt.Errorf("connection gater: %w", err)
	}
	bw := metrics.NewBandwidthCounter()
	listen := libp2p.NoListenAddrs
	if len(cfg.Listen) > 0 {
		listen = libp2p.ListenAddrStrings(cfg.Listen...)
	}
	announce, err := announcing(cfg.Announce)
	if err != nil {
		return nil, err
	}
	rep := newReputation(cfg.Clock, boot)
	h, err := libp2p.New(libp2p.Identity(key), listen, libp2p.ConnectionManager(cm), libp2p.ConnectionGater(gater{r: rep, operator: blocked}), libp2p.BandwidthReporter(bw),
		libp2p.UserAgent(cfg.Agent), libp2p.Ping(true), libp2p.DisableRelay(), announce)
	if err != nil {
		return nil, fmt.Errorf("start libp2p on %v: %w", cfg.Listen, err)
	}
	router, err := dht.New(ctx, h, dht.Mode(dht.ModeAutoServer), dht.ProtocolPrefix(protocol.ID("/fil/kad/"+cfg.Network)),
		dht.DisableProviders(), dht.DisableValues(), dht.BootstrapPeers(boot...))
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("start peer discovery: %w", err)
	}
	reach, err := h.EventBus().Subscribe(new(event.EvtLocalReachabilityChanged))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("follow reachability: %w", err), router.Close(), h.Close())
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &Host{Host: h, cfg: cfg, dht: router, bandwidth: bw, reputation: rep, contacts: newContacts(cfg.Clock, cfg.Redial, boot), bootstrap: boot, cancel: cancel, blocked: blocked}
	context.AfterFunc(run, func() { _ = reach.Close() }) // it ends followReachability
	p.done.Add(2)
	go p.keepConnected(run)
	go p.followReachability(reach)
	return p, nil
}

// announcing makes others hear of the given addresses only.
func announcing(addrs []string) (libp2p.Option, error) {
	if len(addrs) == 0 {
		return func(*libp2p.Config) error { return nil }, nil
	}
	told := make([]ma.Multiaddr, len(addrs))
	for i, a := range addrs {
		m, err := ma.NewMultiaddr(a)
		if err != nil {
			return nil, fmt.Errorf("announce %q, which is not a multiaddr such as /dns4/node.example/tcp/1347: %w", a, err)
		}
		told[i] = m
	}
	return libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return slices.Clone(told) }), nil
}

// Close leaves the network.
func (h *Host) Close() error {
	h.cancel()
	h.mu.Lock()
	g := h.gossip
	h.mu.Unlock()
	if g != nil {
		g.close()
	}
	h.done.Wait()
	if err := h.dht.Close(); err != nil {
		log.Warnw("close peer discovery", "error", err)
	}
	if err := h.Host.Close(); err != nil {
		return fmt.Errorf("close libp2p: %w", err)
	}
	return nil
}

// DialAddrs returns our addresses with our peer id appended, ready to be dialled.
func (h *Host) DialAddrs() ([]string, error) {
	addrs, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: h.ID(), Addrs: h.Host.Addrs()})
	if err != nil {
		return nil, fmt.Errorf("own addresses: %w", err)
	}
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out, nil
}

// FindPeer looks a peer's addresses up, in our book first, then in the DHT.
func (h *Host) FindPeer(ctx context.Context, id peer.ID) (peer.AddrInfo, error) {
	if info := h.Peerstore().PeerInfo(id); len(info.Addrs) > 0 {
		return info, nil
	}
	info, err := h.dht.FindPeer(ctx, id)
	if err != nil {
		return peer.AddrInfo{}, fmt.Errorf("find peer %s: %w", id, err)
	}
	return info, nil
}

// Bandwidth returns the counters of all traffic.
func (h *Host) Bandwidth() metrics.Stats { return h.bandwidth.GetBandwidthTotals() }

// ParsePeers reads multiaddrs with /p2p/ parts and merges those of one peer.
func ParsePeers(addrs []string) ([]peer.AddrInfo, error) {
	maddrs := make([]ma.Multiaddr, 0, len(addrs))
	for _, a := range addrs {
		m, err := ma.NewMultiaddr(a)
		if err != nil {
			return nil, fmt.Errorf("%q is not a multiaddr such as /ip4/10.0.0.1/tcp/1347/p2p/12D3...: %w", a, err)
		}
		maddrs = append(maddrs, m)
	}
	infos, err := peer.AddrInfosFromP2pAddrs(maddrs...)
	if err != nil {
		return nil, fmt.Errorf("peer address without /p2p/ID: %w", err)
	}
	return infos, nil
}

// ErrMalformed marks a handler's error over bytes that are no record of its
// protocol; the peer is blamed for it.
var ErrMalformed = errors.New("malformed record")

// HandleStream serves a protocol. A handler that panics or overstays limit
// loses its stream; one that says ErrMalformed costs the peer its reputation.
func (h *Host) HandleStream(id protocol.ID, limit time.Duration, handle func(network.Stream) error) {
	h.SetStreamHandler(id, func(s network.Stream) {
		defer func() {
			if r := recover(); r != nil {
				log.Errorw("stream handler panicked", "protocol", id, "peer", s.Conn().RemotePeer(), "panic", r)
				_ = s.Reset() // the stream is lost either way
			}
		}()
		if err := s.SetDeadline(h.Deadline(limit)); err != nil {
			log.Debugw("stream takes no deadline", "protocol", id, "error", err)
		}
		if err := handle(s); err != nil {
			log.Debugw("stream failed", "protocol", id, "peer", s.Conn().RemotePeer(), "error", err)
			if errors.Is(err, ErrMalformed) {
				h.Blame(s.Conn().RemotePeer(), Malformed, err.Error())
			}
			_ = s.Reset() // nothing more to say to this peer
			return
		}
		_ = s.Close() // the answer is out; a failed close costs only the stream
	})
}

// Deadline is when something that begins now and may take so long has to be over, as connections understand it.
func (h *Host) Deadline(limit time.Duration) time.Time { return h.cfg.Clock.Now().Add(limit) }

// Decode reads one record that ends the stream, of at most limit bytes. What is no record is ErrMalformed; a peer that went
// away or was too slow has done nothing wrong.
func Decode(r io.Reader, limit int64, into interface{ UnmarshalCBOR(io.Reader) error }) error {
	in := &io.LimitedReader{R: r, N: limit}
	err := into.UnmarshalCBOR(in)
	var away net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &away), errors.Is(err, network.ErrReset), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && in.N > 0:
		return err
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}

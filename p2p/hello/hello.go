// Package hello is the greeting that peers exchange on every new connection:
// which genesis they live on and what their head is. Peers of another genesis
// are disconnected. Protocol /fil/hello/1.0.0 (node.md 3).
//
// Start at [New]; wire.go holds the records.
package hello

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/ipfs/go-cid"
	logging "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/p2p"
)

var log = logging.Logger("hello")

// Protocol is the stream's name.
const Protocol = protocol.ID("/fil/hello/1.0.0")

const (
	// timeout bounds one greeting on both sides.
	timeout = 10 * time.Second
	// maxHello bounds what we read from a peer, in bytes.
	maxHello = 64 << 10
)

// Service greets every peer we connect to and answers those who greet us.
type Service struct {
	host  *p2p.Host
	clock clock.Clock
	// local returns our own greeting, freshly.
	local func(ctx context.Context) (*Hello, error)
	// met is called with the greeting of a peer on our genesis.
	met   func(peer.ID, *Hello)
	skews skews
}

// New installs the protocol.
func New(h *p2p.Host, c clock.Clock, local func(context.Context) (*Hello, error), met func(peer.ID, *Hello)) *Service {
	s := &Service{host: h, clock: c, local: local, met: met, skews: skews{of: map[peer.ID]time.Duration{}}}
	h.HandleStream(Protocol, timeout, s.serve)
	h.Network().Notify(&network.NotifyBundle{
		ConnectedF: func(_ network.Network, c network.Conn) { go s.greetOnce(c.RemotePeer()) },
		DisconnectedF: func(n network.Network, c network.Conn) {
			if n.Connectedness(c.RemotePeer()) != network.Connected {
				s.skews.forget(c.RemotePeer())
			}
		},
	})
	return s
}

func (s *Service) greetOnce(p peer.ID) {
	defer func() {
		if r := recover(); r != nil {
			log.Errorw("greeting panicked", "peer", p, "panic", r)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := s.Greet(ctx, p); err != nil {
		log.Debugw("greeting failed", "peer", p, "error", err)
	}
}

// Greet sends our greeting to a connected peer and waits for its answer.
func (s *Service) Greet(ctx context.Context, p peer.ID) error {
	mine, err := s.local(ctx)
	if err != nil {
		return fmt.Errorf("own greeting: %w", err)
	}
	stream, err := s.host.NewStream(ctx, p, Protocol)
	if err != nil {
		return fmt.Errorf("greet %s: %w", p, err)
	}
	defer stream.Close()
	if err := stream.SetDeadline(s.host.Deadline(timeout)); err != nil {
		return fmt.Errorf("greet %s: %w", p, err)
	}
	asked := s.clock.Now()
	if err := mine.MarshalCBOR(stream); err != nil {
		return fmt.Errorf("greet %s: %w", p, err)
	}
	if err := stream.CloseWrite(); err != nil {
		return fmt.Errorf("greet %s: %w", p, err)
	}
	var answer Latency
	if err := answer.UnmarshalCBOR(io.LimitReader(stream, maxHello)); err != nil {
		return fmt.Errorf("answer of %s: %w", p, err)
	}
	s.skews.note(p, asked, s.clock.Now(), answer)
	return nil
}

// partingTime is how long a peer of another network stays connected, so that our own greeting reaches it and its operator
// reads why it finds no chain here.
const partingTime = time.Second

func (s *Service) part(p peer.ID, genesis cid.Cid) {
	_ = s.clock.Sleep(context.Background(), partingTime) // nothing ends it
	s.host.Blame(p, p2p.Foreign, fmt.Sprintf("its genesis is %s", genesis))
	if err := s.host.Network().ClosePeer(p); err != nil {
		log.Debugw("peer of another network does not close", "peer", p, "error", err)
	}
}

func (s *Service) serve(stream network.Stream) error {
	arrived := s.clock.Now()
	p := stream.Conn().RemotePeer()
	var theirs Hello
	if err := p2p.Decode(stream, maxHello, &theirs); err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	mine, err := s.local(ctx)
	if err != nil {
		return fmt.Errorf("own greeting: %w", err)
	}
	if theirs.Genesis != mine.Genesis {
		log.Warnw("peer is of another network", "peer", p, "their genesis", theirs.Genesis, "ours", mine.Genesis)
		go s.part(p, theirs.Genesis)
		return nil
	}
	var answer bytes.Buffer
	if err := (&Latency{Arrival: arrived.UnixNano(), Sent: s.clock.Now().UnixNano()}).MarshalCBOR(&answer); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	if _, err := stream.Write(answer.Bytes()); err != nil {
		return fmt.Errorf("answer greeting: %w", err)
	}
	s.met(p, &theirs)
	return nil
}

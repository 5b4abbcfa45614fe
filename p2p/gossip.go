package p2p

import (
	"context"
	"fmt"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/crypto/blake2b"
)

// Verdict is what a validator decides about a gossiped message.
type Verdict int

// The verdicts. Ignore does not forward and counts against the sender's budget;
// Unsure does not even that, for a node that cannot tell yet. Refuse costs the
// sender its gossip score; Reject is held against it beyond that, for what is
// wrong on every chain: were a ban to follow from a Refuse, two sides of a network
// that was split could not find together again.
const (
	Accept Verdict = iota
	Ignore
	Unsure
	Refuse
	Reject
)

// Validate judges the payload of a message before it is forwarded or handled.
// self is set for what we publish ourselves.
type Validate func(ctx context.Context, from peer.ID, data []byte, self bool) Verdict

// maxGossipSize is gossipsub's own bound for one message, in bytes.
const maxGossipSize = 1 << 20

// Budgets of a peer for messages that are ignored, which costs it nothing else: how many at once, and how many more a
// second. An honest peer forwards what it could check; a handful of late or early ones a second is plenty (I19).
const (
	messageBudget, messageRefill = 500, 10
	blockBudget, blockRefill     = 100, 1
)

// Gossip is our membership in the two topics of a network.
type Gossip struct {
	ps     *pubsub.PubSub
	blocks *topic
	msgs   *topic
}

type topic struct {
	*pubsub.Topic
	sub    *pubsub.Subscription
	cancel context.CancelFunc
	done   chan struct{}
}

// Handlers judge what arrives. Whatever they accept they also take in: there
// is no second delivery.
type Handlers struct {
	Block   Validate
	Message Validate
}

// Join subscribes to the network's topics. Validators run before forwarding;
// a validator that panics counts as Ignore.
func (h *Host) Join(ctx context.Context, v Handlers) (*Gossip, error) {
	gp := pubsub.DefaultGossipSubParams()
	gp.D, gp.Dscore, gp.Dout, gp.Dlo, gp.Dhi, gp.Dlazy = 8, 6, 3, 6, 12, 12
	gp.DirectConnectInitialDelay, gp.IWantFollowupTime = 30*time.Second, 5*time.Second
	gp.HistoryLength, gp.GossipFactor = 10, 0.1
	blockTopic, msgTopic := "/fil/blocks/"+h.cfg.Network, "/fil/msgs/"+h.cfg.Network
	boot := map[peer.ID]struct{}{}
	for _, p := range h.bootstrap {
		boot[p.ID] = struct{}{}
	}
	score, thresholds := scoring(blockTopic, msgTopic, func(p peer.ID) float64 {
		points := -gossipPerPoint * h.reputation.points(p)
		if _, ok := boot[p]; ok {
			points += 2500
		}
		return points
	})
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ps, err := pubsub.NewGossipSub(run, h.Host,
		pubsub.WithFloodPublish(true), pubsub.WithGossipSubParams(gp), pubsub.WithPeerScore(score, thresholds),
		pubsub.WithPeerScoreInspect(h.scores.take, scoresEvery),
		pubsub.WithMessageIdFn(messageID), pubsub.WithMaxMessageSize(maxGossipSize),
		pubsub.WithSubscriptionFilter(pubsub.WrapLimitSubscriptionFilter(pubsub.NewAllowlistSubscriptionFilter(blockTopic, msgTopic), 100)))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("start gossip: %w", err)
	}
	g := &Gossip{ps: ps}
	blocks := h.limited(newBudget(h.cfg.Clock, blockBudget, blockRefill), "blocks", v.Block)
	msgs := h.limited(newBudget(h.cfg.Clock, messageBudget, messageRefill), "messages", v.Message)
	if g.blocks, err = g.join(run, blockTopic, h.ID(), blocks); err == nil {
		g.msgs, err = g.join(run, msgTopic, h.ID(), msgs)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	stop := g.msgs.cancel
	g.msgs.cancel = func() { stop(); cancel() }
	h.mu.Lock()
	h.gossip = g
	h.mu.Unlock()
	return g, nil
}

// limited is a validator with a budget: a peer whose ignored messages have used it up is not listened to before it refills,
// and blamed for what it goes on to send.
func (h *Host) limited(b *budget, what string, validate Validate) Validate {
	return func(ctx context.Context, from peer.ID, data []byte, self bool) Verdict {
		if self {
			return validate(ctx, from, data, self)
		}
		if b.spent(from) {
			h.Blame(from, Flood, what+" that came to nothing")
			return Ignore
		}
		v := validate(ctx, from, data, self)
		switch v {
		case Ignore:
			b.take(from)
		case Reject:
			h.Blame(from, Invalid, "invalid "+what)
		}
		return v
	}
}

// messageID is the field's: two copies of one payload are one message, whoever
// published them.
func messageID(m *pb.Message) string {
	sum := blake2b.Sum256(m.Data)
	return string(sum[:])
}

func (g *Gossip) join(ctx context.Context, name string, self peer.ID, validate Validate) (*topic, error) {
	err := g.ps.RegisterTopicValidator(name, func(ctx context.Context, from peer.ID, m *pubsub.Message) (v pubsub.ValidationResult) {
		defer func() {
			if r := recover(); r != nil {
				log.Errorw("gossip validator panicked", "topic", name, "from", from, "panic", r)
				v = pubsub.ValidationIgnore
			}
		}()
		switch validate(ctx, from, m.Data, m.GetFrom() == self) {
		case Accept:
			return pubsub.ValidationAccept
		case Refuse, Reject:
			return pubsub.ValidationReject
		}
		return pubsub.ValidationIgnore
	})
	if err != nil {
		return nil, fmt.Errorf("validator of %s: %w", name, err)
	}
	t, err := g.ps.Join(name)
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", name, err)
	}
	sub, err := t.Subscribe()
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", name, err)
	}
	run, cancel := context.WithCancel(ctx)
	out := &topic{Topic: t, sub: sub, cancel: cancel, done: make(chan struct{})}
	go func() {
		// The validator has handled each message already; the subscription only
		// keeps us in the mesh and must be drained.
		defer close(out.done)
		for {
			if _, err := sub.Next(run); err != nil {
				return
			}
		}
	}()
	return out, nil
}

func (g *Gossip) close() {
	for _, t := range []*topic{g.blocks, g.msgs} {
		t.sub.Cancel()
		t.cancel()
		<-t.done
	}
}

// PublishBlock sends the CBOR of a block message.
func (g *Gossip) PublishBlock(ctx context.Context, data []byte) error {
	if err := g.blocks.Publish(ctx, data); err != nil {
		return fmt.Errorf("publish block: %w", err)
	}
	return nil
}

// PublishMessage sends the CBOR of a signed message.
func (g *Gossip) PublishMessage(ctx context.Context, data []byte) error {
	if err := g.msgs.Publish(ctx, data); err != nil {
		return fmt.Errorf("publish message: %w", err)
	}
	return nil
}

// BlockPeers lists who we share the block topic with.
func (g *Gossip) BlockPeers() []peer.ID { return g.blocks.ListPeers() }

// MessagePeers lists who we share the message topic with.
func (g *Gossip) MessagePeers() []peer.ID { return g.msgs.ListPeers() }

// scoring sets the field's peer scores (node.md 3).
func scoring(blockTopic, msgTopic string, ofPeer func(peer.ID) float64) (*pubsub.PeerScoreParams, *pubsub.PeerScoreThresholds) {
	hour := pubsub.ScoreParameterDecay(time.Hour)
	topicParams := func(inMesh, inMeshCap, first float64, firstDecay time.Duration) *pubsub.TopicScoreParams {
		return &pubsub.TopicScoreParams{
			TopicWeight: 0.1, TimeInMeshWeight: inMesh, TimeInMeshQuantum: time.Second, TimeInMeshCap: inMeshCap,
			FirstMessageDeliveriesWeight: first, FirstMessageDeliveriesDecay: pubsub.ScoreParameterDecay(firstDecay), FirstMessageDeliveriesCap: 100,
			InvalidMessageDeliveriesWeight: -1000, InvalidMessageDeliveriesDecay: hour,
		}
	}
	params := &pubsub.PeerScoreParams{
		AppSpecificScore:  ofPeer,
		AppSpecificWeight: 1, IPColocationFactorThreshold: 5, IPColocationFactorWeight: -100,
		// Several nodes of one operator share a loopback or a private address.
		IPColocationFactorWhitelist: privateNets(),
		BehaviourPenaltyThreshold:   6, BehaviourPenaltyWeight: -10, BehaviourPenaltyDecay: hour,
		DecayInterval: pubsub.DefaultDecayInterval, DecayToZero: pubsub.DefaultDecayToZero, RetainScore: 6 * time.Hour,
		Topics: map[string]*pubsub.TopicScoreParams{
			blockTopic: topicParams(0.00027, 1, 5, time.Hour),
			msgTopic:   topicParams(0.0002778, 1, 0.5, 10*time.Minute),
		},
	}
	return params, &pubsub.PeerScoreThresholds{
		GossipThreshold: -500, PublishThreshold: -1000, GraylistThreshold: -2500, AcceptPXThreshold: 1000, OpportunisticGraftThreshold: 3.5,
	}
}

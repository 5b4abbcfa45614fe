package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/libp2p/go-libp2p/core/peer"

	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/chainsync"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/mpool"
	"github.com/filecoin-venus/venus/p2p"
	"github.com/filecoin-venus/venus/p2p/hello"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// gossip judges what peers gossip, before it is forwarded, and publishes what
// we make (node-nv15.md 3.1).
type gossip struct {
	reader
	// life bounds the work that goes on after a validator has answered.
	life context.Context
	// topics is nil when offline, and until we have joined: the pool may publish
	// before.
	topics atomic.Pointer[p2p.Gossip]
	sync   *chainsync.Syncer
	pool   *mpool.Pool
	// greetings survey the clocks of peers.
	greetings *hello.Service

	mu     sync.Mutex
	ended  bool
	taking sync.WaitGroup
}

// begin asks to work on beside a validator's answer; false once the node ends.
func (g *gossip) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return false
	}
	g.taking.Add(1)
	return true
}

// end waits for that work: the stores below are about to close.
func (g *gossip) end() {
	g.mu.Lock()
	g.ended = true
	g.mu.Unlock()
	g.taking.Wait()
}

// nearSynced is how old our head may be for us to call a stranger's block
// wrong rather than unknown.
const nearSynced = 6 * time.Hour

func (g *gossip) handlers() p2p.Handlers { return p2p.Handlers{Block: g.block, Message: g.message} }

func (g *gossip) block(ctx context.Context, from peer.ID, data []byte, self bool) p2p.Verdict {
	if self {
		return p2p.Accept
	}
	b, err := types.DecodeBlockMsg(data)
	if err != nil {
		return p2p.Reject
	}
	switch verdict, reason := g.look(ctx, b); verdict {
	case p2p.Refuse, p2p.Reject:
		log.Infow("gossiped block rejected", "block", b.Cid(), "from", from, "reason", reason)
		return verdict
	case p2p.Ignore:
		// Unknown is not wrong: it may lie on a chain that we do not have yet.
		log.Debugw("gossiped block not judged", "block", b.Cid(), "from", from, "reason", reason)
		g.sync.Hear(chainsync.Target{Key: types.NewTipSetKey(b.Cid()), Height: b.Header.Height, From: from})
		return g.unlessBehind(verdict)
	}
	if !g.begin() {
		return p2p.Ignore
	}
	go g.takeBlock(from, b)
	return p2p.Accept
}

func (g *gossip) takeBlock(from peer.ID, b *types.BlockMsg) {
	defer g.taking.Done()
	defer func() {
		if r := recover(); r != nil {
			log.Errorw("taking in a gossiped block panicked", "block", b.Cid(), "panic", r)
		}
	}()
	if err := g.sync.HearBlock(g.life, from, b); err != nil && g.life.Err() == nil {
		log.Warnw("gossiped block not taken in", "block", b.Cid(), "height", b.Header.Height, "from", from, "error", err)
	}
}

// look makes the cheap checks of a gossiped block.
func (g *gossip) look(ctx context.Context, b *types.BlockMsg) (p2p.Verdict, error) {
	h := b.Header
	if n := len(b.BlsMessages) + len(b.SecpkMessages); n > params.BlockMessageLimit {
		return p2p.Reject, fmt.Errorf("%d messages", n)
	}
	if h.BlockSig == nil || h.Ticket == nil || h.ElectionProof == nil || h.ElectionProof.WinCount < 1 {
		return p2p.Reject, fmt.Errorf("no signature, ticket or win")
	}
	root, err := chain.MessageRootOf(ctx, b.BlsMessages, b.SecpkMessages)
	if err != nil {
		return p2p.Ignore, err
	}
	if root != h.Messages {
		return p2p.Reject, fmt.Errorf("messages make root %s, header says %s", root, h.Messages)
	}
	head := g.store.Head()
	_, lookback, err := g.exec.Lookback(ctx, head, max(h.Height, head.Height()+1))
	if err != nil {
		return p2p.Ignore, err
	}
	worker, err := g.store.View(lookback).MinerWorkerKey(ctx, h.Miner)
	if err != nil {
		return p2p.Ignore, err
	}
	if err := consensus.CheckBlockSignature(h, worker); err != nil {
		return p2p.Refuse, err // by the worker key of our chain
	}
	return g.lookPower(h.Miner.String(), func() (bool, error) {
		return g.store.View(head.ParentState()).EligibleToMine(ctx, h.Miner, head.Height())
	})
}

func (g *gossip) lookPower(miner string, eligible func() (bool, error)) (p2p.Verdict, error) {
	ok, err := eligible()
	if err != nil {
		return p2p.Ignore, err
	}
	if ok {
		return p2p.Accept, nil
	}
	age := g.headAge()
	if age < nearSynced && age < g.net.BlockDelay*time.Duration(g.net.Finality) {
		return p2p.Refuse, fmt.Errorf("miner %s is not eligible to mine", miner)
	}
	return p2p.Ignore, fmt.Errorf("miner %s is not eligible at our head, which is %s old", miner, age)
}

func (g *gossip) message(ctx context.Context, _ peer.ID, data []byte, self bool) p2p.Verdict {
	if self {
		return p2p.Accept
	}
	m, err := types.DecodeSignedMessage(data)
	if err != nil {
		return p2p.Reject
	}
	if err := g.pool.Receive(ctx, m); err != nil {
		if mpool.Reject(err) {
			return p2p.Reject
		}
		return g.unlessBehind(p2p.Ignore)
	}
	return p2p.Accept
}

// behindEpochs is how old our head may be for what we cannot place to be the sender's fault.
const behindEpochs = 10

// unlessBehind is the verdict, or Unsure while we catch up: then most of what honest peers send makes no sense to us.
func (g *gossip) unlessBehind(v p2p.Verdict) p2p.Verdict {
	if g.headAge() > behindEpochs*g.net.BlockDelay {
		return p2p.Unsure
	}
	return v
}

func (g *gossip) headAge() time.Duration {
	return g.clock.Now().Sub(time.Unix(int64(g.store.Head().MinTimestamp()), 0))
}

func (g *gossip) publishBlock(ctx context.Context, b *types.BlockMsg) error {
	topics := g.topics.Load()
	if topics == nil {
		return nil
	}
	data, err := b.Serialize()
	if err != nil {
		return err
	}
	return topics.PublishBlock(ctx, data)
}

func (g *gossip) publishMessage(ctx context.Context, m *types.SignedMessage) error {
	topics := g.topics.Load()
	if topics == nil {
		return nil
	}
	data, err := m.Serialize()
	if err != nil {
		return err
	}
	return topics.PublishMessage(ctx, data)
}

func (g *gossip) peers() apinode.NodePeerStatus {
	topics := g.topics.Load()
	if topics == nil {
		return apinode.NodePeerStatus{}
	}
	return apinode.NodePeerStatus{PeersToPublishMsgs: len(topics.MessagePeers()), PeersToPublishBlocks: len(topics.BlockPeers())}
}

// followHead keeps the pool on the chain's head until the context ends.
func followHead(ctx context.Context, store *chain.Store, pool *mpool.Pool) {
	for ctx.Err() == nil {
		sub := store.Subscribe()
		err := follow(ctx, store, sub, pool)
		sub.Close()
		if err != nil && ctx.Err() == nil {
			log.Warnw("the message pool lost the head and starts over", "error", err)
		}
	}
}

func follow(ctx context.Context, store *chain.Store, sub *chain.Subscription, pool *mpool.Pool) error {
	for {
		select {
		case changes, ok := <-sub.Changes():
			if !ok {
				return sub.Err()
			}
			revert, apply := split(changes)
			if changes[0].Kind == chain.Current {
				var err error
				if revert, apply, err = store.Path(ctx, pool.Head(), changes[0].TipSet); err != nil {
					return err
				}
			}
			if err := pool.HeadChange(ctx, revert, apply); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func split(changes []chain.HeadChange) (revert, apply []*types.TipSet) {
	for _, c := range changes {
		switch c.Kind {
		case chain.Revert:
			revert = append(revert, c.TipSet)
		case chain.Apply:
			apply = append(apply, c.TipSet)
		}
	}
	return revert, apply
}

// exchangeSource serves our chain to peers.
type exchangeSource struct{ store *chain.Store }

// TipSet implements exchange.Source.
func (s exchangeSource) TipSet(ctx context.Context, key types.TipSetKey) (*types.TipSet, error) {
	return s.store.TipSet(ctx, key)
}

// FullBlocks implements exchange.Source.
func (s exchangeSource) FullBlocks(ctx context.Context, ts *types.TipSet) ([]*types.FullBlock, error) {
	out := make([]*types.FullBlock, len(ts.Blocks()))
	for i, h := range ts.Blocks() {
		full, err := s.store.FullBlock(ctx, h)
		if err != nil {
			return nil, err
		}
		out[i] = full
	}
	return out, nil
}

// epochOf is the epoch that the clock shows.
func epochOf(now time.Time, genesis uint64, delay time.Duration) abi.ChainEpoch {
	return abi.ChainEpoch(now.Sub(time.Unix(int64(genesis), 0)) / delay)
}

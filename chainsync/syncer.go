package chainsync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/ipfs/go-cid"
	logging "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/p2p/exchange"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

var log = logging.Logger("chainsync")

// Chain is the store that valid blocks go to.
type Chain interface {
	TipSet(ctx context.Context, key types.TipSetKey) (*types.TipSet, error)
	Has(ctx context.Context, key types.TipSetKey) (bool, error)
	Head() *types.TipSet
	AssembleBlock(ctx context.Context, b *types.BlockMsg) (*types.FullBlock, error)
	// KeepFull stores a block that is valid; Follow considers it and its siblings as head.
	KeepFull(ctx context.Context, b *types.FullBlock) error
	Follow(ctx context.Context, h *types.BlockHeader) (*types.TipSet, bool, error)
}

// Validator judges one block whose parents are in the store.
type Validator interface {
	ValidateBlock(ctx context.Context, b *types.FullBlock) error
	// Precheck makes ValidateBlock faster for the blocks of a chain, given oldest first, that builds on a stored tipset, of
	// which it must be Ahead epochs at most. An error says that it will not be faster.
	Precheck(ctx context.Context, stored *types.TipSet, chain []*types.TipSet) error
	// PrecheckMessages does so for the messages of a block that Precheck found good.
	PrecheckMessages(ctx context.Context, block *types.FullBlock) error
	Ahead() abi.ChainEpoch
}

// Fetcher asks peers for tipsets, newest first.
type Fetcher interface {
	Chain(ctx context.Context, head types.TipSetKey, length, options uint64, prefer ...peer.ID) ([]*exchange.TipSet, error)
}

// Errors of a synchronisation.
var (
	// ErrForkTooLong: the chain offered leaves ours below finality.
	ErrForkTooLong = errors.New("fork is deeper than finality")
	// ErrBad: the chain offered contains a block known to be bad.
	ErrBad = errors.New("block is known to be bad")
	// ErrFuture: a block claims a time that has not come.
	ErrFuture = errors.New("block is from the future")
)

const (
	badCacheSize = 32768
	headerBatch  = 500
	messageBatch = 32
	// maxHeaders bounds the headers of one catch-up held in memory.
	maxHeaders = 500_000
	// maxDrift is how many epochs a height may lie ahead of the clock.
	maxDrift = 5
	// fetchTries is how often peers are asked for the messages of a gossiped block.
	fetchTries = 4
	// maxTargets bounds the heads waiting to be fetched.
	maxTargets = 64
	// patience is how far in the future a block may lie for us to wait for its time.
	patience = 10 * time.Second
)

// Target is a head that a peer told of.
type Target struct {
	Key    types.TipSetKey
	Height abi.ChainEpoch
	From   peer.ID
}

// Config is what a Syncer works with.
type Config struct {
	Chain Chain
	// Weigh is the weight of a tipset of ours.
	Weigh func(ctx context.Context, ts *types.TipSet) (big.Int, error)
	// Checkpoint is the height that no switch may undo; 0 where the operator set none.
	Checkpoint func() abi.ChainEpoch
	Validator  Validator
	Fetch      Fetcher
	Network    params.Network
	Clock      clock.Clock
	// Genesis is the genesis timestamp in Unix seconds.
	Genesis uint64
}

// Syncer keeps our chain up with the network. Safe for concurrent use.
type Syncer struct {
	cfg   Config
	bad   *lru.Cache[cid.Cid, string]
	judge singleflight.Group

	mu sync.Mutex
	// queue holds targets to fetch, at most one per peer.
	queue map[peer.ID]Target
	wake  chan struct{}
	state State
	subs  map[chan *types.BlockHeader]struct{}
}

// State tells what the syncer does, for `sync status`.
type State struct {
	Stage  Stage
	Target Target
	// Head is the target's tipset once it is fetched, Base our head at the start.
	Head    *types.TipSet
	Base    *types.TipSet
	Height  abi.ChainEpoch
	Start   time.Time
	End     time.Time
	Message string
}

// Stage is a phase of catching up; the numbers are those of the API.
type Stage int

// The stages.
const (
	Idle Stage = iota
	FetchingHeaders
	FetchingMessages
	Complete
	Failed
)

// New makes a syncer; Run does its catching up.
func New(cfg Config) (*Syncer, error) {
	bad, err := lru.New[cid.Cid, string](badCacheSize)
	if err != nil {
		return nil, fmt.Errorf("bad block cache: %w", err)
	}
	return &Syncer{
		cfg: cfg, bad: bad, queue: map[peer.ID]Target{}, wake: make(chan struct{}, 1), subs: map[chan *types.BlockHeader]struct{}{},
	}, nil
}

// Run fetches targets until the context ends.
func (s *Syncer) Run(ctx context.Context) {
	for {
		t, ok := s.next()
		if !ok {
			select {
			case <-s.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		s.runOne(ctx, t)
	}
}

func (s *Syncer) runOne(ctx context.Context, t Target) {
	defer func() {
		if r := recover(); r != nil {
			log.Errorw("catching up panicked", "target", t.Key, "peer", t.From, "panic", r)
			s.finish(fmt.Errorf("internal error: %v", r))
		}
	}()
	has, err := s.cfg.Chain.Has(ctx, t.Key)
	if err == nil && has {
		return
	}
	s.setState(State{Stage: FetchingHeaders, Target: t, Base: s.cfg.Chain.Head(), Start: s.cfg.Clock.Now()})
	err = s.CatchUp(ctx, t)
	if errors.Is(err, ErrLighter) {
		log.Debugw("left a chain alone", "height", t.Height, "target", t.Key, "peer", t.From, "reason", err)
		err = nil
	}
	s.finish(err)
	if err != nil && ctx.Err() == nil {
		log.Warnw("could not catch up", "height", t.Height, "target", t.Key, "peer", t.From, "error", err)
	}
}

// next takes the highest target.
func (s *Syncer) next() (Target, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var best Target
	found := false
	for _, t := range s.queue {
		if !found || t.Height > best.Height {
			best, found = t, true
		}
	}
	delete(s.queue, best.From)
	return best, found
}

// Hear takes note of a head that a peer told of. Heights ahead of the clock
// are ignored.
func (s *Syncer) Hear(t Target) {
	if t.Height > s.expectedHeight()+maxDrift {
		log.Infow("peer tells of a height ahead of the clock", "peer", t.From, "height", t.Height, "expected", s.expectedHeight())
		return
	}
	s.mu.Lock()
	old, known := s.queue[t.From]
	if (known && old.Height >= t.Height) || (!known && len(s.queue) >= maxTargets) {
		s.mu.Unlock()
		return
	}
	s.queue[t.From] = t
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Syncer) expectedHeight() abi.ChainEpoch {
	passed := s.cfg.Clock.Now().Sub(time.Unix(int64(s.cfg.Genesis), 0))
	return abi.ChainEpoch(passed / s.cfg.Network.BlockDelay)
}

// HearBlock takes in a gossiped block. When its parents are known it is judged
// at once; otherwise its ancestors are fetched from the sender.
func (s *Syncer) HearBlock(ctx context.Context, from peer.ID, b *types.BlockMsg) error {
	h := b.Header
	if h.Height > s.expectedHeight()+maxDrift {
		return fmt.Errorf("block %s at height %d: %w", b.Cid(), h.Height, ErrFuture)
	}
	if reason, ok := s.Bad(b.Cid()); ok {
		return fmt.Errorf("block %s: %w: %s", b.Cid(), ErrBad, reason)
	}
	s.announce(h)
	parents, err := s.cfg.Chain.Has(ctx, types.NewTipSetKey(h.Parents...))
	if err != nil {
		return err
	}
	if !parents {
		s.Hear(Target{Key: types.NewTipSetKey(b.Cid()), Height: h.Height, From: from})
		return nil
	}
	full, err := s.cfg.Chain.AssembleBlock(ctx, b)
	if err != nil {
		// Its messages never reached us by gossip: ask the sender for the block.
		if full, err = s.fetchBlock(ctx, from, h); err != nil {
			return err
		}
	}
	return s.take(ctx, full)
}

// Submit takes in a block of our own miners: judged like any other, also when
// it is stored already. A crash may have come between storing it and choosing
// it as head, and nobody else would send it again.
func (s *Syncer) Submit(ctx context.Context, b *types.FullBlock) error {
	if reason, ok := s.Bad(b.Cid()); ok {
		return fmt.Errorf("block %s: %w: %s", b.Cid(), ErrBad, reason)
	}
	s.announce(b.Header)
	if err := s.waitForTime(ctx, b.Header); err != nil {
		return err
	}
	return s.judgeAndFollow(ctx, b)
}

// fetchBlock asks for the messages of a gossiped block. Whoever passed it on does so before judging it, and serves it only
// afterwards: so it is asked again.
func (s *Syncer) fetchBlock(ctx context.Context, from peer.ID, h *types.BlockHeader) (*types.FullBlock, error) {
	for try := 1; ; try++ {
		chain, err := s.cfg.Fetch.Chain(ctx, types.NewTipSetKey(h.Cid()), 1, exchange.Headers|exchange.Messages, from)
		if errors.Is(err, exchange.ErrNoPeer) && try < fetchTries {
			if err := s.cfg.Clock.Sleep(ctx, s.cfg.Network.BlockDelay/10); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("fetch messages of block %s: %w", h.Cid(), err)
		}
		full, err := chain[0].Messages.Expand(chain[0].Blocks)
		if err != nil {
			return nil, fmt.Errorf("fetch messages of block %s: %w", h.Cid(), err)
		}
		return full[0], nil
	}
}

// take judges a block whose parents are stored and accepts it. Concurrent
// calls for one block share one judgement.
func (s *Syncer) take(ctx context.Context, b *types.FullBlock) error {
	if has, err := s.cfg.Chain.Has(ctx, types.NewTipSetKey(b.Cid())); err != nil || has {
		return err
	}
	if err := s.waitForTime(ctx, b.Header); err != nil {
		return err
	}
	return s.judgeAndFollow(ctx, b)
}

func (s *Syncer) judgeAndFollow(ctx context.Context, b *types.FullBlock) error {
	ctx = context.WithoutCancel(ctx)
	if err := s.judgeOnce(ctx, b.Cid(), b); err != nil {
		return err
	}
	return s.follow(ctx, b.Header)
}

// follow considers a stored block as head.
func (s *Syncer) follow(ctx context.Context, h *types.BlockHeader) error {
	if _, _, err := s.cfg.Chain.Follow(ctx, h); err != nil {
		return fmt.Errorf("accept block %s: %w", h.Cid(), err)
	}
	return nil
}

// judgeOnce validates a block, with its CID, and stores it. It ends whoever stops waiting for it.
func (s *Syncer) judgeOnce(ctx context.Context, c cid.Cid, b *types.FullBlock) error {
	_, err, _ := s.judge.Do(c.KeyString(), func() (any, error) {
		return nil, s.validateAndKeep(context.WithoutCancel(ctx), c, b)
	})
	return err
}

func (s *Syncer) validateAndKeep(ctx context.Context, c cid.Cid, b *types.FullBlock) error {
	if err := s.cfg.Validator.ValidateBlock(ctx, b); err != nil {
		if reject, ok := consensus.IsReject(err); ok && reject.Condemns() {
			s.bad.Add(c, err.Error())
			log.Warnw("bad block", "block", c, "miner", b.Header.Miner, "height", b.Header.Height, "reason", err)
		}
		return fmt.Errorf("block %s of %s at height %d: %w", c, b.Header.Miner, b.Header.Height, err)
	}
	if err := s.cfg.Chain.KeepFull(ctx, b); err != nil {
		return fmt.Errorf("accept block %s: %w", c, err)
	}
	return nil
}

// waitForTime holds a block back until its timestamp has come; one far in the
// future is refused for now.
func (s *Syncer) waitForTime(ctx context.Context, h *types.BlockHeader) error {
	early := time.Unix(int64(h.Timestamp), 0).Sub(s.cfg.Clock.Now().Add(params.AllowableClockDrift))
	if early <= 0 {
		return nil
	}
	if early > patience {
		return fmt.Errorf("block %s is %s early: %w", h.Cid(), early.Round(time.Second), ErrFuture)
	}
	return s.cfg.Clock.Sleep(ctx, early)
}

// keepTipSet judges the blocks of a tipset in parallel and stores them; its parents are stored. The head stays.
func (s *Syncer) keepTipSet(ctx context.Context, blocks []*types.FullBlock) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, b := range blocks {
		g.Go(func() (err error) {
			defer func() {
				if r := recover(); r != nil {
					err = fmt.Errorf("validation of block %s panicked: %v", b.Cid(), r)
				}
			}()
			c := b.Cid()
			if has, err := s.cfg.Chain.Has(ctx, types.NewTipSetKey(c)); err != nil || has {
				return err
			}
			if err := s.waitForTime(ctx, b.Header); err != nil {
				return err
			}
			return s.judgeOnce(ctx, c, b)
		})
	}
	return g.Wait()
}

package chainsync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/p2p/exchange"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// model is a chain in memory that plays store, peer and judge.
type model struct {
	mu      sync.Mutex
	byBlock map[cid.Cid]*types.BlockHeader
	head    *types.TipSet
	order   []abi.ChainEpoch
	// heads counts the heads that were considered.
	heads int
	// pin is the operator's checkpoint.
	pin abi.ChainEpoch
	// forgetful: it has no message of a block.
	forgetful bool
	// moving is asked before the head moves; nil lets it.
	moving func(to abi.ChainEpoch) error
}

func newModel(genesis *types.TipSet) *model {
	m := &model{byBlock: map[cid.Cid]*types.BlockHeader{}, head: genesis}
	m.add(genesis)
	return m
}

func (m *model) add(tss ...*types.TipSet) {
	for _, ts := range tss {
		for _, b := range ts.Blocks() {
			m.byBlock[b.Cid()] = b
		}
	}
}

func (m *model) TipSet(_ context.Context, k types.TipSetKey) (*types.TipSet, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var hs []*types.BlockHeader
	for _, c := range k.Cids() {
		h, ok := m.byBlock[c]
		if !ok {
			return nil, errors.New("absent")
		}
		hs = append(hs, h)
	}
	return types.NewTipSet(hs)
}

func (m *model) Has(ctx context.Context, k types.TipSetKey) (bool, error) {
	_, err := m.TipSet(ctx, k)
	return err == nil, nil
}

func (m *model) Head() *types.TipSet {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.head
}

func (m *model) AssembleBlock(_ context.Context, b *types.BlockMsg) (*types.FullBlock, error) {
	if m.forgetful {
		return nil, errors.New("a message is missing")
	}
	return &types.FullBlock{Header: b.Header}, nil
}

func (m *model) KeepFull(_ context.Context, b *types.FullBlock) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byBlock[b.Cid()] = b.Header
	m.order = append(m.order, b.Header.Height)
	return nil
}

func (m *model) Follow(_ context.Context, h *types.BlockHeader) (*types.TipSet, bool, error) {
	if m.moving != nil {
		if err := m.moving(h.Height); err != nil {
			return nil, false, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heads++
	ts, err := types.NewTipSet([]*types.BlockHeader{h})
	if err == nil && h.Height > m.head.Height() {
		m.head = ts
	}
	return ts, true, err
}

// Chain lets the model serve as a peer.
func (m *model) Chain(ctx context.Context, head types.TipSetKey, length, _ uint64, _ ...peer.ID) ([]*exchange.TipSet, error) {
	var out []*exchange.TipSet
	for k := head; uint64(len(out)) < min(length, 7); {
		ts, err := m.TipSet(ctx, k)
		if err != nil {
			break
		}
		full := make([]*types.FullBlock, len(ts.Blocks()))
		for i, h := range ts.Blocks() {
			full[i] = &types.FullBlock{Header: h}
		}
		out = append(out, &exchange.TipSet{Blocks: ts.Blocks(), Messages: exchange.Compact(full)})
		if ts.Height() == 0 {
			break
		}
		k = ts.Parents()
	}
	if len(out) == 0 {
		return nil, exchange.ErrNoPeer
	}
	return out, nil
}

type fetcher func(ctx context.Context, head types.TipSetKey, length, options uint64) ([]*exchange.TipSet, error)

func (f fetcher) Chain(ctx context.Context, head types.TipSetKey, length, options uint64, _ ...peer.ID) ([]*exchange.TipSet, error) {
	return f(ctx, head, length, options)
}

type judge func(*types.FullBlock) error

func (j judge) ValidateBlock(_ context.Context, b *types.FullBlock) error { return j(b) }

func (judge) Precheck(context.Context, *types.TipSet, []*types.TipSet) error {
	return errors.New("the model's blocks have nothing to precheck")
}

func (judge) PrecheckMessages(context.Context, *types.FullBlock) error {
	return errors.New("the model's blocks have no messages")
}

func (judge) Ahead() abi.ChainEpoch { return 10 }

// foresight remembers what was prechecked.
type foresight struct {
	judge
	ours *model
	mu   sync.Mutex
	seen map[cid.Cid]bool
	// messages are the blocks whose messages were.
	messages map[cid.Cid]bool
	errs     []error
}

func (f *foresight) Precheck(ctx context.Context, stored *types.TipSet, chain []*types.TipSet) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if has, err := f.ours.Has(ctx, stored.Key()); err != nil || !has {
		f.errs = append(f.errs, fmt.Errorf("%d is not judged yet: %w", stored.Height(), err))
	}
	for _, ts := range chain {
		if ts.Parents() != stored.Key() {
			f.errs = append(f.errs, fmt.Errorf("%d does not build on %d", ts.Height(), stored.Height()))
		}
		for _, c := range ts.Cids() {
			f.seen[c] = true
		}
		stored = ts
	}
	return nil
}

func (f *foresight) PrecheckMessages(_ context.Context, b *types.FullBlock) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.seen[b.Cid()] {
		f.errs = append(f.errs, fmt.Errorf("messages at %d are prechecked before their header", b.Header.Height))
	}
	f.messages[b.Cid()] = true
	return nil
}

// TestCatchUpChecksAhead: every block was prechecked with its messages when its turn comes, from a tipset that was judged.
func TestCatchUpChecksAhead(t *testing.T) {
	for _, length := range []int{1, 4, 5, 6, 10, 11, 43, 97} {
		s, ours, theirs, genesis, _ := setup(t, fine)
		f := &foresight{ours: ours, seen: map[cid.Cid]bool{}, messages: map[cid.Cid]bool{}}
		f.judge = func(b *types.FullBlock) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if !f.seen[b.Cid()] || !f.messages[b.Cid()] {
				f.errs = append(f.errs, fmt.Errorf("block at %d was not prechecked", b.Header.Height))
			}
			return nil
		}
		s.cfg.Validator = f
		chain := grow(t, genesis, length, "a")
		theirs.add(chain...)
		tip := chain[length-1]
		require.NoError(t, s.CatchUp(t.Context(), Target{Key: tip.Key(), Height: tip.Height()}))
		require.Equal(t, tip.Key(), ours.Head().Key())
		require.Empty(t, f.errs)
	}
}

func tipset(t *testing.T, parent *types.TipSet, height abi.ChainEpoch, salt string) *types.TipSet {
	t.Helper()
	miner, err := address.NewIDAddress(1000)
	require.NoError(t, err)
	c, err := types.CidPrefix.Sum([]byte("root"))
	require.NoError(t, err)
	h := &types.BlockHeader{
		Miner: miner, Ticket: &types.Ticket{VRFProof: fmt.Appendf(nil, "%s %d", salt, height)}, ParentWeight: big.NewInt(10 * int64(height)), Height: height,
		ParentStateRoot: c, ParentMessageReceipts: c, Messages: c, ParentBaseFee: big.NewInt(100), Timestamp: uint64(height), Parents: []cid.Cid{c},
	}
	if parent != nil {
		h.Parents = parent.Cids()
	}
	ts, err := types.NewTipSet([]*types.BlockHeader{h})
	require.NoError(t, err)
	return ts
}

func grow(t *testing.T, from *types.TipSet, n int, salt string) []*types.TipSet {
	t.Helper()
	var out []*types.TipSet
	for range n {
		from = tipset(t, from, from.Height()+1, salt)
		out = append(out, from)
	}
	return out
}

func setup(t *testing.T, judgement judge) (*Syncer, *model, *model, *types.TipSet, *clock.Sim) {
	t.Helper()
	net, err := params.ByName("local")
	require.NoError(t, err)
	genesis := tipset(t, nil, 0, "genesis")
	ours, theirs := newModel(genesis), newModel(genesis)
	sim := clock.NewSim(time.Unix(1000, 0))
	s, err := New(Config{Chain: ours, Weigh: weigh, Checkpoint: func() abi.ChainEpoch { return ours.pin }, Validator: judgement, Fetch: theirs, Network: net, Clock: sim})
	require.NoError(t, err)
	return s, ours, theirs, genesis, sim
}

// weigh is what the model's tipsets weigh: ten times their height.
func weigh(_ context.Context, ts *types.TipSet) (big.Int, error) {
	return big.Add(ts.ParentWeight(), big.NewInt(10)), nil
}

func fine(*types.FullBlock) error { return nil }

func TestCatchUpInOrder(t *testing.T) {
	s, ours, theirs, genesis, _ := setup(t, fine)
	chain := grow(t, genesis, 50, "a")
	theirs.add(chain...)
	tip := chain[49]
	require.NoError(t, s.CatchUp(context.Background(), Target{Key: tip.Key(), Height: 50}))
	require.Equal(t, tip.Key(), ours.Head().Key())
	for i, h := range ours.order {
		require.EqualValues(t, i+1, h, "judged oldest first")
	}
}

// The head follows a catch-up in strides, or every second where tipsets take long, and stands on all that was judged at
// the end, also where the end is a failure.
func TestTheHeadTrailsACatchUp(t *testing.T) {
	const length = 200
	for _, c := range []struct {
		name    string
		takes   time.Duration
		bad     abi.ChainEpoch
		heads   int
		reaches abi.ChainEpoch
	}{
		{"fast", 0, 0, 4, length},
		{"slow", 2 * time.Second, 0, length, length},
		{"broken", 0, 70, 2, 69},
		{"broken at once", 0, 1, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tick func()
			s, ours, theirs, genesis, sim := setup(t, func(b *types.FullBlock) error {
				tick()
				if b.Header.Height == c.bad {
					return errors.New("cannot be judged")
				}
				return nil
			})
			tick = func() { sim.Advance(c.takes) }
			chain := grow(t, genesis, length, "a")
			theirs.add(chain...)
			err := s.CatchUp(t.Context(), Target{Key: chain[length-1].Key(), Height: length})
			require.Equal(t, c.bad > 0, err != nil, "%v", err)
			require.Equal(t, c.heads, ours.heads)
			require.Equal(t, c.reaches, ours.Head().Height())
		})
	}
}

// While the head moves, which waits for the disk, judgement goes on, but not further than one more stride; a move that fails ends the
// catch-up.
func TestTheHeadMovesBesideJudgement(t *testing.T) {
	const length = 300
	for _, fails := range []error{nil, errors.New("disk full")} {
		judged := make(chan abi.ChainEpoch, length)
		s, ours, theirs, genesis, _ := setup(t, func(b *types.FullBlock) error { judged <- b.Header.Height; return nil })
		last := abi.ChainEpoch(0)
		ours.moving = func(to abi.ChainEpoch) error {
			if fails != nil {
				return fails
			}
			for next := min(to+trailTipSets, length); last < next; {
				last = <-judged
			}
			return nil
		}
		chain := grow(t, genesis, length, "a")
		theirs.add(chain...)
		err := s.CatchUp(t.Context(), Target{Key: chain[length-1].Key(), Height: length})
		if fails != nil {
			require.ErrorIs(t, err, fails)
			require.LessOrEqual(t, len(judged), 2*trailTipSets)
			continue
		}
		require.NoError(t, err)
		require.EqualValues(t, length, ours.Head().Height())
		require.Equal(t, (length+trailTipSets-1)/trailTipSets, ours.heads)
	}
}

func TestBadBlockCondemnsItsDescendantsOnly(t *testing.T) {
	s, ours, theirs, genesis, _ := setup(t, func(b *types.FullBlock) error {
		if b.Header.Height == 20 {
			return &consensus.Reject{Rule: "test", Reason: "height 20"}
		}
		return nil
	})
	chain := grow(t, genesis, 30, "a")
	theirs.add(chain...)
	err := s.CatchUp(context.Background(), Target{Key: chain[29].Key()})
	var reject *consensus.Reject
	require.ErrorAs(t, err, &reject)
	require.EqualValues(t, 19, ours.Head().Height())
	_, bad := s.Bad(chain[19].Cids()[0])
	require.True(t, bad)
	_, bad = s.Bad(chain[20].Cids()[0])
	require.True(t, bad)
	_, bad = s.Bad(chain[18].Cids()[0])
	require.False(t, bad)
	require.ErrorIs(t, s.CatchUp(context.Background(), Target{Key: chain[29].Key()}), ErrBad)
}

func TestLocalFailureCondemnsNobody(t *testing.T) {
	full := true
	s, ours, theirs, genesis, _ := setup(t, func(*types.FullBlock) error {
		if full {
			return errors.New("no space left on device")
		}
		return nil
	})
	chain := grow(t, genesis, 3, "a")
	theirs.add(chain...)
	require.Error(t, s.CatchUp(context.Background(), Target{Key: chain[2].Key()}))
	require.Zero(t, s.bad.Len())
	full = false
	require.NoError(t, s.CatchUp(context.Background(), Target{Key: chain[2].Key()}))
	require.EqualValues(t, 3, ours.Head().Height())
}

func TestForkBelowFinalityIsRefused(t *testing.T) {
	s, ours, theirs, genesis, _ := setup(t, fine)
	mine := grow(t, genesis, 200, "mine")
	ours.add(mine...)
	ours.head = mine[199]
	near, far := grow(t, mine[150], 60, "near"), grow(t, mine[10], 250, "far")
	theirs.add(mine...)
	theirs.add(near...)
	theirs.add(far...)
	require.NoError(t, s.CatchUp(context.Background(), Target{Key: near[59].Key()}))
	err := s.CatchUp(context.Background(), Target{Key: far[249].Key()})
	require.ErrorIs(t, err, ErrForkTooLong)
	require.Zero(t, s.bad.Len())
}

// TestLighterChainsAreLeftAlone: a chain that claims less weight than ours is not judged, until it claims more.
func TestLighterChainsAreLeftAlone(t *testing.T) {
	judged := 0
	s, ours, theirs, genesis, _ := setup(t, func(*types.FullBlock) error { judged++; return nil })
	trunk := grow(t, genesis, 10, "trunk")
	mine := grow(t, trunk[9], 50, "mine")
	ours.add(trunk...)
	ours.add(mine...)
	ours.head = mine[49]
	fork := grow(t, trunk[9], 60, "fork")
	theirs.add(trunk...)
	theirs.add(fork...)
	err := s.CatchUp(context.Background(), Target{Key: fork[30].Key(), Height: 41})
	require.ErrorIs(t, err, ErrLighter)
	require.Zero(t, judged)
	require.Zero(t, s.bad.Len())
	require.NoError(t, s.CatchUp(context.Background(), Target{Key: fork[48].Key(), Height: 59}), "it may weigh as much: its own blocks count too")
	require.Equal(t, 49, judged)
	require.NoError(t, s.CatchUp(context.Background(), Target{Key: fork[59].Key(), Height: 70}))
	require.Equal(t, fork[59].Key(), ours.Head().Key())

	// The catch-up that nobody needs is no failure.
	s.runOne(context.Background(), Target{Key: grow(t, genesis, 5, "tiny")[4].Key(), Height: 5})
	require.Equal(t, Failed, s.State().Stage, "nobody has that one")
	tiny := grow(t, genesis, 5, "tiny")
	theirs.add(tiny...)
	s.runOne(context.Background(), Target{Key: tiny[4].Key(), Height: 5})
	require.Equal(t, Complete, s.State().Stage)
}

// TestDeepForksAreRefusedFromTheirHeaders: nobody makes us fetch a chain down to the genesis to see that it is too deep.
func TestDeepForksAreRefusedFromTheirHeaders(t *testing.T) {
	s, ours, theirs, genesis, _ := setup(t, fine)
	mine := grow(t, genesis, 400, "mine")
	ours.add(mine...)
	ours.head = mine[399]
	far := grow(t, genesis, 500, "far")
	theirs.add(far...)
	asked := 0
	s.cfg.Fetch = fetcher(func(ctx context.Context, head types.TipSetKey, length, options uint64) ([]*exchange.TipSet, error) {
		asked++
		return theirs.Chain(ctx, head, length, options)
	})
	require.ErrorIs(t, s.CatchUp(context.Background(), Target{Key: far[499].Key()}), ErrForkTooLong)
	require.Equal(t, (500-(400-120))/7+1, asked)
}

func TestForksBelowTheCheckpointAreRefused(t *testing.T) {
	judged := 0
	s, ours, theirs, genesis, _ := setup(t, func(*types.FullBlock) error { judged++; return nil })
	mine := grow(t, genesis, 60, "mine")
	ours.add(mine...)
	ours.head, ours.pin = mine[59], 40
	theirs.add(mine...)
	low, high := grow(t, mine[38], 40, "low"), grow(t, mine[39], 40, "high")
	theirs.add(low...)
	theirs.add(high...)
	require.ErrorIs(t, s.CatchUp(context.Background(), Target{Key: low[39].Key()}), chain.ErrCheckpoint)
	require.Zero(t, judged)
	require.Zero(t, s.bad.Len())
	require.NoError(t, s.CatchUp(context.Background(), Target{Key: high[39].Key()}))
}

// TestCatchUpGoesOnWhereItWasCut: what was judged before a failure is not fetched or judged again.
func TestCatchUpGoesOnWhereItWasCut(t *testing.T) {
	judged, room := 0, 70
	s, ours, theirs, genesis, _ := setup(t, func(*types.FullBlock) error {
		if judged == room {
			return errors.New("no room on the disk")
		}
		judged++
		return nil
	})
	chain := grow(t, genesis, 100, "a")
	theirs.add(chain...)
	target := Target{Key: chain[99].Key(), Height: 100}
	require.Error(t, s.CatchUp(context.Background(), target))
	require.EqualValues(t, 70, ours.Head().Height())
	room = -1
	require.NoError(t, s.CatchUp(context.Background(), target))
	require.Equal(t, 100, judged)
	require.Equal(t, chain[99].Key(), ours.Head().Key())
}

func TestHearBlock(t *testing.T) {
	s, ours, theirs, genesis, sim := setup(t, fine)
	chain := grow(t, genesis, 3, "a")
	theirs.add(chain...)
	msg := func(ts *types.TipSet) *types.BlockMsg { return &types.BlockMsg{Header: ts.Blocks()[0]} }
	heard, stop := s.Incoming()
	defer stop()
	require.NoError(t, s.HearBlock(context.Background(), "peer", msg(chain[0])))
	require.EqualValues(t, 1, (<-heard).Height)
	require.EqualValues(t, 1, ours.Head().Height())

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	require.NoError(t, s.HearBlock(ctx, "peer", msg(chain[2])), "unknown parents are fetched")
	require.Eventually(t, func() bool { return ours.Head().Height() == 3 }, 5*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return s.State().Stage == Complete }, 5*time.Second, time.Millisecond)
	cancel()
	<-done

	ahead := tipset(t, ours.Head(), 1100, "future")
	require.ErrorIs(t, s.HearBlock(context.Background(), "peer", msg(ahead)), ErrFuture)
	early := tipset(t, ours.Head(), 1004, "early")
	result := make(chan error)
	go func() { result <- s.HearBlock(context.Background(), "peer", msg(early)) }()
	require.NoError(t, sim.WaitFor(context.Background(), 1))
	require.EqualValues(t, 3, ours.Head().Height(), "a block waits for its time")
	sim.Advance(4 * time.Second)
	require.NoError(t, <-result)
	require.EqualValues(t, 1004, ours.Head().Height())
}

// TestMessagesAreAskedForAgain: a peer passes a block on before it has judged it, and serves it only then.
func TestMessagesAreAskedForAgain(t *testing.T) {
	s, ours, theirs, genesis, sim := setup(t, fine)
	b := grow(t, genesis, 1, "a")[0]
	ours.forgetful = true
	asked := 0
	s.cfg.Fetch = fetcher(func(ctx context.Context, head types.TipSetKey, length, options uint64) ([]*exchange.TipSet, error) {
		if asked++; asked == fetchTries {
			theirs.add(b)
		}
		return theirs.Chain(ctx, head, length, options)
	})
	done := make(chan error)
	hear := func() { done <- s.HearBlock(context.Background(), "peer", &types.BlockMsg{Header: b.Blocks()[0]}) }
	go hear()
	for range fetchTries - 1 {
		require.NoError(t, sim.WaitFor(context.Background(), 1))
		sim.Advance(s.cfg.Network.BlockDelay / 10)
	}
	require.NoError(t, <-done)
	require.Equal(t, fetchTries, asked)
	require.Equal(t, b.Key(), ours.Head().Key())
}

func TestMarkBad(t *testing.T) {
	s, _, _, genesis, _ := setup(t, fine)
	b := grow(t, genesis, 1, "a")[0]
	s.MarkBad(b.Cids()[0], "operator")
	require.ErrorIs(t, s.Submit(context.Background(), &types.FullBlock{Header: b.Blocks()[0]}), ErrBad)
	s.UnmarkBad(cid.Undef)
	require.NoError(t, s.Submit(context.Background(), &types.FullBlock{Header: b.Blocks()[0]}))
}

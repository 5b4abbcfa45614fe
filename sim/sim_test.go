package sim

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"sync/atomic"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params/policy"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

func TestMain(m *testing.M) {
	net, err := Network(Config{})
	if err == nil {
		err = policy.Apply(net)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestChainOf200Epochs(t *testing.T) {
	t.Parallel()
	r, err := Run(context.Background(), Config{Epochs: 200, Miners: 4, Seed: 1})
	require.NoError(t, err)
	require.Empty(t, r.Problems())
	require.EqualValues(t, 200, r.Epochs)
	require.EqualValues(t, 200, r.Tipsets+r.NullRounds)
	require.Equal(t, 1, r.Miners[1].PostsLanded, "the first deadline of f01001 falls into this span")
	require.Positive(t, r.Messages)
	t.Logf("%d blocks, %d messages, root %s", r.Blocks, r.Messages, r.FinalRoot)
}

func TestSameSeedSameChain(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	run := func(seed int64) *Report {
		r, err := Run(ctx, Config{Epochs: 25, Miners: 3, Seed: seed})
		require.NoError(t, err)
		return r
	}
	one, two, other := run(5), run(5), run(6)
	require.Equal(t, one.FinalRoot, two.FinalRoot)
	require.Equal(t, one.Head, two.Head)
	require.Equal(t, one.Genesis, two.Genesis)
	require.NotEqual(t, one.FinalRoot, other.FinalRoot)
}

// A miner that misses its window loses its power, may not mine any more, and is refused if it tries.
func TestMissedWindowProofEndsMining(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w, err := NewWorld(ctx, Config{Miners: 2, Seed: 3, Quiet: true})
	require.NoError(t, err)
	defer w.Exec.Close()
	lost := w.Miners[1]
	lost.idle = true
	for w.epoch < 190 {
		_, err := w.Step(ctx)
		require.NoError(t, err)
	}
	r, err := w.Report(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 2, r.Miners[1].Faulty)
	blocks := lost.stats.Blocks

	lost.reckless = true
	for {
		w.epoch++
		w.Clock.Advance(w.Net.BlockDelay)
		b, err := w.Mine(ctx, lost, w.Store.Head(), w.epoch)
		require.NoError(t, err)
		if b == nil {
			continue
		}
		err = w.Validator.ValidateBlock(ctx, b)
		reject, ok := consensus.IsReject(err)
		require.True(t, ok, "%v", err)
		require.Equal(t, consensus.RuleEligible, reject.Rule, "%v", reject)
		require.Empty(t, reject.Also)
		break
	}
	require.Equal(t, blocks, lost.stats.Blocks)
}

// What the chain wrote can be read back, found and followed from a reopened store.
func TestReopenSearchAndReplay(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	blocks, meta := ipld.NewMemory(), chain.NewMemoryMeta()
	w, err := NewWorld(ctx, Config{Miners: 2, Seed: 9, Blocks: blocks, Meta: meta, Quiet: true})
	require.NoError(t, err)
	defer w.Exec.Close()
	first, err := w.Send(w.Faucet, w.Miners[0].Key.Address, big.NewInt(7))
	require.NoError(t, err)
	second, err := w.Send(w.Miners[0].Key, w.Faucet.Address, big.NewInt(8))
	require.NoError(t, err)
	for range 12 {
		_, err := w.Step(ctx)
		require.NoError(t, err)
	}
	store, err := chain.Open(ctx, chain.Config{Network: w.Net, Blocks: blocks, Meta: meta})
	require.NoError(t, err)
	require.True(t, store.Head().Equals(w.Store.Head()))

	for _, m := range []*types.SignedMessage{first, second} {
		found, err := store.SearchMessage(ctx, store.Head(), m.Cid(), chain.NoLimit, true)
		require.NoError(t, err)
		require.NotNil(t, found)
		require.Zero(t, found.Receipt.ExitCode)
		require.True(t, found.Executed.IsChildOf(found.Included))
		none, err := store.SearchMessage(ctx, found.Included, m.Cid(), chain.NoLimit, true)
		require.NoError(t, err)
		require.Nil(t, none, "the tipset that carries a message has not executed it yet")
	}
	late, err := w.Send(w.Faucet, w.Miners[0].Key.Address, big.NewInt(9))
	require.NoError(t, err)
	_, err = store.SearchMessage(ctx, store.Head(), late.Cid(), chain.NoLimit, true)
	require.ErrorIs(t, err, chain.ErrMissingMessage)

	// A rival of the executed message with other gas counts as its replacement, one with another value does not.
	cheap := first.Message
	cheap.GasPremium = big.Zero()
	rich := first.Message
	rich.Value = big.NewInt(700)
	for _, c := range []struct {
		msg  types.Message
		hits bool
	}{{cheap, true}, {rich, false}} {
		sm, err := w.Faucet.SignMessage(c.msg)
		require.NoError(t, err)
		id, err := store.PutMessage(ctx, sm)
		require.NoError(t, err)
		found, err := store.SearchMessage(ctx, store.Head(), id, chain.NoLimit, true)
		require.NoError(t, err)
		require.Equal(t, c.hits, found != nil)
		found, err = store.SearchMessage(ctx, store.Head(), id, chain.NoLimit, false)
		require.NoError(t, err)
		require.Nil(t, found)
	}

	exec, err := chain.NewExecutor(chain.ExecutorConfig{Store: store, Rounds: w.Schedule, Verifier: Verifier{}})
	require.NoError(t, err)
	defer exec.Close()
	parent, err := store.Parent(ctx, store.Head())
	require.NoError(t, err)
	explicit, implicit := 0, 0
	res, err := exec.Replay(ctx, parent, func(_ types.ChainMsg, imp bool, _ *vm.Result) error {
		if imp {
			implicit++
		} else {
			explicit++
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, store.Head().ParentState(), res.State)
	require.GreaterOrEqual(t, implicit, len(parent.Blocks())+1)
	require.Zero(t, explicit)
}

// Money neither appears nor vanishes in any epoch, null rounds included; a long silence is bridged by one block.
func TestSupplyHoldsThroughNullRounds(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w, err := NewWorld(ctx, Config{Miners: 2, Seed: 21})
	require.NoError(t, err)
	defer w.Exec.Close()
	for i := range 16 {
		if i%5 == 4 {
			w.epoch += abi.ChainEpoch(i) // nobody mines for a while
		}
		blocks, err := w.Step(ctx)
		require.NoError(t, err)
		require.NoError(t, w.audit(ctx))
		for _, b := range blocks {
			n := len(b.Header.BeaconEntries)
			require.Equal(t, w.Schedule.MaxRoundForEpoch(b.Header.Height), b.Header.BeaconEntries[n-1].Round)
		}
	}
	w.epoch += 100
	for {
		blocks, err := w.Step(ctx)
		require.NoError(t, err)
		require.NoError(t, w.audit(ctx))
		if len(blocks) > 0 {
			require.Greater(t, len(blocks[0].Header.BeaconEntries), 100)
			break
		}
	}
	require.Empty(t, w.report.Failed)
}

// Siblings that arrive in any order end in the same head, and so do the tipsets of two rival forks.
func TestArrivalOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	cfg := Config{Miners: 4, Seed: 31, Quiet: true}
	var heads []types.TipSetKey
	for turn := range 6 {
		w, err := NewWorld(ctx, cfg)
		require.NoError(t, err)
		for w.Store.Head().Height() < 6 {
			w.epoch++
			w.Clock.Advance(w.Net.BlockDelay)
			base := w.Store.Head()
			var blocks []*types.FullBlock
			for _, m := range w.Miners {
				b, err := w.Mine(ctx, m, base, w.epoch)
				require.NoError(t, err)
				if b != nil {
					blocks = append(blocks, b)
				}
			}
			rand.New(rand.NewSource(int64(turn))).Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
			for _, b := range blocks {
				require.NoError(t, w.Validator.ValidateBlock(ctx, b))
				_, _, err := w.Store.Accept(ctx, b.Header)
				require.NoError(t, err)
			}
		}
		heads = append(heads, w.Store.Head().Key())
		w.Exec.Close()
	}
	for _, h := range heads {
		require.Equal(t, heads[0], h)
	}
}

func TestExecutorClosesOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w, err := NewWorld(ctx, Config{Miners: 1, Seed: 2, Quiet: true})
	require.NoError(t, err)
	for w.Store.Head().Height() == 0 {
		_, err := w.Step(ctx)
		require.NoError(t, err)
	}
	w.Exec.Close()
	w.Exec.Close()
	_, err = w.Exec.Execute(ctx, w.Store.Head())
	require.ErrorIs(t, err, chain.ErrClosed)
}

// However many ask at once, a tipset is executed once; and a recorded result spares the work after a restart.
func TestTipsetsAreExecutedOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	blocks := ipld.NewMemory()
	w, err := NewWorld(ctx, Config{Miners: 2, Seed: 8, Blocks: blocks, Meta: chain.NewMemoryMeta(), Quiet: true})
	require.NoError(t, err)
	defer w.Exec.Close()
	for w.Store.Head().Height() < 3 {
		_, err := w.Step(ctx)
		require.NoError(t, err)
	}
	meta := chain.NewMemoryMeta()
	store, err := chain.Open(ctx, chain.Config{Network: w.Net, Blocks: blocks, Meta: meta})
	require.ErrorIs(t, err, chain.ErrNoGenesis)
	require.NoError(t, store.SetGenesis(ctx, w.Store.Genesis().Blocks()[0]))
	var opened atomic.Int64
	open := func() *chain.Executor {
		e, err := chain.NewExecutor(chain.ExecutorConfig{
			Store: store, Rounds: w.Schedule, Verifier: Verifier{},
			Machine: func(ctx context.Context, cfg vm.Config) (chain.Machine, error) {
				opened.Add(1)
				return chain.VMachine(ctx, cfg)
			},
		})
		require.NoError(t, err)
		return e
	}
	exec := open()
	head := w.Store.Head()
	parent, err := w.Store.Parent(ctx, head)
	require.NoError(t, err)
	want, err := w.Exec.Execute(ctx, head)
	require.NoError(t, err)
	var group errgroup.Group
	for range 16 {
		group.Go(func() error {
			got, err := exec.Execute(ctx, head)
			if err == nil && got != want {
				err = fmt.Errorf("got %v, want %v", got, want)
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	exec.Close()
	require.EqualValues(t, head.Height()-parent.Height(), opened.Load(), "one machine for the tipset and one for each null round")

	again := open()
	defer again.Close()
	got, err := again.Execute(ctx, head)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.EqualValues(t, head.Height()-parent.Height(), opened.Load())
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = again.Execute(ended, head)
	require.NoError(t, err, "an answer in memory needs no context")
}

// forgetful is a blockstore that lost some blocks.
type forgetful struct {
	ipld.Blockstore
	lost map[cid.Cid]bool
}

func (f *forgetful) Has(ctx context.Context, c cid.Cid) (bool, error) {
	if f.lost[c] {
		return false, nil
	}
	return f.Blockstore.Has(ctx, c)
}

func (f *forgetful) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if f.lost[c] {
		return nil, ipld.ErrNotFound
	}
	return f.Blockstore.Get(ctx, c)
}

func (f *forgetful) Put(ctx context.Context, c cid.Cid, b []byte) error {
	delete(f.lost, c)
	return f.Blockstore.Put(ctx, c, b)
}

func (f *forgetful) PutMany(ctx context.Context, blks []blocks.Block) error {
	for _, b := range blks {
		delete(f.lost, b.Cid())
	}
	return f.Blockstore.PutMany(ctx, blks)
}

// States that a crash took are computed again, from the newest that is left.
func TestLostStatesAreRebuilt(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	store := &forgetful{Blockstore: ipld.NewMemory(), lost: map[cid.Cid]bool{}}
	meta := chain.NewMemoryMeta()
	w, err := NewWorld(ctx, Config{Miners: 2, Seed: 4, Blocks: store, Meta: meta})
	require.NoError(t, err)
	defer w.Exec.Close()
	for range 10 {
		_, err := w.Step(ctx)
		require.NoError(t, err)
	}
	head := w.Store.Head()
	want, err := w.Exec.Execute(ctx, head)
	require.NoError(t, err)
	for ts, i := head, 0; i < 3; i++ {
		res, err := w.Exec.Execute(ctx, ts)
		require.NoError(t, err)
		store.lost[res.State] = true
		ts, err = w.Store.Parent(ctx, ts)
		require.NoError(t, err)
	}
	again, err := chain.Open(ctx, chain.Config{Network: w.Net, Blocks: store, Meta: meta})
	require.NoError(t, err)
	exec, err := chain.NewExecutor(chain.ExecutorConfig{Store: again, Rounds: w.Schedule, Verifier: Verifier{}})
	require.NoError(t, err)
	defer exec.Close()
	got, err := exec.Execute(ctx, again.Head())
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Empty(t, store.lost)
}

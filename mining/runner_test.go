package mining

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	nodeapi "github.com/filecoin-venus/venus/api/node"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/golden"
	"github.com/filecoin-venus/venus/mining/record"
	"github.com/filecoin-venus/venus/types"
)

var first = idAddr(1000)

// A miner with nearly all power wins nearly every epoch and brings each block out at its own timestamp.
func TestEveryBlockAtItsTime(t *testing.T) {
	w := newTestWorld(t, 100)
	w.start(first)
	w.advance(100 * testDelay)
	heights := w.ownHeights(first)
	require.Greater(t, len(heights), 95, "five wins an epoch on average: e^-5 of the rounds are lost")
	for ts := w.chain.head; ts.Height() > 0; ts = w.chain.tipsets[ts.Parents()] {
		b := ts.Blocks()[0]
		require.Equal(t, int64(b.Timestamp), w.chain.arrived[b.Cid()].Unix(), "block of %d", b.Height)
		require.Equal(t, genesisTime.Add(testDelay*time.Duration(b.Height)).Unix(), int64(b.Timestamp))
	}
	require.Equal(t, len(heights), w.wallet.onlyOnce(t))
	require.Empty(t, w.states[first].show(first, true).Err)
	landed := 0
	blocks, err := w.db.Miner(first).Blocks(t.Context(), 1000)
	require.NoError(t, err)
	for _, b := range blocks {
		if b.State == record.Landed {
			landed++
		}
	}
	require.GreaterOrEqual(t, landed, len(heights)-settleDepth-1)
}

// The wins of miners of different power are what the election promises.
func TestWinsWithinThreeSigma(t *testing.T) {
	powers := []int64{1, 2, 4, 13}
	w := newTestWorld(t, powers...)
	const epochs = 400
	for i := range powers {
		w.start(idAddr(1000 + uint64(i)))
	}
	w.advance(epochs * testDelay)
	w.wallet.onlyOnce(t)
	for i, p := range powers {
		chance := 1 - math.Exp(-5*float64(p)/20)
		mean, sigma := epochs*chance, math.Sqrt(epochs*chance*(1-chance))
		got := float64(len(w.wallet.blocks[idAddr(1000+uint64(i)).String()]))
		require.InDelta(t, mean, got, 3*sigma+1, "miner with %d of 20", p)
	}
}

// What reaches the node, and when: wins, null rounds, a sibling that comes late, a proof that comes late.
func TestScript(t *testing.T) {
	w := newTestWorld(t, 5)
	w.chain.total = 60
	w.start(first)
	w.advance(40 * testDelay)
	// A stranger's block comes 7 s into the slot: the runner builds on it.
	base := w.chain.head
	w.chain.insert(w.chain.rival(base, 41, "stranger"))
	w.advance(60 * testDelay)
	golden.Equal(t, "testdata/script.txt", strings.Join(w.chain.sequence, "\n")+"\n")
}

// A heavier tipset of the same height replaces the base; neither the election nor the proof is made again.
func TestRebaseKeepsProof(t *testing.T) {
	w := newTestWorld(t, 100)
	w.start(first)
	w.advance(3*testDelay + 500*time.Millisecond)
	base := w.chain.head
	require.EqualValues(t, 3, base.Height())
	before := w.sealers[first].calls
	// After the block for 4 may have been made already (at 38 s at the latest), a sibling of the base arrives.
	w.advance(3*testDelay + 9*time.Second)
	w.chain.insert(w.chain.rival(w.chain.tipsets[base.Parents()], 3, "late sibling"))
	w.advance(4*testDelay + 100*time.Millisecond)
	require.EqualValues(t, 4, w.chain.head.Height())
	require.Len(t, w.chain.tipsets[w.chain.head.Parents()].Blocks(), 2, "the block builds on both")
	require.Equal(t, before+1, w.sealers[first].calls, "no further proof was asked for epoch 4; the new one is for epoch 5")
	require.Equal(t, 1, w.wallet.draws["2@4"], "one election proof for epoch 4")
	require.Equal(t, 2, w.wallet.draws["1@3"], "a ticket for each base")
	w.wallet.onlyOnce(t)
}

// A proof that comes after its time is used while it is of use, and dropped when it is not.
func TestLateProof(t *testing.T) {
	for _, overtaken := range []bool{false, true} {
		t.Run(fmt.Sprint("overtaken ", overtaken), func(t *testing.T) {
			w := newTestWorld(t, 100)
			release := make(chan struct{})
			started := make(chan struct{}, 10)
			w.sealers[first].gate = func(ctx context.Context, call int) error {
				started <- struct{}{}
				select {
				case <-release:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			r := w.runner(first)
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan struct{})
			go func() { defer close(ended); r.run(ctx) }()
			<-started
			w.clock.Advance(21 * time.Second)
			if overtaken {
				w.chain.insert(w.chain.rival(w.chain.head, 2, "faster"))
				<-started // the same round is over, the next one began
				close(release)
				w.chain.mu.Lock()
				require.NotContains(t, strings.Join(w.chain.sequence, "\n"), "submit t01000@1")
				w.chain.mu.Unlock()
			} else {
				close(release)
				require.Eventually(t, func() bool { h, _ := w.chain.ChainHead(ctx); return h.Height() >= 1 }, 5*time.Second, time.Millisecond)
			}
			cancel()
			<-ended
			w.wallet.onlyOnce(t)
		})
	}
}

// One broken miner of several: the others do not notice, and its state says why.
func TestBrokenMinersTouchNobody(t *testing.T) {
	w := newTestWorld(t, 30, 30, 30, 30)
	hung, erring, powerless, good := idAddr(1000), idAddr(1001), idAddr(1002), idAddr(1003)
	w.sealers[hung].gate = func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }
	w.sealers[erring].gate = func(context.Context, int) error { panic("broken sealer") }
	delete(w.chain.power, powerless)
	for _, a := range []uint64{1000, 1001, 1002, 1003} {
		if idAddr(a) != hung {
			w.start(idAddr(a))
		}
	}
	r := w.runner(hung)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); r.run(ctx) }()
	w.advance(60 * testDelay)
	cancel()
	<-ended
	require.Greater(t, len(w.ownHeights(good)), 30, "wins of 1-e^-1.25 of 60 epochs")
	require.Empty(t, w.ownHeights(hung))
	require.Empty(t, w.ownHeights(erring))
	st := w.states[erring].show(erring, true)
	require.True(t, strings.Contains(st.Err, "the answer cannot be read") || st.LastResult == "lost the election", "%+v", st)
	require.Contains(t, w.states[powerless].show(powerless, true).LastResult, "no power yet")
	require.Empty(t, w.states[powerless].show(powerless, true).Err, "nothing is broken")
	require.NotZero(t, w.states[powerless].show(powerless, true).LastEpoch)
}

func TestReasons(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(w *world)
		want  string
	}{
		"base info": {func(w *world) { w.chain.onBase = func(abi.ChainEpoch) error { return errors.New("state is missing") } }, "base info from the node: state is missing"},
		"wallet":    {func(w *world) { w.wallet.fail = func(walletapi.MsgType) error { return errors.New("wallet locked") } }, "election proof from the wallet: wallet locked"},
		"sealer": {func(w *world) {
			w.sealers[first].gate = func(context.Context, int) error { return errors.New("sector is gone") }
		}, "winning proof from the sealer: sector is gone"},
		"sealer panics": {func(w *world) { w.sealers[first].gate = func(context.Context, int) error { panic("x") } }, "the answer cannot be read"},
		"block":         {func(w *world) { w.chain.onCreate = func(abi.ChainEpoch) error { return errors.New("no base fee") } }, "block from the node: no base fee"},
		"slow clock":    {func(w *world) { w.chain.insert(w.chain.rival(w.chain.head, 5, "future")) }, "clock of this machine is slow"},
		"node catching up": {func(w *world) {
			w.clock.Advance(100 * testDelay)
			w.chain.syncing = &nodeapi.SyncState{ActiveSyncs: []nodeapi.ActiveSync{{Stage: nodeapi.StageMessages, Target: mustTipSet(w.chain.rival(w.chain.head, 90, "far"))}}}
		}, "the node is catching up: at 0 of 90"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTestWorld(t, 100)
			c.spoil(w)
			w.start(first)
			w.advance(w.clock.Now().Sub(genesisTime) + 2*testDelay)
			st := w.states[first].show(first, true)
			require.Contains(t, st.Err, c.want)
			require.Contains(t, st.Err, "epoch ")
			require.Empty(t, w.ownHeights(first))
		})
	}
}

// Without power or eligibility nothing is broken, and yet it is told.
func TestNotEligible(t *testing.T) {
	w := newTestWorld(t, 100)
	w.chain.ineligible[first] = true
	w.start(first)
	w.advance(3 * testDelay)
	st := w.states[first].show(first, true)
	require.Empty(t, st.Err)
	require.Contains(t, st.LastResult, "not eligible")
	require.Empty(t, w.ownHeights(first))
}

// Every trouble passes: the next rounds are won as if nothing had been, and the state is clean again.
func TestRecovers(t *testing.T) {
	boom := errors.New("boom")
	for name, spoil := range map[string]func(w *world, bad bool){
		"base info": func(w *world, bad bool) { w.chain.onBase = onlyIf(bad, boom) },
		"create":    func(w *world, bad bool) { w.chain.onCreate = onlyIf(bad, boom) },
		"wallet": func(w *world, bad bool) {
			w.wallet.fail = nil
			if bad {
				w.wallet.fail = func(walletapi.MsgType) error { return boom }
			}
		},
		"wallet refuses blocks": func(w *world, bad bool) {
			w.wallet.fail = nil
			if bad {
				w.wallet.fail = func(k walletapi.MsgType) error {
					if k == walletapi.TypeBlock {
						return boom
					}
					return nil
				}
			}
		},
		"node fails at blocks": func(w *world, bad bool) { w.chain.onSubmit = onlyIf(bad, api.Errorf(api.CodeInternal, "disk full")) },
		"node refuses blocks":  func(w *world, bad bool) { w.chain.onSubmit = onlyIf(bad, api.Errorf(api.CodeInvalid, "bad block")) },
		"node unreachable":     func(w *world, bad bool) { w.chain.onSubmit = onlyIf(bad, api.Errorf(api.CodeUnavailable, "away")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newTestWorld(t, 100)
			w.start(first)
			w.advance(5 * testDelay)
			was := len(w.ownHeights(first))
			require.Greater(t, was, 2)
			w.chain.mu.Lock()
			w.wallet.mu.Lock()
			spoil(w, true)
			w.wallet.mu.Unlock()
			w.chain.mu.Unlock()
			w.advance(10*testDelay + time.Second)
			require.LessOrEqual(t, len(w.ownHeights(first)), was+1, "what was asked for ahead of time still serves one round")
			require.NotEmpty(t, w.states[first].show(first, true).Err)
			w.chain.mu.Lock()
			w.wallet.mu.Lock()
			spoil(w, false)
			w.wallet.mu.Unlock()
			w.chain.mu.Unlock()
			w.advance(30 * testDelay)
			require.Greater(t, len(w.ownHeights(first)), was+10)
			require.Empty(t, w.states[first].show(first, true).Err)
			w.wallet.onlyOnce(t)
		})
	}
}

func onlyIf(bad bool, err error) func(abi.ChainEpoch) error {
	if !bad {
		return nil
	}
	return func(abi.ChainEpoch) error { return err }
}

// Without messages a block is still made.
func TestPoolFails(t *testing.T) {
	w := newTestWorld(t, 100)
	w.chain.onSelect = func() error { return errors.New("pool is broken") }
	w.start(first)
	w.advance(10 * testDelay)
	require.Greater(t, len(w.ownHeights(first)), 5)
}

// Killed between any two steps and started again on the same record: never two signatures at a height, and the chain goes on.
func TestCrashAtEveryStep(t *testing.T) {
	for _, point := range []string{"mining/propose", "mining/record", "mining/recorded", "mining/sign", "mining/submit", "mining/acked"} {
		t.Run(point, func(t *testing.T) {
			w := newTestWorld(t, 100)
			for crash := range 6 {
				w.start(first)
				from := time.Duration(crash*5) * testDelay
				w.advance(from + 3*testDelay)
				hit := make(chan struct{})
				disarm := fault.Arm(point, func() error {
					select {
					case <-hit:
					default:
						close(hit)
					}
					return fault.ErrInjected
				})
				w.advance(from + 5*testDelay)
				select {
				case <-hit:
				default:
					t.Fatal("the mark was not reached")
				}
				w.stop[first]()
				disarm()
			}
			w.start(first)
			w.advance(45 * testDelay)
			require.Greater(t, len(w.ownHeights(first)), 20)
			require.Greater(t, w.wallet.onlyOnce(t), 20)
		})
	}
}

// A node that lost its last blocks gets them again, bit for bit.
func TestNodeLostBlocks(t *testing.T) {
	w := newTestWorld(t, 100)
	w.start(first)
	w.advance(10*testDelay + time.Second)
	w.chain.mu.Lock()
	top := w.chain.head
	back := w.chain.tipsets[w.chain.tipsets[top.Parents()].Parents()]
	w.chain.adopt(back)
	w.chain.mu.Unlock()
	w.advance(20 * testDelay)
	require.Greater(t, w.chain.head.Height(), abi.ChainEpoch(15))
	require.Contains(t, w.ownHeights(first), top.Height())
	w.wallet.onlyOnce(t)
}

// A lost record, with own blocks on the chain, keeps the miner silent for a while instead of letting it sign twice.
func TestLostRecord(t *testing.T) {
	w := newTestWorld(t, 100)
	w.start(first)
	w.advance(10*testDelay + time.Second)
	w.stop[first]()
	height := w.chain.head.Height()
	w.dir, w.db = fastDir(t), nil
	w.start(first)
	w.advance(30 * testDelay)
	own := w.ownHeights(first)
	for _, h := range own {
		require.False(t, h > height && h <= height+floorMargin, "signed at %d, the head was at %d", h, height)
	}
	require.Greater(t, own[len(own)-1], abi.ChainEpoch(20))
	w.wallet.onlyOnce(t)
}

// A chain that stood still for long is caught up at four times its speed, each block with its own timestamp: fast enough to
// arrive, slow enough for window proofs to land on the way.
func TestCatchesUp(t *testing.T) {
	w := newTestWorld(t, 100)
	w.clock.Advance(200 * testDelay)
	w.start(first)
	w.advance(220 * testDelay)
	require.InDelta(t, catchUpSpeed*20, float64(w.chain.head.Height()), 3)
	w.advance(300 * testDelay)
	require.GreaterOrEqual(t, w.chain.head.Height(), abi.ChainEpoch(298))
	w.wallet.onlyOnce(t)
}

func TestSelectsDivide(t *testing.T) {
	s := newSelects()
	base := types.NewTipSetKey(someCid("a"))
	q, own := s.join(idAddr(1), base, 0.5)
	require.Equal(t, []float64{0.5}, q)
	require.Zero(t, own)
	q, own = s.join(idAddr(2), base, 0.7)
	require.Equal(t, []float64{0.5, 0.7}, q)
	require.Equal(t, 1, own)
	q, own = s.join(idAddr(1), base, 0.6)
	require.Equal(t, []float64{0.6, 0.7}, q, "asking again replaces the own part")
	require.Zero(t, own)
	for i := range 20 {
		s.join(idAddr(1), types.NewTipSetKey(someCid(fmt.Sprint(i))), 0.1)
	}
	require.Len(t, s.asked, remembersBases)
}

// Two programs that mine for one miner on one database: never two signatures at a height, and what one began the other may
// finish.
func TestTwoProgramsOneMiner(t *testing.T) {
	w := newTestWorld(t, 100)
	w.start(first)
	other := w.runner(first)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); other.run(ctx) }()
	w.stop[idAddr(2)] = func() {
		cancel()
		<-ended
		delete(w.stop, idAddr(2))
	}
	w.advance(60 * testDelay)
	w.stop[first]()
	w.advance(90 * testDelay)
	require.Greater(t, w.wallet.onlyOnce(t), 80)
	require.Greater(t, len(w.ownHeights(first)), 80)
}

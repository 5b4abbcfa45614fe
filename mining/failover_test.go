package mining

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	miningapi "github.com/filecoin-venus/venus/api/mining"
	nodeapi "github.com/filecoin-venus/venus/api/node"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

// relay is one of several nodes of a chain. It hears of heads after a while, and may be down, hang, or hear nothing.
type relay struct {
	*chain
	lag time.Duration

	mu        sync.Mutex
	mode      string // "", down, hangs, deaf
	seen      map[types.TipSetKey]bool
	head      *types.TipSet
	moved     chan struct{}
	submitted int
	heard     int
	beacons   map[abi.ChainEpoch]time.Time
}

func newRelay(c *chain, lag time.Duration) *relay {
	r := &relay{chain: c, lag: lag, seen: map[types.TipSetKey]bool{}, moved: make(chan struct{}), beacons: map[abi.ChainEpoch]time.Time{}}
	r.hear(0, c.head)
	sent := 0
	c.onHead = append(c.onHead, func(ts *types.TipSet) {
		sent++
		number := sent
		go func() {
			_ = c.clock.Sleep(context.Background(), lag)
			r.hear(number, ts)
		}()
	})
	return r
}

// hear takes a head unless it is out of order.
func (r *relay) hear(number int, ts *types.TipSet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mode != "" || number < r.heard {
		return
	}
	r.heard = number
	r.seen[ts.Key()], r.head = true, ts
	close(r.moved)
	r.moved = make(chan struct{})
}

func (r *relay) set(mode string) {
	r.mu.Lock()
	r.mode = mode
	r.mu.Unlock()
	if mode == "" {
		r.hear(r.heard, r.chain.head)
	}
	if mode == "down" { // connections break
		r.mu.Lock()
		close(r.moved)
		r.moved = make(chan struct{})
		r.mu.Unlock()
	}
}

// answers says whether a call is answered.
func (r *relay) answers(ctx context.Context) error {
	r.mu.Lock()
	mode := r.mode
	r.mu.Unlock()
	switch mode {
	case "down":
		return api.Errorf(api.CodeUnavailable, "connection refused")
	case "hangs":
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (r *relay) ChainNotify(ctx context.Context) (<-chan []*nodeapi.HeadChange, error) {
	if err := r.answers(ctx); err != nil {
		return nil, err
	}
	out := make(chan []*nodeapi.HeadChange)
	go func() {
		defer close(out)
		for {
			r.mu.Lock()
			head, moved, mode := r.head, r.moved, r.mode
			r.mu.Unlock()
			if mode == "down" {
				return
			}
			select {
			case out <- []*nodeapi.HeadChange{{Type: nodeapi.HeadApply, Val: head}}:
			case <-ctx.Done():
				return
			}
			select {
			case <-moved:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (r *relay) MinerGetBaseInfo(ctx context.Context, m address.Address, e abi.ChainEpoch, k types.TipSetKey) (*nodeapi.MiningBaseInfo, error) {
	if err := r.answers(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	seen := r.seen[k]
	r.mu.Unlock()
	if !seen {
		return nil, api.Errorf(api.CodeNotFound, "tipset not found")
	}
	return r.chain.MinerGetBaseInfo(ctx, m, e, k)
}

func (r *relay) MinerCreateBlock(ctx context.Context, t *nodeapi.BlockTemplate) (*types.BlockMsg, error) {
	if err := r.answers(ctx); err != nil {
		return nil, err
	}
	return r.chain.MinerCreateBlock(ctx, t)
}

func (r *relay) MpoolSelects(ctx context.Context, k types.TipSetKey, q []float64) ([][]*types.SignedMessage, error) {
	if err := r.answers(ctx); err != nil {
		return nil, err
	}
	return r.chain.MpoolSelects(ctx, k, q)
}

func (r *relay) SyncSubmitBlock(ctx context.Context, b *types.BlockMsg) error {
	if err := r.answers(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	r.submitted++
	r.mu.Unlock()
	return r.chain.SyncSubmitBlock(ctx, b)
}

func (r *relay) ChainGetTipSetByHeight(ctx context.Context, h abi.ChainEpoch, k types.TipSetKey) (*types.TipSet, error) {
	if err := r.answers(ctx); err != nil {
		return nil, err
	}
	return r.chain.ChainGetTipSetByHeight(ctx, h, k)
}

func (r *relay) BeaconGetEntry(ctx context.Context, e abi.ChainEpoch) (*types.BeaconEntry, error) {
	if err := r.answers(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	if r.beacons[e].IsZero() {
		r.beacons[e] = r.clock.Now()
	}
	r.mu.Unlock()
	return r.chain.BeaconGetEntry(ctx, e)
}

// stage is a chain with some nodes in a bubble, whose clock is the bubble's.
type stage struct {
	*world
	nodes []*relay
	named []NamedNode
	*Service
}

// inBubble runs a test with the bubble's time at the genesis.
func inBubble(t *testing.T, f func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		_ = clock.Real().Sleep(t.Context(), genesisTime.Sub(clock.Real().Now()))
		f(t)
	})
}

func newStage(t *testing.T, powers []int64, lags ...time.Duration) *stage {
	w := newTestWorld(t, powers...)
	w.chain.clock = clock.Real()
	s := &stage{world: w}
	for i, lag := range lags {
		r := newRelay(w.chain, lag)
		s.nodes = append(s.nodes, r)
		s.named = append(s.named, NamedNode{Name: fmt.Sprint("node", i), Node: r})
	}
	return s
}

// serve starts the service with all miners of the world.
func (s *stage) serve(connect func(miningapi.MinerSpec) (Services, error)) {
	s.t.Helper()
	s.db = openRecords(s.t, s.dir)
	if connect == nil {
		connect = func(m miningapi.MinerSpec) (Services, error) {
			return Services{Wallet: s.wallet, Sealer: s.sealers[m.Addr], Close: func() {}}, nil
		}
	}
	var err error
	s.Service, err = NewService(Parts{
		Nodes: s.named, Timing: Timing{BlockDelay: testDelay, Propagation: testDelay / 5}, Connect: connect, Clock: clock.Real(), Version: "test",
		MinersFile: s.dir + "/miners.json", Records: s.db, Network: "test",
	})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = s.Service.Close() })
}

// pass lets epochs go by.
func (s *stage) pass(epochs float64) {
	_ = clock.Real().Sleep(s.t.Context(), time.Duration(epochs*float64(testDelay)))
	synctest.Wait()
}

func (s *stage) used() string {
	states, err := s.NodeStates(s.t.Context())
	require.NoError(s.t, err)
	for _, n := range states {
		if n.Used {
			return n.Node
		}
	}
	return ""
}

// A node that is gone, hangs, or hears nothing more costs at most the round it happens in; when it is back it serves again.
func TestNodesTakeOver(t *testing.T) {
	for _, mode := range []string{"down", "hangs", "deaf"} {
		t.Run(mode, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := newStage(t, []int64{100}, 0, 300*time.Millisecond)
				s.serve(nil)
				require.NoError(t, s.AddAddress(t.Context(), miningapi.MinerSpec{Addr: first}))
				s.pass(20.5)
				require.Equal(t, "node0", s.used(), "it hears first")
				require.Greater(t, len(s.ownHeights(first)), 17)
				require.Greater(t, s.nodes[1].submitted, 17, "every node gets the blocks")
				s.nodes[0].set(mode)
				s.pass(20)
				require.Equal(t, "node1", s.used())
				own := len(s.ownHeights(first))
				require.Greater(t, own, 34)
				states, err := s.NodeStates(t.Context())
				require.NoError(t, err)
				if mode == "down" {
					require.Contains(t, states[0].Err, "connection refused")
				}
				require.Less(t, states[0].Head+15, states[1].Head)
				s.nodes[0].set("")
				s.nodes[1].set("down")
				s.pass(20)
				require.Equal(t, "node0", s.used())
				require.Greater(t, len(s.ownHeights(first)), own+16)
				for ts := s.chain.head; ts.Height() > 0; ts = s.chain.tipsets[ts.Parents()] {
					b := ts.Blocks()[0]
					late := s.chain.arrived[b.Cid()].Sub(time.Unix(int64(b.Timestamp), 0))
					require.LessOrEqual(t, late, testDelay/2, "block of %d", b.Height)
				}
				s.wallet.onlyOnce(t)
			})
		})
	}
}

// The base is the heaviest head of all nodes, and a node of another network is never listened to.
func TestHeaviestHeadCounts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newStage(t, []int64{100}, 0, 0, 0)
		s.named[2].Check = func(context.Context) error { return errors.New("another network") }
		h := newHeads(s.named, clock.Real())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); h.run(ctx) }()
		synctest.Wait()
		base := s.chain.head
		one := mustTipSet(s.chain.rival(base, 1, "a"))
		two := mustTipSet(s.chain.rival(base, 1, "b"), s.chain.rival(base, 1, "c"))
		far := mustTipSet(s.chain.rival(base, 50, "far"))
		for i, ts := range []*types.TipSet{one, two, far} {
			s.chain.mu.Lock()
			s.chain.tipsets[ts.Key()] = ts
			s.chain.mu.Unlock()
			s.nodes[i].hear(1, ts)
			synctest.Wait()
		}
		head, _, away := h.get()
		require.NoError(t, away)
		require.Equal(t, two.Key(), head.Key())
		require.Equal(t, s.named[1].Name, h.order()[0].Name)
		require.Contains(t, h.states()[2].Err, "another network")
		s.nodes[1].set("down")
		synctest.Wait()
		head, _, _ = h.get()
		require.Equal(t, one.Key(), head.Key(), "the node that is left decides")
		cancel()
		<-done
	})
}

// Each node is asked for the beacon entry of a round the moment it is published, before the head comes that it is drawn on.
func TestBeaconIsFetchedAhead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newStage(t, []int64{100}, time.Second, 2*time.Second)
		s.serve(nil)
		require.NoError(t, s.AddAddress(t.Context(), miningapi.MinerSpec{Addr: first}))
		s.pass(20.5)
		for _, n := range s.nodes {
			n.mu.Lock()
			for e := abi.ChainEpoch(3); e < 20; e++ {
				published := genesisTime.Add(time.Duration(e-1) * testDelay)
				require.Equal(t, published, n.beacons[e].Truncate(time.Millisecond), "entry of epoch %d", e)
			}
			n.mu.Unlock()
		}
	})
}

// refuses is a sealer that does as it is told.
type refuses struct {
	prover
	mu  sync.Mutex
	how string
}

func (r *refuses) become(how string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.how = how
}

func (r *refuses) ComputeProof(ctx context.Context, sectors []proof.ExtendedSectorInfo, x abi.PoStRandomness) ([]proof.PoStProof, error) {
	r.mu.Lock()
	how := r.how
	r.mu.Unlock()
	switch how {
	case "fails":
		return nil, errors.New("no such sector")
	case "hangs":
		<-ctx.Done()
		return nil, ctx.Err()
	case "panics":
		panic("x")
	case "empty":
		return nil, nil
	}
	return r.prover.ComputeProof(ctx, sectors, x)
}

func TestSealersTakeOver(t *testing.T) {
	for _, how := range []string{"fails", "hangs", "panics", "empty"} {
		inBubble(t, func(t *testing.T) {
			a, b := &refuses{how: how}, new(refuses)
			s := NewSealers(clock.Real(), 3*time.Second, NamedProver{"a", a}, NamedProver{"b", b})
			began := clock.Real().Now()
			proofs, err := s.ComputeProof(t.Context(), nil, make([]byte, 32))
			require.NoError(t, err)
			require.Len(t, proofs, 1)
			took := clock.Real().Now().Sub(began)
			if how == "hangs" {
				require.Equal(t, 3*time.Second, took, "the second is asked beside the first")
			} else {
				require.Zero(t, took, "the second is asked at once")
			}
			began = clock.Real().Now()
			_, err = s.ComputeProof(t.Context(), nil, make([]byte, 32))
			require.NoError(t, err)
			require.Zero(t, clock.Real().Now().Sub(began), "now it is the first choice")
			b.become("fails")
			_, err = s.ComputeProof(ctxFor(t, time.Minute), nil, make([]byte, 32))
			require.ErrorContains(t, err, "sealer b: no such sector")
			a.become("")
			a.actor, b.actor = first, idAddr(7)
			_, err = s.ComputeProof(t.Context(), nil, make([]byte, 32))
			require.NoError(t, err, "and back")
			_, err = s.ActorAddress(t.Context())
			require.ErrorContains(t, err, "sealer b serves")
		})
	}
}

func ctxFor(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A node that cannot make a block of its pool's messages still makes one without.
func TestBlockWithoutMessages(t *testing.T) {
	w := newTestWorld(t, 100)
	w.chain.pool = []*types.SignedMessage{{}}
	w.chain.onMessages = func(n int) error {
		if n > 0 {
			return errors.New("nonce gap")
		}
		return nil
	}
	w.start(first)
	w.advance(10 * testDelay)
	require.Greater(t, len(w.ownHeights(first)), 5)
	require.Empty(t, w.states[first].show(first, true).Err)
}

// A miner that lost for long still has a warm sealer.
func TestProofsStayWarm(t *testing.T) {
	w := newTestWorld(t, 1)
	w.chain.total = 1_000_000
	w.start(first)
	w.advance(warmFor + 20*testDelay)
	calls := func() int {
		w.sealers[first].mu.Lock()
		defer w.sealers[first].mu.Unlock()
		return w.sealers[first].calls
	}
	require.Eventually(t, func() bool { return calls() == 2 }, waitLong, waitShort, "one at the start and one when that was long ago")
}

// ailment is one way in which a miner can be broken.
type ailment struct {
	name  string
	spoil func(s *stage, m address.Address, v *Services) error
	says  string
}

type badWallet struct{ err error }

func (b badWallet) WalletSign(ctx context.Context, _ address.Address, _ []byte, _ walletapi.MsgMeta) (*crypto.Signature, error) {
	if b.err == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, b.err
}

func (b badWallet) WalletHas(context.Context, address.Address) (bool, error) { return true, nil }

// Fifty miners, one of each ailment among them: each tells what is wrong and when it tried last, and nobody else loses a
// round or a moment.
func TestFiftyMinersAreApart(t *testing.T) {
	ailments := []ailment{
		{"wallet locked", func(_ *stage, _ address.Address, v *Services) error {
			v.Wallet = badWallet{errors.New("wallet is locked")}
			return nil
		}, "wallet is locked"},
		{"wallet hangs", func(_ *stage, _ address.Address, v *Services) error { v.Wallet = badWallet{}; return nil }, "no answer before the head moved on: election proof from the wallet"},
		{"no power", func(s *stage, m address.Address, _ *Services) error {
			s.chain.power[m] = 0
			delete(s.chain.power, m)
			return nil
		}, "no power yet"},
		{"not eligible", func(s *stage, m address.Address, _ *Services) error { s.chain.ineligible[m] = true; return nil }, "not eligible"},
		{"sealer fails", func(_ *stage, _ address.Address, v *Services) error { v.Sealer = &refuses{how: "fails"}; return nil }, "no such sector"},
		{"sealer hangs", func(_ *stage, _ address.Address, v *Services) error { v.Sealer = &refuses{how: "hangs"}; return nil }, "none came within"},
		{"sealer panics", func(_ *stage, _ address.Address, v *Services) error { v.Sealer = &refuses{how: "panics"}; return nil }, "cannot be read"},
		{"no sealer", func(*stage, address.Address, *Services) error {
			return errors.New("endpoint of the sealer: no address")
		}, "no address"},
	}
	inBubble(t, func(t *testing.T) {
		powers := make([]int64, 50)
		for i := range powers {
			powers[i] = 1
		}
		s := newStage(t, powers, 0)
		file := &store{path: s.dir + "/miners.json"}
		for i := range powers {
			require.NoError(t, file.put(miningapi.MinerSpec{Addr: idAddr(1000 + uint64(i))}, false))
		}
		file.miners = append(file.miners, stored{Address: "no hex"})
		require.NoError(t, file.save(file.miners))
		s.serve(func(m miningapi.MinerSpec) (Services, error) {
			v := Services{Wallet: s.wallet, Sealer: s.sealers[m.Addr], Close: func() {}}
			n, err := address.IDFromAddress(m.Addr)
			require.NoError(t, err)
			if i := int(n) - 1000; i%6 == 5 && i/6 < len(ailments) {
				err = ailments[i/6].spoil(s, m.Addr, &v)
			}
			return v, err
		})
		const epochs = 150
		s.pass(epochs + 0.5)
		states, err := s.StatesForMining(t.Context(), nil)
		require.NoError(t, err)
		require.Len(t, states, 50, "the entry that cannot be read is left out and logged")
		healthy := 0
		for i, st := range states {
			if i%6 == 5 && i/6 < len(ailments) {
				a := ailments[i/6]
				require.Empty(t, s.ownHeights(st.Addr), a.name)
				require.Contains(t, st.Err+" "+st.LastResult, a.says, a.name)
				if a.name != "no sealer" {
					require.GreaterOrEqual(t, st.LastEpoch, abi.ChainEpoch(epochs-3), a.name)
				}
				continue
			}
			healthy++
			require.Empty(t, st.Err, st.Addr)
			require.GreaterOrEqual(t, st.LastEpoch, abi.ChainEpoch(epochs-3))
		}
		require.Equal(t, 42, healthy)
		// Every election that a healthy miner won has its block in the chain, at its time.
		wins := 0
		for i, st := range states {
			if i%6 == 5 && i/6 < len(ailments) {
				continue
			}
			list, err := s.WinList(t.Context(), st.Addr, 0, 1000)
			require.NoError(t, err)
			for _, w := range list {
				wins++
				if w.Epoch < epochs-10 {
					require.Equal(t, "landed", w.State, "%s at %d: %s", st.Addr, w.Epoch, w.Why)
				}
			}
		}
		require.InDelta(t, 42*epochs*0.0952, wins, 3*24)
		s.chain.mu.Lock()
		for c, at := range s.chain.arrived {
			_ = c
			require.Zero(t, at.Sub(genesisTime)%testDelay, "every block came at its own time")
		}
		s.chain.mu.Unlock()
		s.wallet.onlyOnce(t)
	})
}

// What became of wins is told: landed, orphaned and why, missed and why; and the sums fit.
func TestWinsAreTold(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newStage(t, []int64{100}, 0)
		s.serve(nil)
		require.NoError(t, s.AddAddress(t.Context(), miningapi.MinerSpec{Addr: first}))
		s.pass(10.5)
		s.sealers[first].mu.Lock()
		s.sealers[first].gate = func(context.Context, int) error { return errors.New("sector is gone") }
		s.sealers[first].mu.Unlock()
		s.pass(3)
		s.sealers[first].mu.Lock()
		s.sealers[first].gate = nil
		s.sealers[first].mu.Unlock()
		s.pass(3)
		// Strangers leave the last own block out.
		s.chain.mu.Lock()
		top := s.chain.head
		var own abi.ChainEpoch
		if top.Blocks()[0].Miner == first {
			own = top.Height()
			below := s.chain.tipsets[top.Parents()]
			others := mustTipSet(s.chain.rival(below, own, "x"), s.chain.rival(below, own, "y"))
			s.chain.adopt(others)
			s.chain.insertLocked(s.chain.rival(others, own+1, "z"))
		}
		s.chain.mu.Unlock()
		s.pass(15)
		list, err := s.WinList(t.Context(), address.Undef, 0, 100)
		require.NoError(t, err)
		count := map[string]int{}
		for _, w := range list {
			count[w.State]++
			switch w.State {
			case "missed":
				require.Regexp(t, "sector is gone|the head moved on|must not sign \\(skips-own\\)", w.Why)
			case "orphaned":
				require.Equal(t, own, w.Epoch)
				require.Contains(t, w.Why, "2 other blocks")
			}
		}
		require.Equal(t, 1, count["orphaned"], "%v", count)
		require.GreaterOrEqual(t, count["missed"], 1)
		require.GreaterOrEqual(t, count["landed"], 15)

		story, err := s.WinWhy(t.Context(), first, own)
		require.NoError(t, err)
		var text strings.Builder
		for _, m := range story.Story {
			fmt.Fprintf(&text, "%.0f %s\n", m.Seconds, m.What)
		}
		require.Regexp(t, `(?s)^-\d+ won the election \(\d+\) on \d+, of 1 blocks\n.*the winning proof is there\n.*made a block.*signed and submitted, 0s after its time\n$`, text.String())
		_, err = s.WinWhy(t.Context(), first, 9999)
		require.Equal(t, api.CodeNotFound, api.Explain(err).Code)

		s.pass(7) // what was held is counted every minute
		st, err := s.WinStats(t.Context(), nil, 0)
		require.NoError(t, err)
		require.Len(t, st, 1)
		require.GreaterOrEqual(t, st[0].Rounds, int64(25))
		require.InDelta(t, float64(st[0].Rounds)*0.99326, st[0].Expected, 0.01)
		require.InDelta(t, float64(st[0].Rounds)*5, st[0].ExpectedWinCount, 0.01)
		require.Contains(t, st[0].Verdict, "wins brought no block into the chain")
		require.LessOrEqual(t, st[0].Low, st[0].Won)
	})
}

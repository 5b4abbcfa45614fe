package machine

import (
	"fmt"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/types"
)

func TestLine(t *testing.T) {
	for _, c := range []struct {
		node   uint64
		signed []uint64
		holes  []uint64
		next   uint64
	}{
		{0, nil, nil, 0}, {7, nil, nil, 7}, {0, []uint64{0, 1, 2}, nil, 3}, {3, []uint64{4, 3}, nil, 5},
		{3, []uint64{5}, []uint64{3, 4}, 6}, {0, []uint64{1, 4}, []uint64{0, 2, 3}, 5}, {9, []uint64{3, 4}, nil, 9},
	} {
		holes, next := Line(c.node, c.signed)
		require.Equal(t, c.holes, holes, "%+v", c)
		require.Equal(t, c.next, next, "%+v", c)
	}
	rapid.Check(t, func(rt *rapid.T) {
		node := rapid.Uint64Range(0, 50).Draw(rt, "node")
		signed := rapid.SliceOfNDistinct(rapid.Uint64Range(0, 60), 0, 20, rapid.ID[uint64]).Draw(rt, "signed")
		holes, next := Line(node, signed)
		used := map[uint64]int{}
		for _, n := range append(append([]uint64{}, signed...), holes...) {
			used[n]++
		}
		for n := node; n < next; n++ {
			require.Equal(rt, 1, used[n], "every nonce from the node's on is signed or a hole")
		}
		require.Zero(rt, used[next], "the next one is free")
		require.GreaterOrEqual(rt, next, node)
	})
}

func TestShare(t *testing.T) {
	for _, c := range []struct {
		limit                     uint64
		underway, own, contenders int
		want                      int
	}{
		{0, 99, 9, 9, 1 << 20}, {6, 0, 0, 3, 2}, {6, 2, 2, 3, 0}, {6, 2, 2, 1, 4}, {6, 6, 0, 3, 0}, {6, 5, 0, 3, 1}, {2, 0, 0, 5, 1}, {2, 1, 1, 5, 0}, {10, 4, 9, 2, 0},
	} {
		require.Equal(t, c.want, Share(c.limit, c.underway, c.own, c.contenders), "%+v", c)
	}
}

func TestBudget(t *testing.T) {
	m := testMessage(t, "m")
	m.Msg.GasLimit, m.Msg.GasFeeCap = 100, big.NewInt(10)
	dearer := m.Msg
	dearer.GasFeeCap = big.NewInt(15) // 500 more
	b := Budget{PerDay: big.NewInt(900), Day: 1, Spent: big.NewInt(899)}
	now := time.Unix(2*86400, 0)
	require.NoError(t, b.Take(&m, &dearer, now), "a new day")
	require.Equal(t, Budget{PerDay: big.NewInt(900), Day: 2, Spent: big.NewInt(500)}, b)
	require.ErrorContains(t, b.Take(&m, &dearer, now), "only 0.0000000000000004 FIL is left")
	require.Equal(t, big.NewInt(500), b.Spent, "what is refused is not spent")
	m.Lane = LaneProof
	require.NoError(t, b.Take(&m, &dearer, now), "a window proof is never refused")
	require.Equal(t, big.NewInt(1000), b.Spent)
	m.Lane = LaneNormal
	none := Budget{}
	for range 10 {
		require.NoError(t, none.Take(&m, &dearer, now))
	}
}

func TestChooseNode(t *testing.T) {
	up := func(h abi.ChainEpoch) NodeView { return NodeView{Up: true, Height: h} }
	for i, c := range []struct {
		inUse int
		nodes []NodeView
		want  int
	}{
		{0, []NodeView{up(5)}, 0}, {0, []NodeView{{}}, 0}, {0, []NodeView{{}, up(1)}, 1}, {1, []NodeView{up(9), up(9 - MaxLag)}, 1},
		{1, []NodeView{up(10), up(9 - MaxLag)}, 0}, {0, []NodeView{{}, {}}, 0}, {2, []NodeView{up(9), up(9), {}}, 0}, {0, []NodeView{{}, up(3), up(4)}, 2},
		{1, []NodeView{{Height: 100}, up(3)}, 1},
	} {
		require.Equal(t, c.want, ChooseNode(c.inUse, c.nodes), "case %d", i)
	}
}

// TestFeePrecedence compares Resolve with the dumbest reading of the sentence that
// documents it.
func TestFeePrecedence(t *testing.T) {
	m := testMessage(t, "m")
	other, err := address.NewIDAddress(77)
	require.NoError(t, err)
	addrs := map[address.Address][]address.Address{}
	addrs[m.Msg.From] = []address.Address{address.Undef, m.Msg.From, other}
	addrs[m.Msg.To] = []address.Address{address.Undef, m.Msg.To, other}
	rapid.Check(t, func(rt *rapid.T) {
		limits := func(name string) Limits {
			if rapid.Bool().Draw(rt, name) {
				return Limits{MaxFee: big.Zero(), MaxFeeCap: big.Zero()}
			}
			return Limits{MaxFee: big.NewInt(rapid.Int64Range(1, 1e9).Draw(rt, name+" fee")), MaxFeeCap: big.Zero()}
		}
		msg := m
		msg.Limits = limits("message")
		own, shared := limits("own"), limits("shared")
		var rules []Rule
		want := map[int]Limits{4: own}
		for i := range rapid.IntRange(0, 6).Draw(rt, "rules") {
			r := Rule{
				Sender: rapid.SampledFrom(addrs[m.Msg.From]).Draw(rt, "sender"), Actor: rapid.SampledFrom(addrs[m.Msg.To]).Draw(rt, "actor"),
				Method: rapid.SampledFrom([]abi.MethodNum{AnyMethod, m.Msg.Method, 99}).Draw(rt, "method"), Limits: limits(fmt.Sprint("rule", i)),
			}
			if w := r.weight(); w != 0 && w != 4 {
				dup := false
				for _, have := range rules {
					dup = dup || have.Sender == r.Sender && have.Actor == r.Actor && have.Method == r.Method
				}
				if dup {
					continue
				}
				rules = append(rules, r)
				if r.Sender != other && r.Actor != other && r.Method != 99 {
					want[w] = r.Limits
				}
			}
		}
		expect := msg.Limits.MaxFee
		for _, w := range []int{7, 6, 5, 4, 3, 2, 1} {
			if l, ok := want[w]; ok && expect.Sign() == 0 {
				expect = l.MaxFee
			}
		}
		if expect.Sign() == 0 {
			expect = shared.MaxFee
		}
		f := Resolve(&msg, rules, own, shared)
		require.Equal(rt, expect.String(), f.MaxFee.String())
		require.Equal(rt, expect.Sign() > 0, f.MaxFeeFrom != "")
	})
}

func TestDecideTellsWhatBound(t *testing.T) {
	m := testMessage(t, "m")
	f := Resolve(&m, []Rule{{Method: 16, Limits: Limits{MaxFee: big.NewInt(1000)}}}, Limits{}, DefaultLimits())
	msg := types.Message{GasLimit: 100, GasFeeCap: big.NewInt(50), GasPremium: big.NewInt(20)}
	bound, account := f.Decide(&msg)
	require.Equal(t, "maxFee of the rule for method 16 (0.000000000000001 FIL)", bound)
	require.Equal(t, "gas limit 100, 1.25 times what a simulation used (shared); the market asks for a premium of 20 and a fee cap of 50; "+
		"the maxFee of the rule for method 16 (0.000000000000001 FIL) leaves a premium of 10 and a fee cap of 10", account)
	msg = types.Message{GasLimit: 100, GasFeeCap: big.NewInt(5), GasPremium: big.NewInt(2)}
	bound, account = f.Decide(&msg)
	require.Empty(t, bound)
	require.Contains(t, account, "within the maxFee of the rule for method 16")
}

func TestFillers(t *testing.T) {
	m := testMessage(t, "x")
	self := types.Message{From: m.Msg.From, To: m.Msg.From, Value: big.Zero()}
	f := NewFiller("gap-17-abc", "u", "w", self, t0)
	n, ok := f.Fills()
	require.True(t, ok)
	require.EqualValues(t, 17, n)
	for _, id := range []string{"gap-17", "gap--x", "gap-x-1", "17-x", "gap-99999999999999999999-x"} {
		bad := NewFiller(id, "u", "w", self, t0)
		_, ok := bad.Fills()
		require.False(t, ok, id)
	}
	users := New("gap-17-abc", "u", "w", self, Limits{}, t0)
	_, ok = users.Fills()
	require.False(t, ok, "a user's id means nothing")
}

func TestStatus(t *testing.T) {
	m := testMessage(t, "m")
	require.Equal(t, "queued", m.Status())
	m.State, m.Receipt = OnChain, &types.MessageReceipt{}
	require.Equal(t, "on chain, ok", m.Status())
	m.Receipt = &types.MessageReceipt{ExitCode: 16}
	require.Equal(t, "on chain, failed", m.Status())
	require.Equal(t, "landed", m.Fate(m.SignedCid))
	require.Equal(t, "replaced", m.Fate(m.UnsignedCid))
	m.State = Conflict
	require.Equal(t, "lost", m.Fate(m.SignedCid))
	m.State = Pending
	require.Equal(t, "waiting", m.Fate(m.SignedCid))
}

package messager

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

// losePool empties the node's pool, as a restart without a journal does.
func (n *modelNode) losePool() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pool = map[address.Address]map[uint64]*types.SignedMessage{}
}

func (n *modelNode) pending(a address.Address) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.pool[a])
}

func TestLostPoolIsRefilledAtOnce(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		r.push(fmt.Sprint("m", i), r.addr, 16)
	}
	require.NoError(t, r.drain(r.addr))
	r.node.losePool()
	ts := r.node.mine(r.node.Head(), 0, nil)
	r.followed(r.node.setHead(ts))
	require.NoError(t, r.drain(r.addr))
	require.Equal(t, 5, r.node.pending(r.addr), "within an epoch")
	r.step()
	r.step()
	for i := range 5 {
		require.Equal(t, machine.OnChain, r.get(fmt.Sprint("m", i)).State)
	}
}

// TestGapIsFilled: a message that somebody else sent was counted on and vanished.
func TestGapIsFilled(t *testing.T) {
	r := newRig(t)
	for n := range uint64(2) {
		_, err := r.node.MpoolPush(t.Context(), r.sign(r.addr, n))
		require.NoError(t, err)
	}
	r.push("m", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	require.EqualValues(t, 2, r.get("m").Msg.Nonce)
	r.node.losePool()
	epochs := 0
	for ; r.get("m").State != machine.OnChain; epochs++ {
		require.Less(t, epochs, 8)
		r.step()
		require.NoError(t, r.drain(r.addr))
	}
	fillers, err := r.db.List(t.Context(), store.Query{User: fillerUser, ByNonce: true})
	require.NoError(t, err)
	require.Len(t, fillers, 2, "no more than the gap needs")
	for i, f := range fillers {
		require.EqualValues(t, i, f.Msg.Nonce)
		require.Equal(t, machine.OnChain, f.State)
	}
	require.Contains(t, r.history("m"), "nonce 2")
	require.Contains(t, r.history(fillers[0].ID), "to fill nonce 0")
}

// TestGapThatClosesItself: the missing message was only late. A filler that has its
// nonce by then is in conflict, and nobody's message is harmed.
func TestGapThatClosesItself(t *testing.T) {
	r := newRig(t)
	late := r.sign(r.addr, 0)
	_, err := r.node.MpoolPush(t.Context(), late)
	require.NoError(t, err)
	r.push("m", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	r.node.losePool()
	for range gapPatience - 1 {
		r.step()
		require.NoError(t, r.drain(r.addr))
	}
	_, err = r.node.MpoolPush(t.Context(), late)
	require.NoError(t, err)
	for range 4 {
		r.step()
		require.NoError(t, r.drain(r.addr))
	}
	require.Equal(t, machine.OnChain, r.get("m").State)
	n, err := r.db.Count(t.Context(), store.Query{User: fillerUser})
	require.NoError(t, err)
	require.Zero(t, n, "patience")
}

func (r *rig) history(id string) string {
	notes, err := r.db.Notes(context.Background(), id)
	require.NoError(r.t, err)
	out := ""
	for _, n := range notes {
		out += n.Kind + ": " + n.Text + "\n"
	}
	return out
}

func TestForeignNonceIsNoted(t *testing.T) {
	r := newRig(t)
	r.push("a", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	_, err := r.node.MpoolPush(t.Context(), r.sign(r.addr, 1))
	require.NoError(t, err)
	r.push("b", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	require.EqualValues(t, 2, r.get("b").Msg.Nonce)
	a, err := NewAPI(r.Service, nil, "").GetAddress(t.Context(), r.addr)
	require.NoError(t, err)
	require.EqualValues(t, 1, a.ForeignNonce)
	require.False(t, a.ForeignAt.IsZero())
}

// TestGlobalLimitIsFair: with room for few messages of all senders together, each
// sender gets its share, and window proofs are beyond the limit.
func TestGlobalLimitIsFair(t *testing.T) {
	r := newRig(t)
	api := NewAPI(r.Service, nil, "")
	sp, err := api.GetSharedParams(t.Context())
	require.NoError(t, err)
	sp.GlobalMsgNum = 6
	_, err = api.SetSharedParams(t.Context(), sp)
	require.NoError(t, err)
	senders := []address.Address{r.addr, r.fund(r.wallet.newKey(t)), r.fund(r.wallet.newKey(t))}
	for i := range 20 {
		for k, a := range senders {
			r.push(fmt.Sprint(k, "-", i), a, 16)
		}
	}
	_, err = r.worker(senders[0]).round(t.Context())
	require.NoError(t, err)
	for _, a := range senders {
		require.NoError(t, r.drain(a))
	}
	for _, a := range senders {
		n, err := r.db.Count(t.Context(), store.Query{From: []address.Address{a}, States: []machine.State{machine.Pending}})
		require.NoError(t, err)
		require.NotZero(t, n, "nobody is left out")
	}
	n, err := r.db.Count(t.Context(), store.Query{States: []machine.State{machine.Signed, machine.Pending}})
	require.NoError(t, err)
	require.Equal(t, 6, n)
	proof := r.push("proof", senders[2], 5)
	require.NoError(t, r.drain(senders[2]))
	require.Equal(t, machine.Pending, r.get(proof).State)
	for range 60 {
		r.step()
		for _, a := range senders {
			require.NoError(t, r.drain(a))
		}
	}
	n, err = r.db.Count(t.Context(), store.Query{States: []machine.State{machine.OnChain}})
	require.NoError(t, err)
	require.Equal(t, 61, n)
}

func TestReplaceBudget(t *testing.T) {
	r := newRig(t)
	a := NewAPI(r.Service, nil, "")
	sp, err := a.GetSharedParams(t.Context())
	require.NoError(t, err)
	sp.ReplaceBudget = "1000"
	_, err = a.SetSharedParams(t.Context(), sp)
	require.NoError(t, err)
	id := r.push("", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	r.node.mu.Lock()
	r.node.baseFee = big.NewInt(1e9)
	r.node.mu.Unlock()
	for range 12 {
		r.step()
		require.NoError(t, r.drain(r.addr))
	}
	require.Equal(t, machine.FeeLimit, r.get(id).Reason)
	require.Contains(t, r.why(id), "budget for replacements")
	sp.ReplaceBudget = "100000000000000000"
	_, err = a.SetSharedParams(t.Context(), sp)
	require.NoError(t, err)
	for range 80 {
		r.step()
		require.NoError(t, r.drain(r.addr))
	}
	require.Equal(t, machine.OnChain, r.get(id).State)
	sender, err := r.db.Sender(t.Context(), r.addr)
	require.NoError(t, err)
	require.Positive(t, sender.ReplacedSum.Sign())
	e, err := a.ExplainMessage(t.Context(), id)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(e.Attempts), 2)
	require.Equal(t, "replaced", e.Attempts[0].Fate)
	require.Equal(t, "landed", e.Attempts[len(e.Attempts)-1].Fate)
	require.Equal(t, "on chain, ok", e.Status)
	m, err := a.GetMessageByUid(t.Context(), id)
	require.NoError(t, err)
	require.Positive(t, m.Spent.Sign())
	require.Contains(t, r.history(id), "cost ")
}

func TestSignedElsewhere(t *testing.T) {
	r := newRig(t)
	a := NewAPI(r.Service, nil, "")
	first := r.sign(r.addr, 0)
	id, err := a.PushSignedMessage(t.Context(), first)
	require.NoError(t, err)
	require.Equal(t, first.Cid().String(), id)
	again, err := a.PushSignedMessage(t.Context(), first)
	require.NoError(t, err)
	require.Equal(t, id, again)
	ours := r.push("ours", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	require.EqualValues(t, 1, r.get(ours).Msg.Nonce, "its nonce is reserved")

	other := r.sign(r.addr, 1)
	for name, c := range map[string]struct {
		sm   *types.SignedMessage
		code api.ErrorCode
	}{
		"nothing":     {nil, api.CodeInvalid},
		"taken nonce": {other, api.CodeConflict},
		"a gap":       {r.sign(r.addr, 7), api.CodePrecondition},
		"forged":      {&types.SignedMessage{Message: other.Message, Signature: first.Signature}, api.CodeInvalid},
	} {
		_, err := a.PushSignedMessage(t.Context(), c.sm)
		require.Equal(t, c.code, codeOf(err), name)
	}
	_, err = r.Replace(t.Context(), id, Price{Auto: true})
	require.Equal(t, api.CodePrecondition, codeOf(err), "nobody here can sign it again")
	r.step()
	r.step()
	require.Equal(t, machine.OnChain, r.get(id).State)
	require.Equal(t, machine.OnChain, r.get(ours).State)
	_, err = a.PushSignedMessage(t.Context(), r.sign(r.addr, 0))
	require.NoError(t, err, "the very message, though landed")
	stranger := newModelWallet(3)
	b := r.fund(stranger.newKey(t))
	m := types.Message{From: b, To: r.addr, Value: big.NewInt(1), GasLimit: 1e6, GasFeeCap: big.NewInt(1e6), GasPremium: big.NewInt(1e5)}
	sm := stranger.signMessage(t, m)
	id, err = a.PushSignedMessage(t.Context(), sm)
	require.NoError(t, err, "no wallet of ours holds the key")
	require.NoError(t, r.drain(b))
	r.step()
	r.step()
	require.Equal(t, machine.OnChain, r.get(id).State)
	require.NoError(t, a.ForbiddenAddress(t.Context(), b))
	m.Nonce = 1
	_, err = a.PushSignedMessage(t.Context(), stranger.signMessage(t, m))
	require.Equal(t, api.CodePrecondition, codeOf(err))
}

func TestFeeRules(t *testing.T) {
	r := newRig(t)
	a := NewAPI(r.Service, nil, "")
	five, to := abi.MethodNum(16), addressOf(t, 1234)
	require.Equal(t, api.CodeInvalid, codeOf(a.SetFeeRule(t.Context(), nil)))
	require.Equal(t, api.CodeInvalid, codeOf(a.SetFeeRule(t.Context(), &msgapi.FeeRule{MaxFee: "1"})))
	require.Equal(t, api.CodeInvalid, codeOf(a.SetFeeRule(t.Context(), &msgapi.FeeRule{Sender: &r.addr, MaxFee: "1"})))
	require.Equal(t, api.CodeInvalid, codeOf(a.SetFeeRule(t.Context(), &msgapi.FeeRule{Method: &five, MaxFee: "x"})))
	require.NoError(t, a.SetFeeRule(t.Context(), &msgapi.FeeRule{Method: &five, MaxFee: "50000000000"}))
	cheap := r.push("", r.addr, 16)
	dear := r.push("", r.addr, 17)
	require.NoError(t, r.drain(r.addr))
	require.Contains(t, r.history(cheap), "maxFee of the rule for method 16")
	require.Contains(t, r.history(dear), "within the maxFee of the shared")
	require.NoError(t, a.SetFeeRule(t.Context(), &msgapi.FeeRule{Actor: &to, Method: &five, MaxFee: "1"}))
	rules, err := a.ListFeeRules(t.Context())
	require.NoError(t, err)
	require.Len(t, rules, 2)
	third := r.push("", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	require.Equal(t, machine.FeeLimit, r.get(third).Reason)
	require.Contains(t, r.why(third), "rule for actor")
	require.NoError(t, a.DeleteFeeRule(t.Context(), &msgapi.FeeRule{Actor: &to, Method: &five}))
	require.Equal(t, api.CodeNotFound, codeOf(a.DeleteFeeRule(t.Context(), &msgapi.FeeRule{Actor: &to, Method: &five})))
	r.clk.Advance(time.Minute)
	r.step()
	require.NoError(t, r.drain(r.addr))
	require.Equal(t, machine.Pending, r.get(third).State)
}

func addressOf(t testing.TB, id uint64) address.Address {
	a, err := address.NewIDAddress(id)
	require.NoError(t, err)
	return a
}

// TestFailover: the messager works with one node, changes to another when that one is
// gone or far behind, and brings what the new one does not know.
func TestFailover(t *testing.T) {
	r := newRig(t)
	second := newModelNode(r.clk.Now)
	second.tipsets, second.msgs, second.balances = r.node.tipsets, r.node.msgs, r.node.balances // one chain
	second.head, second.genesis = r.node.head, r.node.genesis
	r.nodes.all = append(r.nodes.all, Endpoint{"second", second})
	inUse := func() string { return r.nodeName() }
	both := func() {
		r.step()
		second.setHead(r.node.Head())
		r.nodes.check(t.Context())
	}
	r.push("m", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	both()
	require.Equal(t, "model", inUse())
	// Behind by a little it stays, further it does not.
	for i := range machine.MaxLag + 1 {
		second.setHead(second.mine(second.Head(), 0, nil))
		r.nodes.check(t.Context())
		if i < machine.MaxLag {
			require.Equal(t, "model", inUse())
		}
	}
	require.Equal(t, "second", inUse())
	require.Len(t, r.role, 1, "the subscription starts over")
	r.nodeNow(second)
	for range 3 {
		require.NoError(t, r.drain(r.addr))
		ts := second.mine(second.Head(), 0, nil)
		r.followed(second.setHead(ts))
	}
	require.Equal(t, machine.OnChain, r.get("m").State, "the new node was given the message")
	// Gone: back to the first, which has caught up.
	r.node.setHead(second.Head())
	second.setFail("*", errAway)
	r.nodes.check(t.Context())
	require.Equal(t, "model", inUse())
	// All gone: nothing is gained by a change.
	r.node.setFail("*", errAway)
	r.nodes.check(t.Context())
	require.Equal(t, "model", inUse())
}

// nodeNow makes the rig follow another node.
func (r *rig) nodeNow(n *modelNode) {
	r.node = n
	r.sync()
}

// TestPublishing: what the node in use has taken also goes to the nodes that are only
// for publishing, into the pool of one and to the peers of another. One that fails
// delays nothing.
func TestPublishing(t *testing.T) {
	r := newRig(t)
	pools, peers, broken := newModelNode(r.clk.Now), newModelNode(r.clk.Now), newModelNode(r.clk.Now)
	broken.setFail("*", errAway)
	r.o.DialNode = func(url, _ string) (Publisher, func(), error) {
		return map[string]Publisher{"pool": pools, "peers": peers, "broken": broken}[url], func() {}, nil
	}
	a := NewAPI(r.Service, nil, "")
	for _, n := range []msgapi.NodeSpec{{Name: "a", URL: "pool"}, {Name: "b", URL: "peers", Gossip: true}, {Name: "c", URL: "broken"}} {
		require.NoError(t, a.SaveNode(t.Context(), n))
	}
	for range 3 {
		r.push("", r.addr, 16)
	}
	require.NoError(t, r.drain(r.addr))
	r.running.Wait()
	require.Len(t, r.node.pushed, 3)
	require.Len(t, pools.pushed, 3)
	require.Empty(t, pools.gossiped)
	require.Len(t, peers.gossiped, 3)
	require.Empty(t, peers.pushed)
	n, err := a.GetNode(t.Context(), "b")
	require.NoError(t, err)
	require.True(t, n.Gossip)
}

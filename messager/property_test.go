package messager

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

// world is a rig under random treatment, with what must hold afterwards.
type world struct {
	*rig
	rt      *rapid.T
	senders []address.Address
	ids     []string
	// lag holds head changes that the messager has not been told yet.
	lag [][]*node.HeadChange
	// broken: the last subscription could not be made, the next event tries again.
	broken bool
}

// tell delivers the oldest pending head change; when one was lost the messager
// subscribes anew, as it would.
func (w *world) tell() {
	if w.broken {
		w.resubscribe()
		return
	}
	if len(w.lag) == 0 {
		return
	}
	next := w.lag[0]
	w.lag = w.lag[1:]
	if w.process(context.Background(), next) != nil {
		w.resubscribe()
	}
}

func (w *world) resubscribe() {
	w.lag = nil
	w.broken = !w.sync()
}

func (w *world) moveHead(ts *types.TipSet) {
	w.lag = append(w.lag, w.node.setHead(ts))
}

// act is one random event of the world.
func (w *world) act() {
	sender := rapid.SampledFrom(w.senders).Draw(w.rt, "sender")
	switch rapid.SampledFrom([]string{
		"push", "push", "drain", "drain", "mine", "mine", "mine", "tell", "tell", "reorg", "reorg", "replace", "crash", "run", "nodeFails", "walletFails", "poolLost", "missed", "reconcile",
	}).Draw(w.rt, "act") {
	case "push":
		w.ids = append(w.ids, w.push(fmt.Sprint("m", len(w.ids)), sender, 16))
	case "drain":
		_ = w.drain(sender) // failing nodes are part of the play
	case "mine":
		w.clk.Advance(time.Second)
		take := rapid.IntRange(0, 3).Draw(w.rt, "take")
		w.moveHead(w.node.mine(w.node.Head(), 0, func(*types.SignedMessage) bool { take--; return take >= 0 }))
	case "tell":
		w.tell()
	case "reorg":
		base := w.node.Head()
		for i := rapid.SampledFrom([]int{1, 1, 1, 2, 2, 3, 4, 10, 100, 900}).Draw(w.rt, "depth"); i > 0 && base.Height() > 0; i-- {
			base = w.node.tipsets[base.Parents()]
		}
		for range rapid.IntRange(0, 4).Draw(w.rt, "new") {
			take := rapid.IntRange(0, 3).Draw(w.rt, "take")
			base = w.node.mine(base, 0, func(*types.SignedMessage) bool { take--; return take >= 0 })
		}
		w.moveHead(base)
	case "run":
		// A long stretch of chain, told at once or never.
		if rapid.IntRange(0, 3).Draw(w.rt, "rarely") > 0 {
			return
		}
		base := w.node.Head()
		for i := range rapid.SampledFrom([]int{20, 100, 900, 1000}).Draw(w.rt, "length") {
			take := 1
			base = w.node.mine(base, 0, func(*types.SignedMessage) bool { take--; return i%7 == 0 && take >= 0 })
		}
		w.moveHead(base)
	case "replace":
		if len(w.ids) > 0 {
			_, _ = w.Replace(context.Background(), rapid.SampledFrom(w.ids).Draw(w.rt, "id"), Price{Auto: true}) // refused for most
		}
	case "crash":
		w.restart()
		w.resubscribe()
	case "nodeFails":
		method := rapid.SampledFrom([]string{
			"MpoolPush", "MpoolBatchPush", "MpoolGetNonce", "ChainGetParentMessages", "ChainGetPath", "StateSearchMsg", "GasBatchEstimateMessageGas", "ChainGetTipSet",
		}).Draw(w.rt, "method")
		w.node.setFail(method, errAway)
		_ = w.drain(sender)
		w.tell()
		w.node.setFail(method, nil)
	case "walletFails":
		w.wallet.set(errAway)
		_ = w.drain(sender)
		w.wallet.set(nil)
		w.clk.Advance(20 * time.Second)
	case "poolLost":
		w.node.pool = map[address.Address]map[uint64]*types.SignedMessage{}
	case "missed":
		w.resubscribe()
	case "reconcile":
		_ = w.reconcileSender(context.Background(), sender)
	}
}

// settle lets everything work again and time pass, until all is decided.
func (w *world) settle() {
	w.resubscribe()
	for range 400 {
		w.clk.Advance(2 * time.Second)
		for _, a := range w.senders {
			require.NoError(w.rt, w.drain(a))
		}
		w.moveHead(w.node.mine(w.node.Head(), 0, nil))
		w.tell()
		n, err := w.db.Count(context.Background(), store.Query{States: []machine.State{machine.Queued, machine.Signed, machine.Pending}})
		require.NoError(w.rt, err)
		if n == 0 {
			return
		}
	}
	for _, id := range w.ids {
		if m := w.get(id); !m.State.Final() {
			w.rt.Fatalf("message %s did not settle: %s, nonce %d, %s", id, m.State, m.Msg.Nonce, w.why(id))
		}
	}
}

// check compares the messager with the chain.
func (w *world) check() {
	owner := map[string]string{}
	for _, id := range w.ids {
		m := w.get(id)
		require.Equal(w.rt, machine.OnChain, m.State, id)
		slot := fmt.Sprint(m.Msg.From, m.Msg.Nonce)
		require.Empty(w.rt, owner[slot], "nonce given out twice")
		owner[slot] = id
		landed, ts := w.node.search(w.node.head, m.Msg.From, m.Msg.Nonce)
		require.NotNil(w.rt, landed)
		require.Equal(w.rt, landed.Cid(), m.SignedCid, "the attempt that landed")
		require.Equal(w.rt, refOf(ts), m.Executed)
		require.Equal(w.rt, ts.Parents(), m.Included.Key)
		attempts, err := w.db.Attempts(context.Background(), id)
		require.NoError(w.rt, err)
		kept := map[string]bool{}
		for _, a := range attempts {
			kept[a.Cid().String()] = true
		}
		for _, p := range w.node.pushed {
			if p.Message.From == m.Msg.From && p.Message.Nonce == m.Msg.Nonce {
				require.True(w.rt, kept[p.Cid().String()], "whatever was pushed is in the history")
			}
		}
	}
}

// TestM5_ReorgProperty: under any order of pushes, blocks, reorgs up to finality,
// crashes, missed notifications and failures every message lands exactly once, and the messager's account of it is
// the chain's.
func TestM5_ReorgProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		defer func() { _ = r.db.Close() }() // many databases in one test
		w := &world{rig: r, rt: rt, senders: []address.Address{r.addr, r.fund(r.wallet.newKey(t))}}
		for range rapid.IntRange(5, 40).Draw(rt, "acts") {
			w.act()
		}
		w.settle()
		w.check()
	})
}

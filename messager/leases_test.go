package messager

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

// another is a second messager on the database of the first, with the same node.
func (r *rig) another(name string) *rig {
	o := &rig{t: r.t, node: r.node, wallet: r.wallet, clk: r.clk, at: r.at, addr: r.addr, name: name}
	o.restart()
	return o
}

// owner tells which of two messagers gives out the nonces of an address.
func owner(t *testing.T, a address.Address, rs ...*rig) *rig {
	var found *rig
	for _, r := range rs {
		if _, mine := r.fence(nonceLease(a)); mine {
			require.Nil(t, found, "two messagers hold the nonces of %s", a)
			found = r
		}
	}
	return found
}

// both lets two messagers do all they can, and the chain move on by one epoch.
func both(rs []*rig, senders []address.Address) {
	for _, r := range rs {
		r.tick()
	}
	for _, a := range senders {
		for _, r := range rs {
			if err := r.drain(a); err != nil {
				r.t.Logf("%s: %s", r.name, err)
			}
		}
	}
	rs[0].clk.Advance(time.Second)
	ts := rs[0].node.mine(rs[0].node.Head(), 0, nil)
	path := rs[0].node.setHead(ts)
	for _, r := range rs {
		r.followed(path)
	}
}

// distinct checks that no nonce was signed for two messages, and that nonces are
// without a gap.
func (r *rig) distinct(senders []address.Address) {
	for _, a := range senders {
		all, err := r.db.List(context.Background(), store.Query{From: []address.Address{a}, ByNonce: true, States: []machine.State{machine.Signed, machine.Pending, machine.OnChain}})
		require.NoError(r.t, err)
		for i := range all {
			require.EqualValues(r.t, i, all[i].Msg.Nonce)
		}
	}
}

func TestM12_TwoMessagersShareTheSenders(t *testing.T) { onEach(t, shareTheSenders) }

func shareTheSenders(t *testing.T, a *rig) {
	senders := []address.Address{a.addr}
	for range 9 {
		senders = append(senders, a.fund(a.wallet.newKey(t)))
	}
	require.NoError(t, a.wallets.refresh(t.Context(), a.wallets.get("w")))
	b := a.another("b")
	rs := []*rig{a, b}
	for round := range 6 {
		for i, s := range senders {
			rs[(round+i)%2].push(fmt.Sprint("m", round, "-", i), s, 16) // anybody takes messages
		}
		both(rs, senders)
	}
	count := map[*rig]int{}
	for _, s := range senders {
		o := owner(t, s, rs...)
		require.NotNil(t, o)
		count[o]++
	}
	require.NotZero(t, count[a], "the senders are shared")
	require.NotZero(t, count[b])
	require.NotEqual(t, a.decides(), b.decides(), "one decides fates")
	for range 3 {
		both(rs, senders)
	}
	for round := range 6 {
		for i := range senders {
			id := fmt.Sprint("m", round, "-", i)
			require.Equal(t, machine.OnChain, a.get(id).State)
			require.Equal(t, a.get(id), b.get(id), "any messager shows every message")
		}
	}
	a.distinct(senders)
}

func TestM12_OneDiesTheOtherTakesOver(t *testing.T) {
	for _, decider := range []bool{true, false} {
		a := newRig(t)
		b := a.another("b")
		rs := []*rig{a, b}
		both(rs, []address.Address{a.addr})
		// The one that dies is the one that follows the chain, or the other.
		dead, alive := a, b
		if a.decides() != decider {
			dead, alive = b, a
		}
		senders := []address.Address{}
		for range 4 {
			senders = append(senders, a.fund(a.wallet.newKey(t)))
		}
		require.NoError(t, dead.wallets.refresh(t.Context(), dead.wallets.get("w")))
		require.NoError(t, alive.wallets.refresh(t.Context(), alive.wallets.get("w")))
		for i, s := range senders {
			dead.push(fmt.Sprint("before", i), s, 16)
		}
		both(rs, senders)
		for i, s := range senders {
			dead.push(fmt.Sprint("after", i), s, 16)
		}
		// It is gone without a word; its leases run out.
		for range 5 + int(leaseTTL/time.Second) {
			both([]*rig{alive}, senders)
		}
		for i := range senders {
			require.Equal(t, machine.OnChain, alive.get(fmt.Sprint("before", i)).State)
			require.Equal(t, machine.OnChain, alive.get(fmt.Sprint("after", i)).State)
		}
		alive.distinct(senders)
		require.True(t, alive.decides())
	}
}

// TestM12_PausedHolderIsFenced: a messager that stood still for longer than its
// lease, and does not know it, cannot assign.
func TestM12_PausedHolderIsFenced(t *testing.T) { onEach(t, pausedHolderIsFenced) }

func pausedHolderIsFenced(t *testing.T, a *rig) {
	a.push("first", a.addr, 16)
	require.NoError(t, a.drain(a.addr))
	old, mine := a.fence(nonceLease(a.addr))
	require.True(t, mine)
	a.clk.Advance(leaseTTL + time.Second)
	b := a.another("b")
	b.tick()
	fence, err := b.acquire(t.Context(), nonceLease(b.addr))
	require.NoError(t, err)
	require.Greater(t, fence, old)

	late := a.push("late", a.addr, 16)
	a.leases.mu.Lock()
	a.leases.until = a.clk.Now().Add(time.Hour) // it believes in its old lease
	a.leases.mu.Unlock()
	a.setHead(a.node.step())
	_, err = a.worker(a.addr).round(t.Context())
	require.NoError(t, err)
	require.Equal(t, machine.Queued, a.get(late).State, "fenced off")
	_, err = a.Replace(t.Context(), "first", Price{Auto: true})
	require.Error(t, err, "nor sign again")
	require.Equal(t, machine.Pending, a.get("first").State)
	require.ErrorIs(t, a.decide(t.Context(), []change{{"first", machine.Reverted{}}}, nil), errNotDecider, "nor decide a fate")
	b.sync()
	require.NoError(t, b.drain(b.addr))
	require.Equal(t, machine.Pending, b.get(late).State)
	a.tick()
	_, mine = a.fence(nonceLease(a.addr))
	require.False(t, mine, "it learns")
}

// TestM12_WithoutNodeOthersTakeOver: whoever has no usable node gives its senders to
// those that do, and alone keeps them.
func TestM12_WithoutNodeOthersTakeOver(t *testing.T) {
	a := newRig(t)
	b := a.another("b")
	rs := []*rig{a, b}
	var senders []address.Address
	for range 6 {
		senders = append(senders, a.fund(a.wallet.newKey(t)))
	}
	require.NoError(t, a.wallets.refresh(t.Context(), a.wallets.get("w")))
	for i, s := range senders {
		a.push(fmt.Sprint("x", i), s, 16)
	}
	both(rs, senders)
	both(rs, senders)
	for range unwellTicks + 1 {
		a.setNodeError("connection refused")
		a.tick()
		b.tick()
		b.drain(b.addr)
	}
	for i, s := range senders {
		b.push(fmt.Sprint("y", i), s, 16)
		require.Contains(t, a.why(fmt.Sprint("y", i)), "another messager")
		require.NoError(t, b.drain(s))
		require.Equal(t, b, owner(t, s, rs...))
	}
	require.True(t, b.decides())
	require.False(t, a.decides())
	a.setNodeError("")
	a.tick()
	b.tick()
	a.tick()
	both(rs, senders)
	require.NotEmpty(t, a.leases.fences, "and takes its share again")
	for range unwellTicks + 1 {
		b.clk.Advance(leaseTTL)
		b.setNodeError("connection refused")
		b.tick()
	}
	require.True(t, b.decides(), "alone nobody is better")
}

// TestM12_BothAtOnce: two messagers race for the same senders on two connections.
func TestM12_BothAtOnce(t *testing.T) { onEach(t, bothAtOnce) }

func bothAtOnce(t *testing.T, a *rig) {
	b := a.another("b")
	senders := []address.Address{a.addr, a.fund(a.wallet.newKey(t))}
	require.NoError(t, a.wallets.refresh(t.Context(), a.wallets.get("w")))
	require.NoError(t, b.wallets.refresh(t.Context(), b.wallets.get("w")))
	const each = 60
	var done sync.WaitGroup
	for k, r := range []*rig{a, b} {
		// Both believe that everything is theirs: only the database keeps them apart.
		r.leases.mu.Lock()
		r.leases.alive = []string{r.o.Holder}
		r.leases.mu.Unlock()
		done.Go(func() {
			for i := range each {
				s := senders[i%2]
				r.push(fmt.Sprint(k, "-", i), s, 16)
				if _, _, err := r.db.Lease(context.Background(), nonceLease(s), r.o.Holder, r.clk.Now().Add(time.Duration(i)*time.Hour), time.Minute); err != nil {
					r.t.Error(err)
				}
				_, _ = r.worker(s).round(context.Background()) // fenced off as often as not
			}
		})
	}
	done.Wait()
	for range 10 {
		both([]*rig{a}, senders)
		a.clk.Advance(leaseTTL)
	}
	n, err := a.db.Count(t.Context(), store.Query{States: []machine.State{machine.OnChain}})
	require.NoError(t, err)
	require.Equal(t, 2*each, n)
	a.distinct(senders)
	byNonce := map[string]string{}
	for _, p := range a.node.pushed {
		slot := fmt.Sprint(p.Message.From, p.Message.Nonce)
		if have := byNonce[slot]; have != "" {
			require.Equal(t, have, p.Cid().String(), "two messages were pushed for a nonce")
		}
		byNonce[slot] = p.Cid().String()
	}
}

// TestM12_LeasesOfAnEarlierLife: what a messager held before it was restarted goes to
// whoever should have it by now, and is not kept by name alone.
func TestM12_LeasesOfAnEarlierLife(t *testing.T) {
	a := newRig(t)
	senders := a.senders(t, 6)
	for i, s := range senders {
		a.push(fmt.Sprint("x", i), s, 16)
		require.NoError(t, a.drain(s))
	}
	a.crash()
	a.sync()
	b := a.another("b")
	rs := []*rig{a, b}
	for i, s := range senders {
		b.push(fmt.Sprint("y", i), s, 16)
	}
	for range 4 {
		both(rs, senders)
	}
	moved := 0
	for i, s := range senders {
		require.Equal(t, machine.OnChain, b.get(fmt.Sprint("y", i)).State)
		if owner(t, s, rs...) == b {
			moved++
		}
	}
	require.NotZero(t, moved)
}

// TestM12_FatesJoinOn: a messager that decides again, after another did, goes on from where that one stood. What it had
// heard itself meanwhile is not put on top of it.
func TestM12_FatesJoinOn(t *testing.T) {
	a := newRig(t)
	id := a.push("", a.addr, 16)
	require.NoError(t, a.drain(a.addr))
	base := a.node.Head()
	mined := a.node.mine(base, 0, nil)
	landed := a.node.mine(mined, 0, nil)
	a.node.setHead(landed)
	require.True(t, a.sync())
	require.Equal(t, machine.OnChain, a.get(id).State)
	// Another messager has followed the chain to a fork without the message.
	nothing := func(*types.SignedMessage) bool { return false }
	fork := a.node.mine(a.node.mine(base, 0, nothing), 0, nothing)
	b := a.another("b")
	require.NoError(t, b.db.Update(t.Context(), func(tx *store.Tx) error { return tx.PutHead(refOf(fork), keepHeads) }))
	// The first one has not heard of that, and believes that it goes on.
	next := a.node.mine(landed, 0, nil)
	require.ErrorIs(t, a.process(t.Context(), []*node.HeadChange{{Type: node.HeadApply, Val: next}}), errGap)
	require.ErrorIs(t, a.process(t.Context(), []*node.HeadChange{{Type: node.HeadRevert, Val: landed}}), errGap)
}

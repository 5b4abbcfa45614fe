package messager

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

// playEpoch is the length of an epoch in a play, as on the public networks.
const playEpoch = 30 * time.Second

// gapEpochs is how long a gap may stay after faults end.
const gapEpochs = 3

// play is one or more messagers on a database, with a node and a wallet, under
// faults, epoch by epoch on a simulated clock: same seed, same course. Whatever
// happens, the laws of check hold.
type play struct {
	t       testing.TB
	rigs    []*rig
	node    *modelNode
	wallet  *modelWallet
	senders []address.Address
	rnd     *rand.Rand
	// accepted are the ids that a messager answered, wanted those that clients still
	// ask for, by whom they are asked next.
	accepted []string
	wanted   []order
	count    int
	// subs holds, per messager, the head changes it was not told of yet; deafRigs are
	// told nothing, stopped do nothing.
	deafRigs, stopped map[*rig]bool
	perEpoch          int
	now               time.Time
	passed            time.Duration
	// nobodyMines stops the chain.
	nobodyMines bool
	// take chooses what a block packs; nil packs what chance wants, calm everything.
	take func(*types.SignedMessage) bool
	// before is called before a block is mined.
	before func()
	calmed bool
	kills  int
}

// order is a message that a client wants sent, under one id until it is accepted.
type order struct {
	id     string
	from   address.Address
	method abi.MethodNum
}

func newPlay(t testing.TB, at store.Config, messagers, senders int, seed uint64) *play {
	r := newRigOn(t, at)
	r.name = "me"
	p := &play{
		t: t, rigs: []*rig{r}, node: r.node, wallet: r.wallet, rnd: rand.New(rand.NewPCG(seed, 7)), senders: []address.Address{r.addr}, perEpoch: 1,
		deafRigs: map[*rig]bool{}, stopped: map[*rig]bool{},
	}
	for len(p.senders) < senders {
		p.senders = append(p.senders, r.fund(r.wallet.newKey(t)))
	}
	require.NoError(t, r.wallets.refresh(context.Background(), r.wallets.get("w")))
	for k := 1; k < messagers; k++ {
		p.rigs = append(p.rigs, r.another(fmt.Sprint("other", k)))
	}
	p.node.epoch = playEpoch
	p.baseFee(1)
	for _, a := range p.senders {
		p.node.balances[a] = big.Mul(fil, big.NewInt(1000))
	}
	p.node.passing, p.wallet.passing = p.pass, p.pass
	for _, r := range p.rigs {
		r.sync()
	}
	return p
}

// pass lets time pass, and what goes by itself go on: the renewal of leases.
func (p *play) pass(d time.Duration) {
	for d > 0 {
		s := min(d, 2*leaseTick)
		p.rigs[0].clk.Advance(s)
		p.passed += s
		d -= s
		for _, r := range p.rigs {
			if !p.stopped[r] {
				_ = r.renew(context.Background()) // the database may be away
			}
		}
	}
}

// survive takes an error as the process would: an injected kill is a crash.
func (p *play) survive(r *rig, err error) {
	if err == nil || !errors.Is(err, errKilled) {
		return
	}
	p.kills++
	require.NoError(p.t, r.db.Close())
	r.db = nil
	r.reopen()
}

// errKilled stands for kill -9: whoever meets it does nothing more.
var errKilled = errors.New("killed")

// epoch plays one epoch: clients ask, workers work, a block is mined and told.
func (p *play) epoch() {
	p.passed = 0
	for range p.perEpoch {
		for _, a := range p.senders {
			method := abi.MethodNum(16)
			if p.rnd.IntN(8) == 0 {
				method = abi.MethodNum([]int{5, 6, 7}[p.rnd.IntN(3)])
			}
			p.order(a, method)
		}
	}
	for range 2 {
		p.ask()
		p.work()
		p.pass(playEpoch / 2)
	}
	if p.nobodyMines {
		return
	}
	if p.before != nil {
		p.before()
	}
	take := p.take
	if take == nil && !p.calmed {
		room := p.rnd.IntN(3 * len(p.senders) * max(1, p.perEpoch))
		take = func(*types.SignedMessage) bool { room--; return room >= 0 }
	}
	p.head(p.node.mine(p.node.Head(), abi.ChainEpoch(p.passed/playEpoch)-1, take))
}

// order has a client want a message.
func (p *play) order(a address.Address, method abi.MethodNum) {
	p.wanted = append(p.wanted, order{fmt.Sprint("id", p.count), a, method})
	p.count++
}

// ask has clients push what was not accepted yet, to any messager.
func (p *play) ask() {
	var still []order
	for _, o := range p.wanted {
		r := p.rigs[p.rnd.IntN(len(p.rigs))]
		if p.stopped[r] {
			still = append(still, o)
			continue
		}
		_, err := r.tryPush(o.id, o.from, o.method)
		p.survive(r, err)
		if err != nil {
			still = append(still, o) // the client does not know, and asks again
			continue
		}
		p.accepted = append(p.accepted, o.id)
	}
	p.wanted = still
}

// work lets all workers do what they can.
func (p *play) work() {
	for _, r := range p.rigs {
		for _, a := range p.senders {
			if p.stopped[r] {
				break
			}
			p.survive(r, p.round(r, a))
		}
	}
}

func (p *play) round(r *rig, a address.Address) error {
	for range 50 {
		again, err := r.worker(a).round(context.Background())
		if err != nil || !again {
			return err
		}
	}
	return nil // busy with failures, next time more
}

// head moves the chain and tells.
func (p *play) head(ts *types.TipSet) {
	path := p.node.setHead(ts)
	for _, r := range p.rigs {
		if !p.deafRigs[r] && !p.stopped[r] {
			p.tell(r, path)
		}
	}
}

// tell delivers a head change as the follower gets it: one that cannot be processed
// ends the subscription, and the next one begins with the current head.
func (p *play) tell(r *rig, path []*node.HeadChange) {
	ctx := context.Background()
	var err error
	if r.decides() == r.decided && !r.resubscribe {
		err = r.heard(ctx, path, r.decided, true)
		if err == nil {
			return
		}
		p.survive(r, err)
	}
	r.decided = r.decides()
	err = r.learnEpoch(ctx)
	if err == nil {
		err = r.heard(ctx, []*node.HeadChange{{Type: node.HeadCurrent, Val: p.node.Head()}}, r.decided, false)
	}
	r.resubscribe = err != nil
	if err != nil {
		p.survive(r, err)
		r.setNodeError("subscription lost")
	}
}

// calm ends all faults: clients stop asking for new things, and everything works.
func (p *play) calm() {
	p.perEpoch = 0
	p.node.mu.Lock()
	p.node.fail, p.node.late, p.node.deaf, p.node.refuse, p.node.nonces = map[string]error{}, 0, false, nil, nil
	p.node.failMethod = map[abi.MethodNum]string{}
	p.node.mu.Unlock()
	p.wallet.set(nil)
	p.wallet.mu.Lock()
	p.wallet.wrong, p.wallet.swap, p.wallet.late = false, false, 0
	p.wallet.mu.Unlock()
	p.nobodyMines, p.take, p.before, p.calmed = false, nil, nil, true
	clear(p.deafRigs)
	for i := range gapEpochs {
		if p.epoch(); i > 0 {
			continue
		}
		require.Empty(p.t, p.wanted, "with everything well, clients are answered")
	}
	p.noGap()
}

// noGap checks that the node can take every nonce that was signed.
func (p *play) noGap() {
	for _, a := range p.senders {
		next, err := p.node.MpoolGetNonce(context.Background(), a)
		require.NoError(p.t, err)
		signed, err := p.alive().db.Nonces(context.Background(), a, next)
		require.NoError(p.t, err)
		require.Empty(p.t, signed, "a gap at nonce %d of %s, %d epochs after the faults", next, a, gapEpochs)
	}
}

// alive is a messager that works.
func (p *play) alive() *rig {
	i := slices.IndexFunc(p.rigs, func(r *rig) bool { return !p.stopped[r] })
	require.GreaterOrEqual(p.t, i, 0)
	return p.rigs[i]
}

// settle lets time pass until everything is decided.
func (p *play) settle(epochs int) {
	for range epochs {
		n, err := p.alive().db.Count(context.Background(), store.Query{States: []machine.State{machine.Queued, machine.Signed, machine.Pending}})
		require.NoError(p.t, err)
		if n == 0 {
			break
		}
		p.epoch()
	}
	for range 2 {
		p.epoch()
	}
}

// check holds the laws: every accepted id is there and decided, or says why not; no
// nonce was pushed for two messages; whatever was pushed is in the history; and the
// account of each message is the chain's.
func (p *play) check() {
	r := p.alive()
	ctx := context.Background()
	owner := map[string]string{}
	slot := func(m *types.Message) string { return fmt.Sprint(m.From, " ", m.Nonce) }
	all, err := r.db.List(ctx, store.Query{})
	require.NoError(p.t, err)
	for i := range all {
		attempts, err := r.db.Attempts(ctx, all[i].ID)
		require.NoError(p.t, err)
		for _, a := range attempts {
			have := owner[slot(&a.Message)]
			require.True(p.t, have == "" || have == all[i].ID, "nonce %s was signed for %s and %s", slot(&a.Message), have, all[i].ID)
			owner[slot(&a.Message)] = all[i].ID
		}
	}
	for _, sm := range p.node.pushed {
		m, err := r.db.BySignedCid(ctx, sm.Cid())
		if errors.Is(err, store.ErrNotFound) {
			require.Contains(p.t, p.node.foreign, sm.Cid(), "pushed, but not in any history")
			continue
		}
		require.NoError(p.t, err)
		require.Equal(p.t, owner[slot(&sm.Message)], m.ID)
	}
	for _, id := range p.accepted {
		p.checkOne(r, id)
	}
}

func (p *play) checkOne(r *rig, id string) {
	m, err := r.Message(context.Background(), id)
	require.NoError(p.t, err, "accepted, and lost")
	switch m.State {
	case machine.OnChain:
		landed, ts := p.node.search(p.node.head, m.Msg.From, m.Msg.Nonce)
		require.NotNil(p.t, landed, "%s is on chain only here", id)
		require.Equal(p.t, landed.Cid(), m.SignedCid, id)
		require.Equal(p.t, refOf(ts), m.Executed, id)
		require.Equal(p.t, ts.Parents(), m.Included.Key, id)
	case machine.Conflict:
		landed, _ := p.node.search(p.node.head, m.Msg.From, m.Msg.Nonce)
		require.NotNil(p.t, landed)
		require.Contains(p.t, p.node.foreign, landed.Cid(), "%s lost its nonce to nobody", id)
	case machine.Failed, machine.NoWallet:
		require.NotEmpty(p.t, m.Error, id)
	default:
		p.t.Fatalf("%s is %s with everything well: %s (nonce %d, node %d)\n%s", id, m.State, r.why(id), m.Msg.Nonce, p.node.nonceAfter(m.Msg.From, p.node.head), r.history(id))
	}
}

// run plays: some epochs well, the fault for its epochs, then calm, and the laws.
func (p *play) run(f faultCase) {
	for range 3 {
		p.epoch()
	}
	end := func() {}
	if f.begin != nil {
		if e := f.begin(p); e != nil {
			end = e
		}
	}
	for i := range f.epochs {
		if f.each != nil {
			f.each(p, i)
		}
		p.epoch()
	}
	end()
	p.calm()
	p.settle(60 + f.epochs)
	p.check()
	if f.after != nil {
		f.after(p)
	}
	require.NotEmpty(p.t, p.accepted)
}

// faultCase is a fault with a name: begin sets it up and may return what ends it,
// each plays with every epoch of it, after looks at what came of it.
type faultCase struct {
	name      string
	epochs    int
	messagers int
	begin     func(*play) func()
	each      func(*play, int)
	after     func(*play)
}

// kill makes the n-th passage of a failpoint the last thing the process does.
func (p *play) kill(point string, n int) func() {
	passed := 0
	return fault.Arm(point, func() error {
		passed++
		if passed == n {
			return errKilled
		}
		return nil
	})
}

// foreignMessage signs and pushes a message with the sender's key outside any messager.
func (p *play) foreignMessage(a address.Address, nonce uint64) *types.SignedMessage {
	m := types.Message{From: a, To: a, Nonce: nonce, Value: big.NewInt(1), GasLimit: 1e6, GasFeeCap: big.NewInt(1e9), GasPremium: big.NewInt(1e6)}
	sm := p.wallet.signMessage(p.t, m)
	p.node.mu.Lock()
	p.node.foreign[sm.Cid()] = true
	p.node.mu.Unlock()
	return sm
}

package messager

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/mariadb"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

// rig drives a Service step by step, without its goroutines: what happens when is
// up to the test.
type rig struct {
	*Service
	t      testing.TB
	node   *modelNode
	wallet *modelWallet
	clk    *clock.Sim
	at     store.Config
	db     *store.DB
	addr   address.Address
	// name is this messager's among several on one database.
	name string
	// decided is the role of the current subscription.
	decided bool
	// resubscribe: the last subscription could not be made.
	resubscribe bool
}

var fil = big.NewInt(1e18)

func newRig(t testing.TB) *rig { return newRigOn(t, sqliteAt(t)) }

// sqliteAt is a fresh SQLite file, mariadbAt a fresh database of a real server.
func sqliteAt(t testing.TB) store.Config {
	return store.Config{Type: store.SQLite, Path: filepath.Join(t.TempDir(), "m.db"), NoSync: true, Key: databaseKeyOf(t)}
}

func mariadbAt(t testing.TB) store.Config {
	return store.Config{Type: store.MySQL, DSN: mariadb.Database(t), Key: databaseKeyOf(t)}
}

// databaseKeyOf is the one key of all databases here.
func databaseKeyOf(t testing.TB) store.Key {
	key, err := store.NewKey(make([]byte, store.KeySize))
	require.NoError(t, err)
	return key
}

// onEach runs a test on every kind of database.
func onEach(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Run(store.SQLite, func(t *testing.T) { f(t, newRigOn(t, sqliteAt(t))) })
	t.Run(store.MySQL, func(t *testing.T) { f(t, newRigOn(t, mariadbAt(t))) })
}

func newRigOn(t testing.TB, at store.Config) *rig {
	clk := clock.NewSim(time.Unix(1_700_000_000, 0))
	r := &rig{t: t, node: newModelNode(clk.Now), wallet: newModelWallet(0), clk: clk, at: at}
	r.addr = r.fund(r.wallet.newKey(t))
	r.restart()
	require.NoError(t, r.addWallet(t.Context(), store.Wallet{Name: "w", URL: "model", Token: "t"}))
	return r
}

func (r *rig) fund(a address.Address) address.Address {
	r.node.balances[a] = fil
	return a
}

// restart is a crash: everything but the database is new.
func (r *rig) restart() {
	if r.db != nil {
		require.NoError(r.t, r.db.Close())
	}
	r.reopen()
	r.sync()
}

// reopen is the start of a process, up to the point where it follows the chain.
func (r *rig) reopen() {
	ctx := context.Background()
	var err error
	r.db, err = store.Open(ctx, r.at)
	require.NoError(r.t, err)
	db := r.db
	r.t.Cleanup(func() { _ = db.Close() }) // closed twice after a restart
	name := r.name
	if name == "" {
		name = "me"
	}
	r.Service, err = New(ctx, Options{
		DB: r.db, Nodes: []Endpoint{{"model", r.node}}, Clock: r.clk, Holder: name,
		DialWallet: func(string, string) (Signer, func(), error) { return r.wallet, func() {}, nil },
		DialNode:   func(string, string) (Publisher, func(), error) { return r.node, func() {}, nil },
	})
	require.NoError(r.t, err)
	if err := r.renew(ctx); err != nil {
		r.t.Log(err)
	}
	r.resubscribe = true
}

// sync is what a new subscription does; it tells whether that worked.
func (r *rig) sync() bool {
	r.tick()
	r.decided = r.decides()
	now := []*node.HeadChange{{Type: node.HeadCurrent, Val: r.node.Head()}}
	if r.learnEpoch(context.Background()) != nil || r.heard(context.Background(), now, r.decided, false) != nil {
		r.setNodeError("subscription lost")
		return false
	}
	return true
}

// tick renews the leases, as happens every few seconds.
func (r *rig) tick() { require.NoError(r.t, r.renew(context.Background())) }

// follow takes a head change to the service; a failure means a new subscription.
func (r *rig) followed(changes []*node.HeadChange) {
	r.tick()
	if r.decides() != r.decided {
		r.sync() // as errRole makes it
		return
	}
	if r.heard(context.Background(), changes, r.decided, true) != nil {
		r.setNodeError("subscription lost")
	}
}

// step mines and follows one tipset.
func (r *rig) step() {
	r.clk.Advance(time.Second)
	ts := r.node.mine(r.node.Head(), 0, nil)
	r.followed(r.node.setHead(ts))
}

// drain lets a sender's worker do all it can now.
func (r *rig) drain(a address.Address) error {
	r.tick()
	w := r.worker(a)
	for i := 0; ; i++ {
		again, err := w.round(context.Background())
		w.tell(err)
		if err != nil || !again {
			return err
		}
		require.Less(r.t, i, 1000, "the worker does not come to rest")
	}
}

func (r *rig) push(id string, a address.Address, method abi.MethodNum) string {
	r.t.Helper()
	out, err := r.tryPush(id, a, method)
	require.NoError(r.t, err)
	return out
}

func (r *rig) tryPush(id string, a address.Address, method abi.MethodNum) (string, error) {
	to, err := address.NewIDAddress(1234)
	require.NoError(r.t, err)
	return r.Accept(context.Background(), id, "user", "w", &types.Message{From: a, To: to, Value: big.Zero(), Method: method}, machine.Limits{})
}

func (r *rig) get(id string) machine.Message {
	r.t.Helper()
	m, err := r.Message(context.Background(), id)
	require.NoError(r.t, err)
	return m
}

func (r *rig) why(id string) string {
	e, err := r.Explain(context.Background(), id)
	require.NoError(r.t, err)
	return e.Reason
}

func TestLifeOfAMessage(t *testing.T) {
	r := newRig(t)
	id := r.push("", r.addr, 16)
	require.Equal(t, machine.Queued, r.get(id).State)
	require.NoError(t, r.drain(r.addr))
	m := r.get(id)
	require.Equal(t, machine.Pending, m.State)
	require.Len(t, r.node.pushed, 1)
	require.Equal(t, m.SignedCid, r.node.pushed[0].Cid())
	r.step()
	require.Equal(t, machine.Pending, r.get(id).State, "packed, not executed yet")
	packed := r.node.Head()
	r.step()
	m = r.get(id)
	require.Equal(t, machine.OnChain, m.State)
	require.Equal(t, refOf(packed), m.Included)
	require.Equal(t, refOf(r.node.Head()), m.Executed)
	require.EqualValues(t, 500000, m.Receipt.GasUsed)
	require.Contains(t, r.why(id), "executed at epoch 2 with success")
	notes, err := r.db.Notes(t.Context(), id)
	require.NoError(t, err)
	var kinds []string
	for _, n := range notes {
		kinds = append(kinds, n.Kind)
	}
	require.Equal(t, []string{"queued", "signed", "pushed", "included"}, kinds)
}

func TestM10_Idempotence(t *testing.T) {
	r := newRig(t)
	require.Equal(t, "x", r.push("x", r.addr, 16))
	require.Equal(t, "x", r.push("x", r.addr, 16))
	_, err := r.tryPush("x", r.addr, 17)
	require.Equal(t, api.CodeConflict, api.Explain(err).Code)
	require.NoError(t, r.drain(r.addr))
	require.Equal(t, "x", r.push("x", r.addr, 16), "also after it was signed")
	n, err := r.db.Count(t.Context(), store.Query{})
	require.NoError(t, err)
	require.Equal(t, 1, n)

	to, _ := address.NewIDAddress(7)
	for name, m := range map[string]*types.Message{
		"nil": nil, "no from": {To: to}, "no to": {From: r.addr}, "version": {Version: 1, From: r.addr, To: to},
		"negative": {From: r.addr, To: to, Value: big.NewInt(-1)}, "gas": {From: r.addr, To: to, GasLimit: -1},
		"large": {From: r.addr, To: to, Params: make([]byte, 64<<10)},
	} {
		_, err := r.Accept(t.Context(), "", "user", "w", m, machine.Limits{})
		require.Error(t, err, name)
		require.Contains(t, []api.ErrorCode{api.CodeInvalid, api.CodeLimit}, api.Explain(err).Code, name)
	}
	_, err = r.Accept(t.Context(), "", "user", "nope", &types.Message{From: r.addr, To: to}, machine.Limits{})
	require.Equal(t, api.CodeNotFound, api.Explain(err).Code)
	stranger := newModelWallet(2).newKey(t)
	_, err = r.Accept(t.Context(), "", "user", "w", &types.Message{From: stranger, To: to}, machine.Limits{})
	require.ErrorContains(t, err, "not in wallet")
	// Without a wallet's name any wallet that holds the key will do.
	id, err := r.Accept(t.Context(), "", "user", "", &types.Message{From: r.addr, To: to}, machine.Limits{})
	require.NoError(t, err)
	require.Equal(t, "w", r.get(id).Wallet)
}

// TestM1_CrashPoints: at every durable step the process dies once; afterwards
// nothing is lost, no nonce is used twice, and the same bytes are pushed.
func TestM1_CrashPoints(t *testing.T) {
	for _, point := range []string{"messager/accept", "messager/accepted", "messager/assign", "messager/signed", "messager/push", "messager/pushed", "messager/landed"} {
		t.Run(point, func(t *testing.T) {
			r := newRig(t)
			died := false
			disarm := fault.Arm(point, func() error {
				if died {
					return nil
				}
				died = true
				return fault.ErrInjected
			})
			defer disarm()
			crash := func(err error) {
				if err != nil {
					require.ErrorIs(t, err, fault.ErrInjected)
					r.restart()
				}
			}
			for i := range 5 {
				id := fmt.Sprint("m", i)
				if _, err := r.tryPush(id, r.addr, 16); err != nil {
					crash(err)
					r.push(id, r.addr, 16) // the client asks again
				}
				crash(r.drain(r.addr))
				r.clk.Advance(time.Second)
				path := r.node.setHead(r.node.mine(r.node.Head(), 0, nil))
				crash(r.process(t.Context(), path))
			}
			for range 4 {
				require.NoError(t, r.drain(r.addr))
				r.step()
			}
			require.True(t, died)
			seen := map[uint64]string{}
			for i := range 5 {
				m := r.get(fmt.Sprint("m", i))
				require.Equal(t, machine.OnChain, m.State)
				require.Empty(t, seen[m.Msg.Nonce])
				seen[m.Msg.Nonce] = m.ID
			}
			require.Len(t, seen, 5)
			byNonce := map[uint64]string{}
			for _, p := range r.node.pushed {
				if have := byNonce[p.Message.Nonce]; have != "" {
					require.Equal(t, have, p.Cid().String(), "other bytes for a nonce that was pushed")
				}
				byNonce[p.Message.Nonce] = p.Cid().String()
			}
		})
	}
}

func TestM2_WalletInTrouble(t *testing.T) {
	r := newRig(t)
	other := newModelWallet(1)
	b := r.fund(other.newKey(t))
	r.o.DialWallet = func(string, string) (Signer, func(), error) { return other, func() {}, nil }
	require.NoError(t, r.addWallet(t.Context(), store.Wallet{Name: "w2", URL: "model", Token: "t"}))

	for _, c := range []struct {
		err    error
		wrong  bool
		reason machine.Reason
		words  string
	}{
		{api.Errorf(api.CodePrecondition, "wallet locked"), false, machine.WalletLocked, "wallet locked"},
		{errAway, false, machine.WalletUnreachable, "connection refused"},
		{api.Errorf(api.CodePermission, "policy forbids"), false, machine.WalletRefused, "policy forbids"},
		{nil, true, machine.WalletRefused, "not of"},
	} {
		r.wallet.set(c.err)
		r.wallet.wrong = c.wrong
		id := r.push("", r.addr, 16)
		require.NoError(t, r.drain(r.addr))
		m := r.get(id)
		require.Equal(t, machine.Queued, m.State)
		require.Equal(t, c.reason, m.Reason)
		require.Contains(t, r.why(id), c.words)
		sender, err := r.db.Sender(t.Context(), r.addr)
		require.NoError(t, err)
		require.Zero(t, sender.NextNonce, "no nonce burned")
	}
	// The other wallet's address is not held up.
	to, _ := address.NewIDAddress(7)
	id, err := r.Accept(t.Context(), "", "u", "w2", &types.Message{From: b, To: to}, machine.Limits{})
	require.NoError(t, err)
	require.NoError(t, r.drain(b))
	require.Equal(t, machine.Pending, r.get(id).State)

	r.wallet.set(nil)
	r.wallet.wrong = false
	r.clk.Advance(time.Minute)
	r.step()
	require.NoError(t, r.drain(r.addr))
	n, err := r.db.Count(t.Context(), store.Query{From: []address.Address{r.addr}, States: []machine.State{machine.Pending}})
	require.NoError(t, err)
	require.Equal(t, 4, n, "all go once the wallet is well")
}

func TestM3_NodeInTrouble(t *testing.T) {
	r := newRig(t)
	id := r.push("", r.addr, 16)
	// Old head: the node is still catching up.
	r.clk.Advance(time.Hour)
	require.NoError(t, r.drain(r.addr))
	require.Equal(t, machine.Queued, r.get(id).State)
	require.Contains(t, r.why(id), "is 1h0m0s old")
	r.step()
	// Node away at each call of the way.
	for _, method := range []string{"MpoolGetNonce", "GasBatchEstimateMessageGas", "StateGetActor"} {
		r.node.setFail(method, errAway)
		require.Error(t, r.drain(r.addr), method)
		require.Equal(t, machine.Queued, r.get(id).State)
		require.Contains(t, r.why(id), "held up: ask the node for ")
		r.node.setFail(method, nil)
	}
	r.node.setFail("MpoolBatchPush", errAway)
	require.NoError(t, r.drain(r.addr))
	m := r.get(id)
	require.Equal(t, machine.Signed, m.State)
	require.Equal(t, machine.NodeUnreachable, m.Reason)
	r.node.setFail("MpoolBatchPush", nil)
	r.clk.Advance(time.Second)
	require.NoError(t, r.drain(r.addr))
	require.Equal(t, machine.Pending, r.get(id).State)
	require.Equal(t, m.SignedCid, r.node.pushed[0].Cid(), "the stored bytes")

	// A foreign message took nonces: ours go behind it, none twice.
	foreign := r.sign(r.addr, 1)
	r.followed(r.node.setHead(r.node.include(r.node.mineOn(r), foreign)))
	second := r.push("", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	require.EqualValues(t, 2, r.get(second).Msg.Nonce)
}

// mineOn packs the pool and follows.
func (n *modelNode) mineOn(r *rig) *types.TipSet {
	r.step()
	return n.Head()
}

// sign makes a message of a sender outside the messager.
func (r *rig) sign(a address.Address, nonce uint64) *types.SignedMessage {
	to, err := address.NewIDAddress(99)
	require.NoError(r.t, err)
	m := types.Message{From: a, To: to, Nonce: nonce, Value: big.Zero(), GasLimit: 1e6, GasFeeCap: big.NewInt(1e6), GasPremium: big.NewInt(1e6)}
	sig, err := r.wallets.sign(context.Background(), "w", &m)
	require.NoError(r.t, err)
	return &types.SignedMessage{Message: m, Signature: *sig}
}

// TestM3_ForeignNonceConflict: somebody else's message lands under a nonce that
// was given out.
func TestM3_ForeignNonceConflict(t *testing.T) {
	r := newRig(t)
	id := r.push("", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	foreign := r.sign(r.addr, 0)
	base := r.node.Head()
	a := r.node.include(base, foreign)
	r.followed(r.node.setHead(a))
	r.step()
	m := r.get(id)
	require.Equal(t, machine.Conflict, m.State)
	require.Contains(t, m.Error, foreign.Cid().String())
	done, err := r.Wait(t.Context(), id, 5)
	require.NoError(t, err)
	require.Equal(t, machine.Conflict, done.State, "waiting ends at a conflict")
	// A reorg to a chain without it: ours lands after all.
	b := r.node.mine(base, 0, nil)
	c := r.node.mine(b, 1, nil)
	d := r.node.mine(c, 0, nil)
	r.followed(r.node.setHead(d))
	require.Equal(t, machine.OnChain, r.get(id).State)
}

func TestM6_ErrorInTheMiddleOfAHead(t *testing.T) {
	r := newRig(t)
	id := r.push("", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	for _, method := range []string{"ChainGetParentMessages", "ChainGetParentReceipts"} {
		r.node.setFail(method, errAway)
		a := r.node.mine(r.node.Head(), 0, nil)
		b := r.node.mine(a, 0, nil)
		path := append(r.node.setHead(a), r.node.setHead(b)...)
		require.Error(t, r.process(t.Context(), path))
		r.node.setFail(method, nil)
		r.sync()
		require.Equal(t, machine.OnChain, r.get(id).State, "the head was processed again")
		id = r.push("", r.addr, 16)
		require.NoError(t, r.drain(r.addr))
	}
}

func TestM7_Replace(t *testing.T) {
	r := newRig(t)
	id := r.push("", r.addr, 16)
	_, err := r.Replace(t.Context(), id, Price{Auto: true})
	require.Equal(t, api.CodePrecondition, api.Explain(err).Code, "unsigned")
	require.NoError(t, r.drain(r.addr))
	first := r.get(id)
	_, err = r.Replace(t.Context(), id, Price{Premium: big.NewInt(100000), FeeCap: big.NewInt(200000)})
	require.Equal(t, api.CodeInvalid, api.Explain(err).Code, "too low a premium")
	_, err = r.Replace(t.Context(), id, Price{Auto: true, MaxFee: big.NewInt(1000)})
	require.Equal(t, api.CodeLimit, api.Explain(err).Code)
	c2, err := r.Replace(t.Context(), id, Price{Auto: true})
	require.NoError(t, err)
	c3, err := r.Replace(t.Context(), id, Price{Auto: true})
	require.NoError(t, err)
	require.NotEqual(t, c2, c3)
	require.NoError(t, r.drain(r.addr))
	attempts, err := r.db.Attempts(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, attempts, 3, "every CID ever signed is kept")
	found, err := r.db.BySignedCid(t.Context(), first.SignedCid)
	require.NoError(t, err)
	require.Equal(t, id, found.ID)
	// The oldest attempt lands: races end with exactly one, and the user sees which.
	r.followed(r.node.setHead(r.node.include(r.node.Head(), first.Signed())))
	r.step()
	m := r.get(id)
	require.Equal(t, machine.OnChain, m.State)
	require.Equal(t, first.SignedCid, m.SignedCid)
	_, err = r.Replace(t.Context(), id, Price{Auto: true})
	require.Equal(t, api.CodePrecondition, api.Explain(err).Code, "landed")
}

func TestM8_BaseFeeJump(t *testing.T) {
	r := newRig(t)
	var ids []string
	for range 3 {
		ids = append(ids, r.push("", r.addr, 16))
	}
	require.NoError(t, r.drain(r.addr))
	r.node.mu.Lock()
	r.node.baseFee = big.NewInt(1e9)
	r.node.mu.Unlock()
	for range 12 {
		r.step()
		require.NoError(t, r.drain(r.addr))
	}
	replaced := 0
	for _, id := range ids {
		notes, err := r.db.Notes(t.Context(), id)
		require.NoError(t, err)
		for _, n := range notes {
			if n.Kind == "replaced" {
				replaced++
			}
		}
	}
	require.NotZero(t, replaced, "the lowest stuck nonce is priced again")
	for range 40 {
		r.step()
		require.NoError(t, r.drain(r.addr))
	}
	for _, id := range ids {
		require.Equal(t, machine.OnChain, r.get(id).State)
	}
	// Above the limit nothing is signed, and the limit is named.
	r.node.mu.Lock()
	r.node.baseFee = big.NewInt(1e12)
	r.node.mu.Unlock()
	r.step()
	id := r.push("", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	require.Equal(t, machine.FeeLimit, r.get(id).Reason)
	require.Contains(t, r.why(id), "maxFee of the shared")
}

func TestM9_FailingMessagesDoNotBlock(t *testing.T) {
	r := newRig(t)
	r.node.failMethod[66] = "message execution failed: exit 16, reason: no sector"
	for range 500 {
		r.push("", r.addr, 66)
	}
	good := r.push("", r.addr, 16)
	proof := r.push("", r.addr, 5)
	require.NoError(t, r.drain(r.addr))
	require.Equal(t, machine.Pending, r.get(good).State)
	require.Equal(t, machine.Pending, r.get(proof).State)
	require.EqualValues(t, 0, r.get(proof).Msg.Nonce, "window proofs first")
	require.EqualValues(t, 1, r.get(good).Msg.Nonce)
	bad, err := r.db.List(t.Context(), store.Query{States: []machine.State{machine.Queued}, Failing: true})
	require.NoError(t, err)
	require.Len(t, bad, 500)
	require.Contains(t, r.why(bad[0].ID), "an argument is illegal")
	require.NoError(t, r.MarkBad(t.Context(), bad[0].ID))
	require.Equal(t, machine.Failed, r.get(bad[0].ID).State)
	require.Equal(t, api.CodePrecondition, api.Explain(r.MarkBad(t.Context(), good)).Code, "one with a nonce must land")

	// No actor, no funds.
	poor := r.wallet.newKey(t)
	id := r.push("", poor, 16)
	require.NoError(t, r.drain(poor))
	require.Equal(t, machine.NoActor, r.get(id).Reason)
	r.node.balances[poor] = big.NewInt(10)
	r.clk.Advance(time.Minute)
	r.step()
	require.NoError(t, r.drain(poor))
	require.Equal(t, machine.NoFunds, r.get(id).Reason)
	r.fund(poor)
	r.clk.Advance(time.Minute)
	r.step()
	require.NoError(t, r.drain(poor))
	require.Equal(t, machine.Pending, r.get(id).State)
}

func TestM11_Wait(t *testing.T) {
	r := newRig(t)
	_, err := r.Wait(t.Context(), "unknown", 0)
	require.Equal(t, api.CodeNotFound, api.Explain(err).Code)
	id := r.push("", r.addr, 16)
	got := make(chan machine.Message, 1)
	go func() {
		m, _ := r.Wait(context.Background(), id, 1)
		got <- m
	}()
	require.NoError(t, r.drain(r.addr))
	for range 2 {
		r.step()
	}
	select {
	case <-got:
		t.Fatal("returned before the confidence was reached")
	default:
	}
	r.step()
	r.step()
	require.Equal(t, machine.OnChain, (<-got).State)
	r.node.failMethod[66] = "exit 16"
	stuck := r.push("", r.addr, 66)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.Wait(ctx, stuck, 0)
	require.ErrorIs(t, err, context.Canceled, "a client that hangs up is let go")
}

// TestM13_OldBackup: a restored database knows less than chain and pool; the first
// new nonce is behind both.
func TestM13_OldBackup(t *testing.T) {
	r := newRig(t)
	for n := range uint64(3) {
		_, err := r.node.MpoolPush(t.Context(), r.sign(r.addr, n))
		require.NoError(t, err)
	}
	r.step()
	for n := uint64(3); n < 5; n++ {
		_, err := r.node.MpoolPush(t.Context(), r.sign(r.addr, n))
		require.NoError(t, err)
	}
	id := r.push("", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	require.EqualValues(t, 5, r.get(id).Msg.Nonce)
}

// TestM14_OneRowPerAddress: the printed prefix does not matter.
func TestM14_OneRowPerAddress(t *testing.T) {
	r := newRig(t)
	r.push("", r.addr, 16)
	f, err := address.NewFromString("f" + r.addr.String()[1:])
	require.NoError(t, err)
	tt, err := address.NewFromString("t" + r.addr.String()[1:])
	require.NoError(t, err)
	r.push("", f, 16)
	r.push("", tt, 16)
	all, err := r.db.Addresses(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.NoError(t, r.drain(r.addr))
	n, err := r.db.Count(t.Context(), store.Query{From: []address.Address{r.addr}})
	require.NoError(t, err)
	require.Equal(t, 3, n)
}

func TestPauseExpireAndLimit(t *testing.T) {
	r := newRig(t)
	a := NewAPI(r.Service, nil, "test")
	id := r.push("", r.addr, 16)
	require.NoError(t, a.ForbiddenAddress(t.Context(), r.addr))
	_, err := r.tryPush("", r.addr, 16)
	require.Equal(t, api.CodePrecondition, api.Explain(err).Code)
	require.NoError(t, r.drain(r.addr))
	require.Contains(t, r.why(id), "paused")
	require.NoError(t, a.ActiveAddress(t.Context(), r.addr))
	require.NoError(t, a.SetSelectMsgNum(t.Context(), r.addr, 2))
	for range 3 {
		r.push("", r.addr, 16)
	}
	require.NoError(t, r.drain(r.addr))
	require.Len(t, r.node.pushed, 2, "no more than two under way")
	r.step()
	r.step()
	require.NoError(t, r.drain(r.addr))
	require.Len(t, r.node.pushed, 4)

	r.node.failMethod[66] = "exit 16"
	to, _ := address.NewIDAddress(7)
	id, err = r.Accept(t.Context(), "", "u", "w", &types.Message{From: r.addr, To: to, Method: 66}, machine.Limits{ExpireEpoch: r.node.Head().Height() + 2})
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, r.drain(r.addr))
		r.clk.Advance(time.Minute)
		r.step()
	}
	require.NoError(t, r.drain(r.addr))
	m := r.get(id)
	require.Equal(t, machine.Failed, m.State)
	require.Contains(t, m.Error, "expired at epoch")
}

func TestRemoveWallet(t *testing.T) {
	r := newRig(t)
	sent := r.push("", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	r.node.failMethod[66] = "exit 16"
	queued := r.push("", r.addr, 66)
	require.NoError(t, r.removeWallet(t.Context(), "w"))
	require.Equal(t, machine.NoWallet, r.get(queued).State)
	_, err := r.tryPush("", r.addr, 16)
	require.Equal(t, api.CodeNotFound, api.Explain(err).Code)
	require.NotNil(t, r.wallets.get("w"), "kept while something is under way")
	r.step()
	r.step()
	require.Equal(t, machine.OnChain, r.get(sent).State)
	r.wallets.finishRemovals(t.Context())
	require.Nil(t, r.wallets.get("w"))
	require.Equal(t, api.CodeNotFound, api.Explain(r.removeWallet(t.Context(), "w")).Code)
}

// TestMissedNotifications: after a gap of any length the messages are right again.
func TestMissedNotifications(t *testing.T) {
	for _, gap := range []int{3, 1000} {
		r := newRig(t)
		id := r.push("", r.addr, 16)
		require.NoError(t, r.drain(r.addr))
		ts := r.node.Head()
		for range gap {
			ts = r.node.mine(ts, 0, nil)
		}
		r.node.setHead(ts)
		require.Equal(t, machine.Pending, r.get(id).State)
		r.sync()
		m := r.get(id)
		require.Equal(t, machine.OnChain, m.State, "gap %d", gap)
		require.EqualValues(t, 2, m.Executed.Height)
		// And back: another chain without it, seen only after the fact.
		other := r.node.mine(r.node.genesis, 0, func(*types.SignedMessage) bool { return false })
		for range gap + 1 {
			other = r.node.mine(other, 0, func(*types.SignedMessage) bool { return false })
		}
		r.node.setHead(other)
		r.sync()
		require.Equal(t, machine.Pending, r.get(id).State, "gap %d", gap)
	}
}

func TestReconcileSender(t *testing.T) {
	r := newRig(t)
	id := r.push("", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	r.node.step()
	r.node.step() // nobody told the messager
	require.NoError(t, r.reconcileSender(t.Context(), r.addr))
	require.Equal(t, machine.Pending, r.get(id).State, "nothing is decided above what was followed")
	// A head that is only watched, as by a messager that has just begun to decide fates: one that is seen from there might
	// never be reverted.
	r.setHead(r.node.Head())
	require.NoError(t, r.reconcileSender(t.Context(), r.addr))
	require.Equal(t, machine.Pending, r.get(id).State)
	_, err := r.ReconcileAll(t.Context())
	require.Equal(t, api.CodeUnavailable, codeOf(err))
	require.Equal(t, api.CodeUnavailable, codeOf(r.Reconcile(t.Context(), id)))
	// A notification that told of the head, but not of the message.
	require.NoError(t, r.db.Update(t.Context(), func(tx *store.Tx) error { return tx.PutHead(refOf(r.node.Head()), keepHeads) }))
	require.NoError(t, r.reconcileSender(t.Context(), r.addr))
	require.Equal(t, machine.OnChain, r.get(id).State)
	n, err := r.ReconcileAll(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, r.Reconcile(t.Context(), id))
	r.node.setFail("StateSearchMsg", errors.New("boom"))
	require.Error(t, r.Reconcile(t.Context(), id))
}

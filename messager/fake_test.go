package messager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	stcrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

// modelNode is a model chain with a pool: the truth that the messager is compared
// with. A tipset's messages are executed by its children.
type modelNode struct {
	mu       sync.Mutex
	seq      int
	genesis  *types.TipSet
	head     *types.TipSet
	tipsets  map[types.TipSetKey]*types.TipSet
	msgs     map[types.TipSetKey][]*types.SignedMessage
	pool     map[address.Address]map[uint64]*types.SignedMessage
	balances map[address.Address]big.Int
	clock    func() time.Time
	epoch    time.Duration
	baseFee  big.Int
	premium  big.Int
	subs     map[chan []*node.HeadChange]struct{}
	// fail makes a method fail, by name; "*" all of them.
	fail map[string]error
	// failMethod makes the estimates of an actor method fail.
	failMethod map[abi.MethodNum]string
	pushed     []*types.SignedMessage
	gossiped   []*types.SignedMessage
	// onPush is told of every message that enters the pool.
	onPush func(*types.SignedMessage)
	exits  map[abi.MethodNum]exitcode.ExitCode
	// late is how long a call takes; passing moves the clock on by that.
	late    time.Duration
	passing func(time.Duration)
	// deaf makes pushes arrive whose answers are lost.
	deaf bool
	// refuse makes the pool refuse, for as long as it returns an error.
	refuse func(*types.SignedMessage) error
	// nonces answers instead of the pool when it is set.
	nonces func(address.Address, uint64) uint64
	memo   map[memoKey]uint64
	// sealed tipsets have all their messages; byCid finds what was pushed.
	sealed map[types.TipSetKey]bool
	byCid  map[cid.Cid]*types.SignedMessage
	// foreign are messages that no messager made.
	foreign map[cid.Cid]bool
	// syncing is what the node says of fetching the chain; nil means at rest.
	syncing *node.SyncState
}

type memoKey struct {
	a   address.Address
	key types.TipSetKey
}

// wait lets the time of a call pass: as long as the call takes, or until its caller
// gives up.
func wait(ctx context.Context, late time.Duration, passing func(time.Duration)) error {
	if late <= 0 || passing == nil {
		return nil
	}
	patience := time.Minute
	if d, ok := ctx.Deadline(); ok {
		patience = d.Sub(clock.Real().Now()).Round(time.Second)
	}
	passing(min(late, patience))
	if late >= patience {
		return context.DeadlineExceeded
	}
	return nil
}

// begin begins a call: it takes its time, holds the node, and may be one to fail.
func (n *modelNode) begin(ctx context.Context, method string) (failed error, done func()) {
	n.mu.Lock()
	late, passing := n.late, n.passing
	n.mu.Unlock()
	failed = wait(ctx, late, passing)
	n.mu.Lock()
	if failed == nil {
		failed = n.failing(method)
	}
	return failed, n.mu.Unlock
}

var errAway = api.Errorf(api.CodeUnavailable, "connection refused")

func newModelNode(now func() time.Time) *modelNode {
	n := &modelNode{
		tipsets: map[types.TipSetKey]*types.TipSet{}, msgs: map[types.TipSetKey][]*types.SignedMessage{},
		pool: map[address.Address]map[uint64]*types.SignedMessage{}, balances: map[address.Address]big.Int{},
		memo: map[memoKey]uint64{}, sealed: map[types.TipSetKey]bool{}, byCid: map[cid.Cid]*types.SignedMessage{}, foreign: map[cid.Cid]bool{},
		clock: now, epoch: time.Second, baseFee: big.NewInt(100), premium: big.NewInt(100000),
		subs: map[chan []*node.HeadChange]struct{}{}, fail: map[string]error{}, failMethod: map[abi.MethodNum]string{}, exits: map[abi.MethodNum]exitcode.ExitCode{},
	}
	n.genesis = n.tipset(nil, 0)
	n.head = n.genesis
	return n
}

func (n *modelNode) tipset(parent *types.TipSet, height abi.ChainEpoch) *types.TipSet {
	n.seq++
	miner, err := address.NewIDAddress(uint64(1000 + n.seq))
	if err != nil {
		panic(err)
	}
	some := (&types.Message{To: miner, From: miner, Value: big.Zero(), GasFeeCap: big.Zero(), GasPremium: big.Zero()}).Cid()
	h := &types.BlockHeader{
		Miner: miner, Ticket: &types.Ticket{VRFProof: []byte(fmt.Sprint(n.seq))}, ParentWeight: big.NewInt(int64(height)), Height: height, Parents: []cid.Cid{some},
		ParentStateRoot: some, ParentMessageReceipts: some, Messages: some, ParentBaseFee: n.baseFee, Timestamp: uint64(n.clock().Unix()),
	}
	if parent != nil {
		h.Parents = parent.Cids()
	}
	ts, err := types.NewTipSet([]*types.BlockHeader{h})
	if err != nil {
		panic(err)
	}
	n.tipsets[ts.Key()] = ts
	return ts
}

// nonceAfter is a sender's nonce with the messages of ts executed.
func (n *modelNode) nonceAfter(a address.Address, ts *types.TipSet) uint64 {
	next, top := uint64(0), ts
	for ; ts != nil; ts = n.tipsets[ts.Parents()] {
		if known, ok := n.memo[memoKey{a, ts.Key()}]; ok {
			next = max(next, known)
			break
		}
		for _, m := range n.msgs[ts.Key()] {
			if m.Message.From == a {
				next = max(next, m.Message.Nonce+1)
			}
		}
	}
	if top != nil && n.sealed[top.Key()] {
		n.memo[memoKey{a, top.Key()}] = next
	}
	return next
}

// mine makes a tipset on parent that packs what take chooses from the pool.
func (n *modelNode) mine(parent *types.TipSet, nulls abi.ChainEpoch, take func(*types.SignedMessage) bool) *types.TipSet {
	n.mu.Lock()
	defer n.mu.Unlock()
	ts := n.tipset(parent, parent.Height()+1+nulls)
	var senders []address.Address
	for a := range n.pool {
		senders = append(senders, a)
	}
	sort.Slice(senders, func(i, j int) bool { return senders[i].String() < senders[j].String() })
	for _, a := range senders {
		for next := n.nonceAfter(a, parent); n.pool[a][next] != nil; next++ {
			m := n.pool[a][next]
			if m.Message.GasFeeCap.LessThan(n.baseFee) || (take != nil && !take(m)) {
				break
			}
			n.msgs[ts.Key()] = append(n.msgs[ts.Key()], m)
		}
	}
	n.sealed[ts.Key()] = true
	return ts
}

// include makes a tipset on parent that packs exactly these messages.
func (n *modelNode) include(parent *types.TipSet, msgs ...*types.SignedMessage) *types.TipSet {
	n.mu.Lock()
	defer n.mu.Unlock()
	ts := n.tipset(parent, parent.Height()+1)
	n.msgs[ts.Key()] = msgs
	n.sealed[ts.Key()] = true
	return ts
}

// setHead moves the head and tells subscribers.
func (n *modelNode) setHead(ts *types.TipSet) []*node.HeadChange {
	n.mu.Lock()
	defer n.mu.Unlock()
	path := n.path(n.head, ts)
	n.head = ts
	for ch := range n.subs {
		select {
		case ch <- path:
		default:
			delete(n.subs, ch)
			close(ch)
		}
	}
	return path
}

// step mines everything on the head and moves there.
func (n *modelNode) step() *types.TipSet {
	ts := n.mine(n.Head(), 0, nil)
	n.setHead(ts)
	return ts
}

func (n *modelNode) Head() *types.TipSet {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.head
}

func (n *modelNode) path(from, to *types.TipSet) []*node.HeadChange {
	var revert, apply []*node.HeadChange
	for from.Key() != to.Key() {
		if from.Height() >= to.Height() {
			revert = append(revert, &node.HeadChange{Type: node.HeadRevert, Val: from})
			from = n.tipsets[from.Parents()]
		} else {
			apply = append([]*node.HeadChange{{Type: node.HeadApply, Val: to}}, apply...)
			to = n.tipsets[to.Parents()]
		}
	}
	return append(revert, apply...)
}

// dropSubs ends all subscriptions, as a restarting node does.
func (n *modelNode) dropSubs() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for ch := range n.subs {
		delete(n.subs, ch)
		close(ch)
	}
}

func (n *modelNode) setFail(method string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		delete(n.fail, method)
	} else {
		n.fail[method] = err
	}
}

func (n *modelNode) failing(method string) error {
	if err := n.fail["*"]; err != nil {
		return err
	}
	return n.fail[method]
}

func (n *modelNode) ChainNotify(ctx context.Context) (<-chan []*node.HeadChange, error) {
	failed, done := n.begin(ctx, "ChainNotify")
	defer done()
	if err := failed; err != nil {
		return nil, err
	}
	ch := make(chan []*node.HeadChange, 64)
	ch <- []*node.HeadChange{{Type: node.HeadCurrent, Val: n.head}}
	n.subs[ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if _, ok := n.subs[ch]; ok {
			delete(n.subs, ch)
			close(ch)
		}
	})
	return ch, nil
}

func (n *modelNode) ChainHead(ctx context.Context) (*types.TipSet, error) {
	failed, done := n.begin(ctx, "ChainHead")
	defer done()
	return n.head, failed
}

func (n *modelNode) SyncState(ctx context.Context) (*node.SyncState, error) {
	failed, done := n.begin(ctx, "SyncState")
	defer done()
	if err := failed; err != nil {
		return nil, err
	}
	if n.syncing != nil {
		return n.syncing, nil
	}
	return &node.SyncState{ActiveSyncs: []node.ActiveSync{{}}}, nil
}

func (n *modelNode) ChainGetPath(ctx context.Context, from, to types.TipSetKey) ([]*node.HeadChange, error) {
	failed, done := n.begin(ctx, "ChainGetPath")
	defer done()
	if err := failed; err != nil {
		return nil, err
	}
	if n.tipsets[from] == nil || n.tipsets[to] == nil {
		return nil, errors.New("tipset not found")
	}
	return n.path(n.tipsets[from], n.tipsets[to]), nil
}

func (n *modelNode) ChainGetTipSet(ctx context.Context, key types.TipSetKey) (*types.TipSet, error) {
	failed, done := n.begin(ctx, "ChainGetTipSet")
	defer done()
	if err := failed; err != nil {
		return nil, err
	}
	if n.tipsets[key] == nil {
		return nil, errors.New("tipset not found")
	}
	return n.tipsets[key], nil
}

func (n *modelNode) child(block cid.Cid) (*types.TipSet, error) {
	ts := n.tipsets[types.NewTipSetKey(block)]
	if ts == nil {
		return nil, errors.New("block not found")
	}
	return ts, nil
}

func (n *modelNode) ChainGetParentMessages(ctx context.Context, block cid.Cid) ([]node.Message, error) {
	failed, done := n.begin(ctx, "ChainGetParentMessages")
	defer done()
	ts, err := n.child(block)
	if err = errors.Join(failed, err); err != nil {
		return nil, err
	}
	out := []node.Message{}
	for _, m := range n.msgs[ts.Parents()] {
		msg := m.Message
		out = append(out, node.Message{Cid: m.Cid(), Message: &msg})
	}
	return out, nil
}

func (n *modelNode) receipt(m *types.SignedMessage) *types.MessageReceipt {
	return &types.MessageReceipt{ExitCode: n.exits[m.Message.Method], GasUsed: m.Message.GasLimit / 2}
}

func (n *modelNode) ChainGetParentReceipts(ctx context.Context, block cid.Cid) ([]*types.MessageReceipt, error) {
	failed, done := n.begin(ctx, "ChainGetParentReceipts")
	defer done()
	ts, err := n.child(block)
	if err = errors.Join(failed, err); err != nil {
		return nil, err
	}
	out := []*types.MessageReceipt{}
	for _, m := range n.msgs[ts.Parents()] {
		out = append(out, n.receipt(m))
	}
	return out, nil
}

func (n *modelNode) BlockTime(ctx context.Context) (time.Duration, error) {
	failed, done := n.begin(ctx, "BlockTime")
	defer done()
	return n.epoch, failed
}

func (n *modelNode) actor(a address.Address) (big.Int, error) {
	b, ok := n.balances[a]
	if !ok {
		return b, errors.New("actor not found")
	}
	return b, nil
}

// at is the tipset of a key, the head for the empty one.
func (n *modelNode) at(key types.TipSetKey) *types.TipSet {
	if ts := n.tipsets[key]; ts != nil {
		return ts
	}
	return n.head
}

func (n *modelNode) StateGetActor(ctx context.Context, a address.Address, key types.TipSetKey) (*types.Actor, error) {
	failed, done := n.begin(ctx, "StateGetActor")
	defer done()
	b, err := n.actor(a)
	if err = errors.Join(failed, err); err != nil {
		return nil, err
	}
	some := n.genesis.Cids()[0]
	return &types.Actor{Code: some, Head: some, Nonce: n.nonceAfter(a, n.tipsets[n.at(key).Parents()]), Balance: b}, nil
}

func (n *modelNode) StateAccountKey(ctx context.Context, a address.Address, _ types.TipSetKey) (address.Address, error) {
	failed, done := n.begin(ctx, "StateAccountKey")
	defer done()
	if err := failed; err != nil {
		return address.Undef, err
	}
	return address.Undef, fmt.Errorf("actor not found: %s", a)
}

// search finds what was executed under a nonce on the chain up to a tipset.
func (n *modelNode) search(at *types.TipSet, a address.Address, nonce uint64) (*types.SignedMessage, *types.TipSet) {
	for ts := at; ts != nil; ts = n.tipsets[ts.Parents()] {
		for _, m := range n.msgs[ts.Parents()] {
			if m.Message.From == a && m.Message.Nonce == nonce {
				return m, ts
			}
		}
	}
	return nil, nil
}

func (n *modelNode) StateSearchMsg(ctx context.Context, key types.TipSetKey, c cid.Cid, _ abi.ChainEpoch, replaced bool) (*node.MsgLookup, error) {
	failed, done := n.begin(ctx, "StateSearchMsg")
	defer done()
	if err := failed; err != nil {
		return nil, err
	}
	p := n.byCid[c]
	if p == nil {
		return nil, nil
	}
	m, ts := n.search(n.at(key), p.Message.From, p.Message.Nonce)
	if m == nil || (m.Cid() != c && !replaced) {
		return nil, nil
	}
	return &node.MsgLookup{Message: m.Cid(), Receipt: *n.receipt(m), TipSet: ts.Key(), Height: ts.Height()}, nil
}

func (n *modelNode) MpoolPush(ctx context.Context, m *types.SignedMessage) (cid.Cid, error) {
	failed, done := n.begin(ctx, "MpoolPush")
	defer done()
	if err := failed; err != nil {
		return cid.Undef, err
	}
	return m.Cid(), n.heard(n.push(m))
}

func (n *modelNode) MpoolPublishMessage(ctx context.Context, m *types.SignedMessage) error {
	failed, done := n.begin(ctx, "MpoolPublishMessage")
	defer done()
	if failed == nil {
		n.gossiped = append(n.gossiped, m)
	}
	return failed
}

// heard loses the answer to a push that arrived, while the node is deaf.
func (n *modelNode) heard(err error) error {
	if n.deaf && err == nil {
		return errAway
	}
	return err
}

func (n *modelNode) push(m *types.SignedMessage) error {
	a, nonce := m.Message.From, m.Message.Nonce
	if nonce < n.nonceAfter(a, n.head) {
		return fmt.Errorf("nonce is already used on chain: nonce %d", nonce)
	}
	if n.byCid[m.Cid()] == nil {
		if err := crypto.Verify(&m.Signature, a, m.Message.Cid().Bytes()); err != nil {
			return fmt.Errorf("signature of message %s: %w", m.Cid(), err)
		}
	}
	if n.refuse != nil {
		if err := n.refuse(m); err != nil {
			return err
		}
	}
	if n.pool[a] == nil {
		n.pool[a] = map[uint64]*types.SignedMessage{}
	}
	if have := n.pool[a][nonce]; have != nil && have.Cid() != m.Cid() {
		least := big.Add(have.Message.GasPremium, big.Add(big.Div(have.Message.GasPremium, big.NewInt(4)), big.NewInt(1)))
		if m.Message.GasPremium.LessThan(least) {
			return errors.New("gas premium is too low to replace the pending message")
		}
	}
	n.pool[a][nonce] = m
	n.pushed = append(n.pushed, m)
	n.byCid[m.Cid()] = m
	if n.onPush != nil {
		n.onPush(m)
	}
	return nil
}

func (n *modelNode) MpoolBatchPush(ctx context.Context, ms []*types.SignedMessage) ([]cid.Cid, error) {
	failed, done := n.begin(ctx, "MpoolBatchPush")
	defer done()
	if err := failed; err != nil {
		return nil, err
	}
	var out []cid.Cid
	for _, m := range ms {
		if err := n.push(m); err != nil {
			return nil, err
		}
		out = append(out, m.Cid())
	}
	return out, n.heard(nil)
}

func (n *modelNode) MpoolGetNonce(ctx context.Context, a address.Address) (uint64, error) {
	failed, done := n.begin(ctx, "MpoolGetNonce")
	defer done()
	_, err := n.actor(a)
	if err = errors.Join(failed, err); err != nil {
		return 0, err
	}
	next := n.nonceAfter(a, n.head)
	for n.pool[a][next] != nil {
		next++
	}
	if n.nonces != nil {
		return n.nonces(a, next), nil
	}
	return next, nil
}

func (n *modelNode) GasBatchEstimateMessageGas(ctx context.Context, ms []*node.EstimateMessage, from uint64, _ types.TipSetKey) ([]*node.EstimateResult, error) {
	failed, done := n.begin(ctx, "GasBatchEstimateMessageGas")
	defer done()
	if err := failed; err != nil {
		return nil, err
	}
	out := []*node.EstimateResult{}
	for _, m := range ms {
		msg := *m.Msg
		if text := n.failMethod[msg.Method]; text != "" {
			out = append(out, &node.EstimateResult{Msg: &msg, Err: text})
			continue
		}
		msg.Nonce, from = from, from+1
		msg.GasLimit, msg.GasPremium, msg.GasFeeCap = 1_000_000, n.premium, big.Add(big.Mul(n.baseFee, big.NewInt(10)), n.premium)
		out = append(out, &node.EstimateResult{Msg: &msg})
	}
	return out, nil
}

func (n *modelNode) GasEstimateFeeCap(ctx context.Context, m *types.Message, _ int64, _ types.TipSetKey) (abi.TokenAmount, error) {
	failed, done := n.begin(ctx, "GasEstimateFeeCap")
	defer done()
	return big.Add(big.Mul(n.baseFee, big.NewInt(10)), m.GasPremium), failed
}

func (n *modelNode) GasEstimateGasPremium(ctx context.Context, _ uint64, _ address.Address, _ int64, _ types.TipSetKey) (abi.TokenAmount, error) {
	failed, done := n.begin(ctx, "GasEstimateGasPremium")
	defer done()
	return n.premium, failed
}

// modelWallet holds real keys.
type modelWallet struct {
	mu   sync.Mutex
	keys map[address.Address][]byte
	err  error
	// wrong makes it answer with a signature over other bytes.
	wrong  bool
	signed int
	// made counts the keys, which are the same in every run.
	made int
	// late is how long a call takes; passing moves the clock on by that.
	late    time.Duration
	passing func(time.Duration)
	// hidden are keys that are away for a while; swap signs with another key.
	hidden map[address.Address][]byte
	swap   bool
}

// begin begins a call: it takes its time.
func (w *modelWallet) begin(ctx context.Context) error {
	w.mu.Lock()
	late, passing := w.late, w.passing
	w.mu.Unlock()
	return wait(ctx, late, passing)
}

// newModelWallet makes a wallet whose keys depend on its number only.
func newModelWallet(number int) *modelWallet {
	return &modelWallet{keys: map[address.Address][]byte{}, made: 50 * number}
}

func (w *modelWallet) newKey(t testing.TB) address.Address {
	t.Helper()
	w.made++
	priv, err := crypto.GenerateKeyFromSeed(stcrypto.SigTypeSecp256k1, bytes.Repeat([]byte{byte(w.made)}, 32))
	require.NoError(t, err)
	a, err := crypto.AddressFor(stcrypto.SigTypeSecp256k1, priv)
	require.NoError(t, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys[a] = priv
	return a
}

// signMessage signs outside any messager.
func (w *modelWallet) signMessage(t testing.TB, m types.Message) *types.SignedMessage {
	raw, err := m.Serialize()
	require.NoError(t, err)
	sig, err := w.WalletSign(t.Context(), m.From, m.Cid().Bytes(), wallet.MsgMeta{Type: wallet.TypeMessage, Extra: raw})
	require.NoError(t, err)
	return &types.SignedMessage{Message: m, Signature: *sig}
}

func (w *modelWallet) set(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

func (w *modelWallet) WalletList(ctx context.Context) ([]address.Address, error) {
	if err := w.begin(ctx); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil && api.Explain(w.err).Code == api.CodeUnavailable {
		return nil, w.err
	}
	out := []address.Address{}
	for a := range w.keys {
		out = append(out, a)
	}
	return out, nil
}

func (w *modelWallet) WalletSign(ctx context.Context, a address.Address, toSign []byte, meta wallet.MsgMeta) (*stcrypto.Signature, error) {
	if err := w.begin(ctx); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, w.err
	}
	priv, ok := w.keys[a]
	if !ok {
		return nil, errors.New("no such key")
	}
	if meta.Type != wallet.TypeMessage {
		return nil, errors.New("not a message")
	}
	m, err := types.DecodeMessage(meta.Extra)
	if err != nil || m.From != a || string(m.Cid().Bytes()) != string(toSign) {
		return nil, errors.New("not what it claims to be")
	}
	if w.wrong {
		toSign = append([]byte{1}, toSign...)
	}
	if w.swap {
		for other, key := range w.keys {
			if other != a {
				priv = key
				break
			}
		}
	}
	w.signed++
	return crypto.Sign(stcrypto.SigTypeSecp256k1, priv, toSign)
}

// tipsetOf returns a tipset by its key.
func (n *modelNode) tipsetOf(key types.TipSetKey) *types.TipSet {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.tipsets[key]
}

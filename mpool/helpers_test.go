package mpool

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	stcrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

// testAddr is a key address made from a name; by default BLS, so that messages
// need no signature bytes of their own in blocks.
func testAddr(t testing.TB, name string) address.Address {
	t.Helper()
	key := make([]byte, 48)
	copy(key, "key of "+name)
	a, err := address.NewBLSAddress(key)
	require.NoError(t, err)
	return a
}

func blsMsg(from address.Address, nonce uint64, limit, feeCap, premium int64) *types.SignedMessage {
	to, _ := address.NewIDAddress(99)
	return &types.SignedMessage{
		Message: types.Message{
			To: to, From: from, Nonce: nonce, Value: big.Zero(),
			GasLimit: limit, GasFeeCap: big.NewInt(feeCap), GasPremium: big.NewInt(premium),
		},
		Signature: stcrypto.Signature{Type: stcrypto.SigTypeBLS, Data: []byte("signed")},
	}
}

// fakeChain is a model chain: tipsets with messages, balances that never change.
type fakeChain struct {
	t        testing.TB
	tipsets  map[types.TipSetKey]*types.TipSet
	msgs     map[types.TipSetKey][]types.ChainMsg
	balances map[address.Address]big.Int
	baseFee  big.Int
	seq      int
}

func newFakeChain(t testing.TB) *fakeChain {
	return &fakeChain{
		t: t, tipsets: map[types.TipSetKey]*types.TipSet{}, msgs: map[types.TipSetKey][]types.ChainMsg{},
		balances: map[address.Address]big.Int{}, baseFee: big.NewInt(100),
	}
}

// extend makes a tipset of one block on parent (nil for a genesis).
func (c *fakeChain) extend(parent *types.TipSet, msgs ...types.ChainMsg) *types.TipSet {
	c.seq++
	miner, err := address.NewIDAddress(uint64(1000 + c.seq))
	require.NoError(c.t, err)
	some := (&types.Message{To: miner, From: miner, Value: big.Zero(), GasFeeCap: big.Zero(), GasPremium: big.Zero()}).Cid()
	h := &types.BlockHeader{
		Miner: miner, Ticket: &types.Ticket{VRFProof: []byte(fmt.Sprint(c.seq))}, ParentWeight: big.Zero(),
		ParentStateRoot: some, ParentMessageReceipts: some, Messages: some, ParentBaseFee: c.baseFee,
	}
	if parent != nil {
		h.Parents, h.Height = parent.Cids(), parent.Height()+1
	} else {
		h.Parents = []cid.Cid{some}
	}
	ts, err := types.NewTipSet([]*types.BlockHeader{h})
	require.NoError(c.t, err)
	c.tipsets[ts.Key()], c.msgs[ts.Key()] = ts, msgs
	return ts
}

func (c *fakeChain) ActorAfter(_ context.Context, addr address.Address, ts *types.TipSet) (Actor, error) {
	balance, ok := c.balances[addr]
	if !ok {
		return Actor{}, fmt.Errorf("%s: %w", addr, ErrUnknownSender)
	}
	a := Actor{Balance: balance}
	for ts != nil {
		for _, m := range c.msgs[ts.Key()] {
			if vm := m.VMMessage(); vm.From == addr {
				a.Nonce = max(a.Nonce, vm.Nonce+1)
			}
		}
		ts = c.tipsets[ts.Parents()]
	}
	return a, nil
}

func (c *fakeChain) ResolveToKey(_ context.Context, addr address.Address, _ *types.TipSet) (address.Address, error) {
	return addr, nil
}

func (c *fakeChain) BaseFeeAfter(context.Context, *types.TipSet) (abi.TokenAmount, error) {
	return c.baseFee, nil
}

func (c *fakeChain) Messages(_ context.Context, ts *types.TipSet) ([]types.ChainMsg, error) {
	return c.msgs[ts.Key()], nil
}

func (c *fakeChain) TipSet(_ context.Context, key types.TipSetKey) (*types.TipSet, error) {
	ts, ok := c.tipsets[key]
	if !ok {
		return nil, fmt.Errorf("tipset %s is unknown", key)
	}
	return ts, nil
}

type poolKit struct {
	*Pool
	chain     *fakeChain
	store     *MemoryStore
	clk       *clock.Sim
	published []*types.SignedMessage
}

func newKit(t testing.TB, chain *fakeChain, store *MemoryStore, head *types.TipSet) *poolKit {
	t.Helper()
	k := &poolKit{chain: chain, store: store, clk: clock.NewSim(time.Unix(1e9, 0))}
	p, err := New(t.Context(), Options{
		Chain: chain, Store: store, Clock: k.clk, BlockDelay: 30 * time.Second, PropagationDelay: 6 * time.Second,
		Head: head, Config: DefaultConfig(), Seed: 1,
		Publish: func(_ context.Context, m *types.SignedMessage) error {
			k.published = append(k.published, m)
			return nil
		},
		Verify: func(sig *stcrypto.Signature, _ address.Address, _ []byte) error {
			if string(sig.Data) != "signed" {
				return fmt.Errorf("not signed")
			}
			return nil
		},
	})
	require.NoError(t, err)
	k.Pool = p
	return k
}

var fil = big.NewInt(1e18)

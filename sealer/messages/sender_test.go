package messages_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
)

func id(t *testing.T, n uint64) address.Address {
	a, err := address.NewIDAddress(n)
	require.NoError(t, err)
	return a
}

// purse is a chain with chosen balances, controls and keys.
type purse struct {
	*sealertest.Messager
	controls []address.Address
	balance  map[address.Address]int64 // FIL
	keys     map[address.Address]bool
	call     *exitcode.ExitCode // of every StateCall, nil for none
}

func (p *purse) StateCall(context.Context, *types.Message, types.TipSetKey) (*node.InvocResult, error) {
	if p.call == nil {
		return nil, errors.New("down")
	}
	return &node.InvocResult{MsgRct: &types.MessageReceipt{ExitCode: *p.call}, Error: "why"}, nil
}

func (p *purse) StateMinerInfo(context.Context, address.Address, types.TipSetKey) (node.MinerInfo, error) {
	w, err := address.NewIDAddress(sealertest.WorkerID)
	o, err2 := address.NewIDAddress(sealertest.OwnerID)
	return node.MinerInfo{Worker: w, Owner: o, ControlAddresses: p.controls}, errors.Join(err, err2)
}

func (p *purse) StateAccountKey(_ context.Context, a address.Address, _ types.TipSetKey) (address.Address, error) {
	return a, nil
}

func (p *purse) WalletBalance(_ context.Context, a address.Address) (abi.TokenAmount, error) {
	return types.NewFIL(p.balance[a]).Atto(), nil
}

func (p *purse) HasWalletAddress(_ context.Context, _ string, a address.Address) (bool, error) {
	return p.keys[a], nil
}

func TestWhoPays(t *testing.T) {
	net, err := params.ByName("local")
	require.NoError(t, err)
	owner, worker, c1, c2 := id(t, sealertest.OwnerID), id(t, sealertest.WorkerID), id(t, 201), id(t, 202)
	all := map[address.Address]bool{owner: true, worker: true, c1: true, c2: true}
	cases := []struct {
		name     string
		kind     sector.Kind
		attempt  int
		controls []address.Address
		balance  map[address.Address]int64
		keys     map[address.Address]bool
		want     address.Address
		err      error
	}{
		{"worker", sector.KindCommit, 0, []address.Address{c1}, map[address.Address]int64{worker: 5, owner: 50, c1: 50}, all, worker, nil},
		{"owner helps", sector.KindCommit, 0, nil, map[address.Address]int64{worker: 1, owner: 50}, all, owner, nil},
		{"nobody", sector.KindCommit, 0, nil, map[address.Address]int64{worker: 1}, all, address.Undef, messages.ErrFunds},
		{"no key", sector.KindCommit, 0, nil, map[address.Address]int64{worker: 9}, nil, address.Undef, messages.ErrNoKey},
		{"configured control", sector.KindPreCommit, 0, nil, map[address.Address]int64{worker: 9, c2: 9}, all, c2, nil},
		{"window proof from control", sector.KindWindowPoSt, 1, []address.Address{c1}, map[address.Address]int64{worker: 9, c1: 9}, all, c1, nil},
		{"window proof from the control that is only for it", sector.KindWindowPoSt, 1, []address.Address{c2, c1}, map[address.Address]int64{worker: 9, c1: 9, c2: 9}, all, c1, nil},
		{"window proof from the other control", sector.KindWindowPoSt, 1, []address.Address{c2, c1}, map[address.Address]int64{worker: 9, c1: 1, c2: 9}, all, c2, nil},
		{"stuck window proof", sector.KindWindowPoSt, 2, []address.Address{c1}, map[address.Address]int64{worker: 9, c1: 9}, all, worker, nil},
		{"poor window proof", sector.KindWindowPoSt, 1, []address.Address{c1}, map[address.Address]int64{worker: 1}, all, worker, nil},
		{"broke window proof", sector.KindWindowPoSt, 1, nil, nil, all, address.Undef, messages.ErrFunds},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := sealertest.NewChain(net, 10, time.Unix(1e9, 0)).Messager()
			p := &purse{Messager: m, controls: c.controls, balance: c.balance, keys: c.keys}
			s := messages.New(messages.Config{
				Miner: sealertest.Miner(), Wallet: "w", Controls: map[sector.Kind][]address.Address{sector.KindPreCommit: {c2}},
				MaxFee: map[sector.Kind]abi.TokenAmount{sector.KindCommit: types.NewFIL(1).Atto(), sector.KindWindowPoSt: types.NewFIL(5).Atto()},
			}, p, p)
			req := messages.Request{ID: "x", Kind: c.kind, Method: 7, Value: types.NewFIL(3).Atto(), Params: []byte{1}, Attempt: c.attempt}
			if c.kind == sector.KindWindowPoSt {
				req.Value = big.Zero()
			}
			_, err := s.Push(t.Context(), req)
			if c.err != nil {
				require.ErrorIs(t, err, c.err)
				require.Equal(t, sector.Operator, messages.ClassOf(err))
				require.Empty(t, m.Pushed(7))
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, m.Pushed(7)[0].From)
		})
	}
}

func TestPushOnce(t *testing.T) {
	net, err := params.ByName("local")
	require.NoError(t, err)
	chain := sealertest.NewChain(net, 10, time.Unix(1e9, 0))
	s := messages.New(messages.Config{Miner: sealertest.Miner(), Wallet: "w"}, chain.Messager(), chain)
	v, err := s.Push(t.Context(), messages.Request{ID: "x", Method: 7, Value: types.NewFIL(3).Atto(), Params: []byte{1}})
	require.NoError(t, err)
	require.Equal(t, types.NewFIL(3).Atto(), v)
	// Asked again after a crash, with other values: the first message stands.
	v, err = s.Push(t.Context(), messages.Request{ID: "x", Method: 7, Value: types.NewFIL(9).Atto(), Params: []byte{2}})
	require.NoError(t, err)
	require.Equal(t, types.NewFIL(3).Atto(), v)
	require.Len(t, chain.Messager().Pushed(7), 1)
	chain.Messager().Down = true
	_, err = s.Push(t.Context(), messages.Request{ID: "y", Method: 7, Value: big.Zero()})
	require.Equal(t, sector.Transient, messages.ClassOf(err))
	require.Equal(t, sector.Operator, messages.ClassOf(api.Errorf(api.CodeUnauthenticated, "bad token")))
}

func TestFates(t *testing.T) {
	c := sealertest.Cid("m")
	ok := &types.MessageReceipt{ExitCode: exitcode.Ok, Return: []byte{1}}
	for _, x := range []struct {
		m    messager.Message
		want messages.Fate
	}{
		{messager.Message{State: messager.StateQueued, ErrorMsg: "no gas"}, messages.Fate{Waiting: true, Why: "no gas"}},
		{messager.Message{State: messager.StatePending}, messages.Fate{Waiting: true}},
		{messager.Message{State: messager.StateOnChain, Height: 5, Confidence: 1, Receipt: ok, SignedCid: &c}, messages.Fate{Waiting: true, Height: 5}},
		{messager.Message{State: messager.StateOnChain, Height: 5, Confidence: 2, Receipt: ok, SignedCid: &c}, messages.Fate{Landed: true, Height: 5, Cid: c, Return: []byte{1}}},
		{messager.Message{State: messager.StateFailed, ErrorMsg: "expired"}, messages.Fate{Dropped: true, Why: "expired"}},
		{messager.Message{State: messager.StateReplaced}, messages.Fate{Dropped: true, Why: "the messager gave it up (nonce conflict)"}},
		{messager.Message{State: messager.StateNoWallet}, messages.Fate{Dropped: true, Why: "the messager gave it up (no wallet)"}},
	} {
		require.Equal(t, x.want, messages.FateOf(&x.m, 2))
	}
}

func TestTry(t *testing.T) {
	for exit, refused := range map[exitcode.ExitCode]bool{exitcode.Ok: false, exitcode.ErrInsufficientFunds: false, exitcode.SysErrInsufficientFunds: false, 16: true, exitcode.SysErrForbidden: true} {
		s := messages.New(messages.Config{Miner: sealertest.Miner()}, nil, &purse{call: &exit})
		err := s.Try(t.Context(), messages.Request{Kind: sector.KindPreCommit, Method: 25})
		var r *messages.Refusal
		require.Equal(t, refused, errors.As(err, &r), "exit %d: %v", exit, err)
		if refused {
			require.Equal(t, exit, r.Exit)
			require.ErrorContains(t, err, "why")
		}
	}
	s := messages.New(messages.Config{Miner: sealertest.Miner()}, nil, &purse{})
	err := s.Try(t.Context(), messages.Request{Kind: sector.KindPreCommit, Method: 25})
	var r *messages.Refusal
	require.Error(t, err)
	require.False(t, errors.As(err, &r), "a node that is away refuses nothing")
}

// TestSharedFee: a message that sectors share may cost what their own would.
func TestSharedFee(t *testing.T) {
	net, err := params.ByName("local")
	require.NoError(t, err)
	chain := sealertest.NewChain(net, 10, time.Unix(1e9, 0))
	s := messages.New(messages.Config{Miner: sealertest.Miner(), Wallet: "w", MaxFee: map[sector.Kind]abi.TokenAmount{sector.KindPreCommit: types.NewFIL(10).Atto()}}, chain.Messager(), chain)
	_, err = s.Push(t.Context(), messages.Request{ID: "a", Kind: sector.KindPreCommit, Method: 25, Value: big.Zero(), Sectors: 9})
	require.NoError(t, err)
	_, err = s.Push(t.Context(), messages.Request{ID: "b", Kind: sector.KindPreCommit, Method: 25, Value: big.Zero(), Sectors: 11})
	require.ErrorIs(t, err, messages.ErrFunds, "the worker has 100 FIL")
}

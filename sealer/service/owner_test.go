package service

import (
	"context"
	"errors"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/heads"
	"github.com/filecoin-venus/venus/types"
)

// owned is a sealer in front of a node and a messager whose answers the test chooses.
type owned struct {
	*Service
	info   node.MinerInfo
	exit   exitcode.ExitCode
	keys   map[address.Address]bool
	pushed []*types.Message
	fee    abi.TokenAmount
}

func idOf(t *testing.T, n uint64) address.Address {
	a, err := address.NewIDAddress(n)
	require.NoError(t, err)
	return a
}

func newOwned(t *testing.T) *owned {
	net, err := params.ByName("local")
	require.NoError(t, err)
	o := &owned{info: node.MinerInfo{Owner: idOf(t, 100), Worker: idOf(t, 101), ControlAddresses: []address.Address{idOf(t, 102)}, ConsensusFaultElapsed: -1}}
	o.keys = map[address.Address]bool{o.info.Owner: true, o.info.Worker: true}
	n, m := new(node.FullNodeProxy), new(messager.MessagerProxy)
	n.Internal.StateMinerInfo = func(context.Context, address.Address, types.TipSetKey) (node.MinerInfo, error) { return o.info, nil }
	n.Internal.StateAccountKey = func(_ context.Context, a address.Address, _ types.TipSetKey) (address.Address, error) { return a, nil }
	n.Internal.StateLookupID = func(_ context.Context, a address.Address, _ types.TipSetKey) (address.Address, error) {
		if a.Protocol() != address.ID {
			return a, errors.New("actor not found")
		}
		return a, nil
	}
	n.Internal.StateMinerAvailableBalance = func(context.Context, address.Address, types.TipSetKey) (abi.TokenAmount, error) {
		return types.NewFIL(7).Atto(), nil
	}
	n.Internal.WalletBalance = func(context.Context, address.Address) (abi.TokenAmount, error) { return types.NewFIL(3).Atto(), nil }
	n.Internal.StateReadState = func(context.Context, address.Address, types.TipSetKey) (*node.ActorState, error) {
		return &node.ActorState{State: map[string]any{"FeeDebt": "5"}}, nil
	}
	n.Internal.StateCall = func(context.Context, *types.Message, types.TipSetKey) (*node.InvocResult, error) {
		return &node.InvocResult{MsgRct: &types.MessageReceipt{ExitCode: o.exit}, Error: "says the chain"}, nil
	}
	m.Internal.HasWalletAddress = func(_ context.Context, _ string, a address.Address) (bool, error) { return o.keys[a], nil }
	m.Internal.PushMessage = func(_ context.Context, msg *types.Message, meta *messager.MsgMeta, _ string) (string, error) {
		o.pushed, o.fee = append(o.pushed, msg), meta.MaxFee
		return "id-1", nil
	}
	cfg := config.Default()
	cfg.Addresses.PreCommitControl = []string{o.info.ControlAddresses[0].String()}
	o.Service = &Service{node: n, messager: m, cfg: cfg, miner: idOf(t, 1000), network: net, heads: heads.New(nil, clock.Real())}
	return o
}

func TestOwnersMessages(t *testing.T) {
	addr := func(n uint64) address.Address { return idOf(t, n) }
	const peerID = "12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf"
	for _, c := range []struct {
		name   string
		do     func(ctx context.Context, o *owned) (string, error)
		from   uint64
		method abi.MethodNum
		value  int64
	}{
		{"withdraw", func(ctx context.Context, o *owned) (string, error) { return o.ActorWithdraw(ctx, big.Int{}) }, 100, builtin.MethodsMiner.WithdrawBalance, 0},
		{"debt", func(ctx context.Context, o *owned) (string, error) {
			return o.ActorRepayDebt(ctx, big.Zero(), address.Undef)
		}, 101, builtin.MethodsMiner.RepayDebt, 5},
		{"owner proposes", func(ctx context.Context, o *owned) (string, error) { return o.ActorSetOwner(ctx, addr(101), addr(100)) }, 100, builtin.MethodsMiner.ChangeOwnerAddress, 0},
		{"owner accepts", func(ctx context.Context, o *owned) (string, error) { return o.ActorSetOwner(ctx, addr(101), addr(101)) }, 101, builtin.MethodsMiner.ChangeOwnerAddress, 0},
		{"worker", func(ctx context.Context, o *owned) (string, error) { return o.ActorProposeWorker(ctx, addr(105)) }, 100, builtin.MethodsMiner.ChangeWorkerAddress, 0},
		{"controls", func(ctx context.Context, o *owned) (string, error) { return o.ActorSetControls(ctx, nil) }, 100, builtin.MethodsMiner.ChangeWorkerAddress, 0},
		{"peer", func(ctx context.Context, o *owned) (string, error) { return o.ActorSetPeerID(ctx, peerID) }, 101, builtin.MethodsMiner.ChangePeerID, 0},
		{"addrs", func(ctx context.Context, o *owned) (string, error) {
			return o.ActorSetAddrs(ctx, []string{"/ip4/1.2.3.4/tcp/5"})
		}, 101, builtin.MethodsMiner.ChangeMultiaddrs, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOwned(t)
			id, err := c.do(t.Context(), o)
			require.NoError(t, err)
			require.Equal(t, "id-1", id)
			require.Len(t, o.pushed, 1)
			m := o.pushed[0]
			require.Equal(t, []any{addr(c.from), addr(1000), c.method, c.value}, []any{m.From, m.To, m.Method, m.Value.Int64()})
			require.Equal(t, "0.05 FIL", types.FIL(o.fee).String())

			o.exit = exitcode.ErrForbidden
			_, err = c.do(t.Context(), o)
			require.Equal(t, api.CodePrecondition, api.Explain(err).Code)
			require.ErrorContains(t, err, "ErrForbidden(18) and is not sent: says the chain")
			o.exit, o.keys = exitcode.Ok, nil
			_, err = c.do(t.Context(), o)
			require.ErrorContains(t, err, "does not hold")
			require.Len(t, o.pushed, 1, "neither was sent")
		})
	}
}

func TestOwnersMistakes(t *testing.T) {
	o := newOwned(t)
	ctx := t.Context()
	key, err := address.NewSecp256k1Address([]byte("nobody"))
	require.NoError(t, err)
	for want, do := range map[string]func() (string, error){
		"are available":          func() (string, error) { return o.ActorWithdraw(ctx, types.NewFIL(8).Atto()) },
		"cannot withdraw -1":     func() (string, error) { return o.ActorWithdraw(ctx, types.NewFIL(-1).Atto()) },
		"neither the owner":      func() (string, error) { return o.ActorSetOwner(ctx, idOf(t, 105), idOf(t, 106)) },
		"not on the chain":       func() (string, error) { return o.ActorSetOwner(ctx, key, idOf(t, 100)) },
		"is the worker already":  func() (string, error) { return o.ActorProposeWorker(ctx, idOf(t, 101)) },
		"no worker is proposed":  func() (string, error) { return o.ActorConfirmWorker(ctx) },
		"at most 10":             func() (string, error) { return o.ActorSetControls(ctx, make([]address.Address, 11)) },
		"is no peer id":          func() (string, error) { return o.ActorSetPeerID(ctx, "x") },
		"is no multiaddr":        func() (string, error) { return o.ActorSetAddrs(ctx, []string{"1.2.3.4"}) },
		"no number for a sector": func() (string, error) { return o.ActorCompactAllocated(ctx, abi.MaxSectorNumber) },
	} {
		_, err := do()
		require.ErrorContains(t, err, want)
	}
	o.info.NewWorker, o.info.WorkerChangeEpoch = idOf(t, 105), 900
	_, err = o.ActorConfirmWorker(ctx)
	require.ErrorContains(t, err, "from epoch 900 on, in 900 epochs")
	_, err = o.ActorProposeWorker(ctx, idOf(t, 106))
	require.ErrorContains(t, err, "forgets no proposal")
	require.Empty(t, o.pushed)
	o.info.WorkerChangeEpoch = 0
	_, err = o.ActorConfirmWorker(ctx)
	require.NoError(t, err)

	info, err := o.ActorInfo(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 5, info.FeeDebt.Int64())
	require.Equal(t, idOf(t, 105), info.NewWorker)
	var uses [][]string
	for _, c := range info.Controllers {
		uses = append(uses, append([]string{c.Name}, c.Uses...))
	}
	require.Equal(t, [][]string{{"owner", "other"}, {"worker", "other"}, {"control-0", "precommit"}}, uses)
	require.False(t, info.Controllers[2].InWallet)
}

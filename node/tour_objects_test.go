package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/types"
)

var objectTable = map[string]func(*testing.T, *tour){
	"ChainList": func(t *testing.T, x *tour) {
		all, err := x.v1.ChainList(x.ctx, types.EmptyTSK, 1000)
		require.NoError(t, err)
		require.Equal(t, x.head.Key(), all[0])
		require.Equal(t, x.head.Parents(), all[1])
		require.Equal(t, x.genesis.Key(), all[len(all)-1])
		two, err := x.v1.ChainList(x.ctx, x.head.Parents(), 2)
		require.NoError(t, err)
		require.Equal(t, all[1:3], two)
		_, err = x.v1.ChainList(x.ctx, types.EmptyTSK, 0)
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"ChainGetReceipts": func(t *testing.T, x *tour) {
		found, err := x.v1.StateSearchMsg(x.ctx, types.EmptyTSK, x.saved.Cid(), -1, false)
		require.NoError(t, err)
		block, err := x.v1.ChainGetBlock(x.ctx, found.TipSet.Cids()[0])
		require.NoError(t, err)
		list, err := x.v1.ChainGetReceipts(x.ctx, block.ParentMessageReceipts)
		require.NoError(t, err)
		require.Len(t, list, 2)
		require.Equal(t, found.Receipt, *list[1])
		_, err = x.v1.ChainGetReceipts(x.ctx, nowhere(t))
		require.Equal(t, api.CodeNotFound, code(err))
	},
	"ChainGetNode": func(t *testing.T, x *tour) {
		c := x.head.Cids()[0]
		n, err := x.v1.ChainGetNode(x.ctx, "/ipfs/"+c.String())
		require.NoError(t, err)
		require.Equal(t, c, n.Cid)
		header, ok := n.Obj.([]any)
		require.True(t, ok)
		require.Len(t, header, 16)
		require.Equal(t, map[string]any{"/": x.head.Parents().Cids()[0].String()}, header[5].([]any)[0])
		require.EqualValues(t, x.head.Height(), header[7])
		n, err = x.v1.ChainGetNode(x.ctx, c.String()+"/5/0/7")
		require.NoError(t, err, "through a link")
		require.Equal(t, x.head.Parents().Cids()[0], n.Cid)
		require.EqualValues(t, x.head.Height()-1, n.Obj)
		n, err = x.v1.ChainGetNode(x.ctx, "/ipfs/"+c.String()+"/8")
		require.NoError(t, err, "ends at a link")
		require.Equal(t, x.head.ParentState(), n.Cid)
		for path, want := range map[string]api.ErrorCode{
			"": api.CodeInvalid, "/ipfs/x": api.CodeInvalid, c.String() + "/99": api.CodeNotFound, nowhere(t).String(): api.CodeNotFound,
		} {
			_, err := x.v1.ChainGetNode(x.ctx, path)
			require.Equal(t, want, code(err), path)
		}
	},
	"ChainExport": testExport,
	"ChainBlockstoreInfo": func(t *testing.T, x *tour) {
		info, err := x.v1.ChainBlockstoreInfo(x.ctx)
		require.NoError(t, err)
		require.Equal(t, "packs", info["Kind"])
		require.Contains(t, info, "Size")
	},
	"ChainPrune": func(t *testing.T, x *tour) {
		got, err := x.v1.ChainPrune(x.ctx, apinode.PruneOpts{RetainState: 10_000})
		require.NoError(t, err)
		require.Positive(t, got.Kept)
		require.Positive(t, got.KeptBytes)
		require.NoError(t, x.v1.ChainCheckBlockstore(x.ctx))
		info, err := x.v1.ChainBlockstoreInfo(x.ctx)
		require.NoError(t, err)
		require.Positive(t, info["Packs"])
		_, err = x.v1.ChainPrune(x.ctx, apinode.PruneOpts{RetainState: -2})
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"ChainCheckBlockstore": func(t *testing.T, x *tour) {
		require.NoError(t, x.v1.ChainCheckBlockstore(x.ctx))
	},
	"StateLookupRobustAddress": func(t *testing.T, x *tour) {
		for who, want := range map[address.Address]address.Address{x.saver.addr: x.saver.addr, x.w.faucet.addr: x.w.faucet.addr} {
			id, err := x.v1.StateLookupID(x.ctx, who, types.EmptyTSK)
			require.NoError(t, err)
			got, err := x.v1.StateLookupRobustAddress(x.ctx, id, types.EmptyTSK)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		unknown, err := address.NewIDAddress(987654)
		require.NoError(t, err)
		_, err = x.v1.StateLookupRobustAddress(x.ctx, unknown, types.EmptyTSK)
		require.Equal(t, api.CodeNotFound, code(err))
	},
	"StateChangedActors": func(t *testing.T, x *tour) {
		before := x.including(t, x.saved)
		after, err := x.v1.StateSearchMsg(x.ctx, types.EmptyTSK, x.saved.Cid(), -1, false)
		require.NoError(t, err)
		ts, err := x.v1.ChainGetTipSet(x.ctx, after.TipSet)
		require.NoError(t, err)
		got, err := x.v1.StateChangedActors(x.ctx, before.ParentState(), ts.ParentState())
		require.NoError(t, err)
		id, err := x.v1.StateLookupID(x.ctx, x.saver.addr, types.EmptyTSK)
		require.NoError(t, err)
		require.EqualValues(t, 1, got[id.String()].Nonce)
		require.NotContains(t, got, reserve(t).String(), "nothing happened to the reserve")
		_, err = x.v1.StateChangedActors(x.ctx, nowhere(t), ts.ParentState())
		require.Error(t, err)
		_, err = x.v1.StateChangedActors(x.ctx, cid.Undef, cid.Undef)
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"StateCompute": func(t *testing.T, x *tour) {
		again, err := x.v1.StateCompute(x.ctx, x.including(t, x.saved).Height(), nil, x.including(t, x.saved).Key())
		require.NoError(t, err)
		after, err := x.v1.StateSearchMsg(x.ctx, types.EmptyTSK, x.saved.Cid(), -1, false)
		require.NoError(t, err)
		ts, err := x.v1.ChainGetTipSet(x.ctx, after.TipSet)
		require.NoError(t, err)
		require.Equal(t, ts.ParentState(), again.Root, "without messages it is what the chain says")
		require.Len(t, again.Trace, 4, "two messages, the reward and cron")
		require.Equal(t, after.Receipt, *again.Trace[1].MsgRct)

		next := x.saver.transfer(t, x.w.faucet.addr, 1, 5).Message
		more, err := x.v1.StateCompute(x.ctx, x.head.Height()+10, []*types.Message{&next}, types.EmptyTSK)
		require.NoError(t, err)
		last := more.Trace[len(more.Trace)-1]
		require.Equal(t, next.Cid(), last.MsgCid)
		require.Zero(t, last.MsgRct.ExitCode)
		require.Positive(t, last.GasCost.TotalCost.Int.Sign())
		_, err = x.v1.StateCompute(x.ctx, x.head.Height()-1, nil, types.EmptyTSK)
		require.Equal(t, api.CodeInvalid, code(err))
		_, err = x.v1.StateCompute(x.ctx, x.head.Height(), []*types.Message{nil}, types.EmptyTSK)
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"StateCheck": func(t *testing.T, x *tour) {
		r, err := x.v1.StateCheck(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		require.Empty(t, r.Broken)
		require.NotNil(t, r.Broken, "an empty list, not null")
		require.Equal(t, x.head.Height(), r.Epoch)
		_, err = x.v1.StateCheck(x.ctx, types.NewTipSetKey(nowhere(t)))
		require.Error(t, err)
	},
	"StateListMessages": func(t *testing.T, x *tour) {
		id, err := x.v1.StateLookupID(x.ctx, x.saver.addr, types.EmptyTSK)
		require.NoError(t, err)
		for _, saver := range []address.Address{x.saver.addr, id} {
			list, err := x.v1.StateListMessages(x.ctx, &apinode.MessageMatch{From: saver}, types.EmptyTSK, 0)
			require.NoError(t, err)
			require.Equal(t, []cid.Cid{x.saved.Cid()}, list)
			list, err = x.v1.StateListMessages(x.ctx, &apinode.MessageMatch{To: saver, From: x.w.faucet.addr}, types.EmptyTSK, 0)
			require.NoError(t, err)
			require.Equal(t, []cid.Cid{x.paid.Cid()}, list)
		}
		list, err := x.v1.StateListMessages(x.ctx, &apinode.MessageMatch{From: x.saver.addr}, types.EmptyTSK, x.head.Height())
		require.NoError(t, err)
		require.Empty(t, list, "not that far back")
		_, err = x.v1.StateListMessages(x.ctx, &apinode.MessageMatch{}, types.EmptyTSK, 0)
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"StateEncodeParams": func(t *testing.T, x *tour) {
		m := x.offered.Message
		dec, err := x.v1.StateDecodeParams(x.ctx, m.To, m.Method, m.Params, types.EmptyTSK)
		require.NoError(t, err)
		raw, err := json.Marshal(dec)
		require.NoError(t, err)
		enc, err := x.v1.StateEncodeParams(x.ctx, builtin.StorageMinerActorCodeID, m.Method, raw)
		require.NoError(t, err)
		require.Equal(t, m.Params, enc)
		enc, err = x.v1.StateEncodeParams(x.ctx, builtin.PaymentChannelActorCodeID, builtin.MethodsPaych.Settle, json.RawMessage("null"))
		require.NoError(t, err)
		require.Empty(t, enc)
		for _, bad := range []string{`{"Nobody":1}`, `[]`} {
			_, err = x.v1.StateEncodeParams(x.ctx, builtin.StorageMinerActorCodeID, m.Method, json.RawMessage(bad))
			require.Equal(t, api.CodeInvalid, code(err), bad)
		}
		_, err = x.v1.StateEncodeParams(x.ctx, builtin.StorageMinerActorCodeID, 999, json.RawMessage("{}"))
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"StateDealProviderCollateralBounds": func(t *testing.T, x *tour) {
		b, err := x.v1.StateDealProviderCollateralBounds(x.ctx, 2048, false, types.EmptyTSK)
		require.NoError(t, err)
		require.True(t, b.Max.GreaterThan(b.Min))
		twice, err := x.v1.StateDealProviderCollateralBounds(x.ctx, 4096, true, types.EmptyTSK)
		require.NoError(t, err)
		require.True(t, twice.Min.GreaterThanEqual(b.Min))
		_, err = x.v1.StateDealProviderCollateralBounds(x.ctx, 2000, false, types.EmptyTSK)
		require.Equal(t, api.CodeInvalid, code(err), "not a power of two")
	},
	"SyncCheckpoint": testCheckpoint,
	"LogAlerts": func(t *testing.T, x *tour) {
		alerts, err := x.v1.LogAlerts(x.ctx)
		require.NoError(t, err)
		require.Len(t, alerts, 1, "the genesis of the tests is old")
		require.Equal(t, api.AlertType{System: "node", Subsystem: "head"}, alerts[0].Type)
		require.True(t, alerts[0].Active)
		require.Contains(t, alerts[0].LastActive.Message, "the clock says epoch")
		require.WithinDuration(t, time.Now(), alerts[0].LastActive.Time, time.Minute)
	},
}

// testExport reads an export back: a node could start from it.
func testExport(t *testing.T, x *tour) {
	read := func(recent abi.ChainEpoch, skip bool) *ipld.Memory {
		parts, err := x.v1.ChainExport(x.ctx, recent, skip, types.EmptyTSK)
		require.NoError(t, err)
		var all bytes.Buffer
		last := []byte("none")
		for p := range parts {
			all.Write(p)
			last = p
		}
		require.Empty(t, last, "the end is told")
		m := ipld.NewMemory()
		roots, err := ipld.ReadCAR(x.ctx, &all, m)
		require.NoError(t, err)
		require.Equal(t, x.head.Cids(), roots)
		return m
	}
	has := func(m *ipld.Memory, c cid.Cid) bool {
		ok, err := m.Has(x.ctx, c)
		require.NoError(t, err)
		return ok
	}
	messages := x.including(t, x.paid).Blocks()[0].Messages
	full, short := read(1000, false), read(1, true)
	for _, m := range []*ipld.Memory{full, short} {
		require.True(t, has(m, x.genesis.Cids()[0]))
		require.True(t, has(m, x.genesis.ParentState()))
		require.NoError(t, ipld.Walk(x.ctx, m, func(cid.Cid, []byte) error { return nil }, x.head.ParentState()), "the state of the head is whole")
	}
	require.True(t, has(full, messages))
	require.False(t, has(short, messages))
	require.Less(t, short.Len(), full.Len())
	_, err := x.v1.ChainExport(x.ctx, -1, false, types.EmptyTSK)
	require.Equal(t, api.CodeInvalid, code(err))
	ctx, cancel := context.WithCancel(x.ctx)
	parts, err := x.v1.ChainExport(ctx, 1000, false, types.EmptyTSK)
	require.NoError(t, err)
	_, err = x.v1.ChainExport(ctx, 1000, false, types.EmptyTSK)
	require.NoError(t, err)
	more, err := x.v1.ChainExport(ctx, 1000, false, types.EmptyTSK)
	if err == nil { // the first may have ended by now
		for range more {
		}
	} else {
		require.Equal(t, api.CodeLimit, code(err))
	}
	cancel()
	for range parts { // who hangs up ends it
	}
	soon(t, "there is room again", func() bool {
		ctx, cancel := context.WithCancel(x.ctx)
		defer cancel()
		_, err := x.v1.ChainExport(ctx, 1, true, types.EmptyTSK)
		return err == nil
	})
}

func testCheckpoint(t *testing.T, x *tour) {
	pin := x.including(t, x.saved)
	require.NoError(t, x.v1.SyncCheckpoint(x.ctx, pin.Key()))
	require.NoError(t, x.v1.ChainSetHead(x.ctx, pin.Key()), "down to it")
	err := x.v1.ChainSetHead(x.ctx, pin.Parents())
	require.Equal(t, api.CodePrecondition, code(err))
	require.Contains(t, api.Explain(err).Hint, "SyncCheckpoint")
	require.Equal(t, api.CodePrecondition, code(x.v1.SyncCheckpoint(x.ctx, x.head.Key())), "above the head")
	require.NoError(t, x.v1.ChainSetHead(x.ctx, x.head.Key()))
	require.NoError(t, x.v1.SyncCheckpoint(x.ctx, x.genesis.Key()))
	require.NoError(t, x.v1.ChainSetHead(x.ctx, pin.Parents()))
	require.NoError(t, x.v1.ChainSetHead(x.ctx, x.head.Key()))
	require.Equal(t, api.CodeInvalid, code(x.v1.SyncCheckpoint(x.ctx, types.EmptyTSK)))
}

var checkTable = map[string]func(*testing.T, *tour){
	"MpoolCheckMessages": func(t *testing.T, x *tour) {
		good := x.saver.transfer(t, x.w.faucet.addr, 1, 1).Message
		good.GasFeeCap = big.Mul(good.GasFeeCap, big.NewInt(10))
		poor := good
		poor.Nonce, poor.Value, poor.GasFeeCap, poor.GasLimit = 7, big.Mul(big.NewInt(50), types.AttoPerFIL), big.NewInt(50), 10
		poor.GasPremium = big.NewInt(50)
		list, err := x.v1.MpoolCheckMessages(x.ctx, []*apinode.MessagePrototype{{Message: good, ValidNonce: true}, {Message: poor, ValidNonce: true}, {Message: good}})
		require.NoError(t, err)
		require.Equal(t, map[int]bool{}, failed(list[0]))
		require.Len(t, list[0], 12)
		require.Equal(t, map[int]bool{
			apinode.CheckValidity: true, apinode.CheckMinGas: true, apinode.CheckMinBaseFee: true, apinode.CheckBaseFee: true, apinode.CheckBaseFeeSoon: true,
			apinode.CheckBaseFeeLate: true, apinode.CheckNonce: true, apinode.CheckBalance: true,
		}, failed(list[1]))
		require.Equal(t, map[int]bool{apinode.CheckBalance: true}, failed(list[2]), "the poor one before it took the money")
		nobody := newAccount(t, types.KeyBLS, 9).transfer(t, x.saver.addr, 0, 1).Message
		list, err = x.v1.MpoolCheckMessages(x.ctx, []*apinode.MessagePrototype{{Message: nobody}})
		require.NoError(t, err)
		require.Equal(t, map[int]bool{apinode.CheckBaseFeeLate: true, apinode.CheckNonceState: true, apinode.CheckBalanceState: true}, failed(list[0]))
		require.Contains(t, x.raw(t, "MpoolCheckMessages", `[{"Message":{}}]`), `"Code":1,"OK":false,"Err":"`, "nobody to nobody")
	},
	"MpoolCheckPendingMessages": func(t *testing.T, x *tour) {
		m := x.pending(t)
		list, err := x.v1.MpoolCheckPendingMessages(x.ctx, x.w.faucet.addr)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, m.Message.Cid(), list[0][0].Cid)
		require.Equal(t, map[int]bool{apinode.CheckBaseFeeLate: true}, failed(list[0]), "it pays twice the base fee")
	},
	"MpoolCheckReplaceMessages": func(t *testing.T, x *tour) {
		m := x.pending(t)
		better, other := m.Message, m.Message
		better.GasPremium = big.Mul(m.Message.GasPremium, big.NewInt(2))
		other.Nonce = 9
		list, err := x.v1.MpoolCheckReplaceMessages(x.ctx, []*types.Message{&better, &m.Message, &other})
		require.NoError(t, err)
		require.Equal(t, map[int]bool{apinode.CheckBaseFeeLate: true}, failed(list[0]))
		require.Equal(t, map[int]bool{apinode.CheckBaseFeeLate: true, apinode.CheckReplacePayoff: true}, failed(list[1]))
		require.True(t, failed(list[2])[apinode.CheckReplacePayoff])
		_, err = x.v1.MpoolCheckReplaceMessages(x.ctx, []*types.Message{nil})
		require.Equal(t, api.CodeInvalid, code(err))
	},
}

// failed are the codes of the checks that failed, each with a reason.
func failed(list []apinode.MessageCheck) map[int]bool {
	out := map[int]bool{}
	for _, c := range list {
		if c.OK != (c.Err == "") {
			panic(fmt.Sprintf("check %d: OK %v with %q", c.Code, c.OK, c.Err))
		}
		if !c.OK {
			out[c.Code] = true
		}
	}
	return out
}

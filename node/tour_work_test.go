package node

import (
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// pending pushes a payment of the faucet and forgets it at the end.
func (x *tour) pending(t *testing.T) *types.SignedMessage {
	t.Helper()
	m := x.w.faucet.transfer(t, x.saver.addr, 2, 1)
	x.push(t, m)
	t.Cleanup(func() { require.NoError(t, x.v1.MpoolClear(x.ctx, true)) })
	return m
}

var mpoolTable = map[string]func(*testing.T, *tour){
	"MpoolPush": func(t *testing.T, x *tour) {
		m := x.pending(t)
		x.push(t, m) // again: no error
		_, err := x.v1.MpoolPush(x.ctx, nil)
		require.Equal(t, api.CodeInvalid, code(err))
		bad := *m
		bad.Signature.Data = append([]byte{}, m.Signature.Data...)
		bad.Signature.Data[5] ^= 1
		_, err = x.v1.MpoolPush(x.ctx, &bad)
		require.ErrorContains(t, err, "signature is wrong")
		_, err = x.v1.MpoolPush(x.ctx, x.paid)
		require.ErrorContains(t, err, "nonce is already used")
	},
	"MpoolPushUntrusted": func(t *testing.T, x *tour) {
		x.pending(t)
		c, err := x.v1.MpoolPushUntrusted(x.ctx, x.w.faucet.transfer(t, x.saver.addr, 3, 1))
		require.NoError(t, err)
		require.True(t, c.Defined())
		_, err = x.v1.MpoolPushUntrusted(x.ctx, x.w.faucet.transfer(t, x.saver.addr, 6, 1))
		require.ErrorContains(t, err, "gap")
		_, err = x.v1.MpoolPushUntrusted(x.ctx, nil)
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"MpoolBatchPush": func(t *testing.T, x *tour) {
		x.pending(t)
		one, two := x.w.faucet.transfer(t, x.saver.addr, 3, 1), x.w.faucet.transfer(t, x.saver.addr, 4, 1)
		got, err := x.v1.MpoolBatchPush(x.ctx, []*types.SignedMessage{one, two})
		require.NoError(t, err)
		require.Equal(t, []cid.Cid{one.Cid(), two.Cid()}, got)
		_, err = x.v1.MpoolBatchPush(x.ctx, []*types.SignedMessage{x.w.faucet.transfer(t, x.saver.addr, 5, 1), nil})
		require.Equal(t, api.CodeInvalid, code(err))
		n, err := x.v1.MpoolGetNonce(x.ctx, x.w.faucet.addr)
		require.NoError(t, err)
		require.EqualValues(t, 6, n, "what came before the refusal is in")
	},
	"MpoolBatchPushUntrusted": func(t *testing.T, x *tour) {
		x.pending(t)
		one := x.w.faucet.transfer(t, x.saver.addr, 3, 1)
		got, err := x.v1.MpoolBatchPushUntrusted(x.ctx, []*types.SignedMessage{one})
		require.NoError(t, err)
		require.Equal(t, []cid.Cid{one.Cid()}, got)
	},
	"MpoolPublishByAddr": func(t *testing.T, x *tour) {
		x.pending(t)
		require.NoError(t, x.v1.MpoolPublishByAddr(x.ctx, x.w.faucet.addr))
	},
	"MpoolPublishMessage": func(t *testing.T, x *tour) {
		require.NoError(t, x.v1.MpoolPublishMessage(x.ctx, x.w.faucet.transfer(t, x.saver.addr, 2, 3)))
		require.Equal(t, api.CodeInvalid, code(x.v1.MpoolPublishMessage(x.ctx, nil)))
		all, err := x.v1.MpoolPending(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		require.Empty(t, all, "not kept")
	},
	"MpoolGetNonce": func(t *testing.T, x *tour) {
		for a, want := range map[address.Address]uint64{x.w.faucet.addr: 2, x.saver.addr: 1} {
			n, err := x.v1.MpoolGetNonce(x.ctx, a)
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		_, err := x.v1.MpoolGetNonce(x.ctx, newAccount(t, types.KeyBLS, 9).addr)
		require.Error(t, err)
	},
	"MpoolPending": func(t *testing.T, x *tour) {
		m := x.pending(t)
		for _, key := range []types.TipSetKey{types.EmptyTSK, x.head.Key(), x.head.Parents(), x.genesis.Key()} {
			all, err := x.v1.MpoolPending(x.ctx, key)
			require.NoError(t, err)
			require.Equal(t, []*types.SignedMessage{m}, all)
		}
		_, err := x.v1.MpoolPending(x.ctx, types.NewTipSetKey(nowhere(t)))
		require.Equal(t, api.CodeNotFound, code(err))
	},
	"MpoolSelect": func(t *testing.T, x *tour) {
		m := x.pending(t)
		got, err := x.v1.MpoolSelect(x.ctx, x.head.Key(), 1)
		require.NoError(t, err)
		require.Equal(t, []*types.SignedMessage{m}, got)
	},
	"MpoolSelects": func(t *testing.T, x *tour) {
		m := x.pending(t)
		got, err := x.v1.MpoolSelects(x.ctx, types.EmptyTSK, []float64{1, 0.5})
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.Equal(t, []*types.SignedMessage{m}, got[0])
	},
	"MpoolSub": func(t *testing.T, x *tour) {
		updates, err := x.v1.MpoolSub(x.ctx)
		require.NoError(t, err)
		m := x.pending(t)
		require.Equal(t, apinode.MpoolUpdate{Type: apinode.MpoolAdd, Message: m}, <-updates)
		require.NoError(t, x.v1.MpoolClear(x.ctx, true))
		require.Equal(t, apinode.MpoolUpdate{Type: apinode.MpoolRemove, Message: m}, <-updates)
	},
	"MpoolClear": func(t *testing.T, x *tour) {
		m := x.pending(t)
		require.NoError(t, x.v1.MpoolClear(x.ctx, false))
		all, err := x.v1.MpoolPending(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, []*types.SignedMessage{m}, all, "our own stay")
	},
	"MpoolGetConfig": func(t *testing.T, x *tour) {
		c, err := x.v1.MpoolGetConfig(x.ctx)
		require.NoError(t, err)
		require.Equal(t, 1.25, c.GasLimitOverestimation)
		require.Equal(t, time.Minute, c.PruneCooldown)
	},
	"MpoolSetConfig": func(t *testing.T, x *tour) {
		old, err := x.v1.MpoolGetConfig(x.ctx)
		require.NoError(t, err)
		c := *old
		c.SizeLimitHigh, c.PriorityAddrs = 40000, []address.Address{x.saver.addr}
		require.NoError(t, x.v1.MpoolSetConfig(x.ctx, &c))
		got, err := x.v1.MpoolGetConfig(x.ctx)
		require.NoError(t, err)
		require.Equal(t, c, *got)
		require.NoError(t, x.v1.MpoolSetConfig(x.ctx, old))
		c.ReplaceByFeeRatio = 0.5
		require.ErrorContains(t, x.v1.MpoolSetConfig(x.ctx, &c), "ReplaceByFeeRatio")
		require.Equal(t, api.CodeInvalid, code(x.v1.MpoolSetConfig(x.ctx, nil)))
	},
	"GasEstimateMessageGas": func(t *testing.T, x *tour) {
		m := &types.Message{From: x.saver.addr, To: x.w.faucet.addr, Value: big.NewInt(1)}
		got, err := x.v1.GasEstimateMessageGas(x.ctx, m, &apinode.MessageSendSpec{MaxFee: big.NewInt(1e15)}, types.EmptyTSK)
		require.NoError(t, err)
		require.Positive(t, got.GasLimit)
		require.Positive(t, got.GasPremium.Int.Sign())
		require.True(t, big.Mul(got.GasFeeCap, big.NewInt(got.GasLimit)).LessThanEqual(big.NewInt(1e15)))
		_, err = x.v1.GasEstimateMessageGas(x.ctx, nil, nil, types.EmptyTSK)
		require.Equal(t, api.CodeInvalid, code(err))
		m.Value = big.Mul(big.NewInt(6), types.AttoPerFIL)
		_, err = x.v1.GasEstimateMessageGas(x.ctx, m, nil, types.EmptyTSK)
		require.Error(t, err, "it would fail")
	},
	"GasBatchEstimateMessageGas": func(t *testing.T, x *tour) {
		good := &types.Message{From: x.saver.addr, To: x.w.faucet.addr, Value: big.NewInt(1)}
		poor := *good
		poor.Value = big.Mul(big.NewInt(6), types.AttoPerFIL)
		got, err := x.v1.GasBatchEstimateMessageGas(x.ctx, []*apinode.EstimateMessage{{Msg: good}, {Msg: &poor}, {Msg: good}}, 1, types.EmptyTSK)
		require.NoError(t, err)
		require.Len(t, got, 3)
		require.Empty(t, got[0].Err)
		require.NotEmpty(t, got[1].Err)
		require.Equal(t, []uint64{1, 0, 2}, []uint64{got[0].Msg.Nonce, got[1].Msg.Nonce, got[2].Msg.Nonce})
		_, err = x.v1.GasBatchEstimateMessageGas(x.ctx, []*apinode.EstimateMessage{nil}, 1, types.EmptyTSK)
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"GasEstimateGasLimit": func(t *testing.T, x *tour) {
		limit, err := x.v1.GasEstimateGasLimit(x.ctx, &types.Message{From: x.saver.addr, To: x.w.faucet.addr, Value: big.NewInt(1)}, types.EmptyTSK)
		require.NoError(t, err)
		found, err := x.v1.StateSearchMsg(x.ctx, types.EmptyTSK, x.saved.Cid(), -1, false)
		require.NoError(t, err)
		require.InDelta(t, found.Receipt.GasUsed, limit, float64(found.Receipt.GasUsed)/5, "a transfer like the saver's")
		_, err = x.v1.GasEstimateGasLimit(x.ctx, nil, types.EmptyTSK)
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"GasEstimateFeeCap": func(t *testing.T, x *tour) {
		m := x.saved.Message
		soon, err := x.v1.GasEstimateFeeCap(x.ctx, &m, 1, types.EmptyTSK)
		require.NoError(t, err)
		late, err := x.v1.GasEstimateFeeCap(x.ctx, &m, 20, types.EmptyTSK)
		require.NoError(t, err)
		require.True(t, late.GreaterThan(soon))
		_, err = x.v1.GasEstimateFeeCap(x.ctx, nil, 1, types.EmptyTSK)
		require.Equal(t, api.CodeInvalid, code(err))
		_, err = x.v1.GasEstimateFeeCap(x.ctx, &types.Message{From: x.saver.addr, To: x.saver.addr}, 1, types.EmptyTSK)
		require.NoError(t, err, "a message without a premium")
	},
	"GasEstimateGasPremium": func(t *testing.T, x *tour) {
		p, err := x.v1.GasEstimateGasPremium(x.ctx, 2, x.saver.addr, 0, types.EmptyTSK)
		require.NoError(t, err)
		require.Positive(t, p.Int.Sign())
	},
}

var syncTable = map[string]func(*testing.T, *tour){
	"SyncState": func(t *testing.T, x *tour) {
		st, err := x.v1.SyncState(x.ctx)
		require.NoError(t, err)
		require.Len(t, st.ActiveSyncs, 1)
		require.Equal(t, apinode.StageIdle, st.ActiveSyncs[0].Stage, "it never had to fetch")
	},
	"SyncSubmitBlock": func(t *testing.T, x *tour) {
		require.Equal(t, api.CodeInvalid, code(x.v1.SyncSubmitBlock(x.ctx, nil)))
		require.Equal(t, api.CodeInvalid, code(x.v1.SyncSubmitBlock(x.ctx, &types.BlockMsg{})))
	},
	"SyncIncomingBlocks": func(t *testing.T, x *tour) {
		in, err := x.v1.SyncIncomingBlocks(x.ctx)
		require.NoError(t, err)
		again := &types.BlockMsg{Header: x.head.Blocks()[0]}
		require.NoError(t, x.v1.SyncSubmitBlock(x.ctx, again))
		require.Equal(t, again.Cid(), (<-in).Cid())
	},
	"SyncCheckBad": func(t *testing.T, x *tour) {
		reason, err := x.v1.SyncCheckBad(x.ctx, x.head.Cids()[0])
		require.NoError(t, err)
		require.Empty(t, reason)
	},
	"SyncMarkBad": func(t *testing.T, x *tour) {
		c := x.head.Cids()[0]
		require.NoError(t, x.v1.SyncMarkBad(x.ctx, c))
		reason, err := x.v1.SyncCheckBad(x.ctx, c)
		require.NoError(t, err)
		require.Contains(t, reason, "operator")
		err = x.v1.SyncSubmitBlock(x.ctx, &types.BlockMsg{Header: x.head.Blocks()[0]})
		require.Equal(t, api.CodeInvalid, code(err))
		require.NoError(t, x.v1.SyncUnmarkBad(x.ctx, c))
		require.Equal(t, api.CodeInvalid, code(x.v1.SyncMarkBad(x.ctx, cid.Undef)))
	},
	"SyncUnmarkBad": func(t *testing.T, x *tour) {
		require.NoError(t, x.v1.SyncMarkBad(x.ctx, nowhere(t)))
		require.NoError(t, x.v1.SyncUnmarkBad(x.ctx, nowhere(t)))
		reason, err := x.v1.SyncCheckBad(x.ctx, nowhere(t))
		require.NoError(t, err)
		require.Empty(t, reason)
		require.Equal(t, api.CodeInvalid, code(x.v1.SyncUnmarkBad(x.ctx, cid.Undef)), "that would clear the list")
	},
	"SyncUnmarkAllBad": func(t *testing.T, x *tour) {
		require.NoError(t, x.v1.SyncMarkBad(x.ctx, nowhere(t)))
		require.NoError(t, x.v1.SyncUnmarkAllBad(x.ctx))
		reason, err := x.v1.SyncCheckBad(x.ctx, nowhere(t))
		require.NoError(t, err)
		require.Empty(t, reason)
	},
	"SyncValidateTipset": func(t *testing.T, x *tour) {
		for _, key := range []types.TipSetKey{types.EmptyTSK, x.including(t, x.saved).Key(), x.genesis.Key()} {
			ok, err := x.v1.SyncValidateTipset(x.ctx, key)
			require.NoError(t, err)
			require.True(t, ok)
		}
		_, err := x.v1.SyncValidateTipset(x.ctx, types.NewTipSetKey(nowhere(t)))
		require.Equal(t, api.CodeNotFound, code(err))
	},
	"NodeStatus": func(t *testing.T, x *tour) {
		st, err := x.v1.NodeStatus(x.ctx, true)
		require.NoError(t, err)
		require.EqualValues(t, x.head.Height(), st.SyncStatus.Epoch)
		require.Greater(t, st.SyncStatus.Behind, uint64(past-100))
		require.Equal(t, 1.0, st.ChainStatus.BlocksPerTipsetLast100)
		require.Equal(t, 1.0, st.ChainStatus.BlocksPerTipsetLastFinality)
		st, err = x.v1.NodeStatus(x.ctx, false)
		require.NoError(t, err)
		require.Zero(t, st.ChainStatus)
	},
	"MinerGetBaseInfo": func(t *testing.T, x *tour) {
		_, err := x.v1.MinerGetBaseInfo(x.ctx, reserve(t), x.head.Height()+1, x.head.Key())
		require.Error(t, err, "a multisig is no miner")
		unknown, err := address.NewIDAddress(987654)
		require.NoError(t, err)
		_, err = x.v1.MinerGetBaseInfo(x.ctx, unknown, x.head.Height()+1, x.head.Key())
		require.Equal(t, api.CodeNotFound, code(err))
		_, err = x.v1.MinerGetBaseInfo(x.ctx, x.w.miner, x.head.Height(), x.head.Key())
		require.Error(t, err, "that epoch is over")
	},
	"MinerCreateBlock": func(t *testing.T, x *tour) {
		for _, bad := range []*apinode.BlockTemplate{nil, {Miner: x.w.miner}} {
			_, err := x.v1.MinerCreateBlock(x.ctx, bad)
			require.Equal(t, api.CodeInvalid, code(err))
		}
		full := apinode.BlockTemplate{
			Miner: x.w.miner, Parents: x.head.Key(), Ticket: &types.Ticket{VRFProof: []byte{1}}, Eproof: &types.ElectionProof{WinCount: 1, VRFProof: []byte{1}},
			Epoch: x.head.Height() + abi.ChainEpoch(1), Messages: []*types.SignedMessage{x.saved},
		}
		b, err := x.v1.MinerCreateBlock(x.ctx, &full)
		require.NoError(t, err)
		require.Equal(t, []cid.Cid{x.saved.Cid()}, b.SecpkMessages)
		require.Nil(t, b.Header.BlockSig)
		require.True(t, b.Header.ParentBaseFee.LessThan(big.NewInt(params.InitialBaseFee)))
	},
}

var netTable = map[string]func(*testing.T, *tour){
	"ID":               func(t *testing.T, x *tour) { testPeers(t, x) },
	"NetAddrsListen":   func(t *testing.T, x *tour) {}, // all with ID
	"NetPeers":         func(t *testing.T, x *tour) {},
	"NetConnect":       func(t *testing.T, x *tour) {},
	"NetDisconnect":    func(t *testing.T, x *tour) {},
	"NetConnectedness": func(t *testing.T, x *tour) {},
	"NetFindPeer":      func(t *testing.T, x *tour) {},
	"NetAgentVersion":  func(t *testing.T, x *tour) {},
	"NetPing":          func(t *testing.T, x *tour) {},
	"NetAutoNatStatus": func(t *testing.T, x *tour) {
		nat, err := x.v1.NetAutoNatStatus(x.ctx)
		require.NoError(t, err)
		require.Zero(t, nat.Reachability, "nobody tried to dial")
	},
	"NetBandwidthStats":           func(t *testing.T, x *tour) {},
	"NetBandwidthStatsByPeer":     func(t *testing.T, x *tour) {},
	"NetBandwidthStatsByProtocol": func(t *testing.T, x *tour) {},
	"NetPeerInfo":                 func(t *testing.T, x *tour) {},
	"NetPubsubScores":             func(t *testing.T, x *tour) {},
	"NetBlockAdd":                 func(t *testing.T, x *tour) { testBlocked(t) },
	"NetBlockRemove":              func(t *testing.T, x *tour) {},
	"NetBlockList":                func(t *testing.T, x *tour) {},
	"NetProtectAdd":               func(t *testing.T, x *tour) {},
	"NetProtectRemove":            func(t *testing.T, x *tour) {},
	"NetProtectList":              func(t *testing.T, x *tour) {},
	"NetFaults":                   func(t *testing.T, x *tour) { testFaults(t) },
	"NetForgive":                  func(t *testing.T, x *tour) {}, // with NetFaults
}

package node

import (
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/types"
)

var chainTable = map[string]func(*testing.T, *tour){
	"ChainHead": func(t *testing.T, x *tour) { require.Equal(t, x.head.Key(), x.running.head(t).Key()) },
	"ChainGetGenesis": func(t *testing.T, x *tour) {
		g, err := x.v1.ChainGetGenesis(x.ctx)
		require.NoError(t, err)
		require.Equal(t, x.net.GenesisCID, g.Cids()[0].String())
		require.Zero(t, g.Height())
	},
	"ChainGetTipSet": func(t *testing.T, x *tour) {
		ts, err := x.v1.ChainGetTipSet(x.ctx, x.head.Parents())
		require.NoError(t, err)
		require.Equal(t, x.head.Parents(), ts.Key())
		_, err = x.v1.ChainGetTipSet(x.ctx, types.NewTipSetKey(nowhere(t)))
		require.Equal(t, api.CodeNotFound, code(err))
		_, err = x.v1.ChainGetTipSet(x.ctx, types.NewTipSetKey(x.head.Cids()[0], x.genesis.Cids()[0]))
		require.Equal(t, api.CodeInvalid, code(err), "blocks of two heights are no tipset")
	},
	"ChainGetTipSetByHeight": func(t *testing.T, x *tour) {
		ts, err := x.v1.ChainGetTipSetByHeight(x.ctx, x.head.Height()-1, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, x.head.Parents(), ts.Key())
		for _, h := range []abi.ChainEpoch{-1, x.head.Height() + 1} {
			_, err = x.v1.ChainGetTipSetByHeight(x.ctx, h, types.EmptyTSK)
			require.Equal(t, api.CodeInvalid, code(err))
		}
	},
	"ChainGetTipSetAfterHeight": func(t *testing.T, x *tour) {
		ts, err := x.v1.ChainGetTipSetAfterHeight(x.ctx, 0, x.head.Key())
		require.NoError(t, err)
		require.Equal(t, x.genesis.Key(), ts.Key())
	},
	"ChainGetBlock": func(t *testing.T, x *tour) {
		h, err := x.v1.ChainGetBlock(x.ctx, x.head.Cids()[0])
		require.NoError(t, err)
		require.Equal(t, x.head.Cids()[0], h.Cid())
		_, err = x.v1.ChainGetBlock(x.ctx, nowhere(t))
		require.Equal(t, api.CodeNotFound, code(err))
	},
	"ChainGetBlockMessages": func(t *testing.T, x *tour) {
		m, err := x.v1.ChainGetBlockMessages(x.ctx, x.including(t, x.saved).Cids()[0])
		require.NoError(t, err)
		require.Equal(t, []cid.Cid{x.offered.Cid(), x.saved.Cid()}, m.Cids)
		require.Equal(t, x.offered.Message.Cid(), m.BlsMessages[0].Cid())
		require.Equal(t, x.saved, m.SecpkMessages[0])
	},
	"ChainGetMessage": func(t *testing.T, x *tour) {
		for _, want := range []*types.SignedMessage{x.paid, x.saved} {
			m, err := x.v1.ChainGetMessage(x.ctx, want.Cid())
			require.NoError(t, err)
			require.Equal(t, want.Message.Cid(), m.Cid())
		}
		_, err := x.v1.ChainGetMessage(x.ctx, nowhere(t))
		require.Equal(t, api.CodeNotFound, code(err))
	},
	"ChainGetMessagesInTipset": func(t *testing.T, x *tour) {
		ms, err := x.v1.ChainGetMessagesInTipset(x.ctx, x.including(t, x.paid).Key())
		require.NoError(t, err)
		require.Len(t, ms, 2)
		require.Equal(t, x.paid.Cid(), ms[0].Cid)
		ms, err = x.v1.ChainGetMessagesInTipset(x.ctx, x.genesis.Key())
		require.NoError(t, err)
		require.Empty(t, ms)
	},
	"ChainGetParentMessages": func(t *testing.T, x *tour) {
		found, err := x.v1.StateSearchMsg(x.ctx, types.EmptyTSK, x.saved.Cid(), -1, false)
		require.NoError(t, err)
		block := found.TipSet.Cids()[0]
		ms, err := x.v1.ChainGetParentMessages(x.ctx, block)
		require.NoError(t, err)
		rs, err := x.v1.ChainGetParentReceipts(x.ctx, block)
		require.NoError(t, err)
		require.Len(t, ms, 2)
		require.Len(t, rs, 2)
		require.Equal(t, x.saved.Cid(), ms[1].Cid)
		require.Equal(t, found.Receipt, *rs[1])
	},
	"ChainGetParentReceipts": func(t *testing.T, x *tour) {
		rs, err := x.v1.ChainGetParentReceipts(x.ctx, x.genesis.Cids()[0])
		require.NoError(t, err)
		require.Empty(t, rs)
	},
	"ChainGetPath": func(t *testing.T, x *tour) {
		up, err := x.v1.ChainGetPath(x.ctx, x.genesis.Key(), types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, apinode.HeadApply, up[0].Type)
		require.Equal(t, x.head.Key(), up[len(up)-1].Val.Key())
		down, err := x.v1.ChainGetPath(x.ctx, types.EmptyTSK, x.genesis.Key())
		require.NoError(t, err)
		require.Len(t, down, len(up))
		require.Equal(t, apinode.HeadRevert, down[0].Type)
		require.Equal(t, x.head.Key(), down[0].Val.Key())
	},
	"ChainTipSetWeight": func(t *testing.T, x *tour) {
		w, err := x.v1.ChainTipSetWeight(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		require.True(t, w.GreaterThan(x.head.ParentWeight()))
		w, err = x.v1.ChainTipSetWeight(x.ctx, x.head.Parents())
		require.NoError(t, err)
		require.Equal(t, x.head.ParentWeight(), w)
	},
	"ChainSetHead": func(t *testing.T, x *tour) {
		require.NoError(t, x.v1.ChainSetHead(x.ctx, x.head.Parents()))
		require.Equal(t, x.head.Parents(), x.running.head(t).Key())
		require.NoError(t, x.v1.ChainSetHead(x.ctx, x.head.Key()))
		require.Equal(t, api.CodeInvalid, code(x.v1.ChainSetHead(x.ctx, types.EmptyTSK)))
		require.Equal(t, api.CodeNotFound, code(x.v1.ChainSetHead(x.ctx, types.NewTipSetKey(nowhere(t)))))
	},
	"ChainReadObj": func(t *testing.T, x *tour) {
		raw, err := x.v1.ChainReadObj(x.ctx, x.head.Cids()[0])
		require.NoError(t, err)
		h, err := types.DecodeBlock(raw)
		require.NoError(t, err)
		require.Equal(t, x.head.Cids()[0], h.Cid())
		_, err = x.v1.ChainReadObj(x.ctx, nowhere(t))
		require.Equal(t, api.CodeNotFound, code(err))
	},
	"ChainHasObj": func(t *testing.T, x *tour) {
		for c, want := range map[cid.Cid]bool{x.head.ParentState(): true, nowhere(t): false} {
			has, err := x.v1.ChainHasObj(x.ctx, c)
			require.NoError(t, err)
			require.Equal(t, want, has)
		}
	},
	"ChainStatObj": func(t *testing.T, x *tour) {
		all, err := x.v1.ChainStatObj(x.ctx, x.head.ParentState(), cid.Undef)
		require.NoError(t, err)
		require.Greater(t, all.Links, uint64(20))
		more, err := x.v1.ChainStatObj(x.ctx, x.head.ParentState(), x.genesis.ParentState())
		require.NoError(t, err)
		require.Less(t, more.Size, all.Size)
		require.NotZero(t, more.Links)
		_, err = x.v1.ChainStatObj(x.ctx, nowhere(t), cid.Undef)
		require.Equal(t, api.CodeNotFound, code(err))
	},
	"ChainNotify": func(t *testing.T, x *tour) { testChainNotify(t, x) },
	"BlockTime": func(t *testing.T, x *tour) {
		d, err := x.v1.BlockTime(x.ctx)
		require.NoError(t, err)
		require.Equal(t, time.Second, d)
	},
	"ProtocolParameters": func(t *testing.T, x *tour) {
		p, err := x.v1.ProtocolParameters(x.ctx)
		require.NoError(t, err)
		require.Equal(t, "local", p.Network)
		require.Equal(t, apinode.SectorSizeInfo{Size: 2048, MaxPieceSize: 2032}, p.SupportedSectors[0])
	},
	"ChainGetRandomnessFromTickets": func(t *testing.T, x *tour) {
		tag := gscrypto.DomainSeparationTag_SealRandomness
		a, err := x.v1.ChainGetRandomnessFromTickets(x.ctx, types.EmptyTSK, tag, 1, []byte("e"))
		require.NoError(t, err)
		b, err := x.v1.StateGetRandomnessFromTickets(x.ctx, tag, 1, []byte("e"), types.EmptyTSK)
		require.NoError(t, err)
		require.Len(t, a, 32)
		require.Equal(t, a, b)
		b, err = x.v1.StateGetRandomnessFromTickets(x.ctx, tag, 1, []byte("f"), types.EmptyTSK)
		require.NoError(t, err)
		require.NotEqual(t, a, b)
	},
	"ChainGetRandomnessFromBeacon": func(t *testing.T, x *tour) {
		tag := gscrypto.DomainSeparationTag_WindowedPoStChallengeSeed
		a, err := x.v1.ChainGetRandomnessFromBeacon(x.ctx, types.EmptyTSK, tag, 1, []byte("e"))
		require.NoError(t, err)
		b, err := x.v1.StateGetRandomnessFromBeacon(x.ctx, tag, 1, []byte("e"), types.EmptyTSK)
		require.NoError(t, err)
		require.Len(t, a, 32)
		require.Equal(t, a, b)
	},
	"StateGetRandomnessFromTickets": func(t *testing.T, x *tour) {
		_, err := x.v1.StateGetRandomnessFromTickets(x.ctx, 1, x.head.Height()+100, nil, types.EmptyTSK)
		require.Error(t, err, "an epoch that is not on the chain has no randomness")
	},
	"StateGetRandomnessFromBeacon": func(t *testing.T, x *tour) {
		_, err := x.v1.StateGetRandomnessFromBeacon(x.ctx, 1, x.head.Height()+100, nil, types.EmptyTSK)
		require.Error(t, err)
	},
	"BeaconGetEntry": func(t *testing.T, x *tour) {
		e, err := x.v1.BeaconGetEntry(x.ctx, x.head.Height())
		require.NoError(t, err)
		require.Equal(t, x.head.Blocks()[0].BeaconEntries[0], *e)
	},
}

var stateTable = map[string]func(*testing.T, *tour){
	"StateNetworkName": func(t *testing.T, x *tour) {
		name, err := x.v1.StateNetworkName(x.ctx)
		require.NoError(t, err)
		require.Equal(t, x.net.GenesisName, name)
	},
	"StateNetwork": func(t *testing.T, x *tour) {
		n, err := x.v1.StateNetwork(x.ctx)
		require.NoError(t, err)
		require.Equal(t, x.net, *n, "whoever asks can check and make this network's proofs")
	},
	"StateNetworkVersion": func(t *testing.T, x *tour) {
		v, err := x.v1.StateNetworkVersion(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		require.EqualValues(t, 15, v)
	},
	"StateGetNetworkParams": func(t *testing.T, x *tour) {
		p, err := x.v1.StateGetNetworkParams(x.ctx)
		require.NoError(t, err)
		require.Equal(t, "local", p.NetworkName)
		require.EqualValues(t, 1, p.BlockDelaySecs)
		require.Equal(t, big.NewInt(2048), p.ConsensusMinerMinPower)
		require.Contains(t, p.SupportedProofTypes, abi.RegisteredSealProof_StackedDrg2KiBV1_1)
		require.EqualValues(t, -1, p.ForkUpgradeParams["UpgradeOhSnapHeight"])
	},
	"StateGetActor": func(t *testing.T, x *tour) {
		act, err := x.v1.StateGetActor(x.ctx, x.w.faucet.addr, types.EmptyTSK)
		require.NoError(t, err)
		require.EqualValues(t, 2, act.Nonce)
		_, err = x.v1.StateGetActor(x.ctx, x.saver.addr, x.genesis.Key())
		require.Equal(t, api.CodeNotFound, code(err))
	},
	"StateReadState": func(t *testing.T, x *tour) {
		st, err := x.v1.StateReadState(x.ctx, x.saver.addr, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, map[string]any{"Address": x.saver.addr.String()}, st.State)
	},
	"StateDecodeParams": func(t *testing.T, x *tour) {
		p, err := x.v1.StateDecodeParams(x.ctx, x.w.miner, x.offered.Message.Method, x.offered.Message.Params, types.EmptyTSK)
		require.NoError(t, err)
		require.EqualValues(t, offeredSector, p.(map[string]any)["SectorNumber"])
		_, err = x.v1.StateDecodeParams(x.ctx, x.w.miner, 9999, nil, types.EmptyTSK)
		require.Error(t, err)
	},
	"StateListActors": func(t *testing.T, x *tour) {
		before, err := x.v1.StateListActors(x.ctx, x.genesis.Key())
		require.NoError(t, err)
		after, err := x.v1.StateListActors(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		require.Len(t, after, len(before)+1, "the saver's")
		require.Contains(t, after, x.w.miner)
	},
	"StateListMiners": func(t *testing.T, x *tour) {
		miners, err := x.v1.StateListMiners(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, "[t01000]", "["+miners[0].String()+"]")
		require.Len(t, miners, 1)
	},
	"StateLookupID": func(t *testing.T, x *tour) {
		id, err := x.v1.StateLookupID(x.ctx, x.saver.addr, types.EmptyTSK)
		require.NoError(t, err)
		key, err := x.v1.StateAccountKey(x.ctx, id, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, x.saver.addr, key)
		_, err = x.v1.StateLookupID(x.ctx, x.saver.addr, x.genesis.Key())
		require.Equal(t, api.CodeNotFound, code(err))
	},
	"StateAccountKey": func(t *testing.T, x *tour) {
		id, err := x.v1.StateLookupID(x.ctx, x.saver.addr, types.EmptyTSK)
		require.NoError(t, err)
		key, err := x.v1.StateAccountKey(x.ctx, id, x.including(t, x.paid).Key())
		require.NoError(t, err, "the tipset that makes the account knows it too")
		require.Equal(t, x.saver.addr, key)
		_, err = x.v1.StateAccountKey(x.ctx, x.w.miner, types.EmptyTSK)
		require.Error(t, err, "a miner is no account")
	},
	"StateCall": func(t *testing.T, x *tour) {
		m := &types.Message{From: x.saver.addr, To: x.w.faucet.addr, Value: big.NewInt(3)}
		res, err := x.v1.StateCall(x.ctx, m, types.EmptyTSK)
		require.NoError(t, err)
		require.Zero(t, res.MsgRct.ExitCode)
		require.Empty(t, res.Error)
		require.NotEmpty(t, res.ExecutionTrace.GasCharges)
		require.Zero(t, res.GasCost.TotalCost.Int.Sign())
		m.Value = big.Mul(big.NewInt(6), types.AttoPerFIL)
		res, err = x.v1.StateCall(x.ctx, m, types.EmptyTSK)
		require.NoError(t, err)
		require.NotZero(t, res.MsgRct.ExitCode, "more than the saver has")
		require.NotEmpty(t, res.Error)
		_, err = x.v1.StateCall(x.ctx, nil, types.EmptyTSK)
		require.Equal(t, api.CodeInvalid, code(err))
		for _, empty := range []string{`{}`, `{"To":"t01","From":""}`, `{"To":"t01","From":"t01","Value":"-1"}`} {
			require.Contains(t, x.raw(t, "StateCall", empty, "[]"), `"error"`, empty)
		}
	},
	"StateReplay": func(t *testing.T, x *tour) {
		res, err := x.v1.StateReplay(x.ctx, types.EmptyTSK, x.offered.Cid())
		require.NoError(t, err)
		require.NotEmpty(t, res.ExecutionTrace.GasCharges)
		require.NotEmpty(t, res.ExecutionTrace.Subcalls, "a miner asks for power and reward")
		again, err := x.v1.StateReplay(x.ctx, x.including(t, x.offered).Key(), x.offered.Cid())
		require.NoError(t, err)
		require.Zero(t, res.MsgRct.ExitCode)
		require.Equal(t, res.MsgRct, again.MsgRct)
		require.Equal(t, big.NewInt(res.MsgRct.GasUsed), res.GasCost.GasUsed)
		require.True(t, res.GasCost.TotalCost.GreaterThan(res.GasCost.MinerTip))
		_, err = x.v1.StateReplay(x.ctx, types.EmptyTSK, nowhere(t))
		require.Equal(t, api.CodeNotFound, code(err))
		_, err = x.v1.StateReplay(x.ctx, x.head.Key(), x.offered.Cid())
		require.Equal(t, api.CodeNotFound, code(err), "it was not executed there")
	},
	"StateCirculatingSupply": func(t *testing.T, x *tour) {
		s, err := x.v1.StateCirculatingSupply(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		parts, err := x.v1.StateVMCirculatingSupplyInternal(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, parts.FilCirculating, s)
	},
	"StateVMCirculatingSupplyInternal": func(t *testing.T, x *tour) {
		s, err := x.v1.StateVMCirculatingSupplyInternal(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		require.Positive(t, s.FilMined.Int.Sign())
		require.Positive(t, s.FilBurnt.Int.Sign())
		require.Positive(t, s.FilLocked.Int.Sign())
		sum := big.Sub(big.Sum(s.FilVested, s.FilMined, s.FilReserveDisbursed), big.Add(s.FilBurnt, s.FilLocked))
		require.Equal(t, big.Max(sum, big.Zero()), s.FilCirculating)
	},
	"StateSearchMsg": func(t *testing.T, x *tour) {
		found, err := x.v1.StateSearchMsg(x.ctx, types.EmptyTSK, x.saved.Cid(), -1, false)
		require.NoError(t, err)
		require.Equal(t, x.saved.Cid(), found.Message)
		require.Zero(t, found.Receipt.ExitCode)
		found, err = x.v1.StateSearchMsg(x.ctx, x.genesis.Key(), x.saved.Cid(), -1, false)
		require.NoError(t, err)
		require.Nil(t, found, "not before it was executed")
		found, err = x.v1.StateSearchMsg(x.ctx, types.EmptyTSK, x.paid.Cid(), 1, false)
		require.NoError(t, err)
		require.Nil(t, found, "not so near")
		found, err = x.v1.StateSearchMsg(x.ctx, types.EmptyTSK, nowhere(t), -1, false)
		require.NoError(t, err)
		require.Nil(t, found)
	},
	"StateWaitMsg": func(t *testing.T, x *tour) { testStateWaitMsg(t, x) },
}

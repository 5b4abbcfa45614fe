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
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/p2p"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// TestSecondNode: it has the genesis file and one peer, fetches the chain, then
// follows by gossip; messages reach it too.
func TestSecondNode(t *testing.T) {
	w := theWorld(t)
	ctx := t.Context()
	a := w.first(t, nil)
	a.mine(t, 5)
	info, err := a.v1.NetAddrsListen(ctx)
	require.NoError(t, err)
	b := w.first(t, func(o *Options) { o.Bootstrap = []string{info.Addrs[0] + "/p2p/" + info.ID} })
	level := func() bool { return a.head(t).Key() == b.head(t).Key() }
	soon(t, "the second node catches up", level)
	soon(t, "both share the topics", func() bool {
		st, err := a.v1.NodeStatus(ctx, false)
		return err == nil && st.PeerStatus.PeersToPublishBlocks == 1 && st.PeerStatus.PeersToPublishMsgs == 1
	})
	m := w.faucet.transfer(t, w.worker.addr, 0, 9)
	_, err = a.v1.MpoolPush(ctx, m)
	require.NoError(t, err)
	soon(t, "the message arrives", func() bool {
		all, err := b.v1.MpoolPending(ctx, types.EmptyTSK)
		return err == nil && len(all) == 1 && all[0].Cid() == m.Cid()
	})
	in, err := b.v1.SyncIncomingBlocks(ctx)
	require.NoError(t, err)
	next := a.mine(t, 1)
	require.Equal(t, next.Cids()[0], (<-in).Cid())
	a.mine(t, 3)
	soon(t, "the second node follows", level)
	st, err := b.v1.SyncState(ctx)
	require.NoError(t, err)
	require.Equal(t, "", st.ActiveSyncs[0].Message)
	for h := abi.ChainEpoch(0); h <= a.head(t).Height(); h++ {
		ta, err := a.v1.ChainGetTipSetByHeight(ctx, h, types.EmptyTSK)
		require.NoError(t, err)
		tb, err := b.v1.ChainGetTipSetByHeight(ctx, h, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, ta.ParentState(), tb.ParentState(), h)
		require.Equal(t, ta.Blocks()[0].ParentMessageReceipts, tb.Blocks()[0].ParentMessageReceipts, h)
	}
	found, err := b.v1.StateSearchMsg(ctx, types.EmptyTSK, m.Cid(), -1, false)
	require.NoError(t, err)
	require.Zero(t, found.Receipt.ExitCode)
}

// TestSubmitBlock: an own block may come twice, a second one of its height may
// not; what is refused for good stands in nobody's way.
func TestSubmitBlock(t *testing.T) {
	w := theWorld(t)
	n := w.first(t, alone)
	ctx := t.Context()
	base := n.mine(t, 1)
	b := n.block(t, base, base.Height()+1)
	forged := *b.Header
	forged.ParentBaseFee = big.Add(forged.ParentBaseFee, big.NewInt(1))
	w.resign(t, &forged)
	err := n.v1.SyncSubmitBlock(ctx, &types.BlockMsg{Header: &forged})
	require.Equal(t, api.CodeInvalid, code(err))
	require.ErrorContains(t, err, "base fee")
	high := *b.Header
	high.Height = 1 << 40
	w.resign(t, &high)
	require.Equal(t, api.CodeInvalid, code(n.v1.SyncSubmitBlock(ctx, &types.BlockMsg{Header: &high})))
	odd := &types.BlockMsg{Header: b.Header, BlsMessages: []cid.Cid{nowhere(t)}}
	require.Error(t, n.v1.SyncSubmitBlock(ctx, odd), "a message that nobody has")
	m := w.faucet.transfer(t, w.worker.addr, 0, 1)
	_, err = n.v1.MpoolPush(ctx, m)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, n.v1.SyncSubmitBlock(ctx, b))
	}
	require.Equal(t, types.NewTipSetKey(b.Cid()), n.head(t).Key())
	second := n.block(t, base, b.Header.Height)
	require.NotEqual(t, b.Cid(), second.Cid(), "with the message")
	err = n.v1.SyncSubmitBlock(ctx, second)
	require.Equal(t, api.CodeConflict, code(err))
	require.ErrorContains(t, err, "slashed")
	require.Equal(t, types.NewTipSetKey(b.Cid()), n.head(t).Key())
	wrong := &types.BlockMsg{Header: b.Header, BlsMessages: second.BlsMessages}
	require.ErrorContains(t, n.v1.SyncSubmitBlock(ctx, wrong), "root")
	early := *b.Header
	early.Height, early.Timestamp = early.Height+past*2, early.Timestamp+past*2
	w.resign(t, &early)
	require.ErrorContains(t, n.v1.SyncSubmitBlock(ctx, &types.BlockMsg{Header: &early}), "from the future")
}

// TestVerdictsOnBlocks is what gossip does with a block before it is judged in
// full (node-nv15.md 3.1).
func TestVerdictsOnBlocks(t *testing.T) {
	w := theWorld(t)
	ctx := t.Context()
	n := w.first(t, alone)
	base := n.mine(t, 2)
	good := n.block(t, base, base.Height()+1)
	stranger := newAccount(t, types.KeyBLS, 3)
	idle, err := address.NewIDAddress(5555)
	require.NoError(t, err)
	for _, c := range []struct {
		name   string
		want   p2p.Verdict
		change func(b *types.BlockMsg)
	}{
		{"valid", p2p.Accept, func(*types.BlockMsg) {}},
		{"too many messages", p2p.Reject, func(b *types.BlockMsg) { b.BlsMessages = make([]cid.Cid, params.BlockMessageLimit+1) }},
		{"no signature", p2p.Reject, func(b *types.BlockMsg) { b.Header.BlockSig = nil }},
		{"no ticket", p2p.Reject, func(b *types.BlockMsg) { b.Header.Ticket = nil }},
		{"no election", p2p.Reject, func(b *types.BlockMsg) { b.Header.ElectionProof = nil }},
		{"no win", p2p.Reject, func(b *types.BlockMsg) { b.Header.ElectionProof.WinCount = 0 }},
		{"wrong root", p2p.Reject, func(b *types.BlockMsg) { b.BlsMessages = []cid.Cid{nowhere(t)} }},
		{"signed by another", p2p.Refuse, func(b *types.BlockMsg) {
			b.Header.BlockSig = nil
			body, err := b.Header.SigningBytes()
			require.NoError(t, err)
			sig := b.Header.BLSAggregate
			b.Header.BlockSig = &*sig
			b.Header.BlockSig.Data = stranger.sign(t, body)
		}},
		{"unknown miner", p2p.Ignore, func(b *types.BlockMsg) { b.Header.Miner = idle; w.resign(t, b.Header) }},
		{"no miner", p2p.Ignore, func(b *types.BlockMsg) { b.Header.Miner = reserve(t); w.resign(t, b.Header) }},
		{"far ahead of the clock", p2p.Accept, func(b *types.BlockMsg) { b.Header.Height += 1 << 40; w.resign(t, b.Header) }},
	} {
		raw, err := good.Serialize()
		require.NoError(t, err)
		b, err := types.DecodeBlockMsg(raw)
		require.NoError(t, err)
		c.change(b)
		got, _ := n.API.gossip.look(ctx, b)
		require.Equal(t, c.want, got, c.name)
	}
	require.Equal(t, p2p.Reject, n.API.gossip.block(ctx, "peer", []byte("no block"), false))
	require.Equal(t, p2p.Accept, n.API.gossip.block(ctx, "peer", []byte("our own"), true))
	raw, err := good.Serialize()
	require.NoError(t, err)
	require.Equal(t, p2p.Accept, n.API.gossip.block(ctx, "peer", raw, false))
	soon(t, "what is accepted is taken in", func() bool { return n.head(t).Key() == types.NewTipSetKey(good.Cid()) })
	n.API.gossip.end()
	require.Equal(t, p2p.Ignore, n.API.gossip.block(ctx, "peer", raw, false), "the node is closing")
}

// TestVerdictOnMinersWithoutPower: a fresh head knows, an old one does not.
func TestVerdictOnMinersWithoutPower(t *testing.T) {
	w := theWorld(t)
	n := w.first(t, alone)
	not := func() (bool, error) { return false, nil }
	for age, want := range map[time.Duration]p2p.Verdict{10 * time.Second: p2p.Refuse, 10 * time.Minute: p2p.Ignore, 7 * time.Hour: p2p.Ignore} {
		g := &gossip{reader: n.API.gossip.reader}
		g.clock = w.ageing(age)
		got, err := g.lookPower("t01000", not)
		require.Equal(t, want, got, age)
		require.Error(t, err)
	}
	got, _ := n.API.gossip.lookPower("t01000", func() (bool, error) { return false, cid.ErrCidTooShort })
	require.Equal(t, p2p.Ignore, got, "a failure of ours is not theirs")
}

// TestVerdictsOnMessages: invalid for everyone is rejected, unwanted now is ignored, by a node that is up to date.
func TestVerdictsOnMessages(t *testing.T) {
	w := theWorld(t)
	n := w.first(t, alone)
	n.mine(t, 1)
	now := clock.NewSim(time.Unix(int64(n.head(t).MinTimestamp()), 0))
	n.API.gossip.clock = now
	remake := func(nonce uint64, change func(*types.Message)) *types.SignedMessage {
		m := w.faucet.transfer(t, w.worker.addr, nonce, 1).Message
		change(&m)
		return w.faucet.signMessage(t, m)
	}
	forged := w.faucet.transfer(t, w.worker.addr, 0, 1)
	forged.Signature.Data[7] ^= 1
	for _, c := range []struct {
		name string
		m    *types.SignedMessage
		want p2p.Verdict
	}{
		{"valid", w.faucet.transfer(t, w.worker.addr, 0, 1), p2p.Accept},
		{"wrong signature", forged, p2p.Reject},
		{"huge", remake(1, func(m *types.Message) { m.Params = make([]byte, 70<<10) }), p2p.Reject},
		{"no gas", remake(1, func(m *types.Message) { m.GasLimit = 0 }), p2p.Reject},
		{"sender that the chain does not know", newAccount(t, types.KeyBLS, 4).transfer(t, w.worker.addr, 0, 1), p2p.Ignore},
		{"gap", w.faucet.transfer(t, w.worker.addr, 9, 1), p2p.Ignore},
		{"below the base fee", remake(1, func(m *types.Message) { m.GasFeeCap, m.GasPremium = big.NewInt(200), big.NewInt(100) }), p2p.Ignore},
		{"again", w.faucet.transfer(t, w.worker.addr, 0, 1), p2p.Ignore},
	} {
		raw, err := c.m.Serialize()
		require.NoError(t, err)
		require.Equal(t, c.want, n.API.gossip.message(t.Context(), "peer", raw, false), c.name)
	}
	now.Advance((behindEpochs + 1) * n.API.gossip.net.BlockDelay)
	raw, err := w.faucet.transfer(t, w.worker.addr, 9, 1).Serialize()
	require.NoError(t, err)
	require.Equal(t, p2p.Unsure, n.API.gossip.message(t.Context(), "peer", raw, false), "a node far behind holds nothing against its peers")
	require.Equal(t, p2p.Reject, n.API.gossip.message(t.Context(), "peer", []byte("no message"), false))
	require.Equal(t, p2p.Accept, n.API.gossip.message(t.Context(), "peer", []byte("our own"), true))
}

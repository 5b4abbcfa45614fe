package node

import (
	"context"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/p2p"
	"github.com/filecoin-venus/venus/types"
)

func testChainNotify(t *testing.T, x *tour) {
	ctx, cancel := context.WithCancel(x.ctx)
	defer cancel()
	changes, err := x.v1.ChainNotify(ctx)
	require.NoError(t, err)
	first := <-changes
	require.Len(t, first, 1)
	require.Equal(t, apinode.HeadCurrent, first[0].Type)
	require.Equal(t, x.head.Key(), first[0].Val.Key())
	require.NoError(t, x.v1.ChainSetHead(x.ctx, x.genesis.Key()))
	down := <-changes
	require.Equal(t, apinode.HeadRevert, down[0].Type)
	require.Equal(t, x.head.Key(), down[0].Val.Key(), "reverts come newest first")
	require.NoError(t, x.v1.ChainSetHead(x.ctx, x.head.Key()))
	up := <-changes
	require.Len(t, up, len(down))
	require.Equal(t, apinode.HeadApply, up[0].Type)
	require.Equal(t, x.genesis.Key(), up[0].Val.Parents(), "applies come oldest first")
	cancel()
	for range changes { // it ends
	}
}

func testStateWaitMsg(t *testing.T, x *tour) {
	found, err := x.v1.StateSearchMsg(x.ctx, types.EmptyTSK, x.offered.Cid(), -1, false)
	require.NoError(t, err)
	for _, limit := range []abi.ChainEpoch{-1, 1000, 1<<63 - 1} {
		got, err := x.v1.StateWaitMsg(x.ctx, x.offered.Cid(), uint64(x.head.Height()-found.Height), limit, true)
		require.NoError(t, err)
		require.Equal(t, found, got)
		require.Zero(t, got.Receipt.ExitCode)
	}
	// Not that deep yet: the caller's patience ends it.
	for _, confidence := range []uint64{uint64(x.head.Height()-found.Height) + 1, 1<<64 - 1} {
		ctx, cancel := context.WithTimeout(x.ctx, 50*time.Millisecond)
		_, err = x.v1.StateWaitMsg(ctx, x.offered.Cid(), confidence, -1, true)
		cancel()
		require.Error(t, err)
	}
}

func testPeers(t *testing.T, x *tour) {
	ctx := x.ctx
	other := x.w.first(t, func(o *Options) { o.Version = "other" })
	id, err := other.v1.ID(ctx)
	require.NoError(t, err)
	info, err := other.v1.NetAddrsListen(ctx)
	require.NoError(t, err)
	require.Equal(t, id, info.ID)
	require.NotEmpty(t, info.Addrs)
	connected := func(want network.Connectedness) {
		t.Helper()
		soon(t, "connectedness", func() bool {
			n, err := x.v1.NetConnectedness(ctx, id)
			return err == nil && n == int(want)
		})
	}
	connected(network.NotConnected)
	_, err = x.v1.NetAgentVersion(ctx, id)
	require.Equal(t, api.CodeNotFound, code(err))
	require.NoError(t, x.v1.NetConnect(ctx, info))
	connected(network.Connected)
	peers, err := x.v1.NetPeers(ctx)
	require.NoError(t, err)
	require.Equal(t, id, peers[0].ID)
	soon(t, "the peer says what it runs", func() bool {
		v, err := x.v1.NetAgentVersion(ctx, id)
		return err == nil && v == "venus/other"
	})
	where, err := x.v1.NetFindPeer(ctx, id)
	require.NoError(t, err)
	require.Subset(t, where.Addrs, info.Addrs)
	soon(t, "both share the topics", func() bool {
		st, err := x.v1.NodeStatus(ctx, false)
		return err == nil && st.PeerStatus == apinode.NodePeerStatus{PeersToPublishMsgs: 1, PeersToPublishBlocks: 1}
	})
	testAboutPeer(t, x, id)
	require.NoError(t, x.v1.NetDisconnect(ctx, id))
	connected(network.NotConnected)
	for _, err := range []error{
		x.v1.NetDisconnect(ctx, "nonsense"), x.v1.NetConnect(ctx, apinode.AddrInfo{ID: "nonsense"}), x.v1.NetConnect(ctx, apinode.AddrInfo{ID: id, Addrs: []string{"x"}}),
	} {
		require.Equal(t, api.CodeInvalid, code(err))
	}
	for _, ask := range []func(string) error{
		func(p string) error { _, err := x.v1.NetConnectedness(ctx, p); return err },
		func(p string) error { _, err := x.v1.NetFindPeer(ctx, p); return err },
		func(p string) error { _, err := x.v1.NetAgentVersion(ctx, p); return err },
	} {
		require.Equal(t, api.CodeInvalid, code(ask("nonsense")))
	}
	require.NoError(t, other.Close())
	require.Equal(t, api.CodeUnavailable, code(x.v1.NetConnect(ctx, info)), "nobody is there")
}

// testAboutPeer asks what is known of a connected peer.
func testAboutPeer(t *testing.T, x *tour, id string) {
	ctx := x.ctx
	took, err := x.v1.NetPing(ctx, id)
	require.NoError(t, err)
	require.Positive(t, took)
	info, err := x.v1.NetPeerInfo(ctx, id)
	require.NoError(t, err)
	require.Equal(t, "venus/other", info.Agent)
	require.Contains(t, info.Protocols, "/fil/hello/1.0.0")
	require.NotNil(t, info.ConnMgrMeta)
	require.Len(t, info.ConnMgrMeta.Conns, 1)
	soon(t, "traffic is counted", func() bool {
		all, err := x.v1.NetBandwidthStats(ctx)
		require.NoError(t, err)
		by, err := x.v1.NetBandwidthStatsByPeer(ctx)
		require.NoError(t, err)
		proto, err := x.v1.NetBandwidthStatsByProtocol(ctx)
		require.NoError(t, err)
		return all.TotalIn > 0 && by[id].TotalIn > 0 && len(proto) > 0
	})
	soon(t, "gossip rates the peer", func() bool {
		list, err := x.v1.NetPubsubScores(ctx)
		require.NoError(t, err)
		return len(list) == 1 && list[0].ID == id
	})
	require.NoError(t, x.v1.NetProtectAdd(ctx, []string{id}))
	kept, err := x.v1.NetProtectList(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{id}, kept)
	require.NoError(t, x.v1.NetProtectRemove(ctx, []string{id}))
	kept, err = x.v1.NetProtectList(ctx)
	require.NoError(t, err)
	require.Empty(t, kept)
	for _, err := range []error{
		x.v1.NetProtectAdd(ctx, []string{"nonsense"}), x.v1.NetProtectRemove(ctx, []string{"nonsense"}),
		func() error { _, err := x.v1.NetPing(ctx, "nonsense"); return err }(),
		func() error { _, err := x.v1.NetPeerInfo(ctx, "nonsense"); return err }(),
	} {
		require.Equal(t, api.CodeInvalid, code(err))
	}
}

// testBlocked: who is blocked is hung up on, cannot come back, and stays blocked
// over a restart.
// testFaults lets a node keep a peer out, tell so, and let it in again.
func testFaults(t *testing.T) {
	w, ctx := theWorld(t), t.Context()
	n, other := w.first(t, nil), w.first(t, nil)
	none, err := n.v1.NetFaults(ctx)
	require.NoError(t, err)
	require.Empty(t, none)
	info, err := other.v1.NetAddrsListen(ctx)
	require.NoError(t, err)
	id, err := peer.Decode(info.ID)
	require.NoError(t, err)
	n.API.netAPI.host.Blame(id, p2p.Foreign, "a test")
	list, err := n.v1.NetFaults(ctx)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, info.ID, list[0].ID)
	require.Equal(t, "a test", list[0].Reason)
	require.NotNil(t, list[0].BannedUntil)
	require.Equal(t, api.CodeUnavailable, code(n.v1.NetConnect(ctx, info)), "it is kept out")
	require.Equal(t, api.CodeInvalid, code(n.v1.NetForgive(ctx, []string{"nobody"})))
	require.NoError(t, n.v1.NetForgive(ctx, []string{info.ID}))
	require.NoError(t, n.v1.NetConnect(ctx, info))
	require.NoError(t, n.v1.NetForgive(ctx, nil))
}

func testBlocked(t *testing.T) {
	w, ctx := theWorld(t), t.Context()
	n, other := w.first(t, nil), w.first(t, nil)
	info, err := other.v1.NetAddrsListen(ctx)
	require.NoError(t, err)
	require.NoError(t, n.v1.NetConnect(ctx, info))
	list := apinode.NetBlockList{Peers: []string{info.ID}, IPAddrs: []string{"203.0.113.7"}, IPSubnets: []string{"198.51.100.0/24"}}
	require.NoError(t, n.v1.NetBlockAdd(ctx, list))
	soon(t, "it is hung up on", func() bool {
		c, err := n.v1.NetConnectedness(ctx, info.ID)
		return err == nil && c == int(network.NotConnected)
	})
	require.Equal(t, api.CodeUnavailable, code(n.v1.NetConnect(ctx, info)))
	require.NoError(t, n.Close())
	n = w.start(t, n.repo, nil)
	got, err := n.v1.NetBlockList(ctx)
	require.NoError(t, err)
	require.Equal(t, list, got)
	require.Equal(t, api.CodeUnavailable, code(n.v1.NetConnect(ctx, info)))
	require.NoError(t, n.v1.NetBlockRemove(ctx, list))
	got, err = n.v1.NetBlockList(ctx)
	require.NoError(t, err)
	require.Equal(t, apinode.NetBlockList{Peers: []string{}, IPAddrs: []string{}, IPSubnets: []string{}}, got)
	require.NoError(t, n.v1.NetConnect(ctx, info))
	for _, bad := range []apinode.NetBlockList{{Peers: []string{"x"}}, {IPAddrs: []string{"x"}}, {IPSubnets: []string{"x"}}} {
		require.Equal(t, api.CodeInvalid, code(n.v1.NetBlockAdd(ctx, bad)))
		require.Equal(t, api.CodeInvalid, code(n.v1.NetBlockRemove(ctx, bad)))
	}
}

// TestShutdownThroughTheAPI: who listens hears of the end, and Wait returns.
func TestShutdownThroughTheAPI(t *testing.T) {
	n := theWorld(t).first(t, func(o *Options) { o.Offline = true })
	closing, err := n.v1.Closing(t.Context())
	require.NoError(t, err)
	require.NoError(t, n.v1.Shutdown(t.Context()))
	for range closing { // it ends
	}
	require.NoError(t, n.Wait(t.Context()))
}

// TestMessageFromPoolToReceipt: a waiter that asked before the message was sent
// gets its receipt.
func TestMessageFromPoolToReceipt(t *testing.T) {
	w := theWorld(t)
	n := w.first(t, func(o *Options) { o.Offline = true })
	ctx := t.Context()
	n.mine(t, 1)
	to := newAccount(t, types.KeyBLS, 1)
	m := w.faucet.transfer(t, to.addr, 0, 11)
	type answer struct {
		found *apinode.MsgLookup
		err   error
	}
	v1, v0 := make(chan answer, 1), make(chan answer, 1)
	go func() {
		f, err := n.v1.StateWaitMsg(ctx, m.Cid(), 1, -1, false)
		v1 <- answer{f, err}
	}()
	go func() {
		f, err := n.v0.StateWaitMsg(ctx, m.Cid(), 0)
		v0 <- answer{f, err}
	}()
	_, err := n.v1.MpoolPush(ctx, m)
	require.NoError(t, err)
	included := n.mine(t, 1)
	executed := n.mine(t, 1)
	early := <-v0
	require.NoError(t, early.err)
	require.Equal(t, executed.Key(), early.found.TipSet)
	n.mine(t, 1)
	got := <-v1
	require.NoError(t, got.err)
	require.Equal(t, early.found, got.found)
	require.Zero(t, got.found.Receipt.ExitCode)
	require.Equal(t, executed.Height(), got.found.Height)
	// Seen from before and from after its execution.
	all, err := n.v1.MpoolPending(ctx, types.EmptyTSK)
	require.NoError(t, err)
	require.Empty(t, all)
	ms, err := n.v1.ChainGetMessagesInTipset(ctx, included.Key())
	require.NoError(t, err)
	require.Equal(t, m.Cid(), ms[0].Cid)
}

// TestPendingAtOtherTipsets: a message that a tipset beside ours executed is not
// pending after it.
func TestPendingAtOtherTipsets(t *testing.T) {
	w := theWorld(t)
	n := w.first(t, func(o *Options) { o.Offline = true })
	ctx := t.Context()
	base := n.mine(t, 1)
	one, two := w.faucet.transfer(t, w.worker.addr, 0, 1), w.faucet.transfer(t, w.worker.addr, 1, 1)
	for _, m := range []*types.SignedMessage{one, two} {
		_, err := n.v1.MpoolPush(ctx, m)
		require.NoError(t, err)
	}
	template := n.winner(t, base, base.Height()+1)
	require.NotNil(t, template)
	template.Messages = []*types.SignedMessage{one}
	require.NoError(t, n.v1.SyncSubmitBlock(ctx, n.sealed(t, template)))
	head := n.head(t)
	soon(t, "the pool follows", func() bool {
		all, err := n.v1.MpoolPending(ctx, types.EmptyTSK)
		return err == nil && len(all) == 1
	})
	require.NoError(t, n.v1.ChainSetHead(ctx, base.Key()))
	soon(t, "the pool takes back what was reverted", func() bool {
		all, err := n.v1.MpoolPending(ctx, types.EmptyTSK)
		return err == nil && len(all) == 2
	})
	all, err := n.v1.MpoolPending(ctx, head.Key())
	require.NoError(t, err)
	require.Equal(t, []*types.SignedMessage{two}, all)
}

// TestTheOlderDialect: what differs on /rpc/v0.
func TestTheOlderDialect(t *testing.T) {
	x := newTour(t)
	v, err := x.v0.Version(x.ctx)
	require.NoError(t, err)
	require.Equal(t, apinode.VersionV0, v.APIVersion)
	found, err := x.v1.StateSearchMsg(x.ctx, types.EmptyTSK, x.saved.Cid(), -1, true)
	require.NoError(t, err)
	for name, ask := range map[string]func() (*apinode.MsgLookup, error){
		"search":         func() (*apinode.MsgLookup, error) { return x.v0.StateSearchMsg(x.ctx, x.saved.Cid()) },
		"search limited": func() (*apinode.MsgLookup, error) { return x.v0.StateSearchMsgLimited(x.ctx, x.saved.Cid(), 100) },
		"wait":           func() (*apinode.MsgLookup, error) { return x.v0.StateWaitMsg(x.ctx, x.saved.Cid(), 0) },
		"wait limited":   func() (*apinode.MsgLookup, error) { return x.v0.StateWaitMsgLimited(x.ctx, x.saved.Cid(), 0, 100) },
	} {
		got, err := ask()
		require.NoError(t, err, name)
		require.Equal(t, found, got, name)
	}
	receipt, err := x.v0.StateGetReceipt(x.ctx, x.saved.Cid(), types.EmptyTSK)
	require.NoError(t, err)
	require.Equal(t, found.Receipt, *receipt)
	receipt, err = x.v0.StateGetReceipt(x.ctx, x.saved.Cid(), x.genesis.Key())
	require.NoError(t, err)
	require.Nil(t, receipt)
	got, err := x.v0.StateSearchMsgLimited(x.ctx, x.paid.Cid(), 1)
	require.NoError(t, err)
	require.Nil(t, got)
	a, err := x.v0.StateAccountKey(x.ctx, x.saver.addr, types.EmptyTSK)
	require.NoError(t, err)
	require.Equal(t, x.saver.addr, a)
}

// TestNullRounds: asking for an epoch without a block gives the tipset before
// it, or after it, and a long gap hides no message from a waiter.
func TestNullRounds(t *testing.T) {
	w := theWorld(t)
	n := w.first(t, alone)
	ctx := t.Context()
	before := n.mine(t, 1)
	m := w.faucet.transfer(t, w.worker.addr, 0, 1)
	_, err := n.v1.MpoolPush(ctx, m)
	require.NoError(t, err)
	included := n.mine(t, 1)
	found := make(chan *apinode.MsgLookup, 1)
	go func() {
		f, err := n.v1.StateWaitMsg(ctx, m.Cid(), 0, 0, false)
		if err == nil {
			found <- f
		}
		close(found)
	}()
	gap := included.Height() + 30
	b := n.block(t, included, gap)
	require.NoError(t, n.v1.SyncSubmitBlock(ctx, b))
	got := <-found
	require.NotNil(t, got)
	require.Equal(t, types.NewTipSetKey(b.Cid()), got.TipSet)
	require.Equal(t, b.Header.Height, got.Height)
	ts, err := n.v1.ChainGetTipSetByHeight(ctx, gap-5, types.EmptyTSK)
	require.NoError(t, err)
	require.Equal(t, included.Key(), ts.Key())
	ts, err = n.v1.ChainGetTipSetAfterHeight(ctx, gap-5, types.EmptyTSK)
	require.NoError(t, err)
	require.Equal(t, got.TipSet, ts.Key())
	require.Less(t, before.Height(), included.Height())
}

// TestReturnValuesAreReadable: what a method returned is decoded beside the raw bytes.
func TestReturnValuesAreReadable(t *testing.T) {
	w := theWorld(t)
	x := &tour{running: w.first(t, alone), ctx: t.Context(), net: w.net}
	x.mine(t, 1)
	escrow := x.call(t, w.faucet, 0, builtin.StorageMarketActorAddr, 1000, builtin.MethodsMarket.AddBalance, &w.faucet.addr)
	back := x.call(t, w.faucet, 1, builtin.StorageMarketActorAddr, 0, builtin.MethodsMarket.WithdrawBalance,
		&market.WithdrawBalanceParams{ProviderOrClientAddress: w.faucet.addr, Amount: big.NewInt(400)})
	x.push(t, escrow, back)
	x.mine(t, 2)
	found, err := x.v1.StateSearchMsg(x.ctx, types.EmptyTSK, back.Cid(), -1, false)
	require.NoError(t, err)
	require.Zero(t, found.Receipt.ExitCode)
	require.NotEmpty(t, found.Receipt.Return)
	require.Equal(t, "400", found.ReturnDec)
	res, err := x.v1.StateReplay(x.ctx, types.EmptyTSK, back.Cid())
	require.NoError(t, err)
	require.Equal(t, found.Receipt, *res.MsgRct)
	found, err = x.v1.StateSearchMsg(x.ctx, types.EmptyTSK, escrow.Cid(), -1, false)
	require.NoError(t, err)
	require.Nil(t, found.ReturnDec, "it returned nothing")
}

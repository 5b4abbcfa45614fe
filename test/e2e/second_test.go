package e2e

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/stretchr/testify/require"

	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cluster"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/p2p"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
)

// secondNode is a node of its own on the shared cluster's chain.
type secondNode struct {
	api  *apinode.FullNodeProxy
	peer string // where peers reach it
	proc *process
}

// join starts a node that knows nothing but the genesis and one peer.
func join(t *testing.T, c *testCluster) *secondNode {
	t.Helper()
	return joinBy(t, c.net().Genesis(), c.dialable(t.Context(), t))
}

// joinBy starts a node with any genesis that knows one peer, which need not be
// the cluster's node, and waits until it answers.
func joinBy(t *testing.T, genesis, peer string) *secondNode {
	t.Helper()
	repo, port := filepath.Join(t.TempDir(), "venus"), freePort(t)
	p := shared.start(t, t.TempDir(), "venus", "--repo", repo, "daemon", "--genesisfile", genesis,
		"--bootstrap-peers", peer, "--api", maddr(port))
	// It is ready when it answers; it is well once it has caught up.
	n := &secondNode{api: new(apinode.FullNodeProxy), proc: p}
	eventually(t, time.Minute, "the second node answers", func() error {
		select {
		case <-p.done:
			t.Fatalf("the second node ended: %v", p.err)
		default:
		}
		token, err := os.ReadFile(filepath.Join(repo, "token"))
		if err != nil {
			return err
		}
		stop, err := rpc.Dial(maddr(port), strings.TrimSpace(string(token)), apinode.Namespace, n.api, rpc.DialOptions{Service: "venus", Path: "/rpc/v1"})
		if err != nil {
			return err
		}
		info, err := n.api.NetAddrsListen(t.Context())
		if err != nil {
			stop()
			return err
		}
		t.Cleanup(stop)
		for _, a := range info.Addrs {
			if strings.HasPrefix(a, "/ip4/127.0.0.1/tcp/") {
				n.peer = a + "/p2p/" + info.ID
			}
		}
		return nil
	})
	return n
}

func headOf(t *testing.T, n *apinode.FullNodeProxy) *types.TipSet {
	t.Helper()
	head, err := n.ChainHead(t.Context())
	require.NoError(t, err)
	return head
}

func TestSecondNode(t *testing.T) {
	t.Parallel()
	c, st := living(t)
	first := c.node(t)
	eventually(t, time.Minute, "a chain to catch up with", func() error {
		if h := headOf(t, first).Height(); h < 15 {
			return fmt.Errorf("head %d", h)
		}
		return nil
	})
	second := join(t, c)
	began := time.Now()
	eventually(t, 2*time.Minute, "the second node catches up", func() error { return level(t, first, second.api) })
	caughtUp := headOf(t, second.api).Height()
	t.Logf("from zero to epoch %d in %s", caughtUp, time.Since(began).Round(100*time.Millisecond))
	// It follows: ten epochs later it is level again, and all roots are equal.
	eventually(t, 2*time.Minute, "the second node follows for ten epochs", func() error {
		if h := headOf(t, second.api).Height(); h < caughtUp+10 {
			return fmt.Errorf("head %d", h)
		}
		return level(t, first, second.api)
	})
	equalRoots(t, first, second.api)
	m := &mutator{t: t, c: c, faucet: st.Faucet, first: first, second: second, key: minerKey(t, c, st), miner: genesisMiner(t, st), used: map[abi.ChainEpoch]bool{}}
	m.submitAll()
	m.gossipAll()
	eventually(t, time.Minute, "the second node still follows", func() error { return level(t, first, second.api) })
	equalRoots(t, first, second.api)
}

// level says why two nodes are not on the same chain at the same height.
func level(t *testing.T, a, b *apinode.FullNodeProxy) error {
	t.Helper()
	ha, hb := headOf(t, a), headOf(t, b)
	if d := ha.Height() - hb.Height(); d < -1 || d > 1 {
		return fmt.Errorf("heads %d and %d", ha.Height(), hb.Height())
	}
	return nil
}

// equalRoots compares tipset, state and receipts at every height that both
// nodes have, near the head once it has settled.
func equalRoots(t *testing.T, a, b *apinode.FullNodeProxy) {
	t.Helper()
	top := min(headOf(t, a).Height(), headOf(t, b).Height()) - 2
	ctx := t.Context()
	walk := func(n *apinode.FullNodeProxy) *types.TipSet {
		ts, err := n.ChainGetTipSetByHeight(ctx, top, types.EmptyTSK)
		require.NoError(t, err)
		return ts
	}
	ta, tb := walk(a), walk(b)
	compared := 0
	for {
		require.Equal(t, ta.Key(), tb.Key(), "at height %d", ta.Height())
		require.Equal(t, ta.ParentState(), tb.ParentState(), "state root below height %d", ta.Height())
		require.Equal(t, ta.Blocks()[0].ParentMessageReceipts, tb.Blocks()[0].ParentMessageReceipts, "receipts root below height %d", ta.Height())
		compared++
		if ta.Height() == 0 {
			break
		}
		var err error
		ta, err = a.ChainGetTipSet(ctx, ta.Parents())
		require.NoError(t, err)
		tb, err = b.ChainGetTipSet(ctx, tb.Parents())
		require.NoError(t, err)
	}
	require.Greater(t, compared, 10)
	t.Logf("%d tipsets with equal state and receipts roots", compared)
}

func genesisMiner(t *testing.T, st *cluster.State) address.Address {
	t.Helper()
	m, err := address.NewFromString(st.GenesisMiner)
	require.NoError(t, err)
	return m
}

// minerKey reads the first miner's worker key, as an attacker with the miner's
// machine would.
func minerKey(t *testing.T, c *testCluster, st *cluster.State) types.KeyInfo {
	t.Helper()
	text, err := os.ReadFile(c.net().MinerKey(genesisMiner(t, st)))
	require.NoError(t, err)
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	var k types.KeyInfo
	require.NoError(t, json.Unmarshal(raw, &k))
	return k
}

// mutator changes real blocks and offers them to the second node.
type mutator struct {
	t      *testing.T
	c      *testCluster
	faucet string
	first  *apinode.FullNodeProxy
	second *secondNode
	key    types.KeyInfo
	miner  address.Address
	used   map[abi.ChainEpoch]bool // heights whose block was changed already
}

// mutation changes one bit of a header; rule is the one it breaks.
type mutation struct {
	name   string
	rule   consensus.Rule
	change func(h *types.BlockHeader)
	// unsigned leaves the signature as it was.
	unsigned bool
	needs    demand
}

func flipCid(c *cid.Cid) {
	raw := c.Bytes()
	raw[len(raw)-1] ^= 1
	*c = cid.MustParse(raw)
}

var mutations = []mutation{
	{name: "ticket", rule: consensus.RuleTicket, change: func(h *types.BlockHeader) { h.Ticket.VRFProof[20] ^= 1 }},
	{name: "election proof", rule: consensus.RuleElection, change: func(h *types.BlockHeader) { h.ElectionProof.VRFProof[20] ^= 1 }},
	{name: "beacon entry", rule: consensus.RuleBeacon, change: func(h *types.BlockHeader) { h.BeaconEntries[0].Data[20] ^= 1 }},
	{name: "winning proof", rule: consensus.RuleWinningPoSt, change: func(h *types.BlockHeader) { h.WinPoStProof[0].ProofBytes[20] ^= 1 }},
	{name: "signature", rule: consensus.RuleSignature, unsigned: true, change: func(h *types.BlockHeader) { h.BlockSig.Data[20] ^= 1 }},
	{name: "BLS aggregate", rule: consensus.RuleBLSAggregate, needs: blsMessages, change: func(h *types.BlockHeader) { h.BLSAggregate.Data[20] ^= 1 }},
	{name: "parent state root", rule: consensus.RuleStateRoot, change: func(h *types.BlockHeader) { flipCid(&h.ParentStateRoot) }},
	{name: "receipts root", rule: consensus.RuleReceiptsRoot, change: func(h *types.BlockHeader) { flipCid(&h.ParentMessageReceipts) }},
	{name: "timestamp", rule: consensus.RuleTimestamp, change: func(h *types.BlockHeader) { h.Timestamp ^= 1 }},
}

// demand is what a real block must hold to be changed.
type demand int

const (
	anything demand = iota
	noMessages
	blsMessages // without them there is no aggregate to speak of
)

// recent is how many tipsets below the head are looked through.
const recent = 10

// real waits for a block of the chain that was not used yet and that the second
// node has accepted.
func (m *mutator) real(ctx context.Context, want demand) *types.BlockMsg {
	m.t.Helper()
	var out *types.BlockMsg
	eventually(m.t, time.Minute, "a fresh block", func() error {
		ts, err := m.second.api.ChainHead(ctx)
		for i := 0; i < recent && err == nil && ts.Height() > 0; i++ {
			for _, h := range ts.Blocks() {
				if m.used[h.Height] || h.Miner != m.miner || len(h.BeaconEntries) == 0 {
					continue
				}
				b, err := m.withMessages(ctx, h)
				if err != nil {
					return err
				}
				if want == noMessages && len(b.BlsMessages)+len(b.SecpkMessages) > 0 || want == blsMessages && len(b.BlsMessages) == 0 {
					continue
				}
				m.used[h.Height], out = true, b
				return nil
			}
			ts, err = m.second.api.ChainGetTipSet(ctx, ts.Parents())
		}
		return errors.Join(err, errors.New("none among the newest tipsets"))
	})
	return out
}

func (m *mutator) withMessages(ctx context.Context, h *types.BlockHeader) (*types.BlockMsg, error) {
	msgs, err := m.second.api.ChainGetBlockMessages(ctx, h.Cid())
	if err != nil {
		return nil, err
	}
	out := &types.BlockMsg{Header: h}
	for _, b := range msgs.BlsMessages {
		out.BlsMessages = append(out.BlsMessages, b.Cid())
	}
	for _, s := range msgs.SecpkMessages {
		out.SecpkMessages = append(out.SecpkMessages, s.Cid())
	}
	return out, nil
}

// mutant is a changed copy of a block.
func (m *mutator) mutant(b *types.BlockMsg, mut mutation) *types.BlockMsg {
	m.t.Helper()
	raw, err := b.Header.Serialize()
	require.NoError(m.t, err)
	h, err := types.DecodeBlock(raw)
	require.NoError(m.t, err)
	mut.change(h)
	require.NotEqual(m.t, b.Header.Cid(), h.Cid())
	if !mut.unsigned {
		kind, err := m.key.Type.SigType()
		require.NoError(m.t, err)
		h.BlockSig = nil
		msg, err := h.SigningBytes()
		require.NoError(m.t, err)
		h.BlockSig, err = crypto.Sign(kind, m.key.PrivateKey, msg)
		require.NoError(m.t, err)
	}
	return &types.BlockMsg{Header: h, BlsMessages: b.BlsMessages, SecpkMessages: b.SecpkMessages}
}

// submitAll hands every mutant to the second node as a miner would.
func (m *mutator) submitAll() {
	m.t.Helper()
	ctx := m.t.Context()
	for _, mut := range mutations {
		if mut.needs == blsMessages {
			m.c.fund(m.t, m.faucet, 1) // the faucet's key is a BLS key
		}
		// One submitted block a miner and height: each mutant is of a block of its own.
		bad := m.mutant(m.real(ctx, mut.needs), mut)
		err := m.second.api.SyncSubmitBlock(ctx, bad)
		require.Error(m.t, err, mut.name)
		require.Contains(m.t, err.Error(), "breaks rule "+string(mut.rule)+":", mut.name)
		reason, err := m.second.api.SyncCheckBad(ctx, bad.Cid())
		require.NoError(m.t, err)
		require.Contains(m.t, reason, string(mut.rule), mut.name)
		reason, err = m.first.SyncCheckBad(ctx, bad.Cid())
		require.NoError(m.t, err)
		require.Empty(m.t, reason, "%s: a refused block is not published", mut.name)
		m.t.Logf("one bit of the %s: %s", mut.name, mut.rule)
	}
}

// gossipAll publishes every mutant of one block as a stranger on the network.
func (m *mutator) gossipAll() {
	m.t.Helper()
	ctx := m.t.Context()
	name, err := m.first.StateNetworkName(ctx)
	require.NoError(m.t, err)
	key, err := p2p.NewKey()
	require.NoError(m.t, err)
	stranger, err := p2p.New(ctx, p2p.Config{
		Key: key, Network: name, Agent: "stranger", Clock: clock.Real(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Bootstrap: []string{m.second.peer},
	})
	require.NoError(m.t, err)
	defer stranger.Close()
	accept := func(context.Context, peer.ID, []byte, bool) p2p.Verdict { return p2p.Accept }
	topics, err := stranger.Join(ctx, p2p.Handlers{Block: accept, Message: accept})
	require.NoError(m.t, err)
	eventually(m.t, time.Minute, "the stranger is heard", func() error {
		if len(topics.BlockPeers()) == 0 {
			return fmt.Errorf("no peer takes blocks")
		}
		return nil
	})
	good := m.real(ctx, noMessages) // a stranger could not deliver its messages
	var bad []*types.BlockMsg
	for _, mut := range mutations {
		b := m.mutant(good, mut)
		if mut.needs == blsMessages {
			bad = append(bad, b)
			continue
		}
		data, err := b.Serialize()
		require.NoError(m.t, err)
		require.NoError(m.t, topics.PublishBlock(ctx, data))
		bad = append(bad, b)
	}
	for i, mut := range mutations {
		if mut.unsigned || mut.needs == blsMessages {
			continue // refused at the door, nothing is remembered; or not published
		}
		eventually(m.t, time.Minute, "the gossiped mutant is judged: "+mut.name, func() error {
			reason, err := m.second.api.SyncCheckBad(ctx, bad[i].Cid())
			if err == nil && !strings.Contains(reason, "breaks rule "+string(mut.rule)+":") {
				err = fmt.Errorf("reason %s", strconv.Quote(reason))
			}
			return err
		})
	}
	for i, mut := range mutations {
		_, err := m.second.api.ChainGetBlock(ctx, bad[i].Cid())
		require.Error(m.t, err, "%s: a refused block is not kept", mut.name)
	}
}

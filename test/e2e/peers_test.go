package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/internal/npm"
	"github.com/filecoin-venus/venus/p2p/exchange"
	"github.com/filecoin-venus/venus/p2p/hello"
	"github.com/filecoin-venus/venus/types"
)

// jsPeer is a js-libp2p peer; see npm-peers/peer.mjs.
type jsPeer struct {
	*npm.Program
	t  *testing.T
	up event
}

// event is what the script tells.
type event struct {
	Event, What, Error string
	ID, Peer, Agent    string
	Addrs, Protocols   []string
	Topic, Data, From  string
	Recipients         int
}

func startPeer(t *testing.T, clients npm.Clients, options map[string]any) *jsPeer {
	t.Helper()
	p := &jsPeer{Program: clients.Start(t, "peer.mjs"), t: t}
	p.Tell(options)
	p.up = p.await("up", func(event) bool { return true })
	return p
}

func (p *jsPeer) await(name string, match func(event) bool) (e event) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	p.Await(ctx, name, func(line []byte) bool {
		e = event{}
		return json.Unmarshal(line, &e) == nil && e.Event == name && match(e)
	})
	return e
}

func (p *jsPeer) dial(addr string) event {
	p.t.Helper()
	p.Tell(map[string]any{"do": "dial", "addr": addr})
	return p.await("dialed", func(event) bool { return true })
}

func (p *jsPeer) publish(topic string, data []byte) {
	p.Tell(map[string]any{"do": "publish", "topic": topic, "data": base64.StdEncoding.EncodeToString(data)})
}

func (p *jsPeer) send(to, protocol string, data []byte) {
	p.Tell(map[string]any{"do": "send", "peer": to, "protocol": protocol, "data": base64.StdEncoding.EncodeToString(data)})
}

// idOf is the peer id at the end of an address.
func idOf(addr string) string { return addr[strings.LastIndex(addr, "/")+1:] }

func topicsOf(t *testing.T, n *secondNode) (blocks, msgs string) {
	t.Helper()
	name, err := n.api.StateNetworkName(t.Context())
	require.NoError(t, err)
	return "/fil/blocks/" + name, "/fil/msgs/" + name
}

// TestJsPeers puts peers of js-libp2p into a mesh with three nodes: blocks and messages cross both ways, and look-ups in the
// DHT are answered.
func TestJsPeers(t *testing.T) {
	t.Parallel()
	shared.chain.launch(t)
	clients := npm.Install(t, filepath.Join(shared.root, "test", "e2e", "npm-peers"))
	c, st := living(t)
	first, second := c.node(t), join(t, c)
	eventually(t, 2*time.Minute, "the second node catches up", func() error { return level(t, first, second.api) })
	blocks, msgs := topicsOf(t, second)

	js := startPeer(t, clients, map[string]any{"listen": true, "topics": []string{blocks, msgs}})
	met := js.dial(c.dialable(t.Context(), t))
	require.Contains(t, met.Agent, "venus/")
	for _, p := range []string{"/fil/hello/1.0.0", "/fil/chain/xchg/0.0.1", "/ipfs/id/1.0.0", "/meshsub/1.1.0"} {
		require.Contains(t, met.Protocols, p)
	}
	js.dial(second.peer)
	// Node to peer. Not all that is heard need be valid, other tests are about; some of it is what the chain knows.
	js.await("heard", func(e event) bool {
		if e.Topic != blocks {
			return false
		}
		raw, err := base64.StdEncoding.DecodeString(e.Data)
		require.NoError(t, err)
		b, err := types.DecodeBlockMsg(raw)
		if err != nil {
			return false
		}
		_, err = first.ChainGetBlock(t.Context(), b.Cid())
		return err == nil
	})

	// Peer to node: a message published there lands on chain.
	signed := signedTransfer(t, c, st.Faucet)
	data, err := signed.Serialize()
	require.NoError(t, err)
	js.publish(msgs, data)
	require.Positive(t, js.await("published", func(event) bool { return true }).Recipients)
	look, err := first.StateWaitMsg(t.Context(), signed.Cid(), 1, 100, true)
	require.NoError(t, err)
	require.Zero(t, look.Receipt.ExitCode)

	// Peer to node: a node that knows only this peer takes the first blocks from it.
	lonely := joinBy(t, c.net().Genesis(), js.up.Addrs[0]+"/p2p/"+js.up.ID)
	replayed := replay(t, js, blocks, c, lonely)
	t.Logf("a node at epoch %d by blocks from a js-libp2p peer", replayed)

	finder := startPeer(t, clients, map[string]any{"dht": strings.Replace(blocks, "/fil/blocks/", "/fil/kad/", 1) + "/kad/1.0.0"})
	finder.dial(c.dialable(t.Context(), t))
	eventually(t, time.Minute, "the DHT knows the second node", func() error {
		finder.Tell(map[string]any{"do": "find", "peer": idOf(second.peer)})
		var e event
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		finder.Await(ctx, "an answer", func(line []byte) bool {
			e = event{}
			return json.Unmarshal(line, &e) == nil && (e.Event == "found" || e.Event == "error")
		})
		if e.Event != "found" || len(e.Addrs) == 0 {
			return fmt.Errorf("%s %v", e.Error, e.Addrs)
		}
		return nil
	})
	eventually(t, time.Minute, "the second node is level", func() error { return level(t, first, second.api) })
}

// signedTransfer is a message from a new key that has money, signed by the cluster's wallet.
func signedTransfer(t *testing.T, c *testCluster, to string) *types.SignedMessage {
	t.Helper()
	st, err := c.state()
	require.NoError(t, err)
	w := walletOf(t, c, st)
	from, err := w.WalletNew(t.Context(), types.KeySecp256k1)
	require.NoError(t, err)
	c.fund(t, from.String(), 1)
	dest, err := address.NewFromString(to)
	require.NoError(t, err)
	m := &types.Message{To: dest, From: from, Value: big.NewInt(1), GasLimit: 3_000_000, GasFeeCap: big.NewInt(1_000_000), GasPremium: big.NewInt(100_000)}
	raw, err := m.Serialize()
	require.NoError(t, err)
	sig, err := w.WalletSign(t.Context(), from, m.Cid().Bytes(), walletapi.MsgMeta{Type: walletapi.TypeMessage, Extra: raw})
	require.NoError(t, err)
	return &types.SignedMessage{Message: *m, Signature: *sig}
}

// replay publishes the first blocks of the chain, as long as they have no messages, and waits until the node has them.
func replay(t *testing.T, js *jsPeer, topic string, c *testCluster, to *secondNode) abi.ChainEpoch {
	t.Helper()
	ctx, first := t.Context(), c.node(t)
	js.await("subscribed", func(e event) bool { return e.Peer == idOf(to.peer) && e.Topic == topic })
	last := abi.ChainEpoch(0)
	for h := abi.ChainEpoch(1); h < 10; h++ {
		ts, err := first.ChainGetTipSetByHeight(ctx, h, types.EmptyTSK)
		require.NoError(t, err)
		if ts.Height() != h {
			continue // a null round
		}
		for _, b := range ts.Blocks() {
			found, err := first.ChainGetBlockMessages(ctx, b.Cid())
			require.NoError(t, err)
			if len(found.BlsMessages)+len(found.SecpkMessages) > 0 {
				require.Positive(t, last, "the first block has messages already")
				return last
			}
			data, err := (&types.BlockMsg{Header: b}).Serialize()
			require.NoError(t, err)
			js.publish(topic, data)
		}
		eventually(t, time.Minute, fmt.Sprintf("the node takes the blocks of epoch %d", h), func() error {
			if at := headOf(t, to.api).Height(); at < h {
				return fmt.Errorf("head %d", at)
			}
			return nil
		})
		require.Equal(t, ts.Key(), headOf(t, to.api).Key())
		last = h
	}
	return last
}

// TestHostilePeers attacks a node with what honest software does not send. The attackers are kept out; the node follows its
// chain all the while and needs no more memory.
func TestHostilePeers(t *testing.T) {
	t.Parallel()
	shared.chain.launch(t)
	clients := npm.Install(t, filepath.Join(shared.root, "test", "e2e", "npm-peers"))
	c, _ := living(t)
	first, node := c.node(t), join(t, c)
	eventually(t, 2*time.Minute, "the node catches up", func() error { return level(t, first, node.api) })
	before := memoryOf(t, node.proc)
	for name, attack := range map[string]func(t *testing.T, js *jsPeer, node *secondNode){
		"bad CBOR": badCBOR, "huge lengths": hugeLengths, "wrong genesis": wrongGenesis, "junk in topics": junk, "lies": lies,
	} {
		t.Run(name, func(t *testing.T) {
			blocks, msgs := topicsOf(t, node)
			js := startPeer(t, clients, map[string]any{"listen": true, "topics": []string{blocks, msgs}})
			js.dial(node.peer)
			attack(t, js, node)
			js.await("lost", func(e event) bool { return e.Peer == idOf(node.peer) })
			js.Tell(map[string]any{"do": "dial", "addr": node.peer})
			js.await("error", func(e event) bool { return e.What == "dial" })
			peers, err := node.api.NetPeers(t.Context())
			require.NoError(t, err)
			for _, p := range peers {
				require.NotEqual(t, js.up.ID, p.ID, "the attacker is kept out")
			}
		})
	}
	eventually(t, time.Minute, "the node still follows", func() error { return level(t, first, node.api) })
	equalRoots(t, first, node.api)
	after := memoryOf(t, node.proc)
	t.Logf("memory before %d MiB, after %d MiB", before>>20, after>>20)
	require.Less(t, after, before+200<<20)
}

// memoryOf is the memory of a process in bytes.
func memoryOf(t *testing.T, p *process) (bytes int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(status), "VmRSS:")
	require.True(t, ok)
	_, err = fmt.Sscan(rest, &bytes)
	require.NoError(t, err)
	return bytes << 10
}

func badCBOR(_ *testing.T, js *jsPeer, node *secondNode) {
	for i := range 8 {
		js.send(idOf(node.peer), string(hello.Protocol), append([]byte{0x84, 0xff}, bytes.Repeat([]byte{byte(i)}, 100)...))
	}
}

// hugeLengths sends headers of lists and strings that would not fit into any memory.
func hugeLengths(_ *testing.T, js *jsPeer, node *secondNode) {
	for range 4 {
		js.send(idOf(node.peer), string(exchange.Protocol), []byte{0x83, 0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		js.send(idOf(node.peer), string(hello.Protocol), []byte{0x84, 0x9a, 0xff, 0xff, 0xff, 0xff, 0x01})
	}
}

func greeting(t *testing.T, genesis cid.Cid, head cid.Cid, height abi.ChainEpoch) []byte {
	var b bytes.Buffer
	require.NoError(t, (&hello.Hello{Head: []cid.Cid{head}, Height: height, Weight: big.NewInt(1 << 40), Genesis: genesis}).MarshalCBOR(&b))
	return b.Bytes()
}

func someCid(t *testing.T, n int) cid.Cid {
	c, err := abi.CidBuilder.Sum(fmt.Appendf(nil, "no block %d", n))
	require.NoError(t, err)
	return c
}

func wrongGenesis(t *testing.T, js *jsPeer, node *secondNode) {
	js.send(idOf(node.peer), string(hello.Protocol), greeting(t, someCid(t, 0), someCid(t, 1), 5))
}

// junk publishes bytes that are no block and no message, as many as are listened to.
func junk(t *testing.T, js *jsPeer, node *secondNode) {
	blocks, msgs := topicsOf(t, node)
	for i := range 200 {
		js.publish(blocks, fmt.Appendf(nil, "no block %d", i))
		js.publish(msgs, fmt.Appendf(nil, "no message %d", i))
	}
}

// lies tells of heads that do not exist and answers questions about them with other tipsets.
func lies(t *testing.T, js *jsPeer, node *secondNode) {
	ctx := t.Context()
	genesis, err := node.api.ChainGetGenesis(ctx)
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, (&exchange.Response{Chain: []*exchange.TipSet{{Blocks: genesis.Blocks()}}}).MarshalCBOR(&b))
	js.Tell(map[string]any{"do": "serve", "protocol": string(exchange.Protocol), "data": base64.StdEncoding.EncodeToString(b.Bytes())})
	js.await("serving", func(event) bool { return true })
	for i := range 6 {
		head := headOf(t, node.api)
		js.send(idOf(node.peer), string(hello.Protocol), greeting(t, genesis.Cids()[0], someCid(t, i), head.Height()+1))
		if i < 2 {
			js.await("served", func(event) bool { return true })
		}
	}
}

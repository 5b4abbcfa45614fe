package exchange

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/p2p"
	"github.com/filecoin-venus/venus/types"
)

// chainOf is a source with n linked tipsets, two blocks each.
type chainOf struct {
	byKey map[types.TipSetKey]*types.TipSet
	full  map[types.TipSetKey][]*types.FullBlock
	head  *types.TipSet
}

func (c *chainOf) TipSet(_ context.Context, k types.TipSetKey) (*types.TipSet, error) {
	if ts, ok := c.byKey[k]; ok {
		return ts, nil
	}
	return nil, errors.New("absent")
}

func (c *chainOf) FullBlocks(_ context.Context, ts *types.TipSet) ([]*types.FullBlock, error) {
	return c.full[ts.Key()], nil
}

func newChain(t testing.TB, n int) *chainOf {
	t.Helper()
	c := &chainOf{byKey: map[types.TipSetKey]*types.TipSet{}, full: map[types.TipSetKey][]*types.FullBlock{}}
	root, err := types.CidPrefix.Sum([]byte("root"))
	require.NoError(t, err)
	to, err := address.NewIDAddress(5)
	require.NoError(t, err)
	from, err := address.NewSecp256k1Address(make([]byte, 65))
	require.NoError(t, err)
	parents := []cid.Cid{root}
	for h := range n {
		var headers []*types.BlockHeader
		byBlock := map[cid.Cid]*types.FullBlock{}
		for k := range 2 {
			miner, err := address.NewIDAddress(uint64(1000 + k))
			require.NoError(t, err)
			b := &types.BlockHeader{
				Miner: miner, Ticket: &types.Ticket{VRFProof: []byte{byte(h), byte(k)}}, Parents: parents, ParentWeight: big.NewInt(int64(h)), Height: abi.ChainEpoch(h),
				ParentStateRoot: root, ParentMessageReceipts: root, Messages: root, ParentBaseFee: big.NewInt(100),
			}
			m := types.Message{To: to, From: from, Nonce: uint64(h), Value: big.Zero(), GasFeeCap: big.Zero(), GasPremium: big.Zero()}
			headers = append(headers, b)
			byBlock[b.Cid()] = &types.FullBlock{Header: b, BlsMessages: []*types.Message{&m},
				SecpkMessages: []*types.SignedMessage{{Message: m, Signature: crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: []byte{byte(k)}}}}}
		}
		ts, err := types.NewTipSet(headers)
		require.NoError(t, err)
		for _, b := range ts.Cids() {
			c.full[ts.Key()] = append(c.full[ts.Key()], byBlock[b])
		}
		c.byKey[ts.Key()], c.head, parents = ts, ts, ts.Cids()
	}
	return c
}

func node(t *testing.T) *p2p.Host {
	t.Helper()
	key, err := p2p.NewKey()
	require.NoError(t, err)
	h, err := p2p.New(context.Background(), p2p.Config{Key: key, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Network: "test", Clock: clock.Real()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

func TestFetchOverTheWire(t *testing.T) {
	ctx := context.Background()
	src := newChain(t, 20)
	server, empty, asker := node(t), node(t), node(t)
	Serve(server, src)
	Serve(empty, newChain(t, 0))
	c := NewClient(asker, clock.Real())
	for _, h := range []*p2p.Host{empty, server} {
		require.NoError(t, asker.Connect(ctx, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}))
		c.AddPeer(h.ID())
	}
	got, err := c.Chain(ctx, src.head.Key(), 5, Headers|Messages, empty.ID())
	require.NoError(t, err, "a peer without the chain is passed over")
	require.Len(t, got, 5)
	full, err := got[0].Messages.Expand(got[0].Blocks)
	require.NoError(t, err)
	require.Equal(t, src.full[src.head.Key()][1].SecpkMessages[0].Cid(), full[1].SecpkMessages[0].Cid())
	require.Len(t, got[0].Messages.Bls, 1, "a message of two blocks travels once")

	got, err = c.Chain(ctx, src.head.Key(), 100, Headers)
	require.NoError(t, err)
	require.Len(t, got, 20, "partial: the chain ends at genesis")
	require.Equal(t, server.ID(), c.Peers()[0], "the peer that served leads")

	_, err = c.Chain(ctx, types.NewTipSetKey(src.head.Blocks()[0].ParentStateRoot), 1, Headers)
	require.ErrorIs(t, err, ErrNoPeer)
}

func TestSilentPeersHoldNobodyUp(t *testing.T) {
	ctx := context.Background()
	src := newChain(t, 3)
	server, asker := node(t), node(t)
	Serve(server, src)
	sim := clock.NewSim(time.Now())
	c := NewClient(asker, sim)
	var silent []peer.ID
	heard, release := make(chan struct{}, 8), make(chan struct{})
	defer close(release)
	for range askAtOnce - 1 {
		h := node(t)
		h.HandleStream(Protocol, time.Minute, func(network.Stream) error { heard <- struct{}{}; <-release; return nil })
		require.NoError(t, asker.Connect(ctx, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}))
		c.AddPeer(h.ID())
		silent = append(silent, h.ID())
	}
	require.NoError(t, asker.Connect(ctx, peer.AddrInfo{ID: server.ID(), Addrs: server.Addrs()}))
	c.AddPeer(server.ID())
	done := make(chan error)
	go func() {
		_, err := c.Chain(ctx, src.head.Key(), 2, Headers, silent...)
		done <- err
	}()
	for range silent {
		<-heard
		require.NoError(t, sim.WaitFor(ctx, 1))
		sim.Advance(impatience)
	}
	require.NoError(t, <-done)
	require.Equal(t, server.ID(), c.Peers()[0], "who was asked last and answered first leads")
	for range 2 * preferred {
		c.rate(silent[0], -1)
	}
	require.Equal(t, silent[0], c.Peers(silent...)[askAtOnce-1], "a bad past outweighs a preference")
}

func TestAnswerRefusesBadRequests(t *testing.T) {
	src := newChain(t, 3)
	head := src.head.Cids()
	for _, r := range []*Request{{}, {Head: head, Length: 1}, {Head: head, Options: Headers}, {Head: head, Length: MaxLength + 1, Options: Headers}, {Length: 1, Options: Headers}} {
		require.Equal(t, BadRequest, answer(context.Background(), src, r).Status)
	}
}

func TestCheckFormRefusesLies(t *testing.T) {
	src := newChain(t, 6)
	req := &Request{Head: src.head.Cids(), Length: 4, Options: Headers | Messages}
	honest := func() []*TipSet { return answer(context.Background(), src, req).Chain }
	require.NoError(t, checkForm(req, honest()))
	for name, spoil := range map[string]func([]*TipSet) []*TipSet{
		"empty":           func([]*TipSet) []*TipSet { return nil },
		"too long":        func(c []*TipSet) []*TipSet { return append(c, c[0]) },
		"null tipset":     func(c []*TipSet) []*TipSet { c[1] = nil; return c },
		"broken link":     func(c []*TipSet) []*TipSet { return append(c[:1], c[2:]...) },
		"other head":      func(c []*TipSet) []*TipSet { return c[1:] },
		"foreign index":   func(c []*TipSet) []*TipSet { c[2].Messages.BlsIncludes[0][0] = 1 << 63; return c },
		"null message":    func(c []*TipSet) []*TipSet { c[0].Messages.Bls[0] = nil; return c },
		"missing lists":   func(c []*TipSet) []*TipSet { c[0].Messages.SecpkIncludes = nil; return c },
		"no messages":     func(c []*TipSet) []*TipSet { c[3].Messages = nil; return c },
		"null block":      func(c []*TipSet) []*TipSet { c[0].Blocks = []*types.BlockHeader{nil}; return c },
		"no blocks":       func(c []*TipSet) []*TipSet { c[0].Blocks = nil; return c },
		"missing a block": func(c []*TipSet) []*TipSet { c[0].Blocks = c[0].Blocks[:1]; return c },
	} {
		require.Error(t, checkForm(req, spoil(honest())), name)
	}
}

func FuzzDecode(f *testing.F) {
	src := newChain(f, 3)
	req := &Request{Head: src.head.Cids(), Length: 3, Options: Headers | Messages}
	var rb, qb bytes.Buffer
	if err := answer(context.Background(), src, req).MarshalCBOR(&rb); err != nil {
		f.Fatal(err)
	}
	if err := req.MarshalCBOR(&qb); err != nil {
		f.Fatal(err)
	}
	f.Add(rb.Bytes())
	f.Add(qb.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		var q Request
		if q.UnmarshalCBOR(bytes.NewReader(b)) == nil {
			answer(context.Background(), src, &q)
		}
		var r Response
		if r.UnmarshalCBOR(bytes.NewReader(b)) == nil {
			_ = checkForm(req, r.Chain) // must not panic whatever the peer says
		}
	})
}

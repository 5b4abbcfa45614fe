package node

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/p2p"
	"github.com/filecoin-venus/venus/types"
)

// FuzzGossip is what a peer may send on the two topics. Blocks that decode are
// also signed anew by the miner's worker, so that what is changed in them gets
// past the first look and is judged by every rule. Nothing may panic, and the
// head may only move to the one valid child.
func FuzzGossip(f *testing.F) {
	w := theWorld(f)
	n := w.first(f, alone)
	base := n.mine(f, 2)
	good := n.block(f, base, base.Height()+1)
	raw, err := good.Serialize()
	require.NoError(f, err)
	f.Add(raw, false)
	f.Add(raw, true)
	for _, change := range []func(b *types.BlockMsg){
		func(b *types.BlockMsg) { b.Header.Height += 3 },
		func(b *types.BlockMsg) { b.Header.Parents = nil },
		func(b *types.BlockMsg) { b.Header.BeaconEntries = nil },
		func(b *types.BlockMsg) { b.Header.WinPoStProof = nil },
		func(b *types.BlockMsg) { b.Header.ElectionProof, b.Header.Ticket = nil, nil },
	} {
		b, err := types.DecodeBlockMsg(raw)
		require.NoError(f, err)
		change(b)
		odd, err := b.Serialize()
		require.NoError(f, err)
		f.Add(odd, true)
	}
	m, err := w.faucet.transfer(f, w.worker.addr, 0, 5).Serialize()
	require.NoError(f, err)
	f.Add(m, false)

	g := n.API.gossip
	stranger := peer.ID("stranger")
	f.Fuzz(func(t *testing.T, data []byte, signed bool) {
		ctx := t.Context()
		g.message(ctx, stranger, data, false)
		b, err := types.DecodeBlockMsg(data)
		if err != nil {
			require.Equal(t, p2p.Reject, g.block(ctx, stranger, data, false))
			return
		}
		if signed {
			w.resign(t, b.Header)
		}
		_, _ = g.look(ctx, b)
		if _, err := g.store.AssembleBlock(ctx, b); err != nil {
			return // the peer would be asked for the messages, and there is none
		}
		if err := g.sync.HearBlock(ctx, stranger, b); err != nil {
			require.NotContains(t, err.Error(), "panic")
		}
		if head := n.head(t); head.Key() != base.Key() {
			require.Equal(t, base.Key(), head.Parents())
		}
	})
}

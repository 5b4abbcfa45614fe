package sim

import (
	"testing"

	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/internal/memory"
	"github.com/filecoin-venus/venus/types"
)

const (
	fullBlocks  = 5
	perBlock    = 200
	fullSenders = fullBlocks * perBlock
)

// BenchmarkFullTipSet judges five blocks with 1,000 payments of as many
// senders, all signatures included, and executes them: from the blocks' coming
// to the state that their children name. Winning proofs are the simulation's. Of messages that were heard before, as a node
// hears them by gossip, it remembers that the signature holds.
func BenchmarkFullTipSet(b *testing.B) {
	memory.Relax()
	for _, kind := range []struct {
		name string
		of   func(i int) gscrypto.SigType
		// hears tells which messages came before their blocks.
		hears func(i int) bool
	}{
		{"bls", allBLS, none},
		{"secp256k1", func(int) gscrypto.SigType { return gscrypto.SigTypeSecp256k1 }, none},
		{"half", mixed, none},
		{"bls heard", allBLS, all},
		{"bls nine in ten heard", allBLS, func(i int) bool { return i%10 > 0 }},
		{"half heard", mixed, all},
	} {
		b.Run(kind.name, func(b *testing.B) {
			w, keys := crowd(b, kind.of)
			b.ResetTimer()
			for nonce := 0; b.Loop(); nonce++ {
				b.StopTimer()
				blocks := w.fullTipSet(b, keys, uint64(nonce), kind.hears)
				b.StartTimer()
				w.take(b, blocks)
				_, err := w.Exec.Execute(b.Context(), w.Store.Head())
				require.NoError(b, err)
			}
		})
	}
}

func allBLS(int) gscrypto.SigType  { return gscrypto.SigTypeBLS }
func mixed(i int) gscrypto.SigType { return gscrypto.SigType(1 + i%2) }
func none(int) bool                { return false }
func all(int) bool                 { return true }

// crowd is a chain on which a thousand keys have money.
func crowd(b *testing.B, kind func(i int) gscrypto.SigType) (*World, []Key) {
	b.Helper()
	w, err := NewWorld(b.Context(), Config{Miners: 10, Seed: 5, Quiet: true})
	require.NoError(b, err)
	b.Cleanup(w.Exec.Close)
	keys := make([]Key, fullSenders)
	for i := range keys {
		keys[i], err = newKey(kind(i), int64(i), "sender")
		require.NoError(b, err)
		_, err = w.Send(w.Faucet, keys[i].Address, oneFIL())
		require.NoError(b, err)
	}
	funded := func() bool {
		res, err := w.Exec.Execute(b.Context(), w.Store.Head())
		require.NoError(b, err)
		_, err = w.Store.View(res.State).Actor(b.Context(), keys[fullSenders-1].Address)
		return err == nil
	}
	for !funded() {
		_, err := w.Step(b.Context())
		require.NoError(b, err)
	}
	return w, keys
}

// fullTipSet has five winners of one epoch carry a fifth of the payments each; the validator hears some of them before.
func (w *World) fullTipSet(b *testing.B, keys []Key, nonce uint64, hears func(i int) bool) []*types.FullBlock {
	b.Helper()
	pools := make([]*pool, fullBlocks)
	for i := range pools {
		pools[i] = newPool()
		for j, k := range keys[i*perBlock : (i+1)*perBlock] {
			pools[i].next[k.Address] = nonce
			to := keys[(i*perBlock+j+7)%len(keys)].Address
			signed, err := pools[i].add(k, message(to, big.NewInt(1), 0, nil, 10_000_000))
			require.NoError(b, err)
			if hears(i*perBlock + j) {
				require.NoError(b, w.Validator.Signatures().Verify(&signed.Signature, k.Address, signed.Message.Cid().Bytes()))
			}
		}
	}
	base := w.Store.Head()
	for {
		w.epoch++
		w.Clock.Advance(w.Net.BlockDelay)
		var blocks []*types.FullBlock
		for _, m := range w.Miners {
			w.pool = pools[len(blocks)]
			full, err := w.Mine(b.Context(), m, base, w.epoch)
			require.NoError(b, err)
			if full == nil {
				continue
			}
			require.Equal(b, perBlock, len(full.BlsMessages)+len(full.SecpkMessages))
			if blocks = append(blocks, full); len(blocks) == fullBlocks {
				return blocks
			}
		}
	}
}

// take judges blocks side by side, as they come by gossip, and accepts them.
func (w *World) take(b *testing.B, blocks []*types.FullBlock) {
	b.Helper()
	var group errgroup.Group
	for _, full := range blocks {
		group.Go(func() error {
			if err := w.Validator.ValidateBlock(b.Context(), full); err != nil {
				return err
			}
			if err := w.Store.PutFullBlock(b.Context(), full); err != nil {
				return err
			}
			_, _, err := w.Store.Accept(b.Context(), full.Header)
			return err
		})
	}
	require.NoError(b, group.Wait())
	require.Len(b, w.Store.Head().Blocks(), len(blocks), "all blocks in one tipset")
}

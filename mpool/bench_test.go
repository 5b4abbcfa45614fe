package mpool

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"
)

// BenchmarkSelect fills a block from 100,000 pending messages of 10,000
// senders, their actors looked up in the model chain: for a ticket that is
// surely first, which takes what pays best, and for one that is not.
func BenchmarkSelect(b *testing.B) {
	const senders, each = 10_000, 10
	chain := newFakeChain(b)
	head := chain.extend(nil)
	kit := newKit(b, chain, NewMemoryStore(), head)
	kit.cfg.SizeLimitHigh = 2 * senders * each
	rng := rand.New(rand.NewSource(1))
	for i := range senders {
		from := testAddr(b, fmt.Sprint(i))
		chain.balances[from] = big.Mul(fil, big.NewInt(1000))
		for nonce := range uint64(each) {
			m := blsMsg(from, nonce, 1_000_000+rng.Int63n(50_000_000), 1000, 1+rng.Int63n(900))
			require.NoError(b, kit.Receive(b.Context(), m))
		}
	}
	require.Equal(b, senders*each, kit.core.count)
	for _, quality := range []float64{1, 0.5} {
		b.Run(fmt.Sprintf("quality=%v", quality), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				got, err := kit.Select(b.Context(), head, quality)
				require.NoError(b, err)
				require.NotEmpty(b, got)
			}
		})
	}
}

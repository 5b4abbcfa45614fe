package node

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkCatchUp is a fresh node that fetches and judges the chain of one
// peer over loopback, proofs, signatures and states included: a chain without
// messages, and one of which one tipset in 20 carries 200 payments. The figure is
// epochs/s.
func BenchmarkCatchUp(b *testing.B) {
	b.Run("empty", func(b *testing.B) { catchUp(b, 0) })
	b.Run("payments", func(b *testing.B) { catchUp(b, 200) })
}

func catchUp(b *testing.B, payments int) {
	const tipsets = 600
	w, err := newWorld(b.Context(), 2*tipsets)
	require.NoError(b, err)
	defer w.close()
	a := w.first(b, nil)
	nonce := uint64(0)
	for i := range tipsets {
		if i%20 == 10 {
			for range payments {
				_, err := a.v1.MpoolPush(b.Context(), w.faucet.transfer(b, w.worker.addr, nonce, 1))
				require.NoError(b, err)
				nonce++
			}
		}
		a.mine(b, 1)
	}
	head := a.head(b)
	info, err := a.v1.NetAddrsListen(b.Context())
	require.NoError(b, err)
	epochs := 0
	for b.Loop() {
		fresh := w.first(b, func(o *Options) { o.Bootstrap = []string{info.Addrs[0] + "/p2p/" + info.ID} })
		level := func() bool { return fresh.head(b).Key() == head.Key() }
		require.Eventually(b, level, 10*time.Minute, 5*time.Millisecond)
		epochs += int(head.Height())
	}
	b.ReportMetric(float64(epochs)/b.Elapsed().Seconds(), "epochs/s")
}

package heads_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/sealer/heads"
	"github.com/filecoin-venus/venus/sealer/sealertest"
)

func TestFollow(t *testing.T) {
	net, err := params.ByName("local")
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		chain := sealertest.NewChain(net, 10, time.Now())
		chain.Change(func() { chain.Down = true })
		f := heads.New(chain, clock.Real())
		changed := f.Listen()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { f.Run(ctx); close(done) }()
		synctest.Wait()
		require.Zero(t, f.Latest().Seq)
		chain.Change(func() { chain.Down = false })
		_ = clock.Real().Sleep(context.Background(), 2*time.Second) // it asks again by itself
		synctest.Wait()
		<-changed
		require.EqualValues(t, 10, f.Latest().Epoch)
		for range 5 {
			chain.Tick(time.Now())
		}
		synctest.Wait()
		<-changed // five changes, one signal
		require.EqualValues(t, 15, f.Latest().Epoch)
		before := f.Latest()
		chain.Reorg(2, time.Now())
		synctest.Wait()
		<-changed
		require.Equal(t, abi.ChainEpoch(15), f.Latest().Epoch)
		require.NotEqual(t, before.Key, f.Latest().Key)
		stop()
		<-done
	})
}

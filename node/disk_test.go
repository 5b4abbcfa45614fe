package node

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/types"
)

// TestDiskFull: a node on a full disk writes nothing, says so, keeps answering, holds nothing against anybody, and goes on
// by itself when there is room.
func TestDiskFull(t *testing.T) {
	w := theWorld(t)
	ctx := t.Context()
	var left atomic.Uint64
	left.Store(10 << 30)
	small := func(o *Options) {
		alone(o)
		o.free = func() (uint64, error) { return left.Load(), nil }
	}
	n := w.first(t, small)
	head := n.mine(t, 1)
	b := n.block(t, head, head.Height()+1)

	left.Store(200 << 20)
	pending := w.faucet.transfer(t, w.worker.addr, 0, 1)
	_, err := n.v1.MpoolPush(ctx, pending)
	require.ErrorContains(t, err, fsutil.ErrNoRoom.Error())
	require.ErrorContains(t, n.v1.SyncSubmitBlock(ctx, b), fsutil.ErrNoRoom.Error())
	require.Equal(t, head.Key(), n.head(t).Key())
	reason, err := n.v1.SyncCheckBad(ctx, b.Cid())
	require.NoError(t, err)
	require.Empty(t, reason, "the disk is full, the block is not bad")
	soon(t, "the node says that it is not ready", func() bool {
		status, body := n.get(t, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "nothing is written: no room on the disk: 200 MiB are left")
	})
	status, _ := n.get(t, "/livez")
	require.Equal(t, http.StatusOK, status, "a restart would not help")
	_, body := n.get(t, "/metrics")
	require.Contains(t, body, "venus_disk_free_bytes 2.097152e+08")
	list, err := n.v1.MpoolPending(ctx, types.EmptyTSK)
	require.NoError(t, err)
	require.Empty(t, list, "what could not be kept was not accepted")

	left.Store(10 << 30)
	require.NoError(t, n.v1.SyncSubmitBlock(ctx, b), "the same block again")
	_, err = n.v1.MpoolPush(ctx, pending)
	require.NoError(t, err)
	head = n.mine(t, 1)

	left.Store(1 << 20)
	require.NoError(t, n.Close(), "it closes on a full disk too")
	o := w.options(n.repo)
	small(&o)
	_, err = New(ctx, o)
	require.Equal(t, api.CodePrecondition, code(err))
	require.ErrorContains(t, err, "1 MiB are left")
	left.Store(10 << 30)
	again := w.start(t, n.repo, small)
	require.Equal(t, head.Key(), again.head(t).Key())
}

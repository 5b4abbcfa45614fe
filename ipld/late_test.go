package ipld

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
)

// What was put can be read at once and survives a kill after Sync; a Sync that fails loses nothing and is made up for.
func TestSync(t *testing.T) {
	h := newGarden(t, 1)
	defer func() { require.NoError(t, h.d.Close()) }()
	var cids []cid.Cid
	putSome := func() {
		for range 10 {
			cids = append(cids, put(t, h.d, fmt.Sprint("late ", len(cids))))
		}
	}
	afterKill := func() (there int) {
		image := filepath.Join(t.TempDir(), "blocks")
		copyTree(t, image, h.d.dir)
		d, err := OpenDisk(image)
		require.NoError(t, err)
		for _, c := range cids {
			if ok, err := d.Has(t.Context(), c); err == nil && ok {
				there++
			}
		}
		require.NoError(t, d.Close())
		return there
	}
	putSome()
	require.Zero(t, afterKill())
	require.NoError(t, h.d.Sync(t.Context()))
	require.Equal(t, 10, afterKill())

	putSome()
	disarm := fault.Arm("store/sync", func() error { return fault.ErrInjected })
	require.ErrorIs(t, h.d.Sync(t.Context()), fault.ErrInjected)
	disarm()
	for _, c := range cids {
		h.require(t, c, true, "after a failed sync")
	}
	putSome()
	require.NoError(t, h.d.Sync(t.Context()))
	require.Equal(t, 30, afterKill())
	require.Empty(t, h.d.late.held)
	require.Zero(t, h.d.late.bytes)
}

// However much is put without a Sync, memory is bounded.
func TestLateBlocksAreBounded(t *testing.T) {
	h := newGarden(t, 1)
	defer func() { require.NoError(t, h.d.Close()) }()
	big := make([]byte, 1<<20)
	for i := range 2*lateLimit>>20 + 1 {
		big[0] = byte(i)
		c, err := cid.V1Builder{Codec: cid.Raw, MhType: 0xb220}.Sum(big)
		require.NoError(t, err)
		require.NoError(t, h.d.Put(t.Context(), c, append([]byte{}, big...)))
		require.Less(t, h.d.late.bytes, lateLimit)
	}
}

// What waits when a collection begins is collected with the old store: it must not outlive what it leads to.
func TestWhatWaitsIsCollectedToo(t *testing.T) {
	h := newGarden(t, 1)
	defer func() { require.NoError(t, h.d.Close()) }()
	old := put(t, h.d, "old")
	kept := put(t, h.d, "kept")
	require.NoError(t, h.d.Sync(t.Context()))
	waits := put(t, h.d, "waits", old)
	roots := []cid.Cid{kept}
	_, err := h.d.Collect(t.Context(), simple(&roots, nil, nil))
	require.NoError(t, err)
	h.require(t, kept, true, "a root")
	h.require(t, old, false, "no root leads to it")
	h.require(t, waits, false, "it leads to what is gone")
}

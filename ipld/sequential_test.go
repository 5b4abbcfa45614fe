package ipld

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"github.com/stretchr/testify/require"
)

// names are CIDs of every kind that stores hold, over the same few bytes.
func names(t *testing.T, data []byte) []cid.Cid {
	t.Helper()
	var out []cid.Cid
	for _, p := range []cid.Prefix{
		prefix,
		{Version: 1, Codec: cid.Raw, MhType: prefix.MhType, MhLength: 32},
		{Version: 1, Codec: cid.DagCBOR, MhType: mh.SHA2_256, MhLength: 32},
		{Version: 1, Codec: cid.DagCBOR, MhType: mh.SHA2_512, MhLength: 64},
		{Version: 0, Codec: cid.DagProtobuf, MhType: mh.SHA2_256, MhLength: 32},
		{Version: 1, Codec: cid.DagCBOR, MhType: mh.BLAKE2B_MIN + shortestHash - 1, MhLength: shortestHash},
	} {
		c, err := p.Sum(data)
		require.NoError(t, err)
		out = append(out, c)
	}
	return out
}

// The short ways for ordinary names end where the long way does.
func TestOrdinaryNames(t *testing.T) {
	data := []byte("some block")
	for i, c := range names(t, data) {
		require.Equal(t, i == 0, ordinary(c.KeyString()), c)
		require.Equal(t, keyOf(c.Hash()), KeyOf(c), c)
		require.Equal(t, string(c.Hash()), hashOf(c), c)
		k, err := sectionKey(append(c.Bytes(), data...))
		require.NoError(t, err)
		require.Equal(t, KeyOf(c), k, c)
		require.NoError(t, checkHash(c, data), c)
		require.ErrorContains(t, checkHash(c, []byte("some blocK")), "hashes to", c)
		require.ErrorContains(t, checkHash(c, nil), "hashes to", c)
	}
	none, err := cid.Prefix{Version: 1, Codec: cid.DagCBOR, MhType: prefix.MhType, MhLength: -1}.Sum(data)
	require.NoError(t, err)
	require.True(t, ordinary(none.KeyString()), "the whole hash is the ordinary one")
}

// A sweep's view of a pack gives what the pack gives, by every name, and no other data when the disk forgot.
func TestSequentialReadsWhatThePackHolds(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	d, err := OpenDisk(dir)
	require.NoError(t, err)
	im, err := d.BeginImport("test")
	require.NoError(t, err)
	head, err := CARHeader()
	require.NoError(t, err)
	w, err := CreatePack(im.Base, head)
	require.NoError(t, err)
	model := map[cid.Cid][]byte{}
	for i := range 200 {
		data := fmt.Appendf(nil, "block %d", i)
		for _, c := range names(t, data) {
			model[c] = data
			require.NoError(t, w.Put(c, data))
		}
	}
	p, err := w.Finish()
	require.NoError(t, err)
	require.NoError(t, im.Adopt(p))
	view := d.Sequential()
	for c, want := range model {
		got, err := view.Get(ctx, c)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	absent, _ := block(t, "absent")
	_, err = view.Get(ctx, absent)
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, d.Close())

	path := im.Base + packData
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	failed := 0
	for at := len(head); at < len(whole); at += 1 + len(whole)/61 {
		whole[at] ^= 0x10
		require.NoError(t, os.WriteFile(path, whole, 0o600))
		whole[at] ^= 0x10
		d, err := OpenDisk(dir)
		require.NoError(t, err)
		view := d.Sequential()
		for c, want := range model {
			got, err := view.Get(ctx, c)
			require.NotErrorIs(t, err, ErrNotFound, "byte %d: lost without an error", at)
			if err == nil {
				require.Equal(t, want, got, "byte %d", at)
			} else {
				failed++
			}
		}
		require.NoError(t, d.Close())
	}
	require.Positive(t, failed)
}

// A sweep's view has what waits to be written, too, and after it was written.
func TestSequentialSeesWhatWaits(t *testing.T) {
	h := newGarden(t, 1)
	defer func() { require.NoError(t, h.d.Close()) }()
	view := h.d.Sequential()
	c := put(t, h.d, "waits")
	_, err := view.Get(t.Context(), c)
	require.NoError(t, err)
	require.NoError(t, h.d.Sync(t.Context()))
	_, err = view.Get(t.Context(), c)
	require.NoError(t, err)
}

// What was read ahead in vain is forgotten and tried seldom; where it pays it goes on.
func TestReadingAheadHasToPay(t *testing.T) {
	const reads = 100_000
	n := new(Disk).Sequential().(*nearby)
	n.near[Key{1}] = nil
	n.some.Store(true)
	paid := 0
	for range reads {
		if n.pay() {
			paid++
		}
	}
	require.LessOrEqual(t, paid, 8*8, "eight at the beginning and after 1024, 2048, ... reads alone")
	require.Empty(t, n.near)
	require.False(t, n.some.Load())
	for !n.pay() {
	}
	n.near[Key{1}] = nil
	n.some.Store(true)
	for range reads {
		if _, ok := n.recall(Key{1}); !ok || n.recallMany(windowPrice) && !n.pay() {
			t.Fatal("it does not go on")
		}
	}
	require.Equal(t, firstWait, n.wait, "and begins anew when it does not any more")
}

// recallMany finds the same block again and again.
func (n *nearby) recallMany(times int) bool {
	for range times {
		if _, ok := n.recall(Key{1}); !ok {
			return false
		}
	}
	return true
}

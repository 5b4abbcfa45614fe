package ipld

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"
	"github.com/stretchr/testify/require"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/types"
)

var prefix = cid.Prefix{Version: 1, Codec: cid.DagCBOR, MhType: mh.BLAKE2B_MIN + 31, MhLength: 32}

// put stores a list of links plus one text, as a tiny object graph.
func put(t testing.TB, bs Blockstore, text string, links ...cid.Cid) cid.Cid {
	t.Helper()
	var buf bytes.Buffer
	w := cbg.NewCborWriter(&buf)
	require.NoError(t, w.WriteMajorTypeHeader(cbg.MajArray, uint64(len(links)+1)))
	require.NoError(t, w.WriteMajorTypeHeader(cbg.MajTextString, uint64(len(text))))
	_, err := w.WriteString(text)
	require.NoError(t, err)
	for _, l := range links {
		require.NoError(t, cbg.WriteCid(w, l))
	}
	c, err := prefix.Sum(buf.Bytes())
	require.NoError(t, err)
	require.NoError(t, bs.Put(context.Background(), c, buf.Bytes()))
	return c
}

// stores is the conformance kit: every backend behaves alike.
func TestBackends(t *testing.T) {
	disk, err := OpenDisk(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, disk.Close()) })
	for name, bs := range map[string]Blockstore{"memory": NewMemory(), "disk": disk, "buffered": NewBuffered(NewMemory())} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			absent, err := prefix.Sum([]byte("absent"))
			require.NoError(t, err)
			_, err = bs.Get(ctx, absent)
			require.ErrorIs(t, err, ErrNotFound)
			require.ErrorContains(t, err, absent.String())
			ok, err := bs.Has(ctx, absent)
			require.NoError(t, err)
			require.False(t, ok)
			c := put(t, bs, "hello")
			ok, err = bs.Has(ctx, c)
			require.NoError(t, err)
			require.True(t, ok)
			var many []blocks.Block
			for i := range 3000 {
				data := []byte(fmt.Sprintf("block %d", i))
				k, err := prefix.Sum(data)
				require.NoError(t, err)
				b, err := blocks.NewBlockWithCid(data, k)
				require.NoError(t, err)
				many = append(many, b)
			}
			require.NoError(t, bs.PutMany(ctx, many))
			got, err := bs.Get(ctx, many[2999].Cid())
			require.NoError(t, err)
			require.Equal(t, "block 2999", string(got))

			id, err := cid.Prefix{Version: 1, Codec: cid.Raw, MhType: mh.IDENTITY, MhLength: -1}.Sum([]byte("fil/7/account"))
			require.NoError(t, err)
			got, err = bs.Get(ctx, id)
			require.NoError(t, err)
			require.Equal(t, "fil/7/account", string(got), "identity CIDs carry their content")

			var out cbg.CborInt
			err = NewStore(ctx, bs).Get(ctx, absent, &out)
			require.ErrorIs(t, err, ErrNotFound)
			require.True(t, format.IsNotFound(err), "the tree libraries see a missing block as missing")
		})
	}
}

func TestSweepsShareWork(t *testing.T) {
	ctx := context.Background()
	m := NewMemory()
	leaf := put(t, m, "leaf")
	one, two := put(t, m, "one", leaf), put(t, m, "two", leaf)
	var order []cid.Cid
	sweep := Sweep{From: m, Visit: func(c cid.Cid, _ []byte) error { order = append(order, c); return nil }}
	require.NoError(t, sweep.Walk(ctx, one))
	require.NoError(t, sweep.Walk(ctx, two, one))
	require.Equal(t, []cid.Cid{one, leaf, two}, order)
}

func TestFlushWritesOnlyTheReachable(t *testing.T) {
	ctx := context.Background()
	base := NewMemory()
	old := put(t, base, "old")
	buf := NewBuffered(base)
	leaf := put(t, buf, "leaf")
	mid := put(t, buf, "mid", leaf, old)
	root := put(t, buf, "root", mid, leaf)
	garbage := put(t, buf, "garbage", leaf)
	require.Equal(t, 1, base.Len(), "nothing reaches the base before a flush")
	require.NoError(t, buf.Flush(ctx, root))
	require.Equal(t, 4, base.Len())
	ok, err := base.Has(ctx, garbage)
	require.NoError(t, err)
	require.False(t, ok)
}

// full is a store that takes nothing.
type full struct{ Blockstore }

func (full) PutMany(context.Context, []blocks.Block) error { return errors.New("no room") }

// A flush that fails while it writes says that, and not that it read: the depth of the tree is not in the text.
func TestFlushTellsWhatFailed(t *testing.T) {
	ctx := context.Background()
	b := NewBuffered(full{NewMemory()})
	c := put(t, b, "leaf")
	for i := range 2 * flushBatch {
		c = put(t, b, fmt.Sprint(i), c)
	}
	require.EqualError(t, b.Flush(ctx, c), "flush "+c.String()+": no room")
}

// What links to nothing that a name could be is refused where it is flushed, in the buffer's blocks as everywhere; names of
// every kind are followed.
func TestFlushReadsEveryLink(t *testing.T) {
	ctx := context.Background()
	data := []byte{0x80} // an empty list
	for _, name := range names(t, data) {
		base := NewMemory()
		b := NewBuffered(base)
		require.NoError(t, b.Put(ctx, name, data))
		require.NoError(t, b.Flush(ctx, put(t, b, "root", name, types.Sum([]byte("elsewhere")))))
		require.Equal(t, 2, base.Len(), name)
	}
	for _, raw := range [][]byte{{}, {1}, {1, 0x71, 0xa0, 0xe4, 0x02, 0x20}, append(types.Sum(nil).Bytes(), 0)} {
		block := append([]byte{0x81, 0xd8, 0x2a, 0x58, byte(len(raw) + 1), 0}, raw...)
		if len(raw) < 23 {
			block = append([]byte{0x81, 0xd8, 0x2a, 0x40 | byte(len(raw)+1), 0}, raw...)
		}
		c := types.Sum(block)
		_, err := Links(c, block)
		require.ErrorIs(t, err, errCBORLink)
		b := NewBuffered(NewMemory())
		require.NoError(t, b.Put(ctx, c, block))
		require.ErrorIs(t, b.Flush(ctx, c), errCBORLink, "%x", raw)
	}
}

func TestCARRoundTrip(t *testing.T) {
	ctx := context.Background()
	src := NewMemory()
	leaf := put(t, src, "leaf")
	root := put(t, src, "root", leaf, put(t, src, "mid", leaf))
	var one, two bytes.Buffer
	require.NoError(t, WriteCAR(ctx, &one, src, root))
	require.NoError(t, WriteCAR(ctx, &two, src, root))
	require.Equal(t, one.Bytes(), two.Bytes())
	dst := NewMemory()
	roots, err := ReadCAR(ctx, bytes.NewReader(one.Bytes()), dst)
	require.NoError(t, err)
	require.Equal(t, []cid.Cid{root}, roots)
	require.Equal(t, 3, dst.Len())

	bent := bytes.Clone(one.Bytes())
	bent[len(bent)-1] ^= 1
	_, err = ReadCAR(ctx, bytes.NewReader(bent), NewMemory())
	require.Error(t, err, "a changed byte is noticed")
	_, err = ReadCAR(ctx, bytes.NewReader(one.Bytes()[:one.Len()-3]), NewMemory())
	require.Error(t, err, "a truncated archive is noticed")
}

func TestPublicGenesisCARs(t *testing.T) {
	var index []struct {
		File    string
		Genesis string `json:"genesis_cid"`
		Blocks  int
	}
	vectors.JSON(t, "genesis/index.json", &index)
	require.Len(t, index, 4)
	for _, g := range index {
		bs := NewMemory()
		roots, err := ReadCAR(context.Background(), bytes.NewReader(vectors.Bytes(t, "genesis/"+g.File+".gz")), bs)
		require.NoError(t, err)
		require.Equal(t, g.Genesis, roots[0].String())
		require.Equal(t, g.Blocks, bs.Len())
		vectors.Count(t, "genesis/"+g.File+".gz", 1)
	}
}

func FuzzReadCAR(f *testing.F) {
	var buf bytes.Buffer
	src := NewMemory()
	c, err := prefix.Sum([]byte{0x80})
	if err != nil {
		f.Fatal(err)
	}
	if err := src.Put(context.Background(), c, []byte{0x80}); err != nil {
		f.Fatal(err)
	}
	if err := WriteCAR(context.Background(), &buf, src, c); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		dst := NewMemory()
		if _, err := ReadCAR(context.Background(), bytes.NewReader(b), dst); err != nil {
			return
		}
		for k, data := range dst.data {
			if _, err := CheckedBlock(k, data); err != nil {
				t.Fatal("an unchecked block got in")
			}
		}
	})
}

// TestGuardedWrites: without room nothing is written and everything is read.
func TestGuardedWrites(t *testing.T) {
	ctx := context.Background()
	store, err := OpenDisk(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	old := put(t, store, "before")
	full := errors.New("full")
	store.Guard(func() error { return full })
	c, err := prefix.Sum([]byte("x"))
	require.NoError(t, err)
	require.ErrorIs(t, store.Put(ctx, c, []byte("x")), full)
	b, err := blocks.NewBlockWithCid([]byte("x"), c)
	require.NoError(t, err)
	require.ErrorIs(t, store.PutMany(ctx, []blocks.Block{b}), full)
	require.ErrorIs(t, store.Sync(ctx), full, "what was put before waits")
	has, err := store.Has(ctx, c)
	require.NoError(t, err)
	require.False(t, has)
	_, err = store.Get(ctx, old)
	require.NoError(t, err)
	full = nil
	require.NoError(t, store.Put(ctx, c, []byte("x")))
	require.NoError(t, store.Sync(ctx))
}

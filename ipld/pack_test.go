package ipld

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/internal/fault"
)

func block(t testing.TB, text string) (cid.Cid, []byte) {
	t.Helper()
	c, err := prefix.Sum([]byte(text))
	require.NoError(t, err)
	return c, []byte(text)
}

// packOf makes a pack of n small blocks.
func packOf(t testing.TB, base string, n int) (*Pack, map[cid.Cid][]byte) {
	t.Helper()
	model := map[cid.Cid][]byte{}
	root, _ := block(t, "root")
	head, err := CARHeader(root)
	require.NoError(t, err)
	w, err := CreatePack(base, head)
	require.NoError(t, err)
	for i := range n {
		c, data := block(t, fmt.Sprint("block ", i))
		model[c] = data
		require.NoError(t, w.Put(c, data))
		if i%7 == 0 {
			require.NoError(t, w.Put(c, data), "twice")
		}
	}
	p, err := w.Finish()
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return p, model
}

func TestPackIsWhatWasPut(t *testing.T) {
	ctx := context.Background()
	for _, n := range []int{0, 1, pageEntries - 1, pageEntries, pageEntries + 1, 1000} {
		p, model := packOf(t, filepath.Join(t.TempDir(), "pack"), n)
		require.Equal(t, n, p.Len())
		for c, want := range model {
			got, err := p.Get(ctx, c)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		c, _ := block(t, "absent")
		_, err := p.Get(ctx, c)
		require.ErrorIs(t, err, ErrNotFound)
		ok, err := p.Has(ctx, c)
		require.NoError(t, err)
		require.False(t, ok)
		checked, err := p.Check(ctx)
		require.NoError(t, err)
		require.Equal(t, n, checked)
		require.ErrorIs(t, p.Put(ctx, c, nil), ErrReadOnly)
		m := NewMemory()
		roots, err := ReadCAR(ctx, io.NewSectionReader(p.data, 0, int64(p.head.size)), m)
		require.NoError(t, err, "a pack is an archive")
		have, err := p.Roots()
		require.NoError(t, err)
		require.Equal(t, have, roots)
		require.Equal(t, n, m.Len())
		require.NoError(t, p.Close())
	}
}

// Whatever byte of a pack changes, no read gives other data: the pack does not open, the block is an error, or nothing of
// it was touched.
func TestPackNoticesDamage(t *testing.T) {
	ctx := context.Background()
	base := filepath.Join(t.TempDir(), "pack")
	p, model := packOf(t, base, 400)
	require.NoError(t, p.Close())
	for _, ext := range []string{packData, packIndex} {
		whole, err := os.ReadFile(base + ext)
		require.NoError(t, err)
		for at := 0; at < len(whole); at += 1 + len(whole)/97 {
			bent := bytes.Clone(whole)
			bent[at] ^= 0x10
			require.NoError(t, os.WriteFile(base+ext, bent, 0o600))
			p, err := OpenPack(base)
			if err != nil {
				continue
			}
			for c, want := range model {
				got, err := p.Get(ctx, c)
				require.False(t, errors.Is(err, ErrNotFound), "%s byte %d: lost without an error", ext, at)
				require.True(t, err != nil || bytes.Equal(want, got))
			}
			require.NoError(t, p.Close())
		}
		require.NoError(t, os.WriteFile(base+ext, whole[:len(whole)-1], 0o600))
		_, err = OpenPack(base)
		require.Error(t, err)
		require.NoError(t, os.WriteFile(base+ext, whole, 0o600))
	}
}

// A writer that was killed after any number of bytes loses at most the block it was at.
func TestPackResumes(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	p, model := packOf(t, filepath.Join(dir, "whole"), 50)
	require.NoError(t, p.Close())
	whole, err := os.ReadFile(filepath.Join(dir, "whole"+packData))
	require.NoError(t, err)
	for cut := 80; cut <= len(whole); cut += 17 {
		base := filepath.Join(dir, fmt.Sprint("cut-", cut))
		rest := append(bytes.Clone(whole[:cut]), make([]byte, cut%3*100)...) // a file system may leave zeros
		require.NoError(t, os.WriteFile(base+packData, rest, 0o600))
		n := 0
		w, err := ResumePack(ctx, base, nil, func(b CARBlock) error { n++; return nil })
		require.NoError(t, err)
		require.LessOrEqual(t, w.Size(), int64(cut))
		require.Greater(t, w.Size(), int64(cut-60))
		tail, err := w.Tail(10)
		require.NoError(t, err)
		require.Equal(t, whole[w.Size()-10:w.Size()], tail)
		for c, data := range model {
			require.NoError(t, w.Put(c, data))
		}
		p, err := w.Finish()
		require.NoError(t, err)
		require.Equal(t, len(model), p.Len())
		_, err = p.Check(ctx)
		require.NoError(t, err)
		require.NoError(t, p.Close())
	}
}

func TestRunsSortLikeAModel(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		r, err := newRuns(filepath.Join(dir, "runs"), rapid.IntRange(1, 5).Draw(rt, "limit"))
		require.NoError(rt, err)
		defer func() { require.NoError(rt, r.close()) }()
		model := map[Key]uint64{}
		for i, b := range rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(rt, "keys") {
			e := entry{Key{15: b % 16, 3: b / 16}, uint64(100 - i)}
			require.NoError(rt, r.add(e))
			model[e.key] = e.place // later ones are lower
		}
		keys := make([]Key, 0, len(model))
		for k := range model {
			keys = append(keys, k)
		}
		sort.Slice(keys, func(i, j int) bool { return keys[i].Compare(keys[j]) < 0 })
		m, err := r.merge()
		require.NoError(rt, err)
		for _, k := range keys {
			e, err := m.next()
			require.NoError(rt, err)
			require.Equal(rt, entry{k, model[k]}, e)
		}
		_, err = m.next()
		require.ErrorIs(rt, err, io.EOF)
	})
}

func TestWantsFindWhatIsMissing(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	base := filepath.Join(dir, "pack")
	head, err := CARHeader()
	require.NoError(t, err)
	w, err := CreatePack(base, head)
	require.NoError(t, err)
	m := NewMemory()
	here, gone := put(t, m, "here"), put(t, m, "gone")
	top := put(t, m, "top", here, gone)
	wants, err := NewWants(filepath.Join(dir, "wants"))
	require.NoError(t, err)
	for _, c := range []cid.Cid{here, top} {
		data, err := m.Get(ctx, c)
		require.NoError(t, err)
		links, err := Children(c, data)
		require.NoError(t, err)
		for _, l := range links {
			require.NoError(t, wants.Add(KeyOf(l), w.Size()))
		}
		require.NoError(t, w.Put(c, data))
	}
	p, err := w.Finish()
	require.NoError(t, err)
	defer p.Close()
	n, first, at, err := wants.Missing(ctx, p)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	from, lost, err := p.LinkAt(at, first)
	require.NoError(t, err)
	require.Equal(t, top, from)
	require.Equal(t, gone, lost)
	require.NoError(t, wants.Close())
}

func TestDiskKeepsItsParts(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "blocks")
	d, err := OpenDisk(dir)
	require.NoError(t, err)
	hot := put(t, d, "hot")
	im, err := d.BeginImport("a")
	require.NoError(t, err)
	require.False(t, im.Resumed)
	p, model := packOf(t, im.Base, 10)
	require.NoError(t, p.Close())
	im.End()
	_, err = d.BeginImport("b")
	require.ErrorIs(t, err, ErrImporting)
	for c := range model {
		ok, err := d.Has(ctx, c)
		require.NoError(t, err)
		require.False(t, ok, "not before it is adopted")
	}
	require.NoError(t, d.Close())

	// What a crash leaves and the manifest does not name goes; the unfinished import stays.
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "hot-77"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pack-78.car"), nil, 0o600))
	d, err = OpenDisk(dir)
	require.NoError(t, err)
	require.NoDirExists(t, filepath.Join(dir, "hot-77"))
	require.NoFileExists(t, filepath.Join(dir, "pack-78.car"))
	require.Equal(t, "a", d.Unfinished())

	im, err = d.BeginImport("a")
	require.NoError(t, err)
	require.True(t, im.Resumed)
	p, err = OpenPack(im.Base)
	require.NoError(t, err)
	require.NoError(t, im.Adopt(p))
	require.Empty(t, d.Unfinished())
	require.NoError(t, d.Close())
	d, err = OpenDisk(dir)
	require.NoError(t, err)
	model[hot] = nil
	for c := range model {
		_, err := d.Get(ctx, c)
		require.NoError(t, err)
	}
	n, err := d.Check(ctx)
	require.NoError(t, err)
	require.Equal(t, len(model), n)
	require.Equal(t, 10, d.Usage().Packed)

	im, err = d.BeginImport("c")
	require.NoError(t, err)
	p, _ = packOf(t, im.Base, 3)
	disarm := fault.Arm("store/adopt", func() error { return fault.ErrInjected })
	require.ErrorIs(t, im.Adopt(p), fault.ErrInjected)
	disarm()
	require.Equal(t, "c", d.Unfinished())
	require.NoError(t, d.DropImport())
	require.NoFileExists(t, im.Base+packData)
	require.NoError(t, d.Close())

	require.NoError(t, os.WriteFile(filepath.Join(dir, manifestName), []byte("{"), 0o600))
	_, err = OpenDisk(dir)
	require.ErrorContains(t, err, "damaged")
}

func FuzzCARStream(f *testing.F) {
	c, err := prefix.Sum([]byte{0x80})
	if err != nil {
		f.Fatal(err)
	}
	head, err := CARHeader(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(AppendSection(head, c, []byte{0x80}))
	f.Add(head)
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := OpenCAR(bytes.NewReader(b))
		if err != nil {
			return
		}
		var alone []string // the sections one by one
		one, err := OpenCAR(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for raw := []byte(nil); ; {
			if _, _, raw, err = one.section(raw); err != nil {
				break
			}
			alone = append(alone, string(raw))
		}
		wellOne := errors.Is(err, io.EOF) && !errors.Is(err, ErrDamagedCAR)
		at, n := in.Offset, 0
		err = in.Each(t.Context(), func(blk CARBlock) error {
			if n == len(alone) || string(blk.Section) != alone[n] {
				t.Fatalf("section %d is another one when read alone", n)
			}
			n++
			if _, err := CheckedBlock(blk.Cid, blk.Data); err != nil {
				t.Fatal("an unchecked block got in")
			}
			if !bytes.Equal(b[at:at+int64(len(blk.Section))], blk.Section) {
				t.Fatal("a section is not where it is said to be")
			}
			at += int64(len(blk.Section))
			return nil
		})
		if err == nil && at != int64(len(b)) {
			t.Fatalf("an archive of %d bytes ended well after %d", len(b), at)
		}
		if n != len(alone) || wellOne != (err == nil) {
			t.Fatalf("%d sections together (%v), %d alone (%v)", n, err, len(alone), wellOne)
		}
		in, err = OpenCAR(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		in.Examine = func(b CARBlock) (any, error) { return Children(b.Cid, b.Data) }
		_ = in.Each(t.Context(), func(CARBlock) error { return nil })
	})
}

package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"github.com/klauspost/compress/zstd"
	"github.com/multiformats/go-multihash"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/sim"
	"github.com/filecoin-venus/venus/types"
)

func TestRoundTrip(t *testing.T) {
	w := mined(t, 1, 160)
	for _, name := range []string{"chain.car", "chain.car.zst"} {
		path := exported(t, w, name, chain.Retention{Recent: 130, SkipOldMessages: true})
		h := founded(t, w)
		got, err := h.take(path, ImportOptions{})
		require.NoError(t, err)
		require.Equal(t, w.Store.Head().Key(), got.Head)
		require.EqualValues(t, 130, got.States)
		require.Zero(t, got.Resumed)
		requireSame(t, w, h)
		h = h.again(t)
		requireSame(t, w, h)
		_, err = h.take(path, ImportOptions{})
		require.ErrorIs(t, err, ErrNothingNew)
		h.close(t)
	}
}

// model is what an archive of a chain must hold, found by walking without any cleverness, and whether a node whose
// finality is given finds all that it needs.
func model(t *testing.T, w *sim.World, head *types.TipSet, keep chain.Retention, finality abi.ChainEpoch) (holds map[cid.Cid]bool, enough bool) {
	t.Helper()
	holds, enough = map[cid.Cid]bool{}, true
	var walk func(c cid.Cid)
	walk = func(c cid.Cid) {
		kind := c.Prefix()
		if holds[c] || kind.MhType == multihash.IDENTITY || kind.Codec == cid.FilCommitmentSealed || kind.Codec == cid.FilCommitmentUnsealed {
			return
		}
		holds[c] = true
		data, err := w.Store.Blocks().Get(t.Context(), c)
		require.NoError(t, err)
		links, err := ipld.Links(c, data)
		require.NoError(t, err)
		for _, l := range links {
			walk(l)
		}
	}
	var needed []cid.Cid
	for ts := head; ; {
		for _, h := range ts.Blocks() {
			if holds[h.Cid()] = true; h.Height == 0 || h.Height > head.Height()-keep.Recent {
				walk(h.ParentStateRoot)
				walk(h.ParentMessageReceipts)
				walk(h.Messages)
			} else if !keep.SkipOldMessages {
				walk(h.Messages)
			}
			if h.Height > head.Height()-finality {
				needed = append(needed, h.ParentStateRoot, h.ParentMessageReceipts, h.Messages)
			}
		}
		if ts.Height() == 0 {
			break
		}
		var err error
		ts, err = w.Store.Parent(t.Context(), ts)
		require.NoError(t, err)
	}
	for _, c := range needed {
		enough = enough && holds[c]
	}
	return holds, enough
}

// Random chains, random ends and depths: an archive holds what the model says and nothing else, and what was taken in is
// what was written.
func TestExportImportProperty(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	worlds := []*sim.World{mined(t, 1, 160), mined(t, 2, 160)}
	for range 12 {
		w := worlds[r.IntN(2)]
		head, err := w.Store.AtOrAfter(t.Context(), w.Store.Head(), 1+abi.ChainEpoch(r.Int64N(160)))
		require.NoError(t, err)
		keep := chain.Retention{Recent: 1 + abi.ChainEpoch(r.Int64N(160)), SkipOldMessages: r.IntN(2) == 0}
		t.Logf("head %d, %+v", head.Height(), keep)
		want, enough := model(t, w, head, keep, w.Net.Finality)
		path := filepath.Join(t.TempDir(), "chain.car")
		require.NoError(t, Create(path, func(out io.Writer) error {
			sum, err := Export(t.Context(), out, w.Store, head, ExportOptions{Retention: keep})
			require.EqualValues(t, len(want), sum.Blocks)
			return err
		}))
		h := founded(t, w)
		got, err := h.take(path, ImportOptions{})
		require.Equal(t, enough, err == nil, "%v", err)
		if !enough {
			require.ErrorIs(t, err, ErrIncomplete)
			require.Equal(t, w.Store.Genesis().Key(), h.Head().Key())
			got, err = h.take(path, ImportOptions{Recent: keep.Recent})
			require.NoError(t, err)
		}
		require.Equal(t, head.Key(), got.Head)
		require.EqualValues(t, len(want), got.Blocks)
		for c := range want {
			ok, err := h.Blocks().Has(t.Context(), c)
			require.NoError(t, err)
			require.True(t, ok)
		}
		h.close(t)
	}
}

// Whatever is done to an archive, it is refused with a reason, the store stays as it was, and the sound archive is taken
// in afterwards.
func TestDamagedArchives(t *testing.T) {
	w := mined(t, 1, 130)
	sound := exported(t, w, "chain.car", chain.Retention{Recent: 500})
	raw, err := os.ReadFile(sound)
	require.NoError(t, err)
	packed := exported(t, w, "chain.car.zst", chain.Retention{Recent: 500})
	zst, err := os.ReadFile(packed)
	require.NoError(t, err)
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 4
		return b
	}
	for name, c := range map[string]struct {
		bytes []byte
		is    []error
	}{
		"empty":                     {nil, []error{ipld.ErrNotCAR}},
		"text":                      {[]byte("a letter to a friend"), []error{ipld.ErrNotCAR}},
		"cut in the header":         {raw[:20], []error{ipld.ErrNotCAR}},
		"cut in the middle":         {raw[:len(raw)/2], []error{ipld.ErrDamagedCAR, ErrIncomplete}},
		"cut at the end":            {raw[:len(raw)-1], []error{ipld.ErrDamagedCAR}},
		"flipped early":             {flip(raw, 4000), []error{ipld.ErrDamagedCAR}},
		"flipped in the middle":     {flip(raw, len(raw)/2), []error{ipld.ErrDamagedCAR}},
		"flipped at the end":        {flip(raw, len(raw)-1), []error{ipld.ErrDamagedCAR}},
		"more at the end":           {append(bytes.Clone(raw), 0), []error{ipld.ErrDamagedCAR}},
		"compressed and cut":        {zst[:len(zst)/2], []error{ipld.ErrDamagedCAR}},
		"compressed and flipped":    {flip(zst, len(zst)/2), []error{ipld.ErrDamagedCAR}},
		"compressed text":           {compressed(t, []byte("a letter")), []error{ipld.ErrNotCAR}},
		"a block is missing":        {without(t, raw, 3), []error{ErrIncomplete}},
		"the head is missing":       {without(t, raw, 0), []error{ErrIncomplete}},
		"the last block is missing": {without(t, raw, -1), []error{ErrIncomplete}},
		"no roots":                  {withRoots(t, raw), []error{ErrNoChain}},
		"a root that is a state":    {withRoots(t, raw, w.Store.Head().ParentState()), []error{ErrNoChain}},
		"a root that is not there":  {withRoots(t, raw, emptyCid(t)), []error{ErrIncomplete}},
		"blocks of another branch":  {withRoots(t, raw, w.Store.Head().Parents().Cids()...), []error{ErrNoChain}},
	} {
		t.Run(name, func(t *testing.T) {
			h := founded(t, w)
			path := filepath.Join(t.TempDir(), "bad.car")
			require.NoError(t, os.WriteFile(path, c.bytes, 0o600))
			_, err := h.take(path, ImportOptions{})
			require.Error(t, err)
			is := false
			for _, e := range c.is {
				is = is || errors.Is(err, e)
			}
			require.True(t, is, "%v", err)
			h = h.again(t)
			require.Equal(t, w.Store.Genesis().Key(), h.Head().Key())
			require.Zero(t, h.disk.Usage().Packed)
			// The file is whole now: the import of it goes on or begins anew.
			require.NoError(t, os.WriteFile(path, raw, 0o600))
			got, err := h.take(path, ImportOptions{})
			require.NoError(t, err)
			if name == "flipped at the end" {
				require.Positive(t, got.Resumed)
			}
			requireSame(t, w, h)
			h.close(t)
		})
	}
}

func compressed(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return z.EncodeAll(b, nil)
}

// sections splits an archive.
func sections(t *testing.T, raw []byte) (*ipld.CARStream, [][]byte) {
	t.Helper()
	in, err := ipld.OpenCAR(bytes.NewReader(raw))
	require.NoError(t, err)
	var out [][]byte
	require.NoError(t, in.Each(t.Context(), func(b ipld.CARBlock) error { out = append(out, bytes.Clone(b.Section)); return nil }))
	return in, out
}

// without leaves a block out, counted from the end when i is negative.
func without(t *testing.T, raw []byte, i int) []byte {
	t.Helper()
	in, list := sections(t, raw)
	if i < 0 {
		i += len(list)
	}
	return append(bytes.Clone(in.Header), bytes.Join(append(list[:i:i], list[i+1:]...), nil)...)
}

func withRoots(t *testing.T, raw []byte, roots ...cid.Cid) []byte {
	t.Helper()
	in, _ := sections(t, raw)
	head, err := ipld.CARHeader(roots...)
	require.NoError(t, err)
	return append(head, raw[len(in.Header):]...)
}

func emptyCid(t *testing.T) cid.Cid {
	t.Helper()
	c, err := types.CidPrefix.Sum(nil)
	require.NoError(t, err)
	return c
}

func TestForeignArchive(t *testing.T) {
	ours, theirs := mined(t, 1, 5), mined(t, 2, 5)
	h := founded(t, ours)
	defer h.close(t)
	_, err := h.take(exported(t, theirs, "chain.car", chain.Retention{Recent: 500}), ImportOptions{})
	require.ErrorIs(t, err, ErrForeign)
	require.ErrorContains(t, err, theirs.Store.Genesis().Cids()[0].String())
	require.ErrorContains(t, err, ours.Store.Genesis().Cids()[0].String())
	require.Empty(t, h.disk.Unfinished(), "nothing is left of it")
}

// A network that names its genesis can start from an archive alone.
func TestArchiveBringsTheGenesis(t *testing.T) {
	w := mined(t, 1, 5)
	path := exported(t, w, "chain.car", chain.Retention{Recent: 500})
	named := *w
	named.Net.GenesisCID = w.Store.Genesis().Cids()[0].String()
	h := open(t, t.TempDir(), &named, chain.NewMemoryMeta())
	_, err := h.take(path, ImportOptions{})
	require.NoError(t, err)
	requireSame(t, w, h)
	h.close(t)
	named.Net.GenesisCID = w.Store.Head().Cids()[0].String()
	h = open(t, t.TempDir(), &named, chain.NewMemoryMeta())
	defer h.close(t)
	_, err = h.take(path, ImportOptions{})
	require.ErrorIs(t, err, ErrForeign)
}

func TestCheckpointIsRespected(t *testing.T) {
	w := mined(t, 1, 40)
	path := exported(t, w, "chain.car", chain.Retention{Recent: 500})
	early := filepath.Join(t.TempDir(), "early.car")
	at, err := w.Store.AtOrBefore(t.Context(), w.Store.Head(), 20)
	require.NoError(t, err)
	require.NoError(t, Create(early, func(out io.Writer) error {
		_, err := Export(t.Context(), out, w.Store, at, ExportOptions{Retention: chain.Retention{Recent: 500}})
		return err
	}))
	h := founded(t, w)
	defer h.close(t)
	_, err = h.take(early, ImportOptions{})
	require.NoError(t, err)
	// A branch of our own, which the operator pins.
	fork := *at.Blocks()[0]
	fork.Timestamp, fork.Ticket = fork.Timestamp+1, &types.Ticket{VRFProof: []byte("ours")}
	require.NoError(t, h.PutHeader(t.Context(), &fork))
	ts, err := types.NewTipSet([]*types.BlockHeader{&fork})
	require.NoError(t, err)
	require.NoError(t, h.SetHead(t.Context(), ts))
	require.NoError(t, h.SetCheckpoint(t.Context(), ts))
	_, err = h.take(path, ImportOptions{})
	require.ErrorIs(t, err, chain.ErrCheckpoint)
	require.Equal(t, ts.Key(), h.Head().Key())
	require.NoError(t, h.SetCheckpoint(t.Context(), h.Genesis()))
	_, err = h.take(path, ImportOptions{})
	require.NoError(t, err)
	requireSame(t, w, h)
}

// An import that dies at any of its points leaves the chain as it was and goes on later.
func TestImportCrashes(t *testing.T) {
	w := mined(t, 1, 130)
	path := exported(t, w, "chain.car.zst", chain.Retention{Recent: 500})
	for point, resumes := range map[string]bool{
		"import/block:1": true, "import/block:500": true, "pack/index:1": true, "import/judged:1": true, "store/adopt:1": true, "chain/headPersist:1": false,
	} {
		t.Run(point, func(t *testing.T) {
			h := founded(t, w)
			name, count, _ := strings.Cut(point, ":")
			var skip int
			_, err := fmt.Sscan(count, &skip)
			require.NoError(t, err)
			disarm := fault.Arm(name, func() error {
				if skip--; skip == 0 {
					return fault.ErrInjected
				}
				return nil
			})
			_, err = h.take(path, ImportOptions{})
			disarm()
			require.ErrorIs(t, err, fault.ErrInjected)
			require.Equal(t, w.Store.Genesis().Key(), h.Head().Key())
			h = h.again(t)
			require.Equal(t, w.Store.Genesis().Key(), h.Head().Key())
			got, err := h.take(path, ImportOptions{})
			require.NoError(t, err)
			require.Equal(t, resumes, got.Resumed > 0, "%d bytes were there", got.Resumed)
			h = h.again(t)
			requireSame(t, w, h)
			h.close(t)
		})
	}
}

func TestCreateLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.car.zst")
	boom := errors.New("boom")
	require.ErrorIs(t, Create(path, func(w io.Writer) error { _, _ = w.Write([]byte("half")); return boom }), boom)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoError(t, Create(path, func(io.Writer) error { return nil }))
	require.ErrorIs(t, Create(path, func(io.Writer) error { return nil }), ErrExists)
}

// A download whose connection breaks asks for the rest; a server that cannot give it is an error, and what came is kept.
func TestDownloads(t *testing.T) {
	w := mined(t, 1, 130)
	raw, err := os.ReadFile(exported(t, w, "chain.car", chain.Retention{Recent: 500}))
	require.NoError(t, err)
	breaks, ranges := 3, true
	web := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		from := 0
		if at := r.Header.Get("Range"); at != "" && ranges {
			_, err := fmt.Sscanf(at, "bytes=%d-", &from)
			require.NoError(t, err)
		}
		rw.Header().Set("Content-Length", fmt.Sprint(len(raw)-from))
		if from > 0 {
			rw.WriteHeader(http.StatusPartialContent)
		}
		end := len(raw)
		if breaks > 0 {
			breaks--
			end = from + len(raw)/5
		}
		_, _ = rw.Write(raw[from:end]) // the server hangs up when less than promised was written
	}))
	defer web.Close()
	h := founded(t, w)
	_, err = h.take(web.URL, ImportOptions{})
	require.NoError(t, err)
	require.Zero(t, breaks)
	requireSame(t, w, h)
	h.close(t)

	h = founded(t, w)
	defer h.close(t)
	breaks, ranges = 1, false
	_, err = h.take(web.URL, ImportOptions{})
	require.ErrorIs(t, err, ErrSource)
	got, err := h.take(web.URL, ImportOptions{})
	require.NoError(t, err)
	require.Positive(t, got.Resumed)
	_, err = Open(context.Background(), web.URL[:len(web.URL)-1]+"0/none")
	require.ErrorIs(t, err, ErrSource)
}

// FuzzImport gives archives of strangers to a node: nothing of them moves the head.
func FuzzImport(f *testing.F) {
	mem := ipld.NewMemory()
	x := newBench(f, 2000, func(c cid.Cid, data []byte) error { return mem.Put(context.Background(), c, data) })
	path := filepath.Join(f.TempDir(), "chain.car")
	x.archive(f, path, mem)
	raw, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)/2])
	f.Add(raw[:100])
	// Opening a store costs more than all the rest: it serves until something is taken in.
	var disk *ipld.Disk
	home := f.TempDir()
	f.Cleanup(func() {
		if disk != nil {
			require.NoError(f, disk.Close())
		}
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		if disk == nil {
			dir, err := os.MkdirTemp(home, "")
			require.NoError(t, err)
			disk, err = ipld.OpenDisk(dir)
			require.NoError(t, err)
		}
		s, err := chain.Open(t.Context(), chain.Config{Network: x.net, Blocks: disk, Meta: chain.NewMemoryMeta()})
		require.ErrorIs(t, err, chain.ErrNoGenesis)
		file := filepath.Join(t.TempDir(), "x.car")
		require.NoError(t, os.WriteFile(file, b, 0o600))
		src, err := Open(t.Context(), file)
		require.NoError(t, err)
		defer src.Close()
		if _, err = Import(t.Context(), disk, s, src, ImportOptions{}); err != nil {
			require.Nil(t, s.Head())
			require.NoError(t, disk.DropImport())
			return
		}
		whole := ipld.Sweep{From: disk}
		require.NoError(t, whole.Walk(t.Context(), s.Head().ParentState()), "what was taken in is whole")
		require.Equal(t, x.all[0].Key(), s.Genesis().Key())
		require.NoError(t, disk.Close())
		disk = nil
	})
}

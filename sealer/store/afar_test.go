package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
)

// far is a worker's own path with the way to it.
type far struct {
	t    testing.TB
	host *Host
	s    *Store

	mu    sync.Mutex // guards what follows
	away  bool
	lose  int // so many calls are never answered: the worker died over them
	calls map[string]int
	after func(q request, answer []byte) []byte // what comes of an answer, nil = itself
}

// newFar is a sealer with a path for storing, and a worker with one of its own.
func newFar(t *testing.T) *far {
	w := &far{t: t, calls: map[string]int{}}
	dir := memory(t)
	var err error
	w.host, err = NewHost(dir, Options{Chunk: 2 << 10})
	require.NoError(t, err)
	home := memory(t)
	o := options(machine{})
	o.Call = w.call
	w.s, err = OpenWith(filepath.Join(home, FileName), o)
	require.NoError(t, err)
	_, err = w.s.Attach(Spec{Dir: w.dir()})
	require.NoError(t, err)
	rest := filepath.Join(home, "rest")
	require.NoError(t, os.Mkdir(rest, 0o755))
	_, err = w.s.Attach(Spec{Dir: rest, Init: true, CanStore: true})
	require.NoError(t, err)
	return w
}

// TestDetachedStaysSo detaches a worker's path while its worker offers it: nothing but attaching it takes it back, restarts of
// the sealer neither.
func TestDetachedStaysSo(t *testing.T) {
	w := newFar(t)
	require.Empty(t, w.s.Detached())
	_, err := w.s.Offered(w.host.ID)
	require.NoError(t, err, "it is attached")
	for _, id := range []string{w.host.ID, w.dir()} { // by either name
		require.NoError(t, w.s.Detach(id))
		for range 2 {
			require.Equal(t, []string{w.dir()}, w.s.Detached())
			_, err = w.s.Offered(w.host.ID)
			require.ErrorIs(t, err, ErrDetached)
			require.False(t, w.s.Attached(w.host.ID))
			o := options(machine{})
			o.Call = w.call
			w.s, err = OpenWith(w.s.file, o)
			require.NoError(t, err)
		}
		_, err = w.s.Attach(Spec{Dir: w.dir()})
		require.NoError(t, err)
		require.Empty(t, w.s.Detached())
		require.True(t, w.s.Attached(w.host.ID))
	}
	cfg, err := readStorage(w.s.file)
	require.NoError(t, err)
	require.Empty(t, cfg.Detached)
	require.Len(t, cfg.StoragePaths, 2)
	require.NoError(t, w.s.Detach(filepath.Join(filepath.Dir(w.s.file), "rest")))
	require.Empty(t, w.s.Detached(), "nobody offers a path of this machine")
}

// TestDetachedMeanwhile detaches a path while it is being attached because its worker offers it.
func TestDetachedMeanwhile(t *testing.T) {
	w := newFar(t)
	require.NoError(t, w.s.Detach(w.host.ID))
	_, err := w.s.Attach(Spec{Dir: w.dir()})
	require.NoError(t, err)
	detached := false
	defer fault.Arm("store/attach", func() error {
		if !detached {
			detached = true
			return w.s.Detach(w.host.ID)
		}
		return nil
	})()
	_, err = w.s.Offered(w.host.ID)
	require.ErrorIs(t, err, ErrDetached)
	require.False(t, w.s.Attached(w.host.ID))
	require.Empty(t, w.s.Holds(w.host.ID))
}

func (w *far) dir() string { return AfarPrefix + w.host.ID }

func (w *far) call(ctx context.Context, id string, data []byte) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lose > 0 {
		w.lose--
		<-ctx.Done()
		return nil, fmt.Errorf("ask its worker: %w", ctx.Err())
	}
	if w.away || id != w.host.ID {
		return nil, errors.New("no worker is here that has it")
	}
	var q request
	require.NoError(w.t, json.Unmarshal(data, &q))
	w.calls[q.Call]++
	answer := w.host.Answer(data)
	if w.after != nil {
		answer = w.after(q, answer)
	}
	if answer == nil {
		return nil, errors.New("the connection broke")
	}
	return answer, nil
}

func (w *far) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *far) count(call string) (n int) {
	w.set(func() { n = w.calls[call] })
	return n
}

// sealed places a sector on the worker's path and fills it there.
func (w *far) sealed(id abi.SectorID, seed uint64) {
	f, err := w.s.Place(id, 2<<10)
	require.NoError(w.t, err)
	require.Equal(w.t, sealingFiles(w.dir(), id), f, "only the worker's path can seal")
	fill(w.t, filesIn(w.host.Dir, id), seed)
	w.s.Declare(id, f)
	for _, t := range sealingTypes() {
		require.Contains(w.t, w.s.Holds(w.host.ID), Decl{id, t})
	}
}

// TestWorkerDiesOverACall: what it was asked is asked again, and it is back or another life of it is.
func TestWorkerDiesOverACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFar(t)
		asked := 0
		w.host.Work = func(string, json.RawMessage) error { asked++; return nil }
		w.set(func() { w.lose = 2 })
		afar, err := w.s.Afar(w.dir(), "adopt", "a task")
		require.True(t, afar)
		require.NoError(t, err)
		require.Equal(t, 1, asked)
		require.Zero(t, w.lose)
		w.set(func() { w.away = true })
		_, err = w.s.Afar(w.dir(), "adopt", "a task")
		require.ErrorContains(t, err, "no worker is here", "one that is away is not waited for")
	})
}

// TestOwnPath seals on a worker's own path and brings the sector to rest: by
// checksummed calls, under its name only when whole, and the source goes last.
func TestOwnPath(t *testing.T) {
	w := newFar(t)
	id := abi.SectorID{Miner: 1000, Number: 7}
	w.sealed(id, 7)
	intact(t, w.s, id, 7) // read from afar
	f, err := w.s.Find(id, Sealed, Cache)
	require.NoError(t, err)
	require.Equal(t, sealingFiles(w.dir(), id), f, "the tasks that come next go to the worker")
	require.NoError(t, w.s.DropUnsealed(id))
	require.NoError(t, w.s.Rest(t.Context(), id, 2<<10))
	for name := range tree(t, w.host.Dir) {
		require.Equal(t, MetaFile, name, "nothing of the sector is left with the worker")
	}
	w.set(func() { w.away = true })
	f, err = w.s.Find(id, Sealed, Cache)
	require.NoError(t, err)
	require.NotContains(t, f.Sealed, AfarPrefix)
	require.Empty(t, w.s.Planned())

	_, err = w.s.Attach(Spec{Dir: AfarPrefix + "another"})
	require.ErrorContains(t, err, "no worker is here")
	require.ErrorContains(t, w.s.Plan(id, w.dir()), "not for storing")
}

// TestOwnPathIsCutOff breaks the connection in the middle of a transfer, garbles
// it, and lets the worker be away: nothing wrong is ever stored, and what came
// before the break does not come again.
func TestOwnPathIsCutOff(t *testing.T) {
	w := newFar(t)
	id := abi.SectorID{Miner: 1000, Number: 7}
	w.sealed(id, 7)
	require.NoError(t, w.s.DropUnsealed(id))
	reads := 0
	w.set(func() {
		w.after = func(q request, answer []byte) []byte {
			if q.Call == callRead {
				if reads++; reads > 2 {
					return nil
				}
			}
			return answer
		}
	})
	require.ErrorContains(t, w.s.Rest(t.Context(), id, 2<<10), "the connection broke")
	require.Contains(t, w.s.Holds(w.host.ID), Decl{id, Sealed}, "the source stays")

	w.set(func() {
		w.after = func(q request, answer []byte) []byte {
			if q.Call != callRead || bytes.Contains(answer, []byte(`"Error"`)) {
				return answer
			}
			answer = bytes.Clone(answer)
			answer[len(answer)-1] ^= 1
			return answer
		}
	})
	require.ErrorIs(t, w.s.Rest(t.Context(), id, 2<<10), ErrCorrupt)

	w.set(func() { w.after, w.away = nil, true })
	require.True(t, w.s.Look(), "its path goes away")
	require.Error(t, w.s.Rest(t.Context(), id, 2<<10))
	_, err := w.s.Place(id, 2<<10)
	require.ErrorContains(t, err, "away", "it is not begun anew elsewhere")
	seat, ok := w.s.Seat(id, Sealed, Cache)
	require.True(t, ok, "its tasks wait for the worker")
	require.Equal(t, sealingFiles(w.dir(), id).Sealed, seat.Sealed)
	require.Empty(t, seat.Unsealed)
	_, ok = w.s.Seat(id, Unsealed)
	require.False(t, ok)
	seat, ok = w.s.Seat(id)
	require.True(t, ok)
	require.Equal(t, sealingFiles(w.dir(), id), seat)

	w.set(func() { w.away = false })
	require.True(t, w.s.Look(), "it is back with what it holds")
	before := w.count(callRead)
	require.NoError(t, w.s.Rest(t.Context(), id, 2<<10))
	again := w.count(callRead) - before
	require.Positive(t, w.count(callSum))
	require.Positive(t, again)

	// Another sector of the same size, without a break, takes all its reads.
	other := abi.SectorID{Miner: 1000, Number: 8}
	w.sealed(other, 7)
	require.NoError(t, w.s.DropUnsealed(other))
	before = w.count(callRead)
	require.NoError(t, w.s.Rest(t.Context(), other, 2<<10))
	require.Equal(t, 2, w.count(callRead)-before-again, "what came before the break was kept")

	third := abi.SectorID{Miner: 1000, Number: 9}
	w.sealed(third, 9)
	w.set(func() { w.away = true })
	require.True(t, w.s.Look())
	require.ErrorContains(t, w.s.Remove(third), "no worker is here", "it is not forgotten either")
}

// TestRestart: a sealer that starts while the worker is away knows of the path,
// and finds all in it when the worker is back.
func TestOwnPathAfterRestart(t *testing.T) {
	w := newFar(t)
	id := abi.SectorID{Miner: 1000, Number: 7}
	w.sealed(id, 7)
	w.set(func() { w.away = true })
	o := options(machine{})
	o.Call = w.call
	s, err := OpenWith(w.s.file, o)
	require.NoError(t, err)
	require.Contains(t, strings.Join(s.Problems(), "\n"), "no worker is here")
	w.set(func() { w.away = false })
	require.True(t, s.Look())
	intact(t, s, id, 7)
}

// TestHost refuses what is no path for sealing, and folders of others.
func TestHost(t *testing.T) {
	_, err := NewHost("relative", Options{})
	require.ErrorContains(t, err, "absolute")
	_, err = NewHost(filepath.Join(t.TempDir(), "none"), Options{})
	require.ErrorContains(t, err, "there is no such folder")
	dir := t.TempDir()
	_, err = Init(Spec{Dir: dir, CanStore: true})
	require.NoError(t, err)
	_, err = NewHost(dir, Options{})
	require.ErrorContains(t, err, "for sealing only")
	dir = t.TempDir()
	h, err := NewHost(dir, Options{})
	require.NoError(t, err)
	again, err := NewHost(dir, Options{})
	require.NoError(t, err)
	require.Equal(t, h.ID, again.ID)
}

// TestSweepAfar deletes the folders of tasks that nobody wants.
func TestSweepAfar(t *testing.T) {
	w := newFar(t)
	for _, name := range []string{"s-t01000-7.PC1-1.3", "s-t01000-8.PC1-1.1"} {
		require.NoError(t, os.MkdirAll(filepath.Join(w.host.Dir, workFolder, name, "cache"), 0o755))
	}
	require.NoError(t, w.s.SweepAfar(w.dir(), func(name string) bool { return strings.HasPrefix(name, "s-t01000-8.") }))
	left, err := os.ReadDir(filepath.Join(w.host.Dir, workFolder))
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, "s-t01000-8.PC1-1.1", left[0].Name())
}

// FuzzHost asks anything: nothing beside the path's own files is read or changed.
func FuzzHost(f *testing.F) {
	for _, q := range []request{
		{Call: callMeta}, {Call: callList}, {Call: callRead, Decl: Decl{abi.SectorID{Miner: 1, Number: 2}, Cache}, Name: "../../secret", Len: 9},
		{Call: callDrop, Decl: Decl{abi.SectorID{Miner: 1, Number: 2}, Sealed}}, {Call: callClear, Name: "../secret"}, {Call: callClear, Ending: gone, Name: "x"},
		{Call: callSum, Decl: Decl{abi.SectorID{Miner: 1, Number: 2}, Sealed}, Len: 1 << 62}, {Call: callWork, Work: "adopt"},
	} {
		b, err := json.Marshal(q)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		outside := memory(t)
		secret := filepath.Join(outside, "secret")
		require.NoError(t, os.WriteFile(secret, []byte("canary"), 0o600))
		dir := filepath.Join(outside, "path")
		require.NoError(t, os.Mkdir(dir, 0o755))
		h, err := NewHost(dir, Options{})
		require.NoError(t, err)
		answer := h.Answer(data)
		require.NotContains(t, string(answer), "canary")
		_, _, _ = decodeAnswer(answer) // it is an answer, or an error
		b, err := os.ReadFile(secret)
		require.NoError(t, err)
		require.Equal(t, "canary", string(b))
		_, err = h.vol.meta()
		require.NoError(t, err)
	})
}

// FuzzAnswer reads what a worker may send.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("{\"Pieces\":[{\"Name\":\"../x\",\"Size\":1}]}\n"))
	f.Add([]byte("{}\nbytes"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a := &afar{id: "x", gate: &gate{path: "x", clk: options(nil).filled().Clock, limit: 1 << 40}, call: func(context.Context, string, []byte) ([]byte, error) { return data, nil }}
		list, err := a.files(Decl{abi.SectorID{}, Cache})
		for _, p := range list {
			require.NoError(t, err)
			require.Equal(t, p.name == "" || p.name != "..", true)
			require.NotContains(t, p.name, "/")
		}
		if r, body, err := decodeAnswer(data); err == nil && len(body) > 0 {
			require.Len(t, r.Sum, 32)
		}
	})
}

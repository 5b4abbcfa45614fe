package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
)

// rig is a store with a path for sealing and two for storing, each a disk of its own.
func rig(t *testing.T, d *badDisk) (*Store, string) {
	dir := t.TempDir()
	d.rename = twoDisks
	for name, m := range map[string]Meta{
		"seal": {ID: "id-seal", Weight: 10, CanSeal: true}, "one": {ID: "id-one", Weight: 10, CanStore: true}, "two": {ID: "id-two", Weight: 1, CanStore: true},
	} {
		makePath(t, filepath.Join(dir, name), m)
	}
	s, err := OpenWith(filepath.Join(dir, "storage.json"), options(d))
	require.NoError(t, err)
	for _, name := range []string{"seal", "one", "two"} {
		_, err := s.Attach(Spec{Dir: filepath.Join(dir, name)})
		require.NoError(t, err)
	}
	return s, dir
}

func sealed(t *testing.T, s *Store, id abi.SectorID) Files {
	f, err := s.Place(id, 2048)
	require.NoError(t, err)
	fill(t, f, uint64(id.Number))
	s.Declare(id, f)
	return f
}

// TestTransfersFail breaks the disks in the middle of a move: the source stays and
// serves, and the next try goes on from what is there.
func TestTransfersFail(t *testing.T) {
	for name, test := range map[string]struct {
		broken func(d *badDisk)
		want   error
	}{
		"disk full": {func(d *badDisk) {
			d.write = func(_ string, at int64, _ int) error {
				if at > 0 {
					return syscall.ENOSPC
				}
				return nil
			}
		}, syscall.ENOSPC},
		"write error": {func(d *badDisk) { d.write = func(string, int64, int) error { return syscall.EIO } }, syscall.EIO},
		"read error": {func(d *badDisk) {
			d.read = func(name string, _ []byte) error {
				if strings.Contains(name, "tree-r-last") {
					return syscall.EIO
				}
				return nil
			}
		}, syscall.EIO},
		"corrupt copy": {func(d *badDisk) {
			d.read = func(name string, b []byte) error {
				if isHidden(name) && len(b) > 3 {
					b[3] ^= 4
				}
				return nil
			}
		}, ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			d := &badDisk{}
			s, dir := rig(t, d)
			f := sealed(t, s, id7)
			d.change(func() { test.broken(d) })
			require.ErrorIs(t, s.Rest(context.Background(), id7, 2048), test.want)
			require.FileExists(t, filepath.Join(f.Cache, "p_aux"))
			list := s.Transfers()
			require.Len(t, list, 1)
			require.NotEmpty(t, list[0].Err)
			d.change(func() { d.read, d.write = nil, nil })
			s, err := OpenWith(filepath.Join(dir, "storage.json"), options(d))
			require.NoError(t, err)
			intact(t, s, id7, 7)
			require.NoError(t, s.Rest(context.Background(), id7, 2048))
			intact(t, s, id7, 7)
			require.NoFileExists(t, f.Sealed)
			require.NoDirExists(t, f.Cache)
		})
	}
}

// TestTransfersResume counts what a second try writes.
func TestTransfersResume(t *testing.T) {
	d := &badDisk{}
	s, _ := rig(t, d)
	sealed(t, s, id7)
	disarm := fault.Arm("store/chunk", failAt(2))
	require.ErrorIs(t, s.Rest(context.Background(), id7, 2048), fault.ErrInjected)
	disarm()
	var wrote []int64
	d.change(func() {
		d.write = func(name string, at int64, _ int) error {
			if strings.Contains(name, "sealed") {
				wrote = append(wrote, at)
			}
			return nil
		}
	})
	require.NoError(t, s.Rest(context.Background(), id7, 2048))
	require.Equal(t, []int64{4096}, wrote, "the first two chunks were there")
	intact(t, s, id7, 7)
	done := s.Transfers()
	require.Equal(t, done[1].Total, done[1].Done())
	require.False(t, done[1].Ended.IsZero())
}

// TestHalfCopyOfOtherData is not gone on with: the sector was made anew since.
func TestHalfCopyOfOtherData(t *testing.T) {
	d := &badDisk{}
	s, _ := rig(t, d)
	f := sealed(t, s, id7)
	disarm := fault.Arm("store/chunk", failAt(2))
	require.ErrorIs(t, s.Rest(context.Background(), id7, 2048), fault.ErrInjected)
	disarm()
	fill(t, f, 70)
	require.NoError(t, s.Rest(context.Background(), id7, 2048))
	intact(t, s, id7, 70)
}

func failAt(k int) func() error {
	return func() error {
		if k--; k == 0 {
			return fault.ErrInjected
		}
		return nil
	}
}

// TestHangingDisk blocks nothing but its own sectors, and those only for one
// time-out: once it is known to hang, it is not waited for again.
func TestHangingDisk(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		d := &badDisk{rename: twoDisks}
		makePath(t, filepath.Join(dir, "good"), Meta{ID: "id-good", Weight: 1, CanStore: true, CanSeal: true})
		makePath(t, filepath.Join(dir, "nfs"), Meta{ID: "id-nfs", Weight: 1, CanStore: true})
		for n := range uint64(20) {
			id := abi.SectorID{Miner: 1000, Number: abi.SectorNumber(n)}
			fill(t, filesIn(filepath.Join(dir, []string{"good", "nfs"}[n%2]), id), n)
		}
		s, err := OpenWith(filepath.Join(dir, "storage.json"), options(d))
		require.NoError(t, err)
		for _, name := range []string{"good", "nfs"} {
			_, err := s.Attach(Spec{Dir: filepath.Join(dir, name)})
			require.NoError(t, err)
		}
		release := make(chan struct{})
		d.change(func() {
			d.open = func(name string) error {
				if strings.Contains(name, "/nfs/") {
					<-release
				}
				return nil
			}
		})
		start := time.Now()
		var slow, good int
		for n := range uint64(20) {
			f, err := s.Find(abi.SectorID{Miner: 1000, Number: abi.SectorNumber(n)}, Sealed)
			require.NoError(t, err, "finding asks no disk")
			r, err := s.OpenFile(f.Sealed)
			if n%2 == 1 {
				require.ErrorIs(t, err, ErrSlow)
				slow++
				continue
			}
			require.NoError(t, err)
			require.NoError(t, r.Close())
			good++
		}
		require.Equal(t, []int{10, 10}, []int{slow, good})
		require.Equal(t, maxHung*time.Minute, time.Since(start), "the rest of the path is refused at once")
		require.True(t, s.Look(), "the path is seen to be away")
		_, err = s.Find(abi.SectorID{Miner: 1000, Number: 1}, Sealed)
		require.ErrorIs(t, err, ErrAbsent)
		require.ErrorContains(t, err, "does not answer")
		_, err = s.Place(abi.SectorID{Miner: 1000, Number: 99}, 2048)
		require.NoError(t, err, "sealing goes on elsewhere")

		d.change(func() { d.open = nil })
		close(release)
		synctest.Wait()
		require.True(t, s.Look())
		intact(t, s, abi.SectorID{Miner: 1000, Number: 1}, 1)
		require.Empty(t, s.Problems())
	})
}

// TestLateAnswersTouchNothing: a read that was given up writes into no buffer of
// its caller, who may have reused it.
func TestLateAnswersTouchNothing(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		d := &badDisk{}
		makePath(t, dir, Meta{ID: "x", Weight: 1, CanStore: true})
		fill(t, filesIn(dir, id7), 7)
		s, err := OpenWith(filepath.Join(dir, "storage.json"), options(d))
		require.NoError(t, err)
		_, err = s.Attach(Spec{Dir: dir})
		require.NoError(t, err)
		f, err := s.Find(id7, Sealed)
		require.NoError(t, err)
		r, err := s.OpenFile(f.Sealed)
		require.NoError(t, err)
		release := make(chan struct{})
		d.change(func() { d.read = func(string, []byte) error { <-release; return nil } })
		b := make([]byte, 100)
		_, err = r.ReadAt(b, 0)
		require.ErrorIs(t, err, ErrSlow)
		close(release)
		synctest.Wait()
		require.Equal(t, make([]byte, 100), b)
		n, err := r.ReadAt(b, 0)
		require.NoError(t, err)
		require.Equal(t, 100, n)
		require.Equal(t, content(7, 5000)[:100], b)
		require.NoError(t, r.Close())
	})
}

// TestHangingDiskAtStart delays the start by one time-out at most.
func TestHangingDiskAtStart(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		d := &badDisk{}
		for _, name := range []string{"a", "b", "c"} {
			makePath(t, filepath.Join(dir, name), Meta{ID: name, Weight: 1, CanStore: true})
		}
		fill(t, filesIn(filepath.Join(dir, "c"), id7), 7)
		s, err := OpenWith(filepath.Join(dir, "storage.json"), options(d))
		require.NoError(t, err)
		for _, name := range []string{"a", "b", "c"} {
			_, err := s.Attach(Spec{Dir: filepath.Join(dir, name)})
			require.NoError(t, err)
		}
		release := make(chan struct{})
		d.change(func() {
			d.open = func(name string) error {
				if !strings.Contains(name, "/c/") {
					<-release
				}
				return nil
			}
		})
		start := time.Now()
		s, err = OpenWith(filepath.Join(dir, "storage.json"), options(d))
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(start))
		intact(t, s, id7, 7)
		require.Len(t, s.Problems(), 2)
		require.Len(t, s.Lost(), 2)
		d.change(func() { d.open = nil })
		close(release)
		ctx, cancel := context.WithCancel(t.Context())
		changed := make(chan struct{}, 1)
		go s.Watch(ctx, 10*time.Second, func() { changed <- struct{}{} })
		<-changed
		cancel()
		require.Len(t, s.Paths(), 3)
		require.Empty(t, s.Problems())
	})
}

// TestVanishedPath: its sectors are out of use, nothing is written below its mount
// point, and with its return all is as before.
func TestVanishedPath(t *testing.T) {
	d := &badDisk{}
	s, dir := rig(t, d)
	sealed(t, s, id7)
	require.NoError(t, s.Rest(context.Background(), id7, 2048))
	sealed(t, s, id8)
	for _, name := range []string{"seal", "one"} { // an unmounted disk leaves an empty folder
		require.NoError(t, os.Rename(filepath.Join(dir, name), filepath.Join(dir, name+".off")))
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	_, err := s.Place(abi.SectorID{Miner: 1000, Number: 9}, 2048)
	require.ErrorContains(t, err, "mount its disk", "seen even before anybody looked after the paths")
	require.True(t, s.Look())
	require.False(t, s.Look())
	_, err = s.Find(id7, Sealed, Cache)
	require.ErrorIs(t, err, ErrAbsent)
	require.ErrorContains(t, err, "mount its disk")
	_, err = s.Place(id8, 2048)
	require.ErrorContains(t, err, "away", "it is not sealed anew elsewhere")
	require.ErrorContains(t, s.Remove(id7), "bring it back, or detach it")
	for _, name := range []string{"seal", "one"} {
		require.Empty(t, tree(t, filepath.Join(dir, name)))
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
		require.NoError(t, os.Rename(filepath.Join(dir, name+".off"), filepath.Join(dir, name)))
	}
	require.True(t, s.Look())
	intact(t, s, id7, 7)
	intact(t, s, id8, 8)

	makePath(t, filepath.Join(dir, "one"), Meta{ID: "another", CanStore: true})
	require.True(t, s.Look())
	require.ErrorContains(t, errors.New(strings.Join(s.Problems(), " ")), "another disk lies there")
	require.NoError(t, s.Detach("id-one"))
	require.NoError(t, s.Remove(id7), "a disk that is given up for good is in nobody's way")
}

// TestMovedWhileRead: names that were found before a move still open after it.
func TestMovedWhileRead(t *testing.T) {
	s, _ := rig(t, &badDisk{})
	before := sealed(t, s, id7)
	r, err := s.OpenFile(before.Sealed)
	require.NoError(t, err)
	require.NoError(t, s.Rest(context.Background(), id7, 2048))
	b := make([]byte, 5000)
	_, err = r.ReadAt(b, 0)
	require.NoError(t, err)
	require.Equal(t, content(7, 5000), b)
	require.NoError(t, r.Close())
	now, err := s.OpenFile(before.Sealed)
	require.NoError(t, err)
	_, err = now.ReadAt(b, 0)
	require.NoError(t, err)
	require.Equal(t, content(7, 5000), b)
	require.NoError(t, now.Close())
	for _, bad := range []string{"", "/etc/passwd", filepath.Join(filepath.Dir(before.Sealed), "x"), strings.Replace(before.Sealed, "-7", "-9", 1)} {
		_, err := s.OpenFile(bad)
		require.Error(t, err, bad)
	}
	_, err = s.OpenFile(strings.Replace(before.Sealed, "-7", "-9", 1))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// TestWatermarks places sectors on disks of known fullness.
func TestWatermarks(t *testing.T) {
	d := &badDisk{}
	s, dir := rig(t, d)
	used := map[string]int64{"seal": 0, "one": 0, "two": 0}
	d.change(func() {
		d.measure = func(dir string) (Stat, error) {
			return Stat{Capacity: 1 << 20, Available: 1<<20 - used[filepath.Base(dir)]*(1<<20)/1000}, nil
		}
	})
	const sector = 32 << 10 // sealing takes half of the disk
	one, two, three := abi.SectorID{Miner: 1000, Number: 1}, abi.SectorID{Miner: 1000, Number: 2}, abi.SectorID{Miner: 1000, Number: 3}
	f, err := s.Place(one, sector)
	require.NoError(t, err)
	_, err = s.Place(two, sector)
	require.ErrorIs(t, err, ErrNoSpace)
	require.ErrorContains(t, err, "reserved for files in the making")
	n, err := s.Reserved("id-seal")
	require.NoError(t, err)
	require.Greater(t, n, int64(500<<10))
	require.NoError(t, os.WriteFile(f.Sealed, make([]byte, 400<<10), 0o644))
	left, err := s.Reserved("id-seal")
	require.NoError(t, err)
	require.EqualValues(t, n-400<<10, left, "what is written is reserved no more")

	// A restart forgets reservations; whoever owns the sectors says them again.
	s, err = OpenWith(filepath.Join(dir, "storage.json"), options(d))
	require.NoError(t, err)
	s.Reserve(one, sector)
	s.Reserve(three, sector) // nowhere yet
	again, err := s.Reserved("id-seal")
	require.NoError(t, err)
	require.Equal(t, left, again)

	used["seal"] = 949
	_, err = s.Place(one, sector)
	require.NoError(t, err, "what is under way goes on")
	used["seal"] = 955
	_, err = s.Place(one, sector)
	require.NoError(t, err)
	_, err = s.Place(two, 8)
	require.ErrorContains(t, err, "takes no new files from 95")
	used["seal"] = 981
	_, err = s.Place(one, sector)
	require.ErrorIs(t, err, ErrNoSpace)
	require.ErrorContains(t, err, "read-only from 98")

	used["seal"] = 0
	require.NoError(t, s.Remove(one))
	n, err = s.Reserved("id-seal")
	require.NoError(t, err)
	require.Zero(t, n)
	sealed(t, s, id7)
	used["one"] = 960
	require.NoError(t, s.Rest(context.Background(), id7, 2048))
	require.Len(t, s.Holds("id-two"), 2, "the full disk is passed over")
	require.ErrorContains(t, s.Plan(id7, "id-one"), "takes no new files")
	require.ErrorContains(t, s.Plan(id7, "id-seal"), "not for storing")
	require.ErrorIs(t, s.Plan(id7, "nowhere"), ErrDetached)
	require.ErrorIs(t, s.Plan(abi.SectorID{Miner: 1000, Number: 99}, ""), ErrAbsent)
}

// TestMaxStorage bounds what sector files take of a disk that others use too.
func TestMaxStorage(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenWith(filepath.Join(dir, "storage.json"), options(&badDisk{measure: func(string) (Stat, error) { return Stat{Capacity: 1 << 30, Available: 1 << 29}, nil }}))
	require.NoError(t, err)
	p, err := s.Attach(Spec{Dir: filepath.Join(dir, "p"), Init: true, CanSeal: true, CanStore: true, MaxStorage: 1 << 20})
	require.NoError(t, err)
	require.EqualValues(t, 1<<20, p.MaxStorage)
	st, err := s.Measure(p.ID)
	require.NoError(t, err)
	require.Equal(t, Stat{Capacity: 1 << 20, Available: 1 << 20}, st)
	f, err := s.Place(id7, 2048)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(f.Sealed, make([]byte, 960<<10), 0o644))
	require.NoError(t, os.Link(f.Sealed, filepath.Join(f.Cache, "another-name")))
	s.paths[p.ID].usedAt = time.Time{} // ten minutes later
	require.False(t, s.Look())
	st, err = s.Measure(p.ID)
	require.NoError(t, err)
	require.EqualValues(t, 64<<10, st.Available, "a file with two names takes its room once")
	require.Equal(t, st, s.Last(p.ID))
	_, err = s.Place(id8, 2048)
	require.ErrorContains(t, err, "stay free")
}

// TestGarbage lists what is ours and not needed, and nothing else.
func TestGarbage(t *testing.T) {
	s, dir := rig(t, &badDisk{})
	gone, proven, sealing, foreign := id7, id8, abi.SectorID{Miner: 1000, Number: 9}, abi.SectorID{Miner: 2000, Number: 7}
	fate := func(id abi.SectorID) Fate {
		return map[abi.SectorID]Fate{gone: Removed, proven: Settled, sealing: Sealing}[id]
	}
	one := filepath.Join(dir, "one")
	for _, id := range []abi.SectorID{gone, proven, sealing, foreign} {
		fill(t, filesIn(one, id), uint64(id.Number))
		for _, name := range []string{"sealed/.%.moving", "cache/.%.moving/p_aux", "work/%.PC1-2.3/cache/x"} {
			name = filepath.Join(one, strings.Replace(name, "%", SectorName(id), 1))
			require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
			require.NoError(t, os.WriteFile(name, []byte("half"), 0o644))
		}
	}
	for _, stray := range []string{"sealed/lost+found", "cache/.nfs000", "work/notes.txt", "sealed/.s-t01000-7.bak", "sealed/s-t01000-7.old", "cache/s-t01000-x"} {
		require.NoError(t, os.WriteFile(filepath.Join(one, stray), []byte("mine"), 0o644))
	}
	s, err := OpenWith(filepath.Join(dir, "storage.json"), options(&badDisk{}))
	require.NoError(t, err)
	require.Len(t, s.Problems(), 6, "stray names are told")
	list, err := s.Garbage(fate)
	require.NoError(t, err)
	var names []string
	for _, w := range list {
		rel, err := filepath.Rel(one, w.Name)
		require.NoError(t, err)
		names = append(names, rel)
		require.NotEmpty(t, w.Why)
	}
	require.Equal(t, []string{
		"cache/.s-t01000-7.moving", "cache/.s-t01000-8.moving", "cache/.s-t01000-9.moving", "cache/s-t01000-7",
		"sealed/.s-t01000-7.moving", "sealed/.s-t01000-8.moving", "sealed/.s-t01000-9.moving", "sealed/s-t01000-7",
		"unsealed/s-t01000-7", "work/s-t01000-7.PC1-2.3", "work/s-t01000-8.PC1-2.3",
	}, names)
	before := tree(t, dir)
	done, err := s.Collect(nil, fate)
	require.NoError(t, err)
	require.Empty(t, done)
	require.Equal(t, before, tree(t, dir), "nothing goes that nobody agreed to")
	done, err = s.Collect(list, func(id abi.SectorID) Fate { return max(fate(id), 0) * 0 })
	require.NoError(t, err)
	require.Empty(t, done, "nothing goes that is not garbage any more")

	disarm := fault.Arm("store/drop", failAt(1))
	_, err = s.Collect(list, fate)
	disarm()
	require.ErrorIs(t, err, fault.ErrInjected)
	s, err = OpenWith(filepath.Join(dir, "storage.json"), options(&badDisk{}))
	require.NoError(t, err)
	_, err = s.Collect(list, fate)
	require.NoError(t, err)
	after := tree(t, dir)
	for name := range before {
		_, there := after[name]
		rel := strings.TrimPrefix(name, "one/")
		wasGarbage := false
		for _, g := range names {
			wasGarbage = wasGarbage || rel == g || strings.HasPrefix(rel, g+"/")
		}
		require.Equal(t, !wasGarbage, there, name)
	}
	_, err = s.Find(gone, Sealed)
	require.ErrorIs(t, err, ErrAbsent)
}

// TestOldFilesComeBack: a disk with old files of a sector that was made anew is
// attached again. Neither copy is taken for the other, and none is deleted.
func TestOldFilesComeBack(t *testing.T) {
	for _, to := range []string{"id-one", "id-two"} {
		s, dir := rig(t, &badDisk{})
		fill(t, filesIn(filepath.Join(dir, "one"), id7), 7)
		fill(t, filesIn(filepath.Join(dir, "two"), id7), 70)
		s, err := OpenWith(filepath.Join(dir, "storage.json"), options(&badDisk{}))
		require.NoError(t, err)
		before := tree(t, dir)
		require.NoError(t, s.Plan(id7, to))
		require.ErrorIs(t, s.Carry(t.Context(), id7), ErrDiffer)
		delete(before, "moves.json")
		after := tree(t, dir)
		delete(after, "moves.json")
		require.Equal(t, before, after)
	}
}

// TestMovesCalledOff: by sending the sector to where it is, and by giving up the
// destination. What was copied becomes garbage.
func TestMovesCalledOff(t *testing.T) {
	for _, how := range []string{"back", "detach"} {
		d := &badDisk{}
		s, dir := rig(t, d)
		sealed(t, s, id7)
		require.NoError(t, s.Rest(context.Background(), id7, 2048))
		require.Len(t, s.Holds("id-one"), 2)
		require.NoError(t, s.DropUnsealed(id7))
		require.NoError(t, s.Plan(id7, "id-two"))
		disarm := fault.Arm("store/chunk", failAt(2))
		require.ErrorIs(t, s.Carry(t.Context(), id7), fault.ErrInjected)
		disarm()
		require.Equal(t, []abi.SectorID{id7}, s.Planned())
		if how == "back" {
			d.change(func() { d.measure = func(string) (Stat, error) { return Stat{Capacity: 100, Available: 1}, nil } })
			require.NoError(t, s.Plan(id7, "id-one"), "which takes no room there")
			require.NoError(t, s.Carry(t.Context(), id7))
		} else {
			require.NoError(t, s.Detach("id-two"))
			require.ErrorIs(t, s.Carry(t.Context(), id7), ErrDetached)
			require.NoError(t, s.Carry(t.Context(), id7))
			_, err := s.Attach(Spec{Dir: filepath.Join(dir, "two")})
			require.NoError(t, err)
		}
		require.Empty(t, s.Planned())
		intact(t, s, id7, 7)
		list, err := s.Garbage(func(abi.SectorID) Fate { return Settled })
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, filepath.Join(dir, "two", "sealed", ".s-t01000-7.moving"), list[0].Name)
	}
}

// TestOneFileHangs: a file that does not answer hangs alone, is waited for once and
// asked again from time to time; one put in its place serves. A path whose
// operations never return, as those of a mount that was replaced, serves when it
// answers again.
func TestOneFileHangs(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		d := &badDisk{}
		makePath(t, dir, Meta{ID: "x", Weight: 1, CanStore: true})
		for n := range uint64(8) {
			fill(t, filesIn(dir, abi.SectorID{Miner: 1000, Number: abi.SectorNumber(n)}), n)
		}
		s, err := OpenWith(filepath.Join(dir, "storage.json"), options(d))
		require.NoError(t, err)
		_, err = s.Attach(Spec{Dir: dir})
		require.NoError(t, err)
		open := func(n abi.SectorNumber) error {
			f, err := s.Find(abi.SectorID{Miner: 1000, Number: n}, Sealed)
			require.NoError(t, err)
			r, err := s.OpenFile(f.Sealed)
			if err == nil {
				require.NoError(t, r.Close())
			}
			return err
		}
		never := make(chan struct{})
		defer close(never)
		hangs := func(upTo abi.SectorNumber) func(string) error {
			return func(name string) error {
				if id, err := ParseSectorName(filepath.Base(name)); err == nil && id.Number < upTo {
					<-never
				}
				return nil
			}
		}
		d.change(func() { d.open = hangs(1) })
		start := time.Now()
		for range 3 * maxHung {
			require.ErrorIs(t, open(0), ErrSlow)
			require.NoError(t, open(1), "the path serves")
		}
		require.Equal(t, time.Minute, time.Since(start), "it is waited for once")
		require.False(t, s.Look())

		_ = clock.Real().Sleep(t.Context(), tryAgain*time.Minute)
		start = time.Now()
		require.ErrorIs(t, open(0), ErrSlow)
		require.Equal(t, time.Minute, time.Since(start), "it is asked again")
		d.change(func() { d.open = nil }) // another file under that name; the operations that hang never return
		require.ErrorIs(t, open(0), ErrSlow)
		_ = clock.Real().Sleep(t.Context(), tryAgain*time.Minute)
		require.NoError(t, open(0))
		require.NoError(t, open(0))

		d.change(func() { d.open = hangs(maxHung) })
		for n := range abi.SectorNumber(maxHung) {
			require.ErrorIs(t, open(n), ErrSlow)
		}
		start = time.Now()
		require.ErrorIs(t, open(7), ErrSlow, "the whole path counts as hanging")
		require.Zero(t, time.Since(start))
		d.change(func() { d.open = nil }) // mounted anew
		require.True(t, s.Look())
		_ = clock.Real().Sleep(t.Context(), tryAgain*time.Minute)
		require.True(t, s.Look(), "it is back")
		for n := range abi.SectorNumber(8) {
			intact(t, s, abi.SectorID{Miner: 1000, Number: n}, uint64(n))
		}
	})
}

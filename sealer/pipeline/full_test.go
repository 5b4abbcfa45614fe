package pipeline_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/worker"
)

// fillable is a disk whose folders can be filled up; each path is a file system of its own.
type fillable struct {
	store.Disk
	mu sync.Mutex
	// full are the names of paths where nothing can be written, lying those of which it is not told.
	full, lying map[string]bool
}

func newFillable() *fillable {
	return &fillable{Disk: store.Machine(), full: map[string]bool{}, lying: map[string]bool{}}
}

func (d *fillable) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// refuses is the error of a write below a full path.
func (d *fillable) refuses(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path := range d.full {
		if d.full[path] && strings.Contains(name, "/"+path+"/") {
			return &fs.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
		}
	}
	return nil
}

func (d *fillable) Measure(dir string) (store.Stat, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if name := filepath.Base(dir); d.full[name] && !d.lying[name] {
		return store.Stat{Capacity: 1 << 40}, nil
	}
	return store.Stat{Capacity: 1 << 40, Available: 1 << 39}, nil
}

func (d *fillable) Rename(from, to string) error {
	if filepath.Dir(filepath.Dir(from)) != filepath.Dir(filepath.Dir(to)) {
		return syscall.EXDEV
	}
	return d.Disk.Rename(from, to)
}

func (d *fillable) Create(name string) (store.Writable, error) {
	f, err := d.Disk.Create(name)
	return fillableFile{f, d, name}, err
}

type fillableFile struct {
	store.Writable
	d    *fillable
	name string
}

func (f fillableFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.d.refuses(f.name); err != nil {
		return 0, err
	}
	return f.Writable.WriteAt(b, at)
}

func onFillable(t *testing.T, more []string, f func(t *testing.T, r *rig, d *fillable)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newFillable()
		r := newRigOn(t, dir, func(r *rig) {
			r.disk = d
			for _, name := range more {
				r.more = append(r.more, store.Spec{Dir: filepath.Join(dir, name), CanSeal: strings.HasPrefix(name, "seal"), CanStore: strings.HasPrefix(name, "store")})
			}
		})
		defer func() { r.stop() }()
		f(t, r, d)
	})
}

// has lists the sector files of a path, without what tasks are making.
func (r *rig) has(path string) (out []string) {
	r.t.Helper()
	for _, kind := range []string{"sealed", "unsealed", "cache", "update", "update-cache"} {
		require.NoError(r.t, filepath.WalkDir(filepath.Join(r.dir, path, kind), func(name string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				rel, _ := filepath.Rel(r.dir, name)
				out = append(out, rel)
			}
			if os.IsNotExist(err) {
				return nil
			}
			return err
		}))
	}
	return out
}

// TestFullDiskWhileSealing fills the sealing path before each of the tasks that write to it, for longer than any number
// of tries lasts: the sector waits with the reason, nothing is deleted, and it goes on by itself when there is room.
func TestFullDiskWhileSealing(t *testing.T) {
	for _, kind := range []sector.TaskKind{sector.TaskAddPiece, sector.TaskPreCommit1, sector.TaskPreCommit2} {
		t.Run(string(kind), func(t *testing.T) {
			onFillable(t, nil, func(t *testing.T, r *rig, d *fillable) {
				began := false
				r.prover.Change(func() {
					r.prover.Fail = func(x worker.Task) error {
						if x.Kind == kind && !began {
							began = true
							d.set(func() { d.full["seal"], d.lying["seal"] = true, true })
						}
						if x.Kind == sector.TaskCommit1 || x.Kind == sector.TaskCommit2 || x.Kind == sector.TaskFinalize {
							return nil
						}
						return d.refuses(x.Work().Cache)
					}
				})
				n := r.pledge()
				for range 20 {
					r.tick()
				}
				before := r.has("seal")
				for range 600 {
					r.tick()
				}
				rec, err := r.p.Get(n)
				require.NoError(t, err)
				require.Equal(t, sector.Operator, rec.LastClass)
				require.False(t, rec.RetryAt.IsZero(), "it is tried again")
				why := r.p.Why(rec)
				require.Contains(t, why.Waits, "there is no room for what task "+string(kind)+" writes to "+filepath.Join(r.dir, "seal"))
				require.Contains(t, why.Waits, "no space left on device")
				require.Contains(t, why.Next, "by itself")
				require.Greater(t, rec.Tries, 10)
				require.Equal(t, before, r.has("seal"), "nothing is deleted")
				r.restart()
				// Now the disk tells that it is full, and no task is begun for it any more.
				d.set(func() { d.lying["seal"] = false })
				runs := 0
				for range 200 {
					r.tick()
					r.prover.Change(func() { runs = r.prover.Runs[kind] })
				}
				require.Equal(t, before, r.has("seal"))
				r.prover.Change(func() { require.Equal(t, runs, r.prover.Runs[kind]) })
				d.set(func() { d.full["seal"] = false })
				r.until(n, sector.Proving, 120)
				r.oneMessageEach(1)
			})
		})
	}
}

// TestFullDiskLeavesOthersAlone: a sector of which nothing is made yet goes to another path, and so do new ones.
func TestFullDiskLeavesOthersAlone(t *testing.T) {
	onFillable(t, []string{"seal2"}, func(t *testing.T, r *rig, d *fillable) {
		full := ""
		r.prover.Change(func() {
			r.prover.Fail = func(x worker.Task) error {
				if x.Kind != sector.TaskAddPiece && x.Kind != sector.TaskPreCommit1 {
					return nil
				}
				if full == "" && x.Kind == sector.TaskAddPiece { // wherever the first goes
					full = filepath.Base(x.Path())
					d.set(func() { d.full[full] = true })
				}
				return d.refuses(x.Work().Cache)
			}
		})
		first := r.pledge()
		r.until(first, sector.Proving, 120)
		rec, err := r.p.Get(first)
		require.NoError(t, err)
		require.Equal(t, 0, rec.Restarts)
		second := r.pledge()
		r.until(second, sector.Proving, 60)
		require.Empty(t, r.has(full))
		require.NoDirExists(t, filepath.Join(r.dir, full, "cache", "s-t01000-1"))
		r.oneMessageEach(2)
	})
}

// TestFullDiskWhileStoring fills the storing path, as it tells or as the copy finds out: the sector keeps its files where
// they are and goes to another path that has room, or waits for some.
func TestFullDiskWhileStoring(t *testing.T) {
	for name, lying := range map[string]bool{"as it tells": false, "as the copy finds out": true} {
		t.Run(name, func(t *testing.T) {
			onFillable(t, nil, func(t *testing.T, r *rig, d *fillable) {
				d.set(func() { d.full["store"], d.lying["store"] = true, lying })
				n := r.pledge()
				for range 700 {
					r.tick()
				}
				rec, err := r.p.Get(n)
				require.NoError(t, err)
				require.Equal(t, sector.FinalizeFailed, rec.State)
				require.Greater(t, rec.Tries, 10)
				require.False(t, rec.RetryAt.IsZero())
				require.Contains(t, r.p.Why(rec).Waits, "there is no room for what task FIN writes")
				require.Contains(t, r.has("seal"), "seal/sealed/s-t01000-1")
				require.Empty(t, r.has("store"))
				d.set(func() { d.full["store"] = false })
				r.until(n, sector.Proving, 120)
				require.Contains(t, r.has("store"), "store/sealed/s-t01000-1")
			})
		})
	}
	onFillable(t, []string{"store2"}, func(t *testing.T, r *rig, d *fillable) {
		d.set(func() { d.full["store"] = true })
		n := r.pledge()
		r.until(n, sector.Proving, 60)
		require.Contains(t, r.has("store2"), "store2/sealed/s-t01000-1")
		r.oneMessageEach(1)
	})
}

// TestFullDiskCountsNoFailures: after any wait for room a task still has all its tries.
func TestFullDiskCountsNoFailures(t *testing.T) {
	onFillable(t, nil, func(t *testing.T, r *rig, d *fillable) {
		fails := 0
		r.prover.Change(func() {
			r.prover.Fail = func(x worker.Task) error {
				if x.Kind != sector.TaskPreCommit1 {
					return nil
				}
				if err := d.refuses(x.Work().Cache); err != nil {
					return err
				}
				if fails++; fails < 5 {
					return os.ErrInvalid
				}
				return nil
			}
		})
		d.set(func() { d.full["seal"], d.lying["seal"] = true, true })
		r.prover.Change(func() { // the data is there already
			inner := r.prover.Fail
			r.prover.Fail = func(x worker.Task) error {
				if x.Kind == sector.TaskAddPiece {
					return nil
				}
				return inner(x)
			}
		})
		n := r.pledge()
		for range 600 {
			r.tick()
		}
		d.set(func() { d.full["seal"] = false })
		r.until(n, sector.Proving, 300)
		require.Equal(t, abi.SectorNumber(1), n)
	})
}

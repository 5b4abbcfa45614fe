package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/proofs/seal"
)

// File is a sector file that is opened for reading.
type File = seal.File

// Writable is a file in the making.
type Writable interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// Disk is what can fail below local paths: the seam at which tests break it.
type Disk interface {
	Open(name string) (File, error)
	// Create opens for writing; what is there already stays.
	Create(name string) (Writable, error)
	List(name string) ([]fs.DirEntry, error)
	// Rename fails with EXDEV when the names lie on different file systems.
	Rename(from, to string) error
	// RemoveAll removes a file or a folder with all that is in it.
	RemoveAll(name string) error
	Measure(dir string) (Stat, error)
}

// Stat measures a path, in bytes. Capacity 0 means that nothing is known to limit it.
type Stat struct {
	Capacity, Available int64
	// ReadOnly tells that its file system is mounted so.
	ReadOnly bool `json:",omitempty"`
}

// mountedReadOnly is the flag of statfs: ST_RDONLY of Linux, MNT_RDONLY of the BSDs.
const mountedReadOnly = 1

// used is the used part in percent, rounded down.
func (s Stat) used() int {
	if s.Capacity <= 0 {
		return 0
	}
	return int((s.Capacity - s.Available) * 100 / s.Capacity)
}

// Machine is the machine's own Disk.
func Machine() Disk { return machine{} }

// machine is the Disk of the machine.
type machine struct{}

type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (machine) Open(name string) (File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (machine) Create(name string) (Writable, error) {
	return os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
}

func (machine) List(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (machine) Rename(from, to string) error            { return os.Rename(from, to) }
func (machine) RemoveAll(name string) error             { return os.RemoveAll(name) }

func (machine) Measure(dir string) (Stat, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Stat{}, err
	}
	return Stat{Capacity: int64(st.Blocks) * int64(st.Bsize), Available: int64(st.Bavail) * int64(st.Bsize), ReadOnly: st.Flags&mountedReadOnly != 0}, nil
}

// ErrSlow is returned for what a disk did not answer in time.
var ErrSlow = errors.New("the disk does not answer")

// maxHung is how many files and other operations may hang in one path before the
// rest are refused at once instead of waiting one after another.
const maxHung = 4

// writePatience is how much longer than a read a write may take: what is synced
// may have to wait for much else.
const writePatience = 10

// tryAgain is after how many time-outs something that hangs is asked again: an
// operation on a mount that was replaced, or on a file that was, never returns.
const tryAgain = 10

// gate is the way to one path's disk. An operation that hangs is left behind and
// whoever asked is told after the limit. A file that hangs is not waited for again
// meanwhile, so that it hangs alone; when several do, the whole path counts as
// hanging until one of them returns, or answers when it is asked again.
type gate struct {
	path  string
	clk   clock.Clock
	limit time.Duration

	mu    sync.Mutex // guards what follows
	files map[string]*hang
	other int // operations that hang and are no single file's reads
	since time.Time
	again time.Time // a hanging path is asked again then
	life  int       // what hung in an earlier one does not count
}

// hang is a file that does not answer.
type hang struct {
	ops          int
	since, again time.Time
}

// enter refuses what would hang; life is that of the operation.
func (g *gate) enter(file string) (life int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clk.Now()
	if h := g.files[file]; h != nil {
		if now.Before(h.again) {
			return 0, fmt.Errorf("%s: %w since %s", file, ErrSlow, h.since.UTC().Format(time.RFC3339))
		}
		h.again = now.Add(tryAgain * g.limit)
	}
	if g.hung() >= maxHung {
		if now.Before(g.again) {
			return 0, fmt.Errorf("%s: %w since %s (%d operations hang)", g.path, ErrSlow, g.since.UTC().Format(time.RFC3339), g.hung())
		}
		g.again = now.Add(tryAgain * g.limit)
	}
	return g.life, nil
}

// hung needs mu held.
func (g *gate) hung() int { return g.other + len(g.files) }

// late counts an operation that hangs (1), or that came back after all (-1).
func (g *gate) late(file string, life, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if life != g.life {
		return
	}
	now := g.clk.Now()
	if g.hung() == 0 {
		g.since = now.Add(-g.limit)
	}
	switch h := g.files[file]; {
	case file == "":
		g.other += n
	case h == nil && n > 0:
		if g.files == nil {
			g.files = map[string]*hang{}
		}
		g.files[file] = &hang{ops: n, since: now.Add(-g.limit), again: now.Add(tryAgain * g.limit)}
	case h != nil: // else it answered meanwhile
		if h.ops += n; h.ops == 0 {
			delete(g.files, file)
		}
	}
	if g.hung() == maxHung && n > 0 {
		g.again = now.Add(tryAgain * g.limit)
	}
}

// answered forgets what hung when it is answered again: the file, and in a path that
// counts as hanging everything.
func (g *gate) answered(file string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hung() >= maxHung {
		g.files, g.other, g.life = nil, 0, g.life+1
	}
	delete(g.files, file)
}

// ask runs f, which must not touch anything of the caller's after it was given up.
func ask[T any](g *gate, patience int, f func() (T, error)) (T, error) {
	return askFile(g, "", patience, f)
}

// askFile is ask for an operation on one file.
func askFile[T any](g *gate, file string, patience int, f func() (T, error)) (T, error) {
	var none T
	life, err := g.enter(file)
	if err != nil {
		return none, err
	}
	type answer struct {
		v   T
		err error
	}
	done := make(chan answer, 1)
	var ended atomic.Bool // the first of both ends decides who counts
	go func() {
		var a answer
		defer func() {
			if r := recover(); r != nil {
				a.err = fmt.Errorf("%s: panic: %v", g.path, r)
			}
			if ended.Swap(true) {
				g.late(file, life, -1)
			}
			done <- a
		}()
		a.v, a.err = f()
	}()
	limit := g.limit * time.Duration(patience)
	t := g.clk.NewTimer(limit)
	defer t.Stop()
	select {
	case a := <-done:
		g.answered(file)
		return a.v, a.err
	case <-t.C():
	}
	g.late(file, life, 1)
	if ended.Swap(true) { // it came back at the last moment
		g.late(file, life, -1)
		a := <-done
		return a.v, a.err
	}
	return none, fmt.Errorf("%s: %w within %s", cmp.Or(file, g.path), ErrSlow, limit)
}

// try is ask for what returns nothing.
func try(g *gate, patience int, f func() error) error {
	_, err := ask(g, patience, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// gated is a file behind its path's gate.
type gated struct {
	f    File
	g    *gate
	name string
}

func (x *gated) ReadAt(b []byte, at int64) (int, error) {
	own, err := askFile(x.g, x.name, 1, func() ([]byte, error) {
		own := make([]byte, len(b))
		n, err := x.f.ReadAt(own, at)
		return own[:n], err
	})
	return copy(b, own), err
}

func (x *gated) Size() (int64, error) { return askFile(x.g, x.name, 1, x.f.Size) }

func (x *gated) Close() error { return try(x.g, 1, x.f.Close) }

// errEnded turns the end of a context into a text.
func errEnded(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("interrupted; it goes on from there next time: %w", ctx.Err())
}

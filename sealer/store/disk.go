package store

import (
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
type Stat struct{ Capacity, Available int64 }

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
	return Stat{Capacity: int64(st.Blocks) * int64(st.Bsize), Available: int64(st.Bavail) * int64(st.Bsize)}, nil
}

// ErrSlow is returned for what a disk did not answer in time.
var ErrSlow = errors.New("the disk does not answer")

// maxHung is how many operations may hang in one path before the others are
// refused at once instead of waiting one after another.
const maxHung = 4

// writePatience is how much longer than a read a write may take: what is synced
// may have to wait for much else.
const writePatience = 10

// gate is the way to one path's disk. An operation that hangs is left behind;
// whoever asked is told after the limit, and when several hang the whole path
// counts as hanging until one of them returns.
type gate struct {
	path  string
	clk   clock.Clock
	limit time.Duration

	mu    sync.Mutex // guards what follows
	hung  int
	since time.Time
}

func (g *gate) shut() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hung < maxHung {
		return nil
	}
	return fmt.Errorf("%s: %w since %s (%d operations hang)", g.path, ErrSlow, g.since.UTC().Format(time.RFC3339), g.hung)
}

// late counts an operation that hangs, or that came back after all.
func (g *gate) late(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hung == 0 {
		g.since = g.clk.Now().Add(-g.limit)
	}
	g.hung += n
}

// ask runs f, which must not touch anything of the caller's after it was given up.
func ask[T any](g *gate, patience int, f func() (T, error)) (T, error) {
	var none T
	if err := g.shut(); err != nil {
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
				g.late(-1)
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
		return a.v, a.err
	case <-t.C():
	}
	g.late(1)
	if ended.Swap(true) { // it came back at the last moment
		g.late(-1)
		a := <-done
		return a.v, a.err
	}
	return none, fmt.Errorf("%s: %w within %s", g.path, ErrSlow, limit)
}

// try is ask for what returns nothing.
func try(g *gate, patience int, f func() error) error {
	_, err := ask(g, patience, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// gated is a file behind its path's gate.
type gated struct {
	f File
	g *gate
}

func (x *gated) ReadAt(b []byte, at int64) (int, error) {
	own, err := ask(x.g, 1, func() ([]byte, error) {
		own := make([]byte, len(b))
		n, err := x.f.ReadAt(own, at)
		return own[:n], err
	})
	return copy(b, own), err
}

func (x *gated) Size() (int64, error) { return ask(x.g, 1, x.f.Size) }
func (x *gated) Close() error         { return try(x.g, 1, x.f.Close) }

// errEnded turns the end of a context into a text.
func errEnded(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("interrupted; it goes on from there next time: %w", ctx.Err())
}

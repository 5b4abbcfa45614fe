package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// workFolder is the folder of a local path in which sealing tasks work, one
// folder for each attempt, named s-t0MINER-NUMBER.KIND-ATTEMPT.LEASE.
const workFolder = "work"

// Endings of the hidden names that the store gives: what is being copied, and
// what is being deleted.
const (
	moving = ".moving"
	gone   = ".gone"
)

// hidden is a name that only the store gives.
var hidden = regexp.MustCompile(`^\.(s-[tf]0\d{1,19}-\d{1,19})\.(moving|gone)$`)

// attempt is a folder of a sealing task.
var attempt = regexp.MustCompile(`^(s-[tf]0\d{1,19}-\d{1,19})\.[A-Z0-9]+-\d+\.\d+$`)

// local is a path on a file system of this machine, shared or not.
type local struct {
	dir   string
	disk  Disk
	gate  *gate
	chunk int64
}

func (l *local) place(d Decl) string { return filesIn(l.dir, d.Sector).of(d.Type) }

// beside is a hidden name beside a file's own.
func (l *local) beside(d Decl, ending string) string {
	p := l.place(d)
	return filepath.Join(filepath.Dir(p), "."+filepath.Base(p)+ending)
}

func (l *local) meta() (Meta, error) {
	b, err := ask(l.gate, 1, func() ([]byte, error) {
		f, err := l.disk.Open(filepath.Join(l.dir, MetaFile))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		n, err := f.Size()
		if err != nil {
			return nil, err
		}
		return io.ReadAll(io.NewSectionReader(f, 0, min(n, maxMeta)))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return Meta{}, fmt.Errorf("%s is not a storage path (no %s): attach it with --init if it is new, mount its disk if it is not: %w", l.dir, MetaFile, err)
	}
	if err != nil {
		return Meta{}, fmt.Errorf("read storage path %s: %w", l.dir, err)
	}
	return parseMeta(l.dir, b)
}

// maxMeta bounds sectorstore.json.
const maxMeta = 1 << 16

func parseMeta(where string, b []byte) (Meta, error) {
	var m Meta
	err := json.Unmarshal(b, &m)
	if err == nil && m.ID == "" {
		err = errors.New("it holds no ID")
	}
	if err != nil {
		return Meta{}, fmt.Errorf("storage path %s has a damaged %s: %w", where, MetaFile, err)
	}
	return m, nil
}

func (l *local) list() (found, error) {
	return ask(l.gate, writePatience, func() (found, error) {
		var out found
		for _, t := range FileTypes() {
			entries, err := l.disk.List(filepath.Join(l.dir, t.String()))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return out, fmt.Errorf("list %s files: %w", t, err)
			}
			for _, e := range entries {
				name := filepath.Join(l.dir, t.String(), e.Name())
				if m := hidden.FindStringSubmatch(e.Name()); m != nil {
					if id, err := ParseSectorName(m[1]); err == nil {
						out.left = append(out.left, leftover{Decl: Decl{id, t}, name: name, ending: "." + m[2]})
						continue
					}
				}
				id, err := ParseSectorName(e.Name())
				if err == nil && (e.IsDir() == t.folder() || e.Type()&fs.ModeSymlink != 0) {
					out.decls = append(out.decls, Decl{id, t})
				} else {
					out.stray = append(out.stray, name)
				}
			}
		}
		return out, l.attempts(&out)
	})
}

// attempts adds the folders of sealing tasks.
func (l *local) attempts(out *found) error {
	entries, err := l.disk.List(filepath.Join(l.dir, workFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list folders of tasks: %w", err)
	}
	for _, e := range entries {
		name := filepath.Join(l.dir, workFolder, e.Name())
		m := attempt.FindStringSubmatch(e.Name())
		if m == nil || !e.IsDir() {
			out.stray = append(out.stray, name)
			continue
		}
		id, err := ParseSectorName(m[1])
		if err != nil {
			out.stray = append(out.stray, name)
			continue
		}
		out.left = append(out.left, leftover{Decl: Decl{Sector: id}, name: name})
	}
	return nil
}

func (l *local) files(d Decl) ([]piece, error) {
	return ask(l.gate, 1, func() ([]piece, error) {
		if !d.Type.folder() {
			n, err := l.size(l.place(d))
			return []piece{{size: n}}, err
		}
		entries, err := l.disk.List(l.place(d))
		if err != nil {
			return nil, err
		}
		var out []piece
		for _, e := range entries {
			if e.IsDir() {
				return nil, fmt.Errorf("%s is a folder, which no cache has", filepath.Join(l.place(d), e.Name()))
			}
			n, err := l.size(filepath.Join(l.place(d), e.Name()))
			if err != nil {
				return nil, err
			}
			out = append(out, piece{name: e.Name(), size: n})
		}
		return out, nil
	})
}

func (l *local) size(name string) (int64, error) {
	f, err := l.disk.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Size()
}

func (l *local) open(d Decl, name string) (File, error) {
	name = filepath.Join(l.place(d), name)
	f, err := askFile(l.gate, name, 1, func() (File, error) { return l.disk.Open(name) })
	if err != nil {
		return nil, err
	}
	return &gated{f: f, g: l.gate, name: name}, nil
}

// has tells whether a file lies under its own name: whole, then.
func (l *local) has(d Decl) (bool, error) {
	return ask(l.gate, 1, func() (bool, error) {
		_, err := os.Lstat(l.place(d))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	})
}

// take brings a file here. On one file system that is a rename.
func (l *local) take(ctx context.Context, d Decl, from volume, said func(int64)) error {
	if have, err := l.has(d); err != nil {
		return err
	} else if have { // an earlier try got this far, or it is another's
		return same(ctx, d, from, l, l.chunk)
	}
	if err := l.folder(d.Type); err != nil {
		return err
	}
	if near, ok := from.(*local); ok {
		if done, err := l.rename(near, d, said); done || err != nil {
			return err
		}
	}
	if err := l.copy(ctx, d, from, said); err != nil {
		return err
	}
	if err := fault.Point("store/rename"); err != nil {
		return err
	}
	return try(l.gate, writePatience, func() error {
		if err := l.disk.Rename(l.beside(d, moving), l.place(d)); err != nil {
			return fmt.Errorf("name the copy: %w", err)
		}
		return fsutil.SyncDir(filepath.Dir(l.place(d)))
	})
}

// folder makes the folder of a kind of files, never the path itself: where a disk
// is not mounted, nothing must be written to the disk below.
func (l *local) folder(t FileType) error {
	if _, err := l.meta(); err != nil {
		return err
	}
	return try(l.gate, writePatience, func() error {
		err := os.Mkdir(filepath.Join(l.dir, t.String()), 0o755)
		if err == nil {
			return fsutil.SyncDir(l.dir)
		}
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return fmt.Errorf("make folder for %s files: %w", t, err)
	})
}

// rename moves a file within one file system; it tells false for two.
func (l *local) rename(from *local, d Decl, said func(int64)) (bool, error) {
	list, err := from.files(d)
	if err != nil {
		return false, err
	}
	if err := fault.Point("store/rename"); err != nil {
		return false, err
	}
	err = try(l.gate, writePatience, func() error {
		if err := l.disk.Rename(from.place(d), l.place(d)); err != nil {
			return err
		}
		if err := fsutil.SyncDir(filepath.Dir(l.place(d))); err != nil {
			return err
		}
		return fsutil.SyncDir(filepath.Dir(from.place(d)))
	})
	if errors.Is(err, syscall.EXDEV) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("move within the file system: %w", err)
	}
	for _, p := range list {
		said(p.size)
	}
	return true, nil
}

// copy fills the hidden copy of a file, going on where an earlier try ended.
func (l *local) copy(ctx context.Context, d Decl, from volume, said func(int64)) error {
	list, err := from.files(d)
	if err != nil {
		return fmt.Errorf("look at the source: %w", err)
	}
	tmp := l.beside(d, moving)
	if d.Type.folder() {
		err = try(l.gate, writePatience, func() error { return os.MkdirAll(tmp, 0o755) })
		if err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	for _, p := range list {
		in, err := from.open(d, p.name)
		if err != nil {
			return fmt.Errorf("open the source: %w", err)
		}
		err = l.copyFile(ctx, in, p, filepath.Join(tmp, p.name), said)
		if cerr := in.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", filepath.Base(filepath.Join(l.place(d), p.name)), err)
		}
	}
	if !d.Type.folder() {
		return nil
	}
	return try(l.gate, writePatience, func() error { return fsutil.SyncDir(tmp) })
}

// copyFile copies chunk by chunk: each is synced, read back and compared. What an
// earlier try left is compared with the source, which may have been made anew
// since, and kept as far as it is the same.
func (l *local) copyFile(ctx context.Context, in File, p piece, name string, said func(int64)) error {
	out, err := ask(l.gate, writePatience, func() (Writable, error) { return l.disk.Create(name) })
	if err != nil {
		return fmt.Errorf("open the copy: %w", err)
	}
	defer func() { _ = try(l.gate, 1, out.Close) }() // what counts is synced
	same, whole := true, sha256.New()
	for at := int64(0); at < p.size; at += l.chunk {
		if err := errEnded(ctx); err != nil {
			return err
		}
		if far, ok := in.(summed); ok && same {
			if have, err := l.holds(out, far, at, min(l.chunk, p.size-at)); err != nil {
				return err
			} else if have {
				said(min(l.chunk, p.size-at))
				continue
			}
		}
		part := make([]byte, min(l.chunk, p.size-at)) // a write that hangs keeps it
		if n, err := in.ReadAt(part, at); n < len(part) {
			return fmt.Errorf("read the source at %d: %w", at, err)
		}
		whole.Write(part)
		same, err = ask(l.gate, writePatience, func() (bool, error) {
			if same {
				if have, err := reads(out, part, at); have || err != nil {
					return have, err
				}
			}
			return false, write(out, part, at)
		})
		if err != nil {
			return err
		}
		said(int64(len(part)))
		if err := fault.Point("store/chunk"); err != nil {
			return err
		}
	}
	if p.sum != "" && hex.EncodeToString(whole.Sum(nil)) != p.sum {
		return fmt.Errorf("the source has not the checksum that it was stored with: %w", ErrCorrupt)
	}
	return try(l.gate, writePatience, func() error {
		if err := out.Truncate(p.size); err != nil {
			return fmt.Errorf("cut the copy to size: %w", err)
		}
		return out.Sync()
	})
}

// summed is a file that tells checksums of its parts cheaper than their bytes.
type summed interface {
	Sum(at, n int64) ([]byte, error)
}

// holds tells whether an earlier try left a part that need not come again.
func (l *local) holds(f Writable, far summed, at, n int64) (bool, error) {
	sum, err := ask(l.gate, writePatience, func() ([]byte, error) {
		part := make([]byte, n)
		if k, err := f.ReadAt(part, at); int64(k) < n {
			if err == nil || errors.Is(err, io.EOF) {
				return nil, nil
			}
			return nil, fmt.Errorf("read the copy back: %w", err)
		}
		sum := sha256.Sum256(part)
		return sum[:], nil
	})
	if sum == nil || err != nil {
		return false, err
	}
	want, err := far.Sum(at, n)
	if err != nil {
		return false, fmt.Errorf("read the source at %d: %w", at, err)
	}
	return bytes.Equal(sum, want), nil
}

// reads tells whether a file has the given bytes at an offset.
func reads(f Writable, want []byte, at int64) (bool, error) {
	have := make([]byte, len(want))
	n, err := f.ReadAt(have, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the copy back: %w", err)
	}
	return n == len(want) && bytes.Equal(have, want), nil
}

func write(f Writable, part []byte, at int64) error {
	if _, err := f.WriteAt(part, at); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	same, err := reads(f, part, at)
	if err == nil && !same {
		err = fmt.Errorf("at offset %d: %w", at, ErrCorrupt)
	}
	return err
}

// ErrCorrupt is returned when a copy does not read as what was written.
var ErrCorrupt = errors.New("the copy reads differently from what was written: the disk or the network corrupts data")

// drop deletes a file: first its name goes, then what was under it, so that no
// half of a folder ever stands under the sector's name.
func (l *local) drop(d Decl) error {
	return try(l.gate, writePatience, func() error {
		left := l.beside(d, gone)
		if err := l.disk.RemoveAll(left); err != nil {
			return fmt.Errorf("remove what an earlier deletion left: %w", err)
		}
		err := l.disk.Rename(l.place(d), left)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("take the name away: %w", err)
		}
		if err := fsutil.SyncDir(filepath.Dir(left)); err != nil {
			return err
		}
		if err := fault.Point("store/drop"); err != nil {
			return err
		}
		if err := l.disk.RemoveAll(left); err != nil {
			return fmt.Errorf("remove %s: %w", left, err)
		}
		return nil
	})
}

// clear deletes something with a hidden name, or a task's folder.
func (l *local) clear(x leftover) error {
	return try(l.gate, writePatience, func() error { return l.disk.RemoveAll(x.name) })
}

func (l *local) measure() (Stat, error) {
	st, err := ask(l.gate, 1, func() (Stat, error) { return l.disk.Measure(l.dir) })
	if err != nil {
		return st, fmt.Errorf("measure storage path %s: %w", l.dir, err)
	}
	return st, nil
}

// sizeOf is what a sector takes here already, in whatever state: files under its
// name, hidden ones, folders of tasks; a file with several names counts once.
// With no id it is what all sectors take.
func (l *local) sizeOf(id *abi.SectorID) (int64, error) {
	return ask(l.gate, writePatience, func() (int64, error) {
		total, seen := int64(0), map[[2]uint64]bool{}
		names, err := l.namesOf(id)
		for _, name := range names {
			_ = filepath.WalkDir(name, func(_ string, e fs.DirEntry, err error) error { // what vanishes meanwhile takes nothing
				if err != nil || e.IsDir() {
					return nil
				}
				info, err := e.Info()
				if err != nil {
					return nil
				}
				st, ok := info.Sys().(*syscall.Stat_t)
				if !ok {
					total += info.Size()
					return nil
				}
				if key := [2]uint64{uint64(st.Dev), st.Ino}; !seen[key] {
					seen[key] = true
					total += st.Blocks * blockSize
				}
				return nil
			})
		}
		return total, err
	})
}

// blockSize is the unit of Stat_t.Blocks.
const blockSize = 512

func (l *local) namesOf(id *abi.SectorID) (names []string, err error) {
	ours := func(name string) bool { return true }
	if id != nil {
		ours = func(name string) bool { return strings.HasPrefix(name, SectorName(*id)+".") }
		for _, t := range FileTypes() {
			d := Decl{*id, t}
			names = append(names, l.place(d), l.beside(d, moving), l.beside(d, gone))
		}
	}
	folders := []string{workFolder}
	if id == nil {
		folders = append(folders, dataFolder)
		for _, t := range FileTypes() {
			folders = append(folders, t.String())
		}
	}
	for _, folder := range folders {
		entries, err := l.disk.List(filepath.Join(l.dir, folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if ours(e.Name()) {
				names = append(names, filepath.Join(l.dir, folder, e.Name()))
			}
		}
	}
	return names, nil
}

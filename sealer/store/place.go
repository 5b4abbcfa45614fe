package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// sealingTenths is the space a sector takes while it is sealed, in tenths of its
// size: unsealed 10, sealed 10, cache 141 (sealer-miner.md 4.1).
const sealingTenths = 161

// watermark is the part of a path, in percent, that sealing may fill.
const watermark = 95

// Place returns where a sector is sealed: the path that holds files of it, else
// the sealing path with the most weighted space. The choice is durable, because
// the sector's cache folder is made in it.
func (s *Store) Place(id abi.SectorID, size abi.SectorSize) (Files, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range []FileType{Cache, Unsealed, Sealed} {
		for pid := range s.index[Decl{id, t}] {
			return filesIn(s.paths[pid].Dir, id), nil
		}
	}
	p, err := s.best(int64(size)*sealingTenths/10, func(p Path) bool { return p.CanSeal })
	if err != nil {
		return Files{}, fmt.Errorf("seal sector %d: %w (attach one with storage attach --seal)", id.Number, err)
	}
	f := filesIn(p.Dir, id)
	for _, t := range FileTypes() {
		if err := os.MkdirAll(filepath.Dir(f.of(t)), 0o755); err != nil {
			return Files{}, fmt.Errorf("make folder of sector %d: %w", id.Number, err)
		}
	}
	if err := os.Mkdir(f.Cache, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return Files{}, fmt.Errorf("make cache of sector %d: %w", id.Number, err)
	}
	if err := fsutil.SyncDir(filepath.Dir(f.Cache)); err != nil {
		return Files{}, err
	}
	s.declare(Decl{id, Cache}, p.ID)
	return f, nil
}

// best is the usable path with the most weighted space left.
func (s *Store) best(need int64, ok func(Path) bool) (Path, error) {
	type candidate struct {
		p     Path
		score float64
	}
	var (
		list []candidate
		errs []error
	)
	for _, p := range s.paths {
		if !ok(p) || p.Weight == 0 {
			continue
		}
		st, err := p.Measure()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		left := st.Available - st.Capacity*(100-watermark)/100
		if left < need {
			errs = append(errs, fmt.Errorf("%s has %d bytes left of which %d are reserved, needed %d", p.Dir, st.Available, st.Capacity*(100-watermark)/100, need))
			continue
		}
		list = append(list, candidate{p, float64(left) * float64(p.Weight)})
	}
	if len(list) == 0 {
		return Path{}, errors.Join(append([]error{ErrNoSpace}, errs...)...)
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].score != list[j].score {
			return list[i].score > list[j].score
		}
		return list[i].p.Dir < list[j].p.Dir
	})
	return list[0].p, nil
}

// Declare records that the files which exist at a sector's sealing place are there.
func (s *Store) Declare(id abi.SectorID, f Files) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for pid, p := range s.paths {
		for _, t := range FileTypes() {
			if f.of(t) != filesIn(p.Dir, id).of(t) {
				continue
			}
			if _, err := os.Lstat(f.of(t)); err == nil {
				s.declare(Decl{id, t}, pid)
			}
		}
	}
}

// Rest moves the sealed file and the cache of a sector to a path for storing,
// unless they lie in one. It may be repeated after a crash at any point.
func (s *Store) Rest(id abi.SectorID, size abi.SectorSize) error {
	for _, t := range []FileType{Sealed, Cache} {
		if err := s.rest(id, size, t); err != nil {
			return fmt.Errorf("move %s of sector %d to its storage path: %w", t, id.Number, err)
		}
	}
	return nil
}

func (s *Store) rest(id abi.SectorID, size abi.SectorSize, t FileType) error {
	s.mu.Lock()
	var from Path
	rested, held := false, 0
	for pid := range s.index[Decl{id, t}] {
		held++
		if s.paths[pid].CanStore {
			rested = true
		} else {
			from = s.paths[pid]
		}
	}
	if rested {
		s.mu.Unlock()
		if held == 1 {
			return nil
		}
		return s.dropSource(id, t, from) // an earlier move was cut short before its last step
	}
	if from.ID == "" {
		s.mu.Unlock()
		return ErrAbsent
	}
	to, err := s.best(int64(size)*12/10, func(p Path) bool { return p.CanStore })
	s.mu.Unlock()
	if err != nil {
		return err
	}
	src, dst := filesIn(from.Dir, id).of(t), filesIn(to.Dir, id).of(t)
	if err := move(src, dst); err != nil {
		return err
	}
	if err := fault.Point("store/index"); err != nil {
		return err
	}
	s.mu.Lock()
	s.declare(Decl{id, t}, to.ID)
	s.mu.Unlock()
	return s.dropSource(id, t, from)
}

// dropSource removes what was moved. It goes last: readers that opened it keep
// it until they are done.
func (s *Store) dropSource(id abi.SectorID, t FileType, from Path) error {
	s.mu.Lock()
	delete(s.index[Decl{id, t}], from.ID)
	s.mu.Unlock()
	if err := os.RemoveAll(filesIn(from.Dir, id).of(t)); err != nil {
		return fmt.Errorf("remove the moved source: %w", err)
	}
	return nil
}

// DropUnsealed removes the unsealed copy of a sector whose data is all zeros.
func (s *Store) DropUnsealed(id abi.SectorID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := Decl{id, Unsealed}
	for pid := range s.index[d] {
		if err := os.Remove(filesIn(s.paths[pid].Dir, id).Unsealed); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("drop unsealed copy of sector %d: %w", id.Number, err)
		}
	}
	delete(s.index, d)
	return nil
}

// Remove deletes all files of a sector on the attached paths. It may be repeated
// after a crash at any point.
func (s *Store) Remove(id abi.SectorID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.paths {
		for _, t := range FileTypes() {
			if err := os.RemoveAll(filesIn(p.Dir, id).of(t)); err != nil {
				return fmt.Errorf("remove %s of sector %d: %w", t, id.Number, err)
			}
			delete(s.index[Decl{id, t}], p.ID)
		}
	}
	return nil
}

// move copies src to a temporary name beside dst, syncs and renames it. The
// source stays; on one file system a hard link saves the copy of files.
func move(src, dst string) error {
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if _, err := os.Lstat(dst); err == nil {
		return nil // an earlier try got this far: a name is only given to what is whole
	}
	tmp := filepath.Join(filepath.Dir(dst), "."+filepath.Base(dst)+".moving")
	if err := os.RemoveAll(tmp); err != nil {
		return fmt.Errorf("clear an earlier try: %w", err)
	}
	info, err := os.Stat(src)
	if err != nil {
		return fmt.Errorf("look at source: %w", err)
	}
	if info.IsDir() {
		err = copyFolder(src, tmp)
	} else {
		err = copyFile(src, tmp)
	}
	if err != nil {
		return err
	}
	if err := fault.Point("store/rename"); err != nil {
		return err
	}
	if err := os.Rename(tmp, dst); err != nil {
		return fmt.Errorf("name the copy: %w", err)
	}
	return fsutil.SyncDir(filepath.Dir(dst))
}

func copyFolder(src, dst string) error {
	if err := os.Mkdir(dst, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	entries, err := os.ReadDir(src)
	if err != nil {
		return fmt.Errorf("list folder: %w", err)
	}
	for _, e := range entries {
		from, to := filepath.Join(src, e.Name()), filepath.Join(dst, e.Name())
		if e.IsDir() {
			err = copyFolder(from, to)
		} else {
			err = copyFile(from, to)
		}
		if err != nil {
			return err
		}
	}
	return fsutil.SyncDir(dst)
}

func copyFile(src, dst string) error {
	if os.Link(src, dst) == nil {
		return nil
	}
	in, err := os.Open(src)
	if err != nil {
		return fmt.Errorf("open source: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("open copy: %w", err)
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", filepath.Base(src), err)
	}
	return nil
}

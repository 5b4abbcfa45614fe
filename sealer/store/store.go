package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"sync"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/filecoin-venus/venus/internal/fsutil"
)

// FileName is the usual name of the list of paths.
const FileName = "storage.json"

// MetaFile is the file in a path that makes it one.
const MetaFile = "sectorstore.json"

// DefaultWeight is what a path counts for when none was said.
const DefaultWeight = 10

// ErrNoSpace is returned when no path can take a sector.
var ErrNoSpace = errors.New("no storage path can take the sector")

// ErrAbsent is returned for a file that no path has.
var ErrAbsent = errors.New("no storage path has the file")

// Meta are the settings of a path, the content of sectorstore.json.
type Meta struct {
	ID       string
	Weight   uint64
	CanSeal  bool
	CanStore bool
}

// Path is an attached path.
type Path struct {
	Meta
	Dir string
}

// Stat measures a path, in bytes.
type Stat struct{ Capacity, Available int64 }

// Decl is a file of a sector in a path.
type Decl struct {
	Sector abi.SectorID
	Type   FileType
}

// Spec describes a folder to attach. With Init it is made a path first.
type Spec struct {
	Dir               string
	Init              bool
	CanSeal, CanStore bool
	Weight            uint64
}

// Store is the set of attached paths.
type Store struct {
	file string // storage.json

	mu    sync.RWMutex // guards what follows
	paths map[string]Path
	index map[Decl]map[string]bool
	stray []string
}

// storageJSON is the content of storage.json.
type storageJSON struct {
	StoragePaths []struct{ Path string }
}

// Open reads storage.json (absent: no paths yet) and indexes every path. A path
// that cannot be read is left out and told in Problems; the others serve.
func Open(file string) (*Store, error) {
	s := &Store{file: file, paths: map[string]Path{}, index: map[Decl]map[string]bool{}}
	cfg, err := readStorage(file)
	if err != nil {
		return nil, err
	}
	for _, p := range cfg.StoragePaths {
		if err := s.load(p.Path); err != nil {
			s.stray = append(s.stray, err.Error())
		}
	}
	return s, nil
}

func readStorage(file string) (storageJSON, error) {
	var cfg storageJSON
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return cfg, nil
	}
	if err != nil {
		return cfg, fmt.Errorf("read list of storage paths: %w", err)
	}
	if err := json.Unmarshal(b, &cfg); err != nil {
		return cfg, fmt.Errorf("read list of storage paths %s: %w", file, err)
	}
	return cfg, nil
}

func writeStorage(file string, cfg storageJSON) error {
	b, err := json.MarshalIndent(cfg, "", "  ")
	if err != nil {
		return fmt.Errorf("encode list of storage paths: %w", err)
	}
	return fsutil.WriteFileAtomic(file, append(b, '\n'), 0o644)
}

// Init makes a folder a path: the folders, then sectorstore.json.
func Init(spec Spec) (Meta, error) {
	if !spec.CanSeal && !spec.CanStore {
		return Meta{}, errors.New("a path must be for sealing (--seal), storing (--store) or both")
	}
	file := filepath.Join(spec.Dir, MetaFile)
	if _, err := os.Stat(file); err == nil {
		return Meta{}, fmt.Errorf("%s is a storage path already; attach it without --init", spec.Dir)
	}
	for _, t := range FileTypes() {
		if err := os.MkdirAll(filepath.Join(spec.Dir, t.String()), 0o755); err != nil {
			return Meta{}, fmt.Errorf("make storage path: %w", err)
		}
	}
	m := Meta{ID: uuid.NewString(), Weight: spec.Weight, CanSeal: spec.CanSeal, CanStore: spec.CanStore}
	if m.Weight == 0 {
		m.Weight = DefaultWeight
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return Meta{}, fmt.Errorf("encode storage path: %w", err)
	}
	if err := fsutil.WriteFileAtomic(file, append(b, '\n'), 0o644); err != nil {
		return Meta{}, err
	}
	return m, nil
}

// Attach adds a path, durably, and indexes it. Attaching an attached path again
// changes nothing.
func (s *Store) Attach(spec Spec) (Path, error) {
	if !filepath.IsAbs(spec.Dir) {
		return Path{}, fmt.Errorf("storage path %s: give the absolute path", spec.Dir)
	}
	spec.Dir = filepath.Clean(spec.Dir)
	if spec.Init {
		if _, err := Init(spec); err != nil {
			return Path{}, err
		}
	}
	if err := s.load(spec.Dir); err != nil {
		return Path{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg, err := readStorage(s.file)
	if err != nil {
		return Path{}, err
	}
	known := false
	for _, p := range cfg.StoragePaths {
		known = known || filepath.Clean(p.Path) == spec.Dir
	}
	if !known {
		cfg.StoragePaths = append(cfg.StoragePaths, struct{ Path string }{spec.Dir})
		if err := writeStorage(s.file, cfg); err != nil {
			return Path{}, err
		}
	}
	for _, p := range s.paths {
		if p.Dir == spec.Dir {
			return p, nil
		}
	}
	return Path{}, fmt.Errorf("storage path %s vanished while it was attached", spec.Dir)
}

// Detach forgets a path and deletes nothing.
func (s *Store) Detach(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.paths[id]
	if !ok {
		return fmt.Errorf("storage path %s is not attached", id)
	}
	cfg, err := readStorage(s.file)
	if err != nil {
		return err
	}
	kept := cfg.StoragePaths[:0]
	for _, q := range cfg.StoragePaths {
		if filepath.Clean(q.Path) != p.Dir {
			kept = append(kept, q)
		}
	}
	cfg.StoragePaths = kept
	if err := writeStorage(s.file, cfg); err != nil {
		return err
	}
	delete(s.paths, id)
	for _, in := range s.index {
		delete(in, id)
	}
	return nil
}

// load reads a path's settings and what it holds.
func (s *Store) load(dir string) error {
	dir = filepath.Clean(dir)
	b, err := os.ReadFile(filepath.Join(dir, MetaFile))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is not a storage path (no %s); attach it with --init", dir, MetaFile)
		}
		return fmt.Errorf("read storage path %s: %w", dir, err)
	}
	var m Meta
	if err := json.Unmarshal(b, &m); err != nil || m.ID == "" {
		return fmt.Errorf("storage path %s has a damaged %s: %w", dir, MetaFile, errors.Join(err, emptyID(m)))
	}
	decls, stray, err := scan(dir)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.paths[m.ID]; ok && old.Dir != dir {
		return fmt.Errorf("storage paths %s and %s carry the same id %s: one is a copy of the other", old.Dir, dir, m.ID)
	}
	s.paths[m.ID] = Path{Meta: m, Dir: dir}
	for _, d := range decls {
		s.declare(d, m.ID)
	}
	s.stray = append(s.stray, stray...)
	return nil
}

func emptyID(m Meta) error {
	if m.ID == "" {
		return errors.New("it holds no ID")
	}
	return nil
}

// scan lists what a path holds; names that are no sector's are returned apart.
func scan(dir string) (decls []Decl, stray []string, err error) {
	for _, t := range FileTypes() {
		entries, err := os.ReadDir(filepath.Join(dir, t.String()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("list %s files: %w", t, err)
		}
		for _, e := range entries {
			id, err := ParseSectorName(e.Name())
			switch {
			case err == nil && e.IsDir() == (t == Cache) || err == nil && e.Type()&fs.ModeSymlink != 0:
				decls = append(decls, Decl{id, t})
			default:
				stray = append(stray, filepath.Join(dir, t.String(), e.Name()))
			}
		}
	}
	return decls, stray, nil
}

func (s *Store) declare(d Decl, id string) {
	if s.index[d] == nil {
		s.index[d] = map[string]bool{}
	}
	s.index[d][id] = true
}

// Problems lists what was found and could not be used: stray names, unreadable paths.
func (s *Store) Problems() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return append([]string(nil), s.stray...)
}

// Paths lists the attached paths by folder.
func (s *Store) Paths() []Path {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Path, 0, len(s.paths))
	for _, p := range s.paths {
		out = append(out, p)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Dir < out[j].Dir })
	return out
}

// Holds lists which files a path holds.
func (s *Store) Holds(id string) []Decl {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Decl
	for d, in := range s.index {
		if in[id] {
			out = append(out, d)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Sector.Number != out[j].Sector.Number {
			return out[i].Sector.Number < out[j].Sector.Number
		}
		return out[i].Type < out[j].Type
	})
	return out
}

// Measure asks the file system about a path.
func (p Path) Measure() (Stat, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(p.Dir, &st); err != nil {
		return Stat{}, fmt.Errorf("measure storage path %s: %w", p.Dir, err)
	}
	return Stat{Capacity: int64(st.Blocks) * int64(st.Bsize), Available: int64(st.Bavail) * int64(st.Bsize)}, nil
}

// Find returns the files of a sector that exist; each may lie in another path.
// A wanted file that no path has is ErrAbsent.
func (s *Store) Find(id abi.SectorID, want ...FileType) (Files, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out Files
	for _, t := range FileTypes() {
		stored := false
		for pid := range s.index[Decl{id, t}] {
			if stored {
				continue
			}
			// An interrupted move leaves two whole copies: the one at rest counts.
			stored = s.paths[pid].CanStore
			place := filesIn(s.paths[pid].Dir, id).of(t)
			switch t {
			case Unsealed:
				out.Unsealed = place
			case Sealed:
				out.Sealed = place
			case Cache:
				out.Cache = place
			}
		}
	}
	for _, t := range want {
		if out.of(t) == "" {
			return out, fmt.Errorf("%s of sector %d: %w", t, id.Number, ErrAbsent)
		}
	}
	return out, nil
}

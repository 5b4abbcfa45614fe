package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/google/uuid"

	"github.com/filecoin-venus/venus/internal/fsutil"
)

// FileName is the usual name of the list of paths.
const FileName = "storage.json"

// MetaFile is the file in a path that makes it one.
const MetaFile = "sectorstore.json"

// DefaultWeight is what a path counts for when none was said.
const DefaultWeight = 10

// Meta are the settings of a path, the content of sectorstore.json.
type Meta struct {
	ID       string
	Weight   uint64
	CanSeal  bool
	CanStore bool
	// MaxStorage is how many bytes sector files may take, 0 = what there is.
	MaxStorage uint64 `json:",omitempty"`
}

// Path is an attached path.
type Path struct {
	Meta
	// Dir is the folder, or the URL of a bucket.
	Dir string
	// Away tells why the path is not served at present; "" when it is.
	Away string
}

// Spec describes a folder or bucket to attach. With Init it is made a path first.
type Spec struct {
	Dir               string
	Init              bool
	CanSeal, CanStore bool
	Weight            uint64
	MaxStorage        uint64
	S3                S3
}

// entry is a path in storage.json.
type entry struct {
	Path string
	S3   *S3 `json:",omitempty"`
}

// storageJSON is the content of storage.json. Detached are workers' own paths that an operator detached: their workers go on
// offering them.
type storageJSON struct {
	StoragePaths []entry
	Detached     []string `json:",omitempty"`
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
	for i := range cfg.StoragePaths {
		if e := &cfg.StoragePaths[i]; e.S3 == nil {
			e.Path = filepath.Clean(e.Path)
		}
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

// fresh makes the settings of a new path.
func (spec Spec) fresh() (Meta, error) {
	if !spec.CanSeal && !spec.CanStore {
		return Meta{}, errors.New("a path must be for sealing (--seal), storing (--store) or both")
	}
	m := Meta{ID: uuid.NewString(), Weight: spec.Weight, CanSeal: spec.CanSeal, CanStore: spec.CanStore, MaxStorage: spec.MaxStorage}
	if m.Weight == 0 {
		m.Weight = DefaultWeight
	}
	return m, nil
}

func (m Meta) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode storage path: %w", err)
	}
	return append(b, '\n'), nil
}

// Init makes a folder a path: the folders, then sectorstore.json.
func Init(spec Spec) (Meta, error) {
	m, err := spec.fresh()
	if err != nil {
		return m, err
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
	b, err := m.encode()
	if err != nil {
		return m, err
	}
	return m, fsutil.WriteFileAtomic(file, b, 0o644)
}

// piece is a file of a sector: with a name when the sector's entry is a folder.
type piece struct {
	name string
	size int64
	sum  string // SHA-256 in hex where the source knows it
}

// leftover is something that the store or a task made and that is not a sector's
// file: a copy or deletion cut short (ending), or a task's folder (ending "").
type leftover struct {
	Decl
	name, ending string
}

// found is what a path holds.
type found struct {
	decls []Decl
	stray []string
	left  []leftover
}

// volume is where a path's files lie. What it lists and opens is whole; take and
// drop may be repeated after a crash at any point, and take resumes.
type volume interface {
	source
	meta() (Meta, error)
	list() (found, error)
	take(ctx context.Context, d Decl, from volume, said func(bytes int64)) error
	drop(d Decl) error
	yard
}

// source is what files are read from.
type source interface {
	files(d Decl) ([]piece, error)
	open(d Decl, name string) (File, error)
}

// yard is the room of a path.
type yard interface {
	measure() (Stat, error)
	// sizeOf is what a sector takes; with nil, what all take.
	sizeOf(id *abi.SectorID) (int64, error)
	clear(x leftover) error
}

// held is a path with what it holds. Only away and what was measured change; a
// path that is read anew gets a new one.
type held struct {
	Path         // without Away
	away  string // guarded by Store.mu
	root  string // begins the names of its files
	vol   volume
	stray []string

	last   Stat      // at the last look; guarded by Store.mu
	used   int64     // what sectors took at usedAt; guarded by Store.mu
	usedAt time.Time // zero while it was never counted
}

// now is the path as others may see it; the caller has Store.mu.
func (h *held) now() Path {
	p := h.Path
	p.Away = h.away
	return p
}

func sortDecls(list []Decl) {
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.Sector != b.Sector {
			return a.Sector.Miner < b.Sector.Miner || a.Sector.Miner == b.Sector.Miner && a.Sector.Number < b.Sector.Number
		}
		return a.Type < b.Type
	})
}

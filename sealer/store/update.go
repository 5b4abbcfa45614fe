package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/internal/fsutil"
)

// updateTenths is the space that a sector takes while it takes data in, beside what it has at rest: unsealed 10,
// update 10, tree of the data 20, update-cache 2.
const updateTenths = 42

// PlaceUpdate returns the places of a sector that takes data in: all in the path where it rests, which must be a folder
// with room for it. What it will take is reserved from then on.
func (s *Store) PlaceUpdate(id abi.SectorID, size abi.SectorSize) (Files, error) {
	h, err := s.resting(id)
	if err != nil {
		return Files{}, err
	}
	vol := h.vol.(*local) // resting admits no other
	for _, t := range FileTypes() {
		if err := vol.folder(t); err != nil {
			return Files{}, fmt.Errorf("update sector %d: %w", id.Number, err)
		}
	}
	s.placing.Lock()
	defer s.placing.Unlock()
	need := int64(size) * updateTenths / 10
	s.mu.Lock()
	begun := s.reserved[h.ID][id] > 0 || len(s.index[Decl{id, UpdateCache}]) > 0
	s.mu.Unlock()
	if begun {
		err = s.writable(h)
	} else if _, err = s.room(h, id, need); err != nil {
		err = fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	if err != nil {
		return Files{}, fmt.Errorf("update sector %d: %w", id.Number, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserve(h.ID, id, need+int64(size)*restTenths/10)
	return filesIn(h.root, id), nil
}

// CanUpdate tells why a sector cannot take data in where it rests, nil if it can.
func (s *Store) CanUpdate(id abi.SectorID) error {
	_, err := s.resting(id)
	return err
}

// resting is the folder where both sealed file and cache of a sector lie.
func (s *Store) resting(id abi.SectorID) (*held, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var at *held
	for _, t := range []FileType{Sealed, Cache} {
		pid, ok := s.bestCopy(Decl{id, t})
		if !ok {
			return nil, fmt.Errorf("update sector %d: its %s: %w", id.Number, t, ErrAbsent)
		}
		h := s.paths[pid]
		if _, ok := h.vol.(*local); !ok {
			return nil, fmt.Errorf("update sector %d: its files lie in %s, where no replica can be made: move it to a folder first ('venus-sealer storage move')", id.Number, h.Dir)
		}
		if at != nil && at != h {
			return nil, fmt.Errorf("update sector %d: its files lie in two paths, %s and %s: move it to one first ('venus-sealer storage move')", id.Number, at.Dir, h.Dir)
		}
		at = h
	}
	return at, nil
}

// DropUpdate deletes what was made of an update, and the unsealed data.
func (s *Store) DropUpdate(id abi.SectorID) error {
	if err := s.dropAll(id, []FileType{UpdateCache, Update, Unsealed}); err != nil {
		return err
	}
	s.releaseAll(id)
	return nil
}

// DropKey deletes the sealed file and the cache that an updated sector was made from. Without the updated ones it does not.
func (s *Store) DropKey(id abi.SectorID) error {
	if _, err := s.Find(id, Update, UpdateCache); err != nil {
		return fmt.Errorf("delete the old replica: %w", err)
	}
	if err := s.dropAll(id, []FileType{Cache, Sealed}); err != nil {
		return err
	}
	s.releaseAll(id)
	return nil
}

// Release ends the reservation of room for a sector.
func (s *Store) Release(id abi.SectorID) { s.releaseAll(id) }

// dataFolder is the folder of a path in which data of deals waits for its sectors.
const dataFolder = "deals"

// PlaceData returns a folder for a file of data that waits for its sector: in the path for storing with the most
// weighted space. Nothing is reserved.
func (s *Store) PlaceData(bytes int64) (string, error) {
	s.placing.Lock()
	defer s.placing.Unlock()
	s.mu.RLock()
	var usable []*held
	for _, h := range s.paths {
		if _, ok := h.vol.(*local); ok && h.away == "" && h.Weight > 0 && h.CanStore {
			usable = append(usable, h)
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(usable, func(a, b *held) int {
		if a.Dir < b.Dir {
			return -1
		}
		return 1
	})
	var (
		best  *held
		score float64
		errs  = []error{ErrNoSpace}
	)
	for _, h := range usable {
		left, err := s.room(h, abi.SectorID{}, bytes)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if x := float64(left) * float64(h.Weight); best == nil || x > score {
			best, score = h, x
		}
	}
	if best == nil {
		return "", errors.Join(errs...)
	}
	vol := best.vol.(*local)
	if _, err := vol.meta(); err != nil {
		return "", err
	}
	dir := filepath.Join(best.Dir, dataFolder)
	return dir, try(vol.gate, writePatience, func() error {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make folder for the data of deals: %w", err)
		}
		return fsutil.SyncDir(best.Dir)
	})
}

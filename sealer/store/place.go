package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"

	"github.com/filecoin-project/go-state-types/abi"
)

// sealingTenths is the space a sector takes while it is sealed, in tenths of its
// size: unsealed 10, sealed 10, cache 141 (sealer-miner.md 4.1).
const sealingTenths = 161

// restTenths is the space that a finished sector takes: sealed 10, cache 2.
const restTenths = 12

// endless is what a path without limit counts for in the choice among paths.
const endless = int64(1) << 40

// Place returns where a sector is sealed: the path that holds files of it, else
// the sealing path with the most weighted space, of which what sealing takes is
// reserved from then on. The choice is durable, because the sector's cache folder
// is made in it. A path that is read-only refuses both.
func (s *Store) Place(id abi.SectorID, size abi.SectorSize) (Files, error) {
	need := int64(size) * sealingTenths / 10
	if h, err := s.placed(id); h != nil || err != nil {
		if err != nil {
			return Files{}, err
		}
		s.Reserve(id, size)
		return sealingFiles(h.root, id), s.writable(h)
	}
	return s.placeNew(id, need, "")
}

// PlaceAnew is Place for a sector that nobody works on: a path that was chosen, has
// no room any more and holds nothing but the empty cache folder is given up for
// another.
func (s *Store) PlaceAnew(id abi.SectorID, size abi.SectorSize) (Files, error) {
	need := int64(size) * sealingTenths / 10
	h, err := s.placed(id)
	if h == nil || err != nil || s.begun(h, id) {
		return s.Place(id, size)
	}
	if _, err := s.room(h, id, need); err == nil {
		return s.Place(id, size)
	}
	f, err := s.placeNew(id, need, h.ID)
	if err != nil {
		return s.Place(id, size)
	}
	s.unplace(h, id)
	return f, nil
}

// placeNew chooses a path for a sector, other than one, and makes its cache folder there.
func (s *Store) placeNew(id abi.SectorID, need int64, but string) (Files, error) {
	h, err := s.best(id, need, func(p Path) bool { return p.CanSeal && p.ID != but })
	if err != nil {
		return Files{}, fmt.Errorf("seal sector %d: %w (attach one with storage attach --seal)", id.Number, err)
	}
	f := sealingFiles(h.root, id)
	if err := h.vol.(bench).makeCache(f); err != nil { // buckets cannot seal
		s.release(h.ID, id)
		return Files{}, fmt.Errorf("make cache of sector %d: %w", id.Number, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.declare(Decl{id, Cache}, h.ID)
	return f, nil
}

// begun tells whether more than an empty cache folder lies in the path that a sector was given.
func (s *Store) begun(h *held, id abi.SectorID) bool {
	if _, ok := h.vol.(*local); !ok {
		return true // its worker knows
	}
	s.mu.RLock()
	more := len(s.index[Decl{id, Unsealed}])+len(s.index[Decl{id, Sealed}]) > 0 || len(s.index[Decl{id, Cache}]) > 1
	s.mu.RUnlock()
	if more {
		return true
	}
	list, err := h.vol.files(Decl{id, Cache})
	return err != nil || len(list) > 0
}

// unplace takes the empty cache folder of a sector away that was given another path.
func (s *Store) unplace(h *held, id abi.SectorID) {
	vol := h.vol.(*local) // not begun
	err := try(vol.gate, writePatience, func() error { return os.Remove(vol.place(Decl{id, Cache})) })
	if err != nil { // it holds something after all, or it stays empty
		log.Warnf("the cache folder of sector %d on %s stays: %v", id.Number, h.Dir, err)
		return
	}
	s.release(h.ID, id)
	s.forget(Decl{id, Cache}, h.ID)
}

// placed is the path for sealing that holds files of a sector, nil when none does.
func (s *Store) placed(id abi.SectorID) (*held, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range []FileType{Cache, Unsealed, Sealed} {
		d := Decl{id, t}
		if pid, ok := s.bestCopy(d); ok {
			if _, seals := s.paths[pid].vol.(bench); seals {
				return s.paths[pid], nil
			}
		}
		for pid := range s.index[d] {
			if p := s.paths[pid]; p.away != "" {
				return nil, fmt.Errorf("seal sector %d: its files lie in a path that is away: %s", id.Number, p.away)
			}
		}
	}
	return nil, nil
}

// Reserve counts the space that a sector under way will still take in the path
// that holds it. Place does it by itself; after a restart the owner of the
// sectors tells which are under way.
func (s *Store) Reserve(id abi.SectorID, size abi.SectorSize) {
	h, err := s.placed(id)
	if h == nil || err != nil {
		return // nowhere yet, or away: nothing can be written there
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.CanSeal {
		s.reserve(h.ID, id, int64(size)*sealingTenths/10)
	}
}

func (s *Store) reserve(pid string, id abi.SectorID, bytes int64) {
	if s.reserved[pid] == nil {
		s.reserved[pid] = map[abi.SectorID]int64{}
	}
	s.reserved[pid][id] = bytes
}

func (s *Store) release(pid string, id abi.SectorID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.reserved[pid], id)
}

// Reserved is what files in the making will still take of a path, in bytes.
func (s *Store) Reserved(id string) (int64, error) {
	h, _, err := s.held(id)
	if err != nil {
		return 0, err
	}
	return s.outstanding(h, abi.SectorID{})
}

// outstanding sums the reservations of a path but one sector's, each less what the
// sector takes already.
func (s *Store) outstanding(h *held, but abi.SectorID) (int64, error) {
	s.mu.RLock()
	list := map[abi.SectorID]int64{}
	for id, n := range s.reserved[h.ID] {
		if id != but {
			list[id] = n
		}
	}
	s.mu.RUnlock()
	total := int64(0)
	for id, n := range list {
		has, err := h.vol.sizeOf(&id)
		if err != nil {
			return 0, fmt.Errorf("measure files in the making on %s: %w", h.Dir, err)
		}
		total += max(0, n-has)
	}
	return total, nil
}

// Full tells why nothing new goes into a path, "" when there is room.
func (s *Store) Full(st Stat) string {
	switch used := st.used(); {
	case st.ReadOnly:
		return "its file system is mounted read-only"
	case used >= s.o.ReadOnlyAt:
		return fmt.Sprintf("it is %d %% full, read-only from %d %% on", used, s.o.ReadOnlyAt)
	case used >= s.o.StopAt:
		return fmt.Sprintf("it is %d %% full and takes no new files from %d %% on", used, s.o.StopAt)
	}
	return ""
}

// writable refuses a path that cannot be written, or is too full to be written at all.
func (s *Store) writable(h *held) error {
	st, err := s.measure(h)
	if err != nil {
		return err
	}
	if st.ReadOnly || st.used() >= s.o.ReadOnlyAt {
		return fmt.Errorf("%s: %s: %w", h.Dir, s.Full(st), ErrNoSpace)
	}
	return nil
}

// room is how many bytes a path can still take, or why it takes none.
func (s *Store) room(h *held, id abi.SectorID, need int64) (int64, error) {
	st, err := s.measure(h)
	if err != nil {
		return 0, err
	}
	if st.Capacity == 0 {
		return endless, nil
	}
	if why := s.Full(st); why != "" {
		return 0, fmt.Errorf("%s: %s", h.Dir, why)
	}
	reserved, err := s.outstanding(h, id)
	if err != nil {
		return 0, err
	}
	kept := st.Capacity / 100 * int64(100-s.o.StopAt)
	left := st.Available - kept - reserved
	if left < need {
		return 0, fmt.Errorf("%s has %d bytes left, of which %d stay free and %d are reserved for files in the making; needed %d", h.Dir, st.Available, kept, reserved, need)
	}
	return left, nil
}

// best reserves room for a sector in the usable path with the most weighted space.
func (s *Store) best(id abi.SectorID, need int64, ok func(Path) bool) (*held, error) {
	type candidate struct {
		h     *held
		score float64
		left  int64
	}
	s.placing.Lock() // between measuring and reserving nobody else may choose
	defer s.placing.Unlock()
	s.mu.RLock()
	var usable []*held
	for _, h := range s.paths {
		if h.away == "" && h.Weight > 0 && ok(h.Path) {
			usable = append(usable, h)
		}
	}
	s.mu.RUnlock()
	var (
		list []candidate
		errs []error
	)
	for _, h := range usable {
		left, err := s.room(h, id, need)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list = append(list, candidate{h, float64(left) * float64(h.Weight), left})
	}
	if len(list) == 0 {
		return nil, errors.Join(append([]error{ErrNoSpace}, errs...)...)
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].score != list[j].score {
			return list[i].score > list[j].score
		}
		return list[i].h.Dir < list[j].h.Dir
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserve(list[0].h.ID, id, need)
	return list[0].h, nil
}

// Declare records that the files which exist at a sector's sealing place are there.
func (s *Store) Declare(id abi.SectorID, f Files) {
	for _, t := range FileTypes() {
		d, _, h, away, err := s.parse(f.of(t))
		if err != nil || away != "" {
			continue
		}
		vol, ok := h.vol.(bench)
		if !ok {
			continue
		}
		if there, err := vol.has(d); err == nil && there {
			s.mu.Lock()
			s.declare(d, h.ID)
			s.mu.Unlock()
		}
	}
}

// DropUnsealed removes the unsealed copy of a sector whose data is all zeros.
func (s *Store) DropUnsealed(id abi.SectorID) error {
	return s.dropAll(id, []FileType{Unsealed})
}

// Remove deletes all files of a sector on the attached paths, and what was being
// copied of it. It may be repeated after a crash at any point. A path that is away
// and holds some of it is an error: the rest is removed.
func (s *Store) Remove(id abi.SectorID) error {
	if err := s.dropAll(id, FileTypes()); err != nil {
		return err
	}
	s.mu.Lock()
	for _, m := range s.reserved {
		delete(m, id)
	}
	s.mu.Unlock()
	return s.settle(id)
}

func (s *Store) dropAll(id abi.SectorID, types []FileType) error {
	unlock, err := s.sectors.lock(context.Background(), id)
	if err != nil {
		return err
	}
	defer unlock()
	s.mu.RLock()
	var all []*held
	for _, h := range s.paths {
		all = append(all, h)
	}
	s.mu.RUnlock()
	var errs []error
	for _, h := range all {
		for _, t := range types {
			if err := s.dropFrom(h, Decl{id, t}); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (s *Store) dropFrom(h *held, d Decl) error {
	s.mu.RLock()
	has, away := s.index[d][h.ID], h.away
	s.mu.RUnlock()
	if away != "" {
		if has {
			return fmt.Errorf("remove %s of sector %d: %s (bring it back, or detach it for good)", d.Type, d.Sector.Number, away)
		}
		return nil
	}
	if _, remote := h.vol.(*bucket); remote && !has && !s.onTheMove(d.Sector) {
		return nil // asking costs several requests
	}
	s.forget(d, h.ID)
	err := h.vol.drop(d)
	if vol, ok := h.vol.(*local); ok && err == nil {
		err = vol.clear(leftover{name: vol.beside(d, moving)})
	}
	if err != nil {
		s.mu.Lock()
		if has {
			s.declare(d, h.ID)
		}
		s.mu.Unlock()
		return fmt.Errorf("remove %s of sector %d: %w", d.Type, d.Sector.Number, err)
	}
	return nil
}

package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// move is a decision to bring files of a sector to a path. It is noted before the
// first byte moves, so that after a crash the same destination is used and an
// operator's move goes on by itself.
type move struct {
	Sector abi.SectorID
	Types  []FileType
	To     string // id of a path
}

// moves is the content of moves.json, beside storage.json.
type moves []move

func (s *Store) movesFile() string { return filepath.Join(filepath.Dir(s.file), "moves.json") }

func readMoves(file string) (moves, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list moves
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("read moves under way %s: %w", file, err)
	}
	return list, nil
}

// intent is the noted move of a sector, if any.
func (s *Store) intent(id abi.SectorID) (move, bool) {
	s.editMu.Lock()
	defer s.editMu.Unlock()
	i := slices.IndexFunc(s.moves, func(m move) bool { return m.Sector == id })
	if i < 0 {
		return move{}, false
	}
	return s.moves[i], true
}

// intend notes a move in place of the sector's earlier one.
func (s *Store) intend(m move) error {
	if err := s.edit(m.Sector, &m); err != nil {
		return err
	}
	return fault.Point("store/intent")
}

// settle takes a sector's move off the list.
func (s *Store) settle(id abi.SectorID) error {
	if _, ok := s.intent(id); !ok {
		return nil
	}
	if err := s.edit(id, nil); err != nil {
		return err
	}
	return fault.Point("store/settle")
}

// edit replaces a sector's move, durably.
func (s *Store) edit(id abi.SectorID, by *move) error {
	s.editMu.Lock()
	defer s.editMu.Unlock()
	list := slices.DeleteFunc(slices.Clone(s.moves), func(m move) bool { return m.Sector == id })
	if by != nil {
		list = append(list, *by)
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return fmt.Errorf("encode moves under way: %w", err)
	}
	if err := fsutil.WriteFileAtomic(s.movesFile(), append(b, '\n'), 0o644); err != nil {
		return err
	}
	s.moves = list
	return nil
}

// Transfer is a move of a sector's files, under way or ended.
type Transfer struct {
	Sector abi.SectorID
	To     string // id of the path
	Began  time.Time
	Ended  time.Time // zero while it is under way
	Total  int64     // bytes
	Err    string

	done *atomic.Int64
}

// Done is how many bytes are there.
func (t Transfer) Done() int64 { return t.done.Load() }

// maxPast is how many ended transfers are remembered.
const maxPast = 100

// Transfers lists the moves under way and those that ended lately.
func (s *Store) Transfers() []Transfer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := slices.Clone(s.past)
	for _, t := range s.under {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Transfer) int { return a.Began.Compare(b.Began) })
	return out
}

// Rest moves the sealed file and the cache of a sector, and more if that is wanted, to a path for storing,
// unless they lie in one. It may be repeated after a crash at any point.
func (s *Store) Rest(ctx context.Context, id abi.SectorID, size abi.SectorSize, more ...FileType) error {
	types := append([]FileType{Sealed, Cache}, more...)
	unlock, err := s.sectors.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	m, noted := s.intent(id)
	if noted {
		if _, p, err := s.held(m.To); err != nil || p.Away != "" || !p.CanStore {
			noted = false
		}
	}
	if !noted {
		if s.rested(id, types) {
			s.releaseAll(id)
			return nil
		}
		h, err := s.restingPlace(id, int64(size)*(restTenths+int64(10*len(more)))/10, types)
		if err != nil {
			return fmt.Errorf("bring sector %d to its storage path: %w", id.Number, err)
		}
		m = move{Sector: id, Types: types, To: h.ID}
		if err := s.intend(m); err != nil {
			return err
		}
	}
	if err := s.carry(ctx, m); err != nil {
		if errors.Is(err, syscall.ENOSPC) { // somebody else filled it: the next try chooses anew
			err = errors.Join(err, s.settle(id))
		}
		return fmt.Errorf("bring sector %d to its storage path: %w", id.Number, err)
	}
	s.releaseAll(id)
	return nil
}

// restingPlace is the path for storing that has some of a sector already, else the best one.
func (s *Store) restingPlace(id abi.SectorID, need int64, types []FileType) (*held, error) {
	has := map[string]bool{}
	s.mu.RLock()
	for _, t := range types {
		for pid := range s.index[Decl{id, t}] {
			has[pid] = true
		}
	}
	s.mu.RUnlock()
	if len(has) == 0 {
		return nil, ErrAbsent
	}
	if h, err := s.best(id, need, func(p Path) bool { return p.CanStore && has[p.ID] }); err == nil {
		return h, nil
	}
	return s.best(id, need, func(p Path) bool { return p.CanStore })
}

// rested tells whether each file lies in a path for storing and nowhere else.
func (s *Store) rested(id abi.SectorID, types []FileType) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range types {
		in := s.index[Decl{id, t}]
		if len(in) != 1 {
			return false
		}
		for pid := range in {
			if !s.paths[pid].CanStore {
				return false
			}
		}
	}
	return true
}

func (s *Store) releaseAll(id abi.SectorID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.reserved {
		delete(m, id)
	}
}

// Plan notes that all files of a sector go to a path for storing; to is its id or
// folder, "" means the best one. Carry does it.
func (s *Store) Plan(id abi.SectorID, to string) error {
	unlock, err := s.sectors.lock(context.Background(), id)
	if err != nil {
		return err
	}
	defer unlock()
	var (
		have  []FileType
		total int64
		from  = map[string]int64{}
	)
	for _, t := range FileTypes() {
		h, d := s.copyOf(Decl{id, t})
		if h == nil {
			continue
		}
		list, err := h.vol.files(d)
		if err != nil {
			return fmt.Errorf("look at %s of sector %d: %w", t, id.Number, err)
		}
		for _, p := range list {
			total += p.size
			from[h.ID] += p.size
		}
		have = append(have, t)
	}
	if len(have) == 0 {
		return fmt.Errorf("sector %d: %w", id.Number, ErrAbsent)
	}
	h, err := s.destination(id, to, total, from)
	if err != nil {
		return err
	}
	return s.intend(move{Sector: id, Types: have, To: h.ID})
}

func (s *Store) copyOf(d Decl) (*held, Decl) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if pid, ok := s.bestCopy(d); ok {
		return s.paths[pid], d
	}
	return nil, d
}

func (s *Store) destination(id abi.SectorID, to string, total int64, from map[string]int64) (*held, error) {
	if to == "" {
		return s.best(id, total, func(p Path) bool { return p.CanStore && from[p.ID] == 0 })
	}
	h, p, err := s.held(to)
	if err != nil {
		return nil, err
	}
	if p.Away != "" {
		return nil, errors.New(p.Away)
	}
	if total == from[h.ID] { // it is there: this calls a move off
		return h, nil
	}
	if !p.CanStore || p.Weight == 0 {
		return nil, fmt.Errorf("%s is not for storing: its %s says CanStore %t, Weight %d", p.Dir, MetaFile, p.CanStore, p.Weight)
	}
	return s.best(id, total-from[h.ID], func(q Path) bool { return q.ID == h.ID })
}

// Carry does the noted move of a sector, going on where an earlier try ended.
func (s *Store) Carry(ctx context.Context, id abi.SectorID) error {
	unlock, err := s.sectors.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	m, ok := s.intent(id)
	if !ok {
		return nil
	}
	err = s.carry(ctx, m)
	if errors.Is(err, ErrDetached) {
		err = errors.Join(fmt.Errorf("the move is called off: its path is given up: %w", err), s.settle(id))
	}
	if err != nil {
		return fmt.Errorf("move sector %d: %w", id.Number, err)
	}
	s.release(m.To, id)
	return nil
}

// Planned lists the sectors with a noted move.
func (s *Store) Planned() []abi.SectorID {
	s.editMu.Lock()
	defer s.editMu.Unlock()
	var out []abi.SectorID
	for _, m := range s.moves {
		out = append(out, m.Sector)
	}
	return out
}

// carry brings each file of a move to its path and takes the move off the list.
func (s *Store) carry(ctx context.Context, m move) error {
	to, p, err := s.held(m.To)
	if err != nil {
		return err
	}
	if p.Away != "" {
		return errors.New(p.Away)
	}
	t := &Transfer{Sector: m.Sector, To: m.To, Began: s.o.Clock.Now(), done: new(atomic.Int64)}
	for _, ty := range m.Types {
		if h, d := s.copyOf(Decl{m.Sector, ty}); h != nil {
			if list, err := h.vol.files(d); err == nil {
				for _, p := range list {
					t.Total += p.size
				}
			}
		}
	}
	s.mu.Lock()
	s.under[m.Sector] = t
	s.mu.Unlock()
	for _, ty := range m.Types {
		if err = s.carryFile(ctx, Decl{m.Sector, ty}, to, func(n int64) { t.done.Add(n) }); err != nil {
			err = fmt.Errorf("%s: %w", ty, err)
			break
		}
	}
	if err == nil {
		err = s.settle(m.Sector)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.under, m.Sector)
	t.Ended = s.o.Clock.Now()
	to.used += t.Done()
	if err != nil {
		t.Err = err.Error()
	}
	s.past = append(s.past, *t)
	s.past = s.past[max(0, len(s.past)-maxPast):]
	return err
}

// carryFile brings one file to a path and removes the copies in other paths, each
// of which is the same: what is there already is compared. A file that is nowhere
// else and there already is done.
func (s *Store) carryFile(ctx context.Context, d Decl, to *held, said func(int64)) error {
	s.mu.RLock()
	there := s.index[d][to.ID]
	var others []*held
	for pid := range s.index[d] {
		if h := s.paths[pid]; pid != to.ID && h.away == "" {
			others = append(others, h)
		}
	}
	s.mu.RUnlock()
	if len(others) == 0 {
		if !there {
			return ErrAbsent
		}
		return nil
	}
	for _, h := range others {
		if err := to.vol.take(ctx, d, h.vol, said); err != nil {
			return err
		}
	}
	if !there {
		if err := fault.Point("store/index"); err != nil {
			return err
		}
		s.mu.Lock()
		s.declare(d, to.ID)
		s.mu.Unlock()
	}
	// The source goes last: readers that opened it keep it until they are done.
	for _, h := range others {
		s.forget(d, h.ID)
		if err := h.vol.drop(d); err != nil {
			return fmt.Errorf("remove the moved source: %w", err)
		}
	}
	return nil
}

// ErrDiffer is returned when two paths hold different files of one sector.
var ErrDiffer = errors.New("two paths hold different files of the sector: see which one storage verify finds good, and detach the other's path")

// same compares a file in two paths, so that neither is taken for a copy of the
// other that it is not: old files of a sector that was made anew, above all.
func same(ctx context.Context, d Decl, a, b volume, chunk int64) error {
	la, err := a.files(d)
	if err != nil {
		return err
	}
	lb, err := b.files(d)
	if err != nil {
		return err
	}
	sizes := map[string]int64{}
	for _, p := range lb {
		sizes[p.name] = p.size
	}
	if len(la) != len(lb) {
		return ErrDiffer
	}
	for _, p := range la {
		if n, ok := sizes[p.name]; !ok || n != p.size {
			return ErrDiffer
		}
		if err := sameFile(ctx, d, p, a, b, chunk); err != nil {
			return err
		}
	}
	return nil
}

func sameFile(ctx context.Context, d Decl, p piece, a, b volume, chunk int64) error {
	fa, err := a.open(d, p.name)
	if err != nil {
		return err
	}
	defer fa.Close() // opened for reading only
	fb, err := b.open(d, p.name)
	if err != nil {
		return err
	}
	defer fb.Close()
	x, y := make([]byte, chunk), make([]byte, chunk)
	for at := int64(0); at < p.size; at += chunk {
		if err := errEnded(ctx); err != nil {
			return err
		}
		n := min(chunk, p.size-at)
		if k, err := fa.ReadAt(x[:n], at); int64(k) < n {
			return fmt.Errorf("compare with what is there: %w", err)
		}
		if k, err := fb.ReadAt(y[:n], at); int64(k) < n {
			return fmt.Errorf("compare with what is there: %w", err)
		}
		if !bytes.Equal(x[:n], y[:n]) {
			return ErrDiffer
		}
	}
	return nil
}

package store

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/filecoin-project/go-state-types/abi"
)

// Fate is what the sectors' owner knows of one.
type Fate int

// The fates of a sector. Of an unknown one nothing is ever deleted.
const (
	Unknown Fate = iota
	// Sealing sectors need everything that is there of them.
	Sealing
	// Settled sectors need their files, and no folders of tasks.
	Settled
	// Removed sectors need nothing.
	Removed
)

// Waste is something that can go, and why.
type Waste struct {
	Path   string // id
	Name   string
	Sector abi.SectorID
	Bytes  int64
	Why    string

	left *leftover
	decl Decl
}

// Garbage lists what is provably the store's own and not needed: files of removed
// sectors, copies and deletions cut short, folders of tasks that are over. Every
// path is read anew for it. Nothing else is ever listed, stray files above all;
// paths that are away are passed over.
func (s *Store) Garbage(fate func(abi.SectorID) Fate) ([]Waste, error) {
	s.mu.RLock()
	var all []*held
	for _, h := range s.paths {
		if h.away == "" {
			all = append(all, h)
		}
	}
	s.mu.RUnlock()
	var (
		out  []Waste
		errs []error
	)
	for _, h := range all {
		f, err := h.vol.list()
		if err != nil {
			errs = append(errs, fmt.Errorf("storage path %s: %w", h.Dir, err))
			continue
		}
		out = append(out, s.wasteOf(h, f, fate)...)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, errors.Join(errs...)
}

func (s *Store) wasteOf(h *held, f found, fate func(abi.SectorID) Fate) []Waste {
	var out []Waste
	for _, d := range f.decls {
		if fate(d.Sector) != Removed || s.onTheMove(d.Sector) {
			continue
		}
		out = append(out, Waste{Path: h.ID, Name: filesIn(h.root, d.Sector).of(d.Type), Sector: d.Sector, Bytes: s.bytes(h, d), Why: "the sector is removed", decl: d})
	}
	for _, x := range f.left {
		why := ""
		switch {
		case fate(x.Sector) == Unknown: // somebody else may be at work here
		case s.onTheMove(x.Sector): // what is under way is needed to go on
		case x.ending == moving:
			why = "a copy that was cut short; nothing will go on with it"
		case x.ending == gone:
			why = "a deletion that was cut short"
		case fate(x.Sector) == Settled:
			why = "the folder of a task of a sector that is sealed"
		case fate(x.Sector) == Removed:
			why = "the folder of a task of a removed sector"
		}
		if why != "" {
			out = append(out, Waste{Path: h.ID, Name: x.name, Sector: x.Sector, Why: why, left: &x, decl: x.Decl})
		}
	}
	return out
}

// onTheMove tells whether a sector's files are on the move.
func (s *Store) onTheMove(id abi.SectorID) bool {
	_, noted := s.intent(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return noted || s.under[id] != nil
}

func (s *Store) bytes(h *held, d Decl) int64 {
	list, err := h.vol.files(d)
	if err != nil {
		return 0 // the size is only for people
	}
	n := int64(0)
	for _, p := range list {
		n += p.size
	}
	return n
}

// Collect deletes what Garbage lists at this moment and was listed before: what
// somebody looked at and agreed to, and which is still garbage.
func (s *Store) Collect(agreed []Waste, fate func(abi.SectorID) Fate) (done []Waste, err error) {
	seen := map[string]bool{}
	for _, w := range agreed {
		seen[w.Path+w.Name] = true
	}
	list, err := s.Garbage(fate)
	for _, w := range list {
		if !seen[w.Path+w.Name] {
			continue
		}
		if cerr := s.collect(w, fate); cerr != nil {
			err = errors.Join(err, fmt.Errorf("delete %s: %w", w.Name, cerr))
			continue
		}
		done = append(done, w)
	}
	return done, err
}

func (s *Store) collect(w Waste, fate func(abi.SectorID) Fate) error {
	unlock, err := s.sectors.lock(context.Background(), w.Sector)
	if err != nil {
		return err
	}
	defer unlock()
	if s.onTheMove(w.Sector) {
		return errors.New("a move of the sector began meanwhile")
	}
	h, p, err := s.held(w.Path)
	if err != nil {
		return err
	}
	if p.Away != "" {
		return errors.New(p.Away)
	}
	if w.left != nil {
		return h.vol.clear(*w.left)
	}
	if fate(w.Sector) != Removed {
		return errors.New("the sector is not removed any more")
	}
	s.forget(w.decl, h.ID)
	return h.vol.drop(w.decl)
}

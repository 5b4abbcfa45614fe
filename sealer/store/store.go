package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
)

var log = logging.Logger("store")

// ErrNoSpace is returned when no path can take a sector.
var ErrNoSpace = errors.New("no storage path can take the sector")

// ErrAbsent is returned for a file that no path has, or only one that is away.
var ErrAbsent = errors.New("no storage path has the file")

// Decl is a file of a sector in a path.
type Decl struct {
	Sector abi.SectorID
	Type   FileType
}

// Options are what a store may be told; the zero value has the defaults.
type Options struct {
	// StopAt is how full a path may be, in percent, to take new files (95).
	StopAt int
	// ReadOnlyAt is how full it may be to be written at all (98).
	ReadOnlyAt int
	// Timeout is how long one read from a disk may take (30 s); writes may take ten times that.
	Timeout time.Duration
	// Chunk is how much is copied at a time (32 MiB).
	Chunk int64
	Disk  Disk
	Clock clock.Clock
	// Call reaches paths on workers' machines; nil where there are none.
	Call Caller
}

func (o Options) filled() Options {
	if o.StopAt == 0 {
		o.StopAt = 95
	}
	if o.ReadOnlyAt == 0 {
		o.ReadOnlyAt = 98
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Chunk == 0 {
		o.Chunk = 32 << 20
	}
	if o.Disk == nil {
		o.Disk = machine{}
	}
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	return o
}

// Store is the set of attached paths. Its lock is never held over a disk.
type Store struct {
	file string // storage.json
	o    Options

	editMu  sync.Mutex // serialises changes of storage.json and moves.json
	moves   moves
	sectors keyed      // one change of a sector's files at a time
	placing sync.Mutex // one choice of a path at a time

	mu       sync.RWMutex // guards what follows
	paths    map[string]*held
	index    map[Decl]map[string]bool
	gates    map[string]*gate  // by folder
	lost     map[string]string // folders in storage.json that could not be read, and why
	detached []string          // those of workers that an operator detached
	reserved map[string]map[abi.SectorID]int64
	under    map[abi.SectorID]*Transfer
	past     []Transfer
}

// Open is OpenWith with the defaults.
func Open(file string) (*Store, error) { return OpenWith(file, Options{}) }

// OpenWith reads storage.json (absent: no paths yet) and indexes every path. A
// path that cannot be read, or not in time, is left out and told in Problems; the
// others serve, and Watch looks whether it comes back.
func OpenWith(file string, o Options) (*Store, error) {
	s := &Store{
		file: file, o: o.filled(), paths: map[string]*held{}, index: map[Decl]map[string]bool{}, lost: map[string]string{}, gates: map[string]*gate{},
		reserved: map[string]map[abi.SectorID]int64{}, under: map[abi.SectorID]*Transfer{},
	}
	cfg, err := readStorage(file)
	if err != nil {
		return nil, err
	}
	if s.moves, err = readMoves(s.movesFile()); err != nil {
		return nil, err
	}
	s.detached = cfg.Detached
	var wg sync.WaitGroup
	for _, e := range cfg.StoragePaths {
		wg.Go(func() { s.admit(e) })
	}
	wg.Wait()
	return s, nil
}

// admit loads a path of storage.json and keeps the reason when that fails.
func (s *Store) admit(e entry) {
	_, err := s.load(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.lost[e.Path] = err.Error()
	} else {
		delete(s.lost, e.Path)
	}
}

// volume makes the way to a path's files.
func (s *Store) volume(e entry) (volume, error) {
	s.mu.Lock()
	g := s.gates[e.Path] // one for all tries: what hung at the last one still counts
	if g == nil {
		g = &gate{path: e.Path, clk: s.o.Clock, limit: s.o.Timeout}
		s.gates[e.Path] = g
	}
	s.mu.Unlock()
	if e.S3 != nil {
		return newBucket(e, g, s.o.Chunk)
	}
	if id, ok := strings.CutPrefix(e.Path, AfarPrefix); ok {
		if s.o.Call == nil {
			return nil, fmt.Errorf("storage path %s: only a running sealer reaches it", e.Path)
		}
		return &afar{id: id, call: s.o.Call, gate: g}, nil
	}
	return &local{dir: e.Path, disk: s.o.Disk, gate: g, chunk: s.o.Chunk}, nil
}

// load reads a path's settings and what it holds.
func (s *Store) load(e entry) (Path, error) {
	vol, err := s.volume(e)
	if err != nil {
		return Path{}, err
	}
	m, err := vol.meta()
	if err != nil {
		return Path{}, err
	}
	before := s.Holds(m.ID)
	f, err := vol.list()
	if err != nil {
		return Path{}, fmt.Errorf("list storage path %s: %w", e.Path, err)
	}
	for _, x := range f.left {
		if x.ending != gone { // these were as good as deleted
			continue
		}
		if err := vol.clear(x); err != nil {
			log.Warnf("cannot end a deletion that was cut short: %v", err)
		}
	}
	h := &held{Path: Path{Meta: m, Dir: e.Path}, root: e.Path, vol: vol, stray: f.stray}
	if e.S3 != nil {
		h.root = bucketRoot(m.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.paths[m.ID]; ok && old.Dir != e.Path {
		return Path{}, fmt.Errorf("storage paths %s and %s carry the same id %s: one is a copy of the other", old.Dir, e.Path, m.ID)
	}
	s.paths[m.ID] = h
	for _, d := range before { // what came while the path was listed stays
		delete(s.index[d], m.ID)
	}
	for _, d := range f.decls {
		s.declare(d, m.ID)
	}
	return h.Path, nil
}

// Attach adds a path, durably, and indexes it. Attaching an attached path again
// changes nothing.
func (s *Store) Attach(spec Spec) (Path, error) { return s.attach(spec, false) }

// Offered attaches a worker's own path that the worker offers, unless an operator detached it: that is ErrDetached.
func (s *Store) Offered(id string) (Path, error) {
	if slices.Contains(s.Detached(), AfarPrefix+id) {
		return Path{}, fmt.Errorf("%s%s: an operator detached it: %w", AfarPrefix, id, ErrDetached)
	}
	return s.attach(Spec{Dir: AfarPrefix + id}, true)
}

// Detached lists the workers' own paths that an operator detached and did not attach again.
func (s *Store) Detached() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.detached)
}

// attach attaches a path; one that is only offered not against the operator's will.
func (s *Store) attach(spec Spec, offered bool) (Path, error) {
	e := entry{Path: filepath.Clean(spec.Dir)}
	switch {
	case strings.HasPrefix(spec.Dir, "s3://"):
		e = entry{Path: strings.TrimSuffix(spec.Dir, "/"), S3: &spec.S3}
	case strings.HasPrefix(spec.Dir, AfarPrefix):
		if spec.Init {
			return Path{}, fmt.Errorf("storage path %s: its worker makes it one", spec.Dir)
		}
		e.Path = spec.Dir
	case !filepath.IsAbs(spec.Dir):
		return Path{}, fmt.Errorf("storage path %s: give the absolute path", spec.Dir)
	}
	if spec.Init {
		if err := s.initialize(e, spec); err != nil {
			return Path{}, err
		}
	}
	p, err := s.load(e)
	if err != nil {
		return Path{}, err
	}
	if err := fault.Point("store/attach"); err != nil {
		return Path{}, err
	}
	s.editMu.Lock()
	defer s.editMu.Unlock()
	cfg, err := readStorage(s.file)
	if err != nil {
		return Path{}, err
	}
	if offered && slices.Contains(cfg.Detached, e.Path) { // meanwhile
		s.drop(e.Path)
		return Path{}, fmt.Errorf("%s: an operator detached it: %w", e.Path, ErrDetached)
	}
	known, before := slices.ContainsFunc(cfg.StoragePaths, func(x entry) bool { return x.Path == e.Path }), len(cfg.Detached)
	if !known {
		cfg.StoragePaths = append(cfg.StoragePaths, e)
	}
	cfg.Detached = slices.DeleteFunc(cfg.Detached, func(dir string) bool { return dir == e.Path })
	if !known || len(cfg.Detached) < before {
		if err := writeStorage(s.file, cfg); err != nil {
			return Path{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lost, e.Path)
	s.detached = cfg.Detached
	return p, nil
}

func (s *Store) initialize(e entry, spec Spec) error {
	if e.S3 == nil {
		spec.Dir = e.Path
		_, err := Init(spec)
		return err
	}
	if spec.CanSeal {
		return errors.New("nothing can be sealed in a bucket: sealing needs a folder; attach the bucket with --store only")
	}
	vol, err := s.volume(e)
	if err != nil {
		return err
	}
	m, err := spec.fresh()
	if err != nil {
		return err
	}
	return vol.(*bucket).init(m)
}

// Detach forgets a path, by its id or its folder, and deletes nothing. A worker's own path stays detached, whatever its worker
// offers, until it is attached.
func (s *Store) Detach(id string) error {
	s.mu.RLock()
	dir := id
	if p, ok := s.paths[id]; ok {
		dir = p.Dir
	}
	s.mu.RUnlock()
	s.editMu.Lock()
	defer s.editMu.Unlock()
	cfg, err := readStorage(s.file)
	if err != nil {
		return err
	}
	n := len(cfg.StoragePaths)
	cfg.StoragePaths = slices.DeleteFunc(cfg.StoragePaths, func(e entry) bool { return e.Path == dir })
	if len(cfg.StoragePaths) == n {
		return fmt.Errorf("storage path %s is not attached", id)
	}
	if strings.HasPrefix(dir, AfarPrefix) && !slices.Contains(cfg.Detached, dir) {
		cfg.Detached = append(cfg.Detached, dir)
	}
	if err := writeStorage(s.file, cfg); err != nil {
		return err
	}
	if err := fault.Point("store/detach"); err != nil {
		return err
	}
	s.drop(dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detached = cfg.Detached
	return nil
}

// drop forgets a folder and what it holds.
func (s *Store) drop(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lost, dir)
	for id, p := range s.paths {
		if p.Dir == dir {
			delete(s.paths, id)
			delete(s.reserved, id)
			s.undeclare(id)
		}
	}
}

func (s *Store) declare(d Decl, id string) {
	if s.index[d] == nil {
		s.index[d] = map[string]bool{}
	}
	s.index[d][id] = true
}

// undeclare forgets all that a path holds.
func (s *Store) undeclare(id string) {
	for d, in := range s.index {
		delete(in, id)
		if len(in) == 0 {
			delete(s.index, d)
		}
	}
}

// forget takes one file of a path out of the index.
func (s *Store) forget(d Decl, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.index[d], id)
	if len(s.index[d]) == 0 {
		delete(s.index, d)
	}
}

// Problems lists what was found and could not be used: stray names, paths that
// are away.
func (s *Store) Problems() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []string
	for _, why := range s.lost {
		out = append(out, why)
	}
	for _, p := range s.paths {
		if p.away != "" {
			out = append(out, p.away)
		}
		out = append(out, p.stray...)
	}
	sort.Strings(out)
	return out
}

// Paths lists the attached paths by folder, those that are away too. Those that
// were never read since the start have no settings, only folder and reason.
func (s *Store) Paths() []Path {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Path, 0, len(s.paths))
	for _, p := range s.paths {
		out = append(out, p.now())
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Dir < out[j].Dir })
	return out
}

// Lost lists the folders of storage.json that could not be read since the start, with the reason.
func (s *Store) Lost() map[string]string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := map[string]string{}
	for dir, why := range s.lost {
		out[dir] = why
	}
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
	sortDecls(out)
	return out
}

// ErrDetached is returned for a path that is not attached.
var ErrDetached = errors.New("storage path is not attached")

// held finds a path by its id or folder.
func (s *Store) held(id string) (*held, Path, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, p := range s.paths {
		if p.ID == id || p.Dir == id {
			return p, p.now(), nil
		}
	}
	return nil, Path{}, fmt.Errorf("%s: %w", id, ErrDetached)
}

// Attached tells whether a path is, by its id; one that is away is too.
func (s *Store) Attached(id string) bool {
	_, _, err := s.held(id)
	return err == nil
}

// Measure asks the disk of a path. Capacity and what is available are bounded by
// the path's MaxStorage.
func (s *Store) Measure(id string) (Stat, error) {
	h, _, err := s.held(id)
	if err != nil {
		return Stat{}, err
	}
	return s.measure(h)
}

// countAgain is how long a count of what sectors take is used: it looks at every
// file. What is moved there meanwhile is added.
const countAgain = 10 * time.Minute

func (s *Store) measure(h *held) (Stat, error) {
	st, err := h.vol.measure()
	if err != nil || h.MaxStorage == 0 {
		return st, err
	}
	now := s.o.Clock.Now()
	s.mu.RLock()
	used, fresh := h.used, !h.usedAt.IsZero() && now.Sub(h.usedAt) < countAgain
	s.mu.RUnlock()
	if !fresh {
		if used, err = h.vol.sizeOf(nil); err != nil {
			return st, fmt.Errorf("measure what storage path %s holds: %w", h.Dir, err)
		}
		s.mu.Lock()
		h.used, h.usedAt = used, now
		s.mu.Unlock()
	}
	limit := int64(h.MaxStorage)
	if st.Capacity == 0 || limit < st.Capacity {
		st.Capacity = limit
	}
	st.Available = max(0, min(st.Available, limit-used))
	return st, nil
}

// Find returns the files of a sector that exist on paths that are there; each may
// lie in another path. A wanted file that none has is ErrAbsent. The names are
// for OpenFile; those in buckets mean nothing to others.
func (s *Store) Find(id abi.SectorID, want ...FileType) (Files, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out Files
	for _, t := range FileTypes() {
		d := Decl{id, t}
		if pid, ok := s.bestCopy(d); ok {
			out.set(t, filesIn(s.paths[pid].root, id).of(t))
		}
	}
	for _, t := range want {
		if out.of(t) != "" {
			continue
		}
		for pid := range s.index[Decl{id, t}] {
			return out, fmt.Errorf("%s of sector %d: %w: its path is away: %s", t, id.Number, ErrAbsent, s.paths[pid].away)
		}
		return out, fmt.Errorf("%s of sector %d: %w", t, id.Number, ErrAbsent)
	}
	return out, nil
}

// bestCopy chooses among the copies of a file: an interrupted move leaves two
// whole ones, of which the one at rest counts.
func (s *Store) bestCopy(d Decl) (string, bool) {
	best, ok := "", false
	for pid := range s.index[d] {
		p := s.paths[pid]
		if p.away != "" {
			continue
		}
		if !ok || p.CanStore && !s.paths[best].CanStore || p.CanStore == s.paths[best].CanStore && p.Dir < s.paths[best].Dir {
			best, ok = pid, true
		}
	}
	return best, ok
}

// OpenFile opens a file by a name that Find gave. Reads that a disk does not
// answer in time fail with ErrSlow. A sector that was moved meanwhile is opened
// where it is now.
func (s *Store) OpenFile(name string) (File, error) {
	d, rest, h, away, err := s.parse(name)
	if err != nil {
		return nil, err
	}
	if away == "" {
		f, err := h.vol.open(d, rest)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	s.mu.RLock()
	pid, ok := s.bestCopy(d)
	now := s.paths[pid]
	s.mu.RUnlock()
	if away != "" && !ok {
		return nil, fmt.Errorf("%s: its path is away: %s: %w", name, away, fs.ErrNotExist)
	}
	if !ok || now == h {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return now.vol.open(d, rest)
}

// parse takes a file's name apart; away tells why its path is.
func (s *Store) parse(name string) (d Decl, rest string, h *held, away string, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, h := range s.paths {
		rest, ok := strings.CutPrefix(name, h.root+string(filepath.Separator))
		if !ok {
			continue
		}
		parts := strings.SplitN(filepath.ToSlash(rest), "/", 3)
		for _, t := range FileTypes() {
			if len(parts) < 2 || parts[0] != t.String() {
				continue
			}
			id, err := ParseSectorName(parts[1])
			if err != nil {
				return Decl{}, "", nil, "", err
			}
			return Decl{id, t}, strings.Join(parts[2:], "/"), h, h.away, nil
		}
	}
	return Decl{}, "", nil, "", fmt.Errorf("%s lies in no storage path: %w", name, fs.ErrNotExist)
}

// keyed are locks by sector.
type keyed struct {
	mu   sync.Mutex
	busy map[abi.SectorID]chan struct{}
}

func (k *keyed) lock(ctx context.Context, id abi.SectorID) (unlock func(), err error) {
	for {
		k.mu.Lock()
		wait, ok := k.busy[id]
		if !ok {
			if k.busy == nil {
				k.busy = map[abi.SectorID]chan struct{}{}
			}
			mine := make(chan struct{})
			k.busy[id] = mine
			k.mu.Unlock()
			return func() {
				k.mu.Lock()
				delete(k.busy, id)
				k.mu.Unlock()
				close(mine)
			}, nil
		}
		k.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, errEnded(ctx)
		}
	}
}

// Last is what Look measured last of a path: it asks no disk.
func (s *Store) Last(id string) Stat {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if h, ok := s.paths[id]; ok {
		return h.last
	}
	return Stat{}
}

// Stray lists the names in a path that no sector has.
func (s *Store) Stray(id string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if p, ok := s.paths[id]; ok {
		return append([]string{}, p.stray...)
	}
	return []string{}
}

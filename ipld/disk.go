package ipld

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// Disk is the blockstore of a node. It has two kinds of parts: hot stores (badger), the first of which takes all writes,
// and packs, which never change. A block is looked for in the hot stores, then in the packs, newest first.
//
// Most of the time there is one hot store and at most one pack. Whatever happens to many blocks at once happens beside
// them, in files that nothing names yet, and becomes part of the store by one atomic write of the manifest: an import adds
// a pack; a collection ([Disk.Collect]) replaces everything by a new hot store and a new pack. Files that the manifest does
// not name are what a crash left behind; [OpenDisk] removes them. So a crash at any moment leaves the parts of before or
// those of after, and every block that either had.
//
// A block that was put waits in memory until [Disk.Sync], which whoever records something that names it (a head) must call
// first: so a tipset, or a hundred of them, cost one wait for the disk.
//
// The manifest is store.json: {"hot": [...], "packs": [...], "import": {...}, "next": n}, names relative to the folder.
type Disk struct {
	dir string
	// job is held by the one piece of housekeeping that may run: an import, a collection, a check.
	job sync.Mutex

	// late is what was put since the last Sync; syncing is held by the one Sync that may run, and taken before writing.
	late    late
	syncing sync.Mutex
	// writing is held for reading by every write: whoever holds it for writing knows that no write is under way.
	writing sync.RWMutex
	// mu guards what follows; it is held for reading while a part is read.
	mu    sync.RWMutex
	hot   []*hotPart
	packs []*packPart
	state manifest
	log   *writeLog
	room  func() error
}

type hotPart struct {
	name string
	*Badger
}

type packPart struct {
	name string
	*Pack
}

// manifest says what the store is made of.
type manifest struct {
	Hot    []string    `json:"hot"`
	Packs  []string    `json:"packs"`
	Import *importNote `json:"import,omitempty"`
	Next   int         `json:"next"`
}

// importNote marks an import that has not ended.
type importNote struct {
	Pack   string `json:"pack"`
	Source string `json:"source"`
}

const manifestName = "store.json"

// ErrImporting: another import has been begun and not ended.
var ErrImporting = errors.New("another import has not ended")

// FirstHot is the name of the first hot store: a badger store that is moved there becomes the beginning of a Disk.
const FirstHot = "hot-1"

// OpenDisk opens or makes a store in a folder, and removes what a crash left there. The folder is locked against a second
// process.
func OpenDisk(dir string) (*Disk, error) {
	d := &Disk{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make block store: %w", err)
	}
	if err := d.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open block store %s: %w", dir, err), d.Close())
	}
	return d, nil
}

func (d *Disk) open() error {
	raw, err := os.ReadFile(d.path(manifestName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// A first start, or an older layout that was moved here.
		if err := d.save(manifest{Hot: []string{FirstHot}, Packs: []string{}, Next: 2}); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(raw, &d.state); err != nil {
			return fmt.Errorf("%s is damaged: %w", manifestName, err)
		}
		if len(d.state.Hot) == 0 {
			return fmt.Errorf("%s is damaged: it names no hot store", manifestName)
		}
	}
	for _, name := range d.state.Hot {
		b, err := OpenBadger(d.path(name))
		if err != nil {
			return err
		}
		d.hot = append(d.hot, &hotPart{name, b})
	}
	for _, name := range d.state.Packs {
		p, err := OpenPack(d.path(name))
		if err != nil {
			return err
		}
		d.packs = append(d.packs, &packPart{name, p})
	}
	if err := d.removeOrphans(); err != nil {
		return err
	}
	return d.mergeHot()
}

// Guard has everything that writes ask first whether there is room, and fail with that error if not. Call it before the
// first write.
func (d *Disk) Guard(room func() error) {
	d.room = room
	for _, h := range d.hot {
		h.Guard(room)
	}
}

// Room returns nil when there is room to write, by the judgement of Guard.
func (d *Disk) Room() error {
	if d.room == nil {
		return nil
	}
	return d.room()
}

func (d *Disk) path(name string) string { return filepath.Join(d.dir, name) }

// save makes a manifest durable, and the store's.
func (d *Disk) save(m manifest) error {
	raw, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	if err := fsutil.WriteFileAtomic(d.path(manifestName), append(raw, '\n'), 0o600); err != nil {
		return err
	}
	d.state = m
	return nil
}

// removeOrphans deletes parts that the manifest does not name.
func (d *Disk) removeOrphans() error {
	if err := fsutil.RemoveTemps(d.path(manifestName)); err != nil {
		return err
	}
	named := map[string]bool{}
	for _, name := range append(slices.Clone(d.state.Hot), d.state.Packs...) {
		named[name] = true
	}
	if d.state.Import != nil {
		named[d.state.Import.Pack] = true
	}
	list, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	for _, f := range list {
		name, _, _ := strings.Cut(f.Name(), ".")
		part := strings.HasPrefix(name, "hot-") || strings.HasPrefix(name, "pack-")
		if part && !named[name] {
			if err := os.RemoveAll(d.path(f.Name())); err != nil {
				return fmt.Errorf("remove what a crash left: %w", err)
			}
		}
	}
	return nil
}

// newName takes the next number; the manifest that uses the name makes it durable.
func (d *Disk) newName(m *manifest, kind string) string {
	name := fmt.Sprintf("%s-%d", kind, m.Next)
	m.Next++
	return name
}

// Close flushes and releases the folder.
func (d *Disk) Close() error {
	errs := []error{d.Sync(context.Background())}
	for _, h := range d.hot {
		errs = append(errs, h.Close())
	}
	for _, p := range d.packs {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// Get returns a block.
func (d *Disk) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.get(ctx, c)
}

func (d *Disk) get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if data, ok := d.late.get(c); ok {
		return data, nil
	}
	for _, h := range d.hot {
		if data, err := h.Get(ctx, c); !errors.Is(err, ErrNotFound) {
			return data, err
		}
	}
	for _, p := range d.packs {
		if data, err := p.Get(ctx, c); !errors.Is(err, ErrNotFound) {
			return data, err
		}
	}
	return nil, notFound(c)
}

// Has tells whether a block is stored.
func (d *Disk) Has(ctx context.Context, c cid.Cid) (bool, error) {
	if _, ok := d.late.get(c); ok {
		return true, nil
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, h := range d.hot {
		if ok, err := h.Has(ctx, c); ok || err != nil {
			return ok, err
		}
	}
	for _, p := range d.packs {
		if ok, err := p.Has(ctx, c); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// Put stores a block; it is durable after the next Sync.
func (d *Disk) Put(ctx context.Context, c cid.Cid, data []byte) error {
	b, err := blocks.NewBlockWithCid(data, c)
	if err != nil {
		return err
	}
	return d.PutMany(ctx, []blocks.Block{b})
}

// PutMany stores blocks; they are durable after the next Sync.
func (d *Disk) PutMany(ctx context.Context, blks []blocks.Block) error {
	if err := d.Room(); err != nil {
		return fmt.Errorf("write %d blocks: %w", len(blks), err)
	}
	if d.take(blks) {
		return d.Sync(ctx)
	}
	return nil
}

func (d *Disk) take(blks []blocks.Block) (full bool) {
	d.writing.RLock()
	defer d.writing.RUnlock()
	full = d.late.add(blks...)
	for _, b := range blks {
		d.log.note(b.Cid())
	}
	return full
}

// first is the hot store that takes writes; it changes only while nobody writes.
func (d *Disk) first() *hotPart {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.hot[0]
}

// Usage tells what the store takes on disk, in bytes.
type Usage struct {
	Hot, Packs int64
	// Packed is the number of blocks in packs.
	Packed int
}

// Usage tells what the parts take on disk.
func (d *Disk) Usage() Usage {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var u Usage
	for _, h := range d.hot {
		u.Hot += h.Size()
	}
	for _, p := range d.packs {
		u.Packs += p.Size()
		u.Packed += p.Len()
	}
	return u
}

// Size is how much of the disk the store takes, in bytes.
func (d *Disk) Size() int64 {
	u := d.Usage()
	return u.Hot + u.Packs
}

// Check reads every block and compares it with its name. It returns the number of blocks read, and an error that names the
// first one that is wrong. It waits for other housekeeping.
func (d *Disk) Check(ctx context.Context) (int, error) {
	d.job.Lock() // no part goes away before the end
	defer d.job.Unlock()
	if err := d.Sync(ctx); err != nil {
		return 0, err
	}
	d.mu.RLock()
	hot, packs := slices.Clone(d.hot), slices.Clone(d.packs)
	d.mu.RUnlock()
	total := 0
	for _, h := range hot {
		n, err := h.Check(ctx)
		if total += n; err != nil {
			return total, err
		}
	}
	for _, p := range packs {
		n, err := p.Check(ctx)
		if total += n; err != nil {
			return total, err
		}
	}
	return total, nil
}

// Unfinished names the source of an import that was begun and neither ended nor dropped; empty when there is none.
func (d *Disk) Unfinished() string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.state.Import == nil {
		return ""
	}
	return d.state.Import.Source
}

// Import is a pack in the making that will be added to the store.
type Import struct {
	disk *Disk
	// Base is where its files are; Resumed tells that they may be there, from an import of the same source.
	Base    string
	Resumed bool
}

// BeginImport reserves a place for a pack, or finds the place where an import of the same source was interrupted. Until
// [Import.Adopt] the store is as it was. ErrImporting when another source is under way. End or Drop must follow.
func (d *Disk) BeginImport(source string) (*Import, error) {
	d.job.Lock()
	im, err := d.beginImport(source)
	if err != nil {
		d.job.Unlock()
	}
	return im, err
}

func (d *Disk) beginImport(source string) (*Import, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.state
	if m.Import != nil {
		if m.Import.Source != source {
			return nil, fmt.Errorf("%w: of %s", ErrImporting, m.Import.Source)
		}
		return &Import{disk: d, Base: d.path(m.Import.Pack), Resumed: true}, nil
	}
	m.Import = &importNote{Pack: d.newName(&m, "pack"), Source: source}
	if err := d.save(m); err != nil {
		return nil, fmt.Errorf("begin import: %w", err)
	}
	return &Import{disk: d, Base: d.path(m.Import.Pack)}, nil
}

// DropImport forgets an interrupted import of any source, and removes its files.
func (d *Disk) DropImport() error {
	d.job.Lock()
	defer d.job.Unlock()
	return d.dropImport()
}

func (d *Disk) dropImport() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.state
	if m.Import == nil {
		return nil
	}
	name := m.Import.Pack
	m.Import = nil
	// The note goes first: files without a note are removed at the next opening.
	if err := d.save(m); err != nil {
		return fmt.Errorf("drop import: %w", err)
	}
	return RemovePack(d.path(name))
}

// End leaves an unfinished import as it is, to be resumed.
func (i *Import) End() { i.disk.job.Unlock() }

// Drop ends the import for good.
func (i *Import) Drop() error {
	defer i.disk.job.Unlock()
	return i.disk.dropImport()
}

// Adopt makes the finished pack part of the store and ends the import. The caller vouches for what is in it.
func (i *Import) Adopt(p *Pack) error {
	d := i.disk
	defer d.job.Unlock()
	if err := fault.Point("store/adopt"); err != nil {
		return errors.Join(err, p.Close())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.state
	name := m.Import.Pack
	m.Packs = append([]string{name}, m.Packs...)
	m.Import = nil
	// The pack is durable; this line makes it part of the store, which must precede any head that names its blocks.
	if err := d.save(m); err != nil {
		return errors.Join(fmt.Errorf("adopt pack: %w", err), p.Close())
	}
	d.packs = append([]*packPart{{name, p}}, d.packs...)
	return nil
}

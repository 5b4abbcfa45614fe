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
	"sync/atomic"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// Disk is the blockstore of a node. It is made of packs: archives of blocks with an index each. The first of them is growing
// and takes all writes; when it is large enough it gets its index and never changes again, and the next one begins. A block
// is looked for in one pack after the other, newest first, of which there are few: beside all this, packs of one size are
// made into one (tidy.go).
//
// Whatever happens to many blocks at once happens in files that nothing names yet, and becomes part of the store by one atomic
// write of the manifest: an import adds a pack; a collection ([Disk.Collect]) replaces everything by one. Files that the
// manifest does not name are what a crash left behind; [OpenDisk] removes them. So a crash at any moment leaves the parts of
// before or those of after, and every block that either had.
//
// A block that was put waits in memory until [Disk.Sync], which whoever records something that names it (a head) must call
// first: so a tipset, or a hundred of them, cost one wait for the disk.
type Disk struct {
	dir  string
	lock *os.File
	// rollAt is how many bytes a growing pack has before the next one begins.
	rollAt int64
	room   atomic.Pointer[func() error]
	// job is held by the one piece of housekeeping that may run because somebody asked for it: an import, a collection, a check.
	job sync.Mutex
	tidier

	// late is what was put since the last Sync; syncing is held by whoever adds to the growing pack, and taken before writing.
	late    late
	syncing sync.Mutex
	// writing is held for reading by every write: whoever holds it for writing knows that no write is under way.
	writing sync.RWMutex
	noted   *writeLog

	// changing is held while the manifest changes.
	changing sync.Mutex
	// mu guards what follows; it is held for reading while a part is read.
	mu    sync.RWMutex
	state manifest
	open  map[string]part
	pages *pageCache
	// parts are those of open in the order in which they are asked.
	parts []part
}

// part is a place where blocks lie.
type part interface {
	// Get returns the bytes of a block, or an error that wraps ErrNotFound.
	Get(ctx context.Context, c cid.Cid) ([]byte, error)
	Has(ctx context.Context, c cid.Cid) (bool, error)
	// Check reads every block and compares it with its name; it returns how many are sound, and what is wrong with the next.
	Check(ctx context.Context) (int, error)
	// Size is how much of the disk it takes, in bytes.
	Size() int64
	Close() error
}

// manifest says what the store is made of, by names relative to the folder, newest first. It is the file store.json.
type manifest struct {
	// Growing are the packs without an index, of which the first takes the writes.
	Growing []string `json:"growing"`
	// Rolled are the packs that took writes once.
	Rolled []string `json:"rolled,omitempty"`
	// Hot are stores of badger that former versions wrote to.
	Hot []string `json:"hot,omitempty"`
	// Packs are what imports and collections made.
	Packs  []string    `json:"packs"`
	Import *importNote `json:"import,omitempty"`
	Next   int         `json:"next"`
}

func (m manifest) clone() manifest {
	m.Growing, m.Rolled, m.Hot, m.Packs = slices.Clone(m.Growing), slices.Clone(m.Rolled), slices.Clone(m.Hot), slices.Clone(m.Packs)
	return m
}

// names lists all parts in the order in which they are asked.
func (m manifest) names() []string { return slices.Concat(m.Growing, m.Rolled, m.Hot, m.Packs) }

// importNote marks an import that has not ended.
type importNote struct {
	Pack   string `json:"pack"`
	Source string `json:"source"`
}

const (
	manifestName = "store.json"
	lockName     = "lock"
)

// ErrImporting: another import has been begun and not ended.
var ErrImporting = errors.New("another import has not ended")

// FirstHot is the name of the store of badger that all former versions began with: one that is moved there becomes part of a
// Disk.
const FirstHot = "hot-1"

// rollBytes is when a growing pack is large enough. Its index takes about a quarter of it in memory.
const rollBytes = 64 << 20

// OpenDisk opens or makes a store in a folder, and removes what a crash left there. The folder is locked against a second
// process.
func OpenDisk(dir string) (*Disk, error) { return openDisk(dir, rollBytes) }

func openDisk(dir string, rollAt int64) (*Disk, error) {
	d := &Disk{dir: dir, rollAt: rollAt, open: map[string]part{}, pages: new(pageCache)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make block store: %w", err)
	}
	if err := d.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open block store %s: %w", dir, err), d.closeParts())
	}
	d.tidier.start(d)
	return d, nil
}

func (d *Disk) load() (err error) {
	if d.lock, err = fsutil.Lock(d.path(lockName)); err != nil {
		return err
	}
	if err := d.loadManifest(); err != nil {
		return err
	}
	for _, name := range d.state.names() {
		p, err := d.openPart(name)
		if err != nil {
			return err
		}
		d.admit(name, p)
	}
	// When all is there that should be: else the rest may still be of use to somebody.
	if err := d.removeOrphans(); err != nil {
		return err
	}
	if len(d.state.Growing) == 0 {
		return d.roll()
	}
	d.arrange()
	return nil
}

func (d *Disk) loadManifest() error {
	raw, err := os.ReadFile(d.path(manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		// A first start, or an older layout that was moved here.
		d.state = manifest{Packs: []string{}, Next: 2}
		if _, err := os.Stat(d.path(FirstHot)); err == nil {
			d.state.Hot = []string{FirstHot}
		}
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &d.state); err != nil {
		return fmt.Errorf("%s is damaged: %w", manifestName, err)
	}
	if len(d.state.Growing)+len(d.state.Hot) == 0 {
		return fmt.Errorf("%s is damaged: it names nothing that takes or took writes", manifestName)
	}
	return nil
}

func (d *Disk) openPart(name string) (part, error) {
	switch {
	case slices.Contains(d.state.Growing, name):
		return openGrowing(context.Background(), d.path(name))
	case slices.Contains(d.state.Hot, name):
		return openFormer(d.path(name))
	default:
		return OpenPack(d.path(name))
	}
}

// admit opens a part to readers. The caller holds mu, or nobody reads yet.
func (d *Disk) admit(name string, p part) {
	if pack, ok := p.(*Pack); ok {
		pack.keepPages(d.pages)
	}
	d.open[name] = p
}

// arrange puts the open parts in order. The caller holds mu, or nobody reads yet.
func (d *Disk) arrange() {
	d.parts = nil
	for _, name := range d.state.names() {
		d.parts = append(d.parts, d.open[name])
	}
}

// Guard has everything that writes ask first whether there is room, and fail with that error if not.
func (d *Disk) Guard(room func() error) { d.room.Store(&room) }

// Room returns nil when there is room to write, by the judgement of Guard.
func (d *Disk) Room() error {
	if room := d.room.Load(); room != nil {
		return (*room)()
	}
	return nil
}

func (d *Disk) path(name string) string { return filepath.Join(d.dir, name) }

// change makes another manifest durable, then the store's, with parts that it names for the first time or that take the place
// of another of that name. What it does not name any more is for [Disk.drop]. After an error the store is as it was, and the
// parts are not taken.
func (d *Disk) change(edit func(m *manifest), fresh map[string]part) (gone map[string]part, err error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	m := d.manifest()
	edit(&m)
	raw, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return nil, err
	}
	if err := fsutil.WriteFileAtomic(d.path(manifestName), append(raw, '\n'), 0o600); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state, gone = m, map[string]part{}
	for name, p := range fresh {
		d.admit(name, p)
	}
	for name, p := range d.open {
		if !slices.Contains(m.names(), name) {
			gone[name] = p
			delete(d.open, name)
		}
	}
	d.arrange()
	return gone, nil
}

// drop closes and deletes parts that the manifest does not name any more, and that nobody reads therefore.
func (d *Disk) drop(gone map[string]part) error {
	var errs []error
	for name, p := range gone {
		errs = append(errs, p.Close(), RemovePack(d.path(name)), os.RemoveAll(d.path(name)))
	}
	return errors.Join(errs...)
}

// manifest is a copy that may be changed.
func (d *Disk) manifest() manifest {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.state.clone()
}

// removeOrphans deletes parts that the manifest does not name.
func (d *Disk) removeOrphans() error {
	if err := fsutil.RemoveTemps(d.path(manifestName)); err != nil {
		return err
	}
	named := d.state.names()
	if d.state.Import != nil {
		named = append(named, d.state.Import.Pack)
	}
	list, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	for _, f := range list {
		name, _, _ := strings.Cut(f.Name(), ".")
		part := strings.HasPrefix(name, "hot-") || strings.HasPrefix(name, "pack-")
		if part && !slices.Contains(named, name) {
			if err := os.RemoveAll(d.path(f.Name())); err != nil {
				return fmt.Errorf("remove what a crash left: %w", err)
			}
		}
	}
	return nil
}

// newName takes the next name of a pack; the manifest that uses it makes it durable.
func (d *Disk) newName() string {
	d.changing.Lock()
	defer d.changing.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	name := fmt.Sprintf("pack-%d", d.state.Next)
	d.state.Next++
	return name
}

// Close makes everything durable and releases the folder.
func (d *Disk) Close() error {
	d.tidier.end()
	return errors.Join(d.Sync(context.Background()), d.closeParts())
}

func (d *Disk) closeParts() error {
	var errs []error
	for _, p := range d.open {
		errs = append(errs, p.Close())
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}

// Get returns a block.
func (d *Disk) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if data, ok := inline(c); ok {
		return data, nil
	}
	if data, ok := d.late.get(c); ok {
		return data, nil
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, p := range d.parts {
		if data, err := p.Get(ctx, c); !errors.Is(err, ErrNotFound) {
			return data, err
		}
	}
	return nil, notFound(c)
}

// Has tells whether a block is stored.
func (d *Disk) Has(ctx context.Context, c cid.Cid) (bool, error) {
	if _, ok := inline(c); ok {
		return true, nil
	}
	if _, ok := d.late.get(c); ok {
		return true, nil
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, p := range d.parts {
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

// ErrTooLarge: a block is larger than any that archives hold.
var ErrTooLarge = errors.New("the block is too large for the store")

// PutMany stores blocks; they are durable after the next Sync.
func (d *Disk) PutMany(ctx context.Context, blks []blocks.Block) error {
	if err := d.Room(); err != nil {
		return fmt.Errorf("write %d blocks: %w", len(blks), err)
	}
	for _, b := range blks {
		if n := b.Cid().ByteLen() + len(b.RawData()); n > maxCarBlock {
			return fmt.Errorf("write block %s: %w: %d bytes with its name, at most %d", b.Cid(), ErrTooLarge, n, maxCarBlock)
		}
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
		d.noted.note(b.Cid())
	}
	return full
}

// append makes blocks durable in the growing pack. The caller holds syncing.
func (d *Disk) append(list []blocks.Block) error {
	err := d.Room()
	if err == nil && d.first().Size() >= d.rollAt {
		err = d.roll()
	}
	if err == nil {
		err = d.first().append(list)
	}
	if err != nil {
		return fmt.Errorf("write %d blocks: %w", len(list), err)
	}
	return nil
}

// first is the growing pack that takes writes; it changes only while syncing is held.
func (d *Disk) first() *growing {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.parts[0].(*growing)
}

// roll begins the next growing pack. The caller holds syncing.
func (d *Disk) roll() error {
	name := d.newName()
	g, err := createGrowing(d.path(name))
	if err != nil {
		return err
	}
	err = fault.Point("store/roll")
	if err == nil {
		_, err = d.change(func(m *manifest) { m.Growing = append([]string{name}, m.Growing...) }, map[string]part{name: g})
	}
	if err != nil {
		return errors.Join(err, g.Close()) // its files go at the next opening, unless the manifest came to name them
	}
	d.look()
	return nil
}

// Usage tells what the store takes on disk, in bytes.
type Usage struct {
	// Hot was written since the last import or collection, Packs is the rest.
	Hot, Packs int64
	// Packed is the number of blocks in that.
	Packed int
}

// Usage tells what the parts take on disk.
func (d *Disk) Usage() Usage {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var u Usage
	for name, p := range d.open {
		if slices.Contains(d.state.Packs, name) {
			u.Packs += p.Size()
			u.Packed += p.(*Pack).Len()
		} else {
			u.Hot += p.Size()
		}
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
	d.claim() // no part goes away before the end
	defer d.release()
	if err := d.Sync(ctx); err != nil {
		return 0, err
	}
	d.mu.RLock()
	parts := slices.Clone(d.parts)
	d.mu.RUnlock()
	total := 0
	for _, p := range parts {
		n, err := p.Check(ctx)
		if total += n; err != nil {
			return total, err
		}
	}
	return total, nil
}

// Unfinished names the source of an import that was begun and neither ended nor dropped; empty when there is none.
func (d *Disk) Unfinished() string {
	if m := d.manifest(); m.Import != nil {
		return m.Import.Source
	}
	return ""
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
	d.claim()
	im, err := d.beginImport(source)
	if err != nil {
		d.release()
	}
	return im, err
}

func (d *Disk) beginImport(source string) (*Import, error) {
	if im := d.manifest().Import; im != nil {
		if im.Source != source {
			return nil, fmt.Errorf("%w: of %s", ErrImporting, im.Source)
		}
		return &Import{disk: d, Base: d.path(im.Pack), Resumed: true}, nil
	}
	name := d.newName()
	if _, err := d.change(func(m *manifest) { m.Import = &importNote{Pack: name, Source: source} }, nil); err != nil {
		return nil, fmt.Errorf("begin import: %w", err)
	}
	return &Import{disk: d, Base: d.path(name)}, nil
}

// DropImport forgets an interrupted import of any source, and removes its files.
func (d *Disk) DropImport() error {
	d.claim()
	defer d.release()
	return d.dropImport()
}

func (d *Disk) dropImport() error {
	im := d.manifest().Import
	if im == nil {
		return nil
	}
	// The note goes first: files without a note are removed at the next opening.
	if _, err := d.change(func(m *manifest) { m.Import = nil }, nil); err != nil {
		return fmt.Errorf("drop import: %w", err)
	}
	return RemovePack(d.path(im.Pack))
}

// End leaves an unfinished import as it is, to be resumed.
func (i *Import) End() { i.disk.release() }

// Drop ends the import for good.
func (i *Import) Drop() error {
	defer i.disk.release()
	return i.disk.dropImport()
}

// Adopt makes the finished pack part of the store and ends the import. The caller vouches for what is in it.
func (i *Import) Adopt(p *Pack) error {
	d := i.disk
	defer d.release()
	if err := fault.Point("store/adopt"); err != nil {
		return errors.Join(err, p.Close())
	}
	name := d.manifest().Import.Pack
	// The pack is durable; this makes it part of the store, which must precede any head that names its blocks.
	_, err := d.change(func(m *manifest) {
		m.Packs = append([]string{name}, m.Packs...)
		m.Import = nil
	}, map[string]part{name: p})
	if err != nil {
		return errors.Join(fmt.Errorf("adopt pack: %w", err), p.Close())
	}
	return nil
}

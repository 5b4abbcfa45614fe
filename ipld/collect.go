package ipld

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/dgraph-io/badger/v4"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/fault"
)

// How a collection works, and why nothing that is needed can be lost.
//
// The store is what its parts hold together: hot stores H and packs P. A collection makes a new hot store H' that takes all
// writes from then on, copies what is to be kept from H and P into a new pack P', and then lets the manifest name H' and P'
// alone. Dropping the rest is the only thing that takes anything away, so this must hold at that moment:
//
//	Whole: whatever H' and P' hold is there with all that it leads to, and everything to be kept is in them.
//
// Three kinds of blocks need it. (1) What is reachable from the roots: the copy visits it and takes what H' lacks. (2) What
// was written since the change to H': it is in H' already, but it may lead to old blocks that nobody else keeps (a state on
// a branch, say). Every write is noted in a log, and the copy visits what the log leads to, over and over while work goes
// on, the last time while every writer waits. (3) What a computation under way has read or written before the change and
// will refer to later: the last round comes only when no computation that flushes is running (CollectOptions.Still), and
// not before a grace has passed (CollectOptions.Grace), in which whoever wrote something before the change has made it
// part of a block or given it up.
//
// Links that are cut on purpose are the caller's to name: CollectOptions.Follow says where a block leads as far as it
// belongs to it. A header leads to its state, its receipts and its messages, but not to the header before.
//
// A crash leaves the manifest as it was or as it became. Before: H', H and P are the store, P' is a file that nothing names
// and goes at the next opening, which also moves what H' has got into H (a store has one hot part when it opens). After: H'
// and P' are the store, H and P are what nothing names. A collection that fails does the same as a crash before, at once.

// ErrBusy: an import, a check or a collection is running.
var ErrBusy = errors.New("the store is busy with other housekeeping")

// Leaf takes a block alone and tells whether it was new.
type Leaf = func(c cid.Cid) (bool, error)

// Graph takes all that roots lead to. Blocks that are missing are an error unless lenient.
type Graph = func(lenient bool, roots ...cid.Cid) error

// CollectOptions say what a collection keeps.
type CollectOptions struct {
	// Roots names what is to be kept, and is asked again for what changed meanwhile.
	Roots func(ctx context.Context, leaf Leaf, graph Graph) error
	// Follow lists where a written block leads, as far as it belongs to it.
	Follow func(c cid.Cid, data []byte) ([]cid.Cid, error)
	// Grace returns when what was written before the call and led to nothing may go.
	Grace func(ctx context.Context) error
	// Still runs fn while nothing is computed that would be flushed, and while the roots stay what they are.
	Still func(fn func() error) error
	// Progress is told of the bytes kept so far; may be nil.
	Progress func(bytes int64)
}

// Collected is what a collection did.
type Collected struct {
	// Kept blocks and their bytes are in the new pack.
	Kept      int64 `json:"kept"`
	KeptBytes int64 `json:"keptBytes"`
	// Before and After are what the store took on disk.
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

// Collect drops what is not to be kept. Reads and writes go on meanwhile. ErrBusy when other housekeeping runs.
func (d *Disk) Collect(ctx context.Context, o CollectOptions) (Collected, error) {
	if !d.job.TryLock() {
		return Collected{}, ErrBusy
	}
	defer d.job.Unlock()
	if err := d.Room(); err != nil {
		return Collected{}, fmt.Errorf("collect: %w", err)
	}
	c := &collector{d: d, o: o, seen: map[Key]struct{}{}, written: map[Key]struct{}{}}
	c.out.Before = d.Size()
	err := c.run(ctx)
	if err != nil {
		return c.out, errors.Join(fmt.Errorf("collect: %w", err), c.undo())
	}
	c.out.After = d.Size()
	return c.out, nil
}

type collector struct {
	d    *Disk
	o    CollectOptions
	out  Collected
	pack string
	w    *PackWriter
	p    *Pack
	// rotated tells that the first hot store is ours and done that the manifest names it and the pack alone.
	rotated, done bool
	// seen was visited, written was noted in the log: it is in the new hot store.
	seen, written map[Key]struct{}
	// batch waits to be written to the new hot store, once the pack is finished.
	batch []blocks.Block
}

func (c *collector) run(ctx context.Context) error {
	if err := c.rotate(ctx); err != nil {
		return err
	}
	head, err := CARHeader()
	if err != nil {
		return err
	}
	if c.w, err = CreatePack(c.d.path(c.pack), head); err != nil {
		return err
	}
	if err := c.roots(ctx); err != nil {
		return err
	}
	if err := fault.Point("collect/copied"); err != nil {
		return err
	}
	if err := c.drain(ctx); err != nil {
		return err
	}
	if err := c.o.Grace(ctx); err != nil {
		return err
	}
	if err := c.drain(ctx); err != nil {
		return err
	}
	c.out.KeptBytes = c.w.Bytes()
	if c.p, err = c.w.Finish(); err != nil {
		return err
	}
	c.w, c.out.Kept = nil, int64(c.p.Len())
	if err := c.drain(ctx); err != nil { // what came while the index was written
		return err
	}
	return c.o.Still(func() error {
		c.d.writing.Lock()
		defer c.d.writing.Unlock()
		if err := c.drain(ctx); err != nil {
			return err
		}
		if err := c.roots(ctx); err != nil {
			return err
		}
		if err := c.flush(ctx); err != nil {
			return err
		}
		return c.swap()
	})
}

// rotate begins a new hot store and the log of what is written to it.
func (c *collector) rotate(ctx context.Context) error {
	d := c.d
	m := d.manifest()
	name := d.newName(&m, "hot")
	c.pack = d.newName(&m, "pack")
	m.Hot = append([]string{name}, m.Hot...)
	b, err := OpenBadger(d.path(name))
	if err != nil {
		return err
	}
	if d.room != nil {
		b.Guard(d.room)
	}
	if err := fault.Point("collect/rotate"); err != nil {
		return errors.Join(err, b.Close(), os.RemoveAll(d.path(name)))
	}
	d.syncing.Lock()
	defer d.syncing.Unlock()
	d.writing.Lock()
	defer d.writing.Unlock()
	// What waits belongs to the old store: in the new one it would outlive what it leads to.
	if err := d.writeLate(ctx); err != nil {
		return errors.Join(err, b.Close(), os.RemoveAll(d.path(name)))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// The manifest names the new store before the first block is in it.
	if err := d.save(m); err != nil {
		return errors.Join(err, b.Close(), os.RemoveAll(d.path(name)))
	}
	d.hot = append([]*hotPart{{name, b}}, d.hot...)
	d.log, c.rotated = new(writeLog), true
	return nil
}

// manifest is a copy that may be changed.
func (d *Disk) manifest() manifest {
	d.mu.RLock()
	defer d.mu.RUnlock()
	m := d.state
	m.Hot, m.Packs = append([]string{}, m.Hot...), append([]string{}, m.Packs...)
	return m
}

// roots copies what is reachable and was not seen yet.
func (c *collector) roots(ctx context.Context) error {
	leaf := func(k cid.Cid) (bool, error) {
		if _, done := c.seen[KeyOf(k)]; done {
			return false, nil
		}
		data, err := c.d.Get(ctx, k)
		if err != nil {
			return false, err
		}
		c.seen[KeyOf(k)] = struct{}{}
		return true, c.keep(k, data)
	}
	graph := func(lenient bool, roots ...cid.Cid) error {
		s := Sweep{From: c.d, Seen: c.seen, Visit: c.keep}
		if lenient {
			s.Absent = c.forget
		}
		return s.Walk(ctx, roots...)
	}
	return c.o.Roots(ctx, leaf, graph)
}

// forget lets a block that is not there be asked for again: it may be written yet.
func (c *collector) forget(k cid.Cid) error {
	delete(c.seen, KeyOf(k))
	return nil
}

// drain visits what was written since the last time and what it leads to.
func (c *collector) drain(ctx context.Context) error {
	list := c.d.log.take()
	for _, k := range list {
		c.written[KeyOf(k)] = struct{}{}
	}
	s := Sweep{From: c.d, Seen: c.seen, Visit: c.keep, Follow: c.o.Follow, Absent: c.forget}
	if err := s.Walk(ctx, list...); err != nil {
		return err
	}
	return c.flush(ctx)
}

// keep copies a block unless it is in the new hot store anyway: to the pack, or, once that is finished, to the hot store.
func (c *collector) keep(k cid.Cid, data []byte) error {
	if _, there := c.written[KeyOf(k)]; there {
		return nil
	}
	if c.w == nil {
		b, err := blocks.NewBlockWithCid(data, k)
		c.batch = append(c.batch, b)
		return err
	}
	before := c.w.Bytes()
	if err := c.w.Put(k, data); err != nil {
		return err
	}
	if after := c.w.Bytes(); before>>22 != after>>22 {
		if c.o.Progress != nil {
			c.o.Progress(after)
		}
		if err := fault.Point("collect/copy"); err != nil {
			return err
		}
		return c.d.Room()
	}
	return nil
}

// flush writes what keep put aside.
func (c *collector) flush(ctx context.Context) error {
	if len(c.batch) == 0 {
		return nil
	}
	list := c.batch
	c.batch = nil
	return c.d.first().PutMany(ctx, list)
}

// swap makes the new parts the store. Nobody writes.
func (c *collector) swap() error {
	if err := fault.Point("collect/swap"); err != nil {
		return err
	}
	d := c.d
	m := d.manifest()
	m.Hot, m.Packs = m.Hot[:1], []string{c.pack}
	d.mu.Lock()
	// What is kept is durable in the two parts that remain; only now the others may go.
	if err := d.save(m); err != nil {
		d.mu.Unlock()
		return err
	}
	hot, packs := d.hot[1:], d.packs
	d.hot, d.packs, d.log = d.hot[:1:1], []*packPart{{c.pack, c.p}}, nil
	c.done = true
	d.mu.Unlock()
	if err := fault.Point("collect/swapped"); err != nil {
		return err
	}
	return dropParts(d, hot, packs)
}

// dropParts closes and deletes parts that the manifest does not name any more.
func dropParts(d *Disk, hot []*hotPart, packs []*packPart) error {
	var errs []error
	for _, h := range hot {
		errs = append(errs, h.Close(), os.RemoveAll(d.path(h.name)))
	}
	for _, p := range packs {
		errs = append(errs, p.Close(), RemovePack(d.path(p.name)))
	}
	return errors.Join(errs...)
}

// undo ends a collection that failed: the store is again what it was, with what was written meanwhile.
func (c *collector) undo() error {
	if c.done || !c.rotated {
		return nil
	}
	d := c.d
	var errs []error
	if c.w != nil {
		errs = append(errs, c.w.Close())
	}
	if c.p != nil {
		errs = append(errs, c.p.Close())
	}
	errs = append(errs, RemovePack(d.path(c.pack)))
	d.writing.Lock()
	defer d.writing.Unlock()
	d.log = nil
	return errors.Join(append(errs, d.mergeHot())...)
}

// mergeHot moves what the younger hot stores have into the oldest, which remains alone. Nobody writes.
func (d *Disk) mergeHot() error {
	for len(d.hot) > 1 {
		young, old := d.hot[0], d.hot[1]
		if err := young.copyTo(old.Badger); err != nil {
			return err
		}
		if err := fault.Point("store/merged"); err != nil {
			return err
		}
		m := d.manifest()
		m.Hot = m.Hot[1:]
		d.mu.Lock()
		// The old store has everything, durably; the young one may go.
		if err := d.save(m); err != nil {
			d.mu.Unlock()
			return err
		}
		d.hot = d.hot[1:]
		d.mu.Unlock()
		if err := dropParts(d, []*hotPart{young}, nil); err != nil {
			return err
		}
	}
	return nil
}

// copyTo writes everything to another store, durably.
func (b *Badger) copyTo(to *Badger) error {
	defer to.reads.Wrote()
	wb := to.db.NewWriteBatch()
	defer wb.Cancel()
	err := b.db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			if err := wb.Set(it.Item().KeyCopy(nil), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = wb.Flush()
	}
	if err != nil {
		return fmt.Errorf("move blocks to the older store: %w", err)
	}
	return nil
}

// writeLog remembers what is written while a collection runs. The nil log remembers nothing.
type writeLog struct {
	mu   sync.Mutex
	list []cid.Cid
}

func (l *writeLog) note(c cid.Cid) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, c)
}

// take returns what was noted since the last time.
func (l *writeLog) take() []cid.Cid {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list
	l.list = nil
	return list
}

package ipld

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/fault"
)

// How a collection works, and why nothing that is needed can be lost.
//
// The store is what its parts hold together, the old ones O. A collection begins a new growing pack, which takes all writes
// from then on and, with those that follow it, is called G. It copies what is to be kept from O into a new pack P, and then
// lets the manifest name G and P alone. Dropping the rest is the only thing that takes anything away, so this must hold at that
// moment:
//
//	Whole: whatever G and P hold is there with all that it leads to, and everything to be kept is in them.
//
// Three kinds of blocks need it. (1) What is reachable from the roots: the copy visits it and takes what G lacks. (2) What
// was written since G began: it is in G already, but it may lead to old blocks that nobody else keeps (a state on a branch,
// say). Every write is noted in a log, and the copy visits what the log leads to, over and over while work goes
// on, the last time while every writer waits. (3) What a computation under way has read or written before the change and
// will refer to later: the last round comes only when no computation that flushes is running (CollectOptions.Still), and
// not before a grace has passed (CollectOptions.Grace), in which whoever wrote something before the change has made it
// part of a block or given it up.
//
// Links that are cut on purpose are the caller's to name: CollectOptions.Follow says where a block leads as far as it
// belongs to it. A header leads to its state, its receipts and its messages, but not to the header before.
//
// A crash leaves the manifest as it was or as it became. Before: G and O are the store, P is a file that nothing names and goes
// at the next opening. After: G and P are the store, O is what nothing names. A collection that fails does the same as a crash
// before, at once.

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
	if !d.tryClaim() {
		return Collected{}, ErrBusy
	}
	defer d.release()
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
	// old names the parts that are to go, once the collection has begun; named tells that a manifest without them may be on the
	// disk, done that it is the store's.
	old         []string
	named, done bool
	// seen was visited, written was noted in the log: it is in the new growing packs.
	seen, written map[Key]struct{}
	// batch waits to be written to the growing pack, once ours is finished.
	batch []blocks.Block
}

func (c *collector) run(ctx context.Context) error {
	if err := c.rotate(ctx); err != nil {
		return err
	}
	var err error
	if c.w, err = createBare(c.d.path(c.pack)); err != nil {
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
		c.d.syncing.Lock()
		defer c.d.syncing.Unlock()
		c.d.writing.Lock()
		defer c.d.writing.Unlock()
		if err := c.drain(ctx); err != nil {
			return err
		}
		if err := c.roots(ctx); err != nil {
			return err
		}
		if err := c.flush(); err != nil {
			return err
		}
		return c.swap()
	})
}

// rotate begins a new growing pack and the log of what is written from now on.
func (c *collector) rotate(ctx context.Context) error {
	d := c.d
	c.pack = d.newName()
	d.syncing.Lock()
	defer d.syncing.Unlock()
	d.writing.Lock()
	defer d.writing.Unlock()
	// What waits belongs to the old parts: in a new one it would outlive what it leads to.
	if err := d.writeLate(ctx); err != nil {
		return err
	}
	old := d.manifest().names()
	if err := fault.Point("collect/rotate"); err != nil {
		return err
	}
	if err := d.roll(); err != nil {
		return err
	}
	c.old, d.noted = old, new(writeLog)
	return nil
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
	list := c.d.noted.take()
	for _, k := range list {
		c.written[KeyOf(k)] = struct{}{}
	}
	s := Sweep{From: c.d, Seen: c.seen, Visit: c.keep, Follow: c.o.Follow, Absent: c.forget}
	return s.Walk(ctx, list...)
}

// keep copies a block unless it is in the new growing packs anyway: to our pack, or, once that is finished, to a growing one.
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

// flush writes what keep put aside. Nobody writes.
func (c *collector) flush() error {
	if len(c.batch) == 0 {
		return nil
	}
	return c.d.append(c.batch)
}

// swap makes the new parts the store. Nobody writes.
func (c *collector) swap() error {
	if err := fault.Point("collect/swap"); err != nil {
		return err
	}
	d := c.d
	d.tidying.Lock() // an old part may be getting its index
	defer d.tidying.Unlock()
	// What is kept is durable in the parts that remain; only now the others may go.
	c.named = true
	gone, err := d.change(func(m *manifest) {
		old := func(name string) bool { return slices.Contains(c.old, name) }
		m.Growing, m.Rolled, m.Hot = slices.DeleteFunc(m.Growing, old), slices.DeleteFunc(m.Rolled, old), slices.DeleteFunc(m.Hot, old)
		m.Packs = []string{c.pack}
	}, map[string]part{c.pack: c.p})
	if err != nil {
		return err
	}
	c.done, d.noted = true, nil
	if err := fault.Point("collect/swapped"); err != nil {
		return err
	}
	return d.drop(gone)
}

// undo ends a collection that failed: the store is again what it was, with what was written meanwhile.
func (c *collector) undo() error {
	if c.done {
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
	if !c.named { // else it goes at the next opening, unless the manifest is there after all
		errs = append(errs, RemovePack(d.path(c.pack)))
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	d.noted = nil
	return errors.Join(errs...)
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

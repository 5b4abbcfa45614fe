package ipld

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// How the packs that the node writes stay few.
//
// A growing pack that has rolled over gets its index (a seal). When fanIn packs of one class of size have been sealed, they
// are made into one of the next class (a merge): archives one behind the other, indices merged. So n packs' worth of writes lie
// in about log n packs, and every block was copied log n times. Nothing is dropped and nothing is compared: that is what
// collections do. Packs of imports and collections stay as they are. By the way, a store of a former version becomes a pack, and
// packs learn what they lack, so that a block in one of the last costs no reads in those before it.
//
// All this happens in one goroutine beside everything else; seals and merges end in one change of the manifest. A crash before
// it leaves files that nothing names, or an index beside a pack that counts as growing still and is sealed again. What fails is
// tried again when the next pack has rolled over. Housekeeping that somebody asked for goes first: a merge under way gives up,
// none begins, seals go on.

var log = logging.Logger("ipld")

const (
	// fanIn is how many packs of a class become one of the next.
	fanIn = 4
	// topClass is the class whose packs are large enough, 256 GiB or more: four of them would go beyond maxPack.
	topClass = 6
)

// tidier is what a Disk does by itself.
type tidier struct {
	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}
	// tidying is held through a step.
	tidying sync.Mutex

	claims sync.Mutex // guards what follows
	// claimed counts those who run housekeeping, or wait to; giveUp ends the merge under way.
	claimed int
	giveUp  context.CancelFunc
}

func (t *tidier) start(d *Disk) {
	ctx, stop := context.WithCancel(context.Background())
	t.wake, t.stop, t.done = make(chan struct{}, 1), stop, make(chan struct{})
	t.look()
	go func() {
		defer close(t.done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.wake:
			}
			if err := d.tidy(ctx); err != nil && ctx.Err() == nil {
				log.Warnw("packs of the block store were not put in order; they work as they are, and it is tried again", "store", d.dir, "error", err)
			}
		}
	}()
}

// look has the goroutine look for something to do.
func (t *tidier) look() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// end returns when nothing is done any more.
func (t *tidier) end() {
	t.stop()
	<-t.done
}

// claim begins housekeeping that somebody asked for, after that of others; release must follow.
func (d *Disk) claim() {
	d.interrupt()
	d.job.Lock()
}

// tryClaim is claim where waiting for others makes no sense.
func (d *Disk) tryClaim() bool {
	d.interrupt()
	if d.job.TryLock() {
		return true
	}
	d.resume()
	return false
}

func (d *Disk) release() {
	d.job.Unlock()
	d.resume()
}

// interrupt has no merge begin until resume, and returns when none is under way.
func (t *tidier) interrupt() {
	t.claims.Lock()
	t.claimed++
	if t.giveUp != nil {
		t.giveUp()
	}
	t.claims.Unlock()
	t.tidying.Lock() // the step that was under way has ended
	defer t.tidying.Unlock()
}

func (t *tidier) resume() {
	t.claims.Lock()
	defer t.claims.Unlock()
	if t.claimed--; t.claimed == 0 {
		t.look()
	}
}

// merging returns the context of a merge that may begin; nil while it may not.
func (t *tidier) merging(ctx context.Context) context.Context {
	t.claims.Lock()
	defer t.claims.Unlock()
	if t.claimed > 0 {
		return nil
	}
	ctx, t.giveUp = context.WithCancel(ctx)
	return ctx
}

// tidy does what there is to do.
func (d *Disk) tidy(ctx context.Context) error {
	for {
		if more, err := d.tidyStep(ctx); !more || err != nil {
			return err
		}
	}
}

// tidyStep does one thing and tells whether there was any.
func (d *Disk) tidyStep(ctx context.Context) (bool, error) {
	d.tidying.Lock()
	defer d.tidying.Unlock()
	if err := errors.Join(ctx.Err(), d.Room()); err != nil {
		return false, err
	}
	m := d.manifest()
	if n := len(m.Growing); n > 1 {
		return true, d.seal(m.Growing[n-1])
	}
	if p := d.unlearned(); p != nil {
		return true, p.learn(ctx)
	}
	group := d.mergeable(m)
	if group == nil {
		return false, nil
	}
	ctx = d.merging(ctx)
	if ctx == nil {
		return false, nil
	}
	defer d.giveUp()
	if err := d.merge(ctx, group); err != nil {
		if ctx.Err() != nil {
			return false, nil // somebody goes first, or it is the end
		}
		return false, fmt.Errorf("make one pack of %v: %w", group, err)
	}
	return true, nil
}

// seal makes a pack of one that grew, the oldest.
func (d *Disk) seal(name string) error {
	d.mu.RLock()
	g := d.open[name].(*growing)
	d.mu.RUnlock()
	p, err := g.seal()
	if err != nil {
		return err
	}
	_, err = d.change(func(m *manifest) {
		m.Growing = m.Growing[:len(m.Growing)-1]
		m.Rolled = append([]string{name}, m.Rolled...)
	}, map[string]part{name: p})
	if err != nil {
		return errors.Join(err, p.index.Close())
	}
	return g.forgetLength()
}

// unlearned is a pack that has to learn what it lacks; nil when there is none.
func (d *Disk) unlearned() *Pack {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, p := range d.parts {
		if p, ok := p.(*Pack); ok && !p.learned() {
			return p
		}
	}
	return nil
}

// class tells packs that have about one size: 0 for those that rolled over, then fanIn times as much each.
func (d *Disk) class(size int64) int {
	n := 0
	for at := fanIn * d.rollAt; size >= at && n < topClass; at *= fanIn {
		n++
	}
	return n
}

// mergeable lists packs of one class that should be one, newest first, or a former store that should be a pack; nil when
// there are none, or no room for it.
func (d *Disk) mergeable(m manifest) []string {
	groups := make([][]string, topClass+1)
	d.mu.RLock()
	size := map[string]int64{}
	for _, name := range slices.Concat(m.Rolled, m.Hot) {
		size[name] = d.open[name].Size()
	}
	d.mu.RUnlock()
	for _, name := range m.Rolled {
		n := d.class(size[name])
		groups[n] = append(groups[n], name)
	}
	groups = slices.DeleteFunc(groups[:topClass], func(g []string) bool { return len(g) < fanIn })
	for _, name := range m.Hot {
		groups = append(groups, []string{name})
	}
	for _, group := range groups {
		need := uint64(0)
		for _, name := range group {
			need += uint64(size[name])
		}
		free, err := fsutil.FreeOn(d.dir)()
		if err != nil || free >= 2*need { // there should be as much left
			return group
		}
		log.Infow("parts of the block store wait for room to become one pack", "parts", group, "need", need, "free", free)
	}
	return nil
}

// merge makes one pack of several parts, listed newest first.
func (d *Disk) merge(ctx context.Context, group []string) error {
	var from []part
	bytes := int64(0)
	d.mu.RLock()
	for _, name := range slices.Backward(group) { // oldest first, as they were written
		from, bytes = append(from, d.open[name]), bytes+d.open[name].Size()
	}
	d.mu.RUnlock()
	log.Infow("making one pack of parts of the block store", "store", d.dir, "parts", group, "bytes", bytes)
	name := d.newName()
	p, err := d.copyInto(ctx, d.path(name), from)
	if err == nil {
		if err = fault.Point("store/merged"); err != nil {
			err = errors.Join(err, p.Close())
		}
	}
	if err != nil {
		return errors.Join(err, RemovePack(d.path(name)))
	}
	gone, err := d.change(func(m *manifest) {
		in := func(name string) bool { return slices.Contains(group, name) }
		at := max(slices.IndexFunc(m.Rolled, in), 0)
		m.Rolled = slices.DeleteFunc(slices.Insert(m.Rolled, at, name), in)
		m.Hot = slices.DeleteFunc(m.Hot, in)
	}, map[string]part{name: p})
	if err != nil {
		return errors.Join(err, p.Close())
	}
	log.Infow("made one pack of parts of the block store", "store", d.dir, "pack", name, "bytes", p.Size())
	if err := fault.Point("store/changed"); err != nil {
		return err
	}
	return d.drop(gone)
}

// copyInto makes a pack at base of what parts hold: of packs, or of one former store.
func (d *Disk) copyInto(ctx context.Context, base string, from []part) (*Pack, error) {
	if f, ok := from[0].(*former); ok {
		return f.pack(ctx, base, d.Room)
	}
	packs := make([]*Pack, len(from))
	for i, p := range from {
		packs[i] = p.(*Pack)
	}
	return mergePacks(ctx, base, packs, d.Room)
}

// mergePacks makes a pack at base of what several packs hold. goOn is asked now and then.
func mergePacks(ctx context.Context, base string, packs []*Pack, goOn func() error) (*Pack, error) {
	w, err := createBare(base)
	if err != nil {
		return nil, err
	}
	by := make([]int64, len(packs))
	for i, p := range packs {
		if by[i], err = w.appendPack(ctx, p, goOn); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	return w.finishWith(func() (*merger, error) { return mergeEntries(ctx, packs, by) })
}

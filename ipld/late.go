package ipld

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/fault"
)

// lateLimit is how many bytes of blocks may wait for [Disk.Sync]; whoever puts more syncs.
const lateLimit = 64 << 20

// late holds blocks that were put and are not on the disk yet, in the order of their coming.
type late struct {
	// some tells whether there are any, without the lock.
	some  atomic.Bool
	mu    sync.RWMutex
	order []blocks.Block
	held  map[string][]byte // by hash
	bytes int
}

func (l *late) get(c cid.Cid) ([]byte, bool) {
	if !l.some.Load() {
		return nil, false
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	data, ok := l.held[hashOf(c)]
	return data, ok
}

// add takes blocks in and tells whether it is time to sync.
func (l *late) add(blks ...blocks.Block) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[string][]byte{}
	}
	for _, b := range blks {
		c := b.Cid()
		if _, ok := inline(c); ok {
			continue
		}
		if _, ok := l.held[hashOf(c)]; ok {
			continue
		}
		l.held[hashOf(c)] = b.RawData()
		l.order = append(l.order, b)
		l.bytes += len(b.RawData())
	}
	l.some.Store(len(l.order) > 0)
	return l.bytes >= lateLimit
}

// hashOf is the multihash of a CID; that of an ordinary one is not copied.
func hashOf(c cid.Cid) string {
	if s := c.KeyString(); ordinary(s) {
		return s[2:] // behind version and codec
	}
	return string(c.Hash())
}

// all is what waits now, oldest first.
func (l *late) all() []blocks.Block {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Clone(l.order)
}

// written forgets the oldest n blocks, which are on the disk.
func (l *late) written(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.order[:n] {
		delete(l.held, hashOf(b.Cid()))
		l.bytes -= len(b.RawData())
	}
	l.order = slices.Clone(l.order[n:])
	l.some.Store(len(l.order) > 0)
}

// Sync makes durable what was put until now, in the order of its coming, with one wait for the disk. What failed to be
// written stays readable and waits for the next Sync.
func (d *Disk) Sync(ctx context.Context) error {
	d.syncing.Lock()
	defer d.syncing.Unlock()
	d.writing.RLock()
	defer d.writing.RUnlock()
	return d.writeLate(ctx)
}

// writeLate is Sync for a caller that holds syncing and writing.
func (d *Disk) writeLate(ctx context.Context) error {
	list := d.late.all()
	if len(list) == 0 {
		return nil
	}
	if err := fault.Point("store/sync"); err != nil {
		return fmt.Errorf("write %d blocks: %w", len(list), err)
	}
	if err := d.append(list); err != nil {
		return err
	}
	d.late.written(len(list))
	return nil
}

package ipld

import (
	"sync"
	"sync/atomic"
)

// pageCache keeps pages of indices that were read and checked, 32 MiB of them at most: the index of some 1.4 million blocks. A page
// has one slot where it may be, which another page takes over now and then, so that what is asked for often is mostly there.
type pageCache struct {
	slots [pageSlots]atomic.Pointer[cachedPage]
	// packs and misses count.
	packs, misses atomic.Uint64
}

const (
	pageSlots = 8 << 10
	// pageTurn is how many misses of pages whose slots are taken let one take over: most pages of a large store are not asked for
	// again, and copying them would cost more than it saves.
	pageTurn = 8
)

type cachedPage struct {
	pack uint64
	at   int
	page []byte
}

// newPack returns a number that no other pack of the cache has.
func (c *pageCache) newPack() uint64 { return c.packs.Add(1) }

func (c *pageCache) slot(pack uint64, at int) *atomic.Pointer[cachedPage] {
	const spread = 0x9e3779b97f4a7c15 // neighbours of one pack lie beside each other, packs apart
	return &c.slots[(pack*spread+uint64(at))%pageSlots]
}

// get returns a page, which nobody may change.
func (c *pageCache) get(pack uint64, at int) ([]byte, bool) {
	p := c.slot(pack, at).Load()
	if p == nil || p.pack != pack || p.at != at {
		return nil, false
	}
	return p.page, true
}

// offer keeps a copy of a page, perhaps.
func (c *pageCache) offer(pack uint64, at int, page []byte) {
	slot := c.slot(pack, at)
	if slot.Load() != nil && c.misses.Add(1)%pageTurn != 0 {
		return
	}
	slot.Store(&cachedPage{pack, at, append(make([]byte, 0, len(page)), page...)})
}

// pageBuffers are what pages are read into.
var pageBuffers = sync.Pool{New: func() any { return new([pageBytes]byte) }}

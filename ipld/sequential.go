package ipld

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ipfs/go-cid"
)

// Sequential is a blockstore that can be read in an order that its maker knows something about.
type Sequential interface {
	Blockstore
	// Sequential returns a view for one sweep.
	Sequential() Blockstore
}

// nearby is a Disk for one sweep. A pack holds its blocks in the order of the sweep that wrote it, or in that of their coming,
// and another sweep mostly follows the same paths: so a read from a pack takes in what follows, and the next blocks are found
// there without the index. Where that does not pay, as in packs of other makers, it reads block by block and tries again now
// and then.
type nearby struct {
	*Disk
	// some tells whether there is anything in near, without the lock.
	some    atomic.Bool
	mu      sync.Mutex
	near    map[Key][]byte // sections
	windows [windowCount][]Key
	next    int
	// credit grows with every block found nearby and pays for reading ahead. When it is used up, so many blocks are read alone
	// before the next try, twice as many after each in vain.
	credit      int
	alone, wait int
}

const (
	windowBytes = 64 << 10
	windowCount = 64
	windowPrice = 16
	firstCredit = 8 * windowPrice
	mostCredit  = 64 * windowPrice
	firstWait   = 1 << 10
	longestWait = 1 << 16
)

// Sequential implements the interface of that name.
func (d *Disk) Sequential() Blockstore {
	return &nearby{Disk: d, near: map[Key][]byte{}, credit: firstCredit, wait: firstWait}
}

// Get returns a block.
func (n *nearby) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if data, ok := inline(c); ok {
		return data, nil
	}
	k := KeyOf(c)
	if section, ok := n.recall(k); ok {
		return soundSection(section, c)
	}
	if data, err := n.seek(ctx, k, c); !errors.Is(err, ErrNotFound) {
		return data, err
	}
	return n.Disk.Get(ctx, c) // it may wait to be written, or was until now
}

// recall finds a block that was read with another.
func (n *nearby) recall(k Key) ([]byte, bool) {
	if !n.some.Load() {
		return nil, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	section, ok := n.near[k]
	if ok {
		if n.credit = min(n.credit+1, mostCredit); n.credit == mostCredit {
			n.wait = firstWait
		}
	}
	return section, ok
}

// seek asks the parts.
func (n *nearby) seek(ctx context.Context, k Key, c cid.Cid) ([]byte, error) {
	n.Disk.mu.RLock()
	defer n.Disk.mu.RUnlock()
	for _, p := range n.parts {
		if data, err := n.from(ctx, p, k, c); !errors.Is(err, ErrNotFound) {
			return data, err
		}
	}
	return nil, notFound(c)
}

// placed is a part that knows where in an archive a block lies.
type placed interface {
	find(k Key) (entry, bool, error)
	file() *archive
}

// from reads a block and, if it pays, what follows it.
func (n *nearby) from(ctx context.Context, p part, k Key, c cid.Cid) ([]byte, error) {
	in, ok := p.(placed)
	if !ok {
		return p.Get(ctx, c)
	}
	e, ok, err := in.find(k)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look up block %s in pack %s: %w", c, in.file().name, err)
	case !ok:
		return nil, notFound(c)
	case e.length() > windowBytes || !n.pay():
		return in.file().read(e, c)
	}
	return n.readAhead(in.file(), e, c)
}

// pay tells whether reading ahead is worth its price at present.
func (n *nearby) pay() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.credit >= windowPrice:
		n.credit -= windowPrice
		return true
	case n.alone == 0:
		// What lies near is not asked for: it is not worth a look.
		clear(n.near)
		n.windows = [windowCount][]Key{}
		n.some.Store(false)
	}
	if n.alone++; n.alone >= n.wait {
		n.credit, n.alone, n.wait = firstCredit, 0, min(2*n.wait, longestWait)
	}
	return false
}

// readAhead reads the block at e and what follows it.
func (n *nearby) readAhead(a *archive, e entry, c cid.Cid) ([]byte, error) {
	raw := make([]byte, min(windowBytes, a.size.Load()-e.offset()))
	if _, err := a.data.ReadAt(raw, e.offset()); err != nil {
		return nil, fmt.Errorf("read block %s from pack %s: %w", c, a.name, err)
	}
	keys, sections := splitSections(raw)
	n.mu.Lock()
	for _, k := range n.windows[n.next] {
		delete(n.near, k)
	}
	for i, k := range keys {
		n.near[k] = sections[i]
	}
	n.windows[n.next], n.next = keys, (n.next+1)%windowCount
	n.some.Store(true)
	n.mu.Unlock()
	return a.sound(raw[:e.length()], c)
}

// splitSections takes what was read apart into whole sections, as far as they can be told.
func splitSections(raw []byte) (keys []Key, sections [][]byte) {
	for {
		size, m := binary.Uvarint(raw)
		if m <= 0 || size > uint64(len(raw)-m) {
			return keys, sections
		}
		section := raw[:m+int(size)]
		k, err := sectionKey(section[m:])
		if err != nil {
			return keys, sections
		}
		keys, sections = append(keys, k), append(sections, section)
		raw = raw[len(section):]
	}
}

// sectionKey is the key of the block that a section without its length holds.
func sectionKey(body []byte) (Key, error) {
	if len(body) >= ordinaryLength && ordinary(body[:ordinaryLength]) {
		return keyOf(body[:ordinaryLength]), nil
	}
	_, c, err := cid.CidFromBytes(body)
	if err != nil {
		return Key{}, err
	}
	return KeyOf(c), nil
}

// soundSection returns the block of a section after it was checked.
func soundSection(section []byte, want cid.Cid) ([]byte, error) {
	_, m := binary.Uvarint(section)
	name, body := want.KeyString(), section[max(m, 0):]
	if len(body) < len(name) || string(body[:len(name)]) != name {
		return otherSection(section, want)
	}
	data := body[len(name):]
	if err := checkHash(want, data); err != nil {
		return nil, err
	}
	return data[:len(data):len(data)], nil // no append may reach the next block
}

// otherSection is soundSection where the name is not the one that was asked for: it may name the same bytes with another codec.
// A name that the disk forgot must not pass for that of another block, so that it is checked first.
func otherSection(section []byte, want cid.Cid) ([]byte, error) {
	c, data, err := parseSection(section)
	if err == nil {
		err = checkHash(c, data)
	}
	if err != nil {
		return nil, fmt.Errorf("read block %s: %w", want, err)
	}
	if !bytes.Equal(c.Hash(), want.Hash()) {
		return nil, notFound(want)
	}
	return data[:len(data):len(data)], nil
}

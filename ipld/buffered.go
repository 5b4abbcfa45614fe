package ipld

import (
	"context"
	"fmt"
	"sync"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
)

// Buffered is a blockstore that writes to memory and reads through to a base.
// [Buffered.Flush] copies what a root can reach into the base; the rest, the
// garbage of a computation, is dropped with the buffer.
type Buffered struct {
	base Blockstore

	mu sync.RWMutex
	// held is by the bytes of the CID, as links have them.
	held map[string]*heldBlock
	// walk numbers the flushes, so that none needs a set of what it has seen.
	walk uint64
}

// heldBlock is one block of the buffer.
type heldBlock struct {
	cid  cid.Cid
	data []byte
	// walk is the last flush that came by.
	walk uint64
}

// NewBuffered puts a write buffer before base.
func NewBuffered(base Blockstore) *Buffered {
	return &Buffered{base: base, held: map[string]*heldBlock{}}
}

func (b *Buffered) lookup(c cid.Cid) *heldBlock {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.held[c.KeyString()]
}

// Get reads the buffer, then the base.
func (b *Buffered) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if h := b.lookup(c); h != nil {
		return h.data, nil
	}
	return b.base.Get(ctx, c)
}

// Has asks the buffer, then the base.
func (b *Buffered) Has(ctx context.Context, c cid.Cid) (bool, error) {
	if b.lookup(c) != nil {
		return true, nil
	}
	return b.base.Has(ctx, c)
}

// Put writes to the buffer.
func (b *Buffered) Put(_ context.Context, c cid.Cid, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold(c, data)
	return nil
}

// PutMany writes to the buffer.
func (b *Buffered) PutMany(_ context.Context, blks []blocks.Block) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, blk := range blks {
		b.hold(blk.Cid(), blk.RawData())
	}
	return nil
}

func (b *Buffered) hold(c cid.Cid, data []byte) {
	if name := c.KeyString(); b.held[name] == nil {
		b.held[name] = &heldBlock{cid: c, data: data}
	}
}

// flushBatch bounds what one write to the base holds, in blocks.
const flushBatch = 1024

// Flush writes every buffered block that the roots reach to the base, children
// before parents, so that a crash in between leaves no object without its
// children. The walk stops at blocks that are not in the buffer: they are in
// the base already, with all below them.
func (b *Buffered) Flush(ctx context.Context, roots ...cid.Cid) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.walk++
	f := flush{buffer: b, ctx: ctx}
	for _, root := range roots {
		if err := f.visit(b.held[root.KeyString()]); err != nil {
			return fmt.Errorf("flush %s: %w", root, err)
		}
	}
	if err := f.write(); err != nil {
		return fmt.Errorf("flush %s: %w", roots, err)
	}
	return nil
}

// flush is one walk of Flush. It runs under the buffer's lock.
type flush struct {
	buffer *Buffered
	ctx    context.Context
	batch  []blocks.Block
}

// visit takes what a block leads to, then the block; nil is one that the buffer does not hold.
func (f *flush) visit(h *heldBlock) error {
	if h == nil || h.walk == f.buffer.walk || !walkable(h.cid) {
		return nil
	}
	h.walk = f.buffer.walk
	children, err := f.children(h)
	if err != nil {
		return fmt.Errorf("read links of %s: %w", h.cid, err)
	}
	for _, child := range children {
		if err := f.visit(child); err != nil {
			return err
		}
	}
	blk, err := blocks.NewBlockWithCid(h.data, h.cid)
	if err != nil {
		return err
	}
	f.batch = append(f.batch, blk)
	if len(f.batch) < flushBatch {
		return nil
	}
	return f.write()
}

// children are the buffer's blocks that a block links to. Most links lead out of the buffer and are not worth taking apart.
func (f *flush) children(h *heldBlock) (list []*heldBlock, err error) {
	if !isCBOR(h.cid) {
		return nil, nil
	}
	err = eachLink(h.data, func(raw []byte) error {
		if child := f.buffer.held[string(raw)]; child != nil {
			list = append(list, child)
			return nil
		}
		if ordinary(raw) {
			return nil
		}
		_, err := linkCid(raw)
		return err
	})
	return list, err
}

func (f *flush) write() error {
	if len(f.batch) == 0 {
		return nil
	}
	full := f.batch
	f.batch = nil // A base may keep the slice.
	return f.buffer.base.PutMany(f.ctx, full)
}

// walkable tells whether a link leads to an object that stores hold: identity
// CIDs carry their content, piece and replica commitments name data that is
// never stored as blocks.
func walkable(c cid.Cid) bool {
	if ordinary(c.KeyString()) {
		return true
	}
	if _, ok := inline(c); ok {
		return false
	}
	codec := c.Prefix().Codec
	return codec != cid.FilCommitmentSealed && codec != cid.FilCommitmentUnsealed
}

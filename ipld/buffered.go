package ipld

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	cbg "github.com/whyrusleeping/cbor-gen"
)

// Buffered is a blockstore that writes to memory and reads through to a base.
// [Buffered.Flush] copies what a root can reach into the base; the rest, the
// garbage of a computation, is dropped with the buffer.
type Buffered struct {
	base Blockstore
	mem  *Memory
}

// NewBuffered puts a write buffer before base.
func NewBuffered(base Blockstore) *Buffered {
	return &Buffered{base: base, mem: NewMemory()}
}

// Get reads the buffer, then the base.
func (b *Buffered) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, err := b.mem.Get(ctx, c)
	if errors.Is(err, ErrNotFound) {
		return b.base.Get(ctx, c)
	}
	return data, err
}

// Has asks the buffer, then the base.
func (b *Buffered) Has(ctx context.Context, c cid.Cid) (bool, error) {
	if ok, err := b.mem.Has(ctx, c); ok || err != nil {
		return ok, err
	}
	return b.base.Has(ctx, c)
}

// Put writes to the buffer.
func (b *Buffered) Put(ctx context.Context, c cid.Cid, data []byte) error {
	return b.mem.Put(ctx, c, data)
}

// PutMany writes to the buffer.
func (b *Buffered) PutMany(ctx context.Context, blks []blocks.Block) error {
	return b.mem.PutMany(ctx, blks)
}

// flushBatch bounds what one write to the base holds, in blocks.
const flushBatch = 1024

// Flush writes every buffered block that root reaches to the base, children
// before parents, so that a crash in between leaves no object without its
// children. The walk stops at blocks that are not in the buffer: they are in
// the base already, with all below them.
func (b *Buffered) Flush(ctx context.Context, root cid.Cid) error {
	var batch []blocks.Block
	seen := map[cid.Cid]struct{}{}
	var visit func(c cid.Cid) error
	visit = func(c cid.Cid) error {
		if _, done := seen[c]; done || !walkable(c) {
			return nil
		}
		seen[c] = struct{}{}
		data, err := b.mem.Get(ctx, c)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		links, err := Links(c, data)
		if err != nil {
			return err
		}
		for _, l := range links {
			if err := visit(l); err != nil {
				return err
			}
		}
		blk, err := blocks.NewBlockWithCid(data, c)
		if err != nil {
			return fmt.Errorf("flush block %s: %w", c, err)
		}
		batch = append(batch, blk)
		if len(batch) < flushBatch {
			return nil
		}
		full := batch
		batch = nil
		return b.base.PutMany(ctx, full)
	}
	if err := visit(root); err != nil {
		return fmt.Errorf("flush %s: %w", root, err)
	}
	if len(batch) == 0 {
		return nil
	}
	if err := b.base.PutMany(ctx, batch); err != nil {
		return fmt.Errorf("flush %s: %w", root, err)
	}
	return nil
}

// walkable tells whether a link leads to an object that stores hold: identity
// CIDs carry their content, piece and replica commitments name data that is
// never stored as blocks.
func walkable(c cid.Cid) bool {
	if _, ok := inline(c); ok {
		return false
	}
	codec := c.Prefix().Codec
	return codec != cid.FilCommitmentSealed && codec != cid.FilCommitmentUnsealed
}

// Links lists the CIDs that a block holds. Only dag-cbor has any.
func Links(c cid.Cid, data []byte) ([]cid.Cid, error) {
	if c.Prefix().Codec != cid.DagCBOR {
		return nil, nil
	}
	var out []cid.Cid
	if err := cbg.ScanForLinks(bytes.NewReader(data), func(l cid.Cid) { out = append(out, l) }); err != nil {
		return nil, fmt.Errorf("read links of %s: %w", c, err)
	}
	return out, nil
}

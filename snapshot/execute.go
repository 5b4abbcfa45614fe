package snapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/types"
)

// Judge decides whether a block is valid, as package consensus does for one whose parents are in the store.
type Judge interface {
	ValidateBlock(ctx context.Context, b *types.FullBlock) error
}

// Execute takes the chain of an archive in without trusting it: of the archive only headers and messages count, every block
// is judged and every tipset executed from where our chain is. The archive must hold the messages of all epochs. Each tipset
// that is valid becomes the head; what was interrupted goes on there.
func Execute(ctx context.Context, disk *ipld.Disk, s *chain.Store, src *Source, judge Judge, o ImportOptions) (Imported, error) {
	t := newTaker(s, src, o)
	t.messages = true
	out, err := t.execute(ctx, disk, judge)
	if err != nil {
		return out, fmt.Errorf("import %s: %w", src.Name, err)
	}
	return out, nil
}

func (t *taker) execute(ctx context.Context, disk *ipld.Disk, judge Judge) (Imported, error) {
	if err := t.open(); err != nil {
		return t.out, err
	}
	im, err := disk.BeginImport(t.src.Name)
	if err != nil {
		return t.out, err
	}
	pack, err := t.take(ctx, im, disk.Room)
	if err != nil {
		return t.out, t.giveUp(im, err)
	}
	err = t.runAll(ctx, pack, judge)
	// The pack was only the bearer: what is valid lies in the store as blocks that were judged.
	if err = errors.Join(err, pack.Close()); err != nil {
		return t.out, t.giveUp(im, err)
	}
	return t.out, im.Drop()
}

// runAll judges the tipsets of a pack, oldest first.
func (t *taker) runAll(ctx context.Context, p *ipld.Pack, judge Judge) error {
	v, err := t.judge(ctx, p)
	if err != nil {
		return err
	}
	if t.store.Genesis() == nil {
		if err := t.found(ctx, p, v.genesis); err != nil {
			return err
		}
	}
	read, err := readerOver(ctx, t.store, p)
	if err != nil {
		return err
	}
	t.out.Head, t.out.Height, t.out.Blocks = v.head.Key(), v.head.Height(), int64(p.Len())
	var todo []types.TipSetKey // newest first
	err = read.EachBack(ctx, v.head, func(ts *types.TipSet) error {
		known, err := t.store.Has(ctx, ts.Key())
		if err != nil {
			return err
		}
		if known {
			return errKnown
		}
		todo = append(todo, ts.Key())
		return nil
	})
	if err != nil && !errors.Is(err, errKnown) {
		return err
	}
	for i := len(todo) - 1; i >= 0; i-- {
		ts, err := read.TipSet(ctx, todo[i])
		if err != nil {
			return err
		}
		if err := t.accept(ctx, read, ts, judge); err != nil {
			return err
		}
		t.out.States++
		if t.o.Progress != nil {
			t.o.Progress(Progress{Phase: "execute", Done: int64(ts.Height()), Total: int64(v.head.Height()), Height: ts.Height()})
		}
	}
	if head := t.store.Head(); head.Key() != v.head.Key() {
		return fmt.Errorf("%w: all of it is valid, and the head stays %s at height %d, which is heavier", ErrNothingNew, head.Key(), head.Height())
	}
	return nil
}

// errKnown ends a walk at what we have.
var errKnown = errors.New("known")

// found copies the genesis.
func (t *taker) found(ctx context.Context, p *ipld.Pack, h *types.BlockHeader) error {
	s := ipld.Sweep{From: p, Visit: func(c cid.Cid, data []byte) error { return t.store.Blocks().Put(ctx, c, data) }}
	if err := s.Walk(ctx, h.ParentStateRoot, h.ParentMessageReceipts, h.Messages); err != nil {
		return fmt.Errorf("%w: genesis: %w", ErrIncomplete, err)
	}
	return t.store.SetGenesis(ctx, h)
}

// accept judges the blocks of a tipset at once and makes them part of our chain.
func (t *taker) accept(ctx context.Context, read *chain.Store, ts *types.TipSet, judge Judge) error {
	full := make([]*types.FullBlock, len(ts.Blocks()))
	g, each := errgroup.WithContext(ctx)
	for i, h := range ts.Blocks() {
		g.Go(func() (err error) {
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("judging block %s at height %d panicked: %v", h.Cid(), h.Height, p)
				}
			}()
			if full[i], err = read.FullBlock(each, h); err != nil {
				return err
			}
			if err := judge.ValidateBlock(each, full[i]); err != nil {
				return fmt.Errorf("block %s at height %d: %w", h.Cid(), h.Height, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := fault.Point("import/execute"); err != nil {
		return err
	}
	for _, b := range full {
		if _, _, err := t.store.AcceptFull(ctx, b); err != nil {
			return fmt.Errorf("accept block %s: %w", b.Cid(), err)
		}
	}
	return nil
}

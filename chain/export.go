package chain

import (
	"context"
	"fmt"
	"io"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	carv2 "github.com/ipld/go-car/v2"
	"github.com/ipld/go-car/v2/storage"

	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/types"
)

// ExportOptions say how much of a chain an archive holds.
type ExportOptions struct {
	// Recent is for how many epochs, counted back from the tipset, states and receipts are there.
	Recent abi.ChainEpoch
	// SkipOldMessages leaves the messages of older blocks out.
	SkipOldMessages bool
}

// Export writes a CAR, version 1, whose roots are the blocks of ts: all headers down to the genesis, the genesis state, and
// what the options name. Blocks come newest first, each once.
func Export(ctx context.Context, w io.Writer, s *Store, ts *types.TipSet, o ExportOptions) error {
	out, err := storage.NewWritable(w, ts.Cids(), carv2.WriteAsCarV1(true), carv2.AllowDuplicatePuts(true))
	if err != nil {
		return fmt.Errorf("write car header: %w", err)
	}
	seen := map[cid.Cid]struct{}{}
	put := func(c cid.Cid, data []byte) error { return out.Put(ctx, c.KeyString(), data) }
	for cur := ts; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, h := range cur.Blocks() {
			raw, err := h.Serialize()
			if err != nil {
				return err
			}
			if err := put(h.Cid(), raw); err != nil {
				return fmt.Errorf("write block %s: %w", h.Cid(), err)
			}
			if err := ipld.WalkUnseen(ctx, s.blocks, seen, put, o.parts(h, ts.Height())...); err != nil {
				return fmt.Errorf("export block %s at height %d: %w", h.Cid(), h.Height, err)
			}
		}
		if cur.Height() == 0 {
			break
		}
		if cur, err = s.Parent(ctx, cur); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	if err := out.Finalize(); err != nil {
		return fmt.Errorf("finish car: %w", err)
	}
	return nil
}

// parts are the graphs of a header that the archive holds.
func (o ExportOptions) parts(h *types.BlockHeader, head abi.ChainEpoch) []cid.Cid {
	var out []cid.Cid
	young := h.Height == 0 || h.Height > head-o.Recent
	if young || !o.SkipOldMessages {
		out = append(out, h.Messages)
	}
	if young {
		out = append(out, h.ParentStateRoot, h.ParentMessageReceipts)
	}
	return out
}

package ipld

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	carv2 "github.com/ipld/go-car/v2"
	"github.com/ipld/go-car/v2/storage"
)

// maxCarBlock bounds one block of a foreign archive, in bytes.
const maxCarBlock = 8 << 20

// ReadCAR copies all blocks of a CAR (version 1 or 2) into the store, each
// checked against its CID, and returns the archive's roots.
func ReadCAR(ctx context.Context, r io.Reader, into Blockstore) ([]cid.Cid, error) {
	br, err := carv2.NewBlockReader(bufio.NewReaderSize(r, 1<<20), carv2.MaxAllowedSectionSize(maxCarBlock))
	if err != nil {
		return nil, fmt.Errorf("read car header: %w", err)
	}
	var batch []blocks.Block
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		blk, err := br.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read car block: %w", err)
		}
		if err == nil {
			if blk, err = CheckedBlock(blk.Cid(), blk.RawData()); err != nil {
				return nil, fmt.Errorf("read car: %w", err)
			}
			batch = append(batch, blk)
		}
		if blk == nil || len(batch) >= flushBatch {
			if err := into.PutMany(ctx, batch); err != nil {
				return nil, fmt.Errorf("store car blocks: %w", err)
			}
			batch = batch[:0:0]
		}
		if blk == nil {
			return br.Roots, nil
		}
	}
}

// WriteCAR writes everything that the roots reach as CAR version 1, parents
// before children, each block once. The order depends on the content only.
func WriteCAR(ctx context.Context, w io.Writer, from Blockstore, roots ...cid.Cid) error {
	out, err := storage.NewWritable(w, roots, carv2.WriteAsCarV1(true), carv2.AllowDuplicatePuts(false))
	if err != nil {
		return fmt.Errorf("write car header: %w", err)
	}
	err = Walk(ctx, from, func(c cid.Cid, data []byte) error {
		return out.Put(ctx, c.KeyString(), data)
	}, roots...)
	if err != nil {
		return fmt.Errorf("write car: %w", err)
	}
	if err := out.Finalize(); err != nil {
		return fmt.Errorf("finish car: %w", err)
	}
	return nil
}

// Walk visits every block that the roots reach, once, parents first: a [Sweep] of its own.
func Walk(ctx context.Context, from Blockstore, visit func(cid.Cid, []byte) error, roots ...cid.Cid) error {
	return (&Sweep{From: from, Visit: visit}).Walk(ctx, roots...)
}

package snapshot

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/types"
)

// Progress tells how far a long job is.
type Progress struct {
	// Phase is what it does: "export", "import", "index", "check" or "execute".
	Phase string
	// Done and Total are in bytes, or in epochs while a chain is executed; Total is zero where nobody knows it.
	Done, Total int64
	// Height is where in the chain the job is, if it walks one.
	Height abi.ChainEpoch
}

// ExportOptions say what an archive holds.
type ExportOptions struct {
	chain.Retention
	// Progress is told of now and then; may be nil.
	Progress func(Progress)
}

// Exported is what an archive got.
type Exported struct {
	Head   types.TipSetKey `json:"head"`
	Height abi.ChainEpoch  `json:"height"`
	Blocks int64           `json:"blocks"`
	// Bytes is the length of the archive before compression.
	Bytes int64 `json:"bytes"`
}

// tellEvery is how many bytes pass between two tellings of progress.
const tellEvery = 4 << 20

// Export writes the chain that ends in ts. Tipsets come newest first, each header followed by what lies below it and was
// not written before. The bytes depend on the chain and the options alone.
func Export(ctx context.Context, w io.Writer, s *chain.Store, ts *types.TipSet, o ExportOptions) (Exported, error) {
	x := &exporter{out: bufio.NewWriterSize(w, 1<<20), o: o, sum: Exported{Head: ts.Key(), Height: ts.Height()}, height: ts.Height()}
	head, err := ipld.CARHeader(ts.Cids()...)
	if err != nil {
		return x.sum, err
	}
	if err := x.write(head); err != nil {
		return x.sum, err
	}
	sweep := ipld.Sweep{From: s.Blocks(), Visit: x.put}
	err = s.EachBack(ctx, ts, func(cur *types.TipSet) error {
		x.height = cur.Height()
		for _, h := range cur.Blocks() {
			raw, err := h.Serialize()
			if err != nil {
				return err
			}
			if err := x.put(h.Cid(), raw); err != nil {
				return err
			}
			if err := sweep.Walk(ctx, o.Parts(h, ts.Height())...); err != nil {
				return fmt.Errorf("below block %s at height %d: %w", h.Cid(), h.Height, err)
			}
		}
		return nil
	})
	if err != nil {
		return x.sum, fmt.Errorf("export the chain of %s: %w", ts.Key(), err)
	}
	if err := x.out.Flush(); err != nil {
		return x.sum, fmt.Errorf("write archive: %w", err)
	}
	x.tell()
	return x.sum, nil
}

type exporter struct {
	out    *bufio.Writer
	o      ExportOptions
	sum    Exported
	height abi.ChainEpoch
	told   int64
	buf    []byte
}

func (x *exporter) put(c cid.Cid, data []byte) error {
	x.buf = ipld.AppendSection(x.buf[:0], c, data)
	x.sum.Blocks++
	return x.write(x.buf)
}

func (x *exporter) write(b []byte) error {
	if _, err := x.out.Write(b); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	if x.sum.Bytes += int64(len(b)); x.sum.Bytes-x.told >= tellEvery {
		x.tell()
	}
	return nil
}

func (x *exporter) tell() {
	x.told = x.sum.Bytes
	if x.o.Progress != nil {
		x.o.Progress(Progress{Phase: "export", Done: x.sum.Bytes, Height: x.height})
	}
}

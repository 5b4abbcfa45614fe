package seal

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// checkChunk is how much of an unsealed file is read at a time.
const checkChunk = 4 << 20

// CheckUnsealed compares an unsealed file at rest with the data commitment of its sector: its size, and if deep every byte. No
// proof needs such a file; data is served from it.
func (s *Sealer) CheckUnsealed(ctx context.Context, sector Sector, path string, commD cid.Cid, deep bool) error {
	sh, err := shape.OfSeal(sector.Proof)
	if err != nil {
		return err
	}
	want, err := commp.FromCID(commD)
	if err != nil {
		return fmt.Errorf("data commitment of %s: %w", sector, err)
	}
	f, err := s.openSized(path, int64(sh.Size))
	if err != nil {
		return err
	}
	defer f.Close() // opened for reading only
	if !deep {
		return nil
	}
	var (
		tree commp.Tree
		m    = s.meter(sector, "check unsealed", uint64(sh.Size))
		in   = &cancelReader{ctx, io.NewSectionReader(f, 0, int64(sh.Size))}
		buf  = make([]byte, min(checkChunk, int(sh.Size)))
	)
	for {
		n, err := io.ReadFull(in, buf) // sizes are powers of two: what is read is whole nodes
		if errors.Is(err, io.EOF) {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fileError(path, "%w", err)
		}
		if _, err := tree.Write(buf[:n]); err != nil {
			return fileError(path, "%w", err)
		}
		m.add(uint64(n))
	}
	if root := tree.Root(abi.PaddedPieceSize(sh.Size)); root != want {
		return fileError(path, "its data has commitment %s, the sector's is %s", commp.CID(root), commD)
	}
	return nil
}

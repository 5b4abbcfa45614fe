package seal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// AddPiece appends a piece to the unsealed file, which holds the pieces in existing and nothing else that counts: bytes
// behind them (of an AddPiece that never returned) are overwritten. Size is 127*2^k; r must give exactly size bytes, or be
// nil for a piece of zeros, which takes no space on disk. The piece must be aligned to its own size. The data is durable
// when AddPiece returns.
func (s *Sealer) AddPiece(ctx context.Context, sector Sector, paths Paths, existing []abi.UnpaddedPieceSize, size abi.UnpaddedPieceSize, r io.Reader) (abi.PieceInfo, error) {
	fail := func(err error) (abi.PieceInfo, error) {
		return abi.PieceInfo{}, fmt.Errorf("add piece to %s: %w", sector, err)
	}
	sh, err := shape.OfSeal(sector.Proof)
	if err != nil {
		return fail(err)
	}
	offset, err := pieceOffset(sh, existing, size)
	if err != nil {
		return fail(err)
	}
	if err := paths.prepare(); err != nil {
		return fail(err)
	}
	f, err := os.OpenFile(paths.Unsealed, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fail(err)
	}
	if info.Size() < offset {
		return fail(fileError(paths.Unsealed, "has %d bytes, existing pieces take %d", info.Size(), offset))
	}
	if err := f.Truncate(offset); err != nil {
		return fail(err)
	}
	node, err := writePiece(ctx, f, offset, size, r)
	if err != nil {
		return fail(err)
	}
	if err := f.Sync(); err != nil {
		return fail(err)
	}
	if err := fsutil.SyncDir(filepath.Dir(paths.Unsealed)); err != nil {
		return fail(err)
	}
	return abi.PieceInfo{Size: size.Padded(), PieceCID: commp.CID(node)}, durable("piece")
}

func pieceOffset(sh shape.Seal, existing []abi.UnpaddedPieceSize, size abi.UnpaddedPieceSize) (int64, error) {
	var offset abi.PaddedPieceSize
	for i, e := range append(existing[:len(existing):len(existing)], size) {
		if err := e.Validate(); err != nil {
			return 0, fmt.Errorf("%w: piece %d: %w", ErrInput, i, err)
		}
		if i < len(existing) {
			offset += e.Padded()
		}
	}
	if offset%size.Padded() != 0 {
		return 0, fmt.Errorf("%w: piece of %d padded bytes at offset %d is not aligned; fill with smaller pieces first", ErrInput, size.Padded(), offset)
	}
	if uint64(offset+size.Padded()) > uint64(sh.Size) {
		return 0, fmt.Errorf("%w: piece of %d padded bytes at offset %d exceeds the sector of %d", ErrInput, size.Padded(), offset, sh.Size)
	}
	return int64(offset), nil
}

func writePiece(ctx context.Context, f *os.File, offset int64, size abi.UnpaddedPieceSize, r io.Reader) (fr32.Node, error) {
	if r == nil {
		return commp.Zero(size.Padded()), f.Truncate(offset + int64(size.Padded()))
	}
	var tree commp.Tree
	padder := fr32.NewPadder(io.MultiWriter(io.NewOffsetWriter(f, offset), &tree))
	n, err := io.CopyBuffer(padder, &cancelReader{ctx, io.LimitReader(r, int64(size))}, make([]byte, 1<<17))
	if err != nil {
		return fr32.Node{}, fmt.Errorf("copy piece data: %w", err)
	}
	if n != int64(size) {
		return fr32.Node{}, fmt.Errorf("%w: piece data has %d bytes, want %d", ErrInput, n, size)
	}
	if err := padder.Close(); err != nil {
		return fr32.Node{}, err
	}
	return tree.Root(size.Padded()), nil
}

// cancelReader stops reading once the context ends.
type cancelReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

// ReadPiece opens user bytes of the unsealed file: size bytes from offset, both in unpadded bytes and multiples of 127.
func (s *Sealer) ReadPiece(paths Paths, offset, size abi.UnpaddedPieceSize) (io.ReadCloser, error) {
	from, to, err := paddedRange(offset, size)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(paths.Unsealed)
	if err != nil {
		return nil, fileError(paths.Unsealed, "%w", err)
	}
	if info, err := f.Stat(); err != nil || info.Size() < to {
		_ = f.Close()
		return nil, fileError(paths.Unsealed, "does not reach to byte %d: %w", to, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return struct {
		io.Reader
		io.Closer
	}{fr32.NewUnpadder(io.NewSectionReader(f, from, to-from)), f}, nil
}

// paddedRange is where a range of user bytes stands in a file of padded ones.
func paddedRange(offset, size abi.UnpaddedPieceSize) (from, to int64, err error) {
	const longest = 1 << 40 // more than any sector, and far from overflow
	if offset > longest || size > longest {
		return 0, 0, fmt.Errorf("%w: range of %d bytes from %d is outside every sector", ErrInput, size, offset)
	}
	if offset%fr32.RawBlock != 0 || size%fr32.RawBlock != 0 {
		return 0, 0, fmt.Errorf("%w: range of %d bytes from %d is no multiple of %d", ErrInput, size, offset, fr32.RawBlock)
	}
	from = int64(fr32.PaddedSize(uint64(offset)))
	return from, from + int64(fr32.PaddedSize(uint64(size))), nil
}

// ReleaseUnsealed removes the unsealed file; a sealed sector gives its data back by Unseal.
func (s *Sealer) ReleaseUnsealed(paths Paths) error {
	if err := os.Remove(paths.Unsealed); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("release unsealed data: %w", err)
	}
	return nil
}

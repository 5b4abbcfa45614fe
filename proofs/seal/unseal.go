package seal

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/sdr"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// Unseal makes the unsealed file again from the sealed one: it computes all labels (as long as PreCommit1 takes) and
// subtracts them. The result must have the commitment unsealed, or no file appears.
func (s *Sealer) Unseal(ctx context.Context, sector Sector, paths Paths, ticket abi.SealRandomness, unsealed cid.Cid) error {
	if err := s.unseal(ctx, sector, paths, ticket, unsealed); err != nil {
		return fmt.Errorf("unseal %s: %w", sector, err)
	}
	return nil
}

func (s *Sealer) unseal(ctx context.Context, sector Sector, paths Paths, ticket abi.SealRandomness, unsealed cid.Cid) error {
	sh, err := shape.OfSeal(sector.Proof)
	if err != nil {
		return err
	}
	commD, err := commp.FromCID(unsealed)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInput, err)
	}
	id, err := replicaID(sh, sector, ticket, commD)
	if err != nil {
		return err
	}
	if err := paths.prepare(); err != nil {
		return err
	}
	replica, err := openSized(paths.Sealed, int64(sh.Size))
	if err != nil {
		return err
	}
	defer replica.Close()
	pair, err := newLayers(sh)
	if err != nil {
		return err
	}
	defer pair.free()
	labels, err := s.lastLayer(ctx, sh, id, s.meter(sector, "unseal", labelBytes(sh, uint64(sh.Size))), pair, uint64(sh.Size))
	if err != nil {
		return err
	}
	err = fsutil.Fill(paths.Unsealed, 0o644, func(f *os.File) error {
		var tree commp.Tree
		w := io.MultiWriter(f, &tree)
		buf := make([]byte, min(uint64(sh.Size), 1<<20))
		for len(labels) > 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, err := io.ReadFull(replica, buf); err != nil {
				return fileError(paths.Sealed, "%w", err)
			}
			if err := porep.Decode(buf, buf, labels[:len(buf)]); err != nil {
				return fileError(paths.Sealed, "%w", err)
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
			labels = labels[len(buf):]
		}
		if root := tree.Root(abi.PaddedPieceSize(sh.Size)); root != commD {
			return fmt.Errorf("%w: sealed file, ticket and commitment do not fit together: unsealed data has CommD %s, want %s", ErrInput, root, commD)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return durable("unsealed")
}

// UnsealRange writes user bytes of a sealed sector to w: size bytes from offset, both in unpadded bytes and multiples of
// 127. It takes nearly as long as Unseal, for all layers but the last are needed in full. A part has no commitment to be
// checked against: who wants to be sure compares the commitment of a piece.
func (s *Sealer) UnsealRange(ctx context.Context, sector Sector, paths Paths, ticket abi.SealRandomness, unsealed cid.Cid, offset, size abi.UnpaddedPieceSize, w io.Writer) error {
	if err := s.unsealRange(ctx, sector, paths, ticket, unsealed, offset, size, w); err != nil {
		return fmt.Errorf("unseal %d bytes from %d of %s: %w", size, offset, sector, err)
	}
	return nil
}

func (s *Sealer) unsealRange(ctx context.Context, sector Sector, paths Paths, ticket abi.SealRandomness, unsealed cid.Cid, offset, size abi.UnpaddedPieceSize, w io.Writer) error {
	sh, err := shape.OfSeal(sector.Proof)
	if err != nil {
		return err
	}
	from, to, err := paddedRange(offset, size)
	if err != nil {
		return err
	}
	if to > int64(sh.Size) {
		return fmt.Errorf("%w: the sector ends at unpadded byte %d", ErrInput, abi.PaddedPieceSize(sh.Size).Unpadded())
	}
	commD, err := commp.FromCID(unsealed)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInput, err)
	}
	id, err := replicaID(sh, sector, ticket, commD)
	if err != nil {
		return err
	}
	replica, err := openSized(paths.Sealed, int64(sh.Size))
	if err != nil {
		return err
	}
	defer replica.Close()
	pair, err := newLayers(sh)
	if err != nil {
		return err
	}
	defer pair.free()
	labels, err := s.lastLayer(ctx, sh, id, s.meter(sector, "unseal range", labelBytes(sh, uint64(to))), pair, uint64(to))
	if err != nil {
		return err
	}
	data := &decoder{replica: io.NewSectionReader(replica, from, to-from), labels: labels[from:], path: paths.Sealed}
	_, err = io.CopyBuffer(w, fr32.NewUnpadder(&cancelReader{ctx, data}), make([]byte, 1<<17))
	return err
}

// decoder reads data out of a replica and its labels, in whole nodes.
type decoder struct {
	replica io.Reader
	labels  []byte
	path    string
}

func (d *decoder) Read(b []byte) (int, error) {
	if len(d.labels) == 0 {
		return 0, io.EOF
	}
	if b = b[:min(len(b), len(d.labels))]; len(b) > fr32.NodeSize {
		b = b[:len(b)/fr32.NodeSize*fr32.NodeSize]
	}
	if len(b) < fr32.NodeSize {
		return 0, io.ErrShortBuffer
	}
	if _, err := io.ReadFull(d.replica, b); err != nil {
		return 0, fileError(d.path, "%w", err)
	}
	if err := porep.Decode(b, b, d.labels[:len(b)]); err != nil {
		return 0, fileError(d.path, "%w", err)
	}
	d.labels = d.labels[len(b):]
	return len(b), nil
}

// labelBytes is the work of lastLayer.
func labelBytes(sh shape.Seal, last uint64) uint64 { return uint64(sh.Size)*uint64(sh.Layers-1) + last }

// lastLayer computes the label layers in a pair and returns the first bytes of the last one, as many as are wanted. They
// are good until the pair is freed.
func (s *Sealer) lastLayer(ctx context.Context, sh shape.Seal, id fr32.Node, m *meter, pair layers, bytes uint64) ([]byte, error) {
	parents, err := s.parentsOf(ctx, sh)
	if err != nil {
		return nil, err
	}
	prev, cur := pair.a.Bytes, pair.b.Bytes
	for l := 1; l <= sh.Layers; l++ {
		if l == sh.Layers {
			cur = cur[:bytes]
		}
		if err := sdr.LabelLayer(ctx, parents, id, l, prev, cur, m.nodes()); err != nil {
			return nil, err
		}
		prev, cur = cur, prev
	}
	return prev, nil
}

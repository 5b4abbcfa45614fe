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
	job, err := newUnsealing(sector, paths, ticket, unsealed)
	if err != nil {
		return err
	}
	if err := paths.prepare(); err != nil {
		return err
	}
	err = s.read(ctx, job, "unseal", 0, int64(job.sh.Size), func(data io.Reader) error {
		return fsutil.Fill(paths.Unsealed, 0o644, func(f *os.File) error {
			var tree commp.Tree
			if _, err := io.CopyBuffer(io.MultiWriter(f, &tree), data, make([]byte, 1<<20)); err != nil {
				return err
			}
			if root := tree.Root(abi.PaddedPieceSize(job.sh.Size)); root != job.commD {
				return fmt.Errorf("%w: sealed file, ticket and commitment do not fit together: unsealed data has CommD %s, want %s", ErrInput, root, job.commD)
			}
			return nil
		})
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
	job, err := newUnsealing(sector, paths, ticket, unsealed)
	if err != nil {
		return err
	}
	from, to, err := paddedRange(offset, size)
	if err != nil {
		return err
	}
	if to > int64(job.sh.Size) {
		return fmt.Errorf("%w: the sector ends at unpadded byte %d", ErrInput, abi.PaddedPieceSize(job.sh.Size).Unpadded())
	}
	return s.read(ctx, job, "unseal range", from, to, func(data io.Reader) error {
		_, err := io.CopyBuffer(w, fr32.NewUnpadder(data), make([]byte, 1<<17))
		return err
	})
}

// unsealing is a sealed sector whose data is wanted.
type unsealing struct {
	sector Sector
	sealed string // the file
	sh     shape.Seal
	commD  fr32.Node
	id     fr32.Node
}

func newUnsealing(sector Sector, paths Paths, ticket abi.SealRandomness, unsealed cid.Cid) (u unsealing, err error) {
	u = unsealing{sector: sector, sealed: paths.Sealed}
	if u.sh, err = shape.OfSeal(sector.Proof); err != nil {
		return u, err
	}
	if u.commD, err = commp.FromCID(unsealed); err != nil {
		return u, fmt.Errorf("%w: %w", ErrInput, err)
	}
	u.id, err = replicaID(u.sh, sector, ticket, u.commD)
	return u, err
}

// read computes the labels and gives the sector's padded data from byte from to byte to.
func (s *Sealer) read(ctx context.Context, u unsealing, phase string, from, to int64, use func(data io.Reader) error) error {
	replica, err := openSized(u.sealed, int64(u.sh.Size))
	if err != nil {
		return err
	}
	defer replica.Close()
	pair, err := newLayers(u.sh)
	if err != nil {
		return err
	}
	defer pair.free()
	work := uint64(u.sh.Size)*uint64(u.sh.Layers-1) + uint64(to)
	labels, err := s.lastLayer(ctx, u.sh, u.id, s.meter(u.sector, phase, work), pair, uint64(to))
	if err != nil {
		return err
	}
	return use(&cancelReader{ctx, &decoder{replica: io.NewSectionReader(replica, from, to-from), labels: labels[from:], path: u.sealed}})
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

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
	labels, err := s.lastLayer(ctx, sh, sector, id)
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

// lastLayer computes all label layers in memory and returns the last.
func (s *Sealer) lastLayer(ctx context.Context, sh shape.Seal, sector Sector, id fr32.Node) ([]byte, error) {
	parents, err := s.parentsOf(ctx, sh)
	if err != nil {
		return nil, err
	}
	m := s.meter(sector, "unseal", uint64(sh.Size)*uint64(sh.Layers))
	prev, cur := make([]byte, sh.Size), make([]byte, sh.Size)
	for l := 1; l <= sh.Layers; l++ {
		if err := sdr.LabelLayer(ctx, parents, id, l, prev, cur, nil); err != nil {
			return nil, err
		}
		m.add(uint64(sh.Size))
		prev, cur = cur, prev
	}
	return prev, nil
}

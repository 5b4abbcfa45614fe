package seal

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// PreCommit2 hashes the columns into tree C, encodes the data into the sealed file, builds the replica tree and writes
// the commitments to the cache. It reads the files that PreCommit1 left and checks them against out first.
func (s *Sealer) PreCommit2(ctx context.Context, sector Sector, paths Paths, out PreCommit1Out) (SectorCids, error) {
	cids, err := s.preCommit2(ctx, sector, paths, out)
	if err != nil {
		return SectorCids{}, fmt.Errorf("precommit 2 of %s: %w", sector, err)
	}
	return cids, nil
}

func (s *Sealer) preCommit2(ctx context.Context, sector Sector, paths Paths, out PreCommit1Out) (SectorCids, error) {
	sh, err := shape.OfSeal(sector.Proof)
	if err != nil {
		return SectorCids{}, err
	}
	if out.Sector != sector || len(out.Layers) != sh.Layers {
		return SectorCids{}, fmt.Errorf("%w: precommit 1 output is of %s with %d layers", ErrInput, out.Sector, len(out.Layers))
	}
	if err := paths.prepare(); err != nil {
		return SectorCids{}, err
	}
	if err := checkLayers(sh, paths, out.Layers); err != nil {
		return SectorCids{}, err
	}
	var files opened
	defer func() { files.close() }()
	data, err := openDataTree(sh, paths, out.CommD)
	if err != nil {
		return SectorCids{}, err
	}
	files = append(files, data)
	var layers []*os.File
	for l := range sh.Layers {
		f, err := files.open(paths.layer(l+1), int64(sh.Size))
		if err != nil {
			return SectorCids{}, err
		}
		layers = append(layers, f)
	}
	// A p_aux of an earlier sealing with another ticket must not outlive the files it spoke of.
	if err := os.Remove(paths.cache(pAuxName)); err != nil && !os.IsNotExist(err) {
		return SectorCids{}, fmt.Errorf("remove old p_aux: %w", err)
	}
	// Columns are several times the work per byte of the other two steps; the meter counts bytes read.
	m := s.meter(sector, "precommit2", uint64(sh.Size)*uint64(sh.Layers+2))
	commC, err := treeC(ctx, sh, paths, layers, m)
	if err != nil {
		return SectorCids{}, fmt.Errorf("column tree: %w", err)
	}
	if err := encode(ctx, sh, paths, data, layers[sh.Layers-1], m); err != nil {
		return SectorCids{}, fmt.Errorf("encode: %w", err)
	}
	commRLast, err := treeR(ctx, sh, paths, m)
	if err != nil {
		return SectorCids{}, fmt.Errorf("replica tree: %w", err)
	}
	commR, err := finishCache(sh, paths, commC, commRLast)
	if err != nil {
		return SectorCids{}, err
	}
	return SectorCids{Unsealed: commp.CID(out.CommD), Sealed: commp.SealedCID(commR)}, nil
}

func checkLayers(sh shape.Seal, paths Paths, want []string) error {
	var group errgroup.Group
	group.SetLimit(4)
	for i := range want {
		group.Go(func() error {
			path := paths.layer(i + 1)
			got, err := digestFile(path, int64(sh.Size))
			if err == nil && got != want[i] {
				err = fileError(path, "digest is %s, precommit 1 wrote %s", got, want[i])
			}
			return err
		})
	}
	return group.Wait()
}

// treeFiles passes opened files on as tree files.
func treeFiles(files []*os.File) []merkle.File {
	out := make([]merkle.File, len(files))
	for i, f := range files {
		out[i] = f
	}
	return out
}

func treeC(ctx context.Context, sh shape.Seal, paths Paths, layers []*os.File, m *meter) (root fr32.Node, err error) {
	newLeaves := func() (merkle.FillLeaves, error) {
		h, err := merkle.NewPoseidonRows(sh.Layers)
		if err != nil {
			return nil, err
		}
		rows := make([][]byte, sh.Layers)
		return func(start uint64, dst []byte) error {
			for l, f := range layers {
				if len(rows[l]) < len(dst) {
					rows[l] = make([]byte, len(dst))
				}
				if _, err := f.ReadAt(rows[l][:len(dst)], int64(start)*fr32.NodeSize); err != nil {
					return fileError(paths.layer(l+1), "%w", err)
				}
			}
			m.add(uint64(len(dst) * sh.Layers))
			return h.HashColumns(dst, rows)
		}, nil
	}
	err = fillAll(paths.octreeFiles("tree-c", sh.Tree), func(files []*os.File) error {
		root, err = merkle.BuildOctrees(ctx, sh.Tree, 0, treeFiles(files), newLeaves)
		return err
	})
	if err != nil {
		return root, err
	}
	return root, durable("tree-c")
}

// encode writes the sealed file: data (the leaves of tree-d) plus the labels of the last layer.
func encode(ctx context.Context, sh shape.Seal, paths Paths, data, labels *os.File, m *meter) error {
	err := fsutil.Fill(paths.Sealed, 0o644, func(f *os.File) error {
		return mix(ctx, sh, f, data, labels, func(dst, d, l []byte, _ uint64) error { return porep.Encode(dst, d, l) }, m)
	})
	if err != nil {
		return err
	}
	return durable("sealed")
}

func treeR(ctx context.Context, sh shape.Seal, paths Paths, m *meter) (root fr32.Node, err error) {
	replica, err := openSized(paths.Sealed, int64(sh.Size))
	if err != nil {
		return root, err
	}
	defer replica.Close()
	newLeaves := func() (merkle.FillLeaves, error) {
		return func(start uint64, dst []byte) error {
			if _, err := replica.ReadAt(dst, int64(start)*fr32.NodeSize); err != nil {
				return fileError(paths.Sealed, "%w", err)
			}
			m.add(uint64(len(dst)))
			return nil
		}, nil
	}
	err = fillAll(paths.octreeFiles("tree-r-last", sh.Tree), func(files []*os.File) error {
		root, err = merkle.BuildOctrees(ctx, sh.Tree, sh.Tree.DiscardedRows()+1, treeFiles(files), newLeaves)
		return err
	})
	if err != nil {
		return root, err
	}
	return root, durable("tree-r")
}

package seal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/shape"
	"github.com/filecoin-venus/venus/proofs/update"
)

// UpdatePathsIn are the places of an updated sector in one storage path: its replica and cache stand beside those of the
// sector it came from, which is called its key here. Both have the same unsealed file, that of the new data. An updated
// sector is proven, finalized and read like any other, with these paths and its new commitment.
func UpdatePathsIn(root string, id abi.SectorID) Paths {
	name := FileName(id)
	return Paths{
		Unsealed: filepath.Join(root, "unsealed", name),
		Sealed:   filepath.Join(root, "update", name),
		Cache:    filepath.Join(root, "update-cache", name),
	}
}

// UpdateCids are the commitments of an update: the key's, and those of the sector it became.
type UpdateCids struct {
	Key cid.Cid `json:"key"`
	SectorCids
}

// ReplicaUpdate puts data into a sealed sector that has none: it encodes the unsealed file of upd with the replica of key
// into the sealed file of upd and makes the trees that prove it. Pieces are those of AddPiece in order. Nothing of the key
// is changed; keyCID is the commitment that the chain has for it.
func (s *Sealer) ReplicaUpdate(ctx context.Context, sector Sector, key, upd Paths, keyCID cid.Cid, pieces []abi.PieceInfo) (UpdateCids, error) {
	cids, err := s.replicaUpdate(ctx, sector, key, upd, keyCID, pieces)
	if err != nil {
		return UpdateCids{}, fmt.Errorf("update replica of %s: %w", sector, err)
	}
	return cids, nil
}

func (s *Sealer) replicaUpdate(ctx context.Context, sector Sector, key, upd Paths, keyCID cid.Cid, pieces []abi.PieceInfo) (UpdateCids, error) {
	sh, err := shape.OfSeal(sector.Proof)
	if err != nil {
		return UpdateCids{}, err
	}
	commD, err := commp.CommD(abi.PaddedPieceSize(sh.Size), pieces)
	if err != nil {
		return UpdateCids{}, err
	}
	commROld, commC, err := keyCommitments(key, keyCID)
	if err != nil {
		return UpdateCids{}, err
	}
	if err := upd.prepare(); err != nil {
		return UpdateCids{}, err
	}
	if err := os.Remove(upd.cache(pAuxName)); err != nil && !os.IsNotExist(err) {
		return UpdateCids{}, fmt.Errorf("remove old p_aux: %w", err)
	}
	m := s.meter(sector, "update", 3*uint64(sh.Size))
	if err := dataTree(ctx, sh, upd, commD); err != nil {
		return UpdateCids{}, err
	}
	m.add(uint64(sh.Size))
	encoder, err := update.NewEncoder(shape.UpdateOf(sh.Sector), commROld, commD)
	if err != nil {
		return UpdateCids{}, err
	}
	if err := mixData(ctx, sh, key.Sealed, upd.Sealed, upd, commD, encoder.Encode, m); err != nil {
		return UpdateCids{}, fmt.Errorf("encode: %w", err)
	}
	if err := durable("update"); err != nil {
		return UpdateCids{}, err
	}
	root, err := treeR(ctx, sh, upd, m)
	if err != nil {
		return UpdateCids{}, fmt.Errorf("replica tree: %w", err)
	}
	commR, err := finishCache(sh, upd, commC, root)
	if err != nil {
		return UpdateCids{}, err
	}
	return UpdateCids{Key: keyCID, SectorCids: SectorCids{Unsealed: commp.CID(commD), Sealed: commp.SealedCID(commR)}}, nil
}

// keyCommitments reads the private halves of the key's commitment and checks that they make it.
func keyCommitments(key Paths, keyCID cid.Cid) (commR, commC fr32.Node, err error) {
	if commR, err = commp.FromSealedCID(keyCID); err != nil {
		return commR, commC, fmt.Errorf("%w: %w", ErrInput, err)
	}
	commC, root, err := readPAux(key)
	if err != nil {
		return commR, commC, err
	}
	if got, err := porep.CommR(commC, root); err != nil || got != commR {
		return commR, commC, fileError(key.cache(pAuxName), "does not give CommR %s: %w", commR, errors.Join(err, ErrInput))
	}
	return commR, commC, nil
}

// mixData makes one of a sector's two replicas out of the other one and the data, whose tree lies beside the update: op puts the
// data in or takes it out.
func mixData(ctx context.Context, sh shape.Seal, from, to string, upd Paths, commD fr32.Node, op func(dst, a, b []byte, start uint64) error, m *meter) error {
	var files opened
	defer func() { files.close() }()
	replica, err := files.open(from, int64(sh.Size))
	if err != nil {
		return err
	}
	data, err := openDataTree(sh, upd, commD)
	if err != nil {
		return err
	}
	files = append(files, data)
	return fsutil.Fill(to, 0o644, func(f *os.File) error {
		return mix(ctx, sh, f, replica, data, op, m)
	})
}

// mix fills f node by node from two files of a sector's nodes.
func mix(ctx context.Context, sh shape.Seal, f io.WriterAt, a, b *os.File, op func(dst, a, b []byte, start uint64) error, m *meter) error {
	return merkle.EachChunk(ctx, sh.Nodes(), func() (func(start, count uint64) error, error) {
		var x, y []byte
		return func(start, count uint64) error {
			n, at := int(count*fr32.NodeSize), int64(start*fr32.NodeSize)
			if len(x) < n {
				x, y = make([]byte, n), make([]byte, n)
			}
			if _, err := a.ReadAt(x[:n], at); err != nil {
				return fileError(a.Name(), "%w", err)
			}
			if _, err := b.ReadAt(y[:n], at); err != nil {
				return fileError(b.Name(), "%w", err)
			}
			if err := op(x[:n], x[:n], y[:n], start); err != nil {
				return fmt.Errorf("%s with %s: %w", a.Name(), b.Name(), err)
			}
			m.add(count * fr32.NodeSize)
			_, err := f.WriteAt(x[:n], at)
			return err
		}, nil
	})
}

// finishCache writes t_aux and then p_aux, which says that everything before it is complete, and returns CommR.
func finishCache(sh shape.Seal, paths Paths, commC, root fr32.Node) (fr32.Node, error) {
	commR, err := porep.CommR(commC, root)
	if err != nil {
		return commR, err
	}
	if err := fsutil.WriteFileAtomic(paths.cache(tAuxName), tAux(sh, paths.Cache), 0o644); err != nil {
		return commR, err
	}
	if err := fsutil.WriteFileAtomic(paths.cache(pAuxName), append(commC[:], root[:]...), 0o644); err != nil {
		return commR, err
	}
	return commR, durable("p_aux")
}

// updateStatement is what the chain will check.
func updateStatement(sector Sector, cids UpdateCids) (st update.Statement, err error) {
	if st.UpdateProof, err = sector.Proof.RegisteredUpdateProof(); err != nil {
		return st, fmt.Errorf("%w: %w", ErrInput, err)
	}
	if st.CommROld, err = commp.FromSealedCID(cids.Key); err != nil {
		return st, fmt.Errorf("%w: %w", ErrInput, err)
	}
	if st.CommRNew, err = commp.FromSealedCID(cids.Sealed); err != nil {
		return st, fmt.Errorf("%w: %w", ErrInput, err)
	}
	if st.CommD, err = commp.FromCID(cids.Unsealed); err != nil {
		return st, fmt.Errorf("%w: %w", ErrInput, err)
	}
	return st, nil
}

// ProveReplicaUpdate1 opens the challenges of an update, which follow from its commitments alone, and returns all that
// ProveReplicaUpdate2 needs, as JSON. It reads the sealed and cache files of both.
func (s *Sealer) ProveReplicaUpdate1(ctx context.Context, sector Sector, key, upd Paths, cids UpdateCids) ([]byte, error) {
	b, err := s.openUpdate(ctx, sector, key, upd, cids)
	if err != nil {
		return nil, fmt.Errorf("open update of %s: %w", sector, err)
	}
	return b, nil
}

func (s *Sealer) openUpdate(ctx context.Context, sector Sector, key, upd Paths, cids UpdateCids) ([]byte, error) {
	sh, err := shape.OfSeal(sector.Proof)
	if err != nil {
		return nil, err
	}
	st, err := updateStatement(sector, cids)
	if err != nil {
		return nil, err
	}
	src := update.Sources{}
	if _, src.CommC, err = keyCommitments(key, cids.Key); err != nil {
		return nil, err
	}
	var files opened
	defer func() { files.close() }()
	for _, side := range []struct {
		paths Paths
		tree  **merkle.Octree
	}{{key, &src.Old}, {upd, &src.New}} {
		replica, err := files.open(side.paths.Sealed, int64(sh.Size))
		if err != nil {
			return nil, err
		}
		if *side.tree, err = files.octree(side.paths, "tree-r-last", sh.Tree, sh.Tree.DiscardedRows()+1, replica); err != nil {
			return nil, err
		}
	}
	data, err := openDataTree(sh, upd, st.CommD)
	if err != nil {
		return nil, err
	}
	files = append(files, data)
	src.Data = merkle.Binary{Leaves: sh.Nodes(), File: data}
	v, err := update.Prove(ctx, st, src)
	if err != nil {
		return nil, err
	}
	return v.Marshal()
}

// ProveReplicaUpdate2 proves what ProveReplicaUpdate1 opened; any machine can do it. The input is checked in full before
// the prover starts.
func (s *Sealer) ProveReplicaUpdate2(ctx context.Context, sector Sector, cids UpdateCids, opened []byte) ([]byte, error) {
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("prove update of %s: %w", sector, err) }
	if s.cfg.Prover == nil {
		return fail(ErrNoProver)
	}
	st, err := updateStatement(sector, cids)
	if err != nil {
		return fail(err)
	}
	v, err := update.Unmarshal(opened)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrInput, err))
	}
	if v.Statement != st {
		return fail(fmt.Errorf("%w: vanilla proof is of another update", ErrInput))
	}
	p, err := s.cfg.Prover.ProveUpdate(ctx, v)
	if err != nil {
		return fail(err)
	}
	return p, nil
}

// DecodeUpdate makes the unsealed file again from an updated sector and its key, in one pass over both. The result must
// have the commitment cids.Unsealed, or no file appears.
func (s *Sealer) DecodeUpdate(ctx context.Context, sector Sector, key, upd Paths, cids UpdateCids) error {
	if err := s.decodeUpdate(ctx, sector, key, upd, cids); err != nil {
		return fmt.Errorf("decode update of %s: %w", sector, err)
	}
	return nil
}

func (s *Sealer) decodeUpdate(ctx context.Context, sector Sector, key, upd Paths, cids UpdateCids) error {
	sh, err := shape.OfSeal(sector.Proof)
	if err != nil {
		return err
	}
	st, encoder, err := updateEncoder(sh, sector, cids)
	if err != nil {
		return err
	}
	if err := upd.prepare(); err != nil {
		return err
	}
	var files opened
	defer func() { files.close() }()
	replica, err := files.open(upd.Sealed, int64(sh.Size))
	if err != nil {
		return err
	}
	old, err := files.open(key.Sealed, int64(sh.Size))
	if err != nil {
		return err
	}
	m := s.meter(sector, "decode update", uint64(sh.Size))
	err = fsutil.Fill(upd.Unsealed, 0o644, func(f *os.File) error {
		if err := mix(ctx, sh, f, replica, old, encoder.Decode, m); err != nil {
			return err
		}
		var tree commp.Tree
		if _, err := io.CopyBuffer(&tree, &cancelReader{ctx, io.NewSectionReader(f, 0, int64(sh.Size))}, make([]byte, 1<<20)); err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		if root := tree.Root(abi.PaddedPieceSize(sh.Size)); root != st.CommD {
			return fmt.Errorf("%w: sealed files and commitments do not fit together: data has CommD %s, want %s", ErrInput, root, st.CommD)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return durable("unsealed")
}

func updateEncoder(sh shape.Seal, sector Sector, cids UpdateCids) (update.Statement, *update.Encoder, error) {
	st, err := updateStatement(sector, cids)
	if err != nil {
		return st, nil, err
	}
	e, err := update.NewEncoder(shape.UpdateOf(sh.Sector), st.CommROld, st.CommD)
	return st, e, err
}

// RestoreKey makes the sealed file of the key, its tree and p_aux again from an updated sector and the unsealed data. The
// result must have the commitment cids.Key: with files that do not fit together p_aux does not appear.
func (s *Sealer) RestoreKey(ctx context.Context, sector Sector, key, upd Paths, cids UpdateCids) error {
	if err := s.restoreKey(ctx, sector, key, upd, cids); err != nil {
		return fmt.Errorf("restore key of %s: %w", sector, err)
	}
	return nil
}

func (s *Sealer) restoreKey(ctx context.Context, sector Sector, key, upd Paths, cids UpdateCids) error {
	sh, err := shape.OfSeal(sector.Proof)
	if err != nil {
		return err
	}
	st, encoder, err := updateEncoder(sh, sector, cids)
	if err != nil {
		return err
	}
	_, commC, err := keyCommitments(upd, cids.Sealed)
	if err != nil {
		return err
	}
	for _, p := range []Paths{key, upd} {
		if err := p.prepare(); err != nil {
			return err
		}
	}
	m := s.meter(sector, "restore key", 3*uint64(sh.Size))
	if err := dataTree(ctx, sh, upd, st.CommD); err != nil {
		return err
	}
	m.add(uint64(sh.Size))
	if err := os.Remove(key.cache(pAuxName)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove old p_aux: %w", err)
	}
	if err := mixData(ctx, sh, upd.Sealed, key.Sealed, upd, st.CommD, encoder.Remove, m); err != nil {
		return err
	}
	if err := durable("sealed"); err != nil {
		return err
	}
	root, err := treeR(ctx, sh, key, m)
	if err != nil {
		return fmt.Errorf("replica tree: %w", err)
	}
	if commR, err := porep.CommR(commC, root); err != nil || commR != st.CommROld {
		return fmt.Errorf("%w: sealed file, data and commitments do not fit together: key has CommR %s, want %s", ErrInput, commR, st.CommROld)
	}
	_, err = finishCache(sh, key, commC, root)
	return err
}

package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// ErrNoProver is returned by phases that need a prover from a Sealer that has none.
var ErrNoProver = errors.New("this program has no prover")

// commit1Out is what Commit1 hands to Commit2.
type commit1Out struct {
	Sector  Sector          `json:"sector"`
	Ticket  fr32.Node       `json:"ticket"`
	Vanilla json.RawMessage `json:"vanilla"`
}

// Commit1 opens the challenges that seed draws and returns all that Commit2 needs, as JSON: no file has to travel with
// it. It reads the cache and sealed files and checks that they belong to cids.
func (s *Sealer) Commit1(ctx context.Context, sector Sector, paths Paths, ticket abi.SealRandomness, seed abi.InteractiveSealRandomness, pieces []abi.PieceInfo, cids SectorCids) ([]byte, error) {
	v, err := s.vanilla(ctx, sector, paths, ticket, seed, pieces, cids)
	if err != nil {
		return nil, fmt.Errorf("commit 1 of %s: %w", sector, err)
	}
	raw, err := v.Marshal()
	if err != nil {
		return nil, fmt.Errorf("commit 1 of %s: %w", sector, err)
	}
	return json.Marshal(commit1Out{Sector: sector, Ticket: fr32.Node(ticket), Vanilla: raw})
}

func (s *Sealer) vanilla(ctx context.Context, sector Sector, paths Paths, ticket abi.SealRandomness, seed abi.InteractiveSealRandomness, pieces []abi.PieceInfo, cids SectorCids) (porep.Vanilla, error) {
	sh, err := shape.OfSeal(sector.Proof)
	if err != nil {
		return porep.Vanilla{}, err
	}
	st, err := statement(sh, sector, ticket, seed, pieces, cids)
	if err != nil {
		return porep.Vanilla{}, err
	}
	commC, commRLast, err := readPAux(paths)
	if err != nil {
		return porep.Vanilla{}, err
	}
	if commR, err := porep.CommR(commC, commRLast); err != nil || commR != st.CommR {
		return porep.Vanilla{}, fileError(paths.cache(pAuxName), "does not give CommR %s: %w", st.CommR, errors.Join(err, ErrInput))
	}
	var files opened
	defer func() { files.close() }()
	src := porep.Sources{}
	for l := range sh.Layers {
		f, err := files.open(paths.layer(l+1), int64(sh.Size))
		if err != nil {
			return porep.Vanilla{}, err
		}
		src.Layers = append(src.Layers, f)
	}
	data, err := openDataTree(sh, paths, st.CommD)
	if err != nil {
		return porep.Vanilla{}, err
	}
	files = append(files, data)
	src.TreeD = merkle.Binary{Leaves: sh.Nodes(), File: data}
	if src.TreeC, err = files.octree(paths, "tree-c", sh.Tree, 0, nil); err != nil {
		return porep.Vanilla{}, err
	}
	replica, err := files.open(paths.Sealed, int64(sh.Size))
	if err != nil {
		return porep.Vanilla{}, err
	}
	if src.TreeR, err = files.octree(paths, "tree-r-last", sh.Tree, sh.Tree.DiscardedRows()+1, replica); err != nil {
		return porep.Vanilla{}, err
	}
	return porep.Prove(ctx, st, src)
}

// statement is what the chain will check, from what the sealer keeps.
func statement(sh shape.Seal, sector Sector, ticket abi.SealRandomness, seed abi.InteractiveSealRandomness, pieces []abi.PieceInfo, cids SectorCids) (st porep.Statement, err error) {
	if len(seed) != 32 {
		return st, fmt.Errorf("%w: seed of %d bytes, want 32", ErrInput, len(seed))
	}
	st = porep.Statement{SealProof: sector.Proof, Seed: fr32.Node(seed)}
	if st.CommD, err = commp.CommD(abi.PaddedPieceSize(sh.Size), pieces); err != nil {
		return st, err
	}
	if got := commp.CID(st.CommD); got != cids.Unsealed {
		return st, fmt.Errorf("%w: pieces give %s, precommitted was %s", ErrInput, got, cids.Unsealed)
	}
	if st.CommR, err = commp.FromSealedCID(cids.Sealed); err != nil {
		return st, fmt.Errorf("%w: %w", ErrInput, err)
	}
	st.ReplicaID, err = replicaID(sh, sector, ticket, st.CommD)
	return st, err
}

// Commit2 proves what Commit1 opened; any machine can do it. The input is checked in full before the prover starts.
func (s *Sealer) Commit2(ctx context.Context, sector Sector, c1 []byte) ([]byte, error) {
	if s.cfg.Prover == nil {
		return nil, fmt.Errorf("commit 2 of %s: %w", sector, ErrNoProver)
	}
	v, err := decodeCommit1(sector, c1)
	if err != nil {
		return nil, fmt.Errorf("commit 2 of %s: %w", sector, err)
	}
	p, err := s.cfg.Prover.ProvePoRep(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("commit 2 of %s: %w", sector, err)
	}
	return p, nil
}

func decodeCommit1(sector Sector, b []byte) (porep.Vanilla, error) {
	var c1 commit1Out
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&c1); err != nil {
		return porep.Vanilla{}, fmt.Errorf("%w: commit 1 output: %w", ErrInput, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return porep.Vanilla{}, fmt.Errorf("%w: commit 1 output: bytes behind the end", ErrInput)
	}
	if c1.Sector != sector {
		return porep.Vanilla{}, fmt.Errorf("%w: commit 1 output is of %s", ErrInput, c1.Sector)
	}
	v, err := porep.Unmarshal(c1.Vanilla)
	if err != nil {
		return porep.Vanilla{}, fmt.Errorf("%w: %w", ErrInput, err)
	}
	sh, err := shape.OfSeal(sector.Proof)
	if err != nil {
		return porep.Vanilla{}, err
	}
	id, err := replicaID(sh, sector, c1.Ticket[:], v.CommD)
	if err != nil {
		return porep.Vanilla{}, err
	}
	if v.SealProof != sector.Proof || v.ReplicaID != id {
		return porep.Vanilla{}, fmt.Errorf("%w: vanilla proof is of another sector or ticket", ErrInput)
	}
	return v, nil
}

// Finalize removes the files that only sealing needs: labels, tree-c and tree-d. What remains proves the sector for its
// life. It refuses a cache without p_aux and tree-r-last files.
func (s *Sealer) Finalize(ctx context.Context, paths Paths) error {
	if _, _, err := readPAux(paths); err != nil {
		return fmt.Errorf("finalize: %w", err)
	}
	entries, err := os.ReadDir(paths.Cache)
	if err != nil {
		return fmt.Errorf("finalize: %w", fileError(paths.Cache, "%w", err))
	}
	var remove []string
	kept := 0
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasPrefix(name, "sc-02-data-tree-r-last"):
			kept++
		case name == stateName || name == treeDName || strings.HasPrefix(name, "sc-02-data-layer-") || strings.HasPrefix(name, "sc-02-data-tree-c"):
			remove = append(remove, filepath.Join(paths.Cache, name))
		}
	}
	if kept == 0 {
		return fmt.Errorf("finalize: %w", fileError(paths.Cache, "has no tree-r-last file"))
	}
	for _, path := range remove {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("finalize: %w", err)
		}
	}
	return fsutil.SyncDir(paths.Cache)
}

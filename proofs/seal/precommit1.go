package seal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/internal/memory"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/sdr"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// PreCommit1Out is what PreCommit1 hands to PreCommit2; it travels as JSON.
type PreCommit1Out struct {
	Sector    Sector    `json:"sector"`
	ReplicaID fr32.Node `json:"replicaID"`
	CommD     fr32.Node `json:"commD"`
	// Layers are the SHA-256 digests of the label files in hex, layer 1 first.
	Layers []string `json:"layers"`
}

// PreCommit1 builds the data tree from the unsealed file and computes all label layers into the cache folder. Pieces are
// those of AddPiece in order; where they end before the sector does, the rest is zeros. It goes on after the last layer
// that is complete on disk.
func (s *Sealer) PreCommit1(ctx context.Context, sector Sector, paths Paths, ticket abi.SealRandomness, pieces []abi.PieceInfo) (PreCommit1Out, error) {
	out, err := s.preCommit1(ctx, sector, paths, ticket, pieces)
	if err != nil {
		return PreCommit1Out{}, fmt.Errorf("precommit 1 of %s: %w", sector, err)
	}
	return out, nil
}

func (s *Sealer) preCommit1(ctx context.Context, sector Sector, paths Paths, ticket abi.SealRandomness, pieces []abi.PieceInfo) (PreCommit1Out, error) {
	sh, err := shape.OfSeal(sector.Proof)
	if err != nil {
		return PreCommit1Out{}, err
	}
	out := PreCommit1Out{Sector: sector}
	if out.CommD, err = commp.CommD(abi.PaddedPieceSize(sh.Size), pieces); err != nil {
		return PreCommit1Out{}, err
	}
	if out.ReplicaID, err = replicaID(sh, sector, ticket, out.CommD); err != nil {
		return PreCommit1Out{}, err
	}
	if err := paths.prepare(); err != nil {
		return PreCommit1Out{}, err
	}
	m := s.meter(sector, "precommit1", uint64(sh.Size)*uint64(sh.Layers+1))
	if err := dataTree(ctx, sh, paths, out.CommD); err != nil {
		return PreCommit1Out{}, err
	}
	m.add(uint64(sh.Size))
	if out.Layers, err = s.labelFiles(ctx, sh, paths, out.ReplicaID, m); err != nil {
		return PreCommit1Out{}, err
	}
	return out, nil
}

func replicaID(sh shape.Seal, sector Sector, ticket abi.SealRandomness, commD fr32.Node) (fr32.Node, error) {
	if len(ticket) != 32 {
		return fr32.Node{}, fmt.Errorf("%w: ticket of %d bytes, want 32", ErrInput, len(ticket))
	}
	prover, err := porep.ProverID(sector.ID.Miner)
	if err != nil {
		return fr32.Node{}, err
	}
	return porep.ReplicaID(sh, prover, sector.ID.Number, ticket, commD), nil
}

// dataTree makes tree-d from the unsealed file, or keeps the one that is there with the right root.
func dataTree(ctx context.Context, sh shape.Seal, paths Paths, commD fr32.Node) error {
	if f, err := openDataTree(sh, paths, commD); err == nil {
		return f.Close()
	}
	src, err := os.Open(paths.Unsealed)
	if err != nil {
		return fileError(paths.Unsealed, "%w", err)
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return fileError(paths.Unsealed, "%w", err)
	}
	if info.Size() > int64(sh.Size) {
		return fileError(paths.Unsealed, "has %d bytes, the sector only %d", info.Size(), sh.Size)
	}
	err = fsutil.Fill(paths.cache(treeDName), 0o644, func(f *os.File) error {
		if err := f.Truncate(merkle.BinarySize(sh.Nodes())); err != nil {
			return err
		}
		if _, err := io.CopyBuffer(io.NewOffsetWriter(f, 0), &cancelReader{ctx, src}, make([]byte, 1<<20)); err != nil {
			return fmt.Errorf("copy unsealed data: %w", err)
		}
		root, err := merkle.BuildBinary(ctx, f, sh.Nodes())
		if err != nil {
			return err
		}
		if root != commD {
			return fileError(paths.Unsealed, "has CommD %s, its pieces say %s", root, commD)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return durable("tree-d")
}

// openDataTree opens tree-d and checks its root.
func openDataTree(sh shape.Seal, paths Paths, commD fr32.Node) (*os.File, error) {
	f, err := openSized(paths.cache(treeDName), merkle.BinarySize(sh.Nodes()))
	if err != nil {
		return nil, err
	}
	root, err := merkle.Binary{Leaves: sh.Nodes(), File: f}.Root()
	if err == nil && root != commD {
		err = fmt.Errorf("root is %s, not %s", root, commD)
	}
	if err != nil {
		_ = f.Close()
		return nil, fileError(paths.cache(treeDName), "%w", err)
	}
	return f, nil
}

// layerState records the finished layers of a sector; it is only believed for the same replica id.
type layerState struct {
	ReplicaID fr32.Node `json:"replicaID"`
	Layers    []string  `json:"layers"`
}

// finishedLayers reads the state and keeps the digests of layers whose files are whole.
func finishedLayers(sh shape.Seal, paths Paths, id fr32.Node) []string {
	var st layerState
	b, err := os.ReadFile(paths.cache(stateName))
	if err != nil || json.Unmarshal(b, &st) != nil || st.ReplicaID != id || len(st.Layers) > sh.Layers {
		return nil
	}
	for i, want := range st.Layers {
		if got, err := digestFile(paths.layer(i+1), int64(sh.Size)); err != nil || got != want {
			return st.Layers[:i]
		}
	}
	return st.Layers
}

// labelFiles computes the layers that are not finished yet.
func (s *Sealer) labelFiles(ctx context.Context, sh shape.Seal, paths Paths, id fr32.Node, m *meter) ([]string, error) {
	done := finishedLayers(sh, paths, id)
	m.keep(uint64(len(done)) * uint64(sh.Size))
	if len(done) == sh.Layers {
		return done, nil
	}
	parents, err := s.parentsOf(ctx, sh)
	if err != nil {
		return nil, err
	}
	pair, err := newLayers(sh)
	if err != nil {
		return nil, err
	}
	defer pair.free()
	prev, cur := pair.a.Bytes, pair.b.Bytes
	if n := len(done); n > 0 {
		if err := readLayer(paths.layer(n), prev); err != nil {
			return nil, err
		}
	}
	for l := len(done) + 1; l <= sh.Layers; l++ {
		if err := sdr.LabelLayer(ctx, parents, id, l, prev, cur, m.nodes()); err != nil {
			return nil, err
		}
		if err := fsutil.WriteFileAtomic(paths.layer(l), cur, 0o644); err != nil {
			return nil, err
		}
		sum := sha256.Sum256(cur)
		done = append(done, hex.EncodeToString(sum[:]))
		// The state follows its layer: a layer without a line in it is computed again.
		b, err := json.Marshal(layerState{ReplicaID: id, Layers: done})
		if err != nil {
			return nil, fmt.Errorf("encode layer state: %w", err)
		}
		if err := durable("layer"); err != nil {
			return nil, err
		}
		if err := fsutil.WriteFileAtomic(paths.cache(stateName), b, 0o644); err != nil {
			return nil, err
		}
		prev, cur = cur, prev
	}
	return done, durable("labels")
}

// layers is room for two label layers, the one at hand and the one before it: all that labelling needs at a time.
type layers struct{ a, b *memory.Block }

func newLayers(sh shape.Seal) (l layers, err error) {
	if l.a, err = memory.NewBlock(int(sh.Size)); err != nil {
		return l, fmt.Errorf("label layers: %w", err)
	}
	if l.b, err = memory.NewBlock(int(sh.Size)); err != nil {
		l.a.Free()
		return l, fmt.Errorf("label layers: %w", err)
	}
	return l, nil
}

func (l layers) free() {
	l.a.Free()
	l.b.Free()
}

// readLayer fills a layer from its file.
func readLayer(path string, into []byte) error {
	f, err := openSized(path, int64(len(into)))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.ReadFull(f, into); err != nil {
		return fileError(path, "%w", err)
	}
	return nil
}

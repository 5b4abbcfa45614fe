package prove

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/groth16/prover"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/proofs/update"
	"github.com/filecoin-venus/venus/proofs/verify"
)

// updatedSector seals a 2 KiB sector without data, puts data in and returns the openings, in their encoded form.
func updatedSector(t testing.TB) []byte {
	t.Helper()
	ctx, root, s := context.Background(), t.TempDir(), seal.New(seal.Config{})
	sector := seal.Sector{ID: abi.SectorID{Miner: 1000, Number: 9}, Proof: abi.RegisteredSealProof_StackedDrg2KiBV1_1}
	key, upd := seal.PathsIn(root, sector.ID), seal.UpdatePathsIn(root, sector.ID)
	const size = 2032
	zeros, err := s.AddPiece(ctx, sector, key, nil, size, nil)
	require.NoError(t, err)
	out, err := s.PreCommit1(ctx, sector, key, make([]byte, 32), []abi.PieceInfo{zeros})
	require.NoError(t, err)
	cids, err := s.PreCommit2(ctx, sector, key, out)
	require.NoError(t, err)
	data, err := s.AddPiece(ctx, sector, upd, nil, size, bytes.NewReader(bytes.Repeat([]byte{0xa7}, size)))
	require.NoError(t, err)
	updated, err := s.ReplicaUpdate(ctx, sector, key, upd, cids.Sealed, []abi.PieceInfo{data})
	require.NoError(t, err)
	raw, err := s.ProveReplicaUpdate1(ctx, sector, key, upd, updated)
	require.NoError(t, err)
	return raw
}

func openings(t testing.TB, raw []byte) update.Vanilla {
	v, err := update.Unmarshal(raw)
	require.NoError(t, err)
	return v
}

// TestUpdateCircuitRefuses changes the witness, which the circuit takes without a check of its own: the rows must say no.
func TestUpdateCircuitRefuses(t *testing.T) {
	ctx, raw, p := context.Background(), updatedSector(t), newProver(t)
	_, err := p.ProveUpdate(ctx, openings(t, raw))
	require.NoError(t, err)
	for name, tamper := range map[string]func(v *update.Vanilla){
		"CommC":       func(v *update.Vanilla) { v.CommC[0] ^= 1 },
		"old root":    func(v *update.Vanilla) { v.RootOld[0] ^= 1 },
		"new root":    func(v *update.Vanilla) { v.RootNew[0] ^= 1 },
		"apex":        func(v *update.Vanilla) { v.Partitions[0].Apex[7][0] ^= 1 },
		"old leaf":    func(v *update.Vanilla) { v.Partitions[0].Challenges[9].Old.Leaf[0] ^= 1 },
		"data leaf":   func(v *update.Vanilla) { v.Partitions[0].Challenges[0].Data.Leaf[0] ^= 1 },
		"data path":   func(v *update.Vanilla) { v.Partitions[0].Challenges[1].Data.Path[2].Siblings[0][0] ^= 1 },
		"old path":    func(v *update.Vanilla) { v.Partitions[0].Challenges[2].Old.Path[0].Siblings[3][0] ^= 1 },
		"new path":    func(v *update.Vanilla) { v.Partitions[0].Challenges[3].New.Path[1].Siblings[0][0] ^= 1 },
		"challenge":   func(v *update.Vanilla) { c := v.Partitions[0].Challenges; c[4] = c[5] },
		"old CommR":   func(v *update.Vanilla) { v.CommROld[0] ^= 1 },
		"data CommD":  func(v *update.Vanilla) { v.CommD[0] ^= 1 },
		"other CommR": func(v *update.Vanilla) { v.CommRNew, v.RootNew = v.CommROld, v.RootOld },
	} {
		bad := openings(t, raw)
		tamper(&bad)
		_, err := p.ProveUpdate(ctx, bad)
		require.ErrorIs(t, err, prover.ErrUnsatisfied, name)
	}
	bad := openings(t, raw)
	bad.Partitions[0].Challenges[0].New.Path = bad.Partitions[0].Challenges[0].New.Path[1:]
	_, err = p.ProveUpdate(ctx, bad)
	require.Error(t, err)
	bad.UpdateProof = 9
	_, err = p.ProveUpdate(ctx, bad)
	require.Error(t, err)
}

// TestCRSReplicaUpdate runs when VENUS_LONG_TESTS is set: its parameter file takes minutes and hundreds of megabytes.
func TestCRSReplicaUpdate(t *testing.T) {
	if os.Getenv("VENUS_LONG_TESTS") == "" {
		t.Skip("takes minutes and a file of hundreds of megabytes: set VENUS_LONG_TESTS to run it")
	}
	ctx, dir := context.Background(), t.TempDir()
	p, err := NewIn(dir, devnet(t), CRS)
	require.NoError(t, err)
	v := openings(t, updatedSector(t))
	for _, what := range []string{"setup and proof", "proof"} {
		began := time.Now()
		b, err := p.ProveUpdate(ctx, v)
		require.NoError(t, err)
		require.Len(t, b, groth16.ProofSize)
		t.Logf("%s: %s", what, time.Since(began))
		ok, err := verify.New(devnet(t), t.TempDir()).VerifyReplicaUpdate(ctx, proof.ReplicaUpdateInfo{
			UpdateProofType: v.UpdateProof, OldSealedSectorCID: commp.SealedCID(v.CommROld), NewSealedSectorCID: commp.SealedCID(v.CommRNew),
			NewUnsealedSectorCID: commp.CID(v.CommD), Proof: b,
		})
		require.NoError(t, err)
		require.True(t, ok)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.params"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	info, err := os.Stat(files[0])
	require.NoError(t, err)
	t.Logf("parameter file: %d bytes", info.Size())
}

func BenchmarkUpdate2KiB(b *testing.B) {
	p, v := newProver(b), openings(b, updatedSector(b))
	_, err := p.ProveUpdate(context.Background(), v)
	require.NoError(b, err)
	b.ResetTimer()
	b.ReportAllocs()
	for b.Loop() {
		_, err := p.ProveUpdate(context.Background(), v)
		require.NoError(b, err)
	}
}

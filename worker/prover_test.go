package worker

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/verify"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// TestRealTasks seals and proves a 2 KiB sector by tasks alone, each made from
// the results of those before, and has the proof verified.
func TestRealTasks(t *testing.T) {
	network, err := params.ByName("local")
	require.NoError(t, err)
	s, refused := NewSealer(network, "")
	require.NoError(t, refused)
	defer s.Close()
	p := SealProver{Sealer: s}
	dir := t.TempDir()
	base := Task{
		Sector: abi.SectorID{Miner: 1000, Number: 7}, SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1,
		Files:  Files{Unsealed: filepath.Join(dir, "unsealed", "s-t01000-7"), Sealed: filepath.Join(dir, "sealed", "s-t01000-7"), Cache: filepath.Join(dir, "cache", "s-t01000-7")},
		Ticket: bytes.Repeat([]byte{1}, 32), Seed: bytes.Repeat([]byte{2}, 32),
	}
	do := func(kind sector.TaskKind, change func(*Task)) Result {
		task := base
		task.Kind = kind
		if change != nil {
			change(&task)
		}
		r, err := p.Run(t.Context(), task)
		require.NoError(t, err, kind)
		again, err := p.Run(t.Context(), task)
		require.NoError(t, err, "%s may be repeated", kind)
		if kind != sector.TaskCommit2 { // a proof is random
			require.Equal(t, r, again)
		}
		return r
	}
	base.Pieces = do(sector.TaskAddPiece, nil).Pieces
	pc1 := do(sector.TaskPreCommit1, nil)
	pc2 := do(sector.TaskPreCommit2, func(x *Task) { x.Input = pc1.Output })
	base.CommD, base.CommR = pc2.CommD, pc2.CommR
	c1 := do(sector.TaskCommit1, nil)
	c2 := do(sector.TaskCommit2, func(x *Task) { x.Input, x.Files = c1.Output, Files{} })
	ok, err := verify.New(network, "").VerifySeal(t.Context(), proof.SealVerifyInfo{
		SealProof: base.SealProof, SectorID: base.Sector, Randomness: base.Ticket, InteractiveRandomness: base.Seed,
		Proof: c2.Proof, SealedCID: *pc2.CommR, UnsealedCID: *pc2.CommD,
	})
	require.NoError(t, err)
	require.True(t, ok)
	do(sector.TaskFinalize, nil)

	for _, bad := range []Task{{Kind: "XX"}, {Kind: sector.TaskCommit1}, {Kind: sector.TaskPreCommit2, Input: []byte("{")}, {Kind: sector.TaskCommit2, Input: []byte("[]")}} {
		bad.Sector, bad.SealProof, bad.Files = base.Sector, base.SealProof, base.Files
		_, err := p.Run(t.Context(), bad)
		require.Error(t, err, bad.Kind)
	}
}

func TestTrapdoorIsRefusedOnPublicNetworks(t *testing.T) {
	network, err := params.ByName("calibnet")
	require.NoError(t, err)
	s, refused := NewSealer(network, "")
	defer s.Close()
	require.ErrorIs(t, refused, prove.ErrRefused)
}

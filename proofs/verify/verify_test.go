package verify

import (
	"context"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/groth16"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// wellFormed is a statement whose proof is three group generators: it decodes and proves nothing.
func wellFormed(t *testing.T) proof.SealVerifyInfo {
	t.Helper()
	sh, err := shape.OfSeal(abi.RegisteredSealProof_StackedDrg2KiBV1_1)
	require.NoError(t, err)
	secret, err := groth16.SecretFromSeed([]byte("x"), "y")
	require.NoError(t, err)
	d, err := groth16.Derive(secret, keys.PoRep(sh).Blank())
	require.NoError(t, err)
	p := groth16.Proof{A: d.Key.AlphaG1, B: d.Key.BetaG2, C: d.Key.DeltaG1}
	return proof.SealVerifyInfo{
		SealProof: sh.Type, Randomness: make([]byte, 32), InteractiveRandomness: make([]byte, 32), Proof: p.Bytes(),
		SealedCID: commp.SealedCID(fr32.Node{1}), UnsealedCID: commp.CID(fr32.Node{2}),
	}
}

func TestMissingKeyIsAnErrorAndABadProofIsAVerdict(t *testing.T) {
	ctx := context.Background()
	info := wellFormed(t)
	mainnet, err := params.ByName("mainnet")
	require.NoError(t, err)
	_, err = New(mainnet, t.TempDir()).VerifySeal(ctx, info)
	require.ErrorIs(t, err, keys.ErrMissing)

	n, err := params.ByName("2k")
	require.NoError(t, err)
	v := New(n, t.TempDir())
	require.NoError(t, v.Warm(ctx, 2<<10))
	ok, err := v.VerifySeal(ctx, info)
	require.NoError(t, err)
	require.False(t, ok)

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = v.VerifySeal(cancelled, info)
	require.ErrorIs(t, err, context.Canceled)
	_, err = v.VerifyWindowPoSt(cancelled, proof.WindowPoStVerifyInfo{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestPublicSectorsCountOnce(t *testing.T) {
	sh, err := shape.OfPoSt(abi.RegisteredPoStProof_StackedDrgWindow2KiBV1)
	require.NoError(t, err)
	sector := func(n abi.SectorNumber, commR byte) proof.SectorInfo {
		return proof.SectorInfo{SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1, SectorNumber: n, SealedCID: commp.SealedCID(fr32.Node{commR})}
	}
	got, err := publicSectors(sh, []proof.SectorInfo{sector(9, 1), sector(3, 2), sector(9, 1), sector(3, 2)})
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, abi.SectorNumber(3), got[0].Number)
	_, err = publicSectors(sh, []proof.SectorInfo{sector(9, 1), sector(9, 2)})
	require.Error(t, err)
	big := sector(1, 1)
	big.SealProof = abi.RegisteredSealProof_StackedDrg8MiBV1_1
	_, err = publicSectors(sh, []proof.SectorInfo{big})
	require.Error(t, err)
}

func TestPanicIsContained(t *testing.T) {
	_, err := guard(func() (int, error) { panic("foreign input") })
	require.ErrorIs(t, err, errPanic)
}

func TestReplicaUpdatesHaveVerdicts(t *testing.T) {
	ctx := context.Background()
	sh, err := shape.OfUpdate(abi.RegisteredUpdateProof_StackedDrg2KiBV1)
	require.NoError(t, err)
	seal := wellFormed(t)
	info := proof.ReplicaUpdateInfo{
		UpdateProofType: sh.Type, OldSealedSectorCID: seal.SealedCID, NewSealedSectorCID: commp.SealedCID(fr32.Node{3}),
		NewUnsealedSectorCID: seal.UnsealedCID, Proof: seal.Proof,
	}
	devnet, err := params.ByName("local")
	require.NoError(t, err)
	ok, err := New(devnet, t.TempDir()).VerifyReplicaUpdate(ctx, info)
	require.NoError(t, err)
	require.False(t, ok)

	mainnet, err := params.ByName("mainnet")
	require.NoError(t, err)
	v := New(mainnet, t.TempDir())
	_, err = v.VerifyReplicaUpdate(ctx, info)
	require.ErrorIs(t, err, keys.ErrMissing)
	require.ErrorContains(t, err, "eadad9784969890d30f2749708c79771")
	for name, bad := range map[string]func(i *proof.ReplicaUpdateInfo){
		"nothing": func(i *proof.ReplicaUpdateInfo) { *i = proof.ReplicaUpdateInfo{} },
		"type":    func(i *proof.ReplicaUpdateInfo) { i.UpdateProofType = 5 },
		"length":  func(i *proof.ReplicaUpdateInfo) { i.Proof = i.Proof[:191] },
		"node":    func(i *proof.ReplicaUpdateInfo) { i.NewSealedSectorCID = commp.SealedCID(fr32.Node{31: 0xff}) },
		"CID":     func(i *proof.ReplicaUpdateInfo) { i.NewUnsealedSectorCID = i.OldSealedSectorCID },
	} {
		wrong := info
		bad(&wrong)
		ok, err := v.VerifyReplicaUpdate(ctx, wrong)
		require.NoError(t, err, name)
		require.False(t, ok, name)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = v.VerifyReplicaUpdate(cancelled, info)
	require.ErrorIs(t, err, context.Canceled)
}

package seal

import (
	"bytes"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"
)

// TestProvenAndVerified goes from data to proofs that the network's verifier accepts.
func TestProvenAndVerified(t *testing.T) {
	s, v := realSealer(t)
	root := t.TempDir()
	a, b, c := sealed(t, s, root, 1, 5, true), sealed(t, s, root, 2, 5, false), sealed(t, s, root, 3, 5, false)
	c1, err := s.Commit1(ctx, a.Sector, a.paths, ticket, seed, a.pieces, a.cids)
	require.NoError(t, err)
	porep, err := s.Commit2(ctx, a.Sector, c1)
	require.NoError(t, err)
	info := proof.SealVerifyInfo{
		SealProof: a.Proof, SectorID: a.ID, Randomness: ticket, InteractiveRandomness: seed,
		Proof: porep, SealedCID: a.cids.Sealed, UnsealedCID: a.cids.Unsealed,
	}
	ok, err := v.VerifySeal(ctx, info)
	require.NoError(t, err)
	require.True(t, ok)
	info.SealedCID = b.cids.Sealed
	ok, err = v.VerifySeal(ctx, info)
	require.NoError(t, err)
	require.False(t, ok)

	// Three sectors, one of them damaged: the chain sees the first good one in its place.
	r := abi.PoStRandomness(bytes.Repeat([]byte{0xff}, 32))
	damage(t, b.paths.Sealed, flipBit)
	window, faulty, err := s.WindowPoSt(ctx, 1000, []SectorRef{a.ref(), b.ref(), c.ref()}, r)
	require.NoError(t, err)
	require.Equal(t, []abi.SectorID{b.ID}, faulty)
	public := func(l *life) proof.SectorInfo {
		return proof.SectorInfo{SealProof: l.Proof, SectorNumber: l.ID.Number, SealedCID: l.cids.Sealed}
	}
	challenged := []proof.SectorInfo{public(a), public(a), public(c)}
	ok, err = v.VerifyWindowPoSt(ctx, proof.WindowPoStVerifyInfo{Randomness: r, Proofs: window, ChallengedSectors: challenged, Prover: 1000})
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = v.VerifyWindowPoSt(ctx, proof.WindowPoStVerifyInfo{Randomness: r, Proofs: window, ChallengedSectors: challenged[:2], Prover: 1000})
	require.NoError(t, err)
	require.False(t, ok)

	win, err := s.WinningPoSt(ctx, 1000, []SectorRef{c.ref()}, r)
	require.NoError(t, err)
	ok, err = v.VerifyWinningPoSt(ctx, proof.WinningPoStVerifyInfo{Randomness: r, Proofs: win, ChallengedSectors: challenged[2:], Prover: 1000})
	require.NoError(t, err)
	require.True(t, ok)
}

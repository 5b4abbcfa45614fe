package seal

import (
	"bytes"
	"slices"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"
)

// TestWindowPoStInParts proves the partitions of a window proof one by one, as machines would: their proofs one after the
// other are the whole proof, each holds at its own place alone.
func TestWindowPoStInParts(t *testing.T) {
	s, v := realSealer(t)
	r := abi.PoStRandomness(bytes.Repeat([]byte{0x21}, 32))
	root := t.TempDir()
	var refs []SectorRef
	var public []proof.SectorInfo
	for n := range abi.SectorNumber(3) {
		l := sealed(t, s, root, n, 5, false)
		refs = append(refs, l.ref())
		public = append(public, proof.SectorInfo{SealProof: l.Proof, SectorNumber: n, SealedCID: l.cids.Sealed})
	}
	holds := func(first int, made []proof.PoStProof, sectors []proof.SectorInfo) bool {
		ok, err := v.VerifyWindowPoStFrom(ctx, first, proof.WindowPoStVerifyInfo{Randomness: slices.Clone(r), Proofs: made, ChallengedSectors: sectors, Prover: 1000})
		require.NoError(t, err)
		return ok
	}
	head, faulty, err := s.WindowPoStFrom(ctx, 1000, 0, refs[:2], r)
	require.NoError(t, err)
	require.Empty(t, faulty)
	tail, faulty, err := s.WindowPoStFrom(ctx, 1000, 1, refs[2:], r)
	require.NoError(t, err)
	require.Empty(t, faulty)
	require.True(t, holds(0, head, public[:2]))
	require.True(t, holds(1, tail, public[2:]))
	require.False(t, holds(0, tail, public[2:]), "the older rule counts challenges through the whole proof")
	whole := []proof.PoStProof{{PoStProof: head[0].PoStProof, ProofBytes: append(bytes.Clone(head[0].ProofBytes), tail[0].ProofBytes...)}}
	require.True(t, holds(0, whole, public))
	whole[0].ProofBytes = append(bytes.Clone(tail[0].ProofBytes), head[0].ProofBytes...)
	require.False(t, holds(0, whole, public))
}

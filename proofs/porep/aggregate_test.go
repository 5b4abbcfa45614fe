package porep

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
)

// TestAggregatesGoSectorBySector: the proofs of 32 GiB sectors are ten partitions each, and the digest takes seed and
// CommR in turn.
func TestAggregatesGoSectorBySector(t *testing.T) {
	info := proof.AggregateSealVerifyProofAndInfos{Miner: 1000, SealProof: abi.RegisteredSealProof_StackedDrg32GiBV1_1}
	var hashed []byte
	for i := range byte(3) {
		seed := bytes.Repeat([]byte{0xf0 + i}, 32) // not a field element: the digest takes it whole
		commR := fr32.Node{i, 5}
		info.Infos = append(info.Infos, proof.AggregateSealVerifyInfo{
			Number: abi.SectorNumber(9 - i), Randomness: make([]byte, 32), InteractiveRandomness: seed,
			SealedCID: commp.SealedCID(commR), UnsealedCID: commp.CID(fr32.Node{7}),
		})
		hashed = append(append(hashed, seed...), commR[:]...)
	}
	a, err := AggregateOf(info)
	require.NoError(t, err)
	require.Equal(t, sha256.Sum256(hashed), a.Digest())
	n, err := a.NumProofs()
	require.NoError(t, err)
	require.Equal(t, 30, n)
	for _, k := range []int{0, 9, 10, 27} {
		got, err := a.PublicInputs(k)
		require.NoError(t, err)
		s := info.Infos[k/10]
		single, err := StatementOf(proof.SealVerifyInfo{
			SealProof: info.SealProof, SectorID: abi.SectorID{Miner: 1000, Number: s.Number},
			Randomness: s.Randomness, InteractiveRandomness: s.InteractiveRandomness, SealedCID: s.SealedCID, UnsealedCID: s.UnsealedCID,
		})
		require.NoError(t, err)
		want, err := single.PublicInputs(k % 10)
		require.NoError(t, err)
		require.Equal(t, want, got, "proof %d", k)
	}

	info.Infos[1].UnsealedCID = info.Infos[1].SealedCID
	_, err = AggregateOf(info)
	require.ErrorContains(t, err, "sector 8")
	_, err = AggregateOf(proof.AggregateSealVerifyProofAndInfos{})
	require.Error(t, err)
}

package conformance

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/proofs/groth16/snarkpack"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/verify"
)

// TestMainnetAggregates checks the aggregates in messages of the public network, against the statements that the actor
// makes of the recorded state: as far as no verifying key is needed always, and in full where Filecoin's keys are at hand.
// All of them held: a message that fails does so later.
func TestMainnetAggregates(t *testing.T) {
	argument := snarkpack.NewVerifier(filecoinKey(t))
	full := verify.NewWithKeys(keys.NewOfficial(""))
	var sizes []int
	for _, file := range vectors.Glob(t, "extracted/nv15-actors-v7/ProveCommitAggregate-*.json.gz") {
		aggregates := aggregatesIn(t, file)
		for _, info := range aggregates {
			sizes = append(sizes, checkArgument(t, argument, info))
		}
		vectors.Count(t, file, len(aggregates))

		held, missing := 0, 0
		for _, info := range aggregates {
			ok, err := full.VerifyAggregateSeals(t.Context(), info)
			if errors.Is(err, keys.ErrMissing) {
				t.Logf("%s is checked but for the statements of its proofs: %v", file, err)
				missing++
				continue
			}
			require.NoError(t, err)
			require.True(t, ok, file)
			held++
		}
		vectors.Count(t, file, held)
		vectors.NotApplicable(t, file, missing, "statements of an aggregate's proofs: Filecoin's verifying keys are not at hand")
	}
	require.ElementsMatch(t, []int{320, 2560}, sizes, "numbers of proofs")
}

// aggregatesIn runs the messages of a vector file and returns the aggregates that the actor hands to the verifier.
func aggregatesIn(t *testing.T, file string) []proof.AggregateSealVerifyProofAndInfos {
	t.Helper()
	var list []messageVector
	vectors.JSON(t, file, &list)
	verifier := &impliedVerifier{verdict: true}
	for i := range list {
		require.NoError(t, tryExtracted(t, &list[i], verifier), "%s[%d]", file, i)
	}
	require.Len(t, verifier.aggregates, len(list), file)
	return verifier.aggregates
}

// checkArgument checks an aggregate but for the statements of its proofs, and that its message binds it to the sectors'
// seeds and commitments, and returns the number of its proofs.
func checkArgument(t *testing.T, v *snarkpack.Verifier, info proof.AggregateSealVerifyProofAndInfos) int {
	t.Helper()
	sectors, err := porep.AggregateOf(info)
	require.NoError(t, err)
	proofs, err := sectors.NumProofs()
	require.NoError(t, err)
	p, err := snarkpack.Parse(info.Proof)
	require.NoError(t, err)
	require.Equal(t, snarkpack.Padded(proofs), p.NumProofs())
	again, err := p.Bytes()
	require.NoError(t, err)
	require.Equal(t, info.Proof, again)

	version, err := snarkpack.VersionOf(info.AggregateProof)
	require.NoError(t, err)
	require.Equal(t, snarkpack.V1, version)
	digest := sectors.Digest()
	require.NoError(t, v.VerifyArgument(snarkpack.Statement{Version: version, Message: digest[:]}, p))
	for _, wrong := range []snarkpack.Statement{{Version: snarkpack.V2, Message: digest[:]}, {Version: version, Message: digest[1:]}} {
		require.ErrorIs(t, v.VerifyArgument(wrong, p), snarkpack.ErrInvalid)
	}
	for _, spoil := range []func(s *porep.Statement){func(s *porep.Statement) { s.Seed[0] ^= 1 }, func(s *porep.Statement) { s.CommR[0] ^= 1 }} {
		other := append(porep.Aggregate(nil), sectors...)
		spoil(&other[len(other)-1])
		digest := other.Digest()
		require.ErrorIs(t, v.VerifyArgument(snarkpack.Statement{Version: version, Message: digest[:]}, p), snarkpack.ErrInvalid)
	}
	return proofs
}

// filecoinKey reads the verifier's part of Filecoin's commitment keys, which package snarkpack's tests found from recorded
// aggregates.
func filecoinKey(t *testing.T) *snarkpack.Key {
	t.Helper()
	b, err := os.ReadFile("../../proofs/groth16/snarkpack/testdata/filecoin.srs")
	require.NoError(t, err)
	file, err := snarkpack.OpenFile(bytes.NewReader(b))
	require.NoError(t, err)
	key, err := file.Key()
	require.NoError(t, err)
	return key
}

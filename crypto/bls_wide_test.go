package crypto

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/crypto/wide"
)

// TestAggregateOfManySigners is large enough for the lanes: they say yes by themselves where an aggregate holds, and never
// otherwise; the verdict is the same.
func TestAggregateOfManySigners(t *testing.T) {
	for _, of := range []struct{ messages, keys byte }{{8, 8}, {9, 9}, {40, 17}, {100, 100}, {200, 20}} {
		sigs, pubs, msgs := signedBy(t, of.messages, of.keys)
		agg, err := AggregateBLS(sigs)
		require.NoError(t, err)
		point, err := blsSignaturePoint(agg)
		require.NoError(t, err)
		holds := func(pubs, msgs [][]byte) bool { return holdsWide(point, bySigner(pubs, msgs, len(msgs))) }
		require.Equal(t, wide.Available(), holds(pubs, msgs), of)
		require.NoError(t, VerifyBLSAggregate(agg, pubs, msgs), of)
		for _, i := range []int{0, 5, len(msgs) - 1} {
			bad := slices.Clone(msgs)
			bad[i] = []byte("changed")
			require.False(t, holds(pubs, bad))
			require.ErrorIs(t, VerifyBLSAggregate(agg, pubs, bad), ErrBadSignature)
			keys := slices.Clone(pubs)
			keys[i] = pubs[(i+1)%len(pubs)]
			require.False(t, holds(keys, msgs))
			keys[i] = append([]byte{0xc0}, make([]byte, 47)...)
			require.False(t, holds(keys, msgs), "a key at infinity")
			require.ErrorIs(t, VerifyBLSAggregate(agg, keys, msgs), ErrBadSignature)
		}
		none, err := AggregateBLS(nil)
		require.NoError(t, err)
		require.ErrorIs(t, VerifyBLSAggregate(none, pubs, msgs), ErrBadSignature, "a signature at infinity")
	}
}

// TestBatchInLanes: the lanes say yes to a batch that holds, and never otherwise.
func TestBatchInLanes(t *testing.T) {
	for _, of := range []struct{ signatures, keys byte }{{8, 1}, {9, 9}, {40, 3}, {100, 100}} {
		sigs, pubs, msgs := signedBy(t, of.signatures, of.keys)
		require.Equal(t, wide.Available(), batchHoldsWide(sigs, pubs, msgs), of)
		for _, i := range []int{0, 5, len(msgs) - 1} {
			bad := slices.Clone(msgs)
			bad[i] = []byte("changed")
			require.False(t, batchHoldsWide(sigs, pubs, bad))
			bad = slices.Clone(sigs)
			bad[i] = sigs[(i+1)%len(sigs)]
			require.False(t, batchHoldsWide(bad, pubs, msgs))
			bad[i] = append([]byte{0xc0}, make([]byte, 95)...)
			require.False(t, batchHoldsWide(bad, pubs, msgs), "a signature at infinity")
			bad = slices.Clone(pubs)
			bad[i] = append([]byte{0xc0}, make([]byte, 47)...)
			require.False(t, batchHoldsWide(sigs, bad, msgs), "a key at infinity")
		}
		swapped := slices.Clone(sigs) // which a plain sum would not notice
		swapped[0], swapped[7] = swapped[7], swapped[0]
		require.False(t, batchHoldsWide(swapped, pubs, msgs))
	}
}

func TestPanicIsContained(t *testing.T) {
	err := contained(func() error { panic("foreign") })()
	require.ErrorContains(t, err, "foreign")
	require.NotErrorIs(t, err, ErrBadSignature)
	require.NoError(t, contained(func() error { return nil })())
}

// TestFewSignersAreTheLibrarys: an aggregate that holds is taken though the lanes say no, as they do when asked for keys
// too few for them.
func TestFewSignersAreTheLibrarys(t *testing.T) {
	sigs, pubs, msgs := signedBy(t, worthLanes-1, worthLanes-1)
	agg, err := AggregateBLS(sigs)
	require.NoError(t, err)
	point, err := blsSignaturePoint(agg)
	require.NoError(t, err)
	require.False(t, holdsWide(point, bySigner(pubs, msgs, 1)))
	require.NoError(t, VerifyBLSAggregate(agg, pubs, msgs))
}

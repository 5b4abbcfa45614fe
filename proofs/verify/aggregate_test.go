package verify

import (
	"context"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/groth16/snarkpack"
	keys "github.com/filecoin-venus/venus/proofs/params"
)

// generators is an aggregate of two whose every value is a generator: it decodes and proves nothing.
func generators(t *testing.T) []byte {
	t.Helper()
	_, _, g, h := bls.Generators()
	e, err := bls.Pair([]bls.G1Affine{g}, []bls.G2Affine{h})
	require.NoError(t, err)
	c := snarkpack.Commitment{e, e}
	p := snarkpack.Proof{
		AB: c, C: c, Z: e, S: g, LastA: g, LastB: h, LastC: g,
		LastV: [2]bls.G2Affine{h, h}, OpenV: [2]bls.G2Affine{h, h}, LastW: [2]bls.G1Affine{g, g}, OpenW: [2]bls.G1Affine{g, g},
		Rounds: []snarkpack.Round{{AB: [2]snarkpack.Commitment{c, c}, C: [2]snarkpack.Commitment{c, c}, Z: c, S: [2]bls.G1Affine{g, g}}},
	}
	b, err := p.Bytes()
	require.NoError(t, err)
	return b
}

func TestAggregatesHaveVerdicts(t *testing.T) {
	ctx := context.Background()
	seal := wellFormed(t)
	one := proof.AggregateSealVerifyInfo{Number: 4, Randomness: seal.Randomness, InteractiveRandomness: seal.InteractiveRandomness, SealedCID: seal.SealedCID, UnsealedCID: seal.UnsealedCID}
	info := proof.AggregateSealVerifyProofAndInfos{Miner: 100, SealProof: seal.SealProof, Proof: generators(t), Infos: []proof.AggregateSealVerifyInfo{one, one}}
	devnet, err := params.ByName("local")
	require.NoError(t, err)
	ok, err := New(devnet, t.TempDir()).VerifyAggregateSeals(ctx, info)
	require.NoError(t, err)
	require.False(t, ok)

	mainnet, err := params.ByName("mainnet")
	require.NoError(t, err)
	v := New(mainnet, t.TempDir())
	_, err = v.VerifyAggregateSeals(ctx, info)
	require.ErrorIs(t, err, keys.ErrMissing)
	for name, bad := range map[string]func(i *proof.AggregateSealVerifyProofAndInfos){
		"nothing": func(i *proof.AggregateSealVerifyProofAndInfos) { *i = proof.AggregateSealVerifyProofAndInfos{} },
		"kind":    func(i *proof.AggregateSealVerifyProofAndInfos) { i.AggregateProof = -1 },
		"type":    func(i *proof.AggregateSealVerifyProofAndInfos) { i.SealProof = 99 },
		"length":  func(i *proof.AggregateSealVerifyProofAndInfos) { i.Proof = i.Proof[:len(i.Proof)-1] },
		"too many sectors": func(i *proof.AggregateSealVerifyProofAndInfos) {
			i.Infos = make([]proof.AggregateSealVerifyInfo, snarkpack.MaxProofs+1)
		},
		"other number": func(i *proof.AggregateSealVerifyProofAndInfos) { i.Infos = append(i.Infos, one) },
	} {
		wrong := info
		bad(&wrong)
		ok, err := v.VerifyAggregateSeals(ctx, wrong)
		require.NoError(t, err, name)
		require.False(t, ok, name)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = v.VerifyAggregateSeals(cancelled, info)
	require.ErrorIs(t, err, context.Canceled)
}

// TestAggregatesNeedFilecoinsKeys: with the verifying key at hand, the commitment keys are asked for by name.
func TestAggregatesNeedFilecoinsKeys(t *testing.T) {
	_, err := NewWithKeys(keys.NewOfficial(t.TempDir())).aggregation()
	require.ErrorIs(t, err, keys.ErrMissing)
	require.ErrorContains(t, err, "v28-fil-inner-product-v1.srs")
	require.ErrorContains(t, err, "ae20310138f5ba81451d723f858e3797")
}

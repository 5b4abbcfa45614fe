package prove

import (
	"context"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/groth16/snarkpack"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/verify"
)

// sealedSectors proves the two real sectors in turn, each time for another seed.
func sealedSectors(t testing.TB, p *Prover, n int) (info proof.AggregateSealVerifyProofAndInfos, proofs [][]byte) {
	t.Helper()
	sectors := []*genesisSector{loadGenesis(t, 0), loadGenesis(t, 1)}
	info = proof.AggregateSealVerifyProofAndInfos{Miner: genesisMiner, SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1}
	for i := range n {
		g := sectors[i%2]
		st := g.statement
		st.Seed[0] = byte(i)
		vanilla, err := porep.Prove(t.Context(), st, g.sources)
		require.NoError(t, err)
		b, err := p.ProvePoRep(t.Context(), vanilla)
		require.NoError(t, err)
		proofs = append(proofs, b)
		info.Infos = append(info.Infos, proof.AggregateSealVerifyInfo{
			Number: g.id.Number, Randomness: genesisTicket[:], InteractiveRandomness: append([]byte(nil), st.Seed[:]...),
			SealedCID: g.commR, UnsealedCID: g.commD,
		})
	}
	return info, proofs
}

func TestAggregatedSealsVerify(t *testing.T) {
	ctx := context.Background()
	p, v := newProver(t), verify.New(devnet(t), t.TempDir())
	info, proofs := sealedSectors(t, p, 5)
	for _, n := range []int{1, 2, 4, 5} {
		for _, kind := range []abi.RegisteredAggregationProof{abi.RegisteredAggregationProof_SnarkPackV1, abi.RegisteredAggregationProof_SnarkPackV2} {
			part := info
			part.Infos, part.AggregateProof = info.Infos[:n], kind
			var err error
			part.Proof, err = p.AggregateSeals(ctx, part, proofs[:n])
			require.NoError(t, err)
			require.Len(t, part.Proof, snarkpack.Size(snarkpack.Padded(n)))
			ok, err := v.VerifyAggregateSeals(ctx, part)
			require.NoError(t, err)
			require.True(t, ok, "%d sectors, type %d", n, kind)
			part.AggregateProof = 1 - kind
			ok, err = v.VerifyAggregateSeals(ctx, part)
			require.NoError(t, err)
			require.False(t, ok, "the other transcript")
		}
	}

	var err error
	info.Proof, err = p.AggregateSeals(ctx, info, proofs)
	require.NoError(t, err)
	tail := info
	tail.Proof = append(append([]byte(nil), info.Proof...), 1, 2, 3)
	ok, err := v.VerifyAggregateSeals(ctx, tail)
	require.NoError(t, err)
	require.True(t, ok, "Filecoin's verifier ignores what follows")
	another := info // the last proof fills up, so its statement may be said again
	another.Infos = append(append([]proof.AggregateSealVerifyInfo(nil), info.Infos...), info.Infos[4])
	ok, err = v.VerifyAggregateSeals(ctx, another)
	require.NoError(t, err)
	require.False(t, ok, "the seeds and commitments are bound in number")
	for name, tamper := range tampers(proofs) {
		bad := info
		bad.Infos = append([]proof.AggregateSealVerifyInfo(nil), info.Infos...)
		tamper(&bad)
		ok, err := v.VerifyAggregateSeals(ctx, bad)
		require.NoError(t, err, name)
		require.False(t, ok, name)
	}
}

// tampers are all classes of changes to an aggregate and its statement.
func tampers(proofs [][]byte) map[string]func(i *proof.AggregateSealVerifyProofAndInfos) {
	type all = *proof.AggregateSealVerifyProofAndInfos
	return map[string]func(i *proof.AggregateSealVerifyProofAndInfos){
		"ticket":  func(i all) { i.Infos[1].Randomness = flip(i.Infos[1].Randomness) },
		"seed":    func(i all) { i.Infos[1].InteractiveRandomness = flip(i.Infos[1].InteractiveRandomness) },
		"number":  func(i all) { i.Infos[2].Number += 7 },
		"CommR":   func(i all) { i.Infos[3].SealedCID = i.Infos[2].SealedCID },
		"CommD":   func(i all) { i.Infos[0].UnsealedCID = i.Infos[1].UnsealedCID },
		"miner":   func(i all) { i.Miner++ },
		"version": func(i all) { i.SealProof = abi.RegisteredSealProof_StackedDrg2KiBV1_1 },
		"size":    func(i all) { i.SealProof = abi.RegisteredSealProof_StackedDrg8MiBV1 },
		"order":   func(i all) { i.Infos[0], i.Infos[2] = i.Infos[2], i.Infos[0] },
		"less":    func(i all) { i.Infos = i.Infos[:4] },
		"more":    func(i all) { i.Infos = append(i.Infos, i.Infos[0]) },
		"twice":   func(i all) { i.Infos = append(i.Infos, i.Infos...) },
		"none":    func(i all) { i.Infos = nil },
		"kind":    func(i all) { i.AggregateProof = 2 },
		"bit":     func(i all) { i.Proof = flip(i.Proof) },
		"length":  func(i all) { i.Proof = i.Proof[:len(i.Proof)-1] },
		"no CID":  func(i all) { i.Infos[4].SealedCID = i.Infos[4].UnsealedCID },
		"single":  func(i all) { i.Proof = proofs[0] },
		"short":   func(i all) { i.Infos[0].Randomness = i.Infos[0].Randomness[:31] },
		"nothing": func(i all) { *i = proof.AggregateSealVerifyProofAndInfos{} },
	}
}

func TestAggregateSealsNamesTheWrongSector(t *testing.T) {
	ctx := context.Background()
	p := newProver(t)
	info, proofs := sealedSectors(t, p, 2)
	_, err := p.AggregateSeals(ctx, info, [][]byte{proofs[0], proofs[0]})
	require.ErrorIs(t, err, groth16.ErrInvalid)
	require.ErrorContains(t, err, "sector 1")
	_, err = p.AggregateSeals(ctx, info, [][]byte{proofs[0][1:], proofs[1]})
	require.ErrorIs(t, err, groth16.ErrEncoding)
	require.ErrorContains(t, err, "sector 0")
	_, err = p.AggregateSeals(ctx, info, proofs[:1])
	require.Error(t, err)
	none := info
	none.Infos = nil
	_, err = p.AggregateSeals(ctx, none, nil)
	require.Error(t, err)
	for _, change := range []func(i *proof.AggregateSealVerifyProofAndInfos){
		func(i *proof.AggregateSealVerifyProofAndInfos) { i.AggregateProof = 2 },
		func(i *proof.AggregateSealVerifyProofAndInfos) { i.SealProof = 99 },
	} {
		bad := info
		change(&bad)
		_, err = p.AggregateSeals(ctx, bad, proofs)
		require.Error(t, err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = p.AggregateSeals(cancelled, info, proofs)
	require.ErrorIs(t, err, context.Canceled)
}

// TestPublicNetworksNeedFilesToAggregate: neither key may be made up there.
func TestPublicNetworksNeedFilesToAggregate(t *testing.T) {
	mainnet, err := params.ByName("mainnet")
	require.NoError(t, err)
	p, err := NewIn(t.TempDir(), mainnet, CRS)
	require.NoError(t, err)
	_, err = p.AggregateSeals(context.Background(), proof.AggregateSealVerifyProofAndInfos{SealProof: abi.RegisteredSealProof_StackedDrg32GiBV1_1}, nil)
	require.ErrorIs(t, err, keys.ErrMissing)
	_, err = p.aggregator.press(context.Background(), 40)
	require.ErrorIs(t, err, keys.ErrMissing)
	require.ErrorContains(t, err, keys.AggregationFileName)
	_, err = p.aggregator.press(context.Background(), snarkpack.MaxProofs+1)
	require.Error(t, err)
}

func BenchmarkVerifyAggregateSeals(b *testing.B) {
	p, v := newProver(b), verify.New(devnet(b), b.TempDir())
	info, proofs := sealedSectors(b, p, 4)
	var err error
	info.Proof, err = p.AggregateSeals(b.Context(), info, proofs)
	require.NoError(b, err)
	for b.Loop() {
		ok, err := v.VerifyAggregateSeals(b.Context(), info)
		require.NoError(b, err)
		require.True(b, ok)
	}
}

package prove

import (
	"context"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/npm"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/groth16"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/post"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// TestSnarkjsAgrees lets a verifier that shares no line with ours judge our proofs, of a sector sealed here so that it
// needs no vectors.
func TestSnarkjsAgrees(t *testing.T) {
	clients := npm.Install(t, "testdata/npm")
	ctx, p, g := context.Background(), newProver(t), sealHere(t)
	devnet := keys.NewDevnet(devnet(t).ProofSeed, "")

	const kind = abi.RegisteredPoStProof_StackedDrgWindow2KiBV1
	r := fr32.Node{9}
	part := post.Partition{Proof: kind, Sectors: []post.SectorProof{g.open(t, kind, r, 0)}}
	window, err := p.ProveWindowPoSt(ctx, r, 0, []post.Partition{part})
	require.NoError(t, err)
	sh, err := shape.OfPoSt(kind)
	require.NoError(t, err)
	windowPublic, err := post.PublicInputs(sh, r, 0, part.Public())
	require.NoError(t, err)
	windowKey, err := devnet.VerifyingKey(keys.PoSt(sh))
	require.NoError(t, err)

	vanilla, err := porep.Prove(ctx, g.statement, g.sources)
	require.NoError(t, err)
	replication, err := p.ProvePoRep(ctx, vanilla)
	require.NoError(t, err)
	replicationPublic, err := vanilla.PublicInputs(0)
	require.NoError(t, err)
	seal, err := shape.OfSeal(vanilla.SealProof)
	require.NoError(t, err)
	replicationKey, err := devnet.VerifyingKey(keys.PoRep(seal))
	require.NoError(t, err)

	type verdict struct{ Given, Changed bool }
	var got []verdict
	clients.Script(t, nil, []any{
		forSnarkjs(t, windowKey, window, windowPublic), forSnarkjs(t, replicationKey, replication, replicationPublic),
	}, &got, "snarkjs.mjs")
	require.Equal(t, []verdict{{Given: true}, {Given: true}}, got)
}

// sealHere seals a sector that nobody sealed before.
func sealHere(t *testing.T) *genesisSector {
	t.Helper()
	const kind = abi.RegisteredSealProof_StackedDrg2KiBV1
	g := &genesisSector{id: abi.SectorID{Miner: genesisMiner, Number: 5}}
	sh, err := shape.OfSeal(kind)
	require.NoError(t, err)
	data := make([]byte, 32*sh.Nodes())
	for i := range data {
		data[i] = byte(i*i>>3) & 0x3f // below the field's order in every node
	}
	var tree commp.Tree
	_, err = tree.Write(data)
	require.NoError(t, err)
	g.statement = porep.Statement{SealProof: kind, CommD: tree.Root(abi.PaddedPieceSize(len(data))), Seed: testSeed}
	prover, err := porep.ProverID(g.id.Miner)
	require.NoError(t, err)
	g.statement.ReplicaID = porep.ReplicaID(sh, prover, g.id.Number, genesisTicket[:], g.statement.CommD)

	layers, replica := g.label(t), make([]byte, len(data))
	require.NoError(t, porep.Encode(replica, data, layers[1]))
	g.plant(t, layers, data, replica)
	g.statement.CommR, err = porep.CommR(g.replica.CommC, g.replica.CommRLast)
	require.NoError(t, err)
	g.replica.CommR = g.statement.CommR
	return g
}

func jsonG1(p *bls.G1Affine) []string { return []string{p.X.String(), p.Y.String(), "1"} }

func jsonG2(p *bls.G2Affine) [][]string {
	return [][]string{{p.X.A0.String(), p.X.A1.String()}, {p.Y.A0.String(), p.Y.A1.String()}, {"1", "0"}}
}

// forSnarkjs puts a key, a proof and its public inputs as snarkjs writes them.
func forSnarkjs(t *testing.T, vk *groth16.VerifyingKey, raw []byte, public []fr.Element) any {
	t.Helper()
	proof, err := groth16.ParseProof(raw)
	require.NoError(t, err)
	var ic [][]string
	for i := range vk.IC {
		ic = append(ic, jsonG1(&vk.IC[i]))
	}
	var inputs []string
	for i := range public {
		inputs = append(inputs, public[i].String())
	}
	return map[string]any{
		"vk": map[string]any{
			"protocol": "groth16", "curve": "bls12381", "nPublic": len(public), "IC": ic, "vk_alpha_1": jsonG1(&vk.AlphaG1),
			"vk_beta_2": jsonG2(&vk.BetaG2), "vk_gamma_2": jsonG2(&vk.GammaG2), "vk_delta_2": jsonG2(&vk.DeltaG2),
		},
		"proof": map[string]any{
			"protocol": "groth16", "curve": "bls12381", "pi_a": jsonG1(&proof.A), "pi_b": jsonG2(&proof.B), "pi_c": jsonG1(&proof.C),
		},
		"public": inputs,
	}
}

package prove

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/groth16"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/post"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// TestSnarkjsAgrees lets a verifier that shares no line with ours judge our proofs. It needs node and an installed
// snarkjs: set VENUS_SNARKJS to its package folder.
func TestSnarkjsAgrees(t *testing.T) {
	module := os.Getenv("VENUS_SNARKJS")
	if module == "" {
		t.Skip("needs snarkjs (npm install snarkjs): set VENUS_SNARKJS to node_modules/snarkjs")
	}
	ctx, p, g := context.Background(), newProver(t), loadGenesis(t, 0)
	devnet := keys.NewDevnet(devnet(t).ProofSeed, "")

	const kind = abi.RegisteredPoStProof_StackedDrgWindow2KiBV1
	r := fr32.Node{9}
	part := post.Partition{Proof: kind, Sectors: []post.SectorProof{g.open(t, kind, r, 0)}}
	made, err := p.ProveWindowPoSt(ctx, r, []post.Partition{part})
	require.NoError(t, err)
	sh, err := shape.OfPoSt(kind)
	require.NoError(t, err)
	public, err := post.PublicInputs(sh, r, 0, part.Public())
	require.NoError(t, err)
	vk, err := devnet.VerifyingKey(keys.PoSt(sh))
	require.NoError(t, err)
	require.Equal(t, "true false", snarkjs(t, module, vk, made, public))

	vanilla, err := porep.Prove(ctx, g.statement, g.sources)
	require.NoError(t, err)
	made, err = p.ProvePoRep(ctx, vanilla)
	require.NoError(t, err)
	public, err = vanilla.PublicInputs(0)
	require.NoError(t, err)
	seal, err := shape.OfSeal(vanilla.SealProof)
	require.NoError(t, err)
	vk, err = devnet.VerifyingKey(keys.PoRep(seal))
	require.NoError(t, err)
	require.Equal(t, "true false", snarkjs(t, module, vk, made, public))
}

func jsonG1(p *bls.G1Affine) []string { return []string{p.X.String(), p.Y.String(), "1"} }

func jsonG2(p *bls.G2Affine) [][]string {
	return [][]string{{p.X.A0.String(), p.X.A1.String()}, {p.Y.A0.String(), p.Y.A1.String()}, {"1", "0"}}
}

func snarkjs(t *testing.T, module string, vk *groth16.VerifyingKey, raw []byte, public []fr.Element) string {
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
	in, err := json.Marshal(map[string]any{
		"vk": map[string]any{
			"protocol": "groth16", "curve": "bls12381", "nPublic": len(public), "IC": ic, "vk_alpha_1": jsonG1(&vk.AlphaG1),
			"vk_beta_2": jsonG2(&vk.BetaG2), "vk_gamma_2": jsonG2(&vk.GammaG2), "vk_delta_2": jsonG2(&vk.DeltaG2),
		},
		"proof": map[string]any{
			"protocol": "groth16", "curve": "bls12381", "pi_a": jsonG1(&proof.A), "pi_b": jsonG2(&proof.B), "pi_c": jsonG1(&proof.C),
		},
		"public": inputs,
	})
	require.NoError(t, err)
	module, err = filepath.Abs(module)
	require.NoError(t, err)
	cmd := exec.Command("node", "testdata/snarkjs.cjs", module)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

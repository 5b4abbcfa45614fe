package verify

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/proofs/fr32"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/shape"
)

type numbers []byte

func (n *numbers) UnmarshalJSON(b []byte) error {
	var ints []uint8
	var wide []int
	if err := json.Unmarshal(b, &wide); err != nil {
		return err
	}
	for _, v := range wide {
		ints = append(ints, uint8(v))
	}
	*n = ints
	return nil
}

type record struct {
	Config struct {
		PoRepID  numbers  `json:"porep_id"`
		Features []string `json:"api_features"`
	} `json:"porep_config"`
	CommR    numbers          `json:"comm_r"`
	CommD    numbers          `json:"comm_d"`
	ProverID numbers          `json:"prover_id"`
	Sector   abi.SectorNumber `json:"sector_id"`
	Ticket   numbers
	Seed     numbers
	Proof    numbers
}

// TestSealRecordsVerify checks the recorded proofs of the real network's software against Filecoin's own verifying keys.
// It closes the one question that counts cannot answer, the order of variables; so it runs wherever the keys are at hand.
func TestSealRecordsVerify(t *testing.T) {
	lines := bufio.NewScanner(bytes.NewReader(vectors.Bytes(t, "proofs/seal-records-v16.json.gz")))
	lines.Buffer(nil, 1<<20)
	v := NewWithKeys(keys.NewOfficial(""))
	verified, missing, other := 0, 0, 0
	for lines.Scan() {
		var r record
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		kind := abi.RegisteredSealProof(r.Config.PoRepID[0])
		sh, err := shape.OfSeal(kind)
		if err != nil || len(r.Config.Features) > 0 || !bytes.Equal(sh.PoRepID[:], r.Config.PoRepID) {
			other++ // a test configuration or a feature that has no registered interactive type
			continue
		}
		st := porep.Statement{SealProof: kind, CommD: fr32.Node(r.CommD), CommR: fr32.Node(r.CommR), Seed: fr32.Node(r.Seed)}
		st.ReplicaID = porep.ReplicaID(sh, fr32.Node(r.ProverID), r.Sector, r.Ticket, st.CommD)
		c, err := parsed(newClaim(keys.PoRep(sh), r.Proof, sh.Partitions, st.PublicInputs))
		require.NoError(t, err)
		verdicts, err := v.judge(t.Context(), []*claim{c})
		if errors.Is(err, keys.ErrMissing) {
			missing++
			continue
		}
		require.NoError(t, err)
		require.True(t, verdicts[0], "record of %s, sector %d", c.circuit.Title, r.Sector)
		verified++
	}
	require.NoError(t, lines.Err())
	vectors.Count(t, "proofs/seal-records-v16.json.gz", verified)
	vectors.NotApplicable(t, "proofs/seal-records-v16.json.gz", missing, "verdict: Filecoin's verifying keys are not at hand")
	vectors.NotApplicable(t, "proofs/seal-records-v16.json.gz", other, "verdict: a test configuration or feature without a registered interactive type")
	t.Logf("verified %d, verifying key not at hand %d, other configurations %d", verified, missing, other)
	if verified == 0 {
		t.Skipf("none of %d records could be verified: Filecoin's verifying keys are not in %s", missing, keys.CacheDir())
	}
}

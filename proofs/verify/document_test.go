package verify

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/params"
	keys "github.com/filecoin-venus/venus/proofs/params"
)

func TestJudgeTellsWhy(t *testing.T) {
	n, err := params.ByName("2k")
	require.NoError(t, err)
	v := New(n, t.TempDir())
	seal := wellFormed(t)
	short := seal
	short.Proof = short.Proof[:100]
	for _, c := range []struct {
		kind      Kind
		statement any
		reason    string
	}{
		{KindSeal, seal, doesNotHold},
		{KindSeal, short, "100 bytes"},
		{KindWindow, proof.WindowPoStVerifyInfo{}, "0 proofs, want exactly one"},
		{KindWinning, proof.WinningPoStVerifyInfo{Proofs: []proof.PoStProof{{PoStProof: abi.RegisteredPoStProof_StackedDrgWindow2KiBV1}}}, "other kind of PoSt"},
		{KindAggregate, proof.AggregateSealVerifyProofAndInfos{AggregateProof: 77}, "77"},
	} {
		d, err := NewDocument(c.kind, c.statement)
		require.NoError(t, err)
		b, err := json.Marshal(d)
		require.NoError(t, err)
		read, err := ReadDocument(bytes.NewReader(b))
		require.NoError(t, err)
		verdict, err := v.Judge(t.Context(), read)
		require.NoError(t, err, c.kind)
		require.False(t, verdict.Valid)
		require.Contains(t, verdict.Reason, c.reason, c.kind)
	}
	mainnet, err := params.ByName("mainnet")
	require.NoError(t, err)
	d, err := NewDocument(KindSeal, seal)
	require.NoError(t, err)
	_, err = New(mainnet, t.TempDir()).Judge(t.Context(), d)
	require.ErrorIs(t, err, keys.ErrMissing)
}

func FuzzDocument(f *testing.F) {
	for _, s := range []string{
		`{"kind":"seal","statement":{"Proof":"AAAA"}}`, `{"kind":"window","statement":{"Proofs":[{"PoStProof":5,"ProofBytes":""}]}}`,
		`{"kind":"winning","statement":{}}`, `{"kind":"update","statement":{}}`, `{"kind":"aggregate","statement":{"Infos":[{}]}}`, `[]`,
	} {
		f.Add(s)
	}
	n, err := params.ByName("2k")
	require.NoError(f, err)
	// A cache without keys: what gets that far is well formed.
	n.Devnet, n.ProofSeed = false, nil
	v := New(n, f.TempDir())
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ReadDocument(strings.NewReader(s))
		if err != nil {
			require.ErrorIs(t, err, ErrDocument)
			return
		}
		verdict, err := v.Judge(t.Context(), d)
		require.False(t, verdict.Valid)
		if err == nil {
			require.NotEmpty(t, verdict.Reason)
		}
	})
}

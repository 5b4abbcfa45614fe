package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/params"
)

func TestRoundTrip(t *testing.T) {
	file := filepath.Join(t.TempDir(), FileName)
	c := Default()
	c.Messager = Messager{URL: "http://1.2.3.4:39812/rpc/v0", Token: "secret", Wallet: "w"}
	c.Network = NetworkOf("./net.json")
	require.NoError(t, c.Save(file))
	st, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	got, err := Load(file)
	require.NoError(t, err)
	require.Equal(t, c, got)

	require.NoError(t, os.WriteFile(file, []byte("[Sealing]\nMaxSealingSector = 3\n"), 0o600))
	_, err = Load(file)
	require.ErrorContains(t, err, "MaxSealingSector")
	_, err = Load(file + ".none")
	require.ErrorContains(t, err, "venus-sealer init")
}

func TestPoliciesFitTheirNetworks(t *testing.T) {
	for _, name := range params.Names() {
		n, err := params.ByName(name)
		require.NoError(t, err)
		p := Policy(n)
		require.Greater(t, p.MaxTicketAge-p.TicketMargin, n.SealRandomnessLookback, name)
		require.Greater(t, p.MaxProveCommitDuration, p.PreCommitChallengeDelay+p.SeedConfidence)
		require.Greater(t, p.BackoffMax, p.BackoffBase)
	}
	_, err := Default().Fees.MaxFees()
	require.NoError(t, err)
	_, err = Sealing{Tasks: []string{"pc1", "PC9"}}.Kinds()
	require.ErrorContains(t, err, "PC9")
	k, err := Default().Sealing.Kinds()
	require.NoError(t, err)
	require.Len(t, k, 6)
}

package params

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/network"
	"github.com/stretchr/testify/require"
)

func TestEveryNetworkIsConsistent(t *testing.T) {
	for _, name := range Names() {
		n, err := ByName(name)
		require.NoError(t, err)
		require.NoError(t, n.Validate(), name)
		require.Equal(t, name, n.Name)
		require.Equal(t, n.Devnet, name == "local" || name == "2k", "only private networks may use the trapdoor prover")
	}
	_, err := ByName("mars")
	require.ErrorContains(t, err, "local")
	cali, err := ByName("cali")
	require.NoError(t, err)
	require.Equal(t, "calibnet", cali.Name)
}

func TestNetworkVersions(t *testing.T) {
	m, err := ByName("mainnet")
	require.NoError(t, err)
	for h, want := range map[abi.ChainEpoch]network.Version{0: 0, 41280: 0, 41281: 1, 892800: 12, 892801: 13, 1594681: 15} {
		require.Equal(t, want, m.VersionAt(h), "epoch %d", h)
	}
	require.NoError(t, m.CanExecute(1594681))
	require.ErrorContains(t, m.CanExecute(1), "executes version 15 only")
	l, err := ByName("local")
	require.NoError(t, err)
	require.NoError(t, l.CanExecute(0))
}

func TestNetworkFileRoundTrip(t *testing.T) {
	n, err := ByName("local")
	require.NoError(t, err)
	n.Beacons = []Beacon{{Scheme: BeaconUnchained, PublicKey: "aa", Period: n.BlockDelay}}
	b, err := json.Marshal(n)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "network.json")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	back, err := Load(path)
	require.NoError(t, err)
	require.Equal(t, n, back)

	n.Devnet = false
	b, err = json.Marshal(n)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	_, err = Load(path)
	require.ErrorContains(t, err, "proof seed")
	require.NoError(t, os.WriteFile(path, b[:len(b)/2], 0o600))
	_, err = Load(path)
	require.ErrorContains(t, err, path)
}

func TestSealProof(t *testing.T) {
	n, err := ByName("local")
	require.NoError(t, err)
	p, err := n.SealProof(2048)
	require.NoError(t, err)
	require.Equal(t, abi.RegisteredSealProof_StackedDrg2KiBV1_1, p)
	_, err = n.SealProof(32 << 30)
	require.Error(t, err)
}

func TestAddressNetworkOf(t *testing.T) {
	for _, name := range Names() {
		n, err := ByName(name)
		require.NoError(t, err)
		require.Equal(t, n.AddressNetwork(), AddressNetworkOf(n.GenesisName), name)
	}
	require.Equal(t, address.Testnet, AddressNetworkOf("of nobody"))
}

// A public network's parameters serve a private one without its name, genesis or beacon.
func TestPrivate(t *testing.T) {
	public, err := ByName("nerpa")
	require.NoError(t, err)
	n := public.Private()
	require.NotEqual(t, public.Name, n.Name)
	require.NotEqual(t, public.GenesisName, n.GenesisName)
	require.True(t, n.Devnet)
	require.Empty(t, n.GenesisCID)
	require.Empty(t, n.Beacons)
	require.NoError(t, n.CanExecute(1))
	require.Equal(t, public.SectorSizes, n.SectorSizes)
	require.Equal(t, public.ChallengeWindow, n.ChallengeWindow)
	require.EqualValues(t, n.SectorSizes[0], n.MinConsensusPower.Int64())
	_, err = ByName(n.Name)
	require.Error(t, err, "it is known by its file alone")
	local, err := ByName("local")
	require.NoError(t, err)
	require.Equal(t, local, local.Private())
	fresh, err := ByName("nerpa")
	require.NoError(t, err)
	require.Equal(t, public, fresh, "the public one is as it was")
}

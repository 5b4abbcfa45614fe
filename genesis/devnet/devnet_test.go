package devnet

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/genesis"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
)

func make2(t *testing.T, dir string) params.Network {
	t.Helper()
	net, err := params.ByName("local")
	require.NoError(t, err)
	net, err = New(context.Background(), Options{
		Network: net, Dir: dir, Timestamp: 1_700_000_000, Miners: 1, SectorsPerMiner: 2, Seed: []byte("test"), BeaconServers: []string{"http://127.0.0.1:1"},
	})
	require.NoError(t, err)
	return net
}

func TestNewIsRepeatable(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	a, b := make2(t, one), make2(t, two)
	require.Equal(t, a, b)
	first, err := os.ReadFile(Layout{one}.Genesis())
	require.NoError(t, err)
	second, err := os.ReadFile(Layout{two}.Genesis())
	require.NoError(t, err)
	require.True(t, bytes.Equal(first, second))

	require.NoError(t, os.Remove(Layout{one}.Genesis()))
	again, err := Rebuild(context.Background(), one)
	require.NoError(t, err)
	require.Equal(t, a, again)
	rebuilt, err := os.ReadFile(Layout{one}.Genesis())
	require.NoError(t, err)
	require.True(t, bytes.Equal(first, rebuilt), "the genesis is rebuilt bit for bit")

	h, net, err := genesis.LoadFile(context.Background(), bytes.NewReader(first), ipld.NewMemory())
	require.NoError(t, err)
	require.Equal(t, a.GenesisCID, h.Cid().String())
	require.Equal(t, a.GenesisCID, net.GenesisCID)
	require.Equal(t, time.Second, net.BlockDelay)

	m, err := address.NewIDAddress(1000)
	require.NoError(t, err)
	for _, f := range []string{Layout{one}.BeaconKey(), Layout{one}.FaucetKey(), Layout{one}.MinerKey(m)} {
		info, err := os.Stat(f)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), f)
	}
	_, err = New(context.Background(), Options{Network: a, Dir: one, Timestamp: 1, Miners: 1, SectorsPerMiner: 1})
	require.ErrorContains(t, err, "already")
}

func TestPublicNetworksAreRefused(t *testing.T) {
	net, err := params.ByName("mainnet")
	require.NoError(t, err)
	_, err = New(context.Background(), Options{Network: net, Dir: t.TempDir(), Timestamp: 1, Miners: 1, SectorsPerMiner: 1})
	require.ErrorContains(t, err, "public")
}

func TestDamagedGenesisFiles(t *testing.T) {
	dir := t.TempDir()
	make2(t, dir)
	whole, err := os.ReadFile(Layout{dir}.Genesis())
	require.NoError(t, err)
	for _, n := range []int{0, 10, len(whole) / 2, len(whole) - 1} {
		_, _, err := genesis.LoadFile(context.Background(), bytes.NewReader(whole[:n]), ipld.NewMemory())
		require.ErrorIs(t, err, genesis.ErrNotGenesis, "cut at %d", n)
	}
}

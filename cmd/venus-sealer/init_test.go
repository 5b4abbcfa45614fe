package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	clisealer "github.com/filecoin-venus/venus/cli/sealer"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]abi.SectorSize{"2KiB": 2 << 10, "2kib": 2 << 10, "8MiB": 8 << 20, "512M": 512 << 20, "512MiB": 512 << 20, "32GiB": 32 << 30, "64 GiB": 64 << 30, "2048": 2048} {
		got, err := parseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, bad := range []string{"", "M", "-1M", "0", "2.5K", "abc"} {
		_, err := parseSize(bad)
		require.Error(t, err, bad)
	}
}

func TestRequest(t *testing.T) {
	b := make([]byte, 48)
	owner, err := address.NewBLSAddress(b)
	require.NoError(t, err)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("from-file\n"), 0o600))
	o := clisealer.InitOptions{
		Owner: owner.String(), Network: "nerpa", SectorSize: "512M", MessagerURL: "http://1.2.3.4:39812/rpc/v0", MessagerToken: "@" + token, NodeURL: "/ip4/1.2.3.4/tcp/3453", NodeToken: "plain",
		WalletName: "testminer", GasPremium: "0", API: "2400",
	}
	r, err := request(o)
	require.NoError(t, err)
	require.Equal(t, owner, r.Owner)
	require.Equal(t, abi.SectorSize(512<<20), r.SectorSize)
	require.Equal(t, "from-file", r.Config.Messager.Token)
	require.Equal(t, "plain", r.Config.Node.Token)
	require.Equal(t, "/ip4/127.0.0.1/tcp/2400/http", r.Config.API.ListenAddress)
	o.SectorSize = ""
	r, err = request(o)
	require.NoError(t, err)
	require.Equal(t, abi.SectorSize(512<<20), r.SectorSize, "the network's first size")

	for name, change := range map[string]func(*clisealer.InitOptions){
		"--network":        func(o *clisealer.InitOptions) { o.Network = "nonet" },
		"--owner":          func(o *clisealer.InitOptions) { o.Owner = "nonsense" },
		"--actor":          func(o *clisealer.InitOptions) { o.Actor = "t01000" },
		"--gas-premium":    func(o *clisealer.InitOptions) { o.GasPremium = "x" },
		"--messager-url":   func(o *clisealer.InitOptions) { o.MessagerURL = "" },
		"--messager-token": func(o *clisealer.InitOptions) { o.MessagerToken = "@/nonexistent/file" },
	} {
		bad := o
		change(&bad)
		_, err := request(bad)
		require.ErrorContains(t, err, name)
	}
}

// TestOneTokenIsEnough: node and messager know the same tokens, those of venus-auth.
func TestOneTokenIsEnough(t *testing.T) {
	owner, err := address.NewIDAddress(100)
	require.NoError(t, err)
	r, err := request(clisealer.InitOptions{
		Owner: owner.String(), Network: "nerpa", MessagerURL: "http://1.2.3.4:39812/rpc/v0", NodeURL: "/ip4/1.2.3.4/tcp/3453", NodeToken: "one", GasPremium: "0",
	})
	require.NoError(t, err)
	require.Equal(t, "one", r.Config.Messager.Token)
}

package genesis

import (
	"context"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/ipld"
)

// TestPrintingMakesNoDifference: the prefix that addresses print with is no part
// of a genesis.
func TestPrintingMakesNoDifference(t *testing.T) {
	net, err := policyParams(policyNetwork())
	require.NoError(t, err)
	old := address.CurrentNetwork
	t.Cleanup(func() { address.CurrentNetwork = old })
	var roots []string
	tmpl := testTemplate(t, net, 1, 2, 0)
	for _, n := range []address.Network{address.Mainnet, address.Testnet} {
		address.CurrentNetwork = n
		h, err := Build(context.Background(), ipld.NewMemory(), net, tmpl)
		require.NoError(t, err)
		roots = append(roots, h.Cid().String())
	}
	require.Equal(t, roots[0], roots[1])
}

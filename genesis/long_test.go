package genesis

import (
	"testing"

	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/stretchr/testify/require"
)

// TestMissedProofsEndPower lets whole proving periods pass without a proof: the
// power goes at the first deadlines, the state stays sound.
func TestMissedProofsEndPower(t *testing.T) {
	net := testNetwork(t)
	h, bs := build(t, testTemplate(t, net, 2, 4, 1))
	period := net.ProvingPeriod()
	root := runCron(t, bs, h.ParentStateRoot, 1, 2*period)
	requireInvariants(t, bs, root, 2*period)
	var pow power.State
	readState(t, bs, root, builtin.StoragePowerActorAddr, &pow)
	require.Equal(t, big.Zero(), pow.TotalRawBytePower)
	require.EqualValues(t, 2, pow.MinerCount)
}

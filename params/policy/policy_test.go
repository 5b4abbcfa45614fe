package policy

import (
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/params"
)

func TestApply(t *testing.T) {
	n, err := params.ByName("local")
	require.NoError(t, err)
	require.NoError(t, Apply(n))
	require.Equal(t, abi.ChainEpoch(960), miner.WPoStProvingPeriod)
	require.True(t, miner.CanPreCommitSealProof(abi.RegisteredSealProof_StackedDrg2KiBV1_1))
	require.False(t, miner.CanPreCommitSealProof(abi.RegisteredSealProof_StackedDrg32GiBV1_1))
	least, err := builtin.ConsensusMinerMinPower(abi.RegisteredPoStProof_StackedDrgWindow2KiBV1)
	require.NoError(t, err)
	require.True(t, least.Equals(n.MinConsensusPower))
	n.ChallengeWindow = 1
	require.Error(t, Apply(n), "parameters that do not fit together are refused")
}

package check

import (
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"
)

// Only known remarks pass, and that about a deal only once the deal is over.
func TestHarmlessRemarks(t *testing.T) {
	ends := func(id abi.DealID) (abi.ChainEpoch, bool) { return 100, id == 7 }
	deal := "un-slashed deal 7 not referenced in active sectors of miner t01015"
	require.Equal(t, []string{deal}, sorted([]string{deal}, 99, ends))
	require.Empty(t, sorted([]string{deal}, 100, ends))
	unknown := "un-slashed deal 8 not referenced in active sectors of miner t01015"
	require.Equal(t, []string{unknown}, sorted([]string{unknown}, 1000, ends))

	genesis := []string{
		"t090 multisig: non-zero locked balance 5 with zero unlock duration", "f01 init: unexpected singleton ID value 80",
		"f02 reward: effective baseline power > baseline power",
	}
	require.Empty(t, sorted(genesis, -1, ends))
	require.Equal(t, genesis[2:], sorted(genesis, 0, ends))
	others := []string{"f01 init: unexpected singleton ID value 81", "t091 multisig: non-zero locked balance 5 with zero unlock duration"}
	require.Equal(t, others, sorted(others, 5, ends))
}

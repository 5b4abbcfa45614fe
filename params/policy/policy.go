// Package policy writes a network's values into the policy variables of the
// actors' library, the one place where this process has mutable parameters.
//
// Start at [Apply]. It stands apart from package params so that contracts and
// clients, which only speak of a network, do not link the actors.
package policy

import (
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/verifreg"

	"github.com/filecoin-venus/venus/params"
)

// Apply writes the network's values into the policy variables of the
// actors' library. They are global to the process: call it once, from a main
// or a TestMain, before any actor runs, and never for two networks in one
// process.
func Apply(n params.Network) error {
	if err := n.Validate(); err != nil {
		return err
	}
	miner.WPoStChallengeWindow = n.ChallengeWindow
	miner.WPoStProvingPeriod = n.ProvingPeriod()
	miner.WPoStDisputeWindow = n.DisputeWindow
	miner.FaultMaxAge = n.FaultMaxAge
	miner.PreCommitChallengeDelay = n.PreCommitChallengeDelay
	miner.MaxPreCommitRandomnessLookback = n.MaxPreCommitRandLookback
	miner.RewardVestingSpec = miner.VestSpec{
		VestPeriod: n.RewardVestPeriod, StepDuration: n.RewardVestStep, Quantization: n.RewardVestQuantization,
	}
	miner.WindowPoStProofTypes = map[abi.RegisteredPoStProof]struct{}{}
	miner.PreCommitSealProofTypesV8 = map[abi.RegisteredSealProof]struct{}{}
	for _, size := range n.SectorSizes {
		seal, err := n.SealProof(size)
		if err != nil {
			return err
		}
		window, err := seal.RegisteredWindowPoStProof()
		if err != nil {
			return fmt.Errorf("window proof of %d byte sectors: %w", size, err)
		}
		miner.WindowPoStProofTypes[window] = struct{}{}
		miner.PreCommitSealProofTypesV8[seal] = struct{}{}
		miner.MaxProveCommitDuration[seal] = n.MaxProveCommitDuration
	}
	for _, p := range builtin.PoStProofPolicies {
		p.ConsensusMinerMinPower = n.MinConsensusPower
	}
	market.DealMinDuration, market.DealMaxDuration = n.DealMinDuration, n.DealMaxDuration
	verifreg.MinVerifiedDealSize = n.MinVerifiedDealSize
	return nil
}

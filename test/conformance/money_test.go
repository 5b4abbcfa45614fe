package conformance

import (
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/util/math"
	"github.com/filecoin-project/specs-actors/v7/actors/util/smoothing"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
)

func same(t *testing.T, want, got big.Int) {
	t.Helper()
	require.Equal(t, want.String(), got.String())
}

func estimate(t *testing.T, raw hexBytes) (e smoothing.FilterEstimate) {
	t.Helper()
	decode(t, raw, &e)
	return e
}

func TestMinerMonies(t *testing.T) {
	const file = "primitives/miner-monies-v7.json"
	cases := casesOf[[]struct {
		Baseline    big.Int        `json:"baseline_power"`
		Circ        big.Int        `json:"circulating_supply"`
		Continued   big.Int        `json:"continued_fault_penalty"`
		Day         big.Int        `json:"day_reward"`
		Pledge      big.Int        `json:"initial_pledge"`
		Invalid     big.Int        `json:"invalid_window_post_penalty"`
		Deposit     big.Int        `json:"pre_commit_deposit"`
		Power       hexBytes       `json:"qa_power_estimate"`
		Sector      big.Int        `json:"qa_sector_power"`
		ReplacedDay big.Int        `json:"replaced_day_reward"`
		ReplacedAge abi.ChainEpoch `json:"replaced_sector_age"`
		Reward      hexBytes       `json:"reward_estimate"`
		Age         abi.ChainEpoch `json:"sector_age"`
		Lower       big.Int        `json:"termination_lower_bound"`
		Termination big.Int        `json:"termination_penalty"`
		TwentyDays  big.Int        `json:"twenty_day_reward"`
	}](t, file)
	for _, c := range cases {
		reward, power := estimate(t, c.Reward), estimate(t, c.Power)
		same(t, c.Continued, miner.PledgePenaltyForContinuedFault(reward, power, c.Sector))
		same(t, c.Invalid, miner.PledgePenaltyForInvalidWindowPoSt(reward, power, c.Sector))
		same(t, c.Deposit, miner.PreCommitDepositForPower(reward, power, c.Sector))
		same(t, c.Lower, miner.PledgePenaltyForTerminationLowerBound(reward, power, c.Sector))
		same(t, c.Pledge, miner.InitialPledgeForPower(c.Sector, c.Baseline, reward, power, c.Circ))
		same(t, c.Termination, miner.PledgePenaltyForTermination(c.Day, c.Age, c.TwentyDays, power, c.Sector, reward, c.ReplacedDay, c.ReplacedAge))
	}
	vectors.Count(t, file, len(cases))
}

func TestMinerQuality(t *testing.T) {
	const file = "primitives/miner-quality.json"
	cases := casesOf[[]struct {
		Deals    big.Int        `json:"deal_weight"`
		Verified big.Int        `json:"verified_deal_weight"`
		Duration abi.ChainEpoch `json:"duration"`
		Size     abi.SectorSize `json:"sector_size"`
		Quality  big.Int        `json:"quality"`
		Power    big.Int        `json:"qa_power"`
	}](t, file)
	for _, c := range cases {
		same(t, c.Quality, miner.QualityForWeight(c.Size, c.Duration, c.Deals, c.Verified))
		same(t, c.Power, miner.QAPowerForWeight(c.Size, c.Duration, c.Deals, c.Verified))
	}
	vectors.Count(t, file, len(cases))
}

func TestMinerBatchFees(t *testing.T) {
	const file = "primitives/miner-batch-fees-v7.json"
	cases := casesOf[[]struct {
		BaseFee     big.Int `json:"base_fee"`
		Count       int     `json:"count"`
		PreCommit   big.Int `json:"pre_commit_batch_fee"`
		ProveCommit big.Int `json:"prove_commit_aggregate_fee"`
	}](t, file)
	for _, c := range cases {
		same(t, c.PreCommit, miner.AggregatePreCommitNetworkFee(c.Count, c.BaseFee))
		same(t, c.ProveCommit, miner.AggregateProveCommitNetworkFee(c.Count, c.BaseFee))
	}
	vectors.Count(t, file, len(cases))
}

func TestDeadlines(t *testing.T) {
	const file = "primitives/deadlines.json"
	v := casesOf[struct {
		Info []struct {
			Challenge abi.ChainEpoch `json:"challenge"`
			Close     abi.ChainEpoch `json:"close"`
			Deadline  uint64         `json:"deadline"`
			Epoch     abi.ChainEpoch `json:"epoch"`
			Cutoff    abi.ChainEpoch `json:"fault_cutoff"`
			Elapsed   bool           `json:"has_elapsed"`
			IsOpen    bool           `json:"is_open"`
			Next      abi.ChainEpoch `json:"next_not_elapsed_open"`
			Open      abi.ChainEpoch `json:"open"`
			Start     abi.ChainEpoch `json:"period_start"`
		} `json:"deadline_info"`
		Quantise []struct {
			Epoch  abi.ChainEpoch `json:"epoch"`
			Offset abi.ChainEpoch `json:"offset"`
			Unit   abi.ChainEpoch `json:"unit"`
			Up     abi.ChainEpoch `json:"up"`
		} `json:"quantise"`
	}](t, file)
	for _, c := range v.Info {
		d := miner.NewDeadlineInfo(c.Start, c.Deadline, c.Epoch)
		require.Equal(t, []abi.ChainEpoch{c.Challenge, c.Open, c.Close, c.Cutoff, c.Next},
			[]abi.ChainEpoch{d.Challenge, d.Open, d.Close, d.FaultCutoff, d.NextNotElapsed().Open})
		require.Equal(t, []bool{c.Elapsed, c.IsOpen}, []bool{d.HasElapsed(), d.IsOpen()})
	}
	for _, c := range v.Quantise {
		require.Equal(t, c.Up, builtin.NewQuantSpec(c.Unit, c.Offset).QuantizeUp(c.Epoch))
	}
	vectors.Count(t, file, len(v.Info)+len(v.Quantise))
}

func TestMarketBounds(t *testing.T) {
	const file = "primitives/market-bounds.json"
	v := casesOf[struct {
		Weight []struct {
			Start  abi.ChainEpoch      `json:"start"`
			End    abi.ChainEpoch      `json:"end"`
			Size   abi.PaddedPieceSize `json:"piece_size"`
			Weight big.Int             `json:"weight"`
		} `json:"deal_weight"`
		Collateral []struct {
			Baseline big.Int             `json:"baseline_power"`
			Circ     big.Int             `json:"circulating_supply"`
			QA       big.Int             `json:"network_qa_power"`
			Raw      big.Int             `json:"network_raw_power"`
			Size     abi.PaddedPieceSize `json:"piece_size"`
			Verified bool                `json:"verified"`
			Min      big.Int             `json:"min"`
			Max      big.Int             `json:"max"`
		} `json:"provider_collateral"`
	}](t, file)
	for _, c := range v.Weight {
		same(t, c.Weight, market.DealWeight(&market.DealProposal{PieceSize: c.Size, StartEpoch: c.Start, EndEpoch: c.End}))
	}
	for _, c := range v.Collateral {
		least, most := market.DealProviderCollateralBounds(c.Size, c.Verified, c.Raw, c.QA, c.Baseline, c.Circ)
		same(t, c.Min, least)
		same(t, c.Max, most)
	}
	vectors.Count(t, file, len(v.Weight)+len(v.Collateral))
}

func TestSmoothing(t *testing.T) {
	const file = "primitives/smoothing.json"
	v := casesOf[struct {
		Ratio []struct {
			Ratio big.Int        `json:"cumsum_ratio_q128"`
			Delta abi.ChainEpoch `json:"delta"`
			Start abi.ChainEpoch `json:"relative_start"`
			Num   hexBytes       `json:"num"`
			Denom hexBytes       `json:"denom"`
		} `json:"cumsum_ratio"`
		Extrapolate []struct {
			Delta    abi.ChainEpoch `json:"delta"`
			Position big.Int        `json:"position"`
			Velocity big.Int        `json:"velocity"`
			Want     big.Int        `json:"extrapolated_q256"`
		} `json:"extrapolate"`
		Next []struct {
			Position big.Int `json:"position"`
			Velocity big.Int `json:"velocity"`
			Start    string  `json:"start_cbor"`
			Steps    []struct {
				CBOR        string         `json:"cbor"`
				Delta       abi.ChainEpoch `json:"delta"`
				Estimate    big.Int        `json:"estimate"`
				Observation big.Int        `json:"observation"`
				Position    big.Int        `json:"position_q128"`
				Velocity    big.Int        `json:"velocity_q128"`
			} `json:"steps"`
		} `json:"next"`
	}](t, file)
	for _, c := range v.Ratio {
		same(t, c.Ratio, smoothing.ExtrapolatedCumSumOfRatio(c.Delta, c.Start, estimate(t, c.Num), estimate(t, c.Denom)))
	}
	for _, c := range v.Extrapolate {
		e := smoothing.NewEstimate(c.Position, c.Velocity)
		same(t, c.Want, e.Extrapolate(c.Delta))
	}
	for _, c := range v.Next {
		e := smoothing.NewEstimate(c.Position, c.Velocity)
		require.Equal(t, c.Start, encoded(t, &e))
		for _, s := range c.Steps {
			e = smoothing.LoadFilter(e, smoothing.DefaultAlpha, smoothing.DefaultBeta).NextEstimate(s.Observation, s.Delta)
			require.Equal(t, s.CBOR, encoded(t, &e))
			same(t, s.Estimate, e.Estimate())
			same(t, s.Position, e.PositionEstimate)
			same(t, s.Velocity, e.VelocityEstimate)
		}
	}
	vectors.Count(t, file, len(v.Ratio)+len(v.Extrapolate)+len(v.Next))
}

func TestFixedPointMath(t *testing.T) {
	const file, golden = "primitives/fixed-point-math.json", "known-answers/specs-actors-exp-neg.json"
	v := casesOf[struct {
		Exp []struct {
			X big.Int `json:"x_q128"`
			Y big.Int `json:"exp_neg_q128"`
		} `json:"exp_neg"`
		Ln []struct {
			X big.Int `json:"x_q128"`
			Y big.Int `json:"ln_q128"`
		} `json:"ln"`
	}](t, file)
	for _, c := range v.Exp {
		require.Equal(t, c.Y.String(), math.ExpNeg(c.X.Int).String())
	}
	for _, c := range v.Ln {
		same(t, c.Y, math.Ln(c.X))
	}
	vectors.Count(t, file, len(v.Exp)+len(v.Ln))

	known := casesOf[[]struct {
		X big.Int `json:"x"`
		Y big.Int `json:"y"`
	}](t, golden)
	for _, c := range known {
		require.Equal(t, c.Y.String(), math.ExpNeg(c.X.Int).String())
	}
	vectors.Count(t, golden, len(known))
}

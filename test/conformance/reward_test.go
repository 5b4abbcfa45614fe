package conformance

import (
	"bytes"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/cbor"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/reward"
	"github.com/filecoin-project/specs-actors/v7/actors/runtime"
	"github.com/filecoin-project/specs-actors/v7/actors/util/math"
	"github.com/filecoin-project/specs-actors/v7/actors/util/smoothing"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
)

// rewardRuntime is what the reward actor needs of a runtime at the end of an
// epoch: the epoch, its caller and its state, which passes through CBOR as in a
// real one.
type rewardRuntime struct {
	runtime.Runtime
	t     *testing.T
	epoch abi.ChainEpoch
	state *reward.State
}

func (r *rewardRuntime) CurrEpoch() abi.ChainEpoch { return r.epoch }

func (r *rewardRuntime) ValidateImmediateCallerIs(who ...address.Address) {
	require.Equal(r.t, []address.Address{builtin.StoragePowerActorAddr}, who)
}

func (r *rewardRuntime) StateTransaction(obj cbor.Er, f func()) {
	var buf bytes.Buffer
	require.NoError(r.t, r.state.MarshalCBOR(&buf))
	require.NoError(r.t, obj.UnmarshalCBOR(&buf))
	f()
	r.state = obj.(*reward.State)
}

// endEpoch lets the reward actor close the epoch of st and all null rounds after
// it, and returns its state in the next epoch.
func endEpoch(t *testing.T, st *reward.State, nullRounds abi.ChainEpoch, power big.Int) *reward.State {
	t.Helper()
	rt := &rewardRuntime{t: t, epoch: st.Epoch + nullRounds, state: st}
	reward.Actor{}.UpdateNetworkKPI(rt, &power)
	return rt.state
}

type rewardState struct {
	CBOR              string         `json:"cbor"`
	CumsumBaseline    big.Int        `json:"cumsum_baseline"`
	CumsumRealized    big.Int        `json:"cumsum_realized"`
	EffectiveBaseline big.Int        `json:"effective_baseline_power"`
	EffectiveTime     abi.ChainEpoch `json:"effective_network_time"`
	Epoch             abi.ChainEpoch `json:"epoch"`
	Position          big.Int        `json:"smoothed_position_q128"`
	Velocity          big.Int        `json:"smoothed_velocity_q128"`
	Baseline          big.Int        `json:"this_epoch_baseline_power"`
	Reward            big.Int        `json:"this_epoch_reward"`

	NullRounds abi.ChainEpoch `json:"null_rounds_before"`
	Power      big.Int        `json:"realized_power"`
}

func (want *rewardState) check(t *testing.T, got *reward.State) {
	t.Helper()
	require.Equal(t, []abi.ChainEpoch{want.Epoch, want.EffectiveTime}, []abi.ChainEpoch{got.Epoch, got.EffectiveNetworkTime})
	same(t, want.CumsumBaseline, got.CumsumBaseline)
	same(t, want.CumsumRealized, got.CumsumRealized)
	same(t, want.EffectiveBaseline, got.EffectiveBaselinePower)
	same(t, want.Position, got.ThisEpochRewardSmoothed.PositionEstimate)
	same(t, want.Velocity, got.ThisEpochRewardSmoothed.VelocityEstimate)
	same(t, want.Baseline, got.ThisEpochBaselinePower)
	same(t, want.Reward, got.ThisEpochReward)
	if want.CBOR != "" {
		require.Equal(t, want.CBOR, encoded(t, got))
	}
}

func TestRewardMinting(t *testing.T) {
	const file = "primitives/reward-minting.json"
	v := casesOf[struct {
		Baseline []struct {
			Epoch int     `json:"epoch"`
			Power big.Int `json:"baseline_power"`
		} `json:"baseline"`
		Minting []struct {
			Power big.Int       `json:"initial_realized_power"`
			Start rewardState   `json:"start"`
			Steps []rewardState `json:"steps"`
		} `json:"minting"`
	}](t, file)
	power, at := reward.InitBaselinePower(), 0
	for _, c := range v.Baseline {
		require.GreaterOrEqual(t, c.Epoch, at, "the epochs are in order")
		for ; at < c.Epoch; at++ {
			power = reward.BaselinePowerFromPrev(power)
		}
		same(t, c.Power, power)
	}
	steps := 0
	for _, c := range v.Minting {
		st := reward.ConstructState(c.Power)
		c.Start.check(t, st)
		for i := range c.Steps {
			st = endEpoch(t, st, c.Steps[i].NullRounds, c.Steps[i].Power)
			c.Steps[i].check(t, st)
			steps++
		}
	}
	require.Positive(t, steps)
	vectors.Count(t, file, len(v.Baseline)+steps)
}

// rewardStateAt is a state in the epoch before the given one in which nothing
// but the mints decides on the reward.
func rewardStateAt(epoch abi.ChainEpoch) *reward.State {
	return &reward.State{
		CumsumBaseline: big.Zero(), CumsumRealized: big.Zero(), EffectiveBaselinePower: big.NewInt(1),
		ThisEpochReward: big.Zero(), ThisEpochRewardSmoothed: smoothing.NewEstimate(big.Zero(), big.Zero()),
		ThisEpochBaselinePower: big.Lsh(big.NewInt(1), 2*math.Precision128), Epoch: epoch - 1,
		TotalStoragePowerReward: big.Zero(), SimpleTotal: reward.DefaultSimpleTotal, BaselineTotal: reward.DefaultBaselineTotal,
	}
}

func TestSimpleReward(t *testing.T) {
	const file = "known-answers/specs-actors-simple-reward.json"
	cases := casesOf[[]struct {
		Epoch  big.Int `json:"x"`
		Reward big.Int `json:"y"`
	}](t, file)
	for _, c := range cases {
		st := endEpoch(t, rewardStateAt(abi.ChainEpoch(c.Epoch.Int64())), 0, big.Zero())
		same(t, c.Reward, st.ThisEpochReward)
	}
	vectors.Count(t, file, len(cases))
}

// TestBaselineReward moves the effective network time from t0 to t1 (Q.128). With
// an effective baseline of 2^128 the time is its whole part less what is still to
// be realized, exactly.
func TestBaselineReward(t *testing.T) {
	const file = "known-answers/specs-actors-baseline-reward.json"
	cases := casesOf[[]struct {
		From   big.Int `json:"t0"`
		To     big.Int `json:"t1"`
		Reward big.Int `json:"y"`
	}](t, file)
	simple := endEpoch(t, rewardStateAt(0), 0, big.Zero()).ThisEpochReward
	for _, c := range cases {
		st := rewardStateAt(0)
		whole := big.Add(big.Rsh(c.To, math.Precision128), big.NewInt(1))
		st.EffectiveNetworkTime = abi.ChainEpoch(whole.Int64())
		st.EffectiveBaselinePower = big.Lsh(big.NewInt(1), math.Precision128)
		st.CumsumBaseline = big.Sub(big.Lsh(whole, math.Precision128), c.From)
		st = endEpoch(t, st, 0, big.Sub(c.To, c.From))
		same(t, c.Reward, big.Sub(st.ThisEpochReward, simple))
	}
	vectors.Count(t, file, len(cases))
}

package machine

import (
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/types"
)

// Limits bound what a message may cost. Zero values say nothing; then the next
// level decides. The precedence, the only one there is: the message's own limits,
// then its sender's, then the shared ones.
type Limits struct {
	// ExpireEpoch ends the wait for a nonce; 0 never does.
	ExpireEpoch abi.ChainEpoch
	// GasOverEstimation multiplies the gas a simulation used.
	GasOverEstimation float64
	// MaxFee, attoFIL, bounds fee cap times gas limit; MaxFeeCap the fee cap, attoFIL per gas.
	MaxFee, MaxFeeCap big.Int
}

// DefaultLimits are the shared limits of a new messager.
func DefaultLimits() Limits {
	return Limits{GasOverEstimation: 1.25, MaxFee: big.NewInt(100_000_000_000_000_000), MaxFeeCap: big.Zero()}
}

// Fees are the limits that apply to one message, each with the level it comes from.
type Fees struct {
	Limits
	// MaxFeeFrom and MaxFeeCapFrom are "message", "address" or "shared".
	MaxFeeFrom, MaxFeeCapFrom string
}

func given(b big.Int) bool { return b.Int != nil && b.Sign() > 0 }

// Resolve applies the precedence. A window proof ignores the fee caps that were
// not given with the message itself: losing power costs more than gas.
func Resolve(m *Message, address, shared Limits) Fees {
	f := Fees{Limits: Limits{MaxFee: big.Zero(), MaxFeeCap: big.Zero()}}
	for _, level := range []struct {
		name string
		l    Limits
	}{{"message", m.Limits}, {"address", address}, {"shared", shared}} {
		if f.GasOverEstimation == 0 {
			f.GasOverEstimation = level.l.GasOverEstimation
		}
		if !given(f.MaxFee) && given(level.l.MaxFee) {
			f.MaxFee, f.MaxFeeFrom = level.l.MaxFee, level.name
		}
		if !given(f.MaxFeeCap) && given(level.l.MaxFeeCap) && (m.Lane != LaneProof || level.name == "message") {
			f.MaxFeeCap, f.MaxFeeCapFrom = level.l.MaxFeeCap, level.name
		}
	}
	return f
}

// Bound lowers an estimated message's prices to the limits and tells which limit
// bound it, "" when none did.
func (f Fees) Bound(m *types.Message) (bound string) {
	if given(f.MaxFeeCap) && m.GasFeeCap.GreaterThan(f.MaxFeeCap) {
		m.GasFeeCap = f.MaxFeeCap
		bound = fmt.Sprintf("maxFeeCap of the %s (%s attoFIL per gas)", f.MaxFeeCapFrom, f.MaxFeeCap)
	}
	if given(f.MaxFee) && m.GasLimit > 0 && m.RequiredFunds().GreaterThan(f.MaxFee) {
		m.GasFeeCap = big.Div(f.MaxFee, big.NewInt(m.GasLimit))
		bound = fmt.Sprintf("maxFee of the %s (%s)", f.MaxFeeFrom, types.FIL(f.MaxFee))
	}
	m.GasPremium = big.Min(m.GasPremium, m.GasFeeCap)
	return bound
}

// replaceNumerator over 256 is the pool's replacement ratio of 1.25.
const replaceNumerator = 64

// MinReplacement is the least premium that replaces one of old in any pool.
func MinReplacement(old big.Int) big.Int {
	return big.Add(big.Add(old, big.Div(big.Mul(old, big.NewInt(replaceNumerator)), big.NewInt(256))), big.NewInt(1))
}

// Reprice computes the prices of a replacement from the market's estimate: at
// least what pools ask for, at least the estimate, within the limits. It fails
// when the limits leave no room, naming the limit.
func Reprice(old *types.Message, premium, feeCap big.Int, f Fees) (*types.Message, error) {
	out := *old
	out.GasPremium = big.Max(MinReplacement(old.GasPremium), premium)
	out.GasFeeCap = big.Max(big.Max(feeCap, old.GasFeeCap), out.GasPremium)
	if bound := f.Bound(&out); bound != "" && out.GasPremium.LessThan(MinReplacement(old.GasPremium)) {
		return nil, fmt.Errorf("a replacement needs a premium of %s attoFIL per gas, which exceeds the %s", MinReplacement(old.GasPremium), bound)
	}
	return &out, nil
}

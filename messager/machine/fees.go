package machine

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/types"
)

// Limits bound what a message may cost. Zero values say nothing; then the next
// level decides.
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

// AnyMethod in a rule stands for all methods.
const AnyMethod = abi.MethodNum(math.MaxUint64)

// Rule limits the messages of a sender, to an actor, that call a method; an
// undefined address and AnyMethod stand for all.
type Rule struct {
	Sender, Actor address.Address
	Method        abi.MethodNum
	Limits        Limits
}

func (r *Rule) matches(m *types.Message) bool {
	return (r.Sender == address.Undef || r.Sender == m.From) && (r.Actor == address.Undef || r.Actor == m.To) &&
		(r.Method == AnyMethod || r.Method == m.Method)
}

// weight orders rules: naming the sender counts more than naming the actor, and
// that more than naming the method.
func (r *Rule) weight() int {
	w := 0
	if r.Sender != address.Undef {
		w += 4
	}
	if r.Actor != address.Undef {
		w += 2
	}
	if r.Method != AnyMethod {
		w++
	}
	return w
}

// String tells what the rule is about.
func (r *Rule) String() string {
	if r.weight() == 4 {
		return "address"
	}
	var parts []string
	if r.Sender != address.Undef {
		parts = append(parts, "sender "+r.Sender.String())
	}
	if r.Actor != address.Undef {
		parts = append(parts, "actor "+r.Actor.String())
	}
	if r.Method != AnyMethod {
		parts = append(parts, fmt.Sprintf("method %d", r.Method))
	}
	return "rule for " + strings.Join(parts, ", ")
}

// Fees are the limits that apply to one message, each with the level it comes from:
// "message", "address" (the sender's settings), "rule for ...", or "shared".
type Fees struct {
	Limits
	OverFrom, MaxFeeFrom, MaxFeeCapFrom string
}

func given(b big.Int) bool { return b.Int != nil && b.Sign() > 0 }

// level is one place where limits come from.
type level struct {
	name string
	l    Limits
}

// Resolve applies the precedence, the only one there is. Each limit comes from the
// first of these that names it: the message itself; the rules that match it, those
// that name the sender before those that name the actor before those that name only
// the method, the fuller one first, where the sender's own settings are the rule that
// names nothing else; the shared limits. A window proof ignores fee caps that were
// not given with the message itself: losing power costs more than gas.
func Resolve(m *Message, rules []Rule, address, shared Limits) Fees {
	own := Rule{Sender: m.Msg.From, Method: AnyMethod, Limits: address}
	matching := []*Rule{&own}
	for i := range rules {
		if rules[i].matches(&m.Msg) {
			matching = append(matching, &rules[i])
		}
	}
	sort.SliceStable(matching, func(i, j int) bool { return matching[i].weight() > matching[j].weight() })
	levels := []level{{"message", m.Limits}}
	for _, r := range matching {
		levels = append(levels, level{r.String(), r.Limits})
	}
	f := Fees{Limits: Limits{MaxFee: big.Zero(), MaxFeeCap: big.Zero()}}
	for _, level := range append(levels, level{"shared", shared}) {
		if f.GasOverEstimation == 0 && level.l.GasOverEstimation != 0 {
			f.GasOverEstimation, f.OverFrom = level.l.GasOverEstimation, level.name
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

// Decide is Bound with an account of the decision for the message's history.
func (f Fees) Decide(m *types.Message) (bound, account string) {
	market := *m
	bound = f.Bound(m)
	account = fmt.Sprintf("gas limit %d, %g times what a simulation used (%s); the market asks for a premium of %s and a fee cap of %s",
		m.GasLimit, f.GasOverEstimation, f.OverFrom, market.GasPremium, market.GasFeeCap)
	if bound == "" {
		return bound, account + fmt.Sprintf(", within the maxFee of the %s (%s)", f.MaxFeeFrom, types.FIL(f.MaxFee))
	}
	return bound, account + fmt.Sprintf("; the %s leaves a premium of %s and a fee cap of %s", bound, m.GasPremium, m.GasFeeCap)
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

package machine

import (
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/types"
)

// NextNonce is the nonce a sender's next message takes: behind everything this
// messager signed and everything the node knows of. foreign tells that the node
// knows of nonces this messager never gave out.
func NextNonce(stored, node uint64) (next uint64, foreign bool) {
	return max(stored, node), node > stored
}

// Room is how many more messages of a sender may be under way.
func Room(limit uint64, underway int) int {
	if limit == 0 || uint64(underway) >= limit {
		return 0
	}
	return int(min(limit-uint64(underway), 1<<20))
}

// Affordable cuts a list of estimated messages to the prefix whose gas and value
// the balance covers besides what is under way. short describes the first one
// that does not fit.
func Affordable(balance abi.TokenAmount, underway []Message, next []*types.Message) (n int, short string) {
	left := balance
	for _, m := range underway {
		left = big.Sub(left, big.Add(m.Msg.RequiredFunds(), m.Msg.Value))
	}
	for i, m := range next {
		need := big.Add(m.RequiredFunds(), m.Value)
		if need.GreaterThan(left) {
			return i, fmt.Sprintf("needs %s for gas and value, %s has %s free", types.FIL(need), m.From, types.FIL(big.Max(left, big.Zero())))
		}
		left = big.Sub(left, need)
	}
	return len(next), ""
}

// StuckAfter is how many epochs a pending message may wait, as the lowest nonce of
// its sender, before its price is looked at again.
const (
	stuckEpochs      = 10
	stuckEpochsProof = 4
)

// Stuck returns the lowest pending message if it waits for longer than its lane
// allows while its price no longer meets the market: its fee cap is below the base
// fee, or its premium below a third of the going one. Every other pending message
// only waits for it.
func Stuck(pending []Message, now time.Time, epoch time.Duration, baseFee, premium big.Int) *Message {
	var low *Message
	for i := range pending {
		m := &pending[i]
		if m.State == Pending && (low == nil || m.Msg.Nonce < low.Msg.Nonce) {
			low = m
		}
	}
	if low == nil || low.PushedAt.IsZero() {
		return nil
	}
	patience := stuckEpochs * epoch
	if low.Lane == LaneProof {
		patience = stuckEpochsProof * epoch
	}
	if now.Sub(low.PushedAt) < patience {
		return nil
	}
	tip := big.Min(low.Msg.GasPremium, big.Sub(low.Msg.GasFeeCap, baseFee))
	if tip.Sign() <= 0 || big.Mul(tip, big.NewInt(3)).LessThan(premium) {
		return low
	}
	return nil
}

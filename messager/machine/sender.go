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

// Line is a sender's line of nonces: what the node would take next, and the nonces
// from there on that this messager has signed, in any order. holes are the nonces in
// between that nobody uses: without them nothing behind lands. next is the nonce
// behind the line.
func Line(node uint64, signed []uint64) (holes []uint64, next uint64) {
	used := make(map[uint64]bool, len(signed))
	next = node
	for _, n := range signed {
		used[n] = true
		next = max(next, n+1)
	}
	for n := node; n < next; n++ {
		if !used[n] {
			holes = append(holes, n)
		}
	}
	return holes, next
}

// Share is how many more messages one sender may have under way when all senders
// together may have limit and underway of them are, own of this sender, while
// contenders have something to send, this one included: the room that is left, but no
// more than an even share as long as others want theirs. Limit 0 is none.
func Share(limit uint64, underway, own, contenders int) int {
	if limit == 0 {
		return 1 << 20
	}
	left := Room(limit, underway)
	if contenders <= 1 {
		return left
	}
	return max(0, min(left, max(1, Room(limit, 0)/contenders)-own))
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

// How many epochs a pending message may wait, as the lowest nonce of
// its sender, before its price is looked at again.
const (
	stuckEpochs      = 10
	stuckEpochsProof = 4
)

// Patience is how long a message may wait in a lane before that is worth a look.
func Patience(l Lane, epoch time.Duration) time.Duration {
	if l == LaneProof {
		return stuckEpochsProof * epoch
	}
	return stuckEpochs * epoch
}

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
	if now.Sub(low.PushedAt) < Patience(low.Lane, epoch) {
		return nil
	}
	tip := big.Min(low.Msg.GasPremium, big.Sub(low.Msg.GasFeeCap, baseFee))
	if tip.Sign() <= 0 || big.Mul(tip, big.NewInt(3)).LessThan(premium) {
		return low
	}
	return nil
}

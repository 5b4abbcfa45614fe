package mpool

import (
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
)

// Config is what an operator may change at run time, in the shape of the
// node's MpoolGetConfig and MpoolSetConfig.
type Config struct {
	// PriorityAddrs are senders whose messages enter blocks first.
	PriorityAddrs []address.Address
	// SizeLimitHigh is the number of messages that starts a pruning, SizeLimitLow
	// what it leaves.
	SizeLimitHigh, SizeLimitLow int
	// ReplaceByFeeRatio is how many times the premium of a pending message its
	// replacement must offer; at least 1.
	ReplaceByFeeRatio float64
	// PruneCooldown is the least time between two prunings.
	PruneCooldown time.Duration
	// GasLimitOverestimation multiplies the gas a simulation used.
	GasLimitOverestimation float64
}

// DefaultConfig returns the network's usual values (node.md 4.11).
func DefaultConfig() Config {
	return Config{
		SizeLimitHigh: 30000, SizeLimitLow: 20000,
		ReplaceByFeeRatio: 1.25, PruneCooldown: time.Minute, GasLimitOverestimation: 1.25,
	}
}

// Validate refuses values that would make the pool misbehave, naming the key.
func (c Config) Validate() error {
	switch {
	case c.ReplaceByFeeRatio < 1:
		return fmt.Errorf("ReplaceByFeeRatio %v is below 1", c.ReplaceByFeeRatio)
	case c.GasLimitOverestimation < 1:
		return fmt.Errorf("GasLimitOverestimation %v is below 1", c.GasLimitOverestimation)
	case c.SizeLimitLow < 1 || c.SizeLimitHigh < c.SizeLimitLow:
		return fmt.Errorf("size limits %d and %d are not ordered", c.SizeLimitLow, c.SizeLimitHigh)
	case c.PruneCooldown < 0:
		return errors.New("PruneCooldown is negative")
	}
	return nil
}

// Limits of the network and of the pool that no operator changes.
const (
	// MaxMessageBytes is the largest signed message that is relayed.
	MaxMessageBytes = 64 << 10
	// MaxNonceGap is how far past the end of a sender's contiguous messages a new
	// one may lie; untrusted sources get no gap at all.
	MaxNonceGap = 4
	// MaxPending and MaxPendingUntrusted bound the messages of one sender.
	MaxPending, MaxPendingUntrusted = 1000, 10
	// MinGasFeeCap is the smallest fee cap, attoFIL per gas, that is relayed.
	MinGasFeeCap = 100
	// BlockGasLimit is the gas of one block (and the largest gas limit of one message).
	BlockGasLimit = 10_000_000_000
	// BlockMessageLimit is the number of messages of one block, BlockSignatureLimit
	// of one signature type.
	BlockMessageLimit, BlockSignatureLimit = 10000, 8192
	// minSelectGas is less than any message needs: with so little left a block is full.
	minSelectGas = 1298450
	// baseFeeLowerBoundFactor: remote messages must offer a hundredth of the base fee.
	baseFeeLowerBoundFactor = 100
	// republishLimit messages at most are sent again per round, republishGap apart.
	republishLimit = 30
	republishGap   = 100 * time.Millisecond
)

// Problems that a caller may want to tell apart. Those that time may heal wrap
// ErrSoft: the sender is not at fault and gossip ignores instead of rejecting.
var (
	ErrSoft               = errors.New("not acceptable now")
	ErrTooBig             = fmt.Errorf("message is larger than %d bytes", MaxMessageBytes)
	ErrInvalid            = errors.New("message is malformed")
	ErrSignature          = errors.New("signature is wrong")
	ErrFeeCapTooLow       = fmt.Errorf("gas fee cap is below the minimum of %d attoFIL", MinGasFeeCap)
	ErrFeeCapBelowBaseFee = fmt.Errorf("gas fee cap is far below the base fee: %w", ErrSoft)
	ErrNonceTooLow        = errors.New("nonce is already used on chain")
	ErrNonceGap           = fmt.Errorf("nonce leaves a gap behind the sender's messages: %w", ErrSoft)
	ErrExists             = errors.New("a message with this nonce is already pending")
	ErrPremiumTooLow      = errors.New("gas premium is too low to replace the pending message")
	ErrTooMany            = fmt.Errorf("sender has too many pending messages: %w", ErrSoft)
	ErrFunds              = errors.New("sender cannot pay the gas")
	ErrPendingFunds       = fmt.Errorf("sender cannot pay the gas of all pending messages: %w", ErrSoft)
	ErrUnknownSender      = fmt.Errorf("sender is not an account on chain: %w", ErrSoft)
)

// Actor is what the pool wants to know of a sender.
type Actor struct {
	Nonce   uint64
	Balance abi.TokenAmount
}

package machine

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/filecoin-project/go-state-types/exitcode"
)

// Reason is the kind of obstacle a message meets. The words are stored.
type Reason string

// The reasons.
const (
	NoReason          Reason = ""
	WalletUnknown     Reason = "wallet unknown"
	WalletUnreachable Reason = "wallet unreachable"
	WalletLocked      Reason = "wallet locked"
	WalletRefused     Reason = "wallet refused"
	NoActor           Reason = "no actor"
	NoFunds           Reason = "insufficient funds"
	EstimateFails     Reason = "estimation failed"
	NodeUnreachable   Reason = "node unreachable"
	NodeBehind        Reason = "node behind"
	FeeLimit          Reason = "fee limit"
	Paused            Reason = "address paused"
	PushRefused       Reason = "push refused"
	NotAssigner       Reason = "another messager assigns"
	HeldUp            Reason = "held up"
)

var exitPattern = regexp.MustCompile(`exit (?:code )?(?:[A-Za-z0-9_]+\()?(\d+)`)

// ExitCode finds the exit code in a node's error text.
func ExitCode(text string) (exitcode.ExitCode, bool) {
	m := exitPattern.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	return exitcode.ExitCode(n), err == nil
}

var exitMeaning = map[exitcode.ExitCode]string{
	exitcode.SysErrSenderInvalid: "the sender is no account on chain", exitcode.SysErrSenderStateInvalid: "the sender's nonce or balance does not fit",
	3: "the method does not exist", exitcode.SysErrInvalidReceiver: "the recipient does not exist",
	exitcode.SysErrInsufficientFunds: "the sender owns less than the value sent", exitcode.SysErrOutOfGas: "it runs out of gas",
	exitcode.SysErrForbidden: "the sender may not call this", exitcode.ErrIllegalArgument: "an argument is illegal",
	exitcode.ErrNotFound: "something it names does not exist", exitcode.ErrForbidden: "the actor forbids it",
	exitcode.ErrInsufficientFunds: "an actor lacks the funds (for a miner: pledge or deposit)",
	exitcode.ErrIllegalState:      "the actor's state does not allow it now", exitcode.ErrSerialization: "the parameters are malformed",
}

// DescribeExit gives an exit code in words.
func DescribeExit(code exitcode.ExitCode) string {
	if s := exitMeaning[code]; s != "" {
		return s
	}
	if code >= exitcode.FirstActorSpecificExitCode {
		return "an error of the called actor's own"
	}
	return "a system error"
}

// ReasonOfEstimate classifies a failed estimate by the node's words.
func ReasonOfEstimate(text string) Reason {
	low := strings.ToLower(text)
	if code, ok := ExitCode(text); ok {
		if code == exitcode.SysErrInsufficientFunds || code == exitcode.ErrInsufficientFunds {
			return NoFunds
		}
		return EstimateFails
	}
	switch {
	case strings.Contains(low, "not an account on chain"), strings.Contains(low, "actor not found"):
		return NoActor
	case strings.Contains(low, "not enough funds"), strings.Contains(low, "cannot pay"):
		return NoFunds
	}
	return EstimateFails
}

// ReasonOfSign classifies a failed signature by the wallet's words; unreachable
// says that no answer came at all.
func ReasonOfSign(text string, unreachable bool) Reason {
	low := strings.ToLower(text)
	switch {
	case strings.Contains(low, "locked"), strings.Contains(low, "password not set"):
		return WalletLocked
	case unreachable:
		return WalletUnreachable
	}
	return WalletRefused
}

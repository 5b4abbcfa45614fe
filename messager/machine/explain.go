package machine

import (
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
)

// Explain says in one plain sentence where a message stands and what to do about
// it. ahead is the number of messages of its sender that come first.
func Explain(m *Message, head abi.ChainEpoch, ahead int, now time.Time) (reason, advice string) {
	switch m.State {
	case Queued:
		return explainQueued(m, ahead, now)
	case Signed:
		if m.Error != "" {
			return fmt.Sprintf("It has nonce %d and is signed, but no node has taken it: %s.", m.Msg.Nonce, m.Error), adviceFor(m.Reason)
		}
		return fmt.Sprintf("It has nonce %d and is signed; it is being pushed.", m.Msg.Nonce), ""
	case Pending:
		if ahead > 0 {
			return fmt.Sprintf("It waits for %d earlier messages of its sender to land.", ahead), "Look at the lowest one with `msg why`."
		}
		if m.Error != "" {
			return fmt.Sprintf("A node has it (nonce %d), but: %s.", m.Msg.Nonce, m.Error), adviceFor(m.Reason)
		}
		return fmt.Sprintf("A node has it (nonce %d); it waits for a block to take it.", m.Msg.Nonce), ""
	case OnChain:
		if m.Receipt != nil && m.Receipt.ExitCode != 0 {
			return fmt.Sprintf("It was executed at epoch %d and failed with exit %d: %s.", m.Executed.Height, m.Receipt.ExitCode, DescribeExit(m.Receipt.ExitCode)),
				"The nonce is used; push a corrected message."
		}
		return fmt.Sprintf("It was executed at epoch %d with success, %d epochs ago.", m.Executed.Height, max(0, head-m.Executed.Height)), ""
	case Conflict:
		return fmt.Sprintf("It will not land: %s.", m.Error), "Someone else signs with this key; stop that, then push the message again."
	case NoWallet:
		return "It was given up: " + m.Error + ".", "Add the wallet and push the message again."
	case Failed:
		return "It was given up: " + m.Error + ".", "Push it again if it is still wanted."
	}
	return "Its state is unknown.", ""
}

func explainQueued(m *Message, ahead int, now time.Time) (string, string) {
	if m.Error == "" {
		if ahead > 0 {
			return fmt.Sprintf("It is queued behind %d messages of its sender.", ahead), ""
		}
		return "It is about to be estimated and signed.", ""
	}
	wait := ""
	if d := m.NextTry.Sub(now); d > 0 {
		wait = fmt.Sprintf(" (failure %d in a row, next try in %s)", m.Tries, d.Round(100*time.Millisecond))
	}
	return fmt.Sprintf("It has no nonce yet, %s: %s%s.", m.Reason, m.Error, wait), adviceFor(m.Reason)
}

func adviceFor(r Reason) string {
	switch r {
	case WalletLocked:
		return "Unlock the wallet: venus-wallet unlock."
	case WalletUnreachable:
		return "Check that the wallet runs and that its URL and token are right: venus-messager wallet list."
	case WalletUnknown:
		return "Add the wallet that holds the key: venus-messager wallet add."
	case WalletRefused:
		return "The wallet's policy or token does not allow this signature; look at the wallet's log."
	case NoActor:
		return "Send some FIL to the sender: an address exists on chain only once it received funds."
	case NoFunds:
		return "Send FIL to the sender, or to the miner for pledge."
	case EstimateFails:
		return "The message would fail on chain; fix what the exit code names, or give it up with `msg mark-bad`."
	case NodeUnreachable, NodeBehind:
		return "Check the node: it must run, be reachable at --node-url and be in sync."
	case FeeLimit:
		return "Raise the named limit, or wait for the base fee to fall."
	case Paused:
		return "Resume the address: venus-messager address active."
	case PushRefused:
		return "It is pushed again by itself; `msg replace` signs it with another price."
	}
	return ""
}

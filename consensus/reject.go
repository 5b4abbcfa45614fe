package consensus

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Rule names a block rule (node-nv15.md 3.2, 3.3). The names are stable: they appear in logs, metrics and answers.
type Rule string

// The rules, in the order in which a Reject prefers them: causes before their consequences, the block signature last
// because every change of a header breaks it too.
const (
	RulePresence         Rule = "presence"
	RuleMinerAddress     Rule = "miner-address"
	RuleParents          Rule = "parents"
	RuleHeight           Rule = "height"
	RuleTimestamp        Rule = "timestamp"
	RuleWorker           Rule = "worker"
	RuleWeight           Rule = "weight"
	RuleMinerUnknown     Rule = "miner-unknown"
	RuleBaseFee          Rule = "base-fee"
	RuleBeacon           Rule = "beacon-entries"
	RuleTicket           Rule = "ticket"
	RuleElection         Rule = "election-proof"
	RuleWinCount         Rule = "win-count"
	RuleEligible         Rule = "eligibility"
	RuleWinningPoSt      Rule = "winning-post"
	RuleMessageRoot      Rule = "message-root"
	RuleMessageCount     Rule = "message-count"
	RuleMessageSyntax    Rule = "message-syntax"
	RuleMessageGas       Rule = "message-gas"
	RuleMessageSender    Rule = "message-sender"
	RuleMessageNonce     Rule = "message-nonce"
	RuleMessageSignature Rule = "message-signature"
	RuleBLSAggregate     Rule = "bls-aggregate"
	RuleStateRoot        Rule = "state-root"
	RuleReceiptsRoot     Rule = "receipts-root"
	RuleSignature        Rule = "block-signature"
)

// Reject says that a block breaks a rule, on this node as on any other.
type Reject struct {
	Rule   Rule
	Reason string
	// Also lists further broken rules, found by the checks that run side by side.
	Also []*Reject
}

// Error names the rule and the reason, then the other broken rules.
func (r *Reject) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "block breaks rule %s: %s", r.Rule, r.Reason)
	for _, a := range r.Also {
		fmt.Fprintf(&b, "; also %s: %s", a.Rule, a.Reason)
	}
	return b.String()
}

// Condemns tells whether the block's CID is bad for good. It is false where the fault may lie in the messages that came
// with the header: whoever delivered them is to blame, and the same header may come again with the right ones.
func (r *Reject) Condemns() bool { return r.Rule != RuleMessageRoot }

func reject(rule Rule, format string, args ...any) *Reject {
	return &Reject{Rule: rule, Reason: fmt.Sprintf(format, args...)}
}

// IsReject finds the Reject in an error.
func IsReject(err error) (*Reject, bool) {
	var r *Reject
	ok := errors.As(err, &r)
	return r, ok
}

// FutureError says that a block's time has not come. It is temporary: the block may be tried again at Due.
type FutureError struct {
	Due time.Time
	Now time.Time
}

// Error tells how far the block is ahead.
func (e *FutureError) Error() string {
	return fmt.Sprintf("block is %s ahead of this node's clock (block %s, clock %s)", e.Due.Sub(e.Now), e.Due.UTC().Format(time.RFC3339), e.Now.UTC().Format(time.RFC3339))
}

// merge makes one error of the results of checks that ran side by side, given in order of preference. Rejects win over
// local failures: they are facts, whatever else could not be found out.
func merge(errs []error) error {
	var first *Reject
	var local []error
	for _, err := range errs {
		if err == nil {
			continue
		}
		r, ok := IsReject(err)
		switch {
		case !ok:
			local = append(local, err)
		case first == nil:
			c := *r
			first = &c
		default:
			first.Also = append(first.Also, r)
		}
	}
	if first != nil {
		return first
	}
	return errors.Join(local...)
}

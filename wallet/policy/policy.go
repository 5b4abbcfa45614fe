// Package policy decides whether a wallet may sign what it was asked to: by rules that are bound to keys and to tokens.
//
// Start reading at Check, which is pure, and Book.Judge, which adds what was spent. A request must pass the policy of its
// key and the policy of its token, as far as there are any. A key without a policy signs every kind of thing but raw
// bytes; raw bytes need a policy of the key that names them, and a token's policy only narrows.
//
// Invariants: whatever is not understood is refused; a bound on spending counts before the signature is made, and what
// was counted is found again after a restart, in the signature log; of messages with one nonce the dearest counts.
package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"

	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/wallet/typed"
)

// ErrRefused is wrapped by every refusal.
var ErrRefused = errors.New("the policy refuses")

func refuse(policy, format string, args ...any) error {
	return fmt.Errorf("%w: %s (policy %q)", ErrRefused, fmt.Sprintf(format, args...), policy)
}

// Request is what a policy looks at.
type Request struct {
	Signer address.Address
	Token  string
	Type   walletapi.MsgType
	Spend  *typed.Spend // nil: it moves no money
}

// Check applies the rules of one policy but for the bound on spending.
func Check(p walletapi.Policy, r Request) error {
	if p.Types == nil && r.Type == walletapi.TypeUnknown {
		return refuse(p.Name, "raw bytes are never signed unless a policy names the type unknown")
	}
	if p.Types != nil && !slices.Contains(p.Types, r.Type) {
		return refuse(p.Name, "the type %q is not allowed", string(r.Type))
	}
	if p.Signers != nil && !slices.Contains(p.Signers, r.Signer) {
		return refuse(p.Name, "the key %s is not allowed", r.Signer)
	}
	if r.Spend == nil {
		return nil
	}
	if r.Type == walletapi.TypeMessage && p.Methods != nil && !slices.Contains(p.Methods, abi.MethodNum(r.Spend.Method)) {
		return refuse(p.Name, "the method %d is not allowed", r.Spend.Method)
	}
	if p.Recipients != nil && !slices.Contains(p.Recipients, r.Spend.To) {
		return refuse(p.Name, "the recipient %s is not allowed", r.Spend.To)
	}
	return nil
}

// Bounds of a policy.
const (
	maxName = 64
	maxList = 10_000
)

// Validate accepts policies that mean something.
func Validate(p walletapi.Policy) error {
	if p.Name == "" || len(p.Name) > maxName || strings.ContainsFunc(p.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("the name of a policy has 1 to %d printable bytes", maxName)
	}
	known := append(typed.Kinds(), walletapi.TypeUnknown)
	for _, t := range p.Types {
		if !slices.Contains(known, t) {
			return fmt.Errorf("type %q is not one of %v", string(t), known)
		}
	}
	if max(len(p.Types), len(p.Methods), len(p.Recipients), len(p.Signers)) > maxList {
		return fmt.Errorf("a list of a policy has at most %d elements", maxList)
	}
	for _, a := range append(slices.Clone(p.Recipients), p.Signers...) {
		if a.Empty() {
			return errors.New("an address is empty")
		}
	}
	if p.PerDay != nil && (p.PerDay.Int == nil || p.PerDay.Sign() < 0) {
		return errors.New("the amount a day is negative")
	}
	return nil
}

// ParseMethod reads a method: a number, Send, or actor.Name of a builtin actor such as miner.SubmitWindowedPoSt. A policy
// keeps the number alone: which actor stands at a recipient, a wallet does not know.
func ParseMethod(s string) (abi.MethodNum, error) {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return abi.MethodNum(n), nil
	}
	if strings.EqualFold(s, "send") {
		return builtin.MethodSend, nil
	}
	if n, ok := methods()[strings.ToLower(s)]; ok {
		return n, nil
	}
	return 0, fmt.Errorf("method %q is no number, not Send and no method of a builtin actor such as miner.SubmitWindowedPoSt", s)
}

package machine

import (
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/types"
)

// ErrIllegal is wrapped by the error of a step that a state does not allow. The
// message is then unchanged.
var ErrIllegal = errors.New("not possible in this state")

// Event is something that happened to a message. See the types below.
type Event interface {
	// apply changes the message and returns the line for its history.
	apply(m *Message, at time.Time) (Note, error)
}

// Step applies an event and returns the changed message and the line for its
// history. The receiver is not changed.
func (m Message) Step(ev Event, at time.Time) (Message, Note, error) {
	out := m
	note, err := ev.apply(&out, at)
	if err != nil {
		return m, Note{}, err
	}
	note.At = at
	out.Updated = at
	return out, note, nil
}

func illegal(m *Message, what string) error {
	return fmt.Errorf("%s of message %s, which is %s: %w", what, m.ID, m.State, ErrIllegal)
}

// Delayed: something stood in the way before the message got its nonce.
type Delayed struct {
	Reason Reason
	Text   string
}

func (e Delayed) apply(m *Message, at time.Time) (Note, error) {
	if m.State != Queued {
		return Note{}, illegal(m, "delay")
	}
	m.Tries++
	m.NextTry = at.Add(Backoff(m.Tries, m.Lane, e.Reason))
	m.Reason, m.Error = e.Reason, e.Text
	kind := "delayed"
	switch e.Reason {
	case EstimateFails, NoFunds, NoActor:
		kind = "estimate failed"
	case WalletLocked, WalletRefused, WalletUnknown, WalletUnreachable:
		kind = "sign failed"
	}
	return Note{Kind: kind, Text: e.Text}, nil
}

// Assigned: the message has its nonce, gas and signature. Account tells how its
// price came about.
type Assigned struct {
	Msg     types.Message
	Sig     crypto.Signature
	Account string
}

func (e Assigned) apply(m *Message, _ time.Time) (Note, error) {
	if m.State != Queued {
		return Note{}, illegal(m, "signing")
	}
	m.State = Signed
	m.clear()
	m.attempt(e.Msg, e.Sig)
	text := fmt.Sprintf("nonce %d, gas limit %d, fee cap %s, premium %s, cid %s", e.Msg.Nonce, e.Msg.GasLimit, e.Msg.GasFeeCap, e.Msg.GasPremium, m.SignedCid)
	if e.Account != "" {
		text += ": " + e.Account
	}
	return Note{Kind: "signed", Text: text}, nil
}

func (m *Message) attempt(msg types.Message, sig crypto.Signature) {
	m.Msg, m.Sig = msg, &sig
	m.UnsignedCid, m.SignedCid = msg.Cid(), (&types.SignedMessage{Message: msg, Signature: sig}).Cid()
	m.PushedAt = time.Time{}
}

func (m *Message) clear() {
	m.Reason, m.Error, m.Tries, m.NextTry = NoReason, "", 0, time.Time{}
}

// Pushed: a node has taken the newest attempt.
type Pushed struct{ Node string }

func (e Pushed) apply(m *Message, at time.Time) (Note, error) {
	if m.State != Signed && m.State != Pending {
		return Note{}, illegal(m, "push")
	}
	m.State = Pending
	m.clear()
	if m.PushedAt.IsZero() {
		m.PushedAt = at
	}
	return Note{Kind: "pushed", Text: "taken by " + e.Node}, nil
}

// PushFailed: a node did not take it, or could not be asked.
type PushFailed struct {
	Reason Reason
	Text   string
}

func (e PushFailed) apply(m *Message, at time.Time) (Note, error) {
	if m.State != Signed && m.State != Pending {
		return Note{}, illegal(m, "failed push")
	}
	m.Tries++
	m.NextTry = at.Add(Backoff(m.Tries, m.Lane, e.Reason))
	m.Reason, m.Error = e.Reason, e.Text
	return Note{Kind: "push failed", Text: e.Text}, nil
}

// Repriced: the message was signed again with other prices, under its nonce.
type Repriced struct {
	Msg types.Message
	Sig crypto.Signature
	Why string
}

func (e Repriced) apply(m *Message, _ time.Time) (Note, error) {
	if m.State != Signed && m.State != Pending {
		return Note{}, illegal(m, "replacement")
	}
	if e.Msg.Nonce != m.Msg.Nonce || e.Msg.From != m.Msg.From {
		return Note{}, fmt.Errorf("replacement of %s must keep sender and nonce", m.ID)
	}
	old := m.SignedCid
	m.State = Signed
	m.clear()
	m.attempt(e.Msg, e.Sig)
	return Note{Kind: "replaced", Text: fmt.Sprintf("%s: %s instead of %s, fee cap %s, premium %s", e.Why, m.SignedCid, old, e.Msg.GasFeeCap, e.Msg.GasPremium)}, nil
}

// Landed: an attempt of the message was executed. Msg and Sig are the attempt's;
// it need not be the newest.
type Landed struct {
	Msg                types.Message
	Sig                crypto.Signature
	Receipt            types.MessageReceipt
	Included, Executed TipSetRef
	// Spent is what it cost its sender besides the value, attoFIL.
	Spent abi.TokenAmount
}

func (e Landed) apply(m *Message, _ time.Time) (Note, error) {
	if !m.State.HasNonce() || e.Msg.Nonce != m.Msg.Nonce {
		return Note{}, illegal(m, "landing")
	}
	pushed := m.PushedAt
	m.attempt(e.Msg, e.Sig)
	m.PushedAt = pushed
	m.State = OnChain
	m.clear()
	r := e.Receipt
	m.Receipt, m.Included, m.Executed, m.Spent = &r, e.Included, e.Executed, e.Spent
	text := fmt.Sprintf("included at %d in %s, executed at %d by %s, exit %d, gas used %d", e.Included.Height, e.Included.Key, e.Executed.Height, e.Executed.Key, r.ExitCode, r.GasUsed)
	if given(e.Spent) {
		text += ", cost " + types.FIL(e.Spent).String()
	}
	if r.ExitCode != 0 {
		text += ": " + DescribeExit(r.ExitCode)
	}
	return Note{Kind: "included", Text: text}, nil
}

// NonceTaken: another message was executed under the message's nonce.
type NonceTaken struct {
	// By is the other message, if known.
	By       cid.Cid
	Executed TipSetRef
}

func (e NonceTaken) apply(m *Message, _ time.Time) (Note, error) {
	if !m.State.HasNonce() {
		return Note{}, illegal(m, "loss of the nonce")
	}
	m.State = Conflict
	m.clear()
	m.Receipt, m.Included, m.Executed, m.Spent = nil, TipSetRef{}, e.Executed, big.Zero()
	by := "a message that is not of this messager"
	if e.By.Defined() {
		by += ", " + e.By.String()
	}
	m.Error = fmt.Sprintf("nonce %d was used by %s", m.Msg.Nonce, by)
	return Note{Kind: "conflict", Text: m.Error}, nil
}

// Reverted: the tipset that executed the message, or the one that took its nonce,
// is no longer on the chain.
type Reverted struct{ Tipset TipSetRef }

func (e Reverted) apply(m *Message, _ time.Time) (Note, error) {
	if m.State != OnChain && m.State != Conflict {
		return Note{}, illegal(m, "revert")
	}
	m.State = Pending
	m.clear()
	m.Receipt, m.Included, m.Executed, m.Spent = nil, TipSetRef{}, TipSetRef{}, big.Zero()
	return Note{Kind: "reverted", Text: fmt.Sprintf("the tipset at %d left the chain", e.Tipset.Height)}, nil
}

// MarkedBad: the operator gave the message up before it got a nonce.
type MarkedBad struct{}

func (MarkedBad) apply(m *Message, _ time.Time) (Note, error) {
	if m.State != Queued {
		return Note{}, illegal(m, "marking as bad")
	}
	m.State = Failed
	if m.Error == "" {
		m.Error = "marked as bad by the operator"
	}
	return Note{Kind: "failed", Text: "marked as bad by the operator"}, nil
}

// Expired: the chain reached the epoch after which the message makes no sense.
type Expired struct{ Epoch abi.ChainEpoch }

func (e Expired) apply(m *Message, _ time.Time) (Note, error) {
	if m.State != Queued {
		return Note{}, illegal(m, "expiry")
	}
	m.State = Failed
	text := fmt.Sprintf("expired at epoch %d without a nonce", e.Epoch)
	if m.Error != "" {
		text += "; last obstacle: " + m.Error
	}
	m.Error = text
	return Note{Kind: "failed", Text: text}, nil
}

// WalletGone: the wallet or the address was removed before the message got a nonce.
type WalletGone struct{ Text string }

func (e WalletGone) apply(m *Message, _ time.Time) (Note, error) {
	if m.State != Queued {
		return Note{}, illegal(m, "removal of the wallet")
	}
	m.State, m.Reason, m.Error = NoWallet, WalletUnknown, e.Text
	return Note{Kind: "failed", Text: e.Text}, nil
}

// NotNeeded: what the message was for has come about without it.
type NotNeeded struct{ Text string }

func (e NotNeeded) apply(m *Message, _ time.Time) (Note, error) {
	if m.State != Queued {
		return Note{}, illegal(m, "giving up")
	}
	m.State, m.Reason, m.Error = Failed, NoReason, e.Text
	return Note{Kind: "failed", Text: e.Text}, nil
}

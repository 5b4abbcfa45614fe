package machine

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/types"
)

// State is where a message stands. The numbers are stored.
type State int

// The states. In brackets: the original's names, accepted as aliases.
const (
	// Queued: accepted and durable, no nonce yet (UnFillMsg). Leaves by Assigned,
	// or by MarkedBad, Expired, WalletGone. The operator looks at the reason.
	Queued State = 1
	// Signed: nonce, gas and signature are durable, no node has taken it yet
	// (FillMsg). Leaves by Pushed; it is pushed until a node takes it.
	Signed State = 2
	// Pending: a node has it in its pool (FillMsg). Leaves by Landed or NonceTaken.
	Pending State = 3
	// OnChain: executed, whatever the exit code (OnChainMsg). Only a reorg, Reverted,
	// takes it back to Pending.
	OnChain State = 4
	// Failed: given up before it got a nonce (FailedMsg). Final.
	Failed State = 5
	// Conflict: a message that is not ours took its nonce (ReplacedMsg,
	// NonceConflictMsg). Only a reorg takes it back to Pending.
	Conflict State = 6
	// NoWallet: its wallet or address was removed before it got a nonce
	// (NoWalletMsg). Final.
	NoWallet State = 7
)

var stateNames = map[State][]string{
	Queued: {"queued", "unfillmsg", "unfill"}, Signed: {"signed"}, Pending: {"pending", "fillmsg", "fill"},
	OnChain: {"on chain", "onchain", "onchainmsg", "landed"}, Failed: {"failed", "failedmsg"},
	Conflict: {"conflict", "nonce conflict", "replacedmsg", "replaced", "nonceconflictmsg"}, NoWallet: {"no wallet", "nowallet", "nowalletmsg"},
}

// String is the name for people.
func (s State) String() string {
	if n := stateNames[s]; n != nil {
		return n[0]
	}
	return "state " + strconv.Itoa(int(s))
}

// ParseState reads a state's name or one of its aliases, in any case.
func ParseState(text string) (State, error) {
	low := strings.ToLower(strings.TrimSpace(text))
	for s := Queued; s <= NoWallet; s++ {
		for _, n := range stateNames[s] {
			if low == n || low == strings.ReplaceAll(n, " ", "-") {
				return s, nil
			}
		}
	}
	return 0, fmt.Errorf("%q is no message state: use queued, signed, pending, onchain, failed, conflict or nowallet", text)
}

// Final tells whether nothing but a reorg changes the message any more.
func (s State) Final() bool { return s >= OnChain }

// HasNonce tells whether a message in this state owns a nonce.
func (s State) HasNonce() bool {
	return s == Signed || s == Pending || s == OnChain || s == Conflict
}

// TipSetRef names a tipset and its epoch.
type TipSetRef struct {
	Key    types.TipSetKey
	Height abi.ChainEpoch
}

// Message is a message on its way.
type Message struct {
	ID string
	// User is the owner of the token it was pushed with, Wallet the wallet that signs it.
	User, Wallet string
	// Msg has the sender's key address in From. Nonce and gas count once the state has a nonce.
	Msg    types.Message
	Limits Limits
	Lane   Lane
	State  State
	// UnsignedCid, SignedCid and Sig are those of the newest attempt.
	UnsignedCid, SignedCid cid.Cid
	Sig                    *crypto.Signature
	// Reason and Error say why it waits; both are empty when nothing is in the way.
	Reason Reason
	Error  string
	// Tries counts the failures since the last success, NextTry holds the next one off.
	Tries   int
	NextTry time.Time
	// PushedAt is when a node first took the newest attempt.
	PushedAt time.Time
	// Receipt, Included and Executed are set on chain: the tipset that packed the
	// message and the one that executed it. Executed is also set in a conflict.
	Receipt            *types.MessageReceipt
	Included, Executed TipSetRef
	// Spent is what it cost its sender besides the value, attoFIL; zero until it landed.
	Spent abi.TokenAmount
	// Rev grows with every change: stores compare it before they write.
	Rev              int64
	Created, Updated time.Time
}

// Signed returns the newest attempt, or nil before the first.
func (m *Message) Signed() *types.SignedMessage {
	if m.Sig == nil {
		return nil
	}
	return &types.SignedMessage{Message: m.Msg, Signature: *m.Sig}
}

// New makes a queued message. msg.From must be a key address already.
func New(id, user, wallet string, msg types.Message, lim Limits, now time.Time) Message {
	msg.Nonce = 0
	if msg.Value.Int == nil {
		msg.Value = big.Zero()
	}
	if msg.GasFeeCap.Int == nil {
		msg.GasFeeCap = big.Zero()
	}
	if msg.GasPremium.Int == nil {
		msg.GasPremium = big.Zero()
	}
	return Message{
		ID: id, User: user, Wallet: wallet, Msg: msg, Limits: lim, Lane: LaneOf(&msg),
		State: Queued, UnsignedCid: msg.Cid(), NextTry: now, Created: now, Updated: now, Spent: big.Zero(),
	}
}

// NewSigned makes a message that somebody signed elsewhere. Its id is its CID, and
// no wallet of the messager's can price it again.
func NewSigned(user string, sm *types.SignedMessage, now time.Time) Message {
	m := New(sm.Cid().String(), user, "", sm.Message, Limits{}, now)
	m.State, m.NextTry = Signed, time.Time{}
	m.attempt(sm.Message, sm.Signature)
	return m
}

// Status is where the message stands in one or two words for people: the state, and
// on chain whether it succeeded.
func (m *Message) Status() string {
	switch {
	case m.State != OnChain || m.Receipt == nil:
		return m.State.String()
	case m.Receipt.ExitCode == 0:
		return "on chain, ok"
	}
	return "on chain, failed"
}

// SameRequest tells whether two messages ask for the same thing: a client that
// pushes again under the same id means the first one.
func (m *Message) SameRequest(o *Message) bool {
	a, b := m.Msg, o.Msg
	return m.Wallet == o.Wallet && m.User == o.User && a.To == b.To && a.From == b.From && a.Value.Equals(b.Value) &&
		a.Method == b.Method && string(a.Params) == string(b.Params)
}

// Note is one line of a message's history.
type Note struct {
	At   time.Time
	Kind string
	Text string
}

// Fate tells what became of one of the message's attempts: landed, replaced, lost or
// waiting.
func (m *Message) Fate(attempt cid.Cid) string {
	switch {
	case m.State == Conflict:
		return "lost"
	case attempt != m.SignedCid:
		return "replaced"
	case m.State == OnChain:
		return "landed"
	}
	return "waiting"
}

const fillerPrefix = "gap-"

// NewFiller makes a message whose only purpose is to use a nonce that is missing;
// Fills reads the nonce from its id, gap-NONCE-SOMETHING. It goes before all others.
func NewFiller(id, user, wallet string, msg types.Message, now time.Time) Message {
	m := New(id, user, wallet, msg, Limits{}, now)
	m.Lane = LaneProof
	return m
}

// Fills returns the nonce that a filler is for.
func (m *Message) Fills() (nonce uint64, ok bool) {
	rest, found := strings.CutPrefix(m.ID, fillerPrefix)
	if !found || m.Lane != LaneProof || m.Msg.From != m.Msg.To {
		return 0, false
	}
	number, _, found := strings.Cut(rest, "-")
	nonce, err := strconv.ParseUint(number, 10, 64)
	return nonce, found && err == nil
}

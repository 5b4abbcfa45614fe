package messager

import (
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"
)

// Signature is the field's signature, {Type, Data}.
type Signature = crypto.Signature

// MsgQuery selects messages. Zero values do not filter; pages count from 1 and
// hold at most 1000 messages (0 = 100).
type MsgQuery struct {
	From      []address.Address
	States    []State
	Wallet    string
	Failing   bool          // only with an error text
	OlderThan time.Duration // only created longer ago
	PageIndex int
	PageSize  int
	Ascending bool // oldest first
}

// Event is one step in the life of a message.
type Event struct {
	At   time.Time
	Kind string // queued, estimate failed, signed, sign failed, delayed, pushed, push failed, included, reverted, replaced, conflict, failed
	Text string
}

// Attempt is a form of a message that was signed. Fate is "landed", "replaced" for one
// that a later attempt took the place of, "lost" when its nonce was used by another
// message, and "waiting".
type Attempt struct {
	Cid        cid.Cid
	Nonce      uint64
	GasLimit   int64
	GasFeeCap  abi.TokenAmount
	GasPremium abi.TokenAmount
	Fate       string
}

// Explanation tells why a message stands where it stands.
type Explanation struct {
	ID     string
	State  State
	Status string // the state in words
	Reason string // one plain sentence
	Advice string // what to do, "" when nothing
	Ahead  int    // messages of the same sender that come first
	Events []Event
	// Attempts are all forms that were ever signed, oldest first.
	Attempts []Attempt
}

// FeeRule limits the fees of messages of a sender, to an actor, that call a method;
// null addresses and methods stand for all. Amounts are attoFIL in decimal, "" and
// "0" leave a limit to the next rule. Of the rules that match a message those that
// name the sender come first, then those that name the actor, then those that name
// only a method; the message's own limits come before all, the shared ones last.
type FeeRule struct {
	Sender            *address.Address
	Actor             *address.Address
	Method            *abi.MethodNum
	GasOverEstimation float64
	MaxFee            string
	MaxFeeCap         string
}

// WalletSpec is a wallet to add. URL is a multiaddress or a URL.
type WalletSpec struct {
	Name  string `json:"name"`
	URL   string `json:"url"`
	Token string `json:"token"`
}

// String leaves the token out.
func (w WalletSpec) String() string { return w.Name + " " + w.URL }

// GoString leaves the token out.
func (w WalletSpec) GoString() string { return w.String() }

// Wallet is a wallet as it may be shown. State is "Alive", "Removing" or
// "Removed"; Error is why it could not be reached last, "" when it could.
type Wallet struct {
	ID        string
	Name      string
	URL       string `json:"Url"`
	State     string
	Error     string
	Addresses int
	CreatedAt time.Time
	UpdatedAt time.Time
}

// WalletAddress ties an address to the wallet that holds its key.
type WalletAddress struct {
	WalletName string
	Addr       address.Address
	State      string // "Alive", "Removing", "Removed" or "Forbidden"
}

// Address is a sender: Nonce is the next one to be given out. Amounts are
// attoFIL in decimal; zero values mean the shared limits.
type Address struct {
	Addr              address.Address `json:"addr"`
	Nonce             uint64          `json:"nonce"`
	State             string          `json:"state"`
	SelMsgNum         uint64          `json:"selMsgNum"`
	GasOverEstimation float64         `json:"gasOverEstimation"`
	MaxFee            string          `json:"maxFee"`
	MaxFeeCap         string          `json:"maxFeeCap"`
	ForeignNonce      uint64          `json:"foreignNonce"` // last nonce seen that somebody else used
	ForeignAt         time.Time       `json:"foreignAt"`    // when; zero = never
	Queued            int             `json:"queued"`
	Pending           int             `json:"pending"`
	CreatedAt         time.Time       `json:"createAt"`
	UpdatedAt         time.Time       `json:"updateAt"`
}

// SharedParams are the limits of all senders that have none of their own.
// Amounts are attoFIL in decimal; maxFeeCap "0" = none.
type SharedParams struct {
	GasOverEstimation float64 `json:"gasOverEstimation"`
	MaxFee            string  `json:"maxFee"`
	MaxFeeCap         string  `json:"maxFeeCap"`
	SelMsgNum         uint64  `json:"selMsgNum"`
	// GlobalMsgNum bounds the messages under way of all senders together; 0 does not.
	GlobalMsgNum uint64 `json:"globalMsgNum"`
	// ReplaceBudget bounds what automatic replacements of a sender may add in a day, attoFIL; "" and "0" do not.
	ReplaceBudget string `json:"replaceBudget"`
}

// NodeSpec is a node to publish through.
type NodeSpec struct {
	Name  string
	URL   string
	Token string
	// Gossip: the node only passes messages on to its peers and keeps none in its pool.
	Gossip bool
}

// String leaves the token out.
func (n NodeSpec) String() string { return n.Name + " " + n.URL }

// GoString leaves the token out.
func (n NodeSpec) GoString() string { return n.String() }

// Node is such a node as it may be shown.
type Node struct {
	Name   string
	URL    string
	Gossip bool
}

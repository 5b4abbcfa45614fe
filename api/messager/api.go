package messager

import (
	"context"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/types"
)

// Namespace is the first half of every method name on the wire. The original
// server ignored it, so a server answers to "Filecoin" as well.
const Namespace = "Message"

// Version is what the messager reports as API version: 1.1.0.
const Version = api.APIVersion(1<<16 | 1<<8)

// Messager is the whole contract of venus-messager.
//
//api:service
type Messager interface {
	api.Common
	api.Auth
	Push
	Lookup
	Repair
	Wallets
	Addresses
	Settings
}

// Push takes messages. An answered push is durable.
type Push interface {
	// PushMessage queues a message of a wallet's address and returns its id (a UUID). Nonce and gas are
	// the messager's work; meta may be null.
	//perm:write
	PushMessage(ctx context.Context, msg *types.Message, meta *MsgMeta, walletName string) (string, error)
	// PushMessageWithId is PushMessage with an id of the caller's. Pushing the same message under the
	// same id again returns the id and changes nothing; another message under it is an error.
	//perm:write
	PushMessageWithId(ctx context.Context, id string, msg *types.Message, meta *MsgMeta, walletName string) (string, error) //nolint:revive // the field's spelling
	// PushSignedMessage takes a message that was signed elsewhere and returns its id, which is its CID. Its
	// nonce must be the sender's next, or one that is missing; it is reserved. Nobody here can price the
	// message again.
	//perm:write
	PushSignedMessage(ctx context.Context, msg *types.SignedMessage) (string, error)
}

// Lookup finds messages and tells how they fare.
type Lookup interface {
	// GetMessageByUid returns a message by id.
	//perm:read
	GetMessageByUid(ctx context.Context, id string) (*Message, error) //nolint:revive // the field's spelling
	// HasMessageByUid tells whether an id is known.
	//perm:read
	HasMessageByUid(ctx context.Context, id string) (bool, error) //nolint:revive // the field's spelling
	// GetMessageByCid returns a message by its signed or unsigned CID.
	//perm:read
	GetMessageByCid(ctx context.Context, c cid.Cid) (*Message, error)
	// GetMessageBySignedCid returns a message by the CID of its signed form.
	//perm:read
	GetMessageBySignedCid(ctx context.Context, c cid.Cid) (*Message, error)
	// GetMessageByUnsignedCid returns a message by the CID of its unsigned form.
	//perm:read
	GetMessageByUnsignedCid(ctx context.Context, c cid.Cid) (*Message, error)
	// GetMessageByFromAndNonce returns the signed message of a sender with a nonce.
	//perm:read
	GetMessageByFromAndNonce(ctx context.Context, from address.Address, nonce uint64) (*Message, error)
	// WaitMessage waits until a message reached a final state and, on the chain, is more than confidence
	// epochs deep.
	//perm:read
	WaitMessage(ctx context.Context, id string, confidence uint64) (*Message, error)
	// ListMessage lists messages, newest first, by page.
	//perm:read
	ListMessage(ctx context.Context, q MsgQuery) ([]*Message, error)
	// ListMessageByAddress lists messages of a sender, newest first, the first page of ListMessage.
	//perm:read
	ListMessageByAddress(ctx context.Context, addr address.Address) ([]*Message, error)
	// ListMessageByFromState lists messages of a sender in a state by page, newest first.
	//perm:read
	ListMessageByFromState(ctx context.Context, from address.Address, state State, pageIndex, pageSize int) ([]*Message, error)
	// ListFailedMessage lists queued messages that carry an error.
	//perm:read
	ListFailedMessage(ctx context.Context) ([]*Message, error)
	// ListBlockedMessage lists messages of an address (undefined = all) that wait for longer than a time.
	//perm:read
	ListBlockedMessage(ctx context.Context, addr address.Address, olderThan time.Duration) ([]*Message, error)
	// ExplainMessage says in plain words what a message waits for, with its history.
	//perm:read
	ExplainMessage(ctx context.Context, id string) (*Explanation, error)
}

// Repair is the operator's hand on single messages.
type Repair interface {
	// ReplaceMessage signs a pending message again with a higher price and returns its new CID.
	//perm:admin
	ReplaceMessage(ctx context.Context, id string, auto bool, maxFee string, gasLimit int64, gasPremium, gasFeecap string) (cid.Cid, error)
	// RepublishMessage pushes a pending message to the nodes again.
	//perm:admin
	RepublishMessage(ctx context.Context, id string) error
	// MarkBadMessage fails a queued message for good. A message that has a nonce is refused: replace it.
	//perm:admin
	MarkBadMessage(ctx context.Context, id string) error
	// UpdateFilledMessageByID asks the chain for the fate of a pending message.
	//perm:admin
	UpdateFilledMessageByID(ctx context.Context, id string) error
	// UpdateAllFilledMessage asks the chain for the fate of all pending messages and counts the updates.
	//perm:admin
	UpdateAllFilledMessage(ctx context.Context) (int, error)
}

// Wallets are the venus-wallets that sign.
type Wallets interface {
	// SaveWallet adds a wallet; a taken name is an error.
	//perm:admin
	SaveWallet(ctx context.Context, w WalletSpec) error
	// UpdateWallet gives a wallet, by name, another URL or token; an empty one stays as it is. Its messages are kept.
	//perm:admin
	UpdateWallet(ctx context.Context, w WalletSpec) error
	// GetWalletByName returns a wallet, without its token.
	//perm:admin
	GetWalletByName(ctx context.Context, name string) (*Wallet, error)
	// HasWallet tells whether a name is taken.
	//perm:admin
	HasWallet(ctx context.Context, name string) (bool, error)
	// ListWallet lists the wallets, without their tokens.
	//perm:admin
	ListWallet(ctx context.Context) ([]*Wallet, error)
	// ListRemoteWalletAddress asks a wallet for its addresses.
	//perm:admin
	ListRemoteWalletAddress(ctx context.Context, name string) ([]address.Address, error)
	// DeleteWallet stops taking messages for a wallet's addresses and forgets it once the pending ones landed.
	//perm:admin
	DeleteWallet(ctx context.Context, name string) error
	// HasWalletAddress tells whether a wallet, by name, holds an address and may be pushed to.
	//perm:read
	HasWalletAddress(ctx context.Context, walletName string, addr address.Address) (bool, error)
	// WalletHas tells whether any wallet holds an address.
	//perm:read
	WalletHas(ctx context.Context, addr address.Address) (bool, error)
	// GetWalletAddress tells how a wallet, by name, holds an address.
	//perm:admin
	GetWalletAddress(ctx context.Context, walletName string, addr address.Address) (*WalletAddress, error)
	// ListWalletAddress lists which wallet holds which address.
	//perm:admin
	ListWalletAddress(ctx context.Context) ([]*WalletAddress, error)
}

// Addresses are the senders.
type Addresses interface {
	// GetAddress returns what is known of a sender.
	//perm:read
	GetAddress(ctx context.Context, addr address.Address) (*Address, error)
	// HasAddress tells whether a sender is known.
	//perm:read
	HasAddress(ctx context.Context, addr address.Address) (bool, error)
	// ListAddress lists the senders.
	//perm:read
	ListAddress(ctx context.Context) ([]*Address, error)
	// UpdateNonce sets the next nonce of a sender; it can not go below a nonce that was signed.
	//perm:admin
	UpdateNonce(ctx context.Context, addr address.Address, nonce uint64) error
	// DeleteAddress forgets a sender that has no message under way.
	//perm:admin
	DeleteAddress(ctx context.Context, addr address.Address) error
	// ForbiddenAddress refuses new messages of a sender.
	//perm:admin
	ForbiddenAddress(ctx context.Context, addr address.Address) error
	// ActiveAddress accepts messages of a sender again.
	//perm:admin
	ActiveAddress(ctx context.Context, addr address.Address) error
	// SetSelectMsgNum limits how many messages of a sender are pending at once; 0 = the shared limit.
	//perm:admin
	SetSelectMsgNum(ctx context.Context, addr address.Address, num uint64) error
	// SetFeeParams sets a sender's limits; amounts are attoFIL in decimal, "" = unchanged, 0 = the shared value.
	//perm:admin
	SetFeeParams(ctx context.Context, addr address.Address, gasOverEstimation float64, maxFee, maxFeeCap string) error
}

// Settings apply to all senders.
type Settings interface {
	// GetSharedParams returns the shared limits.
	//perm:admin
	GetSharedParams(ctx context.Context) (*SharedParams, error)
	// SetSharedParams replaces the shared limits.
	//perm:admin
	SetSharedParams(ctx context.Context, p *SharedParams) (*SharedParams, error)
	// RefreshSharedParams reads the shared limits from the database again.
	//perm:admin
	RefreshSharedParams(ctx context.Context) error
	// ListFeeRules lists the fee rules.
	//perm:admin
	ListFeeRules(ctx context.Context) ([]*FeeRule, error)
	// SetFeeRule stores a fee rule in the place of the one about the same messages.
	//perm:admin
	SetFeeRule(ctx context.Context, r *FeeRule) error
	// DeleteFeeRule forgets the fee rule about the same messages.
	//perm:admin
	DeleteFeeRule(ctx context.Context, r *FeeRule) error
	// SaveNode adds a node that messages are also published through.
	//perm:admin
	SaveNode(ctx context.Context, n NodeSpec) error
	// GetNode returns such a node, without its token.
	//perm:admin
	GetNode(ctx context.Context, name string) (*Node, error)
	// HasNode tells whether a node's name is taken.
	//perm:admin
	HasNode(ctx context.Context, name string) (bool, error)
	// ListNode lists such nodes, without their tokens.
	//perm:admin
	ListNode(ctx context.Context) ([]*Node, error)
	// DeleteNode forgets such a node.
	//perm:admin
	DeleteNode(ctx context.Context, name string) error
}

// State is where a message stands; a number on the wire, as in the original.
type State int

// The states. The names in brackets are the original's.
const (
	StateUnknown  State = 0
	StateQueued   State = 1 // accepted and durable, no nonce yet (UnFillMsg)
	StatePending  State = 2 // nonce, gas and signature set, pushed (FillMsg)
	StateOnChain  State = 3 // executed, whatever the exit code (OnChainMsg)
	StateFailed   State = 4 // given up before it got a nonce (FailedMsg)
	StateReplaced State = 5 // another message took its nonce (ReplacedMsg)
	StateNoWallet State = 6 // its wallet or address was removed (NoWalletMsg)
)

var stateNames = [...]string{"unknown", "queued", "pending", "on chain", "failed", "nonce conflict", "no wallet"}

// String is the name for people.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return stateNames[0]
	}
	return stateNames[s]
}

// Final tells whether a message in this state changes no more, apart from
// reorganisations.
func (s State) Final() bool { return s >= StateOnChain && s <= StateNoWallet }

// MsgMeta are a message's own limits; zero values mean the sender's, then the
// shared ones. Amounts are attoFIL; ExpireEpoch 0 = never.
type MsgMeta struct {
	ExpireEpoch       abi.ChainEpoch  `json:"expireEpoch"`
	GasOverEstimation float64         `json:"gasOverEstimation"`
	MaxFee            abi.TokenAmount `json:"maxFee"`
	MaxFeeCap         abi.TokenAmount `json:"maxFeeCap"`
}

// Message is a message on its way. TipSetKey and Height are of the tipset that
// executed it; Included of the one that packed it.
type Message struct {
	ID          string
	UnsignedCid *cid.Cid
	SignedCid   *cid.Cid

	Version    uint64
	To         address.Address
	From       address.Address
	Nonce      uint64
	Value      abi.TokenAmount
	GasLimit   int64
	GasFeeCap  abi.TokenAmount
	GasPremium abi.TokenAmount
	Method     abi.MethodNum
	Params     []byte

	Signature      *Signature
	Height         int64
	Confidence     int64
	Receipt        *types.MessageReceipt
	TipSetKey      types.TipSetKey
	Included       types.TipSetKey
	IncludedHeight int64
	Meta           *MsgMeta
	WalletName     string
	FromUser       string
	State          State
	// Status is the state in words: queued, signed, pending, on chain ok or failed, failed, conflict, no wallet.
	Status   string
	ErrorMsg string
	// Spent is what the message cost besides its value, attoFIL; zero until it landed.
	Spent     abi.TokenAmount
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Unsigned returns the chain's message with the nonce and gas it has so far.
func (m *Message) Unsigned() *types.Message {
	return &types.Message{
		Version: m.Version, To: m.To, From: m.From, Nonce: m.Nonce, Value: m.Value,
		GasLimit: m.GasLimit, GasFeeCap: m.GasFeeCap, GasPremium: m.GasPremium, Method: m.Method, Params: m.Params,
	}
}

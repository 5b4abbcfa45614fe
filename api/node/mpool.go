package node

import (
	"context"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/types"
)

// Mpool takes messages, keeps them until they land and selects them for blocks.
// The node holds no keys: messages come signed, or are signed by the wallet it is configured with.
type Mpool interface {
	// MpoolPush checks a message, stores it and publishes it to peers.
	//perm:write
	MpoolPush(ctx context.Context, msg *types.SignedMessage) (cid.Cid, error)
	// MpoolPushUntrusted is MpoolPush with the checks for messages of strangers.
	//perm:write
	MpoolPushUntrusted(ctx context.Context, msg *types.SignedMessage) (cid.Cid, error)
	// MpoolBatchPush pushes in order and stops at the first refusal.
	//perm:write
	MpoolBatchPush(ctx context.Context, msgs []*types.SignedMessage) ([]cid.Cid, error)
	// MpoolBatchPushUntrusted is MpoolBatchPush with the checks for messages of strangers.
	//perm:write
	MpoolBatchPushUntrusted(ctx context.Context, msgs []*types.SignedMessage) ([]cid.Cid, error)
	// MpoolPushMessage fills in nonce (which must be 0) and gas, has the wallet sign, and pushes.
	//perm:sign
	MpoolPushMessage(ctx context.Context, msg *types.Message, spec *MessageSendSpec) (*types.SignedMessage, error)
	// MpoolBatchPushMessage is MpoolPushMessage for several, in order, up to the first refusal.
	//perm:sign
	MpoolBatchPushMessage(ctx context.Context, msgs []*types.Message, spec *MessageSendSpec) ([]*types.SignedMessage, error)
	// MpoolCheckMessages tells what keeps messages from being pushed, a list of checks for each.
	//perm:read
	MpoolCheckMessages(ctx context.Context, msgs []*MessagePrototype) ([][]MessageCheck, error)
	// MpoolCheckPendingMessages checks again the pending messages of a sender.
	//perm:read
	MpoolCheckPendingMessages(ctx context.Context, from address.Address) ([][]MessageCheck, error)
	// MpoolCheckReplaceMessages checks messages that shall replace pending ones of the same nonce.
	//perm:read
	MpoolCheckReplaceMessages(ctx context.Context, msgs []*types.Message) ([][]MessageCheck, error)
	// MpoolPublishByAddr publishes again all pending messages of a sender.
	//perm:write
	MpoolPublishByAddr(ctx context.Context, addr address.Address) error
	// MpoolPublishMessage publishes a message without keeping it.
	//perm:write
	MpoolPublishMessage(ctx context.Context, msg *types.SignedMessage) error
	// MpoolGetNonce returns the next free nonce of a sender: chain state plus pending messages.
	//perm:read
	MpoolGetNonce(ctx context.Context, addr address.Address) (uint64, error)
	// MpoolPending lists the pending messages as they stand after a tipset.
	//perm:read
	MpoolPending(ctx context.Context, tsk types.TipSetKey) ([]*types.SignedMessage, error)
	// MpoolSelect picks the messages for a block on a tipset, given its ticket's quality in [0,1].
	//perm:read
	MpoolSelect(ctx context.Context, tsk types.TipSetKey, ticketQuality float64) ([]*types.SignedMessage, error)
	// MpoolSelects picks the messages for several blocks of one producer so that they overlap little.
	//perm:read
	MpoolSelects(ctx context.Context, tsk types.TipSetKey, ticketQualities []float64) ([][]*types.SignedMessage, error)
	// MpoolSub streams additions (type 0) and removals (type 1).
	//perm:read
	MpoolSub(ctx context.Context) (<-chan MpoolUpdate, error)
	// MpoolClear empties the pool; with local also of the node's own messages.
	//perm:write
	MpoolClear(ctx context.Context, local bool) error
	// MpoolGetConfig returns the pool's limits.
	//perm:read
	MpoolGetConfig(ctx context.Context) (*MpoolConfig, error)
	// MpoolSetConfig replaces the pool's limits.
	//perm:admin
	MpoolSetConfig(ctx context.Context, cfg *MpoolConfig) error
}

// Gas proposes gas limits and prices.
type Gas interface {
	// GasEstimateMessageGas returns the message with limit, premium and fee cap filled in where they are zero.
	//perm:read
	GasEstimateMessageGas(ctx context.Context, msg *types.Message, spec *MessageSendSpec, tsk types.TipSetKey) (*types.Message, error)
	// GasBatchEstimateMessageGas estimates several messages of one sender with nonces from fromNonce upward;
	// a message that fails carries its error, gets nonce 0 and uses none up.
	//perm:read
	GasBatchEstimateMessageGas(ctx context.Context, msgs []*EstimateMessage, fromNonce uint64, tsk types.TipSetKey) ([]*EstimateResult, error)
	// GasEstimateGasLimit returns the gas a message uses on top of the sender's pending ones.
	//perm:read
	GasEstimateGasLimit(ctx context.Context, msg *types.Message, tsk types.TipSetKey) (int64, error)
	// GasEstimateFeeCap returns a price per gas that survives maxQueueBlocks full blocks.
	//perm:read
	GasEstimateFeeCap(ctx context.Context, msg *types.Message, maxQueueBlocks int64, tsk types.TipSetKey) (abi.TokenAmount, error)
	// GasEstimateGasPremium returns a tip per gas that recent blocks took, for inclusion within nBlocks.
	//perm:read
	GasEstimateGasPremium(ctx context.Context, nBlocks uint64, sender address.Address, gasLimit int64, tsk types.TipSetKey) (abi.TokenAmount, error)
}

// Wallet answers about addresses and, for what needs a key, asks the wallet that
// the node is configured with: who may use keys there, the wallet decides.
type Wallet interface {
	// WalletBalance returns an address's balance at the head in attoFIL, 0 when there is no actor.
	//perm:read
	WalletBalance(ctx context.Context, addr address.Address) (abi.TokenAmount, error)
	// WalletVerify tells whether sig is a signature of data by an address.
	//perm:read
	WalletVerify(ctx context.Context, addr address.Address, data []byte, sig *crypto.Signature) (bool, error)
	// WalletValidateAddress parses an address.
	//perm:read
	WalletValidateAddress(ctx context.Context, s string) (address.Address, error)
	// WalletNew makes a key of type "bls" or "secp256k1" and returns its address.
	//perm:write
	WalletNew(ctx context.Context, keyType types.KeyType) (address.Address, error)
	// WalletHas tells whether the wallet holds the key of an address.
	//perm:write
	WalletHas(ctx context.Context, addr address.Address) (bool, error)
	// WalletList returns the addresses of all keys.
	//perm:write
	WalletList(ctx context.Context) ([]address.Address, error)
	// WalletDefaultAddress returns the address that programs use when none is named.
	//perm:write
	WalletDefaultAddress(ctx context.Context) (address.Address, error)
	// WalletSetDefault chooses that address; the wallet must hold its key.
	//perm:write
	WalletSetDefault(ctx context.Context, addr address.Address) error
	// WalletSignMessage has a message signed as it is and returns it; nothing is pushed.
	//perm:sign
	WalletSignMessage(ctx context.Context, signer address.Address, msg *types.Message) (*types.SignedMessage, error)
	// WalletExport returns the private key of an address.
	//perm:admin
	WalletExport(ctx context.Context, addr address.Address) (*types.KeyInfo, error)
	// WalletImport stores a private key and returns its address.
	//perm:admin
	WalletImport(ctx context.Context, key *types.KeyInfo) (address.Address, error)
	// WalletDelete destroys the key of an address.
	//perm:admin
	WalletDelete(ctx context.Context, addr address.Address) error
}

// Funds sends the messages that move money into and out of the builtin actors;
// each returns the CID of the pushed message.
type Funds interface {
	// MarketAddBalance moves attoFIL of a wallet into an address's escrow of the storage market.
	//perm:sign
	MarketAddBalance(ctx context.Context, wallet, addr address.Address, amount abi.TokenAmount) (cid.Cid, error)
	// MarketWithdraw takes attoFIL out of an address's escrow; wallet signs.
	//perm:sign
	MarketWithdraw(ctx context.Context, wallet, addr address.Address, amount abi.TokenAmount) (cid.Cid, error)
	// PaychSettle starts the settlement of a payment channel, signed by a side of it that the wallet holds.
	//perm:sign
	PaychSettle(ctx context.Context, channel address.Address) (cid.Cid, error)
	// PaychCollect pays a settled payment channel out, signed by a side of it that the wallet holds.
	//perm:sign
	PaychCollect(ctx context.Context, channel address.Address) (cid.Cid, error)
}

// Alerts tells what an operator should look at.
type Alerts interface {
	// LogAlerts lists the conditions of /healthz that are not well, or were not.
	//perm:admin
	LogAlerts(ctx context.Context) ([]api.Alert, error)
}

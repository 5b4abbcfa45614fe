package messager

import (
	"context"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/types"
)

// ChainNode is what following the chain asks of a node.
type ChainNode interface {
	ChainNotify(ctx context.Context) (<-chan []*node.HeadChange, error)
	ChainGetPath(ctx context.Context, from, to types.TipSetKey) ([]*node.HeadChange, error)
	ChainGetTipSet(ctx context.Context, tsk types.TipSetKey) (*types.TipSet, error)
	ChainGetParentMessages(ctx context.Context, block cid.Cid) ([]node.Message, error)
	ChainGetParentReceipts(ctx context.Context, block cid.Cid) ([]*types.MessageReceipt, error)
	BlockTime(ctx context.Context) (time.Duration, error)
}

// StateNode is what finding the fate of messages and senders asks of a node.
type StateNode interface {
	ChainHead(ctx context.Context) (*types.TipSet, error)
	StateGetActor(ctx context.Context, actor address.Address, tsk types.TipSetKey) (*types.Actor, error)
	StateAccountKey(ctx context.Context, addr address.Address, tsk types.TipSetKey) (address.Address, error)
	StateSearchMsg(ctx context.Context, from types.TipSetKey, msg cid.Cid, limit abi.ChainEpoch, allowReplaced bool) (*node.MsgLookup, error)
	SyncState(ctx context.Context) (*node.SyncState, error)
}

// PoolNode is what pricing and sending asks of a node.
type PoolNode interface {
	Publisher
	MpoolGetNonce(ctx context.Context, addr address.Address) (uint64, error)
	GasBatchEstimateMessageGas(ctx context.Context, msgs []*node.EstimateMessage, fromNonce uint64, tsk types.TipSetKey) ([]*node.EstimateResult, error)
	GasEstimateFeeCap(ctx context.Context, msg *types.Message, maxQueueBlocks int64, tsk types.TipSetKey) (abi.TokenAmount, error)
	GasEstimateGasPremium(ctx context.Context, nBlocks uint64, sender address.Address, gasLimit int64, tsk types.TipSetKey) (abi.TokenAmount, error)
}

// Publisher takes signed messages into a node's pool, or passes them on to its peers.
type Publisher interface {
	MpoolPublishMessage(ctx context.Context, msg *types.SignedMessage) error
	MpoolPush(ctx context.Context, msg *types.SignedMessage) (cid.Cid, error)
	MpoolBatchPush(ctx context.Context, msgs []*types.SignedMessage) ([]cid.Cid, error)
}

// Node is the node the messager works with; a client of api/node satisfies it.
type Node interface {
	ChainNode
	StateNode
	PoolNode
}

// Signer is a wallet; a client of api/wallet satisfies it.
type Signer interface {
	WalletList(ctx context.Context) ([]address.Address, error)
	WalletSign(ctx context.Context, signer address.Address, toSign []byte, meta wallet.MsgMeta) (*crypto.Signature, error)
}

// Time limits of single calls. A call that hangs delays only its own sender.
const (
	nodeTimeout     = 10 * time.Second
	estimateTimeout = 60 * time.Second
	signTimeout     = 10 * time.Second
	listTimeout     = 3 * time.Second
	intakeTimeout   = 30 * time.Second
)

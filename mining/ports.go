package mining

import (
	"context"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"

	nodeapi "github.com/filecoin-venus/venus/api/node"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/types"
)

// HeadSource tells of the node's head.
type HeadSource interface {
	ChainNotify(ctx context.Context) (<-chan []*nodeapi.HeadChange, error)
	ChainHead(ctx context.Context) (*types.TipSet, error)
	ChainTipSetWeight(ctx context.Context, tsk types.TipSetKey) (big.Int, error)
}

// Producer is what a block is made with.
type Producer interface {
	MinerGetBaseInfo(ctx context.Context, miner address.Address, epoch abi.ChainEpoch, base types.TipSetKey) (*nodeapi.MiningBaseInfo, error)
	MpoolSelects(ctx context.Context, tsk types.TipSetKey, ticketQualities []float64) ([][]*types.SignedMessage, error)
	MinerCreateBlock(ctx context.Context, template *nodeapi.BlockTemplate) (*types.BlockMsg, error)
	SyncSubmitBlock(ctx context.Context, block *types.BlockMsg) error
}

// Beacon draws the randomness that elections run on.
type Beacon interface {
	BeaconGetEntry(ctx context.Context, epoch abi.ChainEpoch) (*types.BeaconEntry, error)
}

// Past looks at the chain behind the head and at the node's state.
type Past interface {
	ChainGetTipSet(ctx context.Context, tsk types.TipSetKey) (*types.TipSet, error)
	ChainGetTipSetByHeight(ctx context.Context, height abi.ChainEpoch, tsk types.TipSetKey) (*types.TipSet, error)
	SyncState(ctx context.Context) (*nodeapi.SyncState, error)
}

// Registry answers whether a miner can be added.
type Registry interface {
	StateMinerWorkerAddress(ctx context.Context, miner address.Address, tsk types.TipSetKey) (address.Address, error)
	StateLookupID(ctx context.Context, addr address.Address, tsk types.TipSetKey) (address.Address, error)
}

// Node is all that mining asks a node for.
type Node interface {
	HeadSource
	Producer
	Beacon
	Past
	Registry
}

// NamedNode is one of the nodes, the operator's first choice first.
type NamedNode struct {
	Name string // for people: its address
	Node Node
	// Check refuses a node that must not be used, such as one of another network. It is asked at every connection; nil
	// refuses none.
	Check func(ctx context.Context) error
}

// Signer is a wallet.
type Signer interface {
	WalletSign(ctx context.Context, signer address.Address, toSign []byte, meta walletapi.MsgMeta) (*crypto.Signature, error)
	WalletHas(ctx context.Context, addr address.Address) (bool, error)
}

// Prover is a sealer.
type Prover interface {
	ComputeProof(ctx context.Context, sectors []proof.ExtendedSectorInfo, randomness abi.PoStRandomness) ([]proof.PoStProof, error)
	ActorAddress(ctx context.Context) (address.Address, error)
}

// Services are one miner's own.
type Services struct {
	Wallet Signer
	Sealer Prover
	Close  func()
}

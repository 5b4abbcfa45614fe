package node

import (
	"context"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
)

// MultisigMessages makes the messages of multisig wallets, version 1: the caller
// looks at them, has them signed and pushes them. src signs.
type MultisigMessages interface {
	// MsigCreate makes a multisig of signers of whom required must approve; amount unlocks over unlock epochs. gasPrice is ignored.
	//perm:sign
	MsigCreate(ctx context.Context, required uint64, signers []address.Address, unlock abi.ChainEpoch, amount abi.TokenAmount, src address.Address, gasPrice abi.TokenAmount) (*MessagePrototype, error)
	// MsigPropose proposes a transaction of a multisig.
	//perm:sign
	MsigPropose(ctx context.Context, msig, to address.Address, amount abi.TokenAmount, src address.Address, method abi.MethodNum, params []byte) (*MessagePrototype, error)
	// MsigApprove approves a transaction by its number alone.
	//perm:sign
	MsigApprove(ctx context.Context, msig address.Address, txn uint64, src address.Address) (*MessagePrototype, error)
	// MsigApproveTxnHash approves a transaction only if it is the one described.
	//perm:sign
	MsigApproveTxnHash(ctx context.Context, msig address.Address, txn uint64, proposer, to address.Address, amount abi.TokenAmount, src address.Address, method abi.MethodNum, params []byte) (*MessagePrototype, error)
	// MsigCancel withdraws a proposal by its number alone.
	//perm:sign
	MsigCancel(ctx context.Context, msig address.Address, txn uint64, src address.Address) (*MessagePrototype, error)
	// MsigCancelTxnHash withdraws a proposal only if it is the one described.
	//perm:sign
	MsigCancelTxnHash(ctx context.Context, msig address.Address, txn uint64, to address.Address, amount abi.TokenAmount, src address.Address, method abi.MethodNum, params []byte) (*MessagePrototype, error)
	// MsigAddPropose proposes another signer; raise asks for one more approval from then on.
	//perm:sign
	MsigAddPropose(ctx context.Context, msig, src, signer address.Address, raise bool) (*MessagePrototype, error)
	// MsigAddApprove approves another signer.
	//perm:sign
	MsigAddApprove(ctx context.Context, msig, src address.Address, txn uint64, proposer, signer address.Address, raise bool) (*MessagePrototype, error)
	// MsigAddCancel withdraws the proposal of another signer.
	//perm:sign
	MsigAddCancel(ctx context.Context, msig, src address.Address, txn uint64, signer address.Address, raise bool) (*MessagePrototype, error)
	// MsigSwapPropose proposes one signer in place of another.
	//perm:sign
	MsigSwapPropose(ctx context.Context, msig, src, old, fresh address.Address) (*MessagePrototype, error)
	// MsigSwapApprove approves one signer in place of another.
	//perm:sign
	MsigSwapApprove(ctx context.Context, msig, src address.Address, txn uint64, proposer, old, fresh address.Address) (*MessagePrototype, error)
	// MsigSwapCancel withdraws the proposal of one signer in place of another.
	//perm:sign
	MsigSwapCancel(ctx context.Context, msig, src address.Address, txn uint64, old, fresh address.Address) (*MessagePrototype, error)
	// MsigRemoveSigner proposes to remove a signer; lower asks for one approval less from then on.
	//perm:sign
	MsigRemoveSigner(ctx context.Context, msig, proposer, signer address.Address, lower bool) (*MessagePrototype, error)
}

// MultisigSend makes the messages of multisig wallets, version 0: the node has
// them signed by its wallet, pushes them and returns their CIDs. src signs.
type MultisigSend interface {
	// MsigCreate makes a multisig of signers of whom required must approve; amount unlocks over unlock epochs. gasPrice is ignored.
	//perm:sign
	MsigCreate(ctx context.Context, required uint64, signers []address.Address, unlock abi.ChainEpoch, amount abi.TokenAmount, src address.Address, gasPrice abi.TokenAmount) (cid.Cid, error)
	// MsigPropose proposes a transaction of a multisig.
	//perm:sign
	MsigPropose(ctx context.Context, msig, to address.Address, amount abi.TokenAmount, src address.Address, method abi.MethodNum, params []byte) (cid.Cid, error)
	// MsigApprove approves a transaction by its number alone.
	//perm:sign
	MsigApprove(ctx context.Context, msig address.Address, txn uint64, src address.Address) (cid.Cid, error)
	// MsigApproveTxnHash approves a transaction only if it is the one described.
	//perm:sign
	MsigApproveTxnHash(ctx context.Context, msig address.Address, txn uint64, proposer, to address.Address, amount abi.TokenAmount, src address.Address, method abi.MethodNum, params []byte) (cid.Cid, error)
	// MsigCancel withdraws a proposal only if it is the one described.
	//perm:sign
	MsigCancel(ctx context.Context, msig address.Address, txn uint64, to address.Address, amount abi.TokenAmount, src address.Address, method abi.MethodNum, params []byte) (cid.Cid, error)
	// MsigAddPropose proposes another signer; raise asks for one more approval from then on.
	//perm:sign
	MsigAddPropose(ctx context.Context, msig, src, signer address.Address, raise bool) (cid.Cid, error)
	// MsigAddApprove approves another signer.
	//perm:sign
	MsigAddApprove(ctx context.Context, msig, src address.Address, txn uint64, proposer, signer address.Address, raise bool) (cid.Cid, error)
	// MsigAddCancel withdraws the proposal of another signer.
	//perm:sign
	MsigAddCancel(ctx context.Context, msig, src address.Address, txn uint64, signer address.Address, raise bool) (cid.Cid, error)
	// MsigSwapPropose proposes one signer in place of another.
	//perm:sign
	MsigSwapPropose(ctx context.Context, msig, src, old, fresh address.Address) (cid.Cid, error)
	// MsigSwapApprove approves one signer in place of another.
	//perm:sign
	MsigSwapApprove(ctx context.Context, msig, src address.Address, txn uint64, proposer, old, fresh address.Address) (cid.Cid, error)
	// MsigSwapCancel withdraws the proposal of one signer in place of another.
	//perm:sign
	MsigSwapCancel(ctx context.Context, msig, src address.Address, txn uint64, old, fresh address.Address) (cid.Cid, error)
	// MsigRemoveSigner proposes to remove a signer; lower asks for one approval less from then on.
	//perm:sign
	MsigRemoveSigner(ctx context.Context, msig, proposer, signer address.Address, lower bool) (cid.Cid, error)
}

package node

import (
	"context"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
)

// send has the wallet sign what version 1 only makes, and pushes it.
func (s v0) send(ctx context.Context, made *MessagePrototype, err error) (cid.Cid, error) {
	if err != nil {
		return cid.Undef, err
	}
	sent, err := s.v1.MpoolPushMessage(ctx, &made.Message, nil)
	if err != nil {
		return cid.Undef, err
	}
	return sent.Cid(), nil
}

// MsigCreate makes a multisig of signers of whom required must approve; amount unlocks over unlock epochs. gasPrice is ignored.
func (s v0) MsigCreate(ctx context.Context, required uint64, signers []address.Address, unlock abi.ChainEpoch, amount abi.TokenAmount, src address.Address, gasPrice abi.TokenAmount) (cid.Cid, error) {
	made, err := s.v1.MsigCreate(ctx, required, signers, unlock, amount, src, gasPrice)
	return s.send(ctx, made, err)
}

// MsigPropose proposes a transaction of a multisig.
func (s v0) MsigPropose(ctx context.Context, msig, to address.Address, amount abi.TokenAmount, src address.Address, method abi.MethodNum, params []byte) (cid.Cid, error) {
	made, err := s.v1.MsigPropose(ctx, msig, to, amount, src, method, params)
	return s.send(ctx, made, err)
}

// MsigApprove approves a transaction by its number alone.
func (s v0) MsigApprove(ctx context.Context, msig address.Address, txn uint64, src address.Address) (cid.Cid, error) {
	made, err := s.v1.MsigApprove(ctx, msig, txn, src)
	return s.send(ctx, made, err)
}

// MsigApproveTxnHash approves a transaction only if it is the one described.
func (s v0) MsigApproveTxnHash(ctx context.Context, msig address.Address, txn uint64, proposer, to address.Address, amount abi.TokenAmount, src address.Address, method abi.MethodNum, params []byte) (cid.Cid, error) {
	made, err := s.v1.MsigApproveTxnHash(ctx, msig, txn, proposer, to, amount, src, method, params)
	return s.send(ctx, made, err)
}

// MsigCancel withdraws a proposal only if it is the one described.
func (s v0) MsigCancel(ctx context.Context, msig address.Address, txn uint64, to address.Address, amount abi.TokenAmount, src address.Address, method abi.MethodNum, params []byte) (cid.Cid, error) {
	made, err := s.v1.MsigCancelTxnHash(ctx, msig, txn, to, amount, src, method, params)
	return s.send(ctx, made, err)
}

// MsigAddPropose proposes another signer; raise asks for one more approval from then on.
func (s v0) MsigAddPropose(ctx context.Context, msig, src, signer address.Address, raise bool) (cid.Cid, error) {
	made, err := s.v1.MsigAddPropose(ctx, msig, src, signer, raise)
	return s.send(ctx, made, err)
}

// MsigAddApprove approves another signer.
func (s v0) MsigAddApprove(ctx context.Context, msig, src address.Address, txn uint64, proposer, signer address.Address, raise bool) (cid.Cid, error) {
	made, err := s.v1.MsigAddApprove(ctx, msig, src, txn, proposer, signer, raise)
	return s.send(ctx, made, err)
}

// MsigAddCancel withdraws the proposal of another signer.
func (s v0) MsigAddCancel(ctx context.Context, msig, src address.Address, txn uint64, signer address.Address, raise bool) (cid.Cid, error) {
	made, err := s.v1.MsigAddCancel(ctx, msig, src, txn, signer, raise)
	return s.send(ctx, made, err)
}

// MsigSwapPropose proposes one signer in place of another.
func (s v0) MsigSwapPropose(ctx context.Context, msig, src, old, fresh address.Address) (cid.Cid, error) {
	made, err := s.v1.MsigSwapPropose(ctx, msig, src, old, fresh)
	return s.send(ctx, made, err)
}

// MsigSwapApprove approves one signer in place of another.
func (s v0) MsigSwapApprove(ctx context.Context, msig, src address.Address, txn uint64, proposer, old, fresh address.Address) (cid.Cid, error) {
	made, err := s.v1.MsigSwapApprove(ctx, msig, src, txn, proposer, old, fresh)
	return s.send(ctx, made, err)
}

// MsigSwapCancel withdraws the proposal of one signer in place of another.
func (s v0) MsigSwapCancel(ctx context.Context, msig, src address.Address, txn uint64, old, fresh address.Address) (cid.Cid, error) {
	made, err := s.v1.MsigSwapCancel(ctx, msig, src, txn, old, fresh)
	return s.send(ctx, made, err)
}

// MsigRemoveSigner proposes to remove a signer; lower asks for one approval less from then on.
func (s v0) MsigRemoveSigner(ctx context.Context, msig, proposer, signer address.Address, lower bool) (cid.Cid, error) {
	made, err := s.v1.MsigRemoveSigner(ctx, msig, proposer, signer, lower)
	return s.send(ctx, made, err)
}

package node

import (
	"bytes"
	"context"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	init7 "github.com/filecoin-project/specs-actors/v7/actors/builtin/init"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/multisig"
	cbg "github.com/whyrusleeping/cbor-gen"
	"golang.org/x/crypto/blake2b"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/types"
)

// msigAPI makes the messages of multisig wallets. It looks at no state but to
// tell who proposed what: a message about a wallet that does not exist fails on
// chain, as it would from anywhere.
type msigAPI struct{ reader }

// encoded is the CBOR of parameters.
func encoded(params cbg.CBORMarshaler) ([]byte, error) {
	var b bytes.Buffer
	if err := params.MarshalCBOR(&b); err != nil {
		return nil, api.Errorf(api.CodeInvalid, "encode parameters: %w", err)
	}
	return b.Bytes(), nil
}

// prototype is a message that its sender shall look at.
func prototype(from, to address.Address, value abi.TokenAmount, method abi.MethodNum, params cbg.CBORMarshaler) (*apinode.MessagePrototype, error) {
	for _, a := range []address.Address{from, to} {
		if a == address.Undef {
			return nil, api.Errorf(api.CodeInvalid, "name the wallet and who signs")
		}
	}
	body, err := encoded(params)
	if err != nil {
		return nil, err
	}
	return &apinode.MessagePrototype{Message: types.Message{
		From: from, To: to, Value: value, Method: method, Params: body, GasFeeCap: big.Zero(), GasPremium: big.Zero(),
	}}, nil
}

func (a msigAPI) MsigCreate(_ context.Context, required uint64, signers []address.Address, unlock abi.ChainEpoch, amount abi.TokenAmount, src address.Address, _ abi.TokenAmount) (*apinode.MessagePrototype, error) {
	switch {
	case len(signers) == 0:
		return nil, api.Errorf(api.CodeInvalid, "a multisig needs at least one signer")
	case required > uint64(len(signers)):
		return nil, api.Errorf(api.CodeInvalid, "%d signers cannot give %d approvals", len(signers), required)
	}
	if required == 0 {
		required = uint64(len(signers)) // the field's meaning of nothing said
	}
	if amount.Int == nil {
		amount = big.Zero()
	}
	body, err := encoded(&multisig.ConstructorParams{Signers: signers, NumApprovalsThreshold: required, UnlockDuration: unlock})
	if err != nil {
		return nil, err
	}
	return prototype(src, builtin.InitActorAddr, amount, builtin.MethodsInit.Exec, &init7.ExecParams{CodeCID: builtin.MultisigActorCodeID, ConstructorParams: body})
}

func (a msigAPI) MsigPropose(_ context.Context, msig, to address.Address, amount abi.TokenAmount, src address.Address, method abi.MethodNum, params []byte) (*apinode.MessagePrototype, error) {
	if to == address.Undef {
		return nil, api.Errorf(api.CodeInvalid, "propose: name the receiver")
	}
	if amount.Int == nil {
		amount = big.Zero()
	}
	return prototype(src, msig, big.Zero(), builtin.MethodsMultisig.Propose, &multisig.ProposeParams{To: to, Value: amount, Method: method, Params: params})
}

// proposal is a transaction as who approves or cancels it understands it.
type proposal struct {
	requester, to address.Address
	amount        abi.TokenAmount
	method        abi.MethodNum
	params        []byte
}

// answer approves or cancels a transaction; with a proposal only that one.
func (a msigAPI) answer(ctx context.Context, method abi.MethodNum, msig address.Address, txn uint64, src address.Address, p *proposal) (*apinode.MessagePrototype, error) {
	params := &multisig.TxnIDParams{ID: multisig.TxnID(txn)}
	if p != nil {
		who, err := a.idOf(ctx, p.requester)
		if err != nil {
			return nil, err
		}
		if p.amount.Int == nil {
			p.amount = big.Zero()
		}
		params.ProposalHash, err = multisig.ComputeProposalHash(&multisig.Transaction{
			To: p.to, Value: p.amount, Method: p.method, Params: p.params, Approved: []address.Address{who},
		}, blake2b.Sum256)
		if err != nil {
			return nil, api.Errorf(api.CodeInvalid, "hash of the proposal: %w", err)
		}
	}
	return prototype(src, msig, big.Zero(), method, params)
}

// idOf resolves a proposer: the chain knows signers by their IDs.
func (a msigAPI) idOf(ctx context.Context, addr address.Address) (address.Address, error) {
	if addr.Protocol() == address.ID {
		return addr, nil
	}
	view, err := (poolChain{a.reader}).stateAfter(ctx, a.store.Head())
	if err != nil {
		return address.Undef, err
	}
	id, err := view.LookupID(ctx, addr)
	return id, absent(err, "proposer %s", addr)
}

func (a msigAPI) MsigApprove(ctx context.Context, msig address.Address, txn uint64, src address.Address) (*apinode.MessagePrototype, error) {
	return a.answer(ctx, builtin.MethodsMultisig.Approve, msig, txn, src, nil)
}

func (a msigAPI) MsigApproveTxnHash(ctx context.Context, msig address.Address, txn uint64, proposer, to address.Address, amount abi.TokenAmount, src address.Address, method abi.MethodNum, params []byte) (*apinode.MessagePrototype, error) {
	return a.answer(ctx, builtin.MethodsMultisig.Approve, msig, txn, src, &proposal{proposer, to, amount, method, params})
}

func (a msigAPI) MsigCancel(ctx context.Context, msig address.Address, txn uint64, src address.Address) (*apinode.MessagePrototype, error) {
	return a.answer(ctx, builtin.MethodsMultisig.Cancel, msig, txn, src, nil)
}

// MsigCancelTxnHash: only the proposer may cancel, so src is the proposer.
func (a msigAPI) MsigCancelTxnHash(ctx context.Context, msig address.Address, txn uint64, to address.Address, amount abi.TokenAmount, src address.Address, method abi.MethodNum, params []byte) (*apinode.MessagePrototype, error) {
	return a.answer(ctx, builtin.MethodsMultisig.Cancel, msig, txn, src, &proposal{src, to, amount, method, params})
}

// onItself proposes, approves or cancels a call of a multisig's own method.
func (a msigAPI) onItself(ctx context.Context, act, method abi.MethodNum, msig, src address.Address, txn uint64, proposer address.Address, params cbg.CBORMarshaler) (*apinode.MessagePrototype, error) {
	body, err := encoded(params)
	if err != nil {
		return nil, err
	}
	if act == builtin.MethodsMultisig.Propose {
		return a.MsigPropose(ctx, msig, msig, big.Zero(), src, method, body)
	}
	return a.answer(ctx, act, msig, txn, src, &proposal{proposer, msig, big.Zero(), method, body})
}

func (a msigAPI) MsigAddPropose(ctx context.Context, msig, src, signer address.Address, raise bool) (*apinode.MessagePrototype, error) {
	return a.onItself(ctx, builtin.MethodsMultisig.Propose, builtin.MethodsMultisig.AddSigner, msig, src, 0, src, &multisig.AddSignerParams{Signer: signer, Increase: raise})
}

func (a msigAPI) MsigAddApprove(ctx context.Context, msig, src address.Address, txn uint64, proposer, signer address.Address, raise bool) (*apinode.MessagePrototype, error) {
	return a.onItself(ctx, builtin.MethodsMultisig.Approve, builtin.MethodsMultisig.AddSigner, msig, src, txn, proposer, &multisig.AddSignerParams{Signer: signer, Increase: raise})
}

func (a msigAPI) MsigAddCancel(ctx context.Context, msig, src address.Address, txn uint64, signer address.Address, raise bool) (*apinode.MessagePrototype, error) {
	return a.onItself(ctx, builtin.MethodsMultisig.Cancel, builtin.MethodsMultisig.AddSigner, msig, src, txn, src, &multisig.AddSignerParams{Signer: signer, Increase: raise})
}

func (a msigAPI) MsigSwapPropose(ctx context.Context, msig, src, old, fresh address.Address) (*apinode.MessagePrototype, error) {
	return a.onItself(ctx, builtin.MethodsMultisig.Propose, builtin.MethodsMultisig.SwapSigner, msig, src, 0, src, &multisig.SwapSignerParams{From: old, To: fresh})
}

func (a msigAPI) MsigSwapApprove(ctx context.Context, msig, src address.Address, txn uint64, proposer, old, fresh address.Address) (*apinode.MessagePrototype, error) {
	return a.onItself(ctx, builtin.MethodsMultisig.Approve, builtin.MethodsMultisig.SwapSigner, msig, src, txn, proposer, &multisig.SwapSignerParams{From: old, To: fresh})
}

func (a msigAPI) MsigSwapCancel(ctx context.Context, msig, src address.Address, txn uint64, old, fresh address.Address) (*apinode.MessagePrototype, error) {
	return a.onItself(ctx, builtin.MethodsMultisig.Cancel, builtin.MethodsMultisig.SwapSigner, msig, src, txn, src, &multisig.SwapSignerParams{From: old, To: fresh})
}

func (a msigAPI) MsigRemoveSigner(ctx context.Context, msig, proposer, signer address.Address, lower bool) (*apinode.MessagePrototype, error) {
	return a.onItself(ctx, builtin.MethodsMultisig.Propose, builtin.MethodsMultisig.RemoveSigner, msig, proposer, 0, proposer, &multisig.RemoveSignerParams{Signer: signer, Decrease: lower})
}

package vm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"

	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// Result is the outcome of one message.
type Result struct {
	Receipt types.MessageReceipt
	// Err says why the exit code is not 0; nil otherwise.
	Err error
	// Penalty is what the block's producer owes, MinerTip what it earns, in attoFIL.
	Penalty, MinerTip abi.TokenAmount
	Outputs           GasOutputs
	// Trace is nil unless Config.Trace is set or the message never ran.
	Trace    *Trace
	Duration time.Duration
}

// ApplyMessage executes a message of a block: checks of the sender, payment for
// gas, the calls, and the split of the deposit, in the order of node-nv15.md
// 2.1. An error is a failure of this machine or a message that no valid block
// can hold; then the state is not to be used any more.
func (vm *VM) ApplyMessage(ctx context.Context, cm types.ChainMsg) (*Result, error) {
	started := vm.now()
	msg := cm.VMMessage()
	if err := checkPayable(msg); err != nil {
		return nil, fmt.Errorf("apply message %s: %w", cm.Cid(), err)
	}
	res, err := vm.apply(ctx, msg, cm.ChainLength())
	if err != nil {
		return nil, fmt.Errorf("apply message %s: %w", cm.Cid(), err)
	}
	res.Duration = vm.since(started)
	return res, nil
}

// checkPayable refuses what cannot be charged at all.
func checkPayable(m *types.Message) error {
	switch {
	case m.GasLimit <= 0:
		return fmt.Errorf("gas limit %d is not positive", m.GasLimit)
	case m.GasFeeCap.Int == nil || m.GasPremium.Int == nil || m.Value.Int == nil:
		return errors.New("message without value or gas prices")
	}
	return nil
}

func (vm *VM) apply(ctx context.Context, msg *types.Message, length int) (*Result, error) {
	carry := onChainMessage(length)
	if carry.total() > msg.GasLimit {
		err := actorErrorf(exitcode.SysErrOutOfGas, "gas limit %d does not pay for carrying the message (%d)", msg.GasLimit, carry.total())
		return vm.rejected(err, carry.total()), nil
	}
	sender, reject, err := vm.checkSender(ctx, msg)
	if err != nil {
		return nil, err
	}
	if reject != nil {
		return vm.rejected(reject, msg.GasLimit), nil
	}
	deposit := msg.RequiredFunds()
	sender.Balance = big.Sub(sender.Balance, deposit)
	sender.Nonce++
	if err := vm.tree.SetActor(ctx, msg.From, sender); err != nil {
		return nil, err
	}

	mark := vm.tree.Snapshot()
	x, err := vm.newExecution(ctx, msg)
	if err != nil {
		return nil, err
	}
	ret, callErr, trace := x.runTop(msg, &carry)
	code, fatal := exitOf(callErr)
	if fatal != nil {
		return nil, fatal
	}
	if code == exitcode.Ok && len(ret) > 0 {
		if err := x.chargeReturn(trace, len(ret)); err != nil {
			code, callErr, ret = err.Code, err, nil
		}
	}
	if code != exitcode.Ok {
		vm.tree.Revert(mark)
		ret = nil
	}
	gasUsed := max(x.gasUsed, 0)
	outputs := ComputeGasOutputs(gasUsed, msg.GasLimit, vm.cfg.BaseFee, msg.GasFeeCap, msg.GasPremium)
	if err := vm.settle(ctx, msg.From, deposit, outputs); err != nil {
		return nil, err
	}
	return &Result{
		Receipt: types.MessageReceipt{ExitCode: code, Return: ret, GasUsed: gasUsed},
		Err:     callErr, Penalty: outputs.MinerPenalty, MinerTip: outputs.MinerTip,
		Outputs: outputs, Trace: trace,
	}, nil
}

// rejected is the result of a message that never ran: nothing is paid, and the
// block's producer answers for the gas.
func (vm *VM) rejected(why *ActorError, gas int64) *Result {
	out := zeroOutputs()
	out.MinerPenalty = big.Mul(vm.cfg.BaseFee, big.NewInt(gas))
	return &Result{
		Receipt: types.MessageReceipt{ExitCode: why.Code}, Err: why,
		Penalty: out.MinerPenalty, MinerTip: big.Zero(), Outputs: out,
	}
}

// checkSender returns the sender's record, or why the message must not run.
// Value is no part of the balance test.
func (vm *VM) checkSender(ctx context.Context, msg *types.Message) (*types.Actor, *ActorError, error) {
	act, err := vm.tree.GetActor(ctx, msg.From)
	if errors.Is(err, state.ErrActorNotFound) {
		return nil, actorErrorf(exitcode.SysErrSenderInvalid, "sender %s not found", msg.From), nil
	}
	if err != nil {
		return nil, nil, err
	}
	switch {
	case act.Code != builtin.AccountActorCodeID:
		return nil, actorErrorf(exitcode.SysErrSenderInvalid, "sender %s is no account", msg.From), nil
	case msg.Nonce != act.Nonce:
		return nil, actorErrorf(exitcode.SysErrSenderStateInvalid, "nonce %d, the sender's is %d", msg.Nonce, act.Nonce), nil
	case act.Balance.LessThan(msg.RequiredFunds()):
		return nil, actorErrorf(exitcode.SysErrSenderStateInvalid, "balance %s does not cover the gas deposit %s", act.Balance, msg.RequiredFunds()), nil
	}
	return act, nil, nil
}

// settle splits the deposit; the order of credits follows node-nv15.md 2.1.10.
func (vm *VM) settle(ctx context.Context, from address.Address, deposit abi.TokenAmount, out GasOutputs) error {
	for _, credit := range []struct {
		to     address.Address
		amount abi.TokenAmount
	}{
		{builtin.BurntFundsActorAddr, out.BaseFeeBurn},
		{builtin.RewardActorAddr, out.MinerTip},
		{builtin.BurntFundsActorAddr, out.OverEstimationBurn},
		{from, out.Refund},
	} {
		if credit.amount.Sign() < 0 {
			return fmt.Errorf("settle gas: negative amount %s for %s", credit.amount, credit.to)
		}
		if credit.amount.Sign() == 0 {
			continue
		}
		act, err := vm.tree.GetActor(ctx, credit.to)
		if err != nil {
			return fmt.Errorf("settle gas with %s: %w", credit.to, err)
		}
		act.Balance = big.Add(act.Balance, credit.amount)
		if err := vm.tree.SetActor(ctx, credit.to, act); err != nil {
			return fmt.Errorf("settle gas with %s: %w", credit.to, err)
		}
		deposit = big.Sub(deposit, credit.amount)
	}
	if !deposit.IsZero() {
		return fmt.Errorf("settle gas: %s of the deposit left over", deposit)
	}
	return nil
}

// ApplyImplicit executes a message that no one signed or pays for: rewards,
// cron, simulated calls. Gas is metered against the limit (without the price of
// carrying the message) and reported, the sender's nonce and balance stay. A
// failed call leaves no change. An error is a failure of this machine.
func (vm *VM) ApplyImplicit(ctx context.Context, msg *types.Message) (*Result, error) {
	started := vm.now()
	x, err := vm.newExecution(ctx, msg)
	if err != nil {
		return nil, fmt.Errorf("apply implicit message: %w", err)
	}
	mark := vm.tree.Snapshot()
	ret, callErr, trace := x.runTop(msg, nil)
	code, fatal := exitOf(callErr)
	if fatal != nil {
		return nil, fmt.Errorf("apply implicit message to %s method %d: %w", msg.To, msg.Method, fatal)
	}
	if code != exitcode.Ok {
		vm.tree.Revert(mark)
		ret = nil
	}
	return &Result{
		Receipt: types.MessageReceipt{ExitCode: code, Return: ret, GasUsed: x.gasUsed},
		Err:     callErr, Penalty: big.Zero(), MinerTip: big.Zero(), Outputs: zeroOutputs(),
		Trace: trace, Duration: vm.since(started),
	}, nil
}

// emptyArray is the state of an actor that has none: the CBOR of []. Its CID is
// the head of every such actor.
var (
	emptyArray = []byte{0x80}
	emptyHead  = types.Sum(emptyArray)
)

func (vm *VM) newExecution(ctx context.Context, msg *types.Message) (*execution, error) {
	if err := vm.buffer.Put(ctx, emptyHead, emptyArray); err != nil {
		return nil, err
	}
	return &execution{
		vm: vm, ctx: ctx, origin: msg.From, originNonce: msg.Nonce, gasLimit: msg.GasLimit,
	}, nil
}

// runTop executes frame 0, with the price of carrying the message first.
func (x *execution) runTop(msg *types.Message, carry *charge) ([]byte, error, *Trace) {
	c := call{from: msg.From, to: msg.To, value: msg.Value, method: msg.Method, params: msg.Params}
	root := &Trace{}
	var early *GasCharge
	if carry != nil {
		// The caller has checked that the limit covers it.
		x.gasUsed += carry.total()
		early = carry.traced()
	}
	var holder *frame
	if x.vm.cfg.Trace {
		holder = &frame{trace: root, depth: -1}
	}
	ret, err := x.send(holder, c)
	if !x.vm.cfg.Trace || len(root.Subcalls) == 0 {
		return ret, err, nil
	}
	top := root.Subcalls[0]
	top.Msg = msg
	if early != nil && x.vm.cfg.TraceGas {
		top.GasCharges = append([]*GasCharge{early}, top.GasCharges...)
	}
	return ret, err, top
}

// chargeReturn bills the return value of a successful message.
func (x *execution) chargeReturn(trace *Trace, length int) *ActorError {
	c := onChainReturn(length)
	err := x.tryCharge(&frame{execution: x, trace: trace}, c)
	if trace != nil && trace.MsgRct != nil {
		trace.MsgRct.GasUsed = x.gasUsed
		if err != nil {
			trace.MsgRct.ExitCode, trace.MsgRct.Return, trace.Error = err.Code, nil, err.Error()
		}
	}
	return err
}

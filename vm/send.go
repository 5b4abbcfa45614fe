package vm

import (
	"context"
	"errors"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"

	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// maxDepth is the deepest allowed nesting of calls; frame 0 has depth 0.
const maxDepth = 4096

// execution is the run of one top-level message with all calls it makes. Gas
// and the count of created actors belong to it, not to a frame, so neither is
// undone when a call is rolled back (node-nv15.md 2.5).
type execution struct {
	vm  *VM
	ctx context.Context

	origin      address.Address // as the message names it
	originNonce uint64

	gasLimit, gasUsed int64
	actorsMade        uint64
}

// call is the request that opens a frame.
type call struct {
	from, to address.Address
	value    abi.TokenAmount
	method   abi.MethodNum
	params   []byte
}

// frame is one call being executed.
type frame struct {
	*execution
	parent *frame
	depth  int
	// caller and receiver are ID addresses.
	caller, receiver address.Address
	value            abi.TokenAmount
	method           abi.MethodNum

	callerValidated bool
	// inTransaction forbids sends.
	inTransaction bool
	trace         *Trace
}

// tryCharge takes gas or says that there is not enough; then all of it is gone
// and only charges of zero or less pass.
func (x *execution) tryCharge(f *frame, c charge) *ActorError {
	if f != nil && f.trace != nil && x.vm.cfg.TraceGas {
		f.trace.GasCharges = append(f.trace.GasCharges, c.traced())
	}
	n := c.total()
	if x.gasUsed > x.gasLimit-n {
		had := x.gasUsed
		x.gasUsed = x.gasLimit
		return actorErrorf(exitcode.SysErrOutOfGas, "not enough gas: used %d of %d, %s needs %d", had, x.gasLimit, c.name, n)
	}
	x.gasUsed += n
	return nil
}

// send runs one call. The error is an *ActorError, an outcome, or a
// *FatalError. State changes of a failed call are the caller's to undo.
// A panic with an *ActorError is the caller's own failure.
func (x *execution) send(parent *frame, c call) (ret []byte, err error) {
	f, err := x.open(parent, &c)
	if err != nil {
		return nil, err
	}
	if f.trace != nil {
		started := x.vm.now()
		defer func() { f.finishTrace(started, ret, err) }()
	}
	callee, err := x.callee(f, c.to)
	if err != nil {
		return nil, err
	}
	if err := x.tryCharge(f, onInvocation(c.value, c.method)); err != nil {
		return nil, err
	}
	if hasValue(c.value) {
		if err := x.transfer(f.caller, f.receiver, c.value); err != nil {
			return nil, err
		}
	}
	if c.method == builtin.MethodSend {
		return nil, nil
	}
	return f.invoke(callee, c.params)
}

// open makes the frame. Too deep a nesting fails in the caller's frame.
func (x *execution) open(parent *frame, c *call) (*frame, error) {
	f := &frame{execution: x, parent: parent, value: c.value, method: c.method, receiver: c.to}
	if parent != nil {
		f.depth = parent.depth + 1
	}
	if f.depth > maxDepth {
		panic(actorErrorf(exitcode.SysErrForbidden, "call depth exceeds %d", maxDepth))
	}
	caller, err := x.vm.tree.LookupID(x.ctx, c.from)
	if errors.Is(err, state.ErrActorNotFound) {
		return nil, actorErrorf(exitcode.SysErrInvalidReceiver, "resolve sender %s: not found", c.from)
	} else if err != nil {
		return nil, fatalf("resolve sender %s: %w", c.from, err)
	}
	f.caller = caller
	if x.vm.cfg.Trace {
		f.trace = &Trace{Msg: c.message()}
		if parent != nil && parent.trace != nil {
			parent.trace.Subcalls = append(parent.trace.Subcalls, f.trace)
		}
	}
	return f, nil
}

func (c *call) message() *types.Message {
	value := c.value
	if value.Int == nil {
		value = big.Zero()
	}
	return &types.Message{
		To: c.to, From: c.from, Value: value, Method: c.method, Params: c.params,
		GasFeeCap: big.Zero(), GasPremium: big.Zero(),
	}
}

func (f *frame) finishTrace(started time.Time, ret []byte, err error) {
	f.trace.Duration = f.vm.since(started)
	code, fatal := exitOf(err)
	if fatal != nil {
		code = exitcode.SysErrIllegalInstruction
	}
	if err != nil {
		f.trace.Error = err.Error()
		ret = nil
	}
	f.trace.MsgRct = &types.MessageReceipt{ExitCode: code, Return: ret, GasUsed: f.gasUsed}
}

// callee finds the receiver, or makes an account for a key address that has
// none yet, and settles the frame's receiver.
func (x *execution) callee(f *frame, to address.Address) (*types.Actor, error) {
	id, err := x.vm.tree.LookupID(x.ctx, to)
	if err == nil {
		act, err := x.vm.tree.GetActor(x.ctx, id)
		if err == nil {
			f.receiver = id
			return act, nil
		}
		if !errors.Is(err, state.ErrActorNotFound) {
			return nil, fatalf("load receiver %s: %w", to, err)
		}
	} else if !errors.Is(err, state.ErrActorNotFound) {
		return nil, fatalf("resolve receiver %s: %w", to, err)
	}
	id, err = x.createAccount(f, to)
	if err != nil {
		return nil, err
	}
	f.receiver = id
	act, err := x.vm.tree.GetActor(x.ctx, id)
	if err != nil {
		return nil, fatalf("load new account %s: %w", to, err)
	}
	return act, nil
}

// createAccount makes an account actor for a key address. The charge precedes
// every check, so a receiver that cannot exist is paid for too (2.2b).
func (x *execution) createAccount(f *frame, to address.Address) (address.Address, error) {
	if err := x.tryCharge(f, onCreateActor()); err != nil {
		return address.Undef, err
	}
	if isZeroBLS(to) {
		return address.Undef, actorErrorf(exitcode.ErrIllegalArgument, "cannot create an account for the zero BLS address")
	}
	if p := to.Protocol(); p != address.SECP256K1 && p != address.BLS {
		return address.Undef, actorErrorf(exitcode.SysErrInvalidReceiver, "no actor at %s", to)
	}
	id, err := x.vm.tree.RegisterNewAddress(x.ctx, to)
	if err != nil {
		return address.Undef, fatalf("register %s: %w", to, err)
	}
	act := &types.Actor{Code: builtin.AccountActorCodeID, Head: emptyHead, Balance: big.Zero()}
	if err := x.vm.tree.SetActor(x.ctx, id, act); err != nil {
		return address.Undef, fatalf("create account %s: %w", to, err)
	}
	params, err := types.Encode(&to)
	if err != nil {
		return address.Undef, fatalf("encode address %s: %w", to, err)
	}
	_, err = x.sendGuarded(f, call{
		from: builtin.SystemActorAddr, to: id, value: big.Zero(),
		method: builtin.MethodConstructor, params: params,
	})
	return id, err
}

// sendGuarded is send with the state rolled back when the call fails.
func (x *execution) sendGuarded(parent *frame, c call) ([]byte, error) {
	mark := x.vm.tree.Snapshot()
	ret, err := x.send(parent, c)
	if err != nil {
		x.vm.tree.Revert(mark)
	}
	return ret, err
}

// transfer moves value between ID addresses, checking in the order of network
// version 15: sign, funds, then whether both ends are the same.
func (x *execution) transfer(from, to address.Address, value abi.TokenAmount) error {
	if value.Sign() < 0 {
		return actorErrorf(exitcode.SysErrForbidden, "transfer of negative value %s", value)
	}
	tree := x.vm.tree
	sender, err := tree.GetActor(x.ctx, from)
	if err != nil {
		return fatalf("transfer from %s: %w", from, err)
	}
	if sender.Balance.LessThan(value) {
		return actorErrorf(exitcode.SysErrInsufficientFunds, "%s holds %s, less than the value %s", from, sender.Balance, value)
	}
	if from == to {
		return nil
	}
	receiver, err := tree.GetActor(x.ctx, to)
	if err != nil {
		return fatalf("transfer to %s: %w", to, err)
	}
	sender.Balance = big.Sub(sender.Balance, value)
	receiver.Balance = big.Add(receiver.Balance, value)
	if err := tree.SetActor(x.ctx, from, sender); err != nil {
		return fatalf("transfer from %s: %w", from, err)
	}
	if err := tree.SetActor(x.ctx, to, receiver); err != nil {
		return fatalf("transfer to %s: %w", to, err)
	}
	return nil
}

// isZeroBLS recognises the address of the identity point of G1.
func isZeroBLS(a address.Address) bool {
	if a.Protocol() != address.BLS {
		return false
	}
	p := a.Payload()
	if p[0] != 0xc0 {
		return false
	}
	for _, b := range p[1:] {
		if b != 0 {
			return false
		}
	}
	return true
}

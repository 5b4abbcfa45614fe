package vm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/cbor"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/go-state-types/network"
	"github.com/filecoin-project/go-state-types/rt"
	"github.com/filecoin-project/specs-actors/v7/actors/runtime"
	"github.com/ipfs/go-cid"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

var log = logging.Logger("vm")

var _ runtime.Runtime = (*frame)(nil)

// abort ends the running method; guard turns it into the call's error.
func abort(code exitcode.ExitCode, format string, args ...any) {
	panic(actorErrorf(code, format, args...))
}

func (f *frame) chargeOrAbort(c charge) {
	if err := f.tryCharge(f, c); err != nil {
		panic(err)
	}
}

// Caller is the ID address of the immediate caller.
func (f *frame) Caller() address.Address { return f.caller }

// Receiver is the ID address of the actor that runs.
func (f *frame) Receiver() address.Address { return f.receiver }

// ValueReceived was credited before the method started.
func (f *frame) ValueReceived() abi.TokenAmount { return f.value }

// NetworkVersion is the one version this machine executes.
func (f *frame) NetworkVersion() network.Version { return params.MachineVersion }

// CurrEpoch is the epoch of the execution.
func (f *frame) CurrEpoch() abi.ChainEpoch { return f.vm.cfg.Epoch }

// BaseFee of the executed tipset, in attoFIL per gas.
func (f *frame) BaseFee() abi.TokenAmount { return f.vm.cfg.BaseFee }

// TotalFilCircSupply is constant for the execution.
func (f *frame) TotalFilCircSupply() abi.TokenAmount { return f.vm.cfg.CircSupply }

// Context is the context of the Apply call.
func (f *frame) Context() context.Context { return f.ctx }

// StartSpan does nothing: actors' own spans are not recorded.
func (f *frame) StartSpan(string) func() { return func() {} }

// ChargeGas takes what an actor bills for itself; the virtual part is only traced.
func (f *frame) ChargeGas(name string, gas, virtual int64) {
	f.chargeOrAbort(charge{name: name, compute: gas, virtualCompute: virtual})
}

// Log passes actors' remarks to the node's log at debug level.
func (f *frame) Log(_ rt.LogLevel, msg string, args ...any) {
	if !log.LevelEnabled(logging.LevelDebug) {
		return // The actors remark on every sector; not even the text is made.
	}
	log.Debugf("actor %s at epoch %d: "+msg, append([]any{f.receiver, f.vm.cfg.Epoch}, args...)...)
}

// Abortf ends the method with an exit code.
func (f *frame) Abortf(code exitcode.ExitCode, msg string, args ...any) { abort(code, msg, args...) }

func (f *frame) markValidated() {
	if f.callerValidated {
		abort(exitcode.SysErrorIllegalActor, "method validates its caller twice")
	}
	f.callerValidated = true
}

// ValidateImmediateCallerAcceptAny lets any caller pass.
func (f *frame) ValidateImmediateCallerAcceptAny() { f.markValidated() }

// ValidateImmediateCallerIs aborts unless the caller is one of the ID addresses.
func (f *frame) ValidateImmediateCallerIs(addrs ...address.Address) {
	f.markValidated()
	for _, a := range addrs {
		if a == f.caller {
			return
		}
	}
	abort(exitcode.SysErrForbidden, "caller %s is not one of %s", f.caller, addrs)
}

// ValidateImmediateCallerType aborts unless the caller's code is in the set.
func (f *frame) ValidateImmediateCallerType(codes ...cid.Cid) {
	f.markValidated()
	have, ok := f.GetActorCodeCID(f.caller)
	if !ok {
		panic(fatalf("code of caller %s: not found", f.caller))
	}
	for _, c := range codes {
		if c.Equals(have) {
			return
		}
	}
	abort(exitcode.SysErrForbidden, "caller %s has code %s, not one of %s", f.caller, have, codes)
}

// lookup returns nil when there is no actor at the address.
func (f *frame) lookup(a address.Address) *types.Actor {
	act, err := f.vm.tree.GetActor(f.ctx, a)
	if errors.Is(err, state.ErrActorNotFound) {
		return nil
	}
	if err != nil {
		panic(fatalf("load actor %s: %w", a, err))
	}
	return act
}

func (f *frame) setActor(a address.Address, act *types.Actor) {
	if err := f.vm.tree.SetActor(f.ctx, a, act); err != nil {
		panic(fatalf("set actor %s: %w", a, err))
	}
}

// CurrentBalance of the receiver; zero when it has deleted itself.
func (f *frame) CurrentBalance() abi.TokenAmount {
	act := f.lookup(f.receiver)
	if act == nil {
		return big.Zero()
	}
	return act.Balance
}

// ResolveAddress returns the ID form; free of gas. Existence of an ID address
// is not checked.
func (f *frame) ResolveAddress(a address.Address) (address.Address, bool) {
	id, err := f.vm.tree.LookupID(f.ctx, a)
	if errors.Is(err, state.ErrActorNotFound) {
		return address.Undef, false
	}
	if err != nil {
		panic(fatalf("resolve %s: %w", a, err))
	}
	return id, true
}

// GetActorCodeCID is free of gas.
func (f *frame) GetActorCodeCID(a address.Address) (cid.Cid, bool) {
	act := f.lookup(a)
	if act == nil {
		return cid.Undef, false
	}
	return act.Code, true
}

// GetRandomnessFromTickets draws from the ticket chain.
func (f *frame) GetRandomnessFromTickets(tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte) abi.Randomness {
	r, err := f.vm.cfg.Rand.TicketRandomness(f.ctx, tag, epoch, entropy)
	if err != nil {
		panic(fatalf("ticket randomness of epoch %d: %w", epoch, err))
	}
	return r
}

// GetRandomnessFromBeacon draws from the beacon.
func (f *frame) GetRandomnessFromBeacon(tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte) abi.Randomness {
	r, err := f.vm.cfg.Rand.BeaconRandomness(f.ctx, tag, epoch, entropy)
	if err != nil {
		panic(fatalf("beacon randomness of epoch %d: %w", epoch, err))
	}
	return r
}

// StoreGet reads an object. A block that is missing or not what the actor
// expects is this machine's failure: every state it executes was complete when
// it was made.
func (f *frame) StoreGet(c cid.Cid, o cbor.Unmarshaler) bool {
	f.chargeOrAbort(onIpldGet())
	data, err := f.vm.buffer.Get(f.ctx, c)
	if err != nil {
		panic(fatalf("read object %s: %w", c, err))
	}
	if err := o.UnmarshalCBOR(bytes.NewReader(data)); err != nil {
		panic(fatalf("decode object %s as %T: %w", c, o, err))
	}
	return true
}

// StorePut writes an object and returns its CID.
func (f *frame) StorePut(o cbor.Marshaler) cid.Cid {
	data, err := types.Encode(o)
	if err != nil {
		abort(exitcode.ErrSerialization, "encode %T: %s", o, err)
	}
	f.chargeOrAbort(onIpldPut(len(data)))
	c := types.Sum(data)
	if err := f.vm.buffer.Put(f.ctx, c, data); err != nil {
		panic(fatalf("write object %s: %w", c, err))
	}
	return c
}

// StateCreate stores the first state of an actor.
func (f *frame) StateCreate(o cbor.Marshaler) { f.commit(emptyHead, f.StorePut(o)) }

// StateReadonly loads the actor's state, one charged read each time.
func (f *frame) StateReadonly(o cbor.Unmarshaler) {
	act := f.lookup(f.receiver)
	if act == nil {
		abort(exitcode.SysErrorIllegalArgument, "no actor %s to read state of", f.receiver)
	}
	f.StoreGet(act.Head, o)
}

// StateTransaction loads the state, runs the body with sends forbidden, and
// always writes the state back.
func (f *frame) StateTransaction(o cbor.Er, body func()) {
	if o == nil {
		abort(exitcode.SysErrorIllegalActor, "transaction without a state object")
	}
	act := f.lookup(f.receiver)
	if act == nil {
		abort(exitcode.SysErrorIllegalActor, "no actor %s for a transaction", f.receiver)
	}
	f.StoreGet(act.Head, o)
	f.inTransaction = true
	body()
	f.inTransaction = false
	f.commit(act.Head, f.StorePut(o))
}

// commit moves the actor's head. A head that is not the expected one is the
// actor's bug and counts as a panic of its code.
func (f *frame) commit(from, to cid.Cid) {
	act := f.lookup(f.receiver)
	if act == nil || act.Head != from {
		panic(fmt.Sprintf("state of %s changed under a commit from %s", f.receiver, from))
	}
	act.Head = to
	f.setActor(f.receiver, act)
}

// Send calls another actor. A failed call is rolled back and its code returned.
func (f *frame) Send(to address.Address, method abi.MethodNum, params cbor.Marshaler, value abi.TokenAmount, out cbor.Er) exitcode.ExitCode {
	if f.inTransaction {
		abort(exitcode.SysErrorIllegalActor, "send inside a transaction")
	}
	var data []byte
	if params != nil {
		var err error
		if data, err = types.Encode(params); err != nil {
			abort(exitcode.ErrSerialization, "encode parameters of a send: %s", err)
		}
	}
	ret, err := f.sendGuarded(f, call{from: f.receiver, to: to, value: value, method: method, params: data})
	code, fatal := exitOf(err)
	if fatal != nil {
		panic(fatal)
	}
	if code != exitcode.Ok {
		return code
	}
	if err := out.UnmarshalCBOR(bytes.NewReader(ret)); err != nil {
		abort(exitcode.ErrSerialization, "decode return of a send as %T: %s", out, err)
	}
	return exitcode.Ok
}

// NewActorAddress derives an address from the message's origin and the count
// of actors made so far, rolled back ones included.
func (f *frame) NewActorAddress() address.Address {
	key, err := f.resolveKey(f.origin, f.readFree)
	if err != nil {
		panic(fatalf("key of origin %s: %w", f.origin, err))
	}
	seed, err := types.Encode(&key)
	if err != nil {
		panic(fatalf("encode origin %s: %w", key, err))
	}
	seed = binary.BigEndian.AppendUint64(seed, f.originNonce)
	seed = binary.BigEndian.AppendUint64(seed, f.actorsMade)
	f.actorsMade++
	a, err := address.NewActorAddress(seed)
	if err != nil {
		panic(fatalf("make actor address: %w", err))
	}
	return a
}

// CreateActor puts an actor without state at an address.
func (f *frame) CreateActor(code cid.Cid, a address.Address) {
	if a == address.Undef {
		abort(exitcode.SysErrorIllegalArgument, "create actor at an undefined address")
	}
	kind, ok := f.vm.methods[code]
	if !ok {
		abort(exitcode.SysErrorIllegalArgument, "create actor of unknown code %s", code)
	}
	if kind.singleton {
		abort(exitcode.SysErrorIllegalArgument, "create a second singleton %s", code)
	}
	if f.lookup(a) != nil {
		abort(exitcode.SysErrorIllegalArgument, "actor %s exists already", a)
	}
	f.chargeOrAbort(onCreateActor())
	f.setActor(a, &types.Actor{Code: code, Head: emptyHead, Balance: big.Zero()})
}

// DeleteActor removes the receiver and hands its balance on.
func (f *frame) DeleteActor(beneficiary address.Address) {
	f.chargeOrAbort(onDeleteActor())
	act := f.lookup(f.receiver)
	if act == nil {
		abort(exitcode.SysErrorIllegalActor, "delete actor %s: not found", f.receiver)
	}
	if act.Balance.Sign() > 0 {
		heir, ok := f.ResolveAddress(beneficiary)
		if !ok {
			abort(exitcode.SysErrorIllegalArgument, "beneficiary %s not found", beneficiary)
		}
		if heir == f.receiver {
			abort(exitcode.SysErrorIllegalArgument, "beneficiary is the deleted actor")
		}
		if err := f.transfer(f.receiver, heir, act.Balance); err != nil {
			panic(fatalf("hand on balance of %s: %w", f.receiver, err))
		}
	}
	if err := f.vm.tree.DeleteActor(f.ctx, f.receiver); err != nil {
		panic(fatalf("delete actor %s: %w", f.receiver, err))
	}
}

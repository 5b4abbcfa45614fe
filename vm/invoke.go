package vm

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime/debug"

	"github.com/filecoin-project/go-state-types/cbor"
	"github.com/filecoin-project/go-state-types/exitcode"

	"github.com/filecoin-venus/venus/types"
)

// invoke runs the method of the callee as it was loaded before the transfer.
func (f *frame) invoke(callee *types.Actor, params []byte) ([]byte, error) {
	kind, ok := f.vm.methods[callee.Code]
	if !ok {
		return nil, actorErrorf(exitcode.SysErrorIllegalActor, "%s has code %s, which is no actor of this network version", f.receiver, callee.Code)
	}
	m := kind.lookup(f.method)
	if m == nil {
		return nil, actorErrorf(exitcode.SysErrInvalidMethod, "%s has no method %d", f.receiver, f.method)
	}
	arg, err := m.decode(params)
	if err != nil {
		return nil, actorErrorf(exitcode.ErrSerialization, "parameters of method %d: %s", f.method, err)
	}
	var out reflect.Value
	err = f.guard(func() {
		out = m.fn.Call([]reflect.Value{reflect.ValueOf(f), arg})[0]
		if !f.callerValidated {
			abort(exitcode.SysErrorIllegalActor, "method %d of %s does not validate its caller", f.method, f.receiver)
		}
	})
	if err != nil {
		return nil, err
	}
	return encodeReturn(out)
}

// decode reads the parameter; bytes after it are ignored, as the network does.
func (m *method) decode(params []byte) (reflect.Value, error) {
	arg := reflect.New(m.params)
	u, ok := arg.Interface().(cbor.Unmarshaler)
	if !ok {
		return reflect.Value{}, fmt.Errorf("type %s cannot be decoded", m.params)
	}
	if err := u.UnmarshalCBOR(bytes.NewReader(params)); err != nil {
		return reflect.Value{}, err
	}
	if m.addressed && hasDelegated(arg) {
		return reflect.Value{}, fmt.Errorf("address of an unknown class")
	}
	return arg, nil
}

func encodeReturn(out reflect.Value) ([]byte, error) {
	if isNothing(out) {
		return nil, nil
	}
	v, ok := out.Interface().(cbor.Marshaler)
	if !ok {
		return nil, actorErrorf(exitcode.SysErrInvalidMethod, "return type %s cannot be encoded", out.Type())
	}
	data, err := types.Encode(v)
	if err != nil {
		return nil, actorErrorf(exitcode.SysErrSenderStateInvalid, "encode return: %s", err)
	}
	return data, nil
}

// guard runs actor code and turns its panics into errors: aborts keep their
// code, machine failures stay fatal, anything else is the actor's fault.
func (f *frame) guard(body func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *ActorError:
			err = r
		case *FatalError:
			err = r
		default:
			log.Warnf("actor %s method %d panicked: %v\n%s", f.receiver, f.method, r, debug.Stack())
			err = actorErrorf(exitcode.SysErrIllegalInstruction, "panic in actor code: %v", r)
		}
	}()
	body()
	return nil
}

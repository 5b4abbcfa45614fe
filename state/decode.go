package state

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/cbor"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/exported"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/types"
)

// DecodeActor returns an actor's record and its state object as the actors'
// library defines it.
func (v *View) DecodeActor(ctx context.Context, addr address.Address) (*types.Actor, any, error) {
	act, err := v.Actor(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range exported.BuiltinActors() {
		if a.Code() != act.Code {
			continue
		}
		st := a.State()
		if err := v.store.Get(ctx, act.Head, st); err != nil {
			return nil, nil, fmt.Errorf("load state of %s: %w", addr, err)
		}
		return act, st, nil
	}
	return nil, nil, fmt.Errorf("state of %s: code %s is not a builtin actor of version 7", addr, act.Code)
}

// method returns the type of a builtin method: func(Runtime, *Params) Return.
func method(code cid.Cid, num abi.MethodNum) (reflect.Type, error) {
	for _, a := range exported.BuiltinActors() {
		if a.Code() != code {
			continue
		}
		exports := a.Exports()
		if num == 0 || uint64(num) >= uint64(len(exports)) || exports[num] == nil {
			return nil, fmt.Errorf("actor code %s has no method %d", code, num)
		}
		return reflect.TypeOf(exports[num]), nil
	}
	return nil, fmt.Errorf("code %s is not a builtin actor of version 7", code)
}

// DecodeParams decodes the parameters of a builtin actor's method.
func DecodeParams(code cid.Cid, num abi.MethodNum, params []byte) (any, error) {
	t, err := method(code, num)
	if err != nil {
		return nil, err
	}
	return decodeAs(t.In(1), params)
}

// EncodeParams encodes the parameters of a builtin actor's method from the JSON
// form of what DecodeParams returns. A method without parameters takes null.
func EncodeParams(code cid.Cid, num abi.MethodNum, params []byte) (raw []byte, err error) {
	defer func() {
		// The actors' encoders are made for whole objects, a caller may give halves.
		if p := recover(); p != nil {
			raw, err = nil, fmt.Errorf("parameters of method %d are not whole: %v", num, p)
		}
	}()
	t, err := method(code, num)
	if err != nil {
		return nil, err
	}
	v, ok := reflect.New(t.In(1).Elem()).Interface().(cbor.Marshaler)
	if !ok {
		return nil, fmt.Errorf("%s has no encoding", t.In(1))
	}
	if t.In(1) == reflect.TypeFor[*abi.EmptyValue]() {
		if s := string(bytes.TrimSpace(params)); s != "" && s != "null" && s != "{}" {
			return nil, fmt.Errorf("the method takes no parameters, not %.40s", s)
		}
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(params))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return nil, fmt.Errorf("read %s: %w", t.In(1).Elem(), err)
	}
	var b bytes.Buffer
	if err := v.MarshalCBOR(&b); err != nil {
		return nil, fmt.Errorf("encode %s: %w", t.In(1).Elem(), err)
	}
	return b.Bytes(), nil
}

// DecodeReturn decodes the return value of a builtin actor's method.
func DecodeReturn(code cid.Cid, num abi.MethodNum, ret []byte) (any, error) {
	t, err := method(code, num)
	if err != nil {
		return nil, err
	}
	return decodeAs(t.Out(0), ret)
}

func decodeAs(t reflect.Type, b []byte) (any, error) {
	v, ok := reflect.New(t.Elem()).Interface().(cbor.Unmarshaler)
	if !ok {
		return nil, fmt.Errorf("%s has no encoding", t)
	}
	if len(b) == 0 {
		return nil, nil
	}
	if err := v.UnmarshalCBOR(bytes.NewReader(b)); err != nil {
		return nil, fmt.Errorf("decode %s: %w", t, err)
	}
	return v, nil
}

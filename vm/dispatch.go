package vm

import (
	"reflect"
	"sync"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/rt"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/exported"
	"github.com/ipfs/go-cid"
)

// method is one exported method of a built-in actor, ready to be called.
type method struct {
	fn     reflect.Value
	params reflect.Type // what the parameter points to
	// addressed tells that the parameter's type can hold an address.
	addressed bool
}

// actorKind is one built-in actor: its methods by number, nil where there is
// none.
type actorKind struct {
	methods   []*method
	singleton bool
}

type methodTable map[cid.Cid]*actorKind

var builtinMethods = sync.OnceValue(func() methodTable {
	table := methodTable{}
	for _, a := range exported.BuiltinActors() {
		kind := &actorKind{singleton: rt.IsSingletonActor(a)}
		for _, export := range a.Exports() {
			kind.methods = append(kind.methods, newMethod(export))
		}
		table[a.Code()] = kind
	}
	return table
})

func newMethod(export any) *method {
	if export == nil {
		return nil
	}
	fn := reflect.ValueOf(export)
	params := fn.Type().In(1).Elem()
	return &method{fn: fn, params: params, addressed: holdsAddress(params, map[reflect.Type]bool{})}
}

// lookup finds a method; nil when the actor has none of that number.
func (k *actorKind) lookup(n abi.MethodNum) *method {
	if uint64(n) >= uint64(len(k.methods)) {
		return nil
	}
	return k.methods[n]
}

var addressType = reflect.TypeOf(address.Address{})

// holdsAddress tells whether a value of a type can contain an address.
func holdsAddress(t reflect.Type, seen map[reflect.Type]bool) bool {
	if t == addressType {
		return true
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return holdsAddress(t.Elem(), seen)
	case reflect.Map:
		return holdsAddress(t.Key(), seen) || holdsAddress(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if t.Field(i).IsExported() && holdsAddress(t.Field(i).Type, seen) {
				return true
			}
		}
	}
	return false
}

// hasDelegated tells whether a decoded parameter contains an address of the
// delegated class. Network version 15 does not know that class, so bytes that
// hold one must fail to decode; the address library of later networks lets
// them through.
func hasDelegated(v reflect.Value) bool {
	if v.Type() == addressType {
		return v.Interface().(address.Address).Protocol() == address.Delegated
	}
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && hasDelegated(v.Elem())
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return false
		}
		for i := range v.Len() {
			if hasDelegated(v.Index(i)) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && hasDelegated(v.Field(i)) {
				return true
			}
		}
	}
	return false
}

// isNothing tells whether a method returns nothing to encode. A nil of another
// type is encoded, as null.
func isNothing(v reflect.Value) bool {
	_, empty := v.Interface().(*abi.EmptyValue)
	return empty
}

package rpc

import (
	"reflect"

	"github.com/filecoin-project/go-state-types/big"
)

var amountType = reflect.TypeFor[big.Int]()

// holdsAmount tells whether a value of type t holds an amount that JSON would
// reach without its address. There an amount that was never set is written as
// "<nil>", which nobody can read; behind pointers and in slices it is "0".
func holdsAmount(t reflect.Type) bool {
	switch {
	case t == amountType:
		return true
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && holdsAmount(f.Type) {
				return true
			}
		}
	case t.Kind() == reflect.Array, t.Kind() == reflect.Map:
		return holdsAmount(t.Elem())
	}
	return false
}

// setAmounts returns v with amounts that were never set as zero.
func setAmounts(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	setAmountsIn(out)
	return out
}

func setAmountsIn(v reflect.Value) {
	t := v.Type()
	switch {
	case t == amountType:
		if v.Interface().(big.Int).Int == nil {
			v.Set(reflect.ValueOf(big.Zero()))
		}
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			if t.Field(i).IsExported() {
				setAmountsIn(v.Field(i))
			}
		}
	case t.Kind() == reflect.Array:
		for i := range v.Len() {
			setAmountsIn(v.Index(i))
		}
	case t.Kind() == reflect.Map && holdsAmount(t.Elem()) && !v.IsNil():
		m := reflect.MakeMapWithSize(t, v.Len())
		for it := v.MapRange(); it.Next(); {
			m.SetMapIndex(it.Key(), setAmounts(it.Value()))
		}
		v.Set(m)
	}
}

package rpc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"

	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api"
)

var log = logging.Logger("venus-rpc")

// errPanic marks the error of a method that panicked.
var errPanic = errors.New("panic")

var (
	errType = reflect.TypeFor[error]()
	ctxType = reflect.TypeFor[context.Context]()
)

// internals returns the struct of functions inside a generated proxy.
func internals(proxy any) (reflect.Value, error) {
	v := reflect.ValueOf(proxy)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}, fmt.Errorf("proxy %T: want a pointer to a generated proxy", proxy)
	}
	in := v.Elem().FieldByName("Internal")
	if !in.IsValid() || in.Kind() != reflect.Struct {
		return reflect.Value{}, fmt.Errorf("proxy %T has no field Internal", proxy)
	}
	return in, nil
}

// Guard fills a generated proxy with calls to impl that check the caller's
// permission first. A context without a caller, that is one which does not come
// from a server, may do nothing. A panic in a method becomes an error.
func Guard(impl, proxy any) error {
	in, err := internals(proxy)
	if err != nil {
		return err
	}
	iv := reflect.ValueOf(impl)
	for i := range in.NumField() {
		f := in.Type().Field(i)
		need, err := api.ParsePermission(f.Tag.Get("perm"))
		if err != nil {
			return fmt.Errorf("method %s: %w", f.Name, err)
		}
		fn := iv.MethodByName(f.Name)
		if !fn.IsValid() || fn.Type() != f.Type {
			return fmt.Errorf("%T has no method %s %s", impl, f.Name, f.Type)
		}
		in.Field(i).Set(reflect.MakeFunc(f.Type, guarded(f, need, fn)))
	}
	return nil
}

func guarded(f reflect.StructField, need api.Permission, fn reflect.Value) func([]reflect.Value) []reflect.Value {
	amounts := holdsAmount(f.Type.Out(0))
	return func(args []reflect.Value) (out []reflect.Value) {
		ctx, _ := args[0].Interface().(context.Context)
		if sess := sessionOf(ctx); sess != nil {
			begun := sess.now()
			defer func() { sess.called(f.Name, codeOf(out), sess.now().Sub(begun)) }()
		}
		defer func() {
			if r := recover(); r != nil {
				log.Errorf("method %s panicked: %v\n%s", f.Name, r, debug.Stack())
				out = failed(f.Type, api.Errorf(api.CodeInternal, "method %s failed inside: %w", f.Name, errPanic).
					WithHint("this is a bug; the service's log has the details"))
			}
		}()
		caller, _ := CallerFrom(ctx)
		if !caller.May(need) {
			return failed(f.Type, missing(f.Name, need))
		}
		out = fn.Call(args)
		last := len(out) - 1
		if err, ok := out[last].Interface().(error); ok && err != nil {
			return failed(f.Type, err)
		}
		if amounts {
			out[0] = setAmounts(out[0])
		}
		return out
	}
}

// codeOf names how a call ended.
func codeOf(out []reflect.Value) string {
	if len(out) > 0 {
		if err, ok := out[len(out)-1].Interface().(error); ok && err != nil {
			return string(api.Explain(err).Code)
		}
	}
	return "ok"
}

// missing is the refusal of a call, in the field's words.
func missing(method string, need api.Permission) error {
	return api.Errorf(api.CodePermission, "missing permission to invoke '%s' (need '%s')", method, need).
		WithHint("pass a token with permission %s", need)
}

// failed makes the results of a call that only returns an error.
func failed(t reflect.Type, err error) []reflect.Value {
	out := make([]reflect.Value, t.NumOut())
	for i := range out {
		out[i] = reflect.Zero(t.Out(i))
	}
	e := reflect.New(errType).Elem()
	e.Set(reflect.ValueOf(toWire(err)))
	out[len(out)-1] = e
	return out
}

// Permissions lists the methods of a proxy with the permission each needs.
func Permissions(proxy any) (map[string]api.Permission, error) {
	in, err := internals(proxy)
	if err != nil {
		return nil, err
	}
	out := make(map[string]api.Permission, in.NumField())
	for i := range in.NumField() {
		f := in.Type().Field(i)
		if out[f.Name], err = api.ParsePermission(f.Tag.Get("perm")); err != nil {
			return nil, fmt.Errorf("method %s: %w", f.Name, err)
		}
	}
	return out, nil
}

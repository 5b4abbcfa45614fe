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
		defer func() {
			if r := recover(); r != nil {
				log.Errorf("method %s panicked: %v\n%s", f.Name, r, debug.Stack())
				out = failed(f.Type, api.Errorf(api.CodeInternal, "method %s failed inside: %w", f.Name, errPanic).
					WithHint("this is a bug; the service's log has the details"))
			}
		}()
		ctx, _ := args[0].Interface().(context.Context)
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

// Describe returns an OpenRPC document of a proxy's methods: the answer of
// Discover.
func Describe(title, version, namespace string, proxy any) (map[string]any, error) {
	in, err := internals(proxy)
	if err != nil {
		return nil, err
	}
	methods := make([]any, 0, in.NumField())
	for i := range in.NumField() {
		f := in.Type().Field(i)
		params := []any{}
		for p := 1; p < f.Type.NumIn(); p++ {
			params = append(params, map[string]any{
				"name": fmt.Sprintf("p%d", p), "required": true,
				"schema": map[string]any{"title": f.Type.In(p).String()},
			})
		}
		m := map[string]any{
			"name": namespace + "." + f.Name, "params": params, "paramStructure": "by-position",
			"x-permission": f.Tag.Get("perm"),
		}
		if f.Type.NumOut() == 2 {
			m["result"] = map[string]any{"name": "result", "schema": map[string]any{"title": f.Type.Out(0).String()}}
			m["x-stream"] = f.Type.Out(0).Kind() == reflect.Chan
		}
		methods = append(methods, m)
	}
	return map[string]any{
		"openrpc": "1.2.6", "info": map[string]any{"title": title, "version": version}, "methods": methods,
	}, nil
}

// Package openrpc describes contracts: an OpenRPC document made from a
// generated proxy, whose tags carry permissions, comments and the names of
// parameters, and from the Go types of what goes in and comes out.
//
// Start at [Document]. schema.go turns types into JSON schemas; types that write
// their own JSON stand in a table there, and a type that does and is not in the
// table makes Document fail rather than describe it wrongly.
package openrpc

import (
	"fmt"
	"reflect"
	"strings"
)

// specVersion is the version of the OpenRPC specification.
const specVersion = "1.2.6"

// Document describes the methods of a proxy, given as a pointer, under a
// namespace. It depends on its arguments only.
func Document(title, version, namespace string, proxy any) (map[string]any, error) {
	v := reflect.ValueOf(proxy)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct || !v.Elem().FieldByName("Internal").IsValid() {
		return nil, fmt.Errorf("describe %T: want a pointer to a generated proxy", proxy)
	}
	t := v.Elem().FieldByName("Internal").Type()
	b := &builder{schemas: map[string]any{}, busy: map[reflect.Type]string{}}
	methods := make([]any, 0, t.NumField())
	for i := range t.NumField() {
		m, err := b.method(namespace, t.Field(i))
		if err != nil {
			return nil, err
		}
		methods = append(methods, m)
	}
	return map[string]any{
		"openrpc": specVersion, "info": map[string]any{"title": title, "version": version},
		"methods": methods, "components": map[string]any{"schemas": b.schemas},
	}, nil
}

func (b *builder) method(namespace string, f reflect.StructField) (map[string]any, error) {
	names := strings.FieldsFunc(f.Tag.Get("args"), func(r rune) bool { return r == ',' })
	if f.Type.NumIn() == 0 || len(names) != f.Type.NumIn()-1 {
		return nil, fmt.Errorf("method %s: %d names for %d parameters; generate the proxy again", f.Name, len(names), f.Type.NumIn()-1)
	}
	params := make([]any, len(names))
	for i, n := range names {
		s, err := b.schema(f.Type.In(i + 1))
		if err != nil {
			return nil, fmt.Errorf("parameter %s of %s: %w", n, f.Name, err)
		}
		params[i] = map[string]any{"name": n, "required": true, "schema": s}
	}
	out := map[string]any{
		"name": namespace + "." + f.Name, "summary": f.Tag.Get("doc"), "params": params, "paramStructure": "by-position",
		"x-permission": f.Tag.Get("perm"),
	}
	result := map[string]any{"name": "nothing", "schema": map[string]any{"type": "null"}}
	if f.Type.NumOut() == 2 {
		t := f.Type.Out(0)
		if t.Kind() == reflect.Chan {
			out["x-stream"] = true // over WebSocket only; the schema is of one value
			t = t.Elem()
		}
		s, err := b.schema(t)
		if err != nil {
			return nil, fmt.Errorf("result of %s: %w", f.Name, err)
		}
		result = map[string]any{"name": "result", "schema": s}
	}
	out["result"] = result
	return out, nil
}

package openrpc

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/types"
)

// builder collects the schemas of one document.
type builder struct {
	schemas map[string]any
	// busy maps the types that have a name in schemas, done or in work.
	busy map[reflect.Type]string
}

type object = map[string]any

// own are the types that write their own JSON, as they do.
func own(t reflect.Type) (object, bool) {
	text := func(what string) object { return object{"type": "string", "description": what} }
	switch t {
	case reflect.TypeFor[address.Address]():
		return text("an address, such as f01000"), true
	case reflect.TypeFor[big.Int]():
		return object{"type": "string", "pattern": "^-?[0-9]+$", "description": "a whole number; amounts are in attoFIL"}, true
	case reflect.TypeFor[cid.Cid]():
		return object{"type": []string{"object", "null"}, "required": []string{"/"}, "properties": object{"/": text("a CID")}}, true
	case reflect.TypeFor[bitfield.BitField]():
		return object{"type": "array", "items": object{"type": "integer"}, "description": "lengths of runs, the first of zeros: [5,1] is {5}"}, true
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}, true
	case reflect.TypeFor[time.Duration]():
		return object{"type": "integer", "description": "nanoseconds"}, true
	case reflect.TypeFor[json.RawMessage](), reflect.TypeFor[any]():
		return object{"description": "any value"}, true
	}
	return nil, false
}

// The fields of messages without their methods; on the wire both kinds carry
// their CID too.
type (
	message       types.Message
	signedMessage types.SignedMessage
)

// shadows are the types whose JSON has the shape of another type.
func shadows(t reflect.Type) (reflect.Type, bool) {
	switch t {
	case reflect.TypeFor[types.TipSetKey]():
		return reflect.TypeFor[[]cid.Cid](), true
	case reflect.TypeFor[types.Message]():
		return reflect.TypeFor[struct {
			message
			CID cid.Cid
		}](), true
	case reflect.TypeFor[types.SignedMessage]():
		return reflect.TypeFor[struct {
			signedMessage
			CID cid.Cid
		}](), true
	case reflect.TypeFor[types.TipSet]():
		return reflect.TypeFor[struct {
			Cids   []cid.Cid
			Blocks []*types.BlockHeader
			Height int64
		}](), true
	}
	return nil, false
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

func writesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonMarshaler) || p.Implements(textMarshaler)
}

// schema describes the JSON of a type.
func (b *builder) schema(t reflect.Type) (object, error) {
	if s, ok := own(t); ok {
		return s, nil
	}
	if t.Kind() == reflect.Pointer {
		return b.optional(t.Elem())
	}
	if s, ok := shadows(t); ok {
		return b.named(t, s)
	}
	if writesItself(t) {
		return nil, fmt.Errorf("%s writes its own JSON and is not in the table of package openrpc", t)
	}
	switch t.Kind() {
	case reflect.Struct:
		return b.named(t, t)
	case reflect.Slice, reflect.Array:
		return b.list(t)
	case reflect.Map:
		items, err := b.schema(t.Elem())
		return object{"type": "object", "additionalProperties": items}, err
	case reflect.String:
		return object{"type": "string"}, nil
	case reflect.Bool:
		return object{"type": "boolean"}, nil
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}, nil
	}
	return nil, fmt.Errorf("%s has no JSON", t)
}

func (b *builder) optional(t reflect.Type) (object, error) {
	s, err := b.schema(t)
	if err != nil {
		return nil, err
	}
	return object{"oneOf": []any{s, object{"type": "null"}}}, nil
}

func (b *builder) list(t reflect.Type) (object, error) {
	if t.Elem().Kind() == reflect.Uint8 && t.Kind() == reflect.Slice && !writesItself(t.Elem()) {
		return object{"type": []string{"string", "null"}, "contentEncoding": "base64"}, nil
	}
	items, err := b.schema(t.Elem())
	return object{"type": []string{"array", "null"}, "items": items}, err
}

// named describes a type once, under its name, with the fields of shape.
func (b *builder) named(t, shape reflect.Type) (object, error) {
	name, known := b.busy[t]
	if !known {
		name = strings.NewReplacer("*", "", "[", "_", "]", "").Replace(t.String())
		if t.Name() == "" {
			return b.fields(shape)
		}
		if _, taken := b.schemas[name]; taken {
			return nil, fmt.Errorf("two types are called %s", name)
		}
		b.busy[t], b.schemas[name] = name, object{}
		var s object
		var err error
		if shape.Kind() == reflect.Struct {
			s, err = b.fields(shape)
		} else {
			s, err = b.schema(shape)
		}
		if err != nil {
			return nil, err
		}
		b.schemas[name] = s
	}
	return object{"$ref": "#/components/schemas/" + name}, nil
}

// fields describes a struct as encoding/json writes it.
func (b *builder) fields(t reflect.Type) (object, error) {
	props := object{}
	if err := b.addFields(t, props); err != nil {
		return nil, err
	}
	return object{"type": "object", "properties": props}, nil
}

func (b *builder) addFields(t reflect.Type, props object) error {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "-" || (!f.IsExported() && !f.Anonymous) {
			continue
		}
		if f.Anonymous && tag == "" && f.Type.Kind() == reflect.Struct && !writesItself(f.Type) {
			if err := b.addFields(f.Type, props); err != nil {
				return err
			}
			continue
		}
		name := f.Name
		if tag != "" {
			name = tag
		}
		s, err := b.schema(f.Type)
		if err != nil {
			return fmt.Errorf("field %s of %s: %w", f.Name, t, err)
		}
		props[name] = s
	}
	return nil
}

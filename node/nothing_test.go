package node

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	apinode "github.com/filecoin-venus/venus/api/node"
)

// TestNothingForAnArgument: a client may send null, nothing or the zero of
// everything; each method answers or refuses, and none fails inside.
func TestNothingForAnArgument(t *testing.T) {
	x := newTour(t)
	// Methods that stream, wait for ever, or whose call means something.
	leave := map[string]bool{"Shutdown": true, "Closing": true, "ChainNotify": true, "MpoolSub": true, "SyncIncomingBlocks": true, "ChainExport": true}
	empty := map[string]string{"StateCall": `{"To":"t01000","From":"t01000","Method":99,"GasLimit":-5}`}
	in := reflect.TypeOf(apinode.FullNodeProxy{}.Internal)
	for i := range in.NumField() {
		f := in.Field(i)
		if leave[f.Name] {
			continue
		}
		for _, fill := range []func(reflect.Type) string{func(reflect.Type) string { return "null" }, zeroOf} {
			args := make([]string, f.Type.NumIn()-1)
			for j := range args {
				args[j] = fill(f.Type.In(j + 1))
			}
			if first := empty[f.Name]; first != "" {
				args[0] = first
			}
			if strings.HasPrefix(f.Name, "StateWait") {
				continue
			}
			got := x.raw(t, f.Name, args...)
			require.NotContains(t, got, "failed inside", "%s(%v)", f.Name, args)
			require.NotContains(t, got, "panic", "%s(%v)", f.Name, args)
		}
	}
}

// zeroOf is the JSON of a value that holds nothing.
func zeroOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Struct:
		switch t.String() {
		case "address.Address":
			return `"t01000"`
		case "types.TipSetKey":
			return "[]"
		case "cid.Cid":
			return "null"
		case "*bitfield.BitField":
			return "[0]"
		}
		return "{}"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return `""`
		}
		return "[{}]"
	case reflect.String:
		return `""`
	case reflect.Bool:
		return "false"
	}
	return "-1"
}

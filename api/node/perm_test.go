package node

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// table reads the field's permissions: lines "perm | Prefix: suffixes".
func table(t *testing.T) map[string]string {
	b, err := os.ReadFile("testdata/permissions.txt")
	require.NoError(t, err)
	out := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		perm, rest, ok := strings.Cut(line, " | ")
		require.True(t, ok, line)
		prefix, names, ok := strings.Cut(rest, ":")
		require.True(t, ok, line)
		for _, n := range strings.Fields(names) {
			out[strings.Trim(prefix, "-")+n] = perm
		}
	}
	return out
}

// TestPermissionsAreTheFields compares every method with the table of
// node-nv15.md 6.6; a method that the field does not know is listed here.
func TestPermissionsAreTheFields(t *testing.T) {
	known := table(t)
	for name, perm := range map[string]string{"NetFaults": "read", "NetForgive": "admin", "StateCheck": "admin", "ChainPrune": "admin"} {
		require.Empty(t, known[name], "%s is the field's", name)
		known[name] = perm
	}
	for _, proxy := range []any{FullNodeProxy{}, FullNodeV0Proxy{}} {
		in := reflect.TypeOf(proxy).Field(0).Type
		require.Greater(t, in.NumField(), 100)
		for i := range in.NumField() {
			f := in.Field(i)
			want, ok := known[f.Name]
			require.True(t, ok, "%s is in no table", f.Name)
			require.Equal(t, want, f.Tag.Get("perm"), f.Name)
		}
	}
}

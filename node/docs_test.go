package node

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/golden"
	"github.com/filecoin-venus/venus/rpc/openrpc"
)

// TestAPIDocs keeps docs/api as the contract is; -rewrite writes it.
func TestAPIDocs(t *testing.T) {
	dir := filepath.Join("..", "docs", "api")
	for file, d := range map[string]struct {
		version string
		proxy   any
	}{
		"openrpc-v1.json": {apinode.VersionV1.String(), new(apinode.FullNodeProxy)},
		"openrpc-v0.json": {apinode.VersionV0.String(), new(apinode.FullNodeV0Proxy)},
	} {
		doc, err := openrpc.Document("venus", d.version, apinode.Namespace, d.proxy)
		require.NoError(t, err)
		b, err := json.MarshalIndent(doc, "", "\t") // as `venus openrpc` prints it
		require.NoError(t, err)
		golden.Equal(t, filepath.Join(dir, file), string(b)+"\n")
	}
	golden.Equal(t, filepath.Join(dir, "methods.md"), methodsPage(t))
}

// methodsPage lists what is served and what is left out.
func methodsPage(t *testing.T) string {
	v1, v0 := served(t, apinode.FullNodeProxy{}), served(t, apinode.FullNodeV0Proxy{})
	var b strings.Builder
	b.WriteString("# Methods of the node\n\nMade from the contract by `go test ./node -run TestAPIDocs -rewrite`; do not edit.\n\n")
	fmt.Fprintf(&b, "`/rpc/v1` serves %d methods, `/rpc/v0` %d; %d of the field's methods are left out.\n", len(v1), len(v0), len(apinode.Excluded()))
	b.WriteString("Permissions include those below them: read, write, sign, admin. Without a token a caller may read.\n")
	b.WriteString("Parameters and results are in [openrpc-v1.json](openrpc-v1.json) and [openrpc-v0.json](openrpc-v0.json).\n\n## Served\n\n")
	b.WriteString("| method | permission | where | what |\n|---|---|---|---|\n")
	all := map[string]bool{}
	for _, m := range []map[string]reflect.StructField{v1, v0} {
		for n := range m {
			all[n] = true
		}
	}
	for _, n := range sorted(all) {
		f, where := v1[n], "both"
		if g, ok := v0[n]; !ok {
			where = "v1"
		} else if f.Name == "" {
			f, where = g, "v0"
		} else if f.Type != g.Type {
			where = "both, with other parameters or results"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", n, f.Tag.Get("perm"), where, strings.ReplaceAll(strings.TrimPrefix(f.Tag.Get("doc"), n+" "), "|", "or"))
	}
	b.WriteString("\n## Left out\n\nA call answers error -32601 with `data.code` \"unsupported\", the reason, and `data.hint`.\n\n")
	b.WriteString("| method | reason | instead |\n|---|---|---|\n")
	why := map[string]string{}
	out := map[string]bool{}
	for _, e := range apinode.Excluded() {
		out[e.Method], why[e.Method] = true, fmt.Sprintf("| %s | %s | %s |\n", e.Method, e.Reason, e.Hint)
	}
	for _, n := range sorted(out) {
		b.WriteString(why[n])
	}
	b.WriteString("\nMethods of network versions after 15 (`Eth*`, `F3*`, actor events, allocations and claims) are unknown here: this node\nruns networks of version 15.\n")
	return b.String()
}

func sorted(set map[string]bool) []string {
	out := make([]string, 0, len(set))
	for n := range set {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

package node

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/rpc"
)

// schema are the method names that a Lotus client's schema knows.
func schema(t *testing.T, version string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "api", "node", "testdata", "lotus-schema-"+version+".txt"))
	require.NoError(t, err)
	return strings.Fields(string(b))
}

// served are the methods of a proxy.
func served(t *testing.T, proxy any) map[string]reflect.StructField {
	t.Helper()
	out := map[string]reflect.StructField{}
	in := reflect.TypeOf(proxy).Field(0).Type
	for i := range in.NumField() {
		f := in.Field(i)
		out[f.Name] = f
		require.NotEmpty(t, f.Tag.Get("doc"), f.Name)
		_, err := api.ParsePermission(f.Tag.Get("perm"))
		require.NoError(t, err, f.Name)
	}
	return out
}

// v0Tests are where methods that only the older dialect has are called. What it
// shares with version 1, TestEveryMethod calls.
var v0Tests = map[string]func(*testing.T){
	"StateSearchMsgLimited": TestTheOlderDialect,
	"StateWaitMsgLimited":   TestMessageFromPoolToReceipt,
	"StateGetReceipt":       TestMessageFromPoolToReceipt,
}

// TestSurface: every method of the field's clients is served, and then tested,
// or it is left out with a reason and says so to whoever calls it.
func TestSurface(t *testing.T) {
	v1, v0 := served(t, apinode.FullNodeProxy{}), served(t, apinode.FullNodeV0Proxy{})
	for name := range v0 {
		_, both := v1[name]
		require.True(t, both || v0Tests[name] != nil, "nobody tests %s of version 0", name)
	}
	excluded := map[string]api.Exclusion{}
	for _, e := range apinode.Excluded() {
		require.NotContains(t, excluded, e.Method, "excluded twice")
		require.NotContains(t, v1, e.Method, "served and excluded")
		require.NotContains(t, v0, e.Method, "served and excluded")
		require.Greater(t, len(e.Reason), 20, e.Method)
		require.Greater(t, len(e.Hint), 20, e.Method)
		excluded[e.Method] = e
	}
	// The newer schema names version 1, the older one version 0.
	for version, have := range map[string]map[string]reflect.StructField{"3.0.2": v0, "4.2.0": v1} {
		names := schema(t, version)
		require.Empty(t, uncovered(names, have, excluded), "schema %s knows these, which are neither served nor excluded", version)
		require.Equal(t, []string{"ClientTeleport"}, uncovered(append(names, "ClientTeleport"), have, excluded), "the test would notice")
		left := 0
		for _, name := range names {
			if _, ok := excluded[name]; ok {
				left++
			}
		}
		t.Logf("schema %s: %d methods, %d served, %d excluded", version, len(names), len(names)-left, left)
	}
	n := theWorld(t).first(t, alone)
	for _, path := range []string{"/rpc/v0", "/rpc/v1"} {
		for name, e := range excluded {
			a := n.call(t, path, "Filecoin."+name)
			require.NotNil(t, a.Error, name)
			require.Equal(t, -32601, a.Error.Code, name)
			require.Equal(t, api.CodeUnsupported, a.Error.Data.Code, name)
			require.Contains(t, a.Error.Message, e.Reason)
			require.Equal(t, e.Hint, a.Error.Data.Hint)
		}
	}
	for version, path := range map[string]string{"3.0.2": "/rpc/v0", "4.2.0": "/rpc/v1"} {
		for _, name := range schema(t, version) {
			if _, left := excluded[name]; left {
				continue
			}
			// An odd number of parameters: each method must be known, none must run.
			a := n.call(t, path, "Filecoin."+name, "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11")
			require.NotNil(t, a.Error, name)
			require.NotContains(t, a.Error.Message, "not found", name)
		}
	}
}

// uncovered are the names that are neither served nor left out on purpose.
func uncovered(names []string, have map[string]reflect.StructField, excluded map[string]api.Exclusion) []string {
	var out []string
	for _, n := range names {
		_, here := have[n]
		_, left := excluded[n]
		if !here && !left {
			out = append(out, n)
		}
	}
	return out
}

// wireAnswer is what any client gets.
type wireAnswer struct {
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
		Data    struct {
			Code api.ErrorCode
			Hint string
		}
	}
}

// call asks without a token.
func (r *running) call(t *testing.T, path, method string, args ...string) wireAnswer {
	t.Helper()
	body := `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":[` + strings.Join(args, ",") + `]}`
	res, err := http.Post(r.http+path, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	var out wireAnswer
	require.NoError(t, json.Unmarshal(raw, &out), "%s: %s", method, raw)
	return out
}

// TestDiscover: what a running node says of itself is the committed document.
func TestDiscover(t *testing.T) {
	n := theWorld(t).first(t, alone)
	for path, file := range map[string]string{"/rpc/v1": "openrpc-v1.json", "/rpc/v0": "openrpc-v0.json"} {
		want, err := os.ReadFile(filepath.Join("..", "docs", "api", file))
		require.NoError(t, err)
		for _, method := range []string{rpc.DiscoverMethod, "Filecoin.Discover"} {
			a := n.call(t, path, method)
			require.Nil(t, a.Error)
			require.JSONEq(t, string(want), string(a.Result))
		}
	}
}

// TestMetrics: the numbers that docs/metrics.md names are there, and no others
// of ours.
func TestMetrics(t *testing.T) {
	w := theWorld(t)
	n := w.first(t, alone)
	n.mine(t, 2)
	_, err := n.v1.MpoolPush(t.Context(), w.faucet.transfer(t, w.worker.addr, 0, 1))
	require.NoError(t, err)
	changes, err := n.v1.ChainNotify(t.Context())
	require.NoError(t, err)
	<-changes
	n.call(t, "/rpc/v1", "Filecoin.ClientStartDeal")
	n.call(t, "/rpc/v1", "Filecoin.Nonsense")
	status, body := n.get(t, "/metrics")
	require.Equal(t, 200, status)
	head := n.head(t)
	for _, line := range []string{
		`venus_info{network="local",version="test"} 1`, "venus_mpool_messages 1", "venus_peers 0", "venus_rpc_connections 1", "venus_rpc_subscriptions 1",
		`venus_rpc_calls_total{code="ok",method="MpoolPush"} 1`, `venus_rpc_calls_total{code="unsupported",method="ClientStartDeal"} 1`,
		`venus_rpc_calls_total{code="no_method",method="unknown"} 1`, `venus_block_validation_seconds_count{check="winning-post"} 2`,
		`venus_rpc_call_seconds_count{method="SyncSubmitBlock"} 2`,
	} {
		require.Contains(t, body, line+"\n")
	}
	require.Regexp(t, `(?m)^venus_head_epoch `+head.Height().String()+`$`, body)
	require.Regexp(t, `(?m)^venus_head_age_seconds \d{3}\.`, body)
	require.Regexp(t, `(?m)^venus_sync_lag_epochs \d{3}$`, body)
	require.Contains(t, body, "go_goroutines ")
	require.Contains(t, body, "process_resident_memory_bytes ")
	told, err := os.ReadFile(filepath.Join("..", "docs", "metrics.md"))
	require.NoError(t, err)
	for _, l := range strings.Split(body, "\n") {
		if name, ok := strings.CutPrefix(l, "# TYPE venus_"); ok {
			name, _, _ = strings.Cut(name, " ")
			require.Contains(t, string(told), "`venus_"+name+"`")
		}
	}
}

package auth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/remote"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/rpc"
)

// TestEveryRouteEveryPermission is hole E1: the original let anybody on the network make, list and delete tokens. Every
// route is asked with no token and with one of each permission; what a route needs is in its table.
func TestEveryRouteEveryPermission(t *testing.T) {
	d := start(t, t.TempDir())
	tokens := map[api.Permission]string{"": ""}
	for _, p := range api.AllPermissions() {
		tokens[p] = d.gen(t, "holder-of-"+string(p), string(p))
	}
	open := map[string]bool{"/verify": true, "/version": true, "/healthcheck": true}
	for _, r := range auth.Routes() {
		require.Equal(t, open[r.Path], r.Perm == "", "%s: whatever manages needs a permission", r.Path)
		for perm, tok := range tokens {
			var header []string
			if tok != "" {
				header = []string{"Authorization", "Bearer " + tok}
			}
			status, body := d.do(t, r.Method, r.Path, jsonType, `{}`, header...)
			switch {
			case r.Perm == "" || (perm != "" && perm.Covers(r.Perm)):
				require.NotContains(t, []int{401, 403}, status, "%s with %q: %s", r.Path, perm, body)
			case perm == "":
				require.Equal(t, 401, status, "%s without a token: %s", r.Path, body)
			default:
				require.Equal(t, 403, status, "%s with %q: %s", r.Path, perm, body)
			}
		}
	}
	// An admin of some miners only does not manage everybody's tokens.
	r, err := d.client(t, d.token).GenToken(t.Context(), authapi.GenRequest{Name: "half", Perm: "admin", Scope: &api.Scope{Miners: addrs(t, "f01000")}})
	require.NoError(t, err)
	status, _ := d.do(t, "GET", "/tokens", "", "", "Authorization", "Bearer "+r.Token)
	require.Equal(t, 403, status)
}

// TestForgedTokens is hole E2 and fault A1: whatever is not a token made here and not removed gets one answer.
func TestForgedTokens(t *testing.T) {
	d := start(t, t.TempDir())
	good := d.gen(t, "miner", "admin")
	parts := strings.Split(good, ".")
	sign := func(m jwt.SigningMethod, key any, claims jwt.MapClaims) string {
		s, err := jwt.NewWithClaims(m, claims).SignedString(key)
		require.NoError(t, err)
		return s
	}
	claims := jwt.MapClaims{"name": "miner", "perm": "admin", "ext": ""}
	withID := jwt.MapClaims{"name": "miner", "perm": "admin", "ext": "", "jti": strings.Repeat("0", 32)}
	payload := func(change map[string]any) string {
		raw, err := base64.RawURLEncoding.DecodeString(parts[1])
		require.NoError(t, err)
		var c map[string]any
		require.NoError(t, json.Unmarshal(raw, &c))
		for k, v := range change {
			c[k] = v
		}
		b, err := json.Marshal(c)
		require.NoError(t, err)
		return parts[0] + "." + base64.RawURLEncoding.EncodeToString(b) + "." + parts[2]
	}
	second := start(t, t.TempDir())
	bad := map[string]string{
		"alg none":           sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims),
		"alg none with sig":  strings.Split(sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims), ".")[0] + "." + parts[1] + "." + parts[2],
		"wrong secret":       sign(jwt.SigningMethodHS256, make([]byte, 32), withID),
		"another hash":       sign(jwt.SigningMethodHS512, make([]byte, 32), withID),
		"empty secret":       sign(jwt.SigningMethodHS256, []byte{}, claims),
		"another name":       payload(map[string]any{"name": "sealer"}),
		"more permission":    payload(map[string]any{"perm": "root"}),
		"another cluster's":  second.gen(t, "miner", "admin"),
		"truncated":          good[:len(good)-1],
		"signature stripped": parts[0] + "." + parts[1] + ".",
		"blank":              " ",
		"with a line end":    good + "\n",
		"doubled":            good + good,
		"the id":             "sha256-" + strings.Repeat("0", 64),
	}
	var answers []string
	for name, tok := range bad {
		b, err := json.Marshal(map[string]string{"token": tok})
		require.NoError(t, err)
		status, body := d.do(t, "POST", "/verify", jsonType, string(b))
		require.Equal(t, 401, status, name)
		answers = append(answers, body)
	}
	for _, a := range answers {
		require.Equal(t, answers[0], a, "the answer does not tell what was wrong")
	}
	// The same name and permission twice are two tokens, and a removed one stays removed.
	twice := d.gen(t, "miner", "admin")
	require.NotEqual(t, good, twice)
}

// TestTokensEnd: expiry, rotation with and without a grace.
func TestTokensEnd(t *testing.T) {
	ctx := t.Context()
	clk := clock.NewSim(time.Unix(1_700_000_000, 0))
	d := startAt(t, t.TempDir(), clk)
	admin, anyone := d.client(t, d.token), d.client(t, "")
	counts := func(tok string) bool {
		_, err := anyone.Verify(ctx, tok)
		if err != nil {
			require.Equal(t, api.CodeUnauthenticated, api.Explain(err).Code)
		}
		return err == nil
	}
	r, err := admin.GenToken(ctx, authapi.GenRequest{Name: "m", Perm: "write", Extra: "e", Lifetime: time.Hour, Scope: &api.Scope{Signers: addrs(t, "f01")}})
	require.NoError(t, err)
	require.True(t, counts(r.Token))
	clk.Advance(time.Hour - time.Nanosecond)
	require.True(t, counts(r.Token))
	clk.Advance(time.Nanosecond)
	require.False(t, counts(r.Token), "at the very moment")

	second, err := admin.Rotate(ctx, authapi.RotateRequest{TokenRef: authapi.TokenRef{ID: r.ID}, Grace: time.Minute})
	require.NoError(t, err)
	require.True(t, counts(second.Token))
	require.False(t, counts(r.Token), "a grace revives nothing")
	third, err := admin.Rotate(ctx, authapi.RotateRequest{TokenRef: authapi.TokenRef{Token: second.Token}, Grace: time.Minute})
	require.NoError(t, err)
	require.True(t, counts(second.Token))
	clk.Advance(time.Minute)
	require.False(t, counts(second.Token))
	clk.Advance(time.Hour - time.Minute - 1)
	require.True(t, counts(third.Token), "it lives as long as the first was to live")
	id, err := anyone.Verify(ctx, third.Token)
	require.NoError(t, err)
	require.Equal(t, authapi.Identity{Name: "m", Perm: "write", Ext: "e", Scope: &api.Scope{Signers: addrs(t, "f01")}}, id)
	fourth, err := admin.Rotate(ctx, authapi.RotateRequest{TokenRef: authapi.TokenRef{ID: third.ID}})
	require.NoError(t, err)
	require.False(t, counts(third.Token), "without a grace at once")
	require.True(t, counts(fourth.Token))
	_, err = admin.Rotate(ctx, authapi.RotateRequest{TokenRef: authapi.TokenRef{ID: third.ID}})
	require.Equal(t, api.CodeNotFound, api.Explain(err).Code)
	_, err = admin.GenToken(ctx, authapi.GenRequest{Name: "m", Perm: "read", Lifetime: -1})
	require.Equal(t, api.CodeInvalid, api.Explain(err).Code)
}

// TestUsersBoundTheirTokens: a user's addresses and state hold for all tokens of the name, but for admins' addresses.
func TestUsersBoundTheirTokens(t *testing.T) {
	ctx := t.Context()
	d := start(t, t.TempDir())
	admin, anyone := d.client(t, d.token), d.client(t, "")
	tok, root := d.gen(t, "alice", "sign"), d.gen(t, "alice", "admin")
	scope := func(tok string) *api.Scope {
		id, err := anyone.Verify(ctx, tok)
		require.NoError(t, err)
		return id.Scope
	}
	require.Nil(t, scope(tok), "who is no user is bound by the permission alone")
	_, err := admin.AddUser(ctx, authapi.UserRequest{Name: "alice"})
	require.NoError(t, err)
	require.Nil(t, scope(tok))
	_, err = admin.Grant(ctx, "alice", "miner", []string{"t01000", "f01001", "f01000"})
	require.NoError(t, err)
	require.Equal(t, &api.Scope{Miners: addrs(t, "f01000", "f01001")}, scope(tok), "seen at once, whatever the prefix")
	require.Nil(t, scope(root))
	_, err = admin.Withdraw(ctx, "alice", "miner", []string{"f01000", "f01001"})
	require.NoError(t, err)
	require.False(t, scope(tok).AllowsMiner(addrs(t, "f01000")[0]), "none is not all")
	narrow, err := admin.GenToken(ctx, authapi.GenRequest{Name: "alice", Perm: "admin", Scope: &api.Scope{Signers: addrs(t, "f01")}})
	require.NoError(t, err)
	require.Equal(t, &api.Scope{Signers: addrs(t, "f01")}, scope(narrow.Token))
	_, err = admin.Grant(ctx, "nobody", "miner", []string{"f01000"})
	require.Equal(t, api.CodeNotFound, api.Explain(err).Code)
	_, err = admin.Grant(ctx, "alice", "miner", []string{"f1d2xrzcslx7xlbbylc5c3d5lvandqw4iwl6epxba"})
	require.Equal(t, api.CodeInvalid, api.Explain(err).Code, "a miner has an ID address")

	off := authapi.StateDisabled
	_, err = admin.UpdateUser(ctx, authapi.UserRequest{Name: "alice", State: &off})
	require.NoError(t, err)
	for _, tk := range []string{tok, root, narrow.Token} {
		_, err = anyone.Verify(ctx, tk)
		require.Equal(t, api.CodeUnauthenticated, api.Explain(err).Code)
	}
}

// TestAuditTellsEverything: changes, looks and refusals, and nothing secret.
func TestAuditTellsEverything(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	d := start(t, dir)
	admin := d.client(t, d.token)
	tok := d.gen(t, "bob", "write")
	_, err := d.client(t, tok).Tokens(ctx, authapi.ListQuery{})
	require.Error(t, err)
	require.Error(t, admin.Remove(ctx, authapi.TokenRef{ID: "nope"}))
	require.NoError(t, admin.Remove(ctx, authapi.TokenRef{Token: tok}))
	_, err = admin.AddUser(ctx, authapi.UserRequest{Name: "u"})
	require.NoError(t, err)
	d.stop()
	d = start(t, dir)
	es, err := d.client(t, d.token).Audit(ctx, authapi.ListQuery{})
	require.NoError(t, err)
	var got []string
	for _, e := range es {
		require.NotZero(t, e.At)
		got = append(got, fmt.Sprintf("%s %s %s", e.Caller, e.Action, e.Result))
	}
	require.Equal(t, []string{
		"local-admin user/add ok", "local-admin token/remove ok", "local-admin token/remove not_found",
		"bob token/list permission_denied", "local-admin token/generate ok", "venus-auth token/generate ok",
	}, got)
	raw, err := json.Marshal(es)
	require.NoError(t, err)
	require.NotContains(t, string(raw), strings.Split(tok, ".")[2])
	require.Equal(t, "127.0.0.1", es[0].From)
}

// service is some service of the cluster that asks venus-auth about its callers.
func service(t *testing.T, d *daemon) string {
	v, stop, err := remote.Verifier(d.url, clock.Real())
	require.NoError(t, err)
	t.Cleanup(stop)
	s := rpc.NewServer(rpc.Options{Service: "venus-wallet", Verify: v})
	require.NoError(t, s.Register("/rpc/v0", new(walletapi.WalletProxy), new(walletapi.WalletProxy), walletapi.Namespace))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, s.Shutdown(context.Background()))
		require.NoError(t, <-done)
	})
	return l.Addr().String()
}

// TestRevocationCutsRunningConnections is fault A6: a removed token, and one of a disabled user, loses its open
// connection within a second. The clock is the real one, the bound generous only for a busy machine.
func TestRevocationCutsRunningConnections(t *testing.T) {
	d := start(t, t.TempDir())
	admin, addr := d.client(t, d.token), service(t, d)
	dial := func(tok string) (*websocket.Conn, int) {
		c, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/rpc/v0", http.Header{"Authorization": {"Bearer " + tok}})
		if err != nil {
			return nil, resp.StatusCode
		}
		t.Cleanup(func() { c.Close() })
		return c, 0
	}
	_, err := admin.AddUser(t.Context(), authapi.UserRequest{Name: "u"})
	require.NoError(t, err)
	off := authapi.StateDisabled
	for name, revoke := range map[string]func(tok string) error{
		"removed": func(tok string) error { return admin.Remove(t.Context(), authapi.TokenRef{Token: tok}) },
		"disabled": func(string) error {
			_, err := admin.UpdateUser(t.Context(), authapi.UserRequest{Name: "u", State: &off})
			return err
		},
		"rotated": func(tok string) error {
			_, err := admin.Rotate(t.Context(), authapi.RotateRequest{TokenRef: authapi.TokenRef{Token: tok}})
			return err
		},
	} {
		who := "v"
		if name == "disabled" {
			who = "u"
		}
		tok := d.gen(t, who, "read")
		c, _ := dial(tok)
		require.NotNil(t, c)
		require.NoError(t, revoke(tok))
		begun := time.Now()
		require.NoError(t, c.SetReadDeadline(begun.Add(20*time.Second)))
		_, _, err := c.ReadMessage()
		var closed *websocket.CloseError
		require.ErrorAs(t, err, &closed, name)
		require.Contains(t, closed.Text, "token no longer valid")
		t.Logf("%s: cut after %s", name, time.Since(begun))
		_, status := dial(tok)
		require.Equal(t, 401, status, "and no new one opens")
	}
}

// TestRateLimitsAreEnforced: the limit of a user holds at a service, over HTTP and WebSocket, for all its tokens together.
func TestRateLimitsAreEnforced(t *testing.T) {
	d := start(t, t.TempDir())
	admin, addr := d.client(t, d.token), service(t, d)
	_, err := admin.AddUser(t.Context(), authapi.UserRequest{Name: "u"})
	require.NoError(t, err)
	for _, l := range []api.RateLimit{
		{Service: "venus-wallet", Method: "WalletList", Cap: 3, Per: time.Hour}, {Service: "venus-messager", Cap: 0, Per: time.Hour},
	} {
		_, err = admin.SetLimit(t.Context(), "u", l)
		require.NoError(t, err)
	}
	codes := map[api.ErrorCode]int{}
	call := func(tok, scheme string, list bool) {
		var w walletapi.WalletProxy
		stop, err := rpc.Dial(scheme+"://"+addr+"/rpc/v0", tok, walletapi.Namespace, &w, rpc.DialOptions{Timeout: 10 * time.Second})
		require.NoError(t, err)
		defer stop()
		if list {
			_, err = w.WalletList(t.Context())
		} else {
			_, err = w.Version(t.Context())
		}
		codes[api.Explain(err).Code]++
	}
	first, second := d.gen(t, "u", "write"), d.gen(t, "u", "write")
	for range 2 {
		call(first, "http", true)
		call(second, "ws", true)
		call(second, "ws", true)
	}
	require.Equal(t, 3, codes[api.CodeLimit], "%v", codes)
	clear(codes)
	call(first, "http", false)
	require.Zero(t, codes[api.CodeLimit], "other methods are not bound by it")
	call(d.gen(t, "other", "write"), "http", true)
	require.Zero(t, codes[api.CodeLimit], "nor are other users")
}

// TestGuessingIsSlow: an address that shows wrong tokens is not heard, save with tokens that were right before.
func TestGuessingIsSlow(t *testing.T) {
	clk := clock.NewSim(time.Unix(1_700_000_000, 0))
	d := startAt(t, t.TempDir(), clk)
	good := d.gen(t, "m", "read")
	ask := func(tok string) int {
		status, _ := d.do(t, "POST", "/verify", form, "token="+tok)
		return status
	}
	require.Equal(t, 200, ask(good))
	limited := 0
	for i := range 100 {
		if ask(fmt.Sprint("guess-", i)) == 429 {
			limited++
		}
	}
	require.GreaterOrEqual(t, limited, 40)
	require.Equal(t, 200, ask(good))
	clk.Advance(time.Second)
	require.Equal(t, 401, ask("guess"), "a second later it is heard again")
}

// TestHealthAndMetrics: open, truthful, and nothing secret in them.
func TestHealthAndMetrics(t *testing.T) {
	d := start(t, t.TempDir())
	tok := d.gen(t, "canary-name", "read")
	_, err := d.client(t, "").Verify(t.Context(), tok)
	require.NoError(t, err)
	d.do(t, "POST", "/verify", form, "token=wrong-canary")
	for _, path := range []string{"/healthz", "/readyz", "/livez"} {
		status, body := d.do(t, "GET", path+"?verbose", "", "")
		require.Equal(t, 200, status, body)
	}
	_, body := d.do(t, "GET", "/metrics", "", "")
	for _, want := range []string{`venus_auth_verified_total{result="ok"} 1`, `venus_auth_verified_total{result="unauthenticated"} 1`, `venus_auth_managed_total{action="token/generate",result="ok"} 1`} {
		require.Contains(t, body, want)
	}
	for _, secret := range []string{tok, d.token, "canary"} {
		require.NotContains(t, body, secret)
	}
}

// TestLogsToInflux: what is asked and managed arrives, by the guide's keys, and no token with it.
func TestLogsToInflux(t *testing.T) {
	db := newInflux(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.toml"), []byte(fmt.Sprintf(`
[log]
logLevel = "trace"
type = 1
hookSwitch = true
[log.influxdb]
serverURL = %q
authToken = "influx-canary"
org = "venus-auth"
bucket = "auth"
flushInterval = "30s"
batchSize = 100
measurement = "verify"
`, db.url)), 0o600))
	d := start(t, dir)
	tok := d.gen(t, "miner", "read")
	status, _ := d.do(t, "POST", "/verify", form, "token="+tok, "svcName", "messager x", "preHost", "h", "spanId", "s")
	require.Equal(t, 200, status)
	d.do(t, "POST", "/verify", form, "token=bad-canary")
	d.stop()
	lines := db.all()
	require.Len(t, lines, 3, "all are there at the end")
	text := strings.Join(lines, "\n")
	for _, want := range []string{"manage,action=token/generate", "verify,ip=127.0.0.1,level=trace,name=miner,svcName=messager\\ x", "level=error", `preHost="h"`} {
		require.Contains(t, text, want)
	}
	for _, secret := range []string{tok, strings.Split(tok, ".")[2], d.token, "canary"} {
		require.NotContains(t, text, secret)
	}
	require.Equal(t, "Token influx-canary", db.token)
}

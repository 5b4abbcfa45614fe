package auth_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/remote"
	"github.com/filecoin-venus/venus/auth/stores"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/rpc"
)

// daemon is a running venus-auth on a real socket.
type daemon struct {
	dir, url, token string
	started         auth.Started
	stop            func()
}

func start(t testing.TB, dir string) *daemon {
	t.Helper()
	return startAt(t, dir, clock.Real())
}

// startAt starts one with a clock.
func startAt(t testing.TB, dir string, clk clock.Clock) *daemon {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan auth.Started, 1), make(chan error, 1)
	go func() {
		done <- auth.Run(ctx, auth.Options{
			Repo: dir, Listen: "127.0.0.1:0", Clock: clk, Ready: func(s auth.Started) { ready <- s },
			OpenStore: stores.Open,
		})
	}()
	d := &daemon{dir: dir}
	select {
	case d.started = <-ready:
	case err := <-done:
		cancel()
		t.Fatalf("venus-auth ended: %v", err)
	}
	stopped := false
	d.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(d.stop)
	var err error
	d.url, err = rpc.ParseEndpoint(d.started.API, "/")
	require.NoError(t, err)
	d.url = strings.TrimSuffix(d.url, "/")
	b, err := os.ReadFile(filepath.Join(dir, "token"))
	require.NoError(t, err)
	d.token = string(b)
	return d
}

func (d *daemon) client(t testing.TB, token string) *authapi.Client {
	c, err := authapi.New(d.url, token)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func (d *daemon) gen(t testing.TB, name, perm string) string {
	r, err := d.client(t, d.token).GenToken(context.Background(), authapi.GenRequest{Name: name, Perm: perm})
	require.NoError(t, err)
	return r.Token
}

// do makes a bare request and returns status and body.
func (d *daemon) do(t *testing.T, method, path, contentType, body string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, d.url+path, strings.NewReader(body))
	require.NoError(t, err)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"))
	return resp.StatusCode, strings.TrimSpace(string(b))
}

const form, jsonType = "application/x-www-form-urlencoded", "application/json"

func TestVerify(t *testing.T) {
	d := start(t, t.TempDir())
	tok := d.gen(t, "sealer", "admin")
	for _, r := range [][3]string{
		{"/verify", form, "token=" + tok},
		{"/verify", form + "; charset=utf-8", "token=" + tok},
		{"/verify", jsonType, fmt.Sprintf(`{"token":%q}`, tok)},
		{"/verify", jsonType, fmt.Sprintf(`{"Token":%q}`, tok)},
	} {
		status, body := d.do(t, "POST", r[0], r[1], r[2])
		require.Equal(t, 200, status, r)
		require.Equal(t, `{"name":"sealer","perm":"admin","ext":""}`, body)
	}
	for _, r := range []struct {
		method, contentType, body string
		status                    int
	}{
		{"POST", form, "token=nope", 401},
		{"POST", form, "token=" + tok + "x", 401},
		{"POST", form, "", 400},
		{"POST", form, "token=" + strings.Repeat("x", 20000), 401},
		{"POST", jsonType, "{", 400},
		{"POST", jsonType, `[]`, 400},
		{"POST", "text/xml", "<x/>", 400},
		{"POST", form, "token=" + strings.Repeat("x", 300000), 400},
		{"GET", "", "", 405},
	} {
		status, body := d.do(t, r.method, "/verify", r.contentType, r.body)
		require.Equal(t, r.status, status, "%+v", r)
		require.Contains(t, body, `"error":`)
		require.NotContains(t, body, tok)
	}
}

func TestTokensDiffer(t *testing.T) {
	d := start(t, t.TempDir())
	seen := map[string]bool{}
	for range 20 {
		tok := d.gen(t, "miner", "admin")
		require.False(t, seen[tok])
		seen[tok] = true
	}
}

func TestGenerateChecks(t *testing.T) {
	d := start(t, t.TempDir())
	c := d.client(t, d.token)
	for name, r := range map[string]authapi.GenRequest{
		"no name": {Perm: "read"}, "no perm": {Name: "n"}, "odd perm": {Name: "n", Perm: "root"}, "case": {Name: "n", Perm: "Admin"},
		"long name": {Name: strings.Repeat("n", 51), Perm: "read"}, "long extra": {Name: "n", Perm: "read", Extra: strings.Repeat("e", 256)},
		"newline": {Name: "a\nb", Perm: "read"}, "escape": {Name: "a\x1b[2J", Perm: "read"},
	} {
		_, err := c.GenToken(context.Background(), r)
		require.Equal(t, api.CodeInvalid, api.Explain(err).Code, name)
	}
	status, _ := d.do(t, "POST", "/genToken", form, "name=original&perm=sign&extra=e", "Authorization", "Bearer "+d.token)
	require.Equal(t, 200, status)
}

// TestManagementNeedsAdmin attacks every managing route in every way.
func TestManagementNeedsAdmin(t *testing.T) {
	d := start(t, t.TempDir())
	victim := d.gen(t, "victim", "read")
	removed := d.gen(t, "former-admin", "admin")
	require.NoError(t, d.client(t, d.token).Remove(context.Background(), authapi.TokenRef{Token: removed}))
	routes := [][3]string{
		{"POST", "/genToken", `{"name":"x","perm":"admin"}`},
		{"GET", "/tokens", ""},
		{"DELETE", "/token", fmt.Sprintf(`{"token":%q}`, victim)},
		{"POST", "/recoverToken", fmt.Sprintf(`{"token":%q}`, removed)},
	}
	for _, r := range routes {
		for name, tc := range map[string]struct {
			query  string
			header []string
			status int
		}{
			"nothing":          {"", nil, 401},
			"loopback headers": {"", []string{"X-Real-Ip", "127.0.0.1", "X-Forwarded-For", "127.0.0.1"}, 401},
			"query token":      {"?token=" + d.token, nil, 401},
			"garbage":          {"", []string{"Authorization", "Bearer x"}, 401},
			"no scheme":        {"", []string{"Authorization", d.token}, 401},
			"removed admin":    {"", []string{"Authorization", "Bearer " + removed}, 401},
			"read":             {"", []string{"Authorization", "Bearer " + d.gen(t, "r", "read")}, 403},
			"write":            {"", []string{"Authorization", "Bearer " + d.gen(t, "w", "write")}, 403},
			"sign":             {"", []string{"Authorization", "Bearer " + d.gen(t, "s", "sign")}, 403},
			"web page":         {"", []string{"Authorization", "Bearer " + d.token, "Origin", "https://evil.example"}, 403},
		} {
			status, body := d.do(t, r[0], r[1]+tc.query, jsonType, r[2], tc.header...)
			require.Equal(t, tc.status, status, "%v %s: %s", r, name, body)
		}
	}
	for _, path := range []string{"//tokens", "/tokens/", "/./tokens", "/verify/../tokens", "/%74okens", "/debug/pprof/", "/rpc/v0"} {
		status, _ := d.do(t, "GET", path, "", "", "Authorization", "Bearer "+d.token)
		require.Equal(t, 404, status, path)
	}
	_, err := d.client(t, "").Verify(context.Background(), victim)
	require.NoError(t, err, "the victim is untouched")
	_, err = d.client(t, "").Verify(context.Background(), removed)
	require.Error(t, err)
}

func TestRevocation(t *testing.T) {
	ctx := context.Background()
	d := start(t, t.TempDir())
	admin, anyone := d.client(t, d.token), d.client(t, "")
	tok := d.gen(t, "miner", "write")
	require.NoError(t, admin.Remove(ctx, authapi.TokenRef{Token: tok}))
	_, err := anyone.Verify(ctx, tok)
	require.Equal(t, api.CodeUnauthenticated, api.Explain(err).Code, "seen at the next call")
	require.NotEqual(t, tok, d.gen(t, "miner", "write"))
	_, err = anyone.Verify(ctx, tok)
	require.Error(t, err, "a new token of the name does not revive the old one")
	list, err := admin.Tokens(ctx, authapi.ListQuery{Search: "miner", Removed: true})
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.NoError(t, admin.Recover(ctx, authapi.TokenRef{ID: list[0].ID}))
	_, err = anyone.Verify(ctx, tok)
	require.NoError(t, err)
	require.Equal(t, api.CodeNotFound, api.Explain(admin.Remove(ctx, authapi.TokenRef{ID: "nope"})).Code)
	require.Equal(t, api.CodeNotFound, api.Explain(admin.Remove(ctx, authapi.TokenRef{Token: "a.b.c"})).Code)
	require.Equal(t, api.CodeInvalid, api.Explain(admin.Remove(ctx, authapi.TokenRef{})).Code)
	status, _ := d.do(t, "DELETE", "/token?token="+tok, "", "", "Authorization", "Bearer "+d.token)
	require.Equal(t, 200, status, "the original's form")
	_, err = anyone.Verify(ctx, tok)
	require.Error(t, err)
}

func TestListHidesTokens(t *testing.T) {
	d := start(t, t.TempDir())
	tok := d.gen(t, "miner", "admin")
	_, body := d.do(t, "GET", "/tokens", "", "", "Authorization", "Bearer "+d.token)
	require.Contains(t, body, `"name":"miner"`)
	for _, secret := range []string{tok, strings.Split(tok, ".")[2], d.token} {
		require.NotContains(t, body, secret)
	}
	status, body := d.do(t, "GET", "/tokens?limit=x", "", "", "Authorization", "Bearer "+d.token)
	require.Equal(t, 400, status, body)
	status, body = d.do(t, "GET", "/tokens?skip=-5&limit=-1", "", "", "Authorization", "Bearer "+d.token)
	require.Equal(t, 200, status)
	require.Contains(t, body, "miner")
	require.NoError(t, filepath.Walk(d.dir, func(path string, i os.FileInfo, err error) error {
		if err != nil || i.IsDir() || filepath.Base(path) == "token" {
			return err
		}
		b, err := os.ReadFile(path)
		require.NotContains(t, string(b), strings.Split(tok, ".")[2], path)
		return err
	}))
}

func TestRestart(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	d := start(t, dir)
	kept, gone := d.gen(t, "kept", "sign"), d.gen(t, "gone", "sign")
	require.NoError(t, d.client(t, d.token).Remove(ctx, authapi.TokenRef{Token: gone}))
	d.stop()

	again := start(t, dir)
	require.Equal(t, d.token, again.token, "the local admin token stays")
	id, err := again.client(t, "").Verify(ctx, kept)
	require.NoError(t, err)
	require.Equal(t, authapi.Identity{Name: "kept", Perm: "sign"}, id)
	_, err = again.client(t, "").Verify(ctx, gone)
	require.Error(t, err)
	require.NoError(t, again.client(t, again.token).Remove(ctx, authapi.TokenRef{Token: again.token}))
	again.stop()

	third := start(t, dir)
	require.NotEqual(t, again.token, third.token, "a removed admin token is replaced")
	_, err = third.client(t, third.token).Tokens(ctx, authapi.ListQuery{})
	require.NoError(t, err)
	for _, name := range []string{"token", "config.toml", "api"} {
		i, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), i.Mode().Perm(), name)
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	d := start(t, dir)
	opts := auth.Options{Repo: dir, Listen: "127.0.0.1:0", Clock: clock.Real(), OpenStore: func(context.Context, string, auth.DBConfig) (auth.Store, error) { panic("not reached") }}
	err := auth.Run(context.Background(), opts)
	require.Equal(t, api.CodePrecondition, api.Explain(err).Code)
	require.ErrorContains(t, err, "another process")
	opts.Repo, opts.Listen = t.TempDir(), strings.TrimPrefix(d.url, "http://")
	err = auth.Run(context.Background(), opts)
	require.ErrorContains(t, err, "another program does")
	require.Contains(t, api.Explain(err).Hint, "--listen")
	opts.Listen = "nonsense"
	require.Equal(t, api.CodeInvalid, api.Explain(auth.Run(context.Background(), opts)).Code)
}

func TestRemoteVerifier(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	d := start(t, dir)
	clk := clock.NewSim(time.Unix(1700000000, 0))
	v, stop, err := remote.Verifier(d.url, clk)
	require.NoError(t, err)
	defer stop()
	tok := d.gen(t, "miner", "write")
	c, err := v(ctx, tok)
	require.NoError(t, err)
	require.Equal(t, rpc.Caller{Name: "miner", Perms: api.PermWrite.Expand()}, c)
	admin := d.client(t, d.token)
	_, err = admin.AddUser(ctx, authapi.UserRequest{Name: "scoped", Miners: []string{"f01000"}})
	require.NoError(t, err)
	limit, err := admin.SetLimit(ctx, "scoped", api.RateLimit{Service: "s", Cap: 5, Per: time.Minute})
	require.NoError(t, err)
	c, err = v(ctx, d.gen(t, "scoped", "read"))
	require.NoError(t, err)
	require.Equal(t, &api.Scope{Miners: addrs(t, "f01000")}, c.Scope, "what bounds the caller arrives at the service")
	require.Equal(t, []api.RateLimit{{ID: limit, Service: "s", Cap: 5, Per: time.Minute}}, c.Limits)
	_, err = v(ctx, "x")
	require.ErrorIs(t, err, rpc.ErrBadToken)
	require.NoError(t, d.client(t, d.token).Remove(ctx, authapi.TokenRef{Token: tok}))
	clk.Advance(time.Second)
	_, err = v(ctx, tok)
	require.ErrorIs(t, err, rpc.ErrBadToken, "a removed token ends within a second")
	tok = d.gen(t, "miner", "write")
	_, err = v(ctx, tok)
	require.NoError(t, err)
	d.stop()
	clk.Advance(time.Minute)
	_, err = v(ctx, tok)
	require.NoError(t, err, "seen good, and auth is only away")
	_, err = v(ctx, "a.b.c")
	require.Equal(t, api.CodeUnavailable, api.Explain(err).Code)
}

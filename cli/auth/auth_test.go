package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	authsvc "github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/stores"
	"github.com/filecoin-venus/venus/cli/auth"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
)

// venusAuth runs one command as the program would.
func venusAuth(args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	app := auth.App(auth.Program{
		Run: func(_ context.Context, p *render.Printer, r auth.RunOptions) error {
			p.Line("would run from %s listening on %q", r.Repo, r.Listen)
			return nil
		},
		Migrate: func(_ context.Context, p *render.Printer, r auth.RunOptions, to string) error {
			p.Line("would move %s to %s", r.Repo, to)
			return nil
		},
	})
	code = render.Run(context.Background(), app, append([]string{"venus-auth"}, args...), &o, &e)
	return code, o.String(), e.String()
}

// start runs the service of a folder until the test ends.
func start(t *testing.T, dir string) authsvc.Started {
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan authsvc.Started, 1), make(chan error, 1)
	go func() {
		done <- authsvc.Run(ctx, authsvc.Options{
			Repo: dir, Listen: "127.0.0.1:0", Clock: clock.Real(), Ready: func(s authsvc.Started) { ready <- s },
			OpenStore: stores.Open,
		})
	}()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return <-ready
}

func TestTokens(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("VENUS_AUTH_PATH", dir)
	s := start(t, dir)

	code, tok, errOut := venusAuth("genToken", "--perm", "admin", "miner")
	require.Zero(t, code, errOut)
	require.Regexp(t, `^[\w-]+\.[\w-]+\.[\w-]+\n$`, tok, "the token alone on stdout")
	require.Empty(t, errOut)
	code, other, _ := venusAuth("genToken", "miner", "--perm", "admin")
	require.Zero(t, code)
	require.NotEqual(t, tok, other)
	code, out, _ := venusAuth("token", "gen", "--json", "sealer")
	require.Zero(t, code)
	var gen map[string]string
	require.NoError(t, json.Unmarshal([]byte(out), &gen))
	require.Equal(t, "read", gen["perm"])

	code, out, _ = venusAuth("token", "list")
	require.Zero(t, code)
	require.Equal(t, 5, strings.Count(out, "\n"), "%s", out)
	require.Contains(t, out, "local-admin")
	require.NotContains(t, out, strings.TrimSpace(tok))

	code, _, errOut = venusAuth("token", "remove", "miner")
	require.Equal(t, render.ExitPrecondition, code, "two have the name")
	require.Contains(t, errOut, "hint: ")
	code, out, _ = venusAuth("token", "remove", strings.TrimSpace(tok))
	require.Zero(t, code)
	require.Equal(t, "token removed\n", out)
	code, _, _ = venusAuth("rmToken", gen["id"])
	require.Zero(t, code)
	code, _, _ = venusAuth("token", "rm", "miner")
	require.Zero(t, code, "now only one has the name")
	code, _, _ = venusAuth("token", "recover", "sealer")
	require.Zero(t, code)
	code, _, _ = venusAuth("token", "recover", "nobody")
	require.Equal(t, render.ExitNotFound, code)
	code, out, _ = venusAuth("tokens", "--removed", "--limit", "2", "--skip", "1")
	require.Zero(t, code)
	require.Equal(t, 2, strings.Count(out, "removed"), "%s", out)

	// From another machine: by URL and token file.
	file := filepath.Join(t.TempDir(), "token")
	admin, err := os.ReadFile(s.TokenFile)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, append(admin, '\n'), 0o600))
	t.Setenv("VENUS_AUTH_PATH", t.TempDir())
	code, _, errOut = venusAuth("--auth-url", s.API, "--token-file", file, "token", "list")
	require.Zero(t, code, errOut)
	require.NoError(t, os.WriteFile(file, []byte(gen["token"]), 0o600))
	code, _, errOut = venusAuth("--auth-url", s.API, "--token-file", file, "token", "list")
	require.Equal(t, render.ExitAuth, code, errOut)
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		args, want string
		code       int
	}{
		{"", "would run from ~/.venus-auth", 0},
		{"run --listen 127.0.0.1:1", `listening on "127.0.0.1:1"`, 0},
		{"--repo /x run", "would run from /x", 0},
		{"nonsense", "no command \"nonsense\"", 2},
		{"token nonsense", "no command \"nonsense\"", 2},
		{"genToken", "genToken --perm admin miner", 2},
		{"genToken --perm root miner", "one of read, write, sign, admin", 2},
		{"genToken a b", "hint: ", 2},
		{"token remove", "by id, by name", 2},
		{"migrate --to mysql", "would move ~/.venus-auth to mysql", 0},
		{"--auth-url http://127.0.0.1:1 token list", "--token-file", 2},
		{"--auth-url nonsense token list", "no address", 2},
	} {
		code, out, errOut := venusAuth(strings.Fields(tc.args)...)
		require.Equal(t, tc.code, code, "%s: %s", tc.args, errOut)
		require.Contains(t, out+errOut, tc.want, tc.args)
	}
}

// TestUsers: the commands for users, by the words of the original where it has them.
func TestUsers(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("VENUS_AUTH_PATH", dir)
	start(t, dir)
	limit := ""
	for _, tc := range []struct {
		args, want string
		code       int
	}{
		{"user add --name alice --miner f01000 --comment boss", "user alice added", 0},
		{"user add bob", "user bob added", 0},
		{"user add bob", "user already exists", render.ExitPrecondition},
		{"user add carol --miner t01000", "belongs to another user", render.ExitPrecondition},
		{"user update --name bob --state 0", "update user success", 0},
		{"user active bob", "active user success", 0},
		{"user disable bob", "disable user success", 0},
		{"user has t01000", "true", 0},
		{"user has f01001", "false", 0},
		{"user has nonsense", "is no address", 2},
		{"user miner add bob f01001 f01002", "miner added of user bob", 0},
		{"user miner remove bob f01001", "miner removed of user bob", 0},
		{"user signer add bob t1d2xrzcslx7xlbbylc5c3d5lvandqw4iwl6epxba", "signer added of user bob", 0},
		{"user get --by-miner f01002", "bob", 0},
		{"user get --by-signer f1d2xrzcslx7xlbbylc5c3d5lvandqw4iwl6epxba", "bob", 0},
		{"user get alice", "boss", 0},
		{"user get", "name one user", 2},
		{"user list --search ali", "f01000", 0},
		{"user rate-limit get alice", "user have no request rate limit", 0},
		{"user rate-limit add alice 10 1m --service venus-messager", "upsert user rate limit success: ", 0},
		{"user rate-limit get alice", "10 calls to venus-messager in 1m0s", 0},
		{"user rate-limit update alice LIMIT 20 1h", "upsert user rate limit success: ", 0},
		{"user rate-limit get alice", "20 calls in 1h0m0s", 0},
		{"user rate-limit del alice LIMIT", "delete rate limit success, ", 0},
		{"user rate-limit del alice LIMIT", "has no rate limit", render.ExitNotFound},
		{"genToken alice --perm write --expire 1h --miner f01000", ".", 0},
		{"token list", "miners: f01000", 0},
		{"token rotate alice --grace 1m", ".", 0},
		{"audit --search user/add", "user/add", 0},
		{"audit", "token/rotate", 0},
	} {
		args := strings.ReplaceAll(tc.args, "LIMIT", limit)
		code, out, errOut := venusAuth(strings.Fields(args)...)
		require.Equal(t, tc.code, code, "%s: %s", args, errOut)
		require.Contains(t, strings.ReplaceAll(out+errOut, "t0", "f0"), tc.want, args)
		if _, id, ok := strings.Cut(strings.TrimSpace(out), "success: "); ok {
			limit = id
		}
	}
}

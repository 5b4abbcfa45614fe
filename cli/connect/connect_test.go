package connect

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	miningapi "github.com/filecoin-venus/venus/api/mining"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
)

type proxy = miningapi.MiningProxy

// world is a program with a directory.
type world struct {
	dir     string
	program Program[*proxy]
	in      string
	got     []string // what the commands were called with
}

func newWorld(t *testing.T) *world {
	w := &world{dir: t.TempDir()}
	w.program = Program[*proxy]{
		Name: "venus-test", New: func() *proxy { return new(proxy) }, Namespace: miningapi.Namespace,
		Directory: "repo", URL: "url", Token: "token", Start: "start it", SetUp: "set it up",
	}
	return w
}

func (w *world) run(args ...string) (int, string, string) {
	note := func(_ context.Context, cmd *cli.Command, _ *proxy, _ *render.Printer) error {
		w.got = cmd.Args().Slice()
		return nil
	}
	app := &cli.Command{
		Name: "venus-test", Reader: strings.NewReader(w.in),
		Flags: []cli.Flag{&cli.StringFlag{Name: "repo", Value: w.dir}, &cli.StringFlag{Name: "url"}, &cli.StringFlag{Name: "token"}, &cli.StringFlag{Name: "token-file"}},
		Commands: []*cli.Command{
			w.program.Logs("it"), w.program.Tokens("tokens"),
			w.program.Call(&cli.Command{Name: "none"}, nil, note), w.program.Call(&cli.Command{Name: "one"}, []string{"A", "[B]"}, note),
			w.program.Call(&cli.Command{Name: "many"}, []string{"A..."}, note),
			{Name: "given", Action: func(_ context.Context, cmd *cli.Command) error {
				s, err := Given(cmd, "token")
				w.got = []string{s}
				return err
			}},
		},
	}
	var out, errOut bytes.Buffer
	code := render.Run(context.Background(), app, append([]string{"venus-test"}, args...), &out, &errOut)
	return code, out.String(), errOut.String()
}

// serve runs a daemon from the directory that knows one token.
func (w *world) serve(t *testing.T) {
	impl := new(proxy)
	impl.Internal.LogList = func(context.Context) ([]string, error) { return []string{"a", "b"}, nil }
	impl.Internal.LogSetLevel = func(_ context.Context, system, level string) error {
		w.got = append(w.got, system+"="+level)
		return nil
	}
	impl.Internal.AuthNew = func(_ context.Context, perms []api.Permission) ([]byte, error) {
		return []byte("fresh" + string(perms[len(perms)-1])), nil
	}
	srv := rpc.NewServer(rpc.Options{Verify: func(_ context.Context, token string) (rpc.Caller, error) {
		if token != "local.admin.token" {
			return rpc.Caller{}, rpc.ErrBadToken
		}
		return rpc.Caller{Perms: api.AllPermissions()}, nil
	}})
	require.NoError(t, srv.Register(rpc.DefaultPath, impl, new(proxy), miningapi.Namespace))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Shutdown(context.Background()) })
	r, err := repo.Open(w.dir)
	require.NoError(t, err)
	require.NoError(t, r.SetAPI(rpc.Multiaddr(l.Addr())))
	require.NoError(t, r.SetToken("local.admin.token"))
	require.NoError(t, r.Close())
}

func TestWithoutADaemon(t *testing.T) {
	w := newWorld(t)
	code, _, errOut := w.run("log", "list")
	require.Equal(t, render.ExitPrecondition, code)
	require.Contains(t, errOut, "hint: set it up")

	w.program.Absent = "nothing at '%s'"
	code, _, errOut = w.run("log", "list")
	require.Equal(t, render.ExitPrecondition, code)
	require.Contains(t, errOut, "nothing at '"+w.dir+"'")

	r, err := repo.Open(w.dir)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	code, _, errOut = w.run("log", "list")
	require.Equal(t, render.ExitPrecondition, code)
	require.Contains(t, errOut, "hint: start it")

	code, _, errOut = w.run("--url", "/ip4/127.0.0.1/tcp/1", "log", "list")
	require.Equal(t, render.ExitUnavailable, code)
	require.Contains(t, errOut, "venus-test")
}

func TestCommandsOfARunningDaemon(t *testing.T) {
	w := newWorld(t)
	w.serve(t)
	ok := func(args ...string) string {
		t.Helper()
		w.got = nil
		code, out, errOut := w.run(args...)
		require.Zero(t, code, errOut)
		return strings.TrimSpace(out)
	}
	require.Equal(t, "a\nb", ok("log", "list"))
	require.JSONEq(t, `["a","b"]`, ok("--json", "log", "list"))
	ok("log", "set-level", "debug")
	require.Equal(t, []string{"*=debug"}, w.got)
	ok("log", "set-level", "--system", "a", "info", "b")
	require.Equal(t, []string{"a=info", "b=info"}, w.got)
	require.Equal(t, "freshwrite", ok("auth", "create-token", "--perm", "write"))
	require.Regexp(t, `^freshadmin:/ip4/127\.0\.0\.1/tcp/\d+$`, ok("auth", "api-info", "--perm", "admin"))
	for _, args := range [][]string{{"auth", "create-token"}, {"auth", "api-info", "--perm", "root"}, {"auth", "create-token", "--perm", "read", "x"}, {"log", "set-level"}} {
		code, _, errOut := w.run(args...)
		require.Equal(t, render.ExitUsage, code, "%v: %s", args, errOut)
	}
}

func TestArgumentsAreCounted(t *testing.T) {
	w := newWorld(t)
	w.serve(t)
	for _, c := range []struct {
		args []string
		ok   bool
	}{
		{[]string{"none"}, true},
		{[]string{"none", "x"}, false},
		{[]string{"one"}, false},
		{[]string{"one", "x"}, true},
		{[]string{"one", "x", "y"}, true},
		{[]string{"one", "x", "y", "z"}, false},
		{[]string{"many"}, false},
		{[]string{"many", "x", "y", "z"}, true},
	} {
		w.got = nil
		code, _, errOut := w.run(c.args...)
		if c.ok {
			require.Zero(t, code, errOut)
			require.Equal(t, append([]string{}, c.args[1:]...), append([]string{}, w.got...))
			continue
		}
		require.Equal(t, render.ExitUsage, code, c.args)
		require.Contains(t, errOut, "hint: usage: venus-test "+c.args[0])
	}
}

func TestSecrets(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(w.dir, "secret")
	require.NoError(t, os.WriteFile(path, []byte(" in.a.file\n"), 0o600))
	empty := filepath.Join(w.dir, "empty")
	require.NoError(t, os.WriteFile(empty, []byte("\n"), 0o600))
	w.in = "on.standard.input\n"
	for want, args := range map[string][]string{
		"plain": {"--token", " plain "}, "in.a.file": {"--token", "@" + path}, "on.standard.input": {"--token-file", "-"}, "": nil,
	} {
		code, _, errOut := w.run(append(args, "given")...)
		require.Zero(t, code, errOut)
		require.Equal(t, []string{want}, w.got)
	}
	code, _, _ := w.run("--token-file", path, "given")
	require.Zero(t, code)
	require.Equal(t, []string{"in.a.file"}, w.got)
	for _, args := range [][]string{{"--token", "@" + empty}, {"--token-file", filepath.Join(w.dir, "absent")}} {
		code, _, errOut := w.run(append(args, "given")...)
		require.Equal(t, render.ExitUsage, code)
		require.Contains(t, errOut, "--token")
	}
}

func TestAddresses(t *testing.T) {
	list, err := Addresses([]string{"t01000", "f01001"})
	require.NoError(t, err)
	require.Len(t, list, 2)
	_, err = Addresses([]string{"t01000", "nonsense"})
	require.ErrorContains(t, err, `"nonsense" is no address`)
	require.Equal(t, api.CodeInvalid, api.Explain(err).Code)
}

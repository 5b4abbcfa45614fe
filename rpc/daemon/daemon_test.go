package daemon

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
)

type tokens struct{}

func (tokens) New(p []api.Permission) ([]byte, error) { return []byte(p[0]), nil }
func (tokens) Verify(t string) ([]api.Permission, error) {
	return []api.Permission{api.Permission(t)}, nil
}

var (
	_ api.Common = (*Base)(nil)
	_ api.Auth   = (*Base)(nil)
)

func TestBase(t *testing.T) {
	ctx := context.Background()
	b, other := New(Options{Program: "p", Version: "1", Tokens: tokens{}}), New(Options{})
	one, err := b.Session(ctx)
	require.NoError(t, err)
	two, err := other.Session(ctx)
	require.NoError(t, err)
	require.NotEqual(t, one, two)
	for range 2 {
		require.NoError(t, b.Shutdown(ctx))
	}
	closing, err := b.Closing(ctx)
	require.NoError(t, err)
	<-closing
	<-b.Done()
	_, err = b.AuthNew(ctx, nil)
	require.Error(t, err)
	_, err = b.AuthNew(ctx, []api.Permission{"root"})
	require.Error(t, err)
	tok, err := b.AuthNew(ctx, []api.Permission{api.PermSign})
	require.NoError(t, err)
	perms, err := b.AuthVerify(ctx, string(tok))
	require.NoError(t, err)
	require.Equal(t, []api.Permission{api.PermSign}, perms)
	require.Error(t, b.LogSetLevel(ctx, "*", "loud"))
}

func TestTheFirstEndCounts(t *testing.T) {
	broken := errors.New("broken")
	b := New(Options{})
	b.Fail(broken)
	require.NoError(t, b.Shutdown(t.Context()))
	require.ErrorIs(t, b.Wait(t.Context()), broken)

	b = New(Options{})
	require.NoError(t, b.Shutdown(t.Context()))
	b.Fail(broken)
	require.NoError(t, b.Wait(t.Context()))

	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, New(Options{}).Wait(over))
}

func TestServe(t *testing.T) {
	dir, err := repo.Open(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	b := New(Options{})
	at := Listening{Address: "/ip4/127.0.0.1/tcp/0", Suffix: "/http", Choose: "with --api"}
	_, err = Serve(dir, b, rpc.NewServer(rpc.Options{}), Listening{Address: "nowhere"})
	require.Equal(t, api.CodeInvalid, api.Explain(err).Code)

	srv := rpc.NewServer(rpc.Options{})
	s, err := Serve(dir, b, srv, at)
	require.NoError(t, err)
	noted, err := dir.API()
	require.NoError(t, err)
	require.Equal(t, s.Address, noted)
	require.True(t, strings.HasSuffix(noted, "/http"), noted)
	where, err := rpc.ParseEndpoint(noted, "/livez")
	require.NoError(t, err)
	res, err := http.Get(where)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)

	_, err = Serve(dir, b, rpc.NewServer(rpc.Options{}), Listening{Address: noted, Choose: "with --api"})
	require.Equal(t, api.CodePrecondition, api.Explain(err).Code)
	require.Equal(t, "stop what uses the port, or choose another with --api", api.Explain(err).Hint)
	require.NoError(t, s.Close())
	require.NoError(t, b.Wait(t.Context()), "closing asks the program to stop")
	_, err = http.Get(where)
	require.Error(t, err)
}

// TestServeGivesItsName: a user's limit of calls to a program is found by that program's name.
func TestServeGivesItsName(t *testing.T) {
	for program, want := range map[string]api.ErrorCode{"venus-wallet": api.CodeLimit, "venus-messager": ""} {
		dir, err := repo.Open(t.TempDir())
		require.NoError(t, err)
		caller := rpc.Caller{Name: "u", Perms: []api.Permission{api.PermRead}, Limits: []api.RateLimit{{Service: "venus-wallet", Cap: 1, Per: time.Hour}}}
		srv := rpc.NewServer(rpc.Options{Verify: func(context.Context, string) (rpc.Caller, error) { return caller, nil }})
		require.NoError(t, srv.Register("/rpc/v0", new(walletapi.WalletProxy), new(walletapi.WalletProxy), walletapi.Namespace))
		s, err := Serve(dir, New(Options{Program: program}), srv, Listening{Address: "/ip4/127.0.0.1/tcp/0"})
		require.NoError(t, err)
		var w walletapi.WalletProxy
		stop, err := rpc.Dial(s.Address, "t", walletapi.Namespace, &w, rpc.DialOptions{})
		require.NoError(t, err)
		_, first := w.Version(t.Context())
		_, second := w.Version(t.Context())
		require.NotEqual(t, api.CodeLimit, api.Explain(first).Code)
		if want != "" {
			require.Equal(t, want, api.Explain(second).Code)
		} else {
			require.Equal(t, api.Explain(first).Code, api.Explain(second).Code)
		}
		stop()
		require.NoError(t, s.Close())
		require.NoError(t, dir.Close())
	}
}

func TestPortAlone(t *testing.T) {
	for in, want := range map[string]string{
		"2345": "/ip4/127.0.0.1/tcp/2345/http", "0": "0", "65536": "65536", "": "", "/ip4/0.0.0.0/tcp/1": "/ip4/0.0.0.0/tcp/1", "host:1": "host:1",
	} {
		require.Equal(t, want, PortAlone(in), in)
	}
}

func TestClosersGoBackwards(t *testing.T) {
	var c Closers
	order := ""
	broken := errors.New("broken")
	c.Then(func() { order += "a" })
	c.Add(func() error { order += "b"; return broken })
	c.Then(func() { order += "c" })
	require.ErrorIs(t, c.Close(), broken)
	require.NoError(t, c.Close())
	require.Equal(t, "cba", order)
}

func TestReadConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	c := struct{ Kept, Read string }{Kept: "default"}
	require.ErrorIs(t, ReadConfig(path, &c, "help"), fs.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("Read = 'it'\n"), 0o600))
	require.NoError(t, ReadConfig(path, &c, "help"))
	require.Equal(t, "default", c.Kept)
	require.Equal(t, "it", c.Read)
	require.NoError(t, os.WriteFile(path, []byte("Unknown = 1\n"), 0o600))
	err := ReadConfig(path, &c, "help")
	require.Equal(t, api.CodeInvalid, api.Explain(err).Code)
	require.Equal(t, "help", api.Explain(err).Hint)
	require.ErrorContains(t, err, path)
}

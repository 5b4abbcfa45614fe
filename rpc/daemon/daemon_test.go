package daemon

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
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

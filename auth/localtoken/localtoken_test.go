package localtoken

import (
	"os"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
)

func TestTokens(t *testing.T) {
	r, err := repo.Open(t.TempDir())
	require.NoError(t, err)
	i, err := Open(r)
	require.NoError(t, err)
	local, err := r.Token()
	require.NoError(t, err)
	st, err := os.Stat(r.Path("token"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	perms, err := i.Verify(local)
	require.NoError(t, err)
	require.Equal(t, api.AllPermissions(), perms)

	again, err := Open(r)
	require.NoError(t, err)
	kept, err := r.Token()
	require.NoError(t, err)
	require.Equal(t, local, kept, "the token stays over restarts")

	signer, err := again.New(api.PermSign.Expand())
	require.NoError(t, err)
	perms, err = i.Verify(string(signer))
	require.NoError(t, err)
	require.Equal(t, []api.Permission{"read", "write", "sign"}, perms)

	other, err := (&Issuer{secret: []byte("another secret, another daemon...")}).New(api.AllPermissions())
	require.NoError(t, err)
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims{Allow: api.AllPermissions()}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)
	h512, err := jwt.NewWithClaims(jwt.SigningMethodHS512, claims{Allow: api.AllPermissions()}).SignedString(i.secret)
	require.NoError(t, err)
	odd, err := i.New([]api.Permission{"root"})
	require.NoError(t, err)
	for name, bad := range map[string]string{
		"empty": "", "other daemon": string(other), "alg none": none, "another hash": h512, "unknown permission": string(odd),
		"cut": local[:len(local)-2], "padded": local + "=", "garbage": "a.b.c", "line end": local + "\n", "line end inside": local[:9] + "\n" + local[9:], "long": strings.Repeat("x", 1<<20),
	} {
		_, err := i.Verify(bad)
		require.ErrorIs(t, err, rpc.ErrBadToken, name)
	}
}

package repo

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
)

func TestOpenLocksAndRemembers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	_, err := Read(dir)
	require.ErrorIs(t, err, ErrAbsent)
	r, err := Open(dir)
	require.NoError(t, err)
	_, err = Open(dir)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, r.SetAPI("/ip4/127.0.0.1/tcp/3453"))
	require.NoError(t, r.SetToken("secret"))
	secret, err := r.Secret()
	require.NoError(t, err)
	require.Len(t, secret, 32)
	require.NoError(t, r.Close())

	d, err := Read(dir)
	require.NoError(t, err)
	token, err := d.Token()
	require.NoError(t, err)
	require.Equal(t, "secret", token)
	info, err := os.Stat(d.Path(tokenFile))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	r, err = Open(dir)
	require.NoError(t, err)
	again, err := r.Secret()
	require.NoError(t, err)
	require.Equal(t, secret, again)
	require.NoError(t, os.WriteFile(r.Path(keystoreName, secretFile), []byte("zz"), 0o600))
	_, err = r.Secret()
	require.ErrorContains(t, err, "damaged", "a damaged secret is never replaced silently")
	require.NoError(t, r.Close())

	require.NoError(t, os.WriteFile(d.Path(versionFile), []byte("99"), 0o600))
	_, err = Open(dir)
	require.ErrorContains(t, err, "newer program")
}

func TestMigrate(t *testing.T) {
	dir := t.TempDir()
	r, err := Open(dir)
	require.NoError(t, err)
	steps := 0
	step := func() error { steps++; return nil }
	disarm := fault.Arm("repo/migrated", func() error { return fault.ErrInjected })
	require.ErrorIs(t, r.Migrate(2, step), fault.ErrInjected)
	disarm()
	require.ErrorIs(t, r.Migrate(2, func() error { return os.ErrPermission }), os.ErrPermission)
	require.NoError(t, r.Migrate(2, step), "a crash before the record lets the step run again")
	require.NoError(t, r.Migrate(2, step))
	require.Equal(t, 2, steps)
	require.NoError(t, r.Close())
	r, err = Open(dir)
	require.NoError(t, err)
	require.NoError(t, r.Migrate(2, step))
	require.Equal(t, 2, steps)
	require.NoError(t, r.Close())
}

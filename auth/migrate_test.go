package auth_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/stores"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/mariadb"
)

func TestMain(m *testing.M) { os.Exit(mariadb.Run(m)) }

// TestMigrate moves a service to MySQL and back, with an interruption at every step, and asks it in between.
func TestMigrate(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	config := filepath.Join(dir, "config.toml")
	d := start(t, dir)
	admin := d.client(t, d.token)
	valid, removed := d.gen(t, "valid", "write"), d.gen(t, "removed", "read")
	for i := range 20 {
		d.gen(t, fmt.Sprint("token-", i), "read")
	}
	require.NoError(t, admin.Remove(ctx, authapi.TokenRef{Token: removed}))
	_, err := admin.AddUser(ctx, authapi.UserRequest{Name: "valid", Miners: []string{"f01000"}})
	require.NoError(t, err)
	opts := auth.Options{Repo: dir, Clock: clock.Real(), OpenStore: stores.Open}
	_, err = auth.Migrate(ctx, opts, auth.MySQL)
	require.Equal(t, api.CodePrecondition, api.Explain(err).Code, "while it runs nothing is moved")
	d.stop()
	_, err = auth.Migrate(ctx, opts, auth.MySQL)
	require.ErrorContains(t, err, "DSN")
	b, err := os.ReadFile(config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(config, append(b, []byte("\n[db2]\n")...), 0o600))
	setDSN(t, config, mariadb.Database(t))

	want := auth.Moved{Tokens: 23, Users: 1, Entries: 25}
	for step := 0; ; step++ {
		passed := 0
		disarm := fault.Arm("auth/migrate", func() error {
			if passed++; passed > step {
				return errors.New("interrupted")
			}
			return nil
		})
		got, err := auth.Migrate(ctx, opts, auth.MySQL)
		disarm()
		if err == nil {
			require.Equal(t, want, got)
			break
		}
		require.ErrorContains(t, err, "interrupted")
		require.Less(t, step, 10)
	}
	ask := func() {
		d = start(t, dir)
		id, err := d.client(t, "").Verify(ctx, valid)
		require.NoError(t, err)
		require.Equal(t, authapi.Identity{Name: "valid", Perm: "write", Scope: &api.Scope{Miners: addrs(t, "f01000")}}, id)
		_, err = d.client(t, "").Verify(ctx, removed)
		require.Error(t, err)
		list, err := d.client(t, d.token).Tokens(ctx, authapi.ListQuery{Removed: true})
		require.NoError(t, err)
		require.Len(t, list, 23, "the local admin token goes on")
		d.stop()
	}
	ask()
	_, err = auth.Migrate(ctx, opts, auth.MySQL)
	require.Equal(t, api.CodePrecondition, api.Explain(err).Code)

	// Back, into an empty folder: the old one holds less of the audit log, and is not overwritten.
	require.NoError(t, os.Rename(filepath.Join(dir, "data"), filepath.Join(dir, "data.old")))
	got, err := auth.Migrate(ctx, opts, auth.Badger)
	require.NoError(t, err)
	require.Equal(t, 23, got.Tokens)
	ask()
}

// TestMigrateOverwritesNothing: a target that holds something else under the same id is refused.
func TestMigrateOverwritesNothing(t *testing.T) {
	ctx := context.Background()
	at := time.Unix(1, 0).UTC()
	open := func() auth.Store {
		s, err := stores.Open(ctx, t.TempDir(), auth.DBConfig{Type: auth.Badger})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	}
	put := func(s auth.Store, id, name string) {
		require.NoError(t, s.Put(ctx, auth.Entry{}, auth.Record{ID: id, Name: name, Perm: "read", CreatedAt: at}))
	}
	a, b, c := open(), open(), open()
	put(a, "1", "one")
	put(b, "1", "uno")
	put(c, "2", "two")
	for name, target := range map[string]auth.Store{"another form": b, "others besides": c} {
		_, err := auth.Copy(ctx, a, target)
		require.Equal(t, api.CodeConflict, api.Explain(err).Code, name)
	}
	r, err := b.Get(ctx, "1")
	require.NoError(t, err)
	require.Equal(t, "uno", r.Name)
}

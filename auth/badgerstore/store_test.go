package badgerstore_test

import (
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/badgerstore"
	"github.com/filecoin-venus/venus/auth/storetest"
)

func TestSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) auth.Store {
		s, err := badgerstore.Open(dir)
		require.NoError(t, err)
		return s
	})
}

// TestLayout1IsMigrated: a database of the first layout opens with everything in it, once and again.
func TestLayout1IsMigrated(t *testing.T) {
	dir := t.TempDir()
	db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil))
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *badger.Txn) error {
		for k, v := range map[string]string{
			"meta/version": "1",
			"t/b":          `{"name":"n","perm":"admin","extra":"x","created":"2026-01-02T03:04:05.000000006Z"}`,
			"t/a":          `{"name":"m","perm":"read","created":"2026-01-03T03:04:05Z","removed":"2026-01-04T03:04:05Z"}`,
			"o/12345678b":  "", "o/12345679a": "",
		} {
			if err := tx.Set([]byte(k), []byte(v)); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(t, db.Close())
	for range 2 {
		s, err := badgerstore.Open(dir)
		require.NoError(t, err)
		recs, err := s.List(t.Context(), auth.Query{Limit: 9, Removed: true})
		require.NoError(t, err)
		require.Len(t, recs, 2)
		require.Equal(t, auth.Record{ID: "b", Name: "n", Perm: "admin", Extra: "x", CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}, recs[0])
		require.True(t, recs[1].Removed)
		require.NoError(t, s.Close())
	}
}

func TestForeignDatabasesAreRefused(t *testing.T) {
	for name, kv := range map[string][2]string{
		"newer": {"meta/version", "3"}, "broken": {"meta/version", "x"}, "another program's": {"TOKEN:x", "{}"},
	} {
		dir := t.TempDir()
		db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil))
		require.NoError(t, err)
		require.NoError(t, db.Update(func(tx *badger.Txn) error { return tx.Set([]byte(kv[0]), []byte(kv[1])) }))
		require.NoError(t, db.Close())
		_, err = badgerstore.Open(dir)
		require.Error(t, err, name)
		require.ErrorContains(t, err, dir, name)
	}
}

package badgerstore_test

import (
	"testing"

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

func TestForeignDatabasesAreRefused(t *testing.T) {
	for name, kv := range map[string][2]string{
		"newer": {"meta/version", "2"}, "broken": {"meta/version", "x"}, "another program's": {"TOKEN:x", "{}"},
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

package kv

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/stretchr/testify/require"
)

// TestOpenAfterACrashInBadger: a kill between emptying and unlinking a log.
func TestOpenAfterACrashInBadger(t *testing.T) {
	o := badger.DefaultOptions(t.TempDir()).WithLogger(nil)
	db, err := Open(o)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *badger.Txn) error { return tx.Set([]byte("k"), []byte("v")) }))
	require.NoError(t, db.Close())
	require.NoError(t, os.WriteFile(filepath.Join(o.Dir, "00077.mem"), nil, 0o600))
	db, err = Open(o)
	require.NoError(t, err)
	require.NoError(t, db.View(func(tx *badger.Txn) error { _, err := tx.Get([]byte("k")); return err }))
	require.NoError(t, db.Close())
}

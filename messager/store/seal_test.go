package store

import (
	"bytes"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/mariadb"
)

const canary = "canary.token.of-a-wallet"

// keyOf makes a key of a secret that consists of one byte.
func keyOf(t testing.TB, of byte) Key {
	k, err := NewKey(bytes.Repeat([]byte{of}, KeySize))
	require.NoError(t, err)
	return k
}

// stored is the column token of a table, as it is.
func stored(t *testing.T, db *DB, table string) (out string) {
	require.NoError(t, db.r.QueryRowContext(t.Context(), "SELECT token FROM "+table).Scan(&out))
	return out
}

// TestTokensAreSealed: tokens cannot be read in the database, nor moved to another row of it.
func TestTokensAreSealed(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		put := func() {
			require.NoError(t, db.Update(t.Context(), func(tx *Tx) error {
				if err := tx.AddWallet(Wallet{Name: "w", URL: "u", Token: canary, Created: t0}); err != nil {
					return err
				}
				return tx.AddNode(Node{Name: "n", URL: "u", Token: canary})
			}))
		}
		tokens := func() (string, string) {
			ws, err := db.Wallets(t.Context())
			require.NoError(t, err)
			ns, err := db.Nodes(t.Context())
			require.NoError(t, err)
			return ws[0].Token, ns[0].Token
		}
		put()
		for _, table := range []string{"wallets", "nodes"} {
			require.NotContains(t, stored(t, db, table), "canary")
		}
		w, n := tokens()
		require.Equal(t, []string{canary, canary}, []string{w, n})

		require.NoError(t, db.Update(t.Context(), func(tx *Tx) error {
			return tx.ChangeWallet(Wallet{Name: "w", URL: "u2", Token: canary + "2", Updated: t0})
		}))
		require.NotContains(t, stored(t, db, "wallets"), "canary")
		w, _ = tokens()
		require.Equal(t, canary+"2", w)
		require.ErrorIs(t, db.Update(t.Context(), func(tx *Tx) error { return tx.ChangeWallet(Wallet{Name: "x"}) }), ErrNotFound)

		exec := func(q string, args ...any) {
			_, err := db.w.ExecContext(t.Context(), q, args...)
			require.NoError(t, err)
		}
		// Who may write to the database cannot have a token sent elsewhere under another name.
		exec("UPDATE nodes SET token=?", stored(t, db, "wallets"))
		_, n = tokens()
		require.Empty(t, n)
		// Rows of an older version are sealed when the database is opened.
		exec("UPDATE wallets SET token=?", canary)
		require.NoError(t, db.checkKey(t.Context()))
		require.NotContains(t, stored(t, db, "wallets"), "canary")
		w, _ = tokens()
		require.Equal(t, canary, w)
		for _, odd := range []string{sealedPrefix, sealedPrefix + "%%", sealedPrefix + "AAAA", sealedPrefix + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} {
			exec("UPDATE wallets SET token=?", odd)
			w, _ = tokens()
			require.Empty(t, w, odd)
		}
	})
}

// FuzzSealed: whatever stands in the column of a token opens to the token that was sealed for the place, or to none.
func FuzzSealed(f *testing.F) {
	k := keyOf(f, 1)
	good := k.seal("wallets/w", canary)
	for _, seed := range []string{"", canary, good, good[:len(good)-1], sealedPrefix, sealedPrefix + "AAAA", k.seal("wallets/v", canary)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stored string) {
		switch got := k.open("wallets/w", stored); {
		case !strings.HasPrefix(stored, sealedPrefix):
			require.Equal(t, stored, got)
		case got != "":
			require.Equal(t, canary, got, "sealed by nobody")
		}
		require.Equal(t, stored, k.open("p", k.seal("p", stored)))
	})
}

// TestSealedFormat: a database of an older version opens. AES-256-GCM, the nonce of 12 bytes first, the place authenticated.
func TestSealedFormat(t *testing.T) {
	k := keyOf(t, 1)
	require.Equal(t, canary, k.open("wallets/w", "sealed:bm9uY2Ugb2Ygb2xk1HaUK9hS9+u25Ea+C0/CYqyZEZBKqCbB8AZfCV9ERoEJgHLoq7HBsg"))
	require.NotEqual(t, k.seal("wallets/w", canary), k.seal("wallets/w", canary), "a nonce of its own each time")
	_, err := NewKey(make([]byte, KeySize-1))
	require.ErrorContains(t, err, "31 bytes, not 32")
}

// TestAnotherKeyIsRefused: messagers that share a database share its key, and one that does not says what to do. Of many
// that come first at once, one chooses.
func TestAnotherKeyIsRefused(t *testing.T) {
	for _, kind := range []string{SQLite, MySQL} {
		t.Run(kind, func(t *testing.T) {
			c := Config{Type: kind, Path: filepath.Join(t.TempDir(), "m.db"), NoSync: true, Key: keyOf(t, 1)}
			if kind == MySQL {
				c.DSN = mariadb.Database(t)
			}
			first, err := Open(t.Context(), c)
			require.NoError(t, err)
			_, err = first.w.ExecContext(t.Context(), "DELETE FROM settings WHERE name=?", keySetting)
			require.NoError(t, err)
			var opening sync.WaitGroup
			for range 4 {
				opening.Go(func() {
					db, err := Open(t.Context(), c)
					if err == nil {
						err = db.Close()
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			opening.Wait()
			require.NoError(t, first.Close())
			c.Key = keyOf(t, 2)
			_, err = Open(t.Context(), c)
			require.ErrorIs(t, err, ErrOtherKey)
			require.Equal(t, api.CodePrecondition, api.Explain(err).Code)
			require.Contains(t, api.Explain(err).Hint, "database-key")
		})
	}
}

package store

import (
	"io/fs"
	"sync"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/mariadb"
	"github.com/filecoin-venus/venus/messager/machine"
)

// TestMigrationsKeepWhatIsThere: a database of the first version, with messages in every
// table, comes up to date and nothing is lost; and goes all the way back.
func TestMigrationsKeepWhatIsThere(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		m := message(t, "old", "s", t0)
		insert(t, db, &m)
		want := step(t, db, "old", assigned(&m, 3))
		require.NoError(t, db.Update(t.Context(), func(tx *Tx) error {
			if err := tx.PutSender(Sender{Addr: m.Msg.From, NextNonce: 4, SelNum: 7, Created: t0, Updated: t0}); err != nil {
				return err
			}
			if err := tx.AddNode(Node{Name: "n", URL: "u", Token: "t"}); err != nil {
				return err
			}
			return tx.Attempt(&want)
		}))
		kind, dialect := SQLite, goose.DialectSQLite3
		if db.opened.MySQL {
			kind, dialect = MySQL, goose.DialectMySQL
		}
		sub, err := fs.Sub(migrations, "migrations/"+kind)
		require.NoError(t, err)
		p, err := goose.NewProvider(dialect, db.w, sub)
		require.NoError(t, err)
		up := func() {
			_, err := p.Up(t.Context())
			require.NoError(t, err)
		}
		_, err = p.DownTo(t.Context(), 1)
		require.NoError(t, err)
		up()
		got, err := db.Get(t.Context(), "old")
		require.NoError(t, err)
		require.Equal(t, machine.Signed, got.State)
		require.Equal(t, want.SignedCid, got.SignedCid)
		require.Zero(t, got.Spent.Sign())
		s, err := db.Sender(t.Context(), m.Msg.From)
		require.NoError(t, err)
		require.EqualValues(t, 4, s.NextNonce)
		require.Zero(t, s.ReplacedSum.Sign())
		nodes, err := db.Nodes(t.Context())
		require.NoError(t, err)
		require.Equal(t, []Node{{Name: "n", URL: "u", Token: "t"}}, nodes)
		attempts, err := db.Attempts(t.Context(), "old")
		require.NoError(t, err)
		require.Len(t, attempts, 1)
		_, err = p.DownTo(t.Context(), 0)
		require.NoError(t, err)
		up() // and from nothing
	})
}

// TestManyStartAtOnce: messagers that find an empty database together make its tables once, and choose one key.
func TestManyStartAtOnce(t *testing.T) {
	c := Config{Type: MySQL, DSN: mariadb.Database(t), Key: Key{7}}
	var starting sync.WaitGroup
	for range 5 {
		starting.Go(func() {
			db, err := Open(t.Context(), c)
			if err == nil {
				err = db.Close()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
}

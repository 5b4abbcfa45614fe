package store

import (
	"io/fs"
	"strings"
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
	c := Config{Type: MySQL, DSN: mariadb.Database(t), Key: keyOf(t, 7)}
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

// TestMigrationsGoOn: MySQL commits every change of a table by itself. A messager that died after a statement of a migration
// starts again and finds all its tables.
func TestMigrationsGoOn(t *testing.T) {
	sub, err := fs.Sub(migrations, "migrations/mysql")
	require.NoError(t, err)
	files, err := fs.Glob(sub, "*.sql")
	require.NoError(t, err)
	// One database for all: it is taken all the way back each time.
	db, err := Open(t.Context(), Config{Type: MySQL, DSN: mariadb.Database(t), Key: keyOf(t, 0)})
	require.NoError(t, err)
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectMySQL, db.w, sub)
	require.NoError(t, err)
	want := schema(t, db)
	require.Greater(t, len(want), 50)
	tried := 0
	for i, name := range files {
		raw, err := fs.ReadFile(sub, name)
		require.NoError(t, err)
		up, _, ok := strings.Cut(string(raw), "-- +goose Down")
		require.True(t, ok)
		statements := strings.Split(strings.TrimSpace(up), ";\n")
		for done := 1; done <= len(statements); done++ {
			if i == 0 && done != 1 && done != len(statements)/2 && done != len(statements) {
				continue // they are alike, and make the most tables
			}
			_, err = p.DownTo(t.Context(), int64(i))
			require.NoError(t, err)
			conn, err := db.w.Conn(t.Context())
			require.NoError(t, err)
			for _, q := range statements[:done] {
				_, err = conn.ExecContext(t.Context(), strings.TrimSuffix(q, ";"))
				require.NoError(t, err, q)
			}
			require.NoError(t, conn.Close())
			_, err = p.Up(t.Context())
			require.NoError(t, err, "after %d statements of %s", done, name)
			require.Equal(t, want, schema(t, db))
			tried++
		}
	}
	require.Greater(t, tried, 20)
}

// schema is all columns and indexes of a MySQL database.
func schema(t *testing.T, db *DB) (out []string) {
	rows, err := db.w.QueryContext(t.Context(), `SELECT CONCAT(TABLE_NAME, '.', COLUMN_NAME, ' ', COLUMN_TYPE) AS x FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()
		UNION SELECT CONCAT(TABLE_NAME, ' ', INDEX_NAME, ' ', SEQ_IN_INDEX, ' ', COLUMN_NAME) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() ORDER BY x`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var s string
		require.NoError(t, rows.Scan(&s))
		out = append(out, s)
	}
	require.NoError(t, rows.Err())
	return out
}

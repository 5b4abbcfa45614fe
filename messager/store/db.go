package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/sqldb"
)

//go:embed migrations
var migrations embed.FS

// Errors that callers tell apart.
var (
	ErrNotFound = errors.New("not found")
	// ErrExists: a row with this key is there already.
	ErrExists = errors.New("exists already")
	// ErrStale: the row was changed since it was read; read again and retry.
	ErrStale = errors.New("changed meanwhile")
)

// Kinds of database.
const (
	SQLite = sqldb.SQLite
	MySQL  = sqldb.MySQL
)

// Config says where the database is.
type Config struct {
	// Type is SQLite or MySQL.
	Type string
	// Path is the SQLite file.
	Path string
	// DSN is a go-sql-driver connection string.
	DSN string
	// Key seals the tokens; all who open the database have the same. It is never left out.
	Key Key
	// NoSync gives up durability over a power cut (SQLite): for tests and simulations.
	NoSync bool
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	opened *sqldb.DB
	w, r   *sql.DB // the opened database's, to write and to read
	key    Key
}

// Open opens the database and brings its tables up to date. A SQLite file is made
// readable by its owner only.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Key.gcm == nil {
		return nil, errors.New("the message database was given no key for its tokens")
	}
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("find migrations: %w", err)
	}
	opened, err := sqldb.Open(ctx, sqldb.Config{Type: c.Type, Path: c.Path, DSN: c.DSN, NoSync: c.NoSync}, sub)
	if err != nil {
		return nil, fmt.Errorf("message database: %w", err)
	}
	db := &DB{opened: opened, w: opened.W, r: opened.R, key: c.Key}
	if opened.MySQL {
		db.w.SetMaxOpenConns(32) // workers of many senders, and callers
		db.w.SetMaxIdleConns(16)
	}
	if err := db.checkKey(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Close closes the database.
func (db *DB) Close() error { return db.opened.Close() }

// Tx is a transaction.
type Tx struct {
	tx  *sql.Tx
	ctx context.Context
	my  bool
	key Key
	// notes and attempts are written together, at the end.
	notes, attempts []any
}

// Update runs fn in a transaction and commits it if fn returns nil. fn may run
// more than once: when the database gave up on a deadlock or was busy.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	const tries = 5
	var err error
	for i := 0; i < tries; i++ {
		if err = db.once(ctx, fn); err == nil || !sqldb.Retryable(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (db *DB) once(ctx context.Context, fn func(*Tx) error) error {
	if err := fault.Point("messager/begin"); err != nil {
		return err
	}
	tx, err := db.w.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	t := &Tx{tx: tx, ctx: ctx, my: db.opened.MySQL, key: db.key}
	err = fn(t)
	if err == nil {
		err = t.flush()
	}
	if err != nil {
		if rerr := tx.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
			return errors.Join(err, rerr)
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	// On disk, though nobody was told: every caller must bear that.
	return fault.Point("messager/committed")
}

// duplicate knows the errors of a unique key.
func duplicate(err error) bool {
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		return my.Number == 1062
	}
	return strings.Contains(err.Error(), "UNIQUE constraint failed") || strings.Contains(err.Error(), "PRIMARY KEY constraint failed")
}

// maxRows and maxBytes bound one statement; servers take 16 MiB.
const (
	maxRows  = 200
	maxBytes = 1 << 20
)

// insertMany inserts rows of so many columns each, given one after the other.
func (t *Tx) insertMany(into string, columns int, args []any) error {
	one := "(" + strings.TrimSuffix(strings.Repeat("?,", columns), ",") + "),"
	for len(args) > 0 {
		n := rowsOf(args, columns)
		if _, err := t.exec("INSERT INTO "+into+" VALUES "+strings.TrimSuffix(strings.Repeat(one, n), ","), args[:n*columns]...); err != nil {
			return err
		}
		args = args[n*columns:]
	}
	return nil
}

// rowsOf is how many rows go into one statement: at least one.
func rowsOf(args []any, columns int) int {
	size := 0
	for i, a := range args {
		switch v := a.(type) {
		case string:
			size += len(v)
		case []byte:
			size += len(v)
		default:
			size += 8
		}
		if size > maxBytes {
			return max(1, min(i/columns, maxRows))
		}
	}
	return min(len(args)/columns, maxRows)
}

// flush writes what was kept for the end.
func (t *Tx) flush() error {
	if err := t.insertMany("attempts (signed_cid, unsigned_cid, message_id, signed, created_at)", 5, t.attempts); err != nil {
		return fmt.Errorf("store attempts: %w", err)
	}
	if err := t.insertMany("notes (message_id, at, kind, text)", 4, t.notes); err != nil {
		return fmt.Errorf("store history: %w", err)
	}
	return nil
}

func (t *Tx) exec(query string, args ...any) (int64, error) {
	res, err := t.tx.ExecContext(t.ctx, query, args...)
	if err != nil {
		if duplicate(err) {
			return 0, fmt.Errorf("%w: %w", ErrExists, err)
		}
		return 0, err
	}
	return res.RowsAffected()
}

// upsert is the one statement the two dialects spell differently.
func (t *Tx) upsert(table string, keys, vals []string, args ...any) error {
	cols := append(append([]string(nil), keys...), vals...)
	q := "INSERT INTO " + table + " (" + strings.Join(cols, ",") + ") VALUES (" + strings.TrimSuffix(strings.Repeat("?,", len(cols)), ",") + ")"
	set := make([]string, len(vals))
	if t.my {
		for i, v := range vals {
			set[i] = v + "=VALUES(" + v + ")"
		}
		q += " ON DUPLICATE KEY UPDATE " + strings.Join(set, ",")
	} else {
		for i, v := range vals {
			set[i] = v + "=excluded." + v
		}
		q += " ON CONFLICT (" + strings.Join(keys, ",") + ") DO UPDATE SET " + strings.Join(set, ",")
	}
	_, err := t.exec(q, args...)
	return err
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// Package sqldb opens a program's database: SQLite in a file, or MySQL and MariaDB by a connection string, brought up to
// date by numbered migrations.
//
// Start reading at Open; DB.Update is how everything is written. Invariants: a commit of SQLite is on disk when it
// returns; a database of a later schema than the program knows is refused; programs that open one MySQL database together
// migrate it one after the other; no error repeats a password. MySQL commits every change of a table by itself: migrations
// for it must bear to be begun again after a crash (CREATE TABLE IF NOT EXISTS).
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"

	_ "github.com/glebarez/go-sqlite" // registers the driver "sqlite"
	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"

	"github.com/filecoin-venus/venus/api"
)

// Kinds of database.
const (
	SQLite = "sqlite"
	MySQL  = "mysql"
)

// Config says where a database is.
type Config struct {
	// Type is SQLite, also when empty, or MySQL.
	Type string
	// Path is the SQLite file. It is made readable by its owner only.
	Path string
	// DSN is a go-sql-driver connection string: user:password@tcp(host:3306)/database.
	DSN string
	// NoSync gives up durability over a power cut (SQLite): for tests and simulations.
	NoSync bool
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	// W writes: with SQLite one connection, as its writers would only wait for each other. R reads beside it.
	W, R *sql.DB
	// MySQL tells the dialect.
	MySQL bool
}

// Open opens a database and applies the migrations: a folder "sqlite" and a folder "mysql" of goose's numbered files.
func Open(ctx context.Context, c Config, migrations fs.FS) (*DB, error) {
	db := new(DB)
	var err error
	switch c.Type {
	case "", SQLite:
		err = db.openSQLite(c.Path, c.NoSync)
	case MySQL:
		db.MySQL = true
		err = db.openMySQL(ctx, c.DSN)
	default:
		return nil, api.Errorf(api.CodeInvalid, "database type %q is unknown", c.Type).WithHint("the types are %s and %s", SQLite, MySQL)
	}
	if err != nil {
		return nil, err
	}
	err = db.alone(ctx, func() error { return db.migrate(ctx, migrations) })
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (db *DB) openSQLite(path string, noSync bool) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	sync := "synchronous(FULL)"
	if noSync {
		sync = "synchronous(OFF)"
	}
	q := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", sync, "foreign_keys(1)"}}
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
	// Immediate: a transaction is alone from its first statement, so that what it read still holds when it writes.
	if db.W, err = sql.Open("sqlite", name+"&_txlock=immediate"); err != nil {
		return fmt.Errorf("open database %s: %w", path, err)
	}
	db.W.SetMaxOpenConns(1)
	if db.R, err = sql.Open("sqlite", name); err != nil {
		return errors.Join(fmt.Errorf("open database %s: %w", path, err), db.W.Close())
	}
	db.R.SetMaxOpenConns(4)
	return nil
}

func (db *DB) openMySQL(ctx context.Context, dsn string) error {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return api.Errorf(api.CodeInvalid, "the MySQL connection string cannot be read").
			WithHint("its form is user:password@tcp(host:3306)/database")
	}
	cfg.ClientFoundRows = true // count matched rows, as SQLite does, not changed ones
	cfg.InterpolateParams = true
	conn, err := mysql.NewConnector(cfg)
	if err != nil {
		cfg.InterpolateParams = false // collations in which it would not be safe
		conn, err = mysql.NewConnector(cfg)
	}
	if err != nil {
		return fmt.Errorf("prepare database connection: %w", err)
	}
	pool := sql.OpenDB(conn)
	pool.SetMaxOpenConns(16)
	pool.SetMaxIdleConns(8)
	pool.SetConnMaxLifetime(2 * time.Minute)
	if err := pool.PingContext(ctx); err != nil {
		return errors.Join(api.Errorf(api.CodeUnavailable, "cannot reach the database %s at %s: %w", cfg.DBName, cfg.Addr, err).
			WithHint("check that the server runs, that the database exists and that the connection string is right"), pool.Close())
	}
	db.W, db.R = pool, pool
	return nil
}

// alone keeps programs that open a MySQL database at the same time from changing its tables together. The server frees
// the lock of a program that dies.
func (db *DB) alone(ctx context.Context, fn func() error) error {
	if !db.MySQL {
		return fn()
	}
	conn, err := db.W.Conn(ctx)
	if err != nil {
		return fmt.Errorf("lock the database's tables: %w", err)
	}
	defer conn.Close()
	var got sql.NullInt64
	const seconds = 60
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(CONCAT('venus.', DATABASE()), ?)", seconds).Scan(&got); err != nil {
		return fmt.Errorf("lock the database's tables: %w", err)
	}
	if got.Int64 != 1 {
		return api.Errorf(api.CodeUnavailable, "another program has been changing the database's tables for %d seconds", seconds).WithHint("wait for it and start again")
	}
	err = fn()
	if _, rerr := conn.ExecContext(ctx, "DO RELEASE_LOCK(CONCAT('venus.', DATABASE()))"); rerr != nil {
		return errors.Join(err, fmt.Errorf("unlock the database's tables: %w", rerr))
	}
	return err
}

func (db *DB) migrate(ctx context.Context, migrations fs.FS) error {
	kind, dialect := SQLite, goose.DialectSQLite3
	if db.MySQL {
		kind, dialect = MySQL, goose.DialectMySQL
	}
	dir, err := fs.Sub(migrations, kind)
	if err != nil {
		return fmt.Errorf("find migrations: %w", err)
	}
	p, err := goose.NewProvider(dialect, db.W, dir)
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the database's schema version: %w", err)
	}
	list := p.ListSources()
	if last := list[len(list)-1].Version; have > last {
		return api.Errorf(api.CodePrecondition, "the database has schema %d, this program knows up to %d", have, last).
			WithHint("use the newer program that wrote it")
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the database up to date: %w", err)
	}
	return nil
}

// Close closes the database.
func (db *DB) Close() error {
	err := db.W.Close()
	if db.R != nil && db.R != db.W {
		err = errors.Join(err, db.R.Close())
	}
	return err
}

// Update runs fn in a transaction and commits it when fn returns nil. fn may run more than once: when the database gave
// up on a deadlock or was busy.
func (db *DB) Update(ctx context.Context, fn func(*sql.Tx) error) error {
	const tries = 5
	var err error
	for range tries {
		if err = db.once(ctx, fn); err == nil || !Retryable(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (db *DB) once(ctx context.Context, fn func(*sql.Tx) error) error {
	var o *sql.TxOptions
	if db.MySQL {
		// Every statement sees what is committed when it runs; rows that must not change are locked by name.
		o = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	tx, err := db.W.BeginTx(ctx, o)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := fn(tx); err != nil {
		if rerr := tx.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
			return errors.Join(err, rerr)
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Retryable knows the errors that only mean "try the transaction again".
func Retryable(err error) bool {
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		return my.Number == 1213 || my.Number == 1205
	}
	return strings.Contains(err.Error(), "database is locked") || strings.Contains(err.Error(), "SQLITE_BUSY")
}

// Ignore is how an INSERT begins that leaves a row alone which is there already.
func (db *DB) Ignore() string {
	if db.MySQL {
		return "INSERT IGNORE"
	}
	return "INSERT OR IGNORE"
}

// ForUpdate ends a SELECT whose rows nobody else may change before the transaction ends. SQLite's transactions are alone
// anyway.
func (db *DB) ForUpdate() string {
	if db.MySQL {
		return " FOR UPDATE"
	}
	return ""
}

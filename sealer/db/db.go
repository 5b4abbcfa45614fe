// Package db is the sealer's memory: sectors, their log and intermediate
// results, tasks, and the WindowPoSt planner's state, in one SQL database.
//
// Start at Open; one file per kind of record. SQLite is the default, MySQL is
// chosen by configuration, and the statements are those both understand.
//
// Invariants: a method that writes has synced to disk when it returns nil;
// what belongs together is written in one transaction; schema changes are
// numbered files in migrations/ that are applied at Open, and a database of a
// later schema is refused.
package db

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"

	_ "github.com/glebarez/go-sqlite"  // driver "sqlite"
	_ "github.com/go-sql-driver/mysql" // driver "mysql"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNotFound is returned for a record that does not exist.
var ErrNotFound = errors.New("not found")

// Config chooses the database. Type is "sqlite" (default) with Path, a file, or
// "mysql" with DSN.
type Config struct {
	Type string `toml:"type"`
	Path string `toml:"path"`
	DSN  string `toml:"dsn"`
	// NoSync gives up durability over a power cut (sqlite): for tests that restart more than disks can bear.
	NoSync bool `toml:"-"`
}

// DB is an open database.
type DB struct{ sql *sql.DB }

// Open opens the database and brings its schema up to date.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	var (
		driver, dsn string
		dialect     goose.Dialect
	)
	switch cfg.Type {
	case "", "sqlite":
		sync := "synchronous(FULL)"
		if cfg.NoSync {
			sync = "synchronous(OFF)"
		}
		q := url.Values{"_pragma": {"journal_mode(WAL)", sync, "busy_timeout(10000)", "foreign_keys(1)"}, "_txlock": {"immediate"}}
		driver, dsn, dialect = "sqlite", "file:"+(&url.URL{Path: cfg.Path}).EscapedPath()+"?"+q.Encode(), goose.DialectSQLite3
	case "mysql":
		driver, dsn, dialect = "mysql", cfg.DSN, goose.DialectMySQL
	default:
		return nil, fmt.Errorf("database type %q: want sqlite or mysql", cfg.Type)
	}
	s, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	s.SetMaxOpenConns(4)
	if err := migrate(ctx, dialect, s); err != nil {
		_ = s.Close()
		return nil, err
	}
	return &DB{sql: s}, nil
}

func migrate(ctx context.Context, dialect goose.Dialect, s *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	p, err := goose.NewProvider(dialect, s, dir)
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the database's schema version: %w", err)
	}
	sources := p.ListSources()
	if last := sources[len(sources)-1].Version; have > last {
		return fmt.Errorf("the database has schema %d, this program knows up to %d: use the newer program that wrote it", have, last)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the database up to date: %w", err)
	}
	return nil
}

// Close closes the database.
func (d *DB) Close() error { return d.sql.Close() }

// tx runs f in one transaction.
func (d *DB) tx(ctx context.Context, f func(*sql.Tx) error) error {
	t, err := d.sql.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := f(t); err != nil {
		return errors.Join(err, ignoreDone(t.Rollback()))
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// put replaces a row by delete and insert, which both databases understand.
func put(ctx context.Context, t *sql.Tx, table, where string, key []any, columns string, values ...any) error {
	if _, err := t.ExecContext(ctx, "DELETE FROM "+table+" WHERE "+where, key...); err != nil {
		return fmt.Errorf("replace row of %s: %w", table, err)
	}
	marks := "?"
	for range values[1:] {
		marks += ",?"
	}
	if _, err := t.ExecContext(ctx, "INSERT INTO "+table+" ("+columns+") VALUES ("+marks+")", values...); err != nil {
		return fmt.Errorf("insert into %s: %w", table, err)
	}
	return nil
}

// Meta reads a named value; ErrNotFound when it was never set.
func (d *DB) Meta(ctx context.Context, name string) ([]byte, error) {
	var v []byte
	err := d.sql.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", name).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("value %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read value %s: %w", name, err)
	}
	return v, nil
}

// SetMeta writes a named value.
func (d *DB) SetMeta(ctx context.Context, name string, value []byte) error {
	return d.tx(ctx, func(t *sql.Tx) error {
		return put(ctx, t, "meta", "name = ?", []any{name}, "name, value", name, value)
	})
}

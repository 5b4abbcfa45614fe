// Package db is the sealer's memory: sectors, their log and intermediate
// results, deals, messages that sectors share, tasks, and the WindowPoSt
// planner's state, in one SQL database.
//
// Start at Open; one file per kind of record. SQLite is the default, MySQL is
// chosen by configuration, and the statements are those both understand. Dump
// and Fill carry all of it into a backup and back, from either to either.
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

	"github.com/filecoin-venus/venus/internal/sqldb"
)

//go:embed migrations
var migrations embed.FS

// ErrNotFound is returned for a record that does not exist.
var ErrNotFound = errors.New("not found")

// Config chooses the database. Type is "sqlite" (default) with Path, a file, or
// "mysql" with DSN. One database is one sealer's.
type Config struct {
	Type string `toml:"type"`
	Path string `toml:"path"`
	DSN  string `toml:"dsn"`
	// NoSync gives up durability over a power cut (sqlite): for tests that restart more than disks can bear.
	NoSync bool `toml:"-"`
}

// DB is an open database. It is safe for concurrent use.
type DB struct{ sql *sqldb.DB }

// Open opens the database and brings its schema up to date.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("find migrations: %w", err)
	}
	s, err := sqldb.Open(ctx, sqldb.Config{Type: cfg.Type, Path: cfg.Path, DSN: cfg.DSN, NoSync: cfg.NoSync}, dir)
	if err != nil {
		return nil, fmt.Errorf("sealer's database: %w", err)
	}
	return &DB{sql: s}, nil
}

// Close closes the database.
func (d *DB) Close() error { return d.sql.Close() }

// tx runs f in one transaction; f may run more than once.
func (d *DB) tx(ctx context.Context, f func(*sql.Tx) error) error { return d.sql.Update(ctx, f) }

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
	err := d.sql.R.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", name).Scan(&v)
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

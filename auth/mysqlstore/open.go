// Package mysqlstore keeps what venus-auth knows in MySQL or MariaDB.
//
// Start reading at Open. The tables are made by the numbered migrations, which are only ever added to; a database made
// by hand with the guide's statements is taken over (migrate.go).
//
// Invariants: addresses are stored as bytes; a change and the audit entry that tells of it are one transaction; a
// connection string, which holds a password, is in no error and no log.
package mysqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/auth"
)

// Config is what the section [db] of config.toml says.
type Config struct {
	// DSN is a connection string of go-sql-driver: user:password@tcp(host:port)/database?parameters. "tcp" may be missing.
	DSN                        string
	MaxOpenConns, MaxIdleConns int
	MaxLifeTime, MaxIdleTime   time.Duration
}

// Defaults of what a configuration leaves out.
const (
	defaultConns = 64
	defaultLife  = 2 * time.Minute
	defaultIdle  = 30 * time.Second
	ioTimeout    = 10 * time.Second
)

// Store is an open database. It implements auth.Store and is safe for concurrent use, also by several processes.
type Store struct{ db *sql.DB }

var _ auth.Store = (*Store)(nil)

// Open connects and brings the tables up to date.
func Open(ctx context.Context, c Config) (*Store, error) {
	cfg, err := mysql.ParseDSN(c.DSN)
	if err != nil || cfg.DBName == "" {
		return nil, api.Errorf(api.CodeInvalid, "the DSN in [db] cannot be read").
			WithHint("its form is user:password@tcp(host:3306)/venus_auth?parseTime=true")
	}
	cfg.ClientFoundRows, cfg.ParseTime, cfg.Logger = true, true, quiet{}
	for _, t := range []*time.Duration{&cfg.Timeout, &cfg.ReadTimeout, &cfg.WriteTimeout} {
		if *t == 0 {
			*t = ioTimeout
		}
	}
	conn, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("prepare database connection: %w", err)
	}
	db := sql.OpenDB(conn)
	db.SetMaxOpenConns(or(c.MaxOpenConns, defaultConns))
	db.SetMaxIdleConns(or(c.MaxIdleConns, defaultConns))
	db.SetConnMaxLifetime(or(c.MaxLifeTime, defaultLife))
	db.SetConnMaxIdleTime(or(c.MaxIdleTime, defaultIdle))
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(api.Errorf(api.CodeUnavailable, "cannot use the database %s at %s: %w", cfg.DBName, cfg.Addr, err).
			WithHint("check that the server runs, that the database exists and that DSN in [db] is right"), db.Close())
	}
	if err := migrate(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("bring the tables of %s up to date: %w", cfg.DBName, err), db.Close())
	}
	return &Store{db}, nil
}

func or[T ~int | ~int64](v, other T) T {
	if v <= 0 {
		return other
	}
	return v
}

// quiet drops what the driver would print: the errors themselves are returned.
type quiet struct{}

// Print drops.
func (quiet) Print(...any) {}

// update runs a transaction, again when the database gave up on a deadlock.
func (s *Store) update(ctx context.Context, fn func(tx *sql.Tx) error) error {
	const tries = 5
	var err error
	for range tries {
		if err = s.once(ctx, fn); !number(err, 1213, 1205) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (s *Store) once(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		if rerr := tx.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
			return errors.Join(err, rerr)
		}
		return err
	}
	return tx.Commit()
}

// number tells whether an error is one of the server's by number.
func number(err error, numbers ...uint16) bool {
	var my *mysql.MySQLError
	if !errors.As(err, &my) {
		return false
	}
	for _, n := range numbers {
		if my.Number == n {
			return true
		}
	}
	return false
}

func duplicate(err error) bool { return number(err, 1062) }

// Close closes the connections.
func (s *Store) Close() error { return s.db.Close() }

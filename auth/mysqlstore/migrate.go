package mysqlstore

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/stored"
	"github.com/filecoin-venus/venus/auth/token"
)

//go:embed migrations
var migrations embed.FS

// versions is the table that says which migrations were done. It has a name of its own: services may share a database.
const versions = "auth_schema_versions"

func migrate(ctx context.Context, db *sql.DB) error {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	store, err := database.NewStore(goose.DialectMySQL, versions)
	if err != nil {
		return err
	}
	guide := goose.NewGoMigration(2, &goose.GoFunc{RunDB: takeOver}, nil)
	p, err := goose.NewProvider("", db, sub, goose.WithStore(store), goose.WithGoMigrations(guide))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// takeOver moves the tokens out of the guide's table, when there is one. They stay valid, known by the hash of their
// text; the table, which holds the texts themselves, goes once all are there. It may be interrupted anywhere.
func takeOver(ctx context.Context, db *sql.DB) error {
	var there int
	err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'token'").Scan(&there)
	if err != nil || there == 0 {
		return err
	}
	rows, err := db.QueryContext(ctx, "SELECT name, token, createTime, perm, COALESCE(extra, '') FROM token")
	if err != nil {
		return fmt.Errorf("read the guide's table token: %w", err)
	}
	defer rows.Close()
	var found []auth.Record
	for rows.Next() {
		var text, perm string
		var r auth.Record
		var created time.Time
		if err := rows.Scan(&r.Name, &text, &created, &perm, &r.Extra); err != nil {
			return fmt.Errorf("read the guide's table token: %w", err)
		}
		r.ID, r.Perm, r.CreatedAt = token.HashID(text), api.Permission(perm), created.UTC()
		found = append(found, r)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the guide's table token: %w", err)
	}
	for _, r := range found {
		doc, err := stored.Token(r)
		if err != nil {
			return err
		}
		if _, err := db.ExecContext(ctx, insertToken+" ON DUPLICATE KEY UPDATE id=id", r.ID, r.Name, r.CreatedAt.UnixNano(), r.Removed, doc); err != nil {
			return fmt.Errorf("take over a token of %q: %w", r.Name, err)
		}
	}
	if _, err := db.ExecContext(ctx, "DROP TABLE token"); err != nil {
		return fmt.Errorf("drop the guide's table token: %w", err)
	}
	return nil
}

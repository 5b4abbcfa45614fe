package mysqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/stored"
)

const insertToken = "INSERT INTO auth_tokens (id, name, created_at, removed, doc) VALUES (?,?,?,?,?)"

func addTokens(ctx context.Context, tx *sql.Tx, rs []auth.Record) error {
	for _, r := range rs {
		doc, err := stored.Token(r)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, insertToken, r.ID, r.Name, r.CreatedAt.UnixNano(), r.Removed, doc); err != nil {
			if duplicate(err) {
				return auth.ErrExists
			}
			return fmt.Errorf("add token %s: %w", r.ID, err)
		}
	}
	return nil
}

// Put adds records.
func (s *Store) Put(ctx context.Context, e auth.Entry, rs ...auth.Record) error {
	return s.update(ctx, func(tx *sql.Tx) error {
		if err := addTokens(ctx, tx, rs); err != nil {
			return err
		}
		return appendEntry(ctx, tx, e)
	})
}

// row reads a document, ErrUnknown when there is none.
func row(r *sql.Row) ([]byte, error) {
	var doc []byte
	err := r.Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, auth.ErrUnknown
	}
	return doc, err
}

// Get returns a record.
func (s *Store) Get(ctx context.Context, id string) (auth.Record, error) {
	doc, err := row(s.db.QueryRowContext(ctx, "SELECT doc FROM auth_tokens WHERE id = ?", id))
	if err != nil {
		return auth.Record{}, err
	}
	return stored.ParseToken(id, doc)
}

// Change alters a record.
func (s *Store) Change(ctx context.Context, e auth.Entry, id string, change func(*auth.Record) error, add ...auth.Record) error {
	return s.update(ctx, func(tx *sql.Tx) error {
		doc, err := row(tx.QueryRowContext(ctx, "SELECT doc FROM auth_tokens WHERE id = ? FOR UPDATE", id))
		if err != nil {
			return err
		}
		r, err := stored.ParseToken(id, doc)
		if err != nil {
			return err
		}
		if err := change(&r); err != nil {
			return err
		}
		if doc, err = stored.Token(r); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE auth_tokens SET removed = ?, doc = ? WHERE id = ?", r.Removed, doc, id); err != nil {
			return fmt.Errorf("change token %s: %w", id, err)
		}
		if err := addTokens(ctx, tx, add); err != nil {
			return err
		}
		return appendEntry(ctx, tx, e)
	})
}

// List returns a page. The rows are chosen by the index alone, then read.
func (s *Store) List(ctx context.Context, q auth.Query) ([]auth.Record, error) {
	var where []string
	var args []any
	if !q.Removed {
		where = append(where, "removed = 0")
	}
	if q.Name != "" {
		where, args = append(where, "name = ?"), append(args, q.Name)
	}
	if q.Search != "" {
		where, args = append(where, "INSTR(name, ?) > 0"), append(args, q.Search)
	}
	page := "SELECT id FROM auth_tokens"
	if where != nil {
		page += " WHERE " + strings.Join(where, " AND ")
	}
	page += " ORDER BY created_at, id LIMIT ? OFFSET ?"
	args = append(args, q.Limit, q.Skip)
	rows, err := s.db.QueryContext(ctx, "SELECT t.id, t.doc FROM ("+page+") p JOIN auth_tokens t ON t.id = p.id ORDER BY t.created_at, t.id", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []auth.Record{}
	for rows.Next() {
		var id string
		var doc []byte
		if err := rows.Scan(&id, &doc); err != nil {
			return nil, err
		}
		r, err := stored.ParseToken(id, doc)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

package mysqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/stored"
)

// User returns a user.
func (s *Store) User(ctx context.Context, name string) (auth.User, error) {
	doc, err := row(s.db.QueryRowContext(ctx, "SELECT doc FROM auth_users WHERE name = ?", name))
	if err != nil {
		return auth.User{}, err
	}
	return stored.ParseUser(name, doc)
}

// PutUser writes a user.
func (s *Store) PutUser(ctx context.Context, e auth.Entry, u auth.User) error {
	doc, err := stored.User(u)
	if err != nil {
		return err
	}
	return s.update(ctx, func(tx *sql.Tx) error {
		if err := writeUser(ctx, tx, u, doc); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM auth_owned WHERE name = ?", u.Name); err != nil {
			return fmt.Errorf("forget what %s owned: %w", u.Name, err)
		}
		for kind, addrs := range map[auth.Kind][]address.Address{auth.KindMiner: u.Miners, auth.KindSigner: u.Signers} {
			for _, a := range addrs {
				var solo []byte
				if kind == auth.KindMiner {
					solo = a.Bytes()
				}
				_, err := tx.ExecContext(ctx, "INSERT INTO auth_owned (kind, addr, name, solo) VALUES (?,?,?,?)", string(kind), a.Bytes(), u.Name, solo)
				if duplicate(err) {
					return fmt.Errorf("%w: %s", auth.ErrOwned, a)
				}
				if err != nil {
					return fmt.Errorf("note that %s owns %s: %w", u.Name, a, err)
				}
			}
		}
		return appendEntry(ctx, tx, e)
	})
}

func writeUser(ctx context.Context, tx *sql.Tx, u auth.User, doc []byte) error {
	if u.Rev == 0 {
		_, err := tx.ExecContext(ctx, "INSERT INTO auth_users (name, rev, doc) VALUES (?,1,?)", u.Name, doc)
		if duplicate(err) {
			return auth.ErrExists
		}
		return err
	}
	res, err := tx.ExecContext(ctx, "UPDATE auth_users SET rev = ?, doc = ? WHERE name = ? AND rev = ?", u.Rev+1, doc, u.Name, u.Rev)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return auth.ErrStale
}

// Users returns a page.
func (s *Store) Users(ctx context.Context, q auth.UserQuery) ([]auth.User, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT name, doc FROM auth_users WHERE INSTR(name, ?) > 0 ORDER BY name LIMIT ? OFFSET ?", q.Search, q.Limit, q.Skip)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []auth.User{}
	for rows.Next() {
		var name string
		var doc []byte
		if err := rows.Scan(&name, &doc); err != nil {
			return nil, err
		}
		u, err := stored.ParseUser(name, doc)
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, rows.Err()
}

// Owners returns the names of those who have an address.
func (s *Store) Owners(ctx context.Context, kind auth.Kind, addr address.Address) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT name FROM auth_owned WHERE kind = ? AND addr = ? ORDER BY name", string(kind), addr.Bytes())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []string{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	return out, rows.Err()
}

// appendEntry adds an entry that has an ID; one that is there is left as it is.
func appendEntry(ctx context.Context, tx *sql.Tx, e auth.Entry) error {
	if e.ID == "" {
		return nil
	}
	doc, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode audit entry: %w", err)
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO auth_audit (id, at, caller, action, subject, doc) VALUES (?,?,?,?,?,?) ON DUPLICATE KEY UPDATE id=id",
		e.ID, e.At.UnixNano(), e.Caller, e.Action, e.Subject, doc)
	if err != nil {
		return fmt.Errorf("add audit entry: %w", err)
	}
	return nil
}

// Append adds entries.
func (s *Store) Append(ctx context.Context, es ...auth.Entry) error {
	return s.update(ctx, func(tx *sql.Tx) error {
		for _, e := range es {
			if err := appendEntry(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// Entries returns a page, newest first.
func (s *Store) Entries(ctx context.Context, q auth.AuditQuery) ([]auth.Entry, error) {
	where, args := "", []any{}
	if q.Search != "" {
		where, args = " WHERE INSTR(caller, ?) > 0 OR INSTR(action, ?) > 0 OR INSTR(subject, ?) > 0", []any{q.Search, q.Search, q.Search}
	}
	rows, err := s.db.QueryContext(ctx, "SELECT doc FROM auth_audit"+where+" ORDER BY id DESC LIMIT ? OFFSET ?", append(args, q.Limit, q.Skip)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []auth.Entry{}
	for rows.Next() {
		var doc []byte
		var e auth.Entry
		if err := rows.Scan(&doc); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(doc, &e); err != nil {
			return nil, fmt.Errorf("decode audit entry: %w", err)
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// Prune removes old entries.
func (s *Store) Prune(ctx context.Context, before time.Time) (int, error) {
	res, err := s.db.ExecContext(ctx, "DELETE FROM auth_audit WHERE at < ?", before.UnixNano())
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

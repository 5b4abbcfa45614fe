package badgerstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/stored"
)

func getUser(tx *badger.Txn, name string) (auth.User, error) {
	b, err := value(tx, []byte(users+name))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return auth.User{}, auth.ErrUnknown
	}
	if err != nil {
		return auth.User{}, fmt.Errorf("read user %s: %w", name, err)
	}
	return stored.ParseUser(name, b)
}

// User returns a user.
func (s *Store) User(_ context.Context, name string) (u auth.User, err error) {
	err = s.db.View(func(tx *badger.Txn) error {
		u, err = getUser(tx, name)
		return err
	})
	return u, err
}

// PutUser writes a user.
func (s *Store) PutUser(ctx context.Context, e auth.Entry, u auth.User) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.update(ctx, func(tx *badger.Txn) error {
		have, err := getUser(tx, u.Name)
		switch {
		case errors.Is(err, auth.ErrUnknown) && u.Rev != 0:
			return auth.ErrStale
		case err == nil && u.Rev == 0:
			return auth.ErrExists
		case err == nil && u.Rev != have.Rev:
			return auth.ErrStale
		case err != nil && !errors.Is(err, auth.ErrUnknown):
			return err
		}
		for _, m := range u.Miners {
			if s.index.ownedByOther(m, u.Name) {
				return fmt.Errorf("%w: %s", auth.ErrOwned, m)
			}
		}
		b, err := stored.User(u)
		if err != nil {
			return err
		}
		if err := tx.Set([]byte(users+u.Name), b); err != nil {
			return err
		}
		return appendEntry(tx, e)
	})
	if err == nil {
		s.index.putUser(u)
	}
	return err
}

// Users returns a page.
func (s *Store) Users(_ context.Context, q auth.UserQuery) ([]auth.User, error) {
	out := []auth.User{}
	skip := q.Skip
	err := s.db.View(func(tx *badger.Txn) error {
		return each(tx, users, false, func(name string, b []byte) error {
			if len(out) >= q.Limit || !strings.Contains(name, q.Search) {
				return nil
			}
			if skip > 0 {
				skip--
				return nil
			}
			u, err := stored.ParseUser(name, b)
			out = append(out, u)
			return err
		})
	})
	return out, err
}

// Owners returns the names of those who have an address.
func (s *Store) Owners(_ context.Context, kind auth.Kind, addr address.Address) ([]string, error) {
	return s.index.ownersOf(kind, addr), nil
}

// appendEntry adds an entry that has an ID.
func appendEntry(tx *badger.Txn, e auth.Entry) error {
	if e.ID == "" {
		return nil
	}
	if there, err := taken(tx, audit+e.ID); err != nil || there {
		return err
	}
	return set(tx, audit+e.ID, e)
}

// Append adds entries.
func (s *Store) Append(ctx context.Context, es ...auth.Entry) error {
	return s.update(ctx, func(tx *badger.Txn) error {
		for _, e := range es {
			if err := appendEntry(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

var errEnough = errors.New("enough")

// Entries returns a page, newest first.
func (s *Store) Entries(ctx context.Context, q auth.AuditQuery) ([]auth.Entry, error) {
	out := []auth.Entry{}
	skip := q.Skip
	err := s.db.View(func(tx *badger.Txn) error {
		return each(tx, audit, true, func(id string, b []byte) error {
			if len(out) >= q.Limit {
				return errEnough
			}
			var e auth.Entry
			if err := json.Unmarshal(b, &e); err != nil {
				return fmt.Errorf("decode audit entry %s: %w", id, err)
			}
			if !strings.Contains(e.Caller, q.Search) && !strings.Contains(e.Action, q.Search) && !strings.Contains(e.Subject, q.Search) {
				return ctx.Err()
			}
			if skip > 0 {
				skip--
				return nil
			}
			out = append(out, e)
			return nil
		})
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}

// Prune removes old entries, some at a time: a transaction of badger has a limit.
func (s *Store) Prune(ctx context.Context, before time.Time) (int, error) {
	const step = 1000
	for total := 0; ; {
		var old [][]byte
		err := s.db.View(func(tx *badger.Txn) error {
			return each(tx, audit, false, func(id string, b []byte) error {
				var e auth.Entry
				if err := json.Unmarshal(b, &e); err != nil {
					return fmt.Errorf("decode audit entry %s: %w", id, err)
				}
				if !e.At.Before(before) || len(old) == step {
					return errEnough
				}
				old = append(old, []byte(audit+id))
				return nil
			})
		})
		if err != nil && !errors.Is(err, errEnough) {
			return total, err
		}
		if len(old) == 0 {
			return total, nil
		}
		if err := s.update(ctx, func(tx *badger.Txn) error {
			for _, k := range old {
				if err := tx.Delete(k); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return total, err
		}
		total += len(old)
	}
}

package badgerstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/stored"
)

func getToken(tx *badger.Txn, id string) (auth.Record, error) {
	b, err := value(tx, []byte(tokens+id))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return auth.Record{}, auth.ErrUnknown
	}
	if err != nil {
		return auth.Record{}, fmt.Errorf("read token %s: %w", id, err)
	}
	return stored.ParseToken(id, b)
}

func setToken(tx *badger.Txn, r auth.Record) error {
	b, err := stored.Token(r)
	if err != nil {
		return err
	}
	return tx.Set([]byte(tokens+r.ID), b)
}

// Put adds records.
func (s *Store) Put(ctx context.Context, e auth.Entry, rs ...auth.Record) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.update(ctx, func(tx *badger.Txn) error { return addTokens(tx, e, rs) })
	if err == nil {
		s.index.putToken(rs...)
	}
	return err
}

func addTokens(tx *badger.Txn, e auth.Entry, rs []auth.Record) error {
	for _, r := range rs {
		if there, err := taken(tx, tokens+r.ID); err != nil || there {
			return errors.Join(auth.ErrExists, err)
		}
		if err := setToken(tx, r); err != nil {
			return err
		}
	}
	return appendEntry(tx, e)
}

// Get returns a record.
func (s *Store) Get(_ context.Context, id string) (r auth.Record, err error) {
	err = s.db.View(func(tx *badger.Txn) error {
		r, err = getToken(tx, id)
		return err
	})
	return r, err
}

// Change alters a record.
func (s *Store) Change(ctx context.Context, e auth.Entry, id string, change func(*auth.Record) error, add ...auth.Record) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	var after auth.Record
	err := s.update(ctx, func(tx *badger.Txn) (err error) {
		if after, err = getToken(tx, id); err != nil {
			return err
		}
		if err := change(&after); err != nil {
			return err
		}
		if err := setToken(tx, after); err != nil {
			return err
		}
		return addTokens(tx, e, add)
	})
	if err == nil {
		s.index.putToken(append(add[:len(add):len(add)], after)...)
	}
	return err
}

// List returns a page. A record that cannot be read is an error, not a gap.
func (s *Store) List(_ context.Context, q auth.Query) ([]auth.Record, error) {
	out := []auth.Record{}
	err := s.db.View(func(tx *badger.Txn) error {
		for _, id := range s.index.tokenPage(q) {
			r, err := getToken(tx, id)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// Package badgerstore keeps the tokens of venus-auth in an embedded badger
// database.
//
// Layout version 1: "meta/version" holds the version; "t/<id>" a record as
// JSON; "o/<creation time, 8 bytes big-endian><id>" nothing, for paging in
// order of creation. A database of a newer layout is refused, one of an older
// layout would be migrated in Open, step by step.
package badgerstore

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/auth"
)

// version is the layout that this program writes.
const version = 1

var versionKey = []byte("meta/version")

// Small tables: a cluster has some hundred tokens, seldom a hundred thousand.
const (
	memTable = 8 << 20
	logFile  = 32 << 20
)

// Store is an open database. It implements auth.Store.
type Store struct{ db *badger.DB }

var _ auth.Store = (*Store)(nil)

// Open opens or makes the database in dir. Writes are synced to disk.
func Open(dir string) (*Store, error) {
	o := badger.DefaultOptions(dir).WithSyncWrites(true).WithLogger(nil).WithMetricsEnabled(false).
		WithMemTableSize(memTable).WithValueLogFileSize(logFile).WithNumMemtables(2).WithNumCompactors(2).
		WithBlockCacheSize(4 << 20).WithCompactL0OnClose(true)
	db, err := badger.Open(o)
	if err != nil {
		return nil, fmt.Errorf("open token database %s: %w", dir, err)
	}
	s := &Store{db}
	if err := s.checkVersion(); err != nil {
		return nil, errors.Join(fmt.Errorf("token database %s: %w", dir, err), db.Close())
	}
	return s, nil
}

func (s *Store) checkVersion() error {
	return s.db.Update(func(tx *badger.Txn) error {
		b, err := value(tx, versionKey)
		if errors.Is(err, badger.ErrKeyNotFound) {
			it := tx.NewIterator(badger.IteratorOptions{})
			defer it.Close()
			if it.Rewind(); it.Valid() {
				return errors.New("it was written by another program; move it away or choose another --repo")
			}
			return tx.Set(versionKey, []byte(strconv.Itoa(version)))
		}
		if err != nil {
			return err
		}
		if have, err := strconv.Atoi(string(b)); err != nil || have != version {
			return fmt.Errorf("it has layout version %q, this program knows %d; use a newer program", b, version)
		}
		return nil
	})
}

// record is the stored form; its names are part of the layout.
type record struct {
	Name      string    `json:"name"`
	Perm      string    `json:"perm"`
	Extra     string    `json:"extra,omitempty"`
	CreatedAt time.Time `json:"created"`
	RemovedAt time.Time `json:"removed,omitzero"`
}

func tokenKey(id string) []byte { return []byte("t/" + id) }

func orderKey(at time.Time, id string) []byte {
	b := binary.BigEndian.AppendUint64([]byte("o/"), uint64(at.UnixNano()))
	return append(b, id...)
}

func value(tx *badger.Txn, key []byte) ([]byte, error) {
	item, err := tx.Get(key)
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(nil)
}

func get(tx *badger.Txn, id string) (auth.Record, error) {
	b, err := value(tx, tokenKey(id))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return auth.Record{}, auth.ErrUnknown
	}
	if err != nil {
		return auth.Record{}, fmt.Errorf("read token %s: %w", id, err)
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return auth.Record{}, fmt.Errorf("decode token %s: %w", id, err)
	}
	return auth.Record{
		ID: id, Name: r.Name, Perm: api.Permission(r.Perm), Extra: r.Extra,
		CreatedAt: r.CreatedAt, Removed: !r.RemovedAt.IsZero(), RemovedAt: r.RemovedAt,
	}, nil
}

func set(tx *badger.Txn, r auth.Record) error {
	st := record{Name: r.Name, Perm: string(r.Perm), Extra: r.Extra, CreatedAt: r.CreatedAt}
	if r.Removed {
		st.RemovedAt = r.RemovedAt
	}
	b, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("encode token %s: %w", r.ID, err)
	}
	return tx.Set(tokenKey(r.ID), b)
}

// Put adds a record.
func (s *Store) Put(_ context.Context, r auth.Record) error {
	return s.db.Update(func(tx *badger.Txn) error {
		if _, err := tx.Get(tokenKey(r.ID)); err == nil {
			return auth.ErrExists
		} else if !errors.Is(err, badger.ErrKeyNotFound) {
			return fmt.Errorf("look for token %s: %w", r.ID, err)
		}
		if err := tx.Set(orderKey(r.CreatedAt, r.ID), nil); err != nil {
			return err
		}
		return set(tx, r)
	})
}

// Get returns a record.
func (s *Store) Get(_ context.Context, id string) (r auth.Record, err error) {
	err = s.db.View(func(tx *badger.Txn) error {
		r, err = get(tx, id)
		return err
	})
	return r, err
}

// SetRemoved marks a record.
func (s *Store) SetRemoved(_ context.Context, id string, removed bool, at time.Time) error {
	return s.db.Update(func(tx *badger.Txn) error {
		r, err := get(tx, id)
		if err != nil {
			return err
		}
		if r.Removed == removed {
			return nil
		}
		r.Removed, r.RemovedAt = removed, at
		return set(tx, r)
	})
}

// List walks the index in order of creation. A record that cannot be read is an
// error, not a gap.
func (s *Store) List(ctx context.Context, q auth.Query) ([]auth.Record, error) {
	out := []auth.Record{}
	err := s.db.View(func(tx *badger.Txn) error {
		prefix := []byte("o/")
		it := tx.NewIterator(badger.IteratorOptions{Prefix: prefix})
		defer it.Close()
		skip := q.Skip
		for it.Seek(prefix); it.ValidForPrefix(prefix) && len(out) < q.Limit; it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			key := it.Item().Key()
			if len(key) < len(prefix)+8 {
				return fmt.Errorf("index key %x is too short", key)
			}
			r, err := get(tx, string(key[len(prefix)+8:]))
			if err != nil {
				return err
			}
			if (r.Removed && !q.Removed) || !strings.Contains(r.Name, q.Search) {
				continue
			}
			if skip > 0 {
				skip--
				continue
			}
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// Close flushes and closes the database.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close token database: %w", err)
	}
	return nil
}

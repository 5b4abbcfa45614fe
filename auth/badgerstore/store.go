// Package badgerstore keeps what venus-auth knows in an embedded badger
// database.
//
// Layout version 2: "meta/version" holds the version; "t/<id>" a token, "u/<name>"
// a user and "a/<id>" an audit entry, each as JSON. What pages and owners are asked
// for is an index in memory, made at Open. A database of a newer layout is refused,
// one of an older layout is migrated in Open, step by step.
package badgerstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/stored"
	"github.com/filecoin-venus/venus/internal/kv"
)

// version is the layout that this program writes.
const version = 2

var versionKey = []byte("meta/version")

// The prefixes of keys. oldOrder was an index of layout 1.
const (
	tokens   = "t/"
	users    = "u/"
	audit    = "a/"
	oldOrder = "o/"
)

// Small tables: a cluster has some hundred tokens, seldom a hundred thousand.
const (
	memTable = 8 << 20
	logFile  = 32 << 20
)

// Store is an open database. It implements auth.Store.
type Store struct {
	db *badger.DB
	// writing makes writers wait for each other, so that the index follows the order of commits and no miner gets two
	// owners.
	writing sync.Mutex
	index   *index
}

var _ auth.Store = (*Store)(nil)

// Open opens or makes the database in dir. Writes are synced to disk.
func Open(dir string) (*Store, error) {
	o := badger.DefaultOptions(dir).WithSyncWrites(true).WithLogger(nil).WithMetricsEnabled(false).
		WithMemTableSize(memTable).WithValueLogFileSize(logFile).WithNumMemtables(2).WithNumCompactors(2).
		WithBlockCacheSize(4 << 20).WithCompactL0OnClose(true)
	db, err := kv.Open(o)
	if err != nil {
		return nil, fmt.Errorf("open token database %s: %w", dir, err)
	}
	s := &Store{db: db, index: newIndex()}
	err = s.checkVersion()
	if err == nil {
		err = s.load()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("token database %s: %w", dir, err), db.Close())
	}
	return s, nil
}

func (s *Store) checkVersion() error {
	have := 0
	err := s.db.View(func(tx *badger.Txn) error {
		b, err := value(tx, versionKey)
		if errors.Is(err, badger.ErrKeyNotFound) {
			it := tx.NewIterator(badger.IteratorOptions{})
			defer it.Close()
			if it.Rewind(); it.Valid() {
				return errors.New("it was written by another program; move it away or choose another --repo")
			}
			return nil
		}
		if err != nil {
			return err
		}
		if have, err = strconv.Atoi(string(b)); err != nil || have < 1 || have > version {
			return fmt.Errorf("it has layout version %q, this program knows %d; use a newer program", b, version)
		}
		return nil
	})
	if err != nil || have == version {
		return err
	}
	if have == 1 {
		if err := s.db.DropPrefix([]byte(oldOrder)); err != nil {
			return fmt.Errorf("migrate to layout 2: %w", err)
		}
	}
	return s.db.Update(func(tx *badger.Txn) error { return tx.Set(versionKey, []byte(strconv.Itoa(version))) })
}

// load fills the index.
func (s *Store) load() error {
	return s.db.View(func(tx *badger.Txn) error {
		var all []auth.Record
		err := each(tx, tokens, false, func(id string, b []byte) error {
			r, err := stored.ParseToken(id, b)
			all = append(all, auth.Record{ID: r.ID, Name: r.Name, CreatedAt: r.CreatedAt, Removed: r.Removed})
			return err
		})
		if err != nil {
			return err
		}
		slices.SortFunc(all, func(a, b auth.Record) int { return lineOf(a).compare(lineOf(b)) })
		s.index.putToken(all...)
		return each(tx, users, false, func(name string, b []byte) error {
			u, err := stored.ParseUser(name, b)
			if err == nil {
				s.index.putUser(u)
			}
			return err
		})
	})
}

// each visits what lies below a prefix, in order of keys or backwards.
func each(tx *badger.Txn, prefix string, back bool, visit func(rest string, b []byte) error) error {
	p := []byte(prefix)
	it := tx.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 100, Reverse: back})
	defer it.Close()
	start := p
	if back {
		start = append(bytes.Clone(p), 0xff)
	}
	for it.Seek(start); it.ValidForPrefix(p); it.Next() {
		key := string(it.Item().Key()[len(p):])
		if err := it.Item().Value(func(b []byte) error { return visit(key, b) }); err != nil {
			return err
		}
	}
	return nil
}

// update runs a change again when another one came between.
func (s *Store) update(ctx context.Context, change func(tx *badger.Txn) error) error {
	for {
		err := s.db.Update(change)
		if !errors.Is(err, badger.ErrConflict) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func value(tx *badger.Txn, key []byte) ([]byte, error) {
	item, err := tx.Get(key)
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(nil)
}

// set writes a value as JSON.
func set(tx *badger.Txn, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	return tx.Set([]byte(key), b)
}

// taken tells whether a key is there.
func taken(tx *badger.Txn, key string) (bool, error) {
	_, err := tx.Get([]byte(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Close flushes and closes the database.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close token database: %w", err)
	}
	return nil
}

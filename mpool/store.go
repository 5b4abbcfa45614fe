package mpool

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/filecoin-venus/venus/internal/kv"
)

// Store keeps the node's own messages over a restart. Put returns once the value
// is durable. It is safe for concurrent use.
type Store interface {
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
	// All calls fn for each value, in no particular order, until fn fails.
	All(ctx context.Context, fn func(key string, value []byte) error) error
}

// BadgerStore is a Store in a badger directory.
type BadgerStore struct {
	db   *badger.DB
	room func() error
}

// Guard has Put ask first whether there is room, and fail with that error if not. Call it before the first Put.
func (s *BadgerStore) Guard(room func() error) { s.room = room }

// OpenStore opens or makes the store in dir. Every write is synced.
func OpenStore(dir string) (*BadgerStore, error) {
	opt := badger.DefaultOptions(dir).WithSyncWrites(true).WithLogger(nil).
		WithMemTableSize(8 << 20).WithValueLogFileSize(32 << 20).WithNumMemtables(2).WithBlockCacheSize(1 << 20)
	db, err := kv.Open(opt)
	if err != nil {
		return nil, fmt.Errorf("open message store %s: %w", dir, err)
	}
	return &BadgerStore{db: db, room: func() error { return nil }}, nil
}

// Close releases the directory.
func (s *BadgerStore) Close() error { return s.db.Close() }

// Put writes one value durably.
func (s *BadgerStore) Put(_ context.Context, key string, value []byte) error {
	if err := s.room(); err != nil {
		return err
	}
	return s.db.Update(func(tx *badger.Txn) error { return tx.Set([]byte(key), value) })
}

// Delete removes one value; a missing key is no error.
func (s *BadgerStore) Delete(_ context.Context, key string) error {
	err := s.db.Update(func(tx *badger.Txn) error { return tx.Delete([]byte(key)) })
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil
	}
	return err
}

// All visits every value.
func (s *BadgerStore) All(ctx context.Context, fn func(string, []byte) error) error {
	return s.db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid() && ctx.Err() == nil; it.Next() {
			v, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			if err := fn(string(it.Item().Key()), v); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}

// MemoryStore is a Store that forgets everything when the process ends: for
// simulations and tests.
type MemoryStore struct {
	mu     sync.Mutex
	values map[string][]byte
}

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return &MemoryStore{values: make(map[string][]byte)} }

// Put keeps one value.
func (s *MemoryStore) Put(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[key] = append([]byte(nil), value...)
	return nil
}

// Delete removes one value.
func (s *MemoryStore) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, key)
	return nil
}

// All visits every value; fn may change the store.
func (s *MemoryStore) All(_ context.Context, fn func(string, []byte) error) error {
	s.mu.Lock()
	copied := make(map[string][]byte, len(s.values))
	for k, v := range s.values {
		copied[k] = v
	}
	s.mu.Unlock()
	for k, v := range copied {
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}

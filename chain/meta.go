package chain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/filecoin-venus/venus/internal/kv"
)

// Meta is the small durable table beside the blocks: head, genesis, execution results.
type Meta interface {
	// Get returns nil, nil for a key that was never put.
	Get(ctx context.Context, key []byte) ([]byte, error)
	// Put stores all entries or none; they are durable when it returns.
	Put(ctx context.Context, entries ...Entry) error
	// Scan visits the keys with a prefix in rising order until fn fails.
	Scan(ctx context.Context, prefix []byte, fn func(key, value []byte) error) error
	// Delete removes keys; absent ones are no error.
	Delete(ctx context.Context, keys ...[]byte) error
}

// Entry is one line of the table.
type Entry struct{ Key, Value []byte }

// MemoryMeta is a Meta for tests and simulations.
type MemoryMeta struct {
	mu sync.RWMutex
	m  map[string][]byte
}

// NewMemoryMeta returns an empty table.
func NewMemoryMeta() *MemoryMeta { return &MemoryMeta{m: map[string][]byte{}} }

// Get returns a copy of the value.
func (m *MemoryMeta) Get(_ context.Context, key []byte) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return bytes.Clone(m.m[string(key)]), nil
}

// Put keeps copies of the values.
func (m *MemoryMeta) Put(_ context.Context, entries ...Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		m.m[string(e.Key)] = bytes.Clone(e.Value)
	}
	return nil
}

// Scan visits a snapshot.
func (m *MemoryMeta) Scan(_ context.Context, prefix []byte, fn func(key, value []byte) error) error {
	m.mu.RLock()
	var keys []string
	for k := range m.m {
		if bytes.HasPrefix([]byte(k), prefix) {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i] = bytes.Clone(m.m[k])
	}
	m.mu.RUnlock()
	for i, k := range keys {
		if err := fn([]byte(k), values[i]); err != nil {
			return err
		}
	}
	return nil
}

// Delete removes keys.
func (m *MemoryMeta) Delete(_ context.Context, keys ...[]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		delete(m.m, string(k))
	}
	return nil
}

// BadgerMeta is a Meta on disk. Every write is synced before it returns.
type BadgerMeta struct {
	db    *badger.DB
	reads *kv.Reader
	room  func() error
}

// Guard has every write ask first whether there is room, and fail with that error if not. Call it before the first write.
func (m *BadgerMeta) Guard(room func() error) { m.room = room }

// OpenMeta opens or makes the table in a folder and locks it against a second process.
func OpenMeta(dir string) (*BadgerMeta, error) {
	opts := badger.DefaultOptions(dir).WithLogger(nil).WithSyncWrites(true).WithDetectConflicts(false).
		WithNumVersionsToKeep(1).WithMemTableSize(8 << 20).WithValueLogFileSize(64 << 20).WithBlockCacheSize(8 << 20)
	db, err := kv.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("open chain metadata %s: %w", dir, err)
	}
	return &BadgerMeta{db: db, reads: kv.NewReader(db), room: func() error { return nil }}, nil
}

// Close flushes and releases the folder.
func (m *BadgerMeta) Close() error {
	m.reads.Close()
	if err := m.db.Close(); err != nil {
		return fmt.Errorf("close chain metadata: %w", err)
	}
	return nil
}

// Get reads one value.
func (m *BadgerMeta) Get(_ context.Context, key []byte) ([]byte, error) {
	var out []byte
	err := m.reads.Get(key, func(item *badger.Item) (err error) {
		out, err = item.ValueCopy(nil)
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read chain metadata: %w", err)
	}
	return out, nil
}

// Put writes all entries in one transaction and syncs.
func (m *BadgerMeta) Put(_ context.Context, entries ...Entry) error {
	defer m.reads.Wrote()
	err := m.room()
	if err == nil {
		err = m.db.Update(func(tx *badger.Txn) error {
			for _, e := range entries {
				if err := tx.Set(e.Key, e.Value); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("write chain metadata: %w", err)
	}
	return nil
}

// Scan visits a snapshot of the keys with a prefix.
func (m *BadgerMeta) Scan(_ context.Context, prefix []byte, fn func(key, value []byte) error) error {
	return m.db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: prefix, PrefetchValues: true, PrefetchSize: 64})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				return fmt.Errorf("scan chain metadata: %w", err)
			}
			if err := fn(it.Item().KeyCopy(nil), value); err != nil {
				return err
			}
		}
		return nil
	})
}

// Delete removes keys in one transaction.
func (m *BadgerMeta) Delete(_ context.Context, keys ...[]byte) error {
	defer m.reads.Wrote()
	err := m.db.Update(func(tx *badger.Txn) error {
		for _, k := range keys {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete chain metadata: %w", err)
	}
	return nil
}

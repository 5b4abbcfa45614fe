package kv

import (
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
)

// Reader reads values through a transaction that all reads share. A transaction for each costs a quarter of a read, and has it
// wait twice for a goroutine of badger's that serves one reader after the other. Safe for concurrent use.
type Reader struct {
	db *badger.DB
	// written counts the writes that ended.
	written atomic.Uint64

	mu   sync.RWMutex
	tx   *badger.Txn // nil = none was begun
	sees uint64      // the count of written when tx was begun
}

// NewReader makes a reader of a database whose writers call Wrote.
func NewReader(db *badger.DB) *Reader { return &Reader{db: db} }

// Wrote has reads from now on see a write that has ended, whole or, if it failed, in part.
func (r *Reader) Wrote() { r.written.Add(1) }

// Close lets the database be closed.
func (r *Reader) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tx != nil {
		r.tx.Discard()
		r.tx = nil
	}
}

// Get hands a value to fn, as it is after all writes that ended before; fn may be nil. The error is badger.ErrKeyNotFound when
// there is none.
func (r *Reader) Get(key []byte, fn func(*badger.Item) error) error { return r.read(key, fn, true) }

// Find is Get for values that are written once and never changed: it looks among earlier ones first.
func (r *Reader) Find(key []byte, fn func(*badger.Item) error) error { return r.read(key, fn, false) }

func (r *Reader) read(key []byte, fn func(*badger.Item) error, fresh bool) error {
	for {
		written := r.written.Load()
		r.mu.RLock()
		tx, current := r.tx, r.sees >= written
		if tx != nil && (current || !fresh) {
			item, err := tx.Get(key)
			if err != badger.ErrKeyNotFound || current {
				if err == nil && fn != nil {
					err = fn(item)
				}
				r.mu.RUnlock()
				return err
			}
		}
		r.mu.RUnlock()
		if err := r.renew(written); err != nil {
			return err
		}
	}
}

// renew begins a transaction that sees as many writes.
func (r *Reader) renew(written uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tx != nil && r.sees >= written {
		return nil // another reader did
	}
	if r.db.IsClosed() {
		return badger.ErrDBClosed
	}
	if r.tx != nil {
		r.tx.Discard()
	}
	r.sees = r.written.Load() // before the transaction, which may see more
	r.tx = r.db.NewTransaction(false)
	return nil
}

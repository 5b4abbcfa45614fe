package kv

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/stretchr/testify/require"
)

func openReader(t *testing.T) (*badger.DB, *Reader) {
	db, err := Open(badger.DefaultOptions(t.TempDir()).WithLogger(nil).WithDetectConflicts(false))
	require.NoError(t, err)
	r := NewReader(db)
	t.Cleanup(func() {
		r.Close()
		require.NoError(t, db.Close())
		require.ErrorIs(t, r.Get([]byte("k"), nil), badger.ErrDBClosed)
		require.ErrorIs(t, r.Find([]byte("k"), nil), badger.ErrDBClosed)
	})
	return db, r
}

func put(t *testing.T, db *badger.DB, r *Reader, key, value []byte) {
	t.Helper()
	require.NoError(t, db.Update(func(tx *badger.Txn) error { return tx.Set(key, value) }))
	r.Wrote()
}

// TestReaderSeesWrites: Get sees what was written last, Find what was written at all; what was never written is not found.
func TestReaderSeesWrites(t *testing.T) {
	db, r := openReader(t)
	model := map[byte]byte{}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		k := byte(rng.IntN(40))
		switch rng.IntN(4) {
		case 0:
			model[k] = byte(rng.IntN(256))
			put(t, db, r, []byte{k}, []byte{model[k]})
		case 1:
			delete(model, k)
			require.NoError(t, db.Update(func(tx *badger.Txn) error { return tx.Delete([]byte{k}) }))
			r.Wrote()
		default:
			want, has := model[k]
			var got []byte
			err := r.Get([]byte{k}, func(item *badger.Item) (err error) { got, err = item.ValueCopy(nil); return err })
			if has {
				require.NoError(t, err)
				require.Equal(t, []byte{want}, got)
				require.NoError(t, r.Find([]byte{k}, nil))
			} else {
				require.ErrorIs(t, err, badger.ErrKeyNotFound)
			}
		}
	}
	require.ErrorIs(t, r.Find([]byte("never"), nil), badger.ErrKeyNotFound)
	require.ErrorIs(t, r.Get([]byte{1, 2}, func(*badger.Item) error { panic("nothing there") }), badger.ErrKeyNotFound)
	put(t, db, r, []byte("k"), []byte("v"))
	require.ErrorIs(t, r.Get([]byte("k"), func(*badger.Item) error { return badger.ErrInvalidRequest }), badger.ErrInvalidRequest)
}

// TestReaderBesideWriters: whoever was told that a value is written finds it, whatever others read and write.
func TestReaderBesideWriters(t *testing.T) {
	db, r := openReader(t)
	const values = 1500
	var told atomic.Int64
	var group sync.WaitGroup
	group.Go(func() {
		for i := range values {
			put(t, db, r, binary.BigEndian.AppendUint64(nil, uint64(i)), []byte{byte(i)})
			told.Store(int64(i) + 1)
		}
	})
	for n := range 3 {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(3, uint64(n)))
			for last := int64(0); last < values; {
				if last = told.Load(); last == 0 {
					continue
				}
				i := last - 1
				if n > 0 {
					i = rng.Int64N(last)
				}
				read := r.Find
				if n == 2 {
					read = r.Get
				}
				err := read(binary.BigEndian.AppendUint64(nil, uint64(i)), func(item *badger.Item) error {
					return item.Value(func(v []byte) error {
						if len(v) != 1 || v[0] != byte(i) {
							return badger.ErrInvalidKey
						}
						return nil
					})
				})
				if err != nil {
					t.Errorf("value %d of %d: %v", i, last, err)
					return
				}
			}
		})
	}
	group.Wait()
}

package ipld

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/internal/kv"
)

// Badger is a blockstore on disk. Writes are on disk when they return: a head
// that is recorded afterwards never names blocks that a crash could take.
type Badger struct {
	db    *badger.DB
	reads *kv.Reader
	room  func() error
}

// Guard has every write ask first whether there is room, and fail with that error if not. Call it before the first write.
func (b *Badger) Guard(room func() error) { b.room = room }

// OpenBadger opens or makes the store in a folder. The folder is locked
// against a second process.
func OpenBadger(dir string) (*Badger, error) {
	opts := badger.DefaultOptions(dir).
		WithLogger(nil).
		WithSyncWrites(true).
		WithCompression(options.None). // hashes and proofs do not compress
		WithDetectConflicts(false).
		WithNumVersionsToKeep(1).
		WithBlockCacheSize(0). // the tables are mapped: what is not compressed needs no second copy
		WithMetricsEnabled(false).
		WithIndexCacheSize(64 << 20).
		WithMemTableSize(32 << 20).
		// Most blocks go to the value log, in the order of their coming: the tables hold names and places alone, so that more of
		// them fit into the processor's cache and compactions move little.
		WithValueThreshold(128).
		WithValueLogFileSize(256 << 20) // the last one is read at opening
	db, err := kv.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("open block store %s: %w", dir, err)
	}
	return &Badger{db: db, reads: kv.NewReader(db), room: func() error { return nil }}, nil
}

// Close flushes and releases the folder.
func (b *Badger) Close() error {
	b.reads.Close()
	if err := b.db.Close(); err != nil {
		return fmt.Errorf("close block store: %w", err)
	}
	return nil
}

// Get returns a block.
func (b *Badger) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	if data, ok := inline(c); ok {
		return data, nil
	}
	var data []byte
	err := b.reads.Find(c.Hash(), func(item *badger.Item) (err error) {
		data, err = item.ValueCopy(nil)
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, notFound(c)
	}
	if err != nil {
		return nil, fmt.Errorf("read block %s: %w", c, err)
	}
	return data, nil
}

// Has tells whether a block is stored.
func (b *Badger) Has(_ context.Context, c cid.Cid) (bool, error) {
	if _, ok := inline(c); ok {
		return true, nil
	}
	err := b.reads.Find(c.Hash(), nil)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up block %s: %w", c, err)
	}
	return true, nil
}

// Put stores a block durably.
func (b *Badger) Put(_ context.Context, c cid.Cid, data []byte) error {
	if _, ok := inline(c); ok {
		return nil
	}
	defer b.reads.Wrote()
	err := b.room()
	if err == nil {
		err = b.db.Update(func(tx *badger.Txn) error { return tx.Set(c.Hash(), data) })
	}
	if err != nil {
		return fmt.Errorf("write block %s: %w", c, err)
	}
	return nil
}

// PutMany stores blocks durably, in one or few transactions.
func (b *Badger) PutMany(_ context.Context, blks []blocks.Block) error {
	if err := b.room(); err != nil {
		return fmt.Errorf("write %d blocks: %w", len(blks), err)
	}
	defer b.reads.Wrote()
	wb := b.db.NewWriteBatch()
	defer wb.Cancel()
	for _, blk := range blks {
		if _, ok := inline(blk.Cid()); ok {
			continue
		}
		if err := wb.Set(blk.Cid().Hash(), blk.RawData()); err != nil {
			return fmt.Errorf("write block %s: %w", blk.Cid(), err)
		}
	}
	if err := wb.Flush(); err != nil {
		return fmt.Errorf("write %d blocks: %w", len(blks), err)
	}
	return nil
}

// Size is how much of the disk the store takes, in bytes.
func (b *Badger) Size() int64 {
	n, _ := fsutil.Allocated(b.db.Opts().Dir) // a folder that cannot be listed is told of by who reads from it
	return n
}

// Check reads every block and compares it with its name. It returns the number
// of blocks read, and an error that names the first one that is wrong.
func (b *Badger) Check(ctx context.Context) (int, error) {
	n := 0
	err := b.db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			name := mh.Multihash(it.Item().KeyCopy(nil))
			d, err := mh.Decode(name)
			if err != nil {
				return fmt.Errorf("a block is stored under %x, which is no hash: %w", []byte(name), err)
			}
			err = it.Item().Value(func(data []byte) error {
				got, err := mh.Sum(data, d.Code, d.Length)
				if err == nil && !bytes.Equal(got, name) {
					err = fmt.Errorf("it hashes to %s", got.B58String())
				}
				return err
			})
			if err != nil {
				return fmt.Errorf("block with hash %s is damaged: %w", name.B58String(), err)
			}
			n++
		}
		return nil
	})
	return n, err
}

package ipld

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/internal/kv"
)

// former is a store of badger, which former versions wrote to: blocks by multihash. It is read, and becomes a pack beside that.
type former struct {
	db    *badger.DB
	reads *kv.Reader
}

func openFormer(dir string) (*former, error) {
	db, err := kv.Open(badger.DefaultOptions(dir).
		WithLogger(nil).
		WithCompression(options.None).
		WithBlockCacheSize(0). // the tables are mapped: what is not compressed needs no second copy
		WithMetricsEnabled(false).
		WithIndexCacheSize(64 << 20))
	if err != nil {
		return nil, fmt.Errorf("open block store %s: %w", dir, err)
	}
	return &former{db: db, reads: kv.NewReader(db)}, nil
}

// Close releases the folder.
func (f *former) Close() error {
	f.reads.Close()
	if err := f.db.Close(); err != nil {
		return fmt.Errorf("close block store: %w", err)
	}
	return nil
}

// Get returns a block, unchecked.
func (f *former) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	var data []byte
	err := f.reads.Find(c.Hash(), func(item *badger.Item) (err error) {
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
func (f *former) Has(_ context.Context, c cid.Cid) (bool, error) {
	err := f.reads.Find(c.Hash(), nil)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up block %s: %w", c, err)
	}
	return true, nil
}

// Size is how much of the disk the store takes, in bytes.
func (f *former) Size() int64 {
	n, _ := fsutil.Allocated(f.db.Opts().Dir) // a folder that cannot be listed is told of by who reads from it
	return n
}

// Check reads every block as [Pack.Check] does.
func (f *former) Check(ctx context.Context) (int, error) {
	n := 0
	err := f.each(ctx, func(cid.Cid, []byte) error {
		n++
		return nil
	})
	return n, err
}

// each visits every block after it was compared with its name. That is one by its hash: nobody wrote down the codec.
func (f *former) each(ctx context.Context, visit func(cid.Cid, []byte) error) error {
	return f.db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			name := mh.Multihash(it.Item().KeyCopy(nil))
			data, err := it.Item().ValueCopy(nil)
			if err == nil {
				err = checkMultihash(name, data)
			}
			if err != nil {
				return fmt.Errorf("block with hash %s is damaged: %w", name.B58String(), err)
			}
			codec := uint64(cid.DagCBOR)
			if _, err := scanLinks(data); err != nil {
				codec = cid.Raw
			}
			if err := visit(cid.NewCidV1(codec, name), data); err != nil {
				return err
			}
		}
		return nil
	})
}

func checkMultihash(name mh.Multihash, data []byte) error {
	d, err := mh.Decode(name)
	if err != nil {
		return fmt.Errorf("%x is no hash: %w", []byte(name), err)
	}
	got, err := mh.Sum(data, d.Code, d.Length)
	if err == nil && !bytes.Equal(got, name) {
		err = fmt.Errorf("it hashes to %s", got.B58String())
	}
	return err
}

// pack makes a pack at base of all blocks. goOn is asked now and then.
func (f *former) pack(ctx context.Context, base string, goOn func() error) (*Pack, error) {
	w, err := createBare(base)
	if err != nil {
		return nil, err
	}
	synced := int64(0)
	err = f.each(ctx, func(c cid.Cid, data []byte) error {
		if err := w.Put(c, data); err != nil || w.Size()-synced < copyStep {
			return err
		}
		synced = w.Size()
		return errors.Join(goOn(), w.Sync())
	})
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w.Finish()
}

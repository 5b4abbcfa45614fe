// Package kv opens badger databases that a crash may have left in a state badger
// itself does not open ([Open]), and reads single values of them at less than the
// price of a transaction each ([Reader]).
package kv

import (
	"path/filepath"

	"github.com/dgraph-io/badger/v4"

	"github.com/filecoin-venus/venus/internal/fsutil"
)

// Open opens the database of the options. The caller holds a lock that keeps
// other processes out of the folder: badger's own comes too late for what is
// removed here. Badger empties the log of a flushed table before it unlinks it,
// and then does not open a folder that has an empty one.
func Open(o badger.Options) (*badger.DB, error) {
	if err := fsutil.RemoveEmpty(filepath.Join(o.Dir, "*.mem")); err != nil {
		return nil, err
	}
	return badger.Open(o)
}

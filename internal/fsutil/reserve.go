package fsutil

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrNoRoom says that a disk is down to its reserve and nothing more is written to it.
var ErrNoRoom = errors.New("no room on the disk")

// Reserve keeps the last part of a disk free. A database whose files are mapped into memory does not survive a full disk:
// it is killed in the middle of a write, and needs room of its own to start again. So writers ask first ([Reserve.Room]),
// and go on when there is room again. Safe for concurrent use.
type Reserve struct {
	// free is what is left, in bytes.
	free func() (uint64, error)
	// keep is what stays free, in bytes; writing begins again a little above it, so that it does not flutter.
	keep uint64
	// changed is told when writing ends (with the error) and when it begins again (nil).
	changed func(error)

	mu   sync.Mutex
	full bool
}

// NewReserve keeps bytes free on the disk that free looks at ([FreeOn]); 0 keeps nothing. changed may be nil.
func NewReserve(free func() (uint64, error), keep uint64, changed func(error)) *Reserve {
	return &Reserve{free: free, keep: keep, changed: changed}
}

// FreeOn looks at what programs without privileges can still write to the disk that holds dir, in bytes.
func FreeOn(dir string) func() (uint64, error) {
	return func() (uint64, error) {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return 0, fmt.Errorf("look at the disk of %s: %w", dir, err)
		}
		return st.Bavail * uint64(st.Bsize), nil
	}
}

// Free is what is left on the disk, in bytes, whoever it is kept for.
func (r *Reserve) Free() (uint64, error) { return r.free() }

// Room returns nil when there is room to write, and an error that wraps ErrNoRoom when there is not.
func (r *Reserve) Room() error {
	if r.keep == 0 {
		return nil
	}
	free, err := r.free()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := r.keep
	if r.full {
		limit += r.keep / 8
	}
	was := r.full
	r.full = free < limit
	if r.full {
		err = fmt.Errorf("%w: %d MiB are left, %d MiB are kept free", ErrNoRoom, free>>20, limit>>20)
	}
	if r.full != was && r.changed != nil {
		r.changed(err)
	}
	return err
}

package keystore

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// secret is a short byte string outside the garbage-collected heap: the runtime never copies it, it is kept out of core
// dumps and swap where the system allows that, and wipe really removes it.
type secret struct {
	page []byte
	n    int
}

// newSecret copies b into protected memory and zeroes b.
func newSecret(b []byte) (*secret, error) {
	defer Wipe(b)
	size := unix.Getpagesize()
	if len(b) > size {
		return nil, fmt.Errorf("secret of %d bytes does not fit a page", len(b))
	}
	page, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("reserve memory for a secret: %w", err)
	}
	// Locking and dump exclusion are best effort: containers often forbid them and a wallet must still work there.
	_ = unix.Mlock(page)
	excludeFromDumps(page)
	copy(page, b)
	return &secret{page: page, n: len(b)}, nil
}

// bytes is valid until wipe.
func (s *secret) bytes() []byte { return s.page[:s.n] }

func (s *secret) wipe() {
	if s == nil || s.page == nil {
		return
	}
	Wipe(s.page)
	_ = unix.Munlock(s.page)
	_ = unix.Munmap(s.page)
	s.page, s.n = nil, 0
}

// Wipe zeroes b in place. Callers wipe passwords and private keys as soon as they are done with them.
func Wipe(b []byte) { clear(b) }

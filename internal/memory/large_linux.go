package memory

import "golang.org/x/sys/unix"

// large asks for large pages; a system without them serves small ones.
func large(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }

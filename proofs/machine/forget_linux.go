package machine

import (
	"os"

	"golang.org/x/sys/unix"
)

// forget has the operating system drop a file, which is on disk, from its memory; where it does not, nothing is lost.
func forget(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }

package keystore

import "golang.org/x/sys/unix"

func excludeFromDumps(page []byte) { _ = unix.Madvise(page, unix.MADV_DONTDUMP) }

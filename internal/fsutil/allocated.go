package fsutil

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
)

// statBlock is the unit of Stat_t.Blocks, in bytes.
const statBlock = 512

// Allocated is how much of the disk the files below a folder take, in bytes: holes take nothing, nor does what vanishes
// meanwhile.
func Allocated(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				total += allocated(info)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return total, fmt.Errorf("measure %s: %w", dir, err)
	}
	return total, nil
}

func allocated(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * statBlock
	}
	return info.Size()
}

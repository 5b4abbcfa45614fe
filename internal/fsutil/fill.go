package fsutil

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Fill makes the file at path with what fill writes, at any offset, to a
// temporary file beside it: fsynced, renamed, and the folder fsynced. When fill
// or anything else fails the old content stays and the temporary file goes.
func Fill(path string, perm fs.FileMode, fill func(f *os.File) error) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, tempPrefix(path)+"*")
	if err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	defer os.Remove(tmp.Name()) // no-op once renamed
	defer tmp.Close()
	if err := fill(tmp); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	if err := tmp.Chmod(perm); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	if err := tmp.Sync(); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return SyncDir(dir)
}

func tempPrefix(path string) string { return "." + filepath.Base(path) + ".tmp-" }

// RemoveTemps removes temporary files that a killed Fill or WriteFileAtomic of
// path left behind. Only for paths that nobody else is writing.
func RemoveTemps(path string) error {
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), tempPrefix(path)+"*"))
	if err != nil {
		return fmt.Errorf("look for temporary files of %s: %w", path, err)
	}
	for _, name := range left {
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("remove temporary file: %w", err)
		}
	}
	return nil
}

// RemoveEmpty removes files of no length whose names match a pattern.
func RemoveEmpty(pattern string) error {
	list, err := filepath.Glob(pattern)
	if err != nil {
		return fmt.Errorf("look for empty files: %w", err)
	}
	for _, name := range list {
		info, err := os.Stat(name)
		if err != nil || info.Size() > 0 {
			continue
		}
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("remove empty file: %w", err)
		}
	}
	return nil
}

package fsutil

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFill(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tree")
	write := func(s string, err error) func(*os.File) error {
		return func(f *os.File) error {
			if _, werr := f.WriteAt([]byte(s), 2); werr != nil {
				return werr
			}
			return err
		}
	}
	require.NoError(t, Fill(path, 0o644, write("one", nil)))
	boom := errors.New("boom")
	require.ErrorIs(t, Fill(path, 0o644, write("two", boom)), boom)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "\x00\x00one", string(got))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".tree.tmp-1"), nil, 0o600))
	require.NoError(t, RemoveTemps(path))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

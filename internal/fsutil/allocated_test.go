package fsutil

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAllocated(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	full := make([]byte, 1<<20)
	for i := range full {
		full[i] = byte(i)
	}
	f, err := os.Create(filepath.Join(dir, "sub", "full"))
	require.NoError(t, err)
	_, err = f.Write(full)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
	hole, err := os.Create(filepath.Join(dir, "hole"))
	require.NoError(t, err)
	require.NoError(t, hole.Truncate(1<<30))
	require.NoError(t, hole.Close())

	got, err := Allocated(dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, got, int64(len(full)))
	require.Less(t, got, int64(len(full)+1<<19), "a hole takes nothing")
	got, err = Allocated(filepath.Join(dir, "nowhere"))
	require.NoError(t, err)
	require.Zero(t, got)
}

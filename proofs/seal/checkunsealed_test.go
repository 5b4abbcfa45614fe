package seal

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCheckUnsealed finds a bit that was changed only when it reads everything, a file that was cut short at once.
func TestCheckUnsealed(t *testing.T) {
	s, root := New(Config{}), t.TempDir()
	l := sealed(t, s, root, 1, 5, false)
	path, commD := l.paths.Unsealed, l.cids.Unsealed
	require.NoError(t, s.CheckUnsealed(ctx, l.Sector, path, commD, false))
	require.NoError(t, s.CheckUnsealed(ctx, l.Sector, path, commD, true))
	require.ErrorContains(t, s.CheckUnsealed(ctx, l.Sector, path, l.cids.Sealed, true), "data commitment of")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, s.CheckUnsealed(ended, l.Sector, path, commD, true), context.Canceled)

	damage(t, path, flipBit)
	require.NoError(t, s.CheckUnsealed(ctx, l.Sector, path, commD, false), "it is not read")
	err := s.CheckUnsealed(ctx, l.Sector, path, commD, true)
	require.ErrorIs(t, err, ErrFile)
	require.ErrorContains(t, err, commD.String())
	require.NoError(t, os.Truncate(path, 1024))
	require.ErrorContains(t, s.CheckUnsealed(ctx, l.Sector, path, commD, false), "has 1024 bytes, want 2048")
	require.ErrorIs(t, s.CheckUnsealed(ctx, l.Sector, path+"x", commD, false), os.ErrNotExist)
}

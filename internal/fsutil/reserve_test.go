package fsutil

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReserve(t *testing.T) {
	var told []error
	left := uint64(0)
	var broken error
	r := NewReserve(func() (uint64, error) { return left, broken }, 800, func(err error) { told = append(told, err) })
	for _, step := range []struct {
		free uint64
		room bool
		told int
	}{
		{2000, true, 0}, {800, true, 0}, {799, false, 1}, {0, false, 1},
		{899, false, 1}, // it does not flutter around the limit
		{900, true, 2}, {800, true, 2}, {10, false, 3},
	} {
		left = step.free
		err := r.Room()
		require.Equal(t, step.room, err == nil, "%+v", step)
		if !step.room {
			require.ErrorIs(t, err, ErrNoRoom)
		}
		require.Len(t, told, step.told, "%+v", step)
	}
	require.Error(t, told[0])
	require.NoError(t, told[1])
	broken = errors.New("stale handle")
	require.ErrorIs(t, r.Room(), broken)
	require.Len(t, told, 3, "a disk that cannot be asked is not a full one")
	require.NoError(t, NewReserve(FreeOn("/nowhere/at/all"), 0, nil).Room())
}

func TestFree(t *testing.T) {
	n, err := FreeOn(t.TempDir())()
	require.NoError(t, err)
	require.Positive(t, n)
	_, err = FreeOn(filepath.Join(t.TempDir(), "absent"))()
	require.Error(t, err)
	require.ErrorIs(t, NewReserve(FreeOn(t.TempDir()), 1<<60, nil).Room(), ErrNoRoom)
}

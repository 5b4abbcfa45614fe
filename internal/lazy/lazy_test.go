package lazy

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnceForEachKey(t *testing.T) {
	var m Map[string, int]
	var made atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		for i, key := range []string{"a", "b"} {
			wg.Go(func() {
				v, err := m.Get(key, func() (int, error) { made.Add(1); return i, nil })
				if err != nil || v != i {
					t.Errorf("%s: %d, %v", key, v, err)
				}
			})
		}
	}
	wg.Wait()
	require.EqualValues(t, 2, made.Load())
	require.ElementsMatch(t, []int{0, 1}, m.Clear())
	require.Empty(t, m.Clear())
}

func TestFailuresAreForgotten(t *testing.T) {
	var m Map[int, string]
	broken := errors.New("broken")
	_, err := m.Get(1, func() (string, error) { return "half", broken })
	require.ErrorIs(t, err, broken)
	require.Empty(t, m.Clear())
	v, err := m.Get(1, func() (string, error) { return "whole", nil })
	require.NoError(t, err)
	require.Equal(t, "whole", v)
}

// A panic while making a value leaves the key free for the next caller.
func TestPanicsLeaveTheKeyFree(t *testing.T) {
	var m Map[int, int]
	require.Panics(t, func() { _, _ = m.Get(1, func() (int, error) { panic("no") }) })
	v, err := m.Get(1, func() (int, error) { return 7, nil })
	require.NoError(t, err)
	require.Equal(t, 7, v)
}

// While one key is made, another can be had.
func TestKeysDoNotWaitForEachOther(t *testing.T) {
	var m Map[int, int]
	_, err := m.Get(1, func() (int, error) { return m.Get(2, func() (int, error) { return 2, nil }) })
	require.NoError(t, err)
}

package procs

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// The operator's word goes before ours.
func TestMore(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	t.Setenv("GOMAXPROCS", "1")
	More()
	require.Equal(t, before, runtime.GOMAXPROCS(0))
	require.NoError(t, os.Unsetenv("GOMAXPROCS"))
	for range 2 {
		More()
		require.Equal(t, 2*cores, runtime.GOMAXPROCS(0))
		require.Equal(t, before, Cores())
	}
}

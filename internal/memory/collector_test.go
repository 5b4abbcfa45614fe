package memory

import (
	"os"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// The operator's word about the collector goes before ours.
func TestRelax(t *testing.T) {
	percent := debug.SetGCPercent(100)
	limit := debug.SetMemoryLimit(-1)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(name, "100")
		Relax()
		require.Equal(t, 100, debug.SetGCPercent(100), name)
		require.Equal(t, limit, debug.SetMemoryLimit(-1), name)
		require.NoError(t, os.Unsetenv(name))
	}
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	Relax()
	require.Equal(t, garbage, debug.SetGCPercent(100))
	require.EqualValues(t, soft, debug.SetMemoryLimit(-1))
	RelaxFew()
	require.Equal(t, garbageOfFew, debug.SetGCPercent(100))
}

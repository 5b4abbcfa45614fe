package fault

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPoint(t *testing.T) {
	require.NoError(t, Point("nowhere"))
	disarm := Arm("here", func() error { return ErrInjected })
	require.ErrorIs(t, Point("here"), ErrInjected)
	require.NoError(t, Point("nowhere"))
	disarm()
	require.NoError(t, Point("here"))
}

func TestFromEnvironment(t *testing.T) {
	p := fromEnvironment("a=error:2, b=kill,broken,c=unknown")
	t.Cleanup(func() { armed.Store(false) })
	require.Len(t, p, 2)
	require.Equal(t, 1, p["a"].skip)
	require.ErrorIs(t, p["a"].act(), ErrInjected)
}

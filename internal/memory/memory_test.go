package memory

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPeakSeesWhatWasUsed(t *testing.T) {
	var kept byte
	peak := Peak(func() {
		b := make([]byte, 64<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = byte(i)
		}
		kept = b[len(b)-4096]
		runtime.KeepAlive(b)
	})
	require.GreaterOrEqual(t, peak, uint64(64<<20))
	require.Zero(t, kept)
}

func TestHighWater(t *testing.T) {
	n, ok := highWater("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 5 kB\n")
	require.True(t, ok)
	require.Equal(t, uint64(1234<<10), n)
	for _, other := range []string{"VmRSS:\t 5 kB\n", "VmHWM: lots kB", ""} {
		_, ok = highWater(other)
		require.False(t, ok)
	}
}

func TestBlockIsOutsideTheHeap(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b, err := NewBlock(64 << 20)
	require.NoError(t, err)
	require.Len(t, b.Bytes, 64<<20)
	b.Bytes[64<<20-1] = 7
	require.Zero(t, b.Bytes[0])
	runtime.ReadMemStats(&after)
	require.Less(t, after.HeapSys, before.HeapSys+32<<20)
	b.Free()
	b.Free()
	require.Nil(t, b.Bytes)
	_, err = NewBlock(-1)
	require.Error(t, err)
}

package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
)

func TestStorageOptions(t *testing.T) {
	o, err := Default().Storage.Options(clock.Real())
	require.NoError(t, err)
	require.Equal(t, []int{95, 98}, []int{o.StopAt, o.ReadOnlyAt})
	require.Equal(t, 30*time.Second, o.Timeout)
	for _, bad := range []Storage{{StopAtPercent: 0, ReadOnlyAtPercent: 98}, {StopAtPercent: 99, ReadOnlyAtPercent: 98}, {StopAtPercent: 95, ReadOnlyAtPercent: 101}} {
		_, err := bad.Options(clock.Real())
		require.ErrorContains(t, err, "Storage.StopAtPercent")
	}
	_, err = Storage{StopAtPercent: 95, ReadOnlyAtPercent: 98, ReadTimeout: "soon"}.Options(clock.Real())
	require.ErrorContains(t, err, "Storage.ReadTimeout")
}

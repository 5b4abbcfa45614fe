package node

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
)

func TestOnlyDevnetsHaveWrongClocks(t *testing.T) {
	sim := clock.NewSim(time.Unix(1000, 0))
	for _, name := range params.Names() {
		net, err := params.ByName(name)
		require.NoError(t, err)
		c, err := chainClock(net, Options{Clock: sim})
		require.NoError(t, err)
		require.Same(t, sim, c)
		c, err = chainClock(net, Options{Clock: sim, ClockOffset: time.Second})
		if !net.Devnet {
			require.Equal(t, api.CodeInvalid, code(err), name)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, time.Unix(1001, 0), c.Now())
	}
}

func TestClockAgainstPeers(t *testing.T) {
	for _, c := range []struct {
		ahead time.Duration
		peers int
		wrong string
	}{
		{time.Hour, 0, ""}, {time.Second, 3, ""}, {-time.Second, 5, ""},
		{1500 * time.Millisecond, 3, "1.5s behind"}, {-time.Minute, 4, "1m0s ahead of those of 4 peers"},
	} {
		v := vitals{skew: func() (time.Duration, int) { return c.ahead, c.peers }}
		note, err := v.clockRight(t.Context())
		if c.wrong == "" {
			require.NoError(t, err)
			require.NotEmpty(t, note)
			continue
		}
		require.ErrorContains(t, err, c.wrong)
	}
}

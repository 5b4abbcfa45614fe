package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/cluster"
)

// TestUp lets `venus-cluster up` run to its end: a miner of its own with a
// sector that proves, all programs healthy, and no secret on a command line.
func TestUp(t *testing.T) {
	t.Parallel()
	c, _ := living(t)
	c.await(t, "proving", 5*time.Minute)
	<-c.upDone
	require.NoError(t, c.upErr)
	text, err := os.ReadFile(c.upLog)
	require.NoError(t, err)
	require.Contains(t, string(text), "The cluster is up after")
	var r cluster.Report
	eventually(t, time.Minute, "the cluster is well", func() error {
		out := shared.must(t, c.w.tmp, "venus-cluster", "status", "--data", c.layout.Data, "--json")
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			return err
		}
		if !r.Healthy {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	require.Len(t, r.Miners, 2)
	require.Equal(t, r.State.Miner, r.Miners[1].Miner)
	require.EqualValues(t, 1, r.Miners[1].Sectors)
	require.Zero(t, r.Miners[1].Faulty)
	require.Len(t, r.Programs, len(cluster.Order()))
	t.Logf("steps took %v seconds; memory of all programs %d MiB", r.State.Done, r.Memory>>20)
	secrets, err := os.ReadDir(c.layout.Secret(""))
	require.NoError(t, err)
	for _, p := range r.Programs {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
		require.NoError(t, err)
		for _, s := range secrets {
			require.False(t, strings.Contains(string(line), c.secret(t, s.Name())), "%s shows %s on its command line", p.Name, s.Name())
		}
		info, err := os.Stat(p.Log)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), p.Log)
	}
	// Running it again finds nothing left to do.
	before := r.State.Done
	shared.must(t, c.w.tmp, "venus-cluster", "up", "--data", c.layout.Data)
	st, err := c.state()
	require.NoError(t, err)
	require.Equal(t, before, st.Done)
}

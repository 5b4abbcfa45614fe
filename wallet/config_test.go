package wallet

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/repo"
)

// TestConfigDurations: what locks and prunes is read as written, and nonsense does not become "never" in silence.
func TestConfigDurations(t *testing.T) {
	dir, err := repo.Open(t.TempDir())
	require.NoError(t, err)
	defer dir.Close()
	fresh, err := loadConfig(dir)
	require.NoError(t, err)
	require.Zero(t, fresh.Lock.After)
	require.Zero(t, fresh.SignLog.Keep)
	again, err := loadConfig(dir)
	require.NoError(t, err)
	require.Equal(t, fresh, again, "the file that is written says the same")
	write := func(text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir.Root(), configName), []byte(text), 0o600))
	}
	write("[Lock]\nAfter = \"90m\"\n[SignLog]\nKeep = \"200h\"\n")
	c, err := loadConfig(dir)
	require.NoError(t, err)
	require.Equal(t, 90*time.Minute, c.Lock.After.Duration)
	require.Equal(t, 200*time.Hour, c.SignLog.Keep.Duration)
	for _, bad := range []string{"[Lock]\nAfter = \"soon\"", "[Lock]\nAfter = \"-1h\"", "[Lock]\nAfter = 5", "[Lock]\nAfter = \"1ms\"", "[Lock]\nafterwards = \"1h\"", "[SignLog]\nKeep = \"24h\""} {
		write(bad)
		_, err := loadConfig(dir)
		require.Equal(t, api.CodeInvalid, api.Explain(err).Code, bad)
	}
}

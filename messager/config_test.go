package messager

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/repo"
)

// TestNonsenseIsNotWrittenDown: a first start with a wrong address leaves no
// configuration behind that spoils the next one.
func TestNonsenseIsNotWrittenDown(t *testing.T) {
	r, err := repo.Open(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	good := Config{}
	good.Node.URL = "/ip4/127.0.0.1/tcp/3453"
	for _, spoil := range []func(*Config){
		func(c *Config) { c.Node.URL = "nonsense" },
		func(c *Config) { c.Node.URL = "" },
		func(c *Config) { c.Auth.URL = "ftp://x" },
		func(c *Config) { c.API.ListenAddress = "here" },
	} {
		c := good
		spoil(&c)
		_, err := loadConfig(r, c)
		require.Error(t, err)
		_, err = os.Stat(r.Path(configName))
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	_, err = loadConfig(r, good)
	require.NoError(t, err)
	_, err = os.Stat(r.Path(configName))
	require.NoError(t, err)
}

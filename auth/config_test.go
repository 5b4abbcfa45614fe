package auth

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfigIsWrittenWithComments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	c, unknown, err := LoadConfig(path)
	require.NoError(t, err)
	require.Empty(t, unknown)
	require.Equal(t, DefaultListen, c.Listen)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	golden, err := os.ReadFile("testdata/config.golden.toml")
	require.NoError(t, err)
	require.Equal(t, string(golden), string(b))
	edited := append(b, "# mine\n"...)
	require.NoError(t, os.WriteFile(path, edited, 0o600))
	_, _, err = LoadConfig(path)
	require.NoError(t, err)
	again, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, edited, again, "an edited file is left alone")
}

func TestConfigForms(t *testing.T) {
	c, unknown, err := parseConfig([]byte("Port = \"9000\"\nSecret = \"x\"\n[DB]\nTYPE = \"badger\"\nmaxLifeTime = \"120s\"\n[Trace]\nJaegerTracingEnabled = true\n"))
	require.NoError(t, err)
	require.Equal(t, "0.0.0.0:9000", c.Listen)
	require.Equal(t, "badger", c.DB.Type)
	require.NotEmpty(t, unknown)
	for name, bad := range map[string]string{
		"not toml": "Listen = ", "wrong type": "Listen = 7", "no dsn": "[db]\ntype = \"mysql\"", "odd store": "[db]\ntype = \"redis\"",
	} {
		_, _, err := parseConfig([]byte(bad))
		require.Error(t, err, name)
	}
}

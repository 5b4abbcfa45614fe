package npm

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInstallSkipsWithoutNode(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	skipped := false
	t.Run("install", func(t *testing.T) {
		t.Cleanup(func() { skipped = t.Skipped() })
		Install(t, t.TempDir())
	})
	require.True(t, skipped)
}

func TestScriptGetsItsInputAndNoSettingOfOurs(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed here")
	}
	t.Setenv("OURS", "1")
	c := Clients{t.TempDir()}
	require.NoError(t, os.WriteFile(filepath.Join(c.dir, "echo.mjs"), []byte(`
		import { readFileSync } from 'node:fs'
		console.log('not the last line')
		console.log(JSON.stringify({ input: JSON.parse(readFileSync(0, 'utf8')), arg: process.argv[2], env: process.env }))
	`), 0o600))
	var got struct {
		Input []int
		Arg   string
		Env   map[string]string
	}
	c.Script(t, []string{"THEIRS=2"}, []int{1, 2}, &got, "echo.mjs", "x")
	require.Equal(t, []int{1, 2}, got.Input)
	require.Equal(t, "x", got.Arg)
	require.Equal(t, "2", got.Env["THEIRS"])
	require.Equal(t, c.dir, got.Env["HOME"])
	require.NotContains(t, got.Env, "OURS")
}

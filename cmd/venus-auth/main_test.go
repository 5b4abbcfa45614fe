package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/mariadb"
)

// asProgram makes this test binary behave as venus-auth.
const asProgram = "VENUS_AUTH_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(mariadb.Run(m))
}

func program(t *testing.T, home string, args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = []string{asProgram + "=1", "HOME=" + home, "PATH=" + os.Getenv("PATH"), "VENUS_FAILPOINT=" + os.Getenv("VENUS_FAILPOINT")}
	return c
}

func logFile(home string) string { return filepath.Join(home, "auth.log") }

// serve starts the service as the guide does and waits for its first line.
// It returns how to kill it; its log grows in the file auth.log.
func serve(t *testing.T, home string, args ...string) (kill func()) {
	c := program(t, home, args...)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	log, err := os.OpenFile(logFile(home), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer log.Close()
	c.Stderr = log
	require.NoError(t, c.Start())
	first, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, first, "server start and listen on /ip4/127.0.0.1/tcp/")
	killed := false
	kill = func() {
		if !killed {
			killed = true
			require.NoError(t, c.Process.Kill())
			_ = c.Wait() // it was killed; that is no news
		}
	}
	t.Cleanup(kill)
	return kill
}

func command(t *testing.T, home string, args ...string) string {
	c := program(t, home, args...)
	var errOut bytes.Buffer
	c.Stderr = &errOut
	out, err := c.Output()
	require.NoError(t, err, "%v: %s", args, errOut.String())
	return string(out)
}

// TestGuide follows the guide's first chapter and kills the service after every
// answer: what was answered is still true afterwards.
func TestGuide(t *testing.T) {
	home := t.TempDir()
	kill := serve(t, home, "--listen", "127.0.0.1:0")
	var tokens []string
	for _, name := range []string{"miner", "messager", "sealer"} {
		tok := command(t, home, "genToken", "--perm", "admin", name)
		require.Regexp(t, regexp.MustCompile(`^[\w-]+\.[\w-]+\.[\w-]+\n$`), tok)
		tokens = append(tokens, strings.TrimSpace(tok))
		kill()
		kill = serve(t, home, "run", "--listen", "127.0.0.1:0")
	}
	command(t, home, "token", "remove", tokens[0])
	kill()
	serve(t, home, "run", "--listen", "127.0.0.1:0")
	list := command(t, home, "token", "list", "--json", "--removed")
	require.Equal(t, 4, strings.Count(list, `"id"`), "%s", list)
	require.Equal(t, 1, strings.Count(list, `"removed": true`), "%s", list)
	log, err := os.ReadFile(logFile(home))
	require.NoError(t, err)
	require.Contains(t, string(log), "audit:")
	for _, tok := range tokens {
		require.NotContains(t, string(log)+list, strings.Split(tok, ".")[2], "tokens are neither logged nor listed")
	}
	_, err = os.Stat(filepath.Join(home, ".venus-auth", "config.toml"))
	require.NoError(t, err)

	second := program(t, home, "run")
	out, err := second.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, 3, second.ProcessState.ExitCode())
	require.Contains(t, string(out), "hint: is venus-auth running already?")
}

package argv

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	asChild = "VENUS_TEST_ARGV_CHILD"
	token   = "eyJhbGciOiJIUzI1NiJ9.eyJuYW1lIjoibSJ9.canary-canary-canary-canary"
)

// TestMain makes the test's own program one that shows its arguments, as it sees them and as others do.
func TestMain(m *testing.M) {
	if os.Getenv(asChild) == "" {
		os.Exit(m.Run())
	}
	args := Hide()
	shown, err := os.ReadFile("/proc/self/cmdline")
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n%s\n%s", strings.Join(args[1:], " "), strings.Join(os.Args[1:], " "), shown)
}

func TestHide(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux shows where arguments lie")
	}
	args := []string{
		"run", "--node-token", token, "--token=" + token + ":/ip4/1.2.3.4/tcp/5678/http", "--mysql-dsn", "root:111111@tcp(127.0.0.1:3306)/cali_venus?loc=Local",
		"--mysql-dsn=root:p@ss:w0rd@(127.0.0.1:3306)/x", "http://user:canary@host/db", "--node-url", "/ip4/1.2.3.4/tcp/3453", "plain",
	}
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), asChild+"=1")
	out, err := c.Output()
	require.NoError(t, err)
	lines := strings.SplitN(string(out), "\n", 3)
	require.Equal(t, strings.Join(args, " "), lines[0], "the program gets what it was given")
	require.Equal(t, lines[0], lines[1])
	for _, secret := range []string{"canary", "111111", "p@ss", "w0rd"} {
		require.Contains(t, lines[0], secret)
		require.NotContains(t, lines[2], secret)
	}
	for _, open := range []string{"run", "--node-token", "/ip4/1.2.3.4/tcp/5678/http", "root:xxxxxx@tcp(127.0.0.1:3306)/cali_venus?loc=Local", "--node-url", "plain", "http://user:xxxxxx@host/db"} {
		require.Contains(t, lines[2], open)
	}
}

// TestLiteralsAreLeftAlone: text of the program itself cannot be written to.
func TestLiteralsAreLeftAlone(t *testing.T) {
	was := os.Args
	defer func() { os.Args = was }()
	os.Args = []string{"venus", token}
	require.Equal(t, []string{"venus", token}, Hide())
}

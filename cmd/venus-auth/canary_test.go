package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/mariadb"
	"github.com/filecoin-venus/venus/repo"
)

// TestSecretsStayWhereTheyBelong runs the program on MySQL, has it do everything, and looks for what must not be found:
// texts of tokens, the signing secret and the database's password in its log, its answers, its numbers, the database, the
// process list and the files that others may read.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	home := t.TempDir()
	dsn := mariadb.Database(t)
	folder := filepath.Join(home, ".venus-auth")
	require.NoError(t, os.MkdirAll(folder, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "config.toml"), fmt.Appendf(nil, "[db]\ntype = \"mysql\"\nDSN = %q\n[log]\nlogLevel = \"trace\"\n", dsn), 0o600))
	kill := serve(t, home, "--listen", "127.0.0.1:0")
	found := command(t, home, "token", "list", "--json") // whatever is printed, but for tokens when they are made
	var secrets []string
	for _, args := range [][]string{
		{"genToken", "--perm", "admin", "--expire", "1h", "miner"}, {"genToken", "alice"}, {"genToken", "bob"}, {"token", "rotate", "bob"},
	} {
		secrets = append(secrets, strings.TrimSpace(command(t, home, args...)))
	}
	for _, args := range [][]string{
		{"user", "add", "alice", "--miner", "f01000"}, {"user", "rate-limit", "add", "alice", "5", "1m"}, {"user", "get", "alice"}, {"user", "list"},
		{"token", "remove", secrets[0]}, {"token", "list", "--removed"}, {"audit"}, {"audit", "--json"},
	} {
		found += command(t, home, args...)
	}
	dir, err := repo.Read(folder)
	require.NoError(t, err)
	maddr, err := dir.API()
	require.NoError(t, err)
	parts := strings.Split(maddr, "/")
	base := fmt.Sprintf("http://%s:%s", parts[2], parts[4])
	for _, tok := range append(secrets, "wrong."+secrets[1]) {
		resp, err := http.PostForm(base+"/verify", url.Values{"token": {tok}})
		require.NoError(t, err)
		found += read(t, resp)
	}
	for _, path := range []string{"/metrics", "/healthz?verbose", "/version"} {
		resp, err := http.Get(base + path)
		require.NoError(t, err)
		found += read(t, resp)
	}
	found += processes(t)
	local, err := os.ReadFile(filepath.Join(folder, "token"))
	require.NoError(t, err)
	kill()
	log, err := os.ReadFile(logFile(home))
	require.NoError(t, err)
	found += string(log)
	rows := mariadb.Dump(t, dsn)
	require.Contains(t, rows, "alice")
	found += rows
	require.Greater(t, len(found), 5000)

	secrets = append(secrets, strings.TrimSpace(string(local)))
	for i, tok := range secrets {
		require.Len(t, strings.Split(tok, "."), 3)
		require.NotContains(t, found, strings.Split(tok, ".")[2], "token %d", i)
	}
	require.NotContains(t, found, ":111111", "the database's password")
	require.NotContains(t, found, "111111@")
	require.NoError(t, filepath.Walk(folder, func(path string, i os.FileInfo, err error) error {
		if err == nil && !i.IsDir() {
			require.Zero(t, i.Mode().Perm()&0o077, "%s is for its owner", path)
		}
		return err
	}))
}

func read(t *testing.T, resp *http.Response) string {
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(b)
}

// processes are the arguments and environments of all processes that can be looked at, save our own, which holds
// connection strings for its database.
func processes(t *testing.T) string {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(b), os.Args[0]) && !strings.Contains(f, fmt.Sprint("/", os.Getpid(), "/")) {
			env, _ := os.ReadFile(strings.Replace(f, "cmdline", "environ", 1)) // it may be gone by now
			all.Write(append(b, env...))
		}
	}
	require.NotEmpty(t, all.String(), "the service is among the processes")
	return all.String()
}

package mariadb

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

func open(t *testing.T, dsn string) *sql.DB {
	db, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestDatabasesAreApart(t *testing.T) {
	a, b := open(t, Database(t)), open(t, Database(t))
	for _, db := range []*sql.DB{a, b} {
		_, err := db.Exec("CREATE TABLE t (x INT)")
		require.NoError(t, err)
	}
	var version, user string
	require.NoError(t, a.QueryRow("SELECT VERSION(), USER()").Scan(&version, &user))
	require.Contains(t, version, "MariaDB")
	if os.Getenv("VENUS_TEST_MYSQL_DSN") != "" {
		return
	}
	require.Equal(t, "root@127.0.0.1", user)
	wrong := open(t, strings.Replace(Database(t), password, "222222", 1))
	require.ErrorContains(t, wrong.Ping(), "Access denied", "passwords count")
	if os.Getuid() == 0 {
		i, err := os.Stat(shared.server.path("data"))
		require.NoError(t, err)
		require.EqualValues(t, nobody, i.Sys().(*syscall.Stat_t).Uid, "the server runs without root's rights")
	}
}

func TestKilledServerKeepsItsData(t *testing.T) {
	s := Start(t)
	dsn := s.Database(t)
	db := open(t, dsn)
	_, err := db.Exec("CREATE TABLE t (x INT)")
	require.NoError(t, err)
	_, err = db.Exec("INSERT INTO t VALUES (7)")
	require.NoError(t, err)
	s.Kill()
	require.Error(t, db.Ping())
	s.Restart(t)
	var x int
	require.NoError(t, db.QueryRow("SELECT x FROM t").Scan(&x))
	require.Equal(t, 7, x)

	s.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, db.QueryRowContext(ctx, "SELECT x FROM t").Scan(&x), context.DeadlineExceeded)
	s.Resume(t)
	require.NoError(t, db.QueryRow("SELECT x FROM t").Scan(&x))
	s.Stop()
	require.Error(t, db.Ping())
}

func TestLeftoversAreSwept(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	// No process has this number: the kernel gives out at most 4 million.
	old := filepath.Join(os.Getenv("TMPDIR"), prefix+"99999999-1")
	mine := filepath.Join(os.Getenv("TMPDIR"), prefix+"1-1")
	for _, d := range []string{old, mine} {
		require.NoError(t, os.Mkdir(d, 0o700))
	}
	sweep()
	require.NoDirExists(t, old)
	require.DirExists(t, mine)
}

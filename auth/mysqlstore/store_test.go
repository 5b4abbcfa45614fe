package mysqlstore_test

import (
	"context"
	"database/sql"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/mysqlstore"
	"github.com/filecoin-venus/venus/auth/storetest"
	"github.com/filecoin-venus/venus/auth/token"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/mariadb"
)

func TestMain(m *testing.M) { os.Exit(mariadb.Run(m)) }

// guideDSN gives a connection string the guide's form: no "tcp", and its parameters.
func guideDSN(dsn string) string {
	server, _, _ := strings.Cut(dsn, "?")
	return strings.Replace(server, "tcp(", "(", 1) + "?parseTime=true&loc=Local&charset=utf8mb4&collation=utf8mb4_unicode_ci&readTimeout=10s&writeTimeout=10s"
}

func open(t *testing.T, dsn string) *mysqlstore.Store {
	s, err := mysqlstore.Open(t.Context(), mysqlstore.Config{DSN: dsn})
	require.NoError(t, err)
	return s
}

func TestSuite(t *testing.T) {
	dirs := map[string]string{}
	storetest.Run(t, func(t *testing.T, dir string) auth.Store {
		if dirs[dir] == "" {
			dirs[dir] = guideDSN(mariadb.Database(t))
		}
		s, err := mysqlstore.Open(context.Background(), mysqlstore.Config{DSN: dirs[dir], MaxOpenConns: 8})
		require.NoError(t, err)
		return s
	})
}

// guideDDL is what the guide has an operator type.
const guideDDL = "CREATE TABLE `token` (" +
	"`name` varchar(50) NOT NULL, `token` varchar(512) NOT NULL, `createTime` datetime NOT NULL, `perm` varchar(50) NOT NULL," +
	"`extra` varchar(255) DEFAULT NULL, UNIQUE KEY `token_token_IDX` (`token`) USING HASH" +
	") ENGINE=InnoDB DEFAULT CHARSET = utf8 COLLATE = utf8_general_ci"

// TestGuideTableIsTakenOver: tokens of the original stay valid, and their texts are kept no longer.
func TestGuideTableIsTakenOver(t *testing.T) {
	dsn := mariadb.Database(t)
	db, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec(guideDDL)
	require.NoError(t, err)
	const old = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJuYW1lIjoibWluZXIiLCJwZXJtIjoiYWRtaW4iLCJleHQiOiIifQ.c2lnbmVkLWJ5LXRoZS1vcmlnaW5hbA"
	made := time.Date(2021, 4, 25, 12, 0, 1, 0, time.Local)
	for _, row := range [][]any{{"miner", old, made, "admin", nil}, {"odd", "no.jwt.at-all", made, "superuser", "x"}} {
		_, err = db.Exec("INSERT INTO token (name, token, createTime, perm, extra) VALUES (?,?,?,?,?)", row...)
		require.NoError(t, err)
	}
	s := open(t, guideDSN(dsn))
	recs, err := s.List(t.Context(), auth.Query{Limit: 9})
	require.NoError(t, err)
	require.Len(t, recs, 2)
	for _, r := range recs {
		require.Equal(t, made.UTC(), r.CreatedAt)
	}
	signer, err := token.NewSigner(make([]byte, 32))
	require.NoError(t, err)
	svc := auth.NewService(s, signer, clock.Real())
	id, err := svc.Verify(t.Context(), old)
	require.NoError(t, err)
	require.Equal(t, "miner", id.Name)
	require.Equal(t, "admin", id.Perm)
	for _, bad := range []string{old + "x", old[:len(old)-1], "no.jwt.at-all", token.HashID(old)} {
		_, err = svc.Verify(t.Context(), bad)
		require.Error(t, err, bad)
	}
	require.NoError(t, s.Close())
	var tables int
	require.NoError(t, db.QueryRow("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'token'").Scan(&tables))
	require.Zero(t, tables, "the table with the texts is gone")

	again := open(t, dsn)
	defer again.Close()
	recs, err = again.List(t.Context(), auth.Query{Limit: 9})
	require.NoError(t, err)
	require.Len(t, recs, 2, "it is done once")
}

// TestTakeOverGoesOn: an interruption at its end, with all copied and the old table still there, is mended.
func TestTakeOverGoesOn(t *testing.T) {
	dsn := mariadb.Database(t)
	require.NoError(t, open(t, dsn).Close())
	db, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	defer db.Close()
	for _, q := range []string{
		guideDDL, "INSERT INTO token (name, token, createTime, perm) VALUES ('a', 'x.y.z', '2021-04-25 12:00:00', 'read')",
		"DELETE FROM auth_schema_versions WHERE version_id = 2",
	} {
		_, err := db.Exec(q)
		require.NoError(t, err)
	}
	for range 2 {
		s := open(t, dsn)
		recs, err := s.List(t.Context(), auth.Query{Limit: 9})
		require.NoError(t, err)
		require.Len(t, recs, 1)
		require.NoError(t, s.Close())
	}
}

// TestSecretsStayInside: no error repeats the connection string.
func TestSecretsStayInside(t *testing.T) {
	for dsn, code := range map[string]api.ErrorCode{
		"root:canary-password@nonsense":                                      api.CodeInvalid,
		"root:canary-password@(127.0.0.1:1)/":                                api.CodeInvalid,
		"root:canary-password@(127.0.0.1:1)/db?timeout=1s":                   api.CodeUnavailable,
		strings.Replace(mariadb.Database(t), "111111", "canary-password", 1): api.CodeUnavailable,
	} {
		_, err := mysqlstore.Open(t.Context(), mysqlstore.Config{DSN: dsn})
		require.Equal(t, code, api.Explain(err).Code, "%v", err)
		require.NotContains(t, err.Error()+api.Explain(err).Hint, "canary")
	}
}

// TestDatabaseGoneAndBack: while it is away questions fail, none hangs, and afterwards everything is there.
func TestDatabaseGoneAndBack(t *testing.T) {
	server := mariadb.Start(t)
	s := open(t, server.Database(t)+"&timeout=2s")
	defer s.Close()
	ctx := t.Context()
	r := auth.Record{ID: "1", Name: "n", Perm: api.PermRead, CreatedAt: time.Unix(1, 0).UTC()}
	require.NoError(t, s.Put(ctx, auth.Entry{}, r))
	server.Kill()
	_, err := s.Get(ctx, "1")
	require.Error(t, err)
	require.NotErrorIs(t, err, auth.ErrUnknown, "a store that is away does not say that a token is unknown")
	require.Error(t, s.Put(ctx, auth.Entry{}, auth.Record{ID: "2"}))
	server.Restart(t)
	got, err := s.Get(ctx, "1")
	require.NoError(t, err)
	require.Equal(t, r, got)
}

package auth_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/stretchr/testify/require"
)

func addrs(t *testing.T, texts ...string) []address.Address {
	out := make([]address.Address, len(texts))
	for i, s := range texts {
		var err error
		out[i], err = address.NewFromString(s)
		require.NoError(t, err)
	}
	return out
}

// setDSN adds the connection string to the section [db], as an operator would.
func setDSN(t testing.TB, config, dsn string) {
	b, err := os.ReadFile(config)
	require.NoError(t, err)
	text := strings.Replace(string(b), "\n[db]\n", fmt.Sprintf("\n[db]\nDSN = %q\n", dsn), 1)
	require.NotEqual(t, string(b), text)
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
}

// influxDB takes points.
type influxDB struct {
	url   string
	mu    sync.Mutex
	lines []string
	token string
}

func newInflux(t *testing.T) *influxDB {
	db := &influxDB{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		db.mu.Lock()
		defer db.mu.Unlock()
		db.token = r.Header.Get("Authorization")
		db.lines = append(db.lines, strings.Split(strings.TrimSpace(string(b)), "\n")...)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(s.Close)
	db.url = s.URL
	return db
}

func (db *influxDB) all() []string {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.lines
}

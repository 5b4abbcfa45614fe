package influx

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
)

var t0 = time.Unix(1_700_000_000, 1)

func TestLine(t *testing.T) {
	for _, c := range []struct {
		p    Point
		want string
	}{
		{Point{"verify", map[string]string{"name": "a b", "level": "info", "none": ""}, map[string]any{"elapsed": int64(3), "ok": true}, t0},
			`verify,level=info,name=a\ b elapsed=3i,ok=true 1700000000000000001`},
		{Point{"m,x", map[string]string{"k=": "v,=\n"}, map[string]any{"text": "say \"hi\"\\\nfield=1", "f": 1.5}, t0},
			`m\,x,k\==v\,\=\  f=1.5,text="say \"hi\"\\ field=1" 1700000000000000001`},
		{Point{"m", nil, nil, t0}, `m count=1i 1700000000000000001`},
		{Point{"m", map[string]string{"k": `end\`}, nil, t0}, `m,k=end\  count=1i 1700000000000000001`},
	} {
		require.Equal(t, c.want, c.p.line())
		require.NotContains(t, c.p.line(), "\n", "one point is one line, whatever is in it")
	}
}

// server is an InfluxDB as far as writing goes.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	lines  []string
	asked  []string
	auth   []string
	told   chan struct{}
}

func newServer(t *testing.T) *server {
	s := &server{status: 204, told: make(chan struct{}, 1000)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked, s.auth = append(s.asked, r.Method+" "+r.URL.String()), append(s.auth, r.Header.Get("Authorization"))
		if s.status == 204 {
			s.lines = append(s.lines, strings.Split(strings.TrimSpace(string(b)), "\n")...)
		}
		w.WriteHeader(s.status)
		s.told <- struct{}{}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) set(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

func (s *server) await(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-s.told:
		case <-time.After(20 * time.Second):
			t.Fatal("the server was not asked")
		}
	}
}

func point(i int) Point {
	return Point{"verify", nil, map[string]any{"i": int64(i)}, t0}
}

func TestBothVersionsAndBatches(t *testing.T) {
	s, clk := newServer(t), clock.NewSim(t0)
	w, err := New(Config{ServerURL: s.URL, AuthToken: "canary", Org: "venus auth", Bucket: "b", BatchSize: 2, FlushInterval: time.Second}, clk)
	require.NoError(t, err)
	w.Write(point(0))
	w.Write(point(1))
	s.await(t, 1)
	require.Equal(t, "POST /api/v2/write?bucket=b&org=venus+auth&precision=ns", s.asked[0])
	require.Equal(t, "Token canary", s.auth[0])
	require.NoError(t, clk.WaitFor(t.Context(), 1))
	w.Write(point(2))
	clk.Advance(time.Second)
	s.await(t, 1)
	w.Write(point(3))
	require.NoError(t, w.Close(t.Context()), "the last one is written at the end")
	require.Len(t, s.lines, 4)
	require.Equal(t, Stats{Written: 4}, w.Stats())

	w, err = New(Config{ServerURL: s.URL + "/prefix/", AuthToken: "user:pw", Bucket: "db"}, clk)
	require.NoError(t, err)
	w.Write(point(4))
	require.NoError(t, w.Close(t.Context()))
	require.Equal(t, "POST /prefix/write?db=db&precision=ns", s.asked[3])
	require.Equal(t, "Token user:pw", s.auth[3])
}

// TestServerAway: points are kept, in order, up to a bound; the oldest go first; nobody waits.
func TestServerAway(t *testing.T) {
	s, clk := newServer(t), clock.NewSim(t0)
	s.set(503)
	w, err := New(Config{ServerURL: s.URL, Bucket: "b", BatchSize: 10, FlushInterval: time.Minute, Keep: 25}, clk)
	require.NoError(t, err)
	for i := range 10 {
		w.Write(point(i))
	}
	s.await(t, 1)
	require.NoError(t, clk.WaitFor(t.Context(), 1))
	for i := 10; i < 30; i++ {
		w.Write(point(i))
	}
	clk.Advance(retryFirst)
	s.await(t, 1)
	require.NoError(t, clk.WaitFor(t.Context(), 1))
	require.Equal(t, 5, w.Stats().Dropped)
	s.set(204)
	clk.Advance(2 * retryFirst)
	s.await(t, 3)
	require.NoError(t, w.Close(t.Context()))
	require.Len(t, s.lines, 25)
	for i, l := range s.lines {
		require.Contains(t, l, fmt.Sprintf("i=%di ", i+5))
	}
	require.Equal(t, Stats{Written: 25, Dropped: 5}, w.Stats())
}

// TestRejectedPointsAreDropped: they must not stand in the way of others.
func TestRejectedPointsAreDropped(t *testing.T) {
	s := newServer(t)
	s.set(400)
	w, err := New(Config{ServerURL: s.URL, Bucket: "b", BatchSize: 1}, clock.NewSim(t0))
	require.NoError(t, err)
	w.Write(point(0))
	s.await(t, 1)
	s.set(204)
	w.Write(point(1))
	s.await(t, 1)
	require.NoError(t, w.Close(t.Context()))
	require.Equal(t, Stats{Written: 1, Dropped: 1}, w.Stats())
}

func TestCloseTellsWhatIsLost(t *testing.T) {
	s := newServer(t)
	url := s.URL
	s.Server.Close()
	w, err := New(Config{ServerURL: url, AuthToken: "canary", Bucket: "b"}, clock.NewSim(t0))
	require.NoError(t, err)
	w.Write(point(0))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err = w.Close(ctx)
	require.ErrorContains(t, err, "1 points")
	require.NotContains(t, err.Error(), "canary")
	for _, bad := range []Config{{ServerURL: "nonsense", Bucket: "b"}, {ServerURL: url}, {ServerURL: "ftp://x", Bucket: "b"}} {
		_, err := New(bad, clock.NewSim(t0))
		require.Error(t, err)
	}
}

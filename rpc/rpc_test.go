package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	fbig "github.com/filecoin-project/go-state-types/big"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// toyProxy has the form of a generated proxy.
type toyProxy struct {
	Internal struct {
		Echo  func(ctx context.Context, s string) (string, error)        `perm:"read"`
		Store func(ctx context.Context, s string) error                  `perm:"write"`
		Sign  func(ctx context.Context, s string) (string, error)        `perm:"sign"`
		Admin func(ctx context.Context) (string, error)                  `perm:"admin"`
		Fail  func(ctx context.Context) (string, error)                  `perm:"read"`
		Boom  func(ctx context.Context) (string, error)                  `perm:"read"`
		Wait  func(ctx context.Context) error                            `perm:"read"`
		Count func(ctx context.Context, from, n int) (<-chan int, error) `perm:"write" stream:"paced"`
		Hold  func(ctx context.Context) (<-chan int, error)              `perm:"read"`
	}
}

func (p *toyProxy) Echo(ctx context.Context, s string) (string, error) {
	return p.Internal.Echo(ctx, s)
}
func (p *toyProxy) Store(ctx context.Context, s string) error { return p.Internal.Store(ctx, s) }
func (p *toyProxy) Sign(ctx context.Context, s string) (string, error) {
	return p.Internal.Sign(ctx, s)
}
func (p *toyProxy) Admin(ctx context.Context) (string, error) { return p.Internal.Admin(ctx) }
func (p *toyProxy) Fail(ctx context.Context) (string, error)  { return p.Internal.Fail(ctx) }
func (p *toyProxy) Boom(ctx context.Context) (string, error)  { return p.Internal.Boom(ctx) }
func (p *toyProxy) Wait(ctx context.Context) error            { return p.Internal.Wait(ctx) }
func (p *toyProxy) Count(ctx context.Context, from, n int) (<-chan int, error) {
	return p.Internal.Count(ctx, from, n)
}
func (p *toyProxy) Hold(ctx context.Context) (<-chan int, error) { return p.Internal.Hold(ctx) }

// toy is the service behind it. ended counts the streams whose context ended.
type toy struct {
	ended   chan struct{}
	waited  chan struct{}
	waiting atomic.Int64 // calls of Wait under way
}

func newToy() *toy {
	return &toy{ended: make(chan struct{}, 1000), waited: make(chan struct{}, 1000)}
}

func (t *toy) Echo(_ context.Context, s string) (string, error) { return s, nil }
func (t *toy) Store(context.Context, string) error              { return nil }
func (t *toy) Sign(ctx context.Context, s string) (string, error) {
	c, _ := CallerFrom(ctx)
	return c.Name + ":" + s, nil
}
func (t *toy) Admin(context.Context) (string, error) { return "done", nil }
func (t *toy) Fail(context.Context) (string, error) {
	return "", fmt.Errorf("look for the thing: %w", api.Errorf(api.CodeNotFound, "no thing").WithHint("make one"))
}
func (t *toy) Boom(context.Context) (string, error) { panic("secret detail") }
func (t *toy) Wait(ctx context.Context) error {
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	<-ctx.Done()
	t.waited <- struct{}{}
	return ctx.Err()
}
func (t *toy) Count(ctx context.Context, from, n int) (<-chan int, error) {
	out := make(chan int)
	go func() {
		defer close(out)
		for i := range n {
			select {
			case out <- from + i:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}
func (t *toy) Hold(ctx context.Context) (<-chan int, error) {
	out := make(chan int)
	go func() {
		defer close(out)
		<-ctx.Done()
		t.ended <- struct{}{}
	}()
	return out, nil
}

// tokens is a verifier whose tokens can be taken away.
type tokens struct {
	mu   sync.Mutex
	by   map[string]api.Permission
	away bool
	asks int
}

func (k *tokens) verify(_ context.Context, token string) (Caller, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asks++
	if k.away {
		return Caller{}, api.Errorf(api.CodeUnavailable, "auth is away")
	}
	p, ok := k.by[token]
	if !ok {
		return Caller{}, ErrBadToken
	}
	return Caller{Name: token, Perms: p.Expand()}, nil
}

func (k *tokens) set(f func(k *tokens)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(k)
}

func allTokens() *tokens {
	return &tokens{by: map[string]api.Permission{"r": api.PermRead, "w": api.PermWrite, "s": api.PermSign, "a": api.PermAdmin}}
}

// serve starts a server on a real socket and returns its address.
func serve(t *testing.T, o Options, impl *toy) (*Server, string) {
	t.Helper()
	s := NewServer(o)
	require.NoError(t, s.Register("/rpc/v0", impl, new(toyProxy), "Filecoin", "Toy"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
		require.NoError(t, <-served)
		http.DefaultClient.CloseIdleConnections()
	})
	return s, l.Addr().String()
}

func dial(t *testing.T, addr, token string) *toyProxy { return dialled(t, addr, token, false) }

// dialled is a client that makes requests, or shares a connection.
func dialled(t *testing.T, addr, token string, shared bool) *toyProxy {
	t.Helper()
	p := new(toyProxy)
	stop, err := Dial(addr, token, "Filecoin", p, DialOptions{Service: "toy", Timeout: 5 * time.Second, Shared: shared})
	require.NoError(t, err)
	t.Cleanup(stop)
	return p
}

// bothWays runs a test with both kinds of client.
func bothWays(t *testing.T, run func(t *testing.T, shared bool)) {
	t.Run("requests", func(t *testing.T) { run(t, false) })
	t.Run("shared", func(t *testing.T) { run(t, true) })
}

func post(t *testing.T, url, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, string(b)
}

func TestPermissionMatrix(t *testing.T) { bothWays(t, checkPermissionMatrix) }

func checkPermissionMatrix(t *testing.T, shared bool) {
	_, addr := serve(t, Options{Verify: allTokens().verify, Anonymous: []api.Permission{api.PermRead}}, newToy())
	ctx := context.Background()
	for _, token := range []string{"", "r", "w", "s", "a"} {
		level := map[string]api.Permission{"": "read", "r": "read", "w": "write", "s": "sign", "a": "admin"}[token]
		p := dialled(t, addr, token, shared)
		calls := map[api.Permission]func() error{
			api.PermRead:  func() error { _, err := p.Echo(ctx, "x"); return err },
			api.PermWrite: func() error { return p.Store(ctx, "x") },
			api.PermSign:  func() error { _, err := p.Sign(ctx, "x"); return err },
			api.PermAdmin: func() error { _, err := p.Admin(ctx); return err },
		}
		for need, call := range calls {
			err := call()
			if level.Covers(need) {
				require.NoError(t, err, "%q calls %s", token, need)
				continue
			}
			require.Error(t, err, "%q calls %s", token, need)
			require.Equal(t, api.CodePermission, api.Explain(err).Code)
			require.Contains(t, err.Error(), fmt.Sprintf("(need '%s')", need))
		}
		ch, err := p.Count(ctx, 1, 1)
		if level.Covers(api.PermWrite) {
			require.NoError(t, err)
			require.Equal(t, 1, <-ch)
		} else {
			require.Equal(t, api.CodePermission, api.Explain(err).Code)
		}
	}
}

func TestNoTokenMayNothingByDefault(t *testing.T) {
	_, addr := serve(t, Options{Verify: allTokens().verify}, newToy())
	_, err := dial(t, addr, "").Echo(context.Background(), "x")
	require.Equal(t, api.CodePermission, api.Explain(err).Code)
}

func TestBadTokens(t *testing.T) {
	_, addr := serve(t, Options{Verify: allTokens().verify, Anonymous: []api.Permission{api.PermRead}}, newToy())
	url, call := "http://"+addr+"/rpc/v0", `{"jsonrpc":"2.0","id":1,"method":"Filecoin.Echo","params":["x"]}`
	for name, h := range map[string]string{
		"unknown": "Bearer nope", "empty": "Bearer ", "no scheme": "r", "basic": "Basic r", "huge": "Bearer " + strings.Repeat("r", 5000),
	} {
		status, _, body := post(t, url, call, "Authorization", h)
		require.Equal(t, 401, status, name)
		require.Contains(t, body, "token not valid", name)
	}
	for q, want := range map[string]int{"?token=r": 401, "?token=": 401, "?token=nope": 401} { // a token in an address is in the logs of proxies
		status, _, _ := post(t, url+q, call)
		require.Equal(t, want, status, q)
	}
	// Neither the address nor any header makes a caller trusted.
	_, _, body := post(t, url, `{"jsonrpc":"2.0","id":1,"method":"Filecoin.Admin","params":[]}`,
		"X-Real-Ip", "127.0.0.1", "X-Forwarded-For", "127.0.0.1")
	require.Contains(t, body, "missing permission")
	_, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/rpc/v0?token=nope", nil)
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
}

func TestWrongTokensAreLimited(t *testing.T) {
	clk := clock.NewSim(time.Unix(1700000000, 0))
	_, addr := serve(t, Options{Verify: allTokens().verify, Clock: clk}, newToy())
	url := "http://" + addr + "/rpc/v0"
	try := func(token string) int {
		status, _, _ := post(t, url, `{"jsonrpc":"2.0","id":1,"method":"Filecoin.Echo","params":["x"]}`, "Authorization", "Bearer "+token)
		return status
	}
	require.Equal(t, 200, try("r"))
	for range failBurst {
		require.Equal(t, 401, try("wrong"))
	}
	require.Equal(t, 429, try("wrong"))
	require.Equal(t, 200, try("r"), "a token seen good is not held up")
	clk.Advance(time.Second)
	require.Equal(t, 401, try("wrong"))
}

func TestErrorsCrossTheWire(t *testing.T) { bothWays(t, checkErrorsCrossTheWire) }

func checkErrorsCrossTheWire(t *testing.T, shared bool) {
	_, addr := serve(t, Options{Verify: allTokens().verify}, newToy())
	p := dialled(t, addr, "r", shared)
	_, err := p.Fail(context.Background())
	var e *api.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, api.Error{Code: api.CodeNotFound, Message: "look for the thing: no thing", Hint: "make one"},
		api.Error{Code: e.Code, Message: e.Message, Hint: e.Hint})
	_, err = p.Boom(context.Background())
	require.ErrorContains(t, err, "method Boom failed inside")
	require.NotContains(t, err.Error(), "secret")
	status, _, body := post(t, "http://"+addr+"/rpc/v0", `{"jsonrpc":"2.0","id":7,"method":"Filecoin.Boom","params":[]}`, "Authorization", "Bearer r")
	require.Equal(t, 200, status)
	require.JSONEq(t, `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"method Boom failed inside: panic","data":{"code":"internal","hint":"this is a bug; the service's log has the details"}}}`, body)
	_, _, body = post(t, "http://"+addr+"/rpc/v0", `{"jsonrpc":"2.0","id":8,"method":"Filecoin.Fail","params":[]}`, "Authorization", "Bearer r")
	require.JSONEq(t, `{"jsonrpc":"2.0","id":8,"error":{"code":1,"message":"look for the thing: no thing","data":{"code":"not_found","hint":"make one"}}}`, body)
}

func TestClientErrorsExplain(t *testing.T) { bothWays(t, checkClientErrorsExplain) }

func checkClientErrorsExplain(t *testing.T, shared bool) {
	_, addr := serve(t, Options{Verify: allTokens().verify}, newToy())
	_, err := dialled(t, addr, "wrong", shared).Echo(context.Background(), "x")
	require.Equal(t, api.CodeUnauthenticated, api.Explain(err).Code)
	require.NotEmpty(t, api.Explain(err).Hint)
	_, err = dialled(t, addr, "wrong", shared).Hold(context.Background())
	require.Equal(t, api.CodeUnauthenticated, api.Explain(err).Code)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	dead := l.Addr().String()
	require.NoError(t, l.Close())
	_, err = dialled(t, dead, "r", shared).Echo(context.Background(), "x")
	require.Equal(t, api.CodeUnavailable, api.Explain(err).Code)
	require.ErrorContains(t, err, "cannot reach toy at http://"+dead)
	_, err = dialled(t, dead, "r", shared).Hold(context.Background())
	require.Equal(t, api.CodeUnavailable, api.Explain(err).Code)

	other := new(struct {
		Internal struct {
			Missing func(context.Context) error `perm:"read"`
		}
	})
	stop, err := Dial("http://"+addr, "r", "Filecoin", other, DialOptions{Shared: shared})
	require.NoError(t, err)
	defer stop()
	require.ErrorIs(t, other.Internal.Missing(context.Background()), api.ErrNotSupported)

	stopped := new(toyProxy)
	stop2, err := Dial(addr, "r", "Filecoin", stopped, DialOptions{Shared: shared})
	require.NoError(t, err)
	stop2()
	stop2()
	_, err = stopped.Echo(context.Background(), "x")
	require.ErrorIs(t, err, context.Canceled)
}

func TestTimeouts(t *testing.T) { bothWays(t, checkTimeouts) }

func checkTimeouts(t *testing.T, shared bool) {
	impl := newToy()
	_, addr := serve(t, Options{Verify: allTokens().verify}, impl)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err := dialled(t, addr, "r", shared).Wait(ctx)
	require.Equal(t, api.CodeUnavailable, api.Explain(err).Code)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	<-impl.waited // hanging up reached the method
}

func TestStreams(t *testing.T) {
	impl := newToy()
	_, addr := serve(t, Options{Verify: allTokens().verify}, impl)
	p := dial(t, addr, "a")
	ch, err := p.Count(context.Background(), 10, 500)
	require.NoError(t, err)
	want := 10
	for v := range ch {
		require.Equal(t, want, v)
		want++
	}
	require.Equal(t, 510, want)

	ctx, cancel := context.WithCancel(context.Background())
	hold, err := p.Hold(ctx)
	require.NoError(t, err)
	cancel()
	_, open := <-hold
	require.False(t, open)
	<-impl.ended
}

// wsConn is a bare client, as in a browser.
func rawDial(t *testing.T, addr, token string, header http.Header) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/rpc/v0?token="+token, header)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func say(t *testing.T, c *websocket.Conn, s string) {
	t.Helper()
	require.NoError(t, c.WriteMessage(1, []byte(s)))
}

func hear(t *testing.T, c *websocket.Conn) string {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(clock.Real().Now().Add(5*time.Second)))
	_, b, err := c.ReadMessage()
	require.NoError(t, err)
	return string(b)
}

func TestDialectOnTheWire(t *testing.T) {
	impl := newToy()
	_, addr := serve(t, Options{Verify: allTokens().verify, MaxStreams: 2}, impl)
	c := rawDial(t, addr, "a", nil)
	say(t, c, `{"jsonrpc":"2.0","id":"str","method":"Toy.Echo","params":["x"]}`)
	require.JSONEq(t, `{"jsonrpc":"2.0","id":"str","result":"x"}`, hear(t, c))
	say(t, c, `{"jsonrpc":"2.0","id":5,"method":"Filecoin.Count","params":[7,2]}`)
	require.JSONEq(t, `{"jsonrpc":"2.0","id":5,"result":1}`, hear(t, c))
	require.JSONEq(t, `{"jsonrpc":"2.0","method":"xrpc.ch.val","params":[1,7]}`, hear(t, c))
	require.JSONEq(t, `{"jsonrpc":"2.0","method":"xrpc.ch.val","params":[1,8]}`, hear(t, c))
	require.JSONEq(t, `{"jsonrpc":"2.0","method":"xrpc.ch.close","params":[1]}`, hear(t, c))

	say(t, c, `{"jsonrpc":"2.0","id":6,"method":"Filecoin.Hold","params":[]}`)
	require.JSONEq(t, `{"jsonrpc":"2.0","id":6,"result":2}`, hear(t, c))
	say(t, c, `{"jsonrpc":"2.0","id":8,"method":"Filecoin.Hold","params":[]}`)
	require.JSONEq(t, `{"jsonrpc":"2.0","id":8,"result":3}`, hear(t, c))
	say(t, c, `{"jsonrpc":"2.0","id":9,"method":"Filecoin.Hold","params":[]}`)
	require.Contains(t, hear(t, c), "more than 2 subscriptions")
	say(t, c, `{"jsonrpc":"2.0","method":"xrpc.cancel","params":[6]}`)
	require.JSONEq(t, `{"jsonrpc":"2.0","method":"xrpc.ch.close","params":[2]}`, hear(t, c))
	<-impl.ended
	// The close frame promises that the place is free.
	say(t, c, `{"jsonrpc":"2.0","id":10,"method":"Filecoin.Hold","params":[]}`)
	require.JSONEq(t, `{"jsonrpc":"2.0","id":10,"result":4}`, hear(t, c))
	require.NoError(t, c.Close())
	<-impl.ended
	<-impl.ended
}

func TestHostileFrames(t *testing.T) {
	_, addr := serve(t, Options{Verify: allTokens().verify, MaxRequest: 1000}, newToy())
	c := rawDial(t, addr, "a", nil)
	for _, quiet := range []string{
		`{"method":"xrpc.cancel","params":[]}`, `{"method":"xrpc.cancel","params":[[1]]}`, `{"method":"xrpc.cancel","params":[{}]}`,
		`{"method":"xrpc.cancel"}`, `{"method":"xrpc.cancel","params":7}`, `{"method":"xrpc.ch.val","params":[]}`, `{"method":"xrpc.ch.close"}`,
		`{"method":"Filecoin.Count","params":[1,1]}`, `{"method":"Filecoin.Echo","params":["x"]}`,
	} {
		say(t, c, quiet)
	}
	for _, s := range []string{
		``, `x`, `{`, `[]`, `7`, `null`, `"x"`, `{"id":{},"method":"Filecoin.Echo","params":["x"]}`, `{"id":1,"method":"Nope"}`,
		`{"id":1,"method":"Filecoin.Echo","params":[]}`, `{"id":1,"method":"Filecoin.Echo","params":[7]}`,
		`{"id":1,"method":"Filecoin.Count","params":[1]}`, `{"id":1,"method":"Filecoin.Count","params":["a","b"]}`,
		`{"id":1,"method":"Filecoin.Count","params":{}}`, `[` + strings.Repeat(`1,`, 200) + `1]`,
	} {
		say(t, c, s)
		require.Contains(t, hear(t, c), `"error"`, s)
	}
	say(t, c, `{"jsonrpc":"2.0","id":1,"method":"Filecoin.Echo","params":["still here"]}`)
	require.Contains(t, hear(t, c), "still here")
	say(t, c, `{"jsonrpc":"2.0","id":1,"method":"Filecoin.Echo","params":["`+strings.Repeat("x", 2000)+`"]}`)
	_, _, err := c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseMessageTooBig), "%v", err)

	url := "http://" + addr + "/rpc/v0"
	status, _, _ := post(t, url, strings.Repeat("x", 2000), "Authorization", "Bearer a")
	require.Equal(t, 413, status)
	status, _, _ = post(t, url, `[`+strings.Repeat(`1,`, 200)+`1]`, "Authorization", "Bearer a")
	require.Equal(t, 400, status)
	for _, path := range []string{"/rpc/v0/", "//rpc/v0", "/rpc/v0/../v0", "/rpc/%760", "/rpc", "/debug/pprof/", "/RPC/v0"} {
		status, _, _ := post(t, "http://"+addr+path, `{}`, "Authorization", "Bearer a")
		require.Equal(t, 404, status, path)
	}
}

func TestOrigins(t *testing.T) {
	_, addr := serve(t, Options{Verify: allTokens().verify, Anonymous: []api.Permission{api.PermRead}, Origins: []string{"https://good.example"}}, newToy())
	url, call := "http://"+addr+"/rpc/v0", `{"jsonrpc":"2.0","id":1,"method":"Filecoin.Echo","params":["x"]}`
	for origin, want := range map[string]int{"https://good.example": 200, "https://evil.example": 403, "null": 403, "http://" + addr: 200} {
		status, h, _ := post(t, url, call, "Origin", origin)
		require.Equal(t, want, status, origin)
		if want == 200 {
			require.Equal(t, origin, h.Get("Access-Control-Allow-Origin"))
		} else {
			require.Empty(t, h.Get("Access-Control-Allow-Origin"))
		}
	}
	r, err := http.NewRequest(http.MethodOptions, url, nil)
	require.NoError(t, err)
	r.Header.Set("Origin", "https://good.example")
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 204, resp.StatusCode)
	require.Contains(t, resp.Header.Get("Access-Control-Allow-Headers"), "Authorization")
	_, resp, err = websocket.DefaultDialer.Dial("ws://"+addr+"/rpc/v0", http.Header{"Origin": {"https://evil.example"}})
	require.Error(t, err)
	require.Equal(t, 403, resp.StatusCode)
}

func TestRevokedTokenEndsConnection(t *testing.T) {
	clk := clock.NewSim(time.Unix(1700000000, 0))
	k, impl := allTokens(), newToy()
	_, addr := serve(t, Options{Verify: Cached(k.verify, clk), Clock: clk}, impl)
	c := rawDial(t, addr, "s", nil)
	say(t, c, `{"jsonrpc":"2.0","id":1,"method":"Filecoin.Hold","params":[]}`)
	hear(t, c)
	say(t, c, `{"jsonrpc":"2.0","id":2,"method":"Filecoin.Sign","params":["x"]}`)
	require.Contains(t, hear(t, c), "s:x")

	k.set(func(k *tokens) { k.by["s"] = api.PermRead }) // demoted: felt within a second
	clk.Advance(time.Second)
	require.Eventually(t, func() bool {
		say(t, c, `{"jsonrpc":"2.0","id":3,"method":"Filecoin.Sign","params":["x"]}`)
		return strings.Contains(hear(t, c), "missing permission")
	}, 5*time.Second, time.Millisecond)

	k.set(func(k *tokens) { delete(k.by, "s") }) // removed: cut off
	deadline := clock.Real().Now().Add(5 * time.Second)
	go func() {
		for clock.Real().Now().Before(deadline) && len(impl.ended) == 0 {
			clk.Advance(time.Second)
		}
	}()
	for {
		require.NoError(t, c.SetReadDeadline(deadline))
		_, _, err := c.ReadMessage()
		if err != nil {
			require.True(t, websocket.IsCloseError(err, websocket.ClosePolicyViolation), "%v", err)
			break
		}
	}
	require.Eventually(t, func() bool { return len(impl.ended) == 1 }, 5*time.Second, time.Millisecond)
}

func TestCache(t *testing.T) {
	clk := clock.NewSim(time.Unix(1700000000, 0))
	k := allTokens()
	v := Cached(k.verify, clk)
	ctx := context.Background()
	for range 10 {
		_, err := v(ctx, "a")
		require.NoError(t, err)
	}
	require.Equal(t, 1, k.asks)
	k.set(func(k *tokens) { delete(k.by, "a") })
	clk.Advance(cacheTTL)
	_, err := v(ctx, "a")
	require.ErrorIs(t, err, ErrBadToken, "a removed token is refused after a second")
	k.set(func(k *tokens) { k.away = true })
	_, err = v(ctx, "a")
	require.Error(t, err, "a removed token has no grace")
	k.set(func(k *tokens) { k.away = false })
	_, err = v(ctx, "w")
	require.NoError(t, err)
	k.set(func(k *tokens) { k.away = true })
	clk.Advance(cacheGrace - time.Second)
	c, err := v(ctx, "w")
	require.NoError(t, err, "a good token outlives an absence")
	require.True(t, c.May(api.PermWrite))
	_, err = v(ctx, "r")
	require.Equal(t, api.CodeUnavailable, api.Explain(err).Code, "an unseen one does not")
	clk.Advance(2 * time.Second)
	_, err = v(ctx, "w")
	require.Equal(t, api.CodeUnavailable, api.Explain(err).Code, "and not for ever")
}

// TestSlowAuth: an auth service that hangs holds up nobody whose token was good, and lets nobody else in.
func TestSlowAuth(t *testing.T) {
	clk := clock.NewSim(time.Unix(1700000000, 0))
	k, hang := allTokens(), make(chan struct{})
	slow := false
	v := Cached(func(ctx context.Context, token string) (Caller, error) {
		if slow {
			<-hang
		}
		return k.verify(ctx, token)
	}, clk)
	_, err := v(t.Context(), "w")
	require.NoError(t, err)
	slow = true
	clk.Advance(cacheTTL)
	answered := make(chan error, 2)
	go func() { _, err := v(t.Context(), "w"); answered <- err }()
	require.NoError(t, clk.WaitFor(t.Context(), 1))
	clk.Advance(cachePatience)
	require.NoError(t, <-answered)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, err := v(ctx, "r"); answered <- err }()
	cancel()
	require.Error(t, <-answered, "an unseen token waits for the answer")
	close(hang)
}

func TestFirstOf(t *testing.T) {
	good, none := allTokens(), &tokens{}
	away := &tokens{away: true}
	_, err := FirstOf(none.verify, nil, good.verify)(context.Background(), "a")
	require.NoError(t, err)
	_, err = FirstOf(good.verify, away.verify)(context.Background(), "x")
	require.Equal(t, api.CodeUnavailable, api.Explain(err).Code)
	_, err = FirstOf()(context.Background(), "a")
	require.ErrorIs(t, err, ErrBadToken)
}

func TestHealth(t *testing.T) {
	var sick error
	var mu sync.Mutex
	begun := time.Unix(1_700_000_000, 0)
	clk := clock.NewSim(begun)
	_, addr := serve(t, Options{Clock: clk, Health: NewHealth(clk, Check{Name: "head", Ready: true, Ask: func(context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		return "at epoch 7", sick
	}})}, newToy())
	get := func(path string) (int, string) {
		resp, err := http.Get("http://" + addr + path)
		require.NoError(t, err)
		defer resp.Body.Close()
		var b bytes.Buffer
		_, err = b.ReadFrom(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, b.String()
	}
	status, body := get("/healthz")
	require.Equal(t, 200, status)
	require.Equal(t, "ok\n", body)
	mu.Lock()
	sick = errors.New("behind by 12 epochs")
	mu.Unlock()
	_, body = get("/healthz?verbose")
	require.Equal(t, "ok\n[+] head: at epoch 7 (since 2023-11-14T22:13:20Z)\n", body, "it is not asked again within a second")
	clk.Advance(2 * time.Second)
	status, body = get("/healthz")
	require.Equal(t, 503, status)
	require.Equal(t, 503, status)
	require.Equal(t, "not well\n[!] head: behind by 12 epochs (since 2023-11-14T22:13:22Z)\n", body)
	status, _ = get("/readyz")
	require.Equal(t, 503, status)
	status, _ = get("/livez")
	require.Equal(t, 200, status)
}

func TestGuardRefuses(t *testing.T) {
	type noPerm struct {
		Internal struct {
			Echo func(context.Context, string) (string, error)
		}
	}
	require.ErrorContains(t, Guard(newToy(), new(noPerm)), "permission")
	type noMethod struct {
		Internal struct {
			Nope func(context.Context) error `perm:"read"`
		}
	}
	require.ErrorContains(t, Guard(newToy(), new(noMethod)), "Nope")
	var p toyProxy
	require.NoError(t, Guard(newToy(), &p))
	_, err := p.Echo(context.Background(), "x")
	require.Equal(t, api.CodePermission, api.Explain(err).Code, "a context without a caller may do nothing")
	_, err = p.Echo(WithCaller(context.Background(), Caller{Perms: api.PermRead.Expand()}), "x")
	require.NoError(t, err)
}

func TestParseEndpoint(t *testing.T) {
	for in, want := range map[string]string{
		"/ip4/1.2.3.4/tcp/3453":           "http://1.2.3.4:3453/rpc/v0",
		"/ip4/1.2.3.4/tcp/5678/http":      "http://1.2.3.4:5678/rpc/v0",
		"/ip4/0.0.0.0/tcp/5678/http":      "http://127.0.0.1:5678/rpc/v0",
		"/ip6/::1/tcp/80/ws":              "http://[::1]:80/rpc/v0",
		"/dns/node.example/tcp/443/https": "https://node.example:443/rpc/v0",
		"http://1.2.3.4:39812/rpc/v0":     "http://1.2.3.4:39812/rpc/v0",
		"http://1.2.3.4:8989":             "http://1.2.3.4:8989/rpc/v0",
		"ws://node/rpc/v1":                "http://node:80/rpc/v1",
		"wss://node/":                     "https://node:443/rpc/v0",
		" 127.0.0.1:3453 ":                "http://127.0.0.1:3453/rpc/v0",
		"[::]:1":                          "http://[::1]:1/rpc/v0",
	} {
		got, err := ParseEndpoint(in, "")
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, bad := range []string{"", "/", "/ip4/1.2.3.4", "/ip4/1.2.3/tcp/1", "/ip4/::1/tcp/1", "/ip6/1.2.3.4/tcp/1", "/ip4/1.2.3.4/udp/1",
		"/ip4/1.2.3.4/tcp/0", "/ip4/1.2.3.4/tcp/99999", "/ip4/1.2.3.4/tcp/1/p2p/x", "ftp://x:1", "http://u:p@x:1", "http://x:1?token=a",
		"http://x:1#f", "x", "x:y", "://", "/dns//tcp/1", "http://:80"} {
		_, err := ParseEndpoint(bad, "")
		require.Error(t, err, bad)
		require.NotEmpty(t, api.Explain(err).Hint)
	}
	require.Equal(t, "a.b.c", CleanToken("a.b.c:/ip4/0.0.0.0/tcp/5678/http\n"))
	require.Equal(t, "plain", CleanToken("plain"))
	require.Equal(t, "/ip4/127.0.0.1/tcp/80", Multiaddr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}))
	l, err := ListenAddress("/ip4/127.0.0.1/tcp/3453/http")
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:3453", l)
}

func FuzzParseEndpoint(f *testing.F) {
	for _, s := range []string{"/ip4/1.2.3.4/tcp/3453", "http://x:1/rpc", "[::1]:5", "/dns/a/tcp/1/tls/http"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseEndpoint(s, "")
		if err != nil {
			return
		}
		again, err := ParseEndpoint(u, "")
		if err != nil || again != u {
			t.Fatalf("%q became %q, which reads as %q, %v", s, u, again, err)
		}
	})
}

func TestUnsetAmountsAreZero(t *testing.T) {
	type inner struct{ A fbig.Int }
	type outer struct {
		In  inner
		Arr [1]inner
		Map map[string]inner
		P   *inner
		S   []inner
		n   fbig.Int
	}
	require.True(t, holdsAmount(reflect.TypeFor[outer]()))
	require.False(t, holdsAmount(reflect.TypeFor[[]inner]()))
	v := outer{Map: map[string]inner{"x": {}}, P: &inner{}, S: []inner{{}}}
	b, err := json.Marshal(setAmounts(reflect.ValueOf(v)).Interface())
	require.NoError(t, err)
	require.JSONEq(t, `{"In":{"A":"0"},"Arr":[{"A":"0"}],"Map":{"x":{"A":"0"}},"P":{"A":"0"},"S":[{"A":"0"}]}`, string(b))
	require.Nil(t, v.Map["x"].A.Int, "the original stays as it was")
	require.Nil(t, v.n.Int)
}

func TestPermissionComesBeforeParameters(t *testing.T) {
	_, addr := serve(t, Options{Verify: allTokens().verify}, newToy())
	call := `{"jsonrpc":"2.0","id":1,"method":"Filecoin.Store","params":{"not":"even an array"}}`
	_, _, body := post(t, "http://"+addr+"/rpc/v0", call, "Authorization", "Bearer r")
	require.Contains(t, body, "missing permission to invoke 'Store' (need 'write')")
	c := rawDial(t, addr, "r", nil)
	say(t, c, call)
	require.Contains(t, hear(t, c), "missing permission to invoke 'Store' (need 'write')")
	say(t, c, `[{"jsonrpc":"2.0","id":1,"method":"Filecoin.Store","params":["x"]}]`)
	require.Contains(t, hear(t, c), "missing permission", "in a batch too")
}

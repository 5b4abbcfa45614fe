package rpc

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
)

// counts is a Meter that remembers.
type counts struct {
	mu             sync.Mutex
	calls          map[string]int
	conns, streams int
	slow           []string
}

func newCounts() *counts { return &counts{calls: map[string]int{}} }

func (c *counts) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *counts) Called(method, code string, _ time.Duration) {
	c.change(func() { c.calls[method+" "+code]++ })
}
func (c *counts) Connections(d int)   { c.change(func() { c.conns += d }) }
func (c *counts) Subscriptions(d int) { c.change(func() { c.streams += d }) }
func (c *counts) TooSlow(m string)    { c.change(func() { c.slow = append(c.slow, m) }) }

func TestExcludedMethodsSayWhy(t *testing.T) {
	meter := newCounts()
	s, addr := serve(t, Options{Verify: allTokens().verify, Meter: meter}, newToy())
	deal := api.Exclusion{Method: "ClientStartDeal", Reason: "there are no deals", Hint: "make none"}
	require.NoError(t, s.Exclude(DefaultPath, "Filecoin", []api.Exclusion{deal}))
	require.ErrorContains(t, s.Exclude(DefaultPath, "Filecoin", []api.Exclusion{{Method: "Echo"}}), "it is served")
	require.ErrorContains(t, s.Exclude("/elsewhere", "Filecoin", nil), "nothing is registered")
	const want = `{"error":{"code":-32601,"message":"method ClientStartDeal is not served: there are no deals","data":{"code":"unsupported","hint":"make none"}},"id":1,"jsonrpc":"2.0"}`
	call := `{"jsonrpc":"2.0","id":1,"method":"Filecoin.ClientStartDeal","params":[]}`
	status, _, body := post(t, "http://"+addr+DefaultPath, call)
	require.Equal(t, http.StatusOK, status, "clients read the answer whatever they think of statuses")
	require.JSONEq(t, want, body)
	_, _, body = post(t, "http://"+addr+DefaultPath, "["+call+",{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"Filecoin.Echo\",\"params\":[\"x\"]}]", "Authorization", "Bearer r")
	var list []json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(body), &list), body)
	require.Len(t, list, 2)
	require.JSONEq(t, want, string(list[0]))
	require.JSONEq(t, `{"jsonrpc":"2.0","id":2,"result":"x"}`, string(list[1]))
	ws := rawDial(t, addr, "r", nil)
	say(t, ws, call)
	require.JSONEq(t, want, hear(t, ws))
	say(t, ws, "["+call+"]")
	require.JSONEq(t, "["+want+"]", hear(t, ws))
	client := new(struct {
		Internal struct {
			ClientStartDeal func(context.Context) error `perm:"read"`
		}
	})
	stop, err := Dial(addr, "r", "Filecoin", client, DialOptions{})
	require.NoError(t, err)
	defer stop()
	err = client.Internal.ClientStartDeal(t.Context())
	require.Equal(t, api.CodeUnsupported, api.Explain(err).Code)
	require.Equal(t, "make none", api.Explain(err).Hint)
	_, _, _ = post(t, "http://"+addr+DefaultPath, `{"jsonrpc":"2.0","id":1,"method":"Filecoin.Nobody","params":[]}`)
	meter.change(func() {
		require.Equal(t, map[string]int{"ClientStartDeal unsupported": 5, "Echo ok": 1, "unknown no_method": 1}, meter.calls)
	})
}

func TestBodiesAreBounded(t *testing.T) {
	_, addr := serve(t, Options{Verify: allTokens().verify, MaxRequest: 200}, newToy())
	call := func(n int) string {
		return `{"jsonrpc":"2.0","id":1,"method":"Filecoin.Echo","params":["` + strings.Repeat("x", n) + `"]}`
	}
	status, _, _ := post(t, "http://"+addr+DefaultPath, call(100), "Authorization", "Bearer r")
	require.Equal(t, http.StatusOK, status)
	status, _, body := post(t, "http://"+addr+DefaultPath, call(200), "Authorization", "Bearer r")
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	require.Contains(t, body, "bigger than maximum 200")
	ws := rawDial(t, addr, "r", nil)
	say(t, ws, call(200))
	_, _, err := ws.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseMessageTooBig), err)
}

func TestCallsOfAConnectionAreBounded(t *testing.T) {
	impl := newToy()
	_, addr := serve(t, Options{Verify: allTokens().verify, MaxInFlight: 2}, impl)
	ws := rawDial(t, addr, "r", nil)
	for _, id := range []string{"1", "2", "3"} {
		say(t, ws, `{"jsonrpc":"2.0","id":`+id+`,"method":"Filecoin.Wait","params":[]}`)
	}
	require.JSONEq(t, `{"jsonrpc":"2.0","id":3,"error":{"code":-32600,"message":"more than 2 calls at once on this connection"}}`, hear(t, ws))
	say(t, ws, `{"jsonrpc":"2.0","method":"xrpc.cancel","params":[1]}`)
	<-impl.waited
	require.Contains(t, hear(t, ws), `"id":1`)
	say(t, ws, `{"jsonrpc":"2.0","id":4,"method":"Filecoin.Echo","params":["room again"]}`)
	require.Contains(t, hear(t, ws), "room again")
}

// firehose is a service whose channel never waits long.
type firehose struct{ line string }

type firehoseProxy struct {
	Internal struct {
		Events func(context.Context) (<-chan string, error)      `perm:"read"`
		Data   func(context.Context, int) (<-chan string, error) `perm:"read" stream:"paced"`
	}
}

func (f firehose) pour(ctx context.Context, n int) <-chan string {
	out := make(chan string)
	go func() {
		defer close(out)
		for i := 0; n < 0 || i < n; i++ {
			select {
			case out <- f.line:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (f firehose) Events(ctx context.Context) (<-chan string, error) { return f.pour(ctx, -1), nil }

func (f firehose) Data(ctx context.Context, n int) (<-chan string, error) { return f.pour(ctx, n), nil }

// TestSlowSubscribersAreTold: who does not take events in time is cut off with a
// reason that it can read; a paced stream waits for its reader instead.
func TestSlowSubscribersAreTold(t *testing.T) {
	meter := newCounts()
	s := NewServer(Options{Verify: allTokens().verify, MaxBehind: 8, Meter: meter})
	require.NoError(t, s.Register(DefaultPath, firehose{strings.Repeat("x", 1<<10)}, new(firehoseProxy), "Filecoin"))
	addr := listenAndServe(t, s)
	ws := rawDial(t, addr, "r", nil)
	say(t, ws, `{"jsonrpc":"2.0","id":1,"method":"Filecoin.Data","params":[500]}`)
	require.Contains(t, hear(t, ws), `"result":1`)
	for range 500 {
		require.Contains(t, hear(t, ws), methodValue)
	}
	require.Contains(t, hear(t, ws), methodClose)

	say(t, ws, `{"jsonrpc":"2.0","id":2,"method":"Filecoin.Events","params":[]}`)
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(20*time.Second)))
	var err error
	for err == nil {
		_, _, err = ws.ReadMessage()
	}
	var closed *websocket.CloseError
	require.ErrorAs(t, err, &closed)
	require.Equal(t, websocket.ClosePolicyViolation, closed.Code)
	require.Equal(t, "too slow: more than 8 values of Filecoin.Events were not taken", closed.Text)
	require.Eventually(t, func() bool {
		meter.mu.Lock()
		defer meter.mu.Unlock()
		return meter.conns == 0 && meter.streams == 0
	}, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, []string{"Events"}, meter.slow)
}

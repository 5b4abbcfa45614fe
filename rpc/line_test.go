package rpc

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
)

// counted counts what a listener accepted, and can cut it.
type counted struct {
	net.Listener
	mu   sync.Mutex
	open []net.Conn
}

func (c *counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.open = append(c.open, conn)
	}
	return conn, err
}

func (c *counted) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

func (c *counted) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.open {
		conn.Close()
	}
}

// serveCounted serves the toy and tells of its connections.
func serveCounted(t *testing.T, impl *toy, o Options) *counted {
	t.Helper()
	if o.Verify == nil {
		o.Verify = allTokens().verify
	}
	s := NewServer(o)
	require.NoError(t, s.Register("/rpc/v0", impl, new(toyProxy), "Filecoin"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &counted{Listener: l}
	served := make(chan error, 1)
	go func() { served <- s.Serve(c) }()
	t.Cleanup(func() {
		require.NoError(t, s.Shutdown(context.Background()))
		require.NoError(t, <-served)
	})
	return c
}

// TestLineIsShared: twice as many callers as the server allows one connection get their own answers, over one connection.
func TestLineIsShared(t *testing.T) {
	c := serveCounted(t, newToy(), Options{})
	p := dialled(t, c.Addr().String(), "s", true)
	var group errgroup.Group
	for i := range 2 * defaultInFlight {
		group.Go(func() error {
			want := fmt.Sprintf("s:%d", i)
			got, err := p.Sign(context.Background(), want[2:])
			if err == nil && got != want {
				err = fmt.Errorf("got %q, want %q", got, want)
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.Equal(t, 1, c.count())
	require.NoError(t, dialled(t, c.Addr().String(), "w", true).Store(context.Background(), "x")) // a method without a result
}

// TestLineBreaks: calls under way fail when the connection breaks, whatever they were; the next one connects again.
func TestLineBreaks(t *testing.T) {
	impl := newToy()
	c := serveCounted(t, impl, Options{})
	p := dialled(t, c.Addr().String(), "s", true)
	ctx := context.Background()
	for i := range 3 {
		_, err := p.Echo(ctx, "x")
		require.NoError(t, err)
		require.Equal(t, i+1, c.count())
		under := make(chan error, 1)
		go func() { under <- p.Wait(ctx) }()
		require.Eventually(t, func() bool { // Wait is under way: it counts as one of the calls at once
			_, err := p.Echo(ctx, "x")
			require.NoError(t, err)
			return impl.waiting.Load() == 1
		}, 5*time.Second, time.Millisecond)
		c.cut()
		err = <-under
		require.Equal(t, api.CodeUnavailable, api.Explain(err).Code)
		require.ErrorContains(t, err, "the connection broke before the answer came")
		<-impl.waited // and the server's side ended
	}
}

// TestLineOutlivesItsService: a service may be away when it is first called, and restart at any time.
func TestLineOutlivesItsService(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	p := dialled(t, addr, "r", true)
	ctx := context.Background()
	for range 3 {
		_, err = p.Echo(ctx, "x")
		require.Equal(t, api.CodeUnavailable, api.Explain(err).Code)
		s := NewServer(Options{Verify: allTokens().verify})
		require.NoError(t, s.Register("/rpc/v0", newToy(), new(toyProxy), "Filecoin"))
		l, err := net.Listen("tcp", addr)
		require.NoError(t, err)
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		got, err := p.Echo(ctx, "x")
		require.NoError(t, err)
		require.Equal(t, "x", got)
		require.NoError(t, s.Shutdown(ctx))
		require.NoError(t, <-served)
	}
}

// TestLineGivesUp: a call whose caller is gone ends at the server too, and takes no other call with it; a client that is
// closed ends them all.
func TestLineGivesUp(t *testing.T) {
	impl := newToy()
	c := serveCounted(t, impl, Options{})
	p := new(toyProxy)
	stop, err := Dial(c.Addr().String(), "r", "Filecoin", p, DialOptions{Service: "toy", Shared: true})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	gone, stays := make(chan error, 1), make(chan error, 1)
	go func() { gone <- p.Wait(ctx) }()
	go func() { stays <- p.Wait(context.Background()) }()
	require.Eventually(t, func() bool { return impl.waiting.Load() == 2 }, 5*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-gone, context.Canceled)
	<-impl.waited
	_, err = p.Echo(context.Background(), "x")
	require.NoError(t, err)
	require.Equal(t, 1, c.count())
	stop()
	require.ErrorIs(t, <-stays, context.Canceled)
	<-impl.waited
	_, err = p.Echo(context.Background(), "x")
	require.ErrorIs(t, err, context.Canceled)
}

// TestLineIsCutWithItsToken: a token that was taken away ends the connection, and opens no other.
func TestLineIsCutWithItsToken(t *testing.T) {
	clk := clock.NewSim(time.Unix(1700000000, 0))
	k, impl := allTokens(), newToy()
	c := serveCounted(t, impl, Options{Verify: Cached(k.verify, clk), Clock: clk})
	p := dialled(t, c.Addr().String(), "s", true)
	under := make(chan error, 1)
	go func() { under <- p.Wait(context.Background()) }()
	require.Eventually(t, func() bool { return impl.waiting.Load() == 1 }, 5*time.Second, time.Millisecond)
	k.set(func(k *tokens) { delete(k.by, "s") })
	require.Eventually(t, func() bool { clk.Advance(time.Second); return len(under) == 1 }, 5*time.Second, time.Millisecond)
	require.Equal(t, api.CodeUnavailable, api.Explain(<-under).Code)
	_, err := p.Sign(context.Background(), "x")
	require.Equal(t, api.CodeUnauthenticated, api.Explain(err).Code)
}

// TestLineHearsNonsense: answers to nobody, twice or of no form do not disturb the others; one that is no JSON ends the connection.
func TestLineHearsNonsense(t *testing.T) {
	var say atomic.Value
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			var f frame
			if conn.ReadJSON(&f) != nil {
				return
			}
			for _, form := range say.Load().([]string) {
				if conn.WriteMessage(websocket.TextMessage, []byte(fmt.Sprintf(form, f.ID))) != nil {
					return
				}
			}
		}
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	p := dialled(t, l.Addr().String(), "", true)
	ctx := context.Background()
	say.Store([]string{`{"id":99,"result":"no%s"}`, `{"id":null}%.0s`, `{"method":"xrpc.ch.val","params":[1,2]}%.0s`, `[]%.0s`})
	_, err = p.Echo(ctx, "x") // a list is no frame
	require.Equal(t, api.CodeUnavailable, api.Explain(err).Code)
	say.Store([]string{`{"id":99,"result":"no%s"}`, `{"id":"x","result":"%s"}`, `{"id":%s,"result":"yes"}`, `{"id":%s,"result":"again"}`})
	for range 3 {
		got, err := p.Echo(ctx, "x")
		require.NoError(t, err)
		require.Equal(t, "yes", got)
	}
	say.Store([]string{`{"id":%s,"result":7}`})
	_, err = p.Echo(ctx, "x")
	require.Error(t, err, "a number is no string")
	say.Store([]string{`{"id":%s,"error":{"code":-32000,"message":"no"}}`})
	_, err = p.Echo(ctx, "x")
	require.ErrorContains(t, err, "toy refused the call of Echo: RPC error (-32000): no")
	say.Store([]string{`nothing %s`})
	_, err = p.Echo(ctx, "x")
	require.Equal(t, api.CodeUnavailable, api.Explain(err).Code)
}

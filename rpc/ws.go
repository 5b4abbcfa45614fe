package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
)

// Times of a connection. Clients of the field ping every five seconds; others
// answer our pings.
const (
	pingEvery    = 15 * time.Second
	readTimeout  = 60 * time.Second
	writeTimeout = 10 * time.Second
)

// The dialect's own methods on a WebSocket (node.md 2.1).
const (
	methodCancel = "xrpc.cancel"
	methodValue  = "xrpc.ch.val"
	methodClose  = "xrpc.ch.close"
)

// frame is a request as far as the loop must understand it.
type frame struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// socket is one WebSocket connection.
type socket struct {
	svc   *service
	conn  *websocket.Conn
	token string
	sess  *session

	writing sync.Mutex

	mu       sync.Mutex
	nextChan uint64
	inFlight int
	cancels  map[string]context.CancelFunc // by the request id's bytes
	wg       sync.WaitGroup
}

// serveSocket runs a connection until it ends; all its calls end with it.
func (v *service) serveSocket(ctx context.Context, w http.ResponseWriter, r *http.Request, token string, sess *session) {
	srv := v.srv
	if srv.conns.Add(1) > int64(srv.opts.MaxConns) {
		srv.conns.Add(-1)
		writeError(w, http.StatusServiceUnavailable, api.Errorf(api.CodeLimit, "too many connections").
			WithHint("close some, or raise the limit"))
		return
	}
	defer srv.conns.Add(-1)
	srv.opts.Meter.Connections(1)
	defer srv.opts.Meter.Connections(-1)
	up := websocket.Upgrader{
		HandshakeTimeout: headerTimeout,
		CheckOrigin:      func(*http.Request) bool { return true }, // judged before, by allowOrigin
		Subprotocols:     websocket.Subprotocols(r),
	}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		log.Debugf("upgrade to a WebSocket: %v", err)
		return
	}
	defer conn.Close()
	if !srv.track(conn) {
		return
	}
	defer srv.untrack(conn)
	c := &socket{svc: v, conn: conn, token: token, sess: sess, cancels: map[string]context.CancelFunc{}}
	ctx, cancel := context.WithCancel(ctx)
	c.spawn(func() { c.keepAlive(ctx) })
	if token != "" {
		c.spawn(func() { c.recheck(ctx) })
	}
	c.read(ctx)
	cancel()
	conn.Close()
	c.wg.Wait()
}

// spawn runs f beside the loop; a panic ends the connection, not the program.
func (c *socket) spawn(f func()) {
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		defer func() {
			if r := recover(); r != nil {
				log.Errorf("connection handler panicked: %v\n%s", r, debug.Stack())
				c.conn.Close()
			}
		}()
		f()
	}()
}

func realNow() time.Time { return clock.Real().Now() }

// read takes frames until the connection ends.
func (c *socket) read(ctx context.Context) {
	c.conn.SetReadLimit(c.svc.srv.opts.MaxRequest)
	extend := func() { _ = c.conn.SetReadDeadline(realNow().Add(readTimeout)) }
	extend()
	c.conn.SetPongHandler(func(string) error { extend(); return nil })
	c.conn.SetPingHandler(func(data string) error {
		extend()
		// A failure shows at the next read.
		_ = c.conn.WriteControl(websocket.PongMessage, []byte(data), realNow().Add(writeTimeout))
		return nil
	})
	for {
		_, msg, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		extend()
		c.take(ctx, msg)
	}
}

// take starts the call of one frame.
func (c *socket) take(ctx context.Context, msg []byte) {
	msg = bytes.TrimSpace(msg)
	var f frame
	calls, err := splitBatch(msg)
	if err != nil {
		c.write(errorFrame(nil, codeInvalid, "%v", err))
		return
	}
	if calls == nil {
		if err := json.Unmarshal(msg, &f); err != nil {
			c.write(errorFrame(nil, codeParse, "Parse error"))
			return
		}
	}
	switch f.Method {
	case methodCancel:
		c.cancel(f.Params)
		return
	case methodValue, methodClose:
		return // we never called the client, so it has no channel to talk on
	}
	if calls == nil {
		if b := c.svc.refuse(c.sess, f); b != nil {
			if len(f.ID) > 0 {
				c.write(b)
			}
			return
		}
	}
	callCtx, done, ok := c.begin(ctx, f.ID)
	if !ok {
		c.write(errorFrame(f.ID, codeInvalid, "more than %d calls at once on this connection", c.svc.srv.opts.MaxInFlight))
		return
	}
	if calls != nil {
		c.spawn(func() {
			defer done()
			if b := c.svc.batch(callCtx, c.sess, calls); b != nil {
				c.write(b)
			}
		})
		return
	}
	if st, ok := c.svc.streams[f.Method]; ok {
		c.spawn(func() { defer done(); c.stream(callCtx, f, st) })
		return
	}
	c.spawn(func() { defer done(); c.call(callCtx, msg) })
}

// begin registers a call so that it can be cancelled.
func (c *socket) begin(ctx context.Context, id json.RawMessage) (context.Context, func(), bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight >= c.svc.srv.opts.MaxInFlight {
		return nil, nil, false
	}
	c.inFlight++
	ctx, cancel := context.WithCancel(ctx)
	key := string(id)
	if key != "" {
		c.cancels[key] = cancel
	}
	return ctx, func() {
		cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.inFlight--
		delete(c.cancels, key)
	}, true
}

// cancel ends a call by the id of its request.
func (c *socket) cancel(params json.RawMessage) {
	var ids []json.RawMessage
	if json.Unmarshal(params, &ids) != nil || len(ids) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.cancels[string(ids[0])]; ok {
		f()
	}
}

// call hands a frame to go-jsonrpc and writes what it answers.
func (c *socket) call(ctx context.Context, msg []byte) {
	var out bytes.Buffer
	c.svc.rpc.HandleRequest(ctx, bytes.NewReader(msg), &out)
	if out.Len() > 0 {
		c.write(out.Bytes())
	}
}

// stream runs a method whose result is a channel, until the channel closes, the
// client cancels or the connection ends. Its place among the connection's
// subscriptions is free before the client hears of the end: it may ask for the
// next one at once.
func (c *socket) stream(ctx context.Context, f frame, st stream) {
	if !c.takeStream() {
		c.write(errorFrame(f.ID, codeMethod, "more than %d subscriptions on this connection", c.svc.srv.opts.MaxStreams))
		return
	}
	if last := c.feed(ctx, f, st); last != nil {
		c.write(last)
	}
}

// feed subscribes, writes the values, gives the subscription's place back and
// returns the frame that tells of the end, nil for none.
func (c *socket) feed(ctx context.Context, f frame, st stream) []byte {
	defer c.dropStream()
	args, err := decodeParams(ctx, f, st.fn.Type())
	if err != nil {
		return errorFrame(f.ID, codeInvalidParams, "%v", err)
	}
	out := st.fn.Call(args)
	if err, ok := out[1].Interface().(error); ok && err != nil {
		if len(f.ID) == 0 {
			return nil
		}
		return callError(f.ID, err)
	}
	c.mu.Lock()
	c.nextChan++
	id := c.nextChan
	c.mu.Unlock()
	if len(f.ID) == 0 {
		return nil // a notification: nobody could tell the values apart
	}
	c.write(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":%d}`, f.ID, id))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan []byte, c.svc.srv.opts.MaxBehind)
	var slow atomic.Bool
	c.spawn(func() {
		defer close(queue)
		defer cancel()
		slow.Store(!pump(ctx, f.Method, out[0], queue, st.paced))
	})
	for b := range queue {
		if !slow.Load() {
			c.write(fmt.Appendf(nil, `{"jsonrpc":"2.0","method":%q,"params":[%d,%s]}`, methodValue, id, b))
		}
	}
	if slow.Load() {
		c.svc.srv.opts.Meter.TooSlow(bare(f.Method))
		log.Warnw("a slow subscriber loses its connection", "method", f.Method, "behind", cap(queue))
		c.end(fmt.Sprintf("too slow: more than %d values of %s were not taken", cap(queue), f.Method))
		return nil
	}
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","method":%q,"params":[%d]}`, methodClose, id)
}

// pump queues the values of a channel until it closes or ctx ends. A full queue
// makes a paced channel wait; for any other it is the end, and the answer false:
// who makes events waits for no reader.
func pump(ctx context.Context, method string, from reflect.Value, queue chan<- []byte, paced bool) bool {
	cases := []reflect.SelectCase{{Dir: reflect.SelectRecv, Chan: from}, {Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())}}
	for {
		chosen, val, ok := reflect.Select(cases)
		if chosen != 0 || !ok {
			return true
		}
		b, err := json.Marshal(val.Interface())
		if err != nil {
			log.Errorf("encode a value of %s: %v", method, err)
			continue
		}
		select {
		case queue <- b:
			continue
		default:
		}
		if !paced {
			return false
		}
		select {
		case queue <- b:
		case <-ctx.Done():
			return true
		}
	}
}

// end closes the connection and says why.
func (c *socket) end(reason string) {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	// The peer may be gone already; closing is what counts.
	_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.ClosePolicyViolation, reason), realNow().Add(writeTimeout))
	c.conn.Close()
}

// maxReason is how long the reason in a close frame may be, in bytes.
const maxReason = 123

func (c *socket) takeStream() bool {
	c.sess.mu.Lock()
	defer c.sess.mu.Unlock()
	if c.sess.streams >= c.svc.srv.opts.MaxStreams {
		return false
	}
	c.sess.streams++
	c.svc.srv.opts.Meter.Subscriptions(1)
	return true
}

func (c *socket) dropStream() {
	c.sess.mu.Lock()
	defer c.sess.mu.Unlock()
	c.sess.streams--
	c.svc.srv.opts.Meter.Subscriptions(-1)
}

// decodeParams reads positional parameters after the context.
func decodeParams(ctx context.Context, f frame, t reflect.Type) ([]reflect.Value, error) {
	var raw []json.RawMessage
	if len(f.Params) > 0 {
		if err := json.Unmarshal(f.Params, &raw); err != nil {
			return nil, fmt.Errorf("parameters of %s: %w", f.Method, err)
		}
	}
	if len(raw) != t.NumIn()-1 {
		return nil, fmt.Errorf("wrong param count (method '%s'): %d != %d", f.Method, len(raw), t.NumIn()-1)
	}
	args := []reflect.Value{reflect.ValueOf(ctx)}
	for i, b := range raw {
		p := reflect.New(t.In(i + 1))
		if err := json.Unmarshal(b, p.Interface()); err != nil {
			return nil, fmt.Errorf("parameter %d of %s: %w", i+1, f.Method, err)
		}
		args = append(args, p.Elem())
	}
	return args, nil
}

// write sends one text frame. A client that takes nothing for writeTimeout is
// cut off: no producer waits longer for a slow reader.
func (c *socket) write(b []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.conn.SetWriteDeadline(realNow().Add(writeTimeout))
	if err := c.conn.WriteMessage(websocket.TextMessage, bytes.TrimSpace(b)); err != nil {
		c.conn.Close()
	}
}

// keepAlive pings so that dead peers are noticed.
func (c *socket) keepAlive(ctx context.Context) {
	for clock.Real().Sleep(ctx, pingEvery) == nil {
		err := c.conn.WriteControl(websocket.PingMessage, nil, realNow().Add(writeTimeout))
		if ne, ok := err.(net.Error); err != nil && (!ok || !ne.Timeout()) {
			c.conn.Close()
			return
		}
	}
}

// recheck verifies the token of an open connection again and again: a removed
// token ends the connection, a changed permission takes effect.
func (c *socket) recheck(ctx context.Context) {
	srv := c.svc.srv
	for srv.opts.Clock.Sleep(ctx, srv.opts.Recheck) == nil {
		caller, err := srv.verify(ctx, c.token)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.end("token no longer valid")
			return
		}
		c.sess.set(caller)
	}
}

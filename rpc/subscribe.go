package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/filecoin-project/go-jsonrpc"
	"github.com/gorilla/websocket"

	"github.com/filecoin-venus/venus/api"
)

const (
	// streamBuffer is how many values a subscription holds for a slow reader.
	streamBuffer = 16
	// maxAnswer bounds one frame that a client reads, in bytes.
	maxAnswer = 256 << 20
	// subscribeID is the id of the one request of a subscription's connection.
	subscribeID = "1"
)

// answer is a frame from the server.
type answer struct {
	ID     json.RawMessage       `json:"id"`
	Method string                `json:"method"`
	Params []json.RawMessage     `json:"params"`
	Result json.RawMessage       `json:"result"`
	Error  *jsonrpc.JSONRPCError `json:"error"`
}

// streaming wraps a method whose result is a channel: a WebSocket per call.
func (c *client) streaming(f reflect.StructField) func([]reflect.Value) []reflect.Value {
	return func(args []reflect.Value) []reflect.Value {
		ctx, cancel := context.WithCancel(args[0].Interface().(context.Context))
		unhook := context.AfterFunc(c.ctx, cancel)
		end := func() { unhook(); cancel() }
		conn, err := c.subscribe(ctx, f, args[1:])
		if err != nil {
			end()
			return c.failed(f, c.explain(f.Name, err))
		}
		t := f.Type.Out(0)
		dst := reflect.MakeChan(reflect.ChanOf(reflect.BothDir, t.Elem()), streamBuffer)
		go func() {
			defer end()
			defer dst.Close()
			defer conn.Close()
			defer func() {
				if r := recover(); r != nil {
					log.Errorf("subscription to %s panicked: %v\n%s", f.Name, r, debug.Stack())
				}
			}()
			defer context.AfterFunc(ctx, func() { hangUp(conn) })()
			if err := receive(ctx, conn, dst); err != nil && ctx.Err() == nil {
				log.Debugf("subscription to %s of %s ended: %v", f.Name, c.opts.Service, err)
			}
		}()
		return []reflect.Value{dst.Convert(t), reflect.Zero(errType)}
	}
}

// err is what a method answered instead of a result.
func (a *answer) err() error {
	if a.Error == nil {
		return nil
	}
	if a.Error.Code != codeMethod && a.Error.Code != codePanic {
		return a.Error
	}
	w := new(wireError)
	return errors.Join(w.FromJSONRPCError(*a.Error), w)
}

// connect opens a WebSocket.
func (c *client) connect(ctx context.Context) (*websocket.Conn, error) {
	d := websocket.Dialer{HandshakeTimeout: headerTimeout}
	conn, resp, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(c.url, "http"), c.header)
	if err != nil {
		if resp != nil && errors.Is(err, websocket.ErrBadHandshake) {
			defer resp.Body.Close()
			b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // the status alone says enough
			return nil, refusal(c.opts.Service, resp.StatusCode, b)
		}
		return nil, err
	}
	conn.SetReadLimit(maxAnswer)
	return conn, nil
}

// request is the frame of a call.
func (c *client) request(id, method string, params []any) ([]byte, error) {
	b, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": json.RawMessage(id), "method": c.namespace + "." + method, "params": params,
	})
	if err != nil {
		return nil, fmt.Errorf("encode parameters of %s: %w", method, err)
	}
	return b, nil
}

// cancelFrame tells a server that nobody waits for the answer of a call.
func cancelFrame(id string) []byte {
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","method":%q,"params":[%s]}`, methodCancel, id)
}

// interfaces are the values of arguments.
func interfaces(args []reflect.Value) []any {
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = a.Interface()
	}
	return out
}

// keepAlive answers the server's pings and bounds the wait for the next frame; extend is to be called after each.
func keepAlive(conn *websocket.Conn) (extend func()) {
	extend = func() { _ = conn.SetReadDeadline(realNow().Add(readTimeout)) }
	extend()
	conn.SetPingHandler(func(data string) error {
		extend()
		// A failure shows at the next read.
		_ = conn.WriteControl(websocket.PongMessage, []byte(data), realNow().Add(time.Second))
		return nil
	})
	return extend
}

// subscribe opens a connection and makes the one call on it.
func (c *client) subscribe(ctx context.Context, f reflect.StructField, args []reflect.Value) (*websocket.Conn, error) {
	req, err := c.request(subscribeID, f.Name, interfaces(args))
	if err != nil {
		return nil, err
	}
	dialCtx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	conn, err := c.connect(dialCtx)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(dialCtx, func() { conn.Close() })()
	_ = conn.SetWriteDeadline(realNow().Add(writeTimeout))
	if err := conn.WriteMessage(websocket.TextMessage, req); err != nil {
		conn.Close()
		return nil, err
	}
	var a answer
	if err := conn.ReadJSON(&a); err != nil {
		conn.Close()
		if dialCtx.Err() != nil {
			err = dialCtx.Err()
		}
		return nil, err
	}
	if err := a.err(); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// receive copies values into dst until the channel or the connection closes.
func receive(ctx context.Context, conn *websocket.Conn, dst reflect.Value) error {
	extend := keepAlive(conn)
	done := reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())}
	for {
		var a answer
		if err := conn.ReadJSON(&a); err != nil {
			return err
		}
		extend()
		switch {
		case a.Method == methodClose:
			return nil
		case a.Method != methodValue:
			continue
		case len(a.Params) != 2:
			return api.Errorf(api.CodeUnavailable, "a value frame with %d parameters", len(a.Params))
		}
		v := reflect.New(dst.Type().Elem())
		if err := json.Unmarshal(a.Params[1], v.Interface()); err != nil {
			return fmt.Errorf("decode a value: %w", err)
		}
		send := reflect.SelectCase{Dir: reflect.SelectSend, Chan: dst, Send: v.Elem()}
		if chosen, _, _ := reflect.Select([]reflect.SelectCase{send, done}); chosen != 0 {
			return ctx.Err()
		}
	}
}

// hangUp tells the server that nobody listens any more. Closing alone would do;
// the cancel frame ends the method without waiting for the network to notice.
func hangUp(conn *websocket.Conn) {
	_ = conn.SetWriteDeadline(realNow().Add(time.Second))
	_ = conn.WriteMessage(websocket.TextMessage, cancelFrame(subscribeID))
	conn.Close()
}

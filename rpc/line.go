package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"

	"github.com/gorilla/websocket"
)

// lineCalls is how many calls of a line may be under way; more wait. It is half of what a server allows one connection
// (defaultInFlight), which refuses more, and counts a call until shortly after its answer left.
const lineCalls = 128

var (
	// errLost ends a call whose connection broke: it may have been carried out or not.
	errLost = errors.New("the connection broke before the answer came")
	// errUnsent ends a call that never left.
	errUnsent = errors.New("the connection broke before the call was sent")
)

// line is a WebSocket connection that all calls of a client share. It is opened when a call needs it, and by the next call
// after it broke.
type line struct {
	c     *client
	slots chan struct{}

	mu   sync.Mutex
	wire *wire // nil = the next call connects
}

// wire is one connection of a line. Until ready is closed it is being opened; then it is open, or err says why not.
type wire struct {
	line  *line
	ready chan struct{}
	err   error
	conn  *websocket.Conn

	writing sync.Mutex

	mu      sync.Mutex
	last    uint64                   // id of the newest call
	waiting map[uint64]chan<- answer // by id; nil once the connection is broken
}

func newLine(c *client) *line { return &line{c: c, slots: make(chan struct{}, lineCalls)} }

// calling makes a method of the proxy out of calls on the line.
func (l *line) calling(f reflect.StructField) func([]reflect.Value) []reflect.Value {
	return func(args []reflect.Value) []reflect.Value {
		ctx, cancel := l.c.bounded(args[0].Interface().(context.Context), f.Name)
		defer cancel()
		result, err := l.call(ctx, f.Name, interfaces(withAmounts(args[1:])))
		out := make([]reflect.Value, f.Type.NumOut())
		if err == nil && len(out) == 2 {
			v := reflect.New(f.Type.Out(0))
			err = json.Unmarshal(result, v.Interface())
			out[0] = v.Elem()
		}
		if err != nil {
			return l.c.failed(f, l.c.explain(f.Name, err))
		}
		out[len(out)-1] = reflect.Zero(errType)
		return out
	}
}

// call returns the result of one call. One that never left is tried once more, on a new connection.
func (l *line) call(ctx context.Context, method string, params []any) (json.RawMessage, error) {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for again := true; ; again = false {
		w, err := l.open(ctx)
		if err != nil {
			return nil, err
		}
		result, err := w.call(ctx, method, params)
		if !again || !errors.Is(err, errUnsent) {
			return result, err
		}
	}
}

// open returns the connection. Callers that come while it is being opened share the attempt and its outcome.
func (l *line) open(ctx context.Context) (*wire, error) {
	l.mu.Lock()
	w := l.wire
	if w == nil {
		w = &wire{line: l, ready: make(chan struct{}), waiting: map[uint64]chan<- answer{}}
		l.wire = w
		go w.run()
	}
	l.mu.Unlock()
	select {
	case <-w.ready:
		return w, w.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// leave has the next call connect anew.
func (l *line) leave(w *wire) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wire == w {
		l.wire = nil
	}
}

// run opens the connection and hands out answers until it breaks or the client is closed.
func (w *wire) run() {
	ctx := w.line.c.ctx
	w.conn, w.err = w.line.c.connect(ctx)
	if w.err != nil {
		w.line.leave(w)
		close(w.ready)
		return
	}
	close(w.ready)
	defer w.end()
	defer w.conn.Close()
	defer context.AfterFunc(ctx, func() { w.conn.Close() })()
	extend := keepAlive(w.conn)
	for {
		var a answer
		if w.conn.ReadJSON(&a) != nil { // the calls that wait are told by end
			return
		}
		extend()
		w.hand(a)
	}
}

// hand gives an answer to the call that waits for it; others are of calls that gave up.
func (w *wire) hand(a answer) {
	id, err := strconv.ParseUint(string(a.ID), 10, 64)
	if err != nil {
		return
	}
	if got := w.forget(id); got != nil {
		got <- a
	}
}

// end tells the calls that wait that no answer will come.
func (w *wire) end() {
	w.line.leave(w)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, got := range w.waiting {
		close(got)
	}
	w.waiting = nil
}

// expect makes a place for an answer; false when the connection is broken.
func (w *wire) expect() (id uint64, got <-chan answer, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		return 0, nil, false
	}
	to := make(chan answer, 1)
	w.last++
	w.waiting[w.last] = to
	return w.last, to, true
}

// forget returns who waits for an answer, nil for nobody, and waits no more.
func (w *wire) forget(id uint64) chan<- answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.waiting[id]
	delete(w.waiting, id)
	return got
}

// call makes one call on the connection. A call whose context ends is cancelled at the server too.
func (w *wire) call(ctx context.Context, method string, params []any) (json.RawMessage, error) {
	id, got, ok := w.expect()
	if !ok {
		return nil, errUnsent
	}
	req, err := w.line.c.request(strconv.FormatUint(id, 10), method, params)
	if err != nil {
		w.forget(id)
		return nil, err
	}
	if err := w.write(req); err != nil {
		w.forget(id)
		w.conn.Close()
		w.line.leave(w)
		return nil, fmt.Errorf("%w: %w", errUnsent, err)
	}
	select {
	case a, ok := <-got:
		if !ok {
			return nil, errors.Join(ctx.Err(), w.line.c.ctx.Err(), errLost)
		}
		return a.Result, a.err()
	case <-ctx.Done():
		w.forget(id)
		_ = w.write(cancelFrame(strconv.FormatUint(id, 10))) // a courtesy: the caller is gone
		return nil, ctx.Err()
	}
}

func (w *wire) write(frame []byte) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	_ = w.conn.SetWriteDeadline(realNow().Add(writeTimeout))
	return w.conn.WriteMessage(websocket.TextMessage, frame)
}

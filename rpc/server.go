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
	"time"

	"github.com/filecoin-project/go-jsonrpc"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
)

// Defaults and limits of a server.
const (
	defaultMaxRequest = 100 << 20 // bytes of one request, as in the field
	defaultMaxConns   = 1024      // WebSocket connections at once
	defaultMaxStreams = 64        // channels of one connection
	maxInFlight       = 256       // calls of one connection at once
	maxBatch          = 100       // calls in one batch
	bodyTimeout       = time.Minute
	headerTimeout     = 10 * time.Second
	idleTimeout       = 2 * time.Minute
)

// Options are the settings of a server. The zero value refuses every token and
// every caller without one.
type Options struct {
	// Verify judges tokens; nil refuses them all.
	Verify Verifier
	// Anonymous are the permissions of callers without a token.
	Anonymous []api.Permission
	// Origins are the web origins whose pages may call; "*" allows all. Callers
	// that send no Origin header are no web pages.
	Origins []string
	// Health tells why the daemon is not well; nil or no error = well.
	Health func(ctx context.Context) error
	// MaxRequest bounds a request in bytes, 0 = 100 MiB.
	MaxRequest int64
	// MaxConns bounds WebSocket connections, 0 = 1024.
	MaxConns int
	// MaxStreams bounds the open channels of a connection, 0 = 64.
	MaxStreams int
	// Recheck is how often the token of an open WebSocket connection is
	// verified again, 0 = every second.
	Recheck time.Duration
	// Clock tells the time, nil = the machine's.
	Clock clock.Clock
}

func (o *Options) fill() {
	if o.MaxRequest <= 0 {
		o.MaxRequest = defaultMaxRequest
	}
	if o.MaxConns <= 0 {
		o.MaxConns = defaultMaxConns
	}
	if o.MaxStreams <= 0 {
		o.MaxStreams = defaultMaxStreams
	}
	if o.Recheck <= 0 {
		o.Recheck = cacheTTL
	}
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
}

// Server serves contracts by path. Register everything, then call Serve.
type Server struct {
	opts    Options
	routes  map[string]http.Handler
	failing *failures
	conns   atomic.Int64

	mu   sync.Mutex
	http *http.Server
	open map[io.Closer]struct{}
	done bool
}

// NewServer makes a server that knows /livez and /healthz.
func NewServer(o Options) *Server {
	o.fill()
	s := &Server{opts: o, routes: map[string]http.Handler{}, open: map[io.Closer]struct{}{}, failing: newFailures(o.Clock)}
	s.routes["/livez"] = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	s.routes["/healthz"] = http.HandlerFunc(s.serveHealth)
	return s
}

// service is one contract on one path.
type service struct {
	srv     *Server
	rpc     *jsonrpc.RPCServer
	streams map[string]reflect.Value
	perms   map[string]api.Permission
}

// Register serves impl, through proxy's permissions, on a path under one or
// more namespaces. proxy is a pointer to an empty generated proxy of the
// contract.
func (s *Server) Register(path string, impl, proxy any, namespaces ...string) error {
	if err := Guard(impl, proxy); err != nil {
		return fmt.Errorf("serve %s: %w", path, err)
	}
	in, err := internals(proxy)
	if err != nil {
		return err
	}
	svc := &service{
		srv: s, streams: map[string]reflect.Value{}, perms: map[string]api.Permission{},
		rpc: jsonrpc.NewServer(jsonrpc.WithMaxRequestSize(s.opts.MaxRequest), jsonrpc.WithServerErrors(wireErrors())),
	}
	for _, ns := range namespaces {
		svc.rpc.Register(ns, proxy)
		for i := range in.NumField() {
			f := in.Type().Field(i)
			svc.perms[ns+"."+f.Name] = api.Permission(f.Tag.Get("perm"))
			if f.Type.Out(0).Kind() == reflect.Chan {
				svc.streams[ns+"."+f.Name] = in.Field(i)
			}
		}
	}
	s.routes[path] = svc
	return nil
}

// Handle serves a plain HTTP handler on one exact path, without any check of
// tokens. Authenticate helps a handler that needs one.
func (s *Server) Handle(path string, h http.Handler) { s.routes[path] = h }

// ServeHTTP finds the route by the exact path: nothing is cleaned or matched by
// prefix, so that no spelling of a path reaches another handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, ok := s.routes[r.URL.Path]
	if !ok || (r.URL.RawPath != "" && r.URL.RawPath != r.URL.Path) {
		http.NotFound(w, r)
		return
	}
	if !s.allowOrigin(w, r) {
		writeError(w, http.StatusForbidden, api.Errorf(api.CodePermission, "web pages of this origin may not call").
			WithHint("add the origin to the allowed ones in the service's configuration"))
		return
	}
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h.ServeHTTP(w, r)
}

// Serve answers on l until Shutdown; it returns nil after a Shutdown.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.done {
		s.mu.Unlock()
		return l.Close()
	}
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: 64 << 10,
		ConnState: s.connState,
	}
	srv := s.http
	s.mu.Unlock()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown closes the WebSocket connections and waits, until ctx ends, for the
// running requests.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.done = true
	srv := s.http
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	if srv == nil {
		return nil
	}
	if err := srv.Shutdown(ctx); err != nil {
		srv.Close()
		return fmt.Errorf("requests still ran at the end: %w", err)
	}
	return nil
}

// connState remembers connections that never sent a request: net/http would
// wait seconds for them at the end.
func (s *Server) connState(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		if !s.track(c) {
			c.Close()
		}
		return
	}
	s.untrack(c)
}

// track remembers a connection that Shutdown shall close; false = too late.
func (s *Server) track(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return false
	}
	s.open[c] = struct{}{}
	return true
}

func (s *Server) untrack(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	if s.opts.Health != nil {
		if err := s.opts.Health(r.Context()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, "not well: %v\n", err)
			return
		}
	}
	io.WriteString(w, "ok\n")
}

// ServeHTTP answers a POST or upgrades to a WebSocket.
func (v *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	upgrade := isUpgrade(r)
	if r.Method != http.MethodPost && !upgrade {
		w.Header().Set("Allow", "POST, OPTIONS")
		writeError(w, http.StatusMethodNotAllowed, api.Errorf(api.CodeInvalid, "use POST, or open a WebSocket"))
		return
	}
	token, sess, ok := v.srv.authenticate(w, r)
	if !ok {
		return
	}
	ctx := withSession(r.Context(), sess)
	if upgrade {
		v.serveSocket(ctx, w, r, token, sess)
		return
	}
	body, err := v.readBody(w, r)
	if err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		w.Write(errorFrame(nil, codeParse, "%v", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := checkBatch(body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		w.Write(errorFrame(nil, codeInvalid, "%v", err))
		return
	}
	var f frame
	if json.Unmarshal(body, &f) == nil { // what cannot be read, go-jsonrpc answers
		if b := v.refuse(sess, f); b != nil {
			w.Write(b)
			return
		}
	}
	v.rpc.HandleRequest(ctx, bytes.NewReader(body), w)
}

// refuse answers a call that its caller may not make, before any parameter is
// looked at; nil = it may. Guard checks again, which covers calls in batches.
func (v *service) refuse(sess *session, f frame) []byte {
	need, known := v.perms[f.Method]
	if !known || sess.get().May(need) {
		return nil
	}
	return callError(f.ID, missing(f.Method[strings.LastIndexByte(f.Method, '.')+1:], need))
}

// readBody reads a request within the limits of size and time. The deadline is
// lifted afterwards: a call may take long.
func (v *service) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	rc := http.NewResponseController(w)
	// A recorder in a test has no deadline to set; a real connection does.
	_ = rc.SetReadDeadline(clock.Real().Now().Add(bodyTimeout))
	limit := v.srv.opts.MaxRequest
	b, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	_ = rc.SetReadDeadline(time.Time{})
	if err != nil {
		return nil, fmt.Errorf("reading request: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("request bigger than maximum %d allowed", limit)
	}
	return b, nil
}

// checkBatch bounds the number of calls in a batch.
func checkBatch(body []byte) error {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || body[0] != '[' {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if _, err := dec.Token(); err != nil {
		return errors.New("Parse error")
	}
	for n := 0; dec.More(); n++ {
		if n == maxBatch {
			return fmt.Errorf("more than %d calls in one batch", maxBatch)
		}
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return errors.New("Parse error")
		}
	}
	return nil
}

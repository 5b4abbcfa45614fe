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
	defaultInFlight   = 256       // calls of one connection at once
	defaultBehind     = 256       // values waiting for one reader
	maxBatch          = 100       // calls in one batch
	trustedLength     = 64 << 10  // bytes of a request that are allotted before they came
	bodyTimeout       = time.Minute
	headerTimeout     = 10 * time.Second
	idleTimeout       = 2 * time.Minute
)

// Options are the settings of a server. The zero value refuses every token and
// every caller without one.
type Options struct {
	// Service is the name that rate limits of users call it by, such as
	// venus-messager.
	Service string
	// Verify judges tokens; nil refuses them all.
	Verify Verifier
	// Anonymous are the permissions of callers without a token.
	Anonymous []api.Permission
	// Origins are the web origins whose pages may call; "*" allows all. Callers
	// that send no Origin header are no web pages.
	Origins []string
	// Health is what /livez, /readyz and /healthz ask; nil = always well.
	Health *Health
	// Meter counts what happens; nil = nobody counts.
	Meter Meter
	// MaxRequest bounds a request in bytes, 0 = 100 MiB.
	MaxRequest int64
	// MaxConns bounds WebSocket connections, 0 = 1024.
	MaxConns int
	// MaxStreams bounds the open channels of a connection, 0 = 64.
	MaxStreams int
	// MaxInFlight bounds the calls of a connection that run at once, 0 = 256.
	MaxInFlight int
	// MaxBehind bounds the values of a channel that its reader has not taken
	// yet, 0 = 256: a reader further behind loses its connection.
	MaxBehind int
	// Recheck is how often the token of an open WebSocket connection is
	// verified again, 0 = every 400 milliseconds.
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
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = defaultInFlight
	}
	if o.MaxBehind <= 0 {
		o.MaxBehind = defaultBehind
	}
	if o.Meter == nil {
		o.Meter = noMeter{}
	}
	if o.Recheck <= 0 {
		o.Recheck = cacheTTL
	}
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	if o.Health == nil {
		o.Health = NewHealth(o.Clock)
	}
}

// Server serves contracts by path. Register everything, then call Serve.
type Server struct {
	opts    Options
	routes  map[string]http.Handler
	failing *Failures
	limits  *userLimits
	conns   atomic.Int64

	mu   sync.Mutex
	http *http.Server
	open map[io.Closer]struct{}
	done bool
}

// NewServer makes a server that knows /livez, /readyz and /healthz.
func NewServer(o Options) *Server {
	o.fill()
	s := &Server{opts: o, routes: map[string]http.Handler{}, open: map[io.Closer]struct{}{}, failing: NewFailures(o.Clock), limits: newUserLimits(o.Clock)}
	s.routes["/livez"] = o.Health.handler(func(c Check) bool { return c.Live })
	s.routes["/readyz"] = o.Health.handler(func(c Check) bool { return c.Ready })
	s.routes["/healthz"] = o.Health.handler(nil)
	return s
}

// service is one contract on one path.
type service struct {
	srv     *Server
	rpc     *jsonrpc.RPCServer
	streams map[string]stream
	perms   map[string]api.Permission
	// excluded are methods left out on purpose.
	excluded map[string]*api.Error
}

// stream is a method whose result is a channel. A paced one waits for its
// reader; the others tell of events and drop a reader that falls behind.
type stream struct {
	fn    reflect.Value
	paced bool
}

// DiscoverMethod is the name under which every contract describes itself.
const DiscoverMethod = "rpc.discover"

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
		srv: s, streams: map[string]stream{}, perms: map[string]api.Permission{}, excluded: map[string]*api.Error{},
		rpc: jsonrpc.NewServer(jsonrpc.WithMaxRequestSize(s.opts.MaxRequest), jsonrpc.WithServerErrors(wireErrors())),
	}
	for _, ns := range namespaces {
		svc.rpc.Register(ns, proxy)
		for i := range in.NumField() {
			f := in.Type().Field(i)
			svc.perms[ns+"."+f.Name] = api.Permission(f.Tag.Get("perm"))
			if f.Type.Out(0).Kind() == reflect.Chan {
				svc.streams[ns+"."+f.Name] = stream{in.Field(i), f.Tag.Get("stream") == "paced"}
			}
		}
		if need, ok := svc.perms[ns+".Discover"]; ok {
			svc.rpc.AliasMethod(DiscoverMethod, ns+".Discover")
			svc.perms[DiscoverMethod] = need
		}
	}
	s.routes[path] = svc
	return nil
}

// Exclude makes a path, registered before, answer calls of methods that are left
// out on purpose with the reason. A method that is served cannot be excluded.
func (s *Server) Exclude(path, namespace string, list []api.Exclusion) error {
	svc, ok := s.routes[path].(*service)
	if !ok {
		return fmt.Errorf("exclude methods of %s: nothing is registered there", path)
	}
	for _, e := range list {
		name := namespace + "." + e.Method
		if _, served := svc.perms[name]; served {
			return fmt.Errorf("exclude %s at %s: it is served", name, path)
		}
		svc.excluded[name] = e.Err()
	}
	return nil
}

// Named gives the server the name that rate limits of users call it by, unless
// its options did. Call it before Serve.
func (s *Server) Named(service string) {
	if s.opts.Service == "" {
		s.opts.Service = service
	}
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
	calls, err := splitBatch(body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		w.Write(errorFrame(nil, codeInvalid, "%v", err))
		return
	}
	if calls != nil {
		w.Write(v.batch(ctx, sess, calls))
		return
	}
	v.one(ctx, sess, body, w)
}

// one answers one call.
func (v *service) one(ctx context.Context, sess *session, body []byte, w io.Writer) {
	var f frame
	if json.Unmarshal(body, &f) == nil { // what cannot be read, go-jsonrpc answers
		if b := v.refuse(sess, f); b != nil {
			if len(f.ID) > 0 {
				w.Write(b)
			}
			return
		}
	}
	v.rpc.HandleRequest(ctx, bytes.NewReader(body), w)
}

// batch answers calls in order, as a list; nil when none wants an answer.
func (v *service) batch(ctx context.Context, sess *session, calls []json.RawMessage) []byte {
	var answers [][]byte
	for _, c := range calls {
		var out bytes.Buffer
		v.one(ctx, sess, c, &out)
		if b := bytes.TrimSpace(out.Bytes()); len(b) > 0 {
			answers = append(answers, b)
		}
	}
	if answers == nil {
		return nil
	}
	return append(append([]byte("["), bytes.Join(answers, []byte(","))...), ']')
}

// refuse answers a call that is left out on purpose, or that its caller may not
// make, before any parameter is looked at; nil = it may. Guard checks the
// permission again.
func (v *service) refuse(sess *session, f frame) []byte {
	if err, ok := v.excluded[f.Method]; ok {
		sess.called(bare(f.Method), string(err.Code), 0)
		return excludedFrame(f.ID, err)
	}
	need, known := v.perms[f.Method]
	if !known {
		sess.called("unknown", "no_method", 0)
		return nil
	}
	caller := sess.get()
	var err error
	if !caller.May(need) {
		err = missing(bare(f.Method), need)
	} else if err = v.srv.limits.take(caller, v.srv.opts.Service, bare(f.Method)); err == nil {
		return nil
	}
	sess.called(bare(f.Method), string(api.Explain(err).Code), 0)
	return callError(f.ID, err)
}

// bare is a method's name without its namespace.
func bare(method string) string { return method[strings.LastIndexByte(method, '.')+1:] }

// readBody reads a request within the limits of size and time. The deadline is
// lifted afterwards: a call may take long.
func (v *service) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	rc := http.NewResponseController(w)
	// A recorder in a test has no deadline to set; a real connection does.
	_ = rc.SetReadDeadline(clock.Real().Now().Add(bodyTimeout))
	limit := v.srv.opts.MaxRequest
	var b bytes.Buffer
	b.Grow(int(min(max(r.ContentLength, 0), trustedLength)) + bytes.MinRead)
	_, err := b.ReadFrom(io.LimitReader(r.Body, limit+1))
	_ = rc.SetReadDeadline(time.Time{})
	if err != nil {
		return nil, fmt.Errorf("reading request: %w", err)
	}
	if int64(b.Len()) > limit {
		return nil, fmt.Errorf("request bigger than maximum %d allowed", limit)
	}
	return b.Bytes(), nil
}

// splitBatch returns the calls of a batch; nil when body is no batch.
func splitBatch(body []byte) ([]json.RawMessage, error) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || body[0] != '[' {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("Parse error")
	}
	var out []json.RawMessage
	for dec.More() {
		if len(out) == maxBatch {
			return nil, fmt.Errorf("more than %d calls in one batch", maxBatch)
		}
		var call json.RawMessage
		if err := dec.Decode(&call); err != nil {
			return nil, errors.New("Parse error")
		}
		out = append(out, call)
	}
	if _, err := dec.Token(); err != nil || len(out) == 0 {
		return nil, errors.New("Parse error: an empty or unfinished batch")
	}
	return out, nil
}

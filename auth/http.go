package auth

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/rpc"
)

// ProgramVersion is what /version answers.
const ProgramVersion = "1.3.0+venus"

const (
	// manageRate and manageBurst bound the managing calls of an address and second.
	manageRate  = 100
	manageBurst = 5000
	callers     = 4096
)

// Route is one path of the service.
type Route struct {
	Method, Path string
	// Perm is what a caller needs, "" = nothing: the route is open.
	Perm api.Permission
	// action and subject name the call in the audit log.
	action  string
	subject string // the parameter that says what it is about
	do      func(r *http.Request, p params) (any, error)
}

// Routes lists every path of the service with the permission it needs, beside /livez, /readyz, /healthz and /metrics,
// which are open.
func Routes() []Route { return new(handler).routes() }

func (h *handler) routes() []Route {
	const admin = api.PermAdmin
	return []Route{
		{"POST", "/verify", "", "", "", h.verify},
		{"GET", "/version", "", "", "", func(*http.Request, params) (any, error) {
			return map[string]string{"Version": ProgramVersion}, nil
		}},
		{"GET", "/healthcheck", "", "", "", func(*http.Request, params) (any, error) { return nil, nil }},

		{"POST", "/genToken", admin, "token/generate", "name", h.generate},
		{"GET", "/tokens", admin, "token/list", "search", h.list},
		{"DELETE", "/token", admin, "token/remove", "id", h.setRemoved(true)},
		{"POST", "/recoverToken", admin, "token/recover", "id", h.setRemoved(false)},
		{"POST", "/rotateToken", admin, "token/rotate", "id", h.rotate},

		{"PUT", "/user/new", admin, "user/add", "name", h.addUser},
		{"POST", "/user/update", admin, "user/update", "name", h.updateUser},
		{"GET", "/user/list", admin, "user/list", "search", h.listUsers},
		{"GET", "/user", admin, "user/get", "name", h.getUser},
		{"GET", "/miner", admin, "user/owners", "miner", h.minerOwner},
		{"GET", "/miner/has-miner", admin, "user/owners", "miner", h.hasMiner},
		{"GET", "/signer", admin, "user/owners", "signer", h.signerOwners},
		{"POST", "/user/miner/grant", admin, "user/grant-miner", "name", h.grant(KindMiner)},
		{"POST", "/user/miner/withdraw", admin, "user/withdraw-miner", "name", h.withdraw(KindMiner)},
		{"POST", "/user/signer/grant", admin, "user/grant-signer", "name", h.grant(KindSigner)},
		{"POST", "/user/signer/withdraw", admin, "user/withdraw-signer", "name", h.withdraw(KindSigner)},
		{"POST", "/user/ratelimit/upsert", admin, "user/limit", "name", h.setLimit},
		{"POST", "/user/ratelimit/del", admin, "user/unlimit", "name", h.dropLimit},
		{"GET", "/user/ratelimit", admin, "user/get", "name", h.limits},

		{"GET", "/audit", admin, "audit/list", "search", h.audit},
	}
}

// Verification is one question about a token, without the token. Service, PreHost and Span are what the original's client
// tells about itself.
type Verification struct {
	At                     time.Time
	Took                   time.Duration
	Result                 string // ok, or the code of the refusal
	Name, From             string
	Service, PreHost, Span string
}

// Watcher hears what the service does; its methods do not block.
type Watcher interface {
	Verified(v Verification)
	Managed(e Entry)
}

// NewServer serves the service over HTTP.
func NewServer(s *Service, o rpc.Options, w Watcher) *rpc.Server {
	o.Verify = s.Verifier
	srv := rpc.NewServer(o)
	by, err := lru.New[string, *rate.Limiter](callers)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	h := &handler{svc: s, clk: o.Clock, watcher: w, failing: rpc.NewFailures(o.Clock), by: by}
	paths := map[string][]Route{}
	for _, r := range h.routes() {
		paths[r.Path] = append(paths[r.Path], r)
	}
	for path, rs := range paths {
		srv.Handle(path, h.serve(rs[0]))
	}
	return srv
}

type handler struct {
	svc     *Service
	clk     clock.Clock
	watcher Watcher
	failing *rpc.Failures

	mu sync.Mutex
	by *lru.Cache[string, *rate.Limiter] // managing calls by address
}

// host is the address of a caller without its port. Headers do not count.
func host(r *http.Request) string {
	h, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return h
}

// serve answers one route.
func (h *handler) serve(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != route.Method {
			w.Header().Set("Allow", route.Method)
			writeError(w, http.StatusMethodNotAllowed, api.Errorf(api.CodeInvalid, "use %s", route.Method))
			return
		}
		var out any
		p, err := readParams(w, r)
		if err == nil {
			out, err = h.call(route, r, p)
		}
		if err != nil {
			writeError(w, status(err), err)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "application/json")
		if out == nil {
			return
		}
		if err := json.NewEncoder(w).Encode(out); err != nil {
			log.Debugf("answer %s: %v", r.URL.Path, err)
		}
	})
}

// call lets only callers through who may. A managing token comes in the
// Authorization header and nowhere else: a query's token names the token to work
// on.
func (h *handler) call(route Route, r *http.Request, p params) (any, error) {
	if route.Perm == "" {
		return route.do(r, p)
	}
	e := Entry{At: h.clk.Now(), From: host(r), Action: route.action, Subject: shorten(p[route.subject])}
	out, err := h.manage(&e, route, r, p)
	e.Result = codeOf(err)
	h.watcher.Managed(e)
	return out, err
}

func codeOf(err error) string {
	if err == nil {
		return "ok"
	}
	return string(api.Explain(err).Code)
}

func (h *handler) manage(e *Entry, route Route, r *http.Request, p params) (any, error) {
	t, ok := bearer(r)
	if !ok {
		return nil, api.Errorf(api.CodeUnauthenticated, "managing tokens needs an admin token").
			WithHint("use the command line on the machine of venus-auth, or send the header Authorization: Bearer TOKEN")
	}
	from := host(r)
	if h.failing.Refuse(from, t) || !h.allow(from) {
		return nil, errTooMany()
	}
	c, err := h.svc.Verifier(r.Context(), t)
	if err != nil {
		if errors.Is(err, rpc.ErrBadToken) {
			h.failing.Count(from)
			log.Warnf("refused %s %s from %s: the token does not count", r.Method, r.URL.Path, from)
		}
		return nil, err
	}
	h.failing.Good(t)
	e.Caller = c.Name
	r = r.WithContext(WithActor(r.Context(), Actor{c.Name, from}))
	if !c.May(route.Perm) || c.Scope != nil {
		err := api.Errorf(api.CodePermission, "managing tokens needs the permission admin, without a scope")
		h.svc.Refused(r.Context(), route.action, p[route.subject], err)
		return nil, err
	}
	out, err := route.do(r, p)
	if err != nil {
		h.svc.Refused(r.Context(), route.action, p[route.subject], err)
	}
	return out, err
}

func errTooMany() error {
	return api.Errorf(api.CodeLimit, "too many calls from this address").WithHint("wait a few seconds")
}

func (h *handler) allow(from string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, ok := h.by.Get(from)
	if !ok {
		l = rate.NewLimiter(manageRate, manageBurst)
		h.by.Add(from, l)
	}
	return l.AllowN(h.clk.Now(), 1)
}

func bearer(r *http.Request) (string, bool) {
	v := r.Header["Authorization"]
	const scheme = "Bearer "
	if len(v) != 1 || len(v[0]) <= len(scheme) || v[0][:len(scheme)] != scheme {
		return "", false
	}
	return v[0][len(scheme):], true
}

// verify answers whoever has a token. Guessing is slow: an address that shows
// wrong ones is not heard for a while, save with tokens that were right before.
func (h *handler) verify(r *http.Request, p params) (any, error) {
	t := p["token"]
	if t == "" {
		return nil, api.Errorf(api.CodeInvalid, "the parameter token is missing")
	}
	v := Verification{At: h.clk.Now(), From: host(r), Service: header(r, "svcName"), PreHost: header(r, "preHost"), Span: header(r, "spanId")}
	if h.failing.Refuse(v.From, t) {
		v.Result = string(api.CodeLimit)
		h.watcher.Verified(v)
		return nil, errTooMany()
	}
	id, err := h.svc.Verify(r.Context(), t)
	v.Took, v.Result, v.Name = h.clk.Now().Sub(v.At), codeOf(err), id.Name
	h.watcher.Verified(v)
	if errors.Is(err, rpc.ErrBadToken) {
		h.failing.Count(v.From)
		log.Infof("refused a token shown by %s (%s)", v.From, v.Service)
	}
	if err != nil {
		return nil, err
	}
	h.failing.Good(t)
	return id, nil
}

func (h *handler) generate(r *http.Request, p params) (any, error) {
	scope, err := p.scope()
	if err != nil {
		return nil, err
	}
	life, err := p.duration("lifetime")
	if err != nil {
		return nil, err
	}
	return h.svc.Generate(r.Context(), authapi.GenRequest{Name: p["name"], Perm: p["perm"], Extra: p["extra"], Lifetime: life, Scope: scope})
}

func (h *handler) list(r *http.Request, p params) (any, error) {
	q, err := p.page()
	if err != nil {
		return nil, err
	}
	return h.svc.List(r.Context(), q)
}

func (p params) ref() authapi.TokenRef { return authapi.TokenRef{Token: p["token"], ID: p["id"]} }

func (h *handler) setRemoved(removed bool) func(*http.Request, params) (any, error) {
	return func(r *http.Request, p params) (any, error) {
		return nil, h.svc.SetRemoved(r.Context(), p.ref(), removed)
	}
}

func (h *handler) rotate(r *http.Request, p params) (any, error) {
	grace, err := p.duration("grace")
	if err != nil {
		return nil, err
	}
	return h.svc.Rotate(r.Context(), authapi.RotateRequest{TokenRef: p.ref(), Grace: grace})
}

func (p params) user() (authapi.UserRequest, error) {
	u := authapi.UserRequest{Name: p["name"], Miners: append(p.list("miners"), p.list("miner")...)}
	if c, ok := p["comment"]; ok {
		u.Comment = &c
	}
	if text := p["state"]; text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return u, api.Errorf(api.CodeInvalid, "the parameter state is not a number")
		}
		state := authapi.UserState(n)
		u.State = &state
	}
	return u, nil
}

func (h *handler) addUser(r *http.Request, p params) (any, error) {
	u, err := p.user()
	if err != nil {
		return nil, err
	}
	return h.svc.AddUser(r.Context(), u)
}

func (h *handler) updateUser(r *http.Request, p params) (any, error) {
	u, err := p.user()
	if err != nil {
		return nil, err
	}
	return h.svc.UpdateUser(r.Context(), u)
}

func (h *handler) listUsers(r *http.Request, p params) (any, error) {
	q, err := p.page()
	if err != nil {
		return nil, err
	}
	return h.svc.ListUsers(r.Context(), q)
}

func (h *handler) getUser(r *http.Request, p params) (any, error) {
	return h.svc.GetUser(r.Context(), p["name"])
}

func (h *handler) minerOwner(r *http.Request, p params) (any, error) {
	us, err := h.svc.Owners(r.Context(), KindMiner, p["miner"])
	if err != nil {
		return nil, err
	}
	if len(us) == 0 {
		return nil, api.Errorf(api.CodeNotFound, "no user has the miner %s", shorten(p["miner"]))
	}
	return us[0], nil
}

func (h *handler) hasMiner(r *http.Request, p params) (any, error) {
	us, err := h.svc.Owners(r.Context(), KindMiner, p["miner"])
	return len(us) > 0, err
}

func (h *handler) signerOwners(r *http.Request, p params) (any, error) {
	return h.svc.Owners(r.Context(), KindSigner, p["signer"])
}

func (h *handler) grant(kind Kind) func(*http.Request, params) (any, error) {
	return func(r *http.Request, p params) (any, error) {
		return h.svc.Grant(r.Context(), p["name"], kind, p.list("addresses"))
	}
}

func (h *handler) withdraw(kind Kind) func(*http.Request, params) (any, error) {
	return func(r *http.Request, p params) (any, error) {
		return h.svc.Withdraw(r.Context(), p["name"], kind, p.list("addresses"))
	}
}

func (h *handler) setLimit(r *http.Request, p params) (any, error) {
	l := api.RateLimit{ID: p["id"], Service: p["service"], Method: p["api"]}
	var err error
	if l.Cap, err = strconv.ParseInt(p["reqlimit.cap"], 10, 64); err != nil {
		return nil, api.Errorf(api.CodeInvalid, "the parameter ReqLimit.Cap is not a number")
	}
	if l.Per, err = p.duration("reqlimit.resetdur"); err != nil {
		return nil, err
	}
	return h.svc.SetLimit(r.Context(), p["name"], l)
}

func (h *handler) dropLimit(r *http.Request, p params) (any, error) {
	return p["id"], h.svc.DropLimit(r.Context(), p["name"], p["id"])
}

// limits answers in the original's shape.
func (h *handler) limits(r *http.Request, p params) (any, error) {
	u, err := h.svc.GetUser(r.Context(), p["name"])
	if err != nil {
		return nil, err
	}
	out := []authapi.LimitInfo{}
	for _, l := range u.Limits {
		if p["id"] == "" || p["id"] == l.ID {
			out = append(out, authapi.NewLimitInfo(u.Name, l))
		}
	}
	return out, nil
}

func (h *handler) audit(r *http.Request, p params) (any, error) {
	q, err := p.page()
	if err != nil {
		return nil, err
	}
	return h.svc.Audit(r.Context(), q)
}

// header is what the original's client tells about itself, cut to a length.
func header(r *http.Request, name string) string {
	return strings.ToValidUTF8(shorten(r.Header.Get(name)), "?")
}

// status is the HTTP status of a kind of failure.
func status(err error) int {
	switch api.Explain(err).Code {
	case api.CodeInvalid:
		return http.StatusBadRequest
	case api.CodeUnauthenticated:
		return http.StatusUnauthorized
	case api.CodePermission:
		return http.StatusForbidden
	case api.CodeNotFound:
		return http.StatusNotFound
	case api.CodeConflict:
		return http.StatusConflict
	case api.CodeLimit:
		return http.StatusTooManyRequests
	case api.CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func writeError(w http.ResponseWriter, status int, err error) {
	e := api.Explain(err)
	switch {
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case e.Code == api.CodeInternal:
		// What broke inside is for the operator.
		log.Errorf("a request failed: %v", err)
		e = api.Errorf(api.CodeInternal, "the request failed inside").WithHint("look at the log of venus-auth")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(authapi.ErrorBody{Error: e.Message, Code: string(e.Code), Hint: e.Hint}); err != nil {
		log.Debugf("write a refusal: %v", err)
	}
}

package rpc

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
)

const (
	// maxToken bounds a token in bytes; ours stay far below.
	maxToken = 4096
	// failRate and failBurst bound wrong tokens per address and second.
	failRate  = 10
	failBurst = 50
	// failAddresses bounds the addresses remembered.
	failAddresses = 4096
)

// requestToken finds the token of a request: the header "Authorization: Bearer",
// or the query parameter token. present tells whether there was any attempt.
func requestToken(r *http.Request) (token string, present bool) {
	if h, ok := r.Header["Authorization"]; ok {
		if len(h) != 1 {
			return "", true
		}
		t, ok := strings.CutPrefix(h[0], "Bearer ")
		if !ok {
			return "", true
		}
		return strings.TrimSpace(t), true
	}
	q := r.URL.Query()
	if q.Has("token") {
		return q.Get("token"), true
	}
	return "", false
}

// Authenticate tells who a plain HTTP request speaks for, with the same rules
// as for calls; when it returns false the refusal is already written.
func (s *Server) Authenticate(w http.ResponseWriter, r *http.Request) (Caller, bool) {
	_, sess, ok := s.authenticate(w, r)
	if !ok {
		return Caller{}, false
	}
	return sess.get(), true
}

// authenticate writes the refusal itself when it returns false.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request) (string, *session, bool) {
	token, present := requestToken(r)
	if !present {
		return "", &session{srv: s, caller: Caller{Perms: s.opts.Anonymous}}, true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if s.failing.refuse(host, token) {
		writeError(w, http.StatusTooManyRequests, api.Errorf(api.CodeLimit, "too many wrong tokens from this address").
			WithHint("wait a few seconds and use the right token"))
		return "", nil, false
	}
	c, err := s.verify(r.Context(), token)
	if err == nil {
		s.failing.good(token)
		return token, &session{srv: s, caller: c}, true
	}
	if api.Explain(err).Code == api.CodeUnavailable {
		writeError(w, http.StatusServiceUnavailable, err)
		return "", nil, false
	}
	s.failing.count(host)
	w.Header().Set("WWW-Authenticate", "Bearer")
	writeError(w, http.StatusUnauthorized, ErrBadToken)
	return "", nil, false
}

func (s *Server) verify(ctx context.Context, token string) (Caller, error) {
	if s.opts.Verify == nil || token == "" || len(token) > maxToken {
		return Caller{}, ErrBadToken
	}
	return s.opts.Verify(ctx, token)
}

// writeError answers a request that never became a call.
func writeError(w http.ResponseWriter, status int, err error) {
	e := api.Explain(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"error": e.Message, "code": e.Code, "hint": e.Hint})
}

// allowOrigin judges the Origin header of web pages and sets the CORS headers.
func (s *Server) allowOrigin(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	if !s.originAllowed(origin, r.Host) {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Add("Vary", "Origin")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		h.Set("Access-Control-Max-Age", "600")
	}
	return true
}

func (s *Server) originAllowed(origin, host string) bool {
	for _, o := range s.opts.Origins {
		if o == "*" || strings.EqualFold(o, origin) {
			return true
		}
	}
	// A page that the service itself served. A rebound DNS name also looks like
	// this, but brings no token along.
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

func isUpgrade(r *http.Request) bool {
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return false
	}
	for _, v := range strings.Split(r.Header.Get("Connection"), ",") {
		if strings.EqualFold(strings.TrimSpace(v), "upgrade") {
			return true
		}
	}
	return false
}

// failures counts wrong tokens by address. Tokens seen good are not held up by
// a neighbour on the same address that keeps trying wrong ones.
type failures struct {
	mu   sync.Mutex
	clk  clock.Clock
	by   *lru.Cache[string, *rate.Limiter]
	seen *lru.Cache[[32]byte, struct{}]
}

func newFailures(clk clock.Clock) *failures {
	by, err := lru.New[string, *rate.Limiter](failAddresses)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	seen, err := lru.New[[32]byte, struct{}](failAddresses)
	if err != nil {
		panic(err)
	}
	return &failures{clk: clk, by: by, seen: seen}
}

// refuse tells whether a token is not even looked at.
func (f *failures) refuse(host, token string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.by.Get(host)
	return ok && l.TokensAt(f.clk.Now()) < 1 && !f.seen.Contains(sha256.Sum256([]byte(token)))
}

func (f *failures) good(token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen.Add(sha256.Sum256([]byte(token)), struct{}{})
}

func (f *failures) count(host string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.by.Get(host)
	if !ok {
		l = rate.NewLimiter(failRate, failBurst)
		f.by.Add(host, l)
	}
	l.AllowN(f.clk.Now(), 1)
}

package rpc

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/filecoin-venus/venus/api"
)

const (
	// maxToken bounds a token in bytes; ours stay far below.
	maxToken = 4096
)

// requestToken finds the token of a request: the header "Authorization: Bearer",
// or, when a WebSocket is opened, which browsers cannot give a header, the query
// parameter token. Elsewhere a token in the address does not count: addresses end
// up in the logs of proxies. present tells whether there was any attempt.
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
		if !isUpgrade(r) {
			return "", true
		}
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
	if s.failing.Refuse(host, token) {
		writeError(w, http.StatusTooManyRequests, api.Errorf(api.CodeLimit, "too many wrong tokens from this address").
			WithHint("wait a few seconds and use the right token"))
		return "", nil, false
	}
	c, err := s.verify(r.Context(), token)
	if err == nil {
		s.failing.Good(token)
		return token, &session{srv: s, caller: c}, true
	}
	if api.Explain(err).Code == api.CodeUnavailable {
		writeError(w, http.StatusServiceUnavailable, err)
		return "", nil, false
	}
	s.failing.Count(host)
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

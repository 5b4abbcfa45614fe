package rpc

import (
	"context"
	"sync"
	"time"

	"github.com/filecoin-venus/venus/api"
)

// Caller is who a request speaks for. The zero Caller may do nothing.
type Caller struct {
	Name  string
	Perms []api.Permission
	// Scope is what the caller may touch beside, nil = everything. Services that
	// hold the affairs of several users look at it.
	Scope *api.Scope
	// Limits bound the caller's calls; the server enforces them.
	Limits []api.RateLimit
}

// May tells whether the caller holds exactly this permission. Verifiers expand
// a level to all below it.
func (c Caller) May(p api.Permission) bool {
	for _, q := range c.Perms {
		if q == p {
			return true
		}
	}
	return false
}

// Verifier tells who a token speaks for. A token that is not valid gives an
// error with code unauthenticated; any other error means that nobody could
// tell, and the caller is refused all the same.
type Verifier func(ctx context.Context, token string) (Caller, error)

// ErrBadToken is the one answer to every token that is not valid, whatever is
// wrong with it.
var ErrBadToken = (&api.Error{Code: api.CodeUnauthenticated, Message: "token not valid"}).
	WithHint("make a token with the service's own command (for example `venus-auth genToken`), or pass the right one")

// FirstOf asks verifiers in turn and takes the first that knows the token. When
// none does, an error of unavailability wins over a bad token.
func FirstOf(vs ...Verifier) Verifier {
	return func(ctx context.Context, token string) (Caller, error) {
		var away error
		for _, v := range vs {
			if v == nil {
				continue
			}
			c, err := v(ctx, token)
			if err == nil {
				return c, nil
			}
			if api.Explain(err).Code == api.CodeUnavailable {
				away = err
			}
		}
		if away != nil {
			return Caller{}, away
		}
		return Caller{}, ErrBadToken
	}
}

// session is one connection's caller; it changes when a token is checked again.
type session struct {
	srv     *Server // nil for a caller that did not come through one
	mu      sync.Mutex
	caller  Caller
	streams int
}

// called tells the meter of an ended call.
func (s *session) called(method, code string, took time.Duration) {
	if s.srv != nil {
		s.srv.opts.Meter.Called(method, code, took)
	}
}

// now is the server's time.
func (s *session) now() time.Time {
	if s.srv == nil {
		return time.Time{}
	}
	return s.srv.opts.Clock.Now()
}

type sessionKey struct{}

func withSession(ctx context.Context, s *session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
}

func (s *session) get() Caller {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.caller
}

func (s *session) set(c Caller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caller = c
}

// CallerFrom returns who the running request speaks for; false when ctx does
// not come from a server.
func CallerFrom(ctx context.Context) (Caller, bool) {
	s := sessionOf(ctx)
	if s == nil {
		return Caller{}, false
	}
	return s.get(), true
}

// sessionOf is the session of a request, nil when there is none.
func sessionOf(ctx context.Context) *session {
	if ctx == nil {
		return nil
	}
	s, _ := ctx.Value(sessionKey{}).(*session)
	return s
}

// WithCaller returns a context that speaks for c. It serves tests and servers
// of other protocols; nothing on the network can set it.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return withSession(ctx, &session{caller: c})
}

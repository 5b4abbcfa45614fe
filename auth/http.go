package auth

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/rpc"
)

const (
	// maxBody bounds a request; the largest honest one is a token in a form.
	maxBody     = 16 << 10
	bodyTimeout = 10 * time.Second
)

// ProgramVersion is what /version answers.
const ProgramVersion = "1.3.0+venus"

// NewServer serves the service over HTTP.
func NewServer(s *Service, clk clock.Clock) *rpc.Server {
	srv := rpc.NewServer(rpc.Options{Verify: s.Verifier, Clock: clk})
	h := &handler{svc: s, srv: srv}
	srv.Handle("/verify", h.on(http.MethodPost, h.verify))
	srv.Handle("/genToken", h.on(http.MethodPost, h.admin(h.generate)))
	srv.Handle("/tokens", h.on(http.MethodGet, h.admin(h.list)))
	srv.Handle("/token", h.on(http.MethodDelete, h.admin(h.remove)))
	srv.Handle("/recoverToken", h.on(http.MethodPost, h.admin(h.recover)))
	srv.Handle("/version", h.on(http.MethodGet, func(*http.Request, params) (any, error) {
		return map[string]string{"Version": ProgramVersion}, nil
	}))
	srv.Handle("/healthcheck", h.on(http.MethodGet, func(*http.Request, params) (any, error) { return nil, nil }))
	return srv
}

// params are a request's parameters, whether they came as query, form or JSON.
type params map[string]string

type action func(r *http.Request, p params) (any, error)

type handler struct {
	svc *Service
	srv *rpc.Server
}

// on answers one method of a path.
func (h *handler) on(method string, do action) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header().Set("Allow", method)
			writeError(w, http.StatusMethodNotAllowed, api.Errorf(api.CodeInvalid, "use %s", method))
			return
		}
		p, err := readParams(w, r)
		if err != nil {
			writeError(w, http.StatusBadRequest, err)
			return
		}
		out, err := do(r, p)
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

// admin lets only callers with an admin token through. The token comes in the
// Authorization header and nowhere else: a query's token names the token to work on.
func (h *handler) admin(do action) action {
	return func(r *http.Request, p params) (any, error) {
		t, ok := bearer(r)
		if !ok {
			return nil, api.Errorf(api.CodeUnauthenticated, "managing tokens needs an admin token").
				WithHint("use the command line on the machine of venus-auth, or send the header Authorization: Bearer TOKEN")
		}
		c, err := h.svc.Verifier(r.Context(), t)
		if err != nil {
			return nil, err
		}
		if !c.May(api.PermAdmin) {
			log.Warnf("refused %s %s of %q: not an admin", r.Method, r.URL.Path, c.Name)
			return nil, api.Errorf(api.CodePermission, "managing tokens needs the permission admin")
		}
		return do(r.WithContext(rpc.WithCaller(r.Context(), c)), p)
	}
}

func bearer(r *http.Request) (string, bool) {
	v := r.Header["Authorization"]
	const scheme = "Bearer "
	if len(v) != 1 || len(v[0]) <= len(scheme) || v[0][:len(scheme)] != scheme {
		return "", false
	}
	return v[0][len(scheme):], true
}

func (h *handler) verify(r *http.Request, p params) (any, error) {
	if p["token"] == "" {
		return nil, api.Errorf(api.CodeInvalid, "the parameter token is missing")
	}
	return h.svc.Verify(r.Context(), p["token"])
}

func (h *handler) generate(r *http.Request, p params) (any, error) {
	out, err := h.svc.Generate(r.Context(), authapi.GenRequest{Name: p["name"], Perm: p["perm"], Extra: p["extra"]})
	if err != nil {
		return nil, err
	}
	audit(r, "made token %s for %q with %s", out.ID, p["name"], p["perm"])
	return out, nil
}

func (h *handler) list(r *http.Request, p params) (any, error) {
	q := authapi.ListQuery{Search: p["search"], Removed: p["removed"] == "true"}
	var err error
	if q.Skip, err = number(p, "skip"); err != nil {
		return nil, err
	}
	if q.Limit, err = number(p, "limit"); err != nil {
		return nil, err
	}
	return h.svc.List(r.Context(), q)
}

func number(p params, name string) (int, error) {
	if p[name] == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(p[name])
	if err != nil {
		return 0, api.Errorf(api.CodeInvalid, "the parameter %s is not a number", name)
	}
	return n, nil
}

func (h *handler) remove(r *http.Request, p params) (any, error) {
	rec, err := h.svc.SetRemoved(r.Context(), authapi.TokenRef{Token: p["token"], ID: p["id"]}, true)
	if err != nil {
		return nil, err
	}
	audit(r, "removed token %s of %q", rec.ID, rec.Name)
	return nil, nil
}

func (h *handler) recover(r *http.Request, p params) (any, error) {
	rec, err := h.svc.SetRemoved(r.Context(), authapi.TokenRef{Token: p["token"], ID: p["id"]}, false)
	if err != nil {
		return nil, err
	}
	audit(r, "recovered token %s of %q", rec.ID, rec.Name)
	return nil, nil
}

// audit notes who managed what; ids and names only.
func audit(r *http.Request, format string, args ...any) {
	c, _ := rpc.CallerFrom(r.Context())
	log.Infof("audit: %q from %s %s", c.Name, r.RemoteAddr, fmt.Sprintf(format, args...))
}

// readParams takes the query, and over it a form or a JSON object.
func readParams(w http.ResponseWriter, r *http.Request) (params, error) {
	p := params{}
	for k, v := range r.URL.Query() {
		p[k] = v[0]
	}
	rc := http.NewResponseController(w)
	// A recorder in a test has no deadline to set; a real connection does.
	_ = rc.SetReadDeadline(clock.Real().Now().Add(bodyTimeout))
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = rc.SetReadDeadline(time.Time{})
	if err != nil {
		return nil, api.Errorf(api.CodeInvalid, "the request cannot be read or is longer than %d bytes", maxBody)
	}
	if len(b) == 0 {
		return p, nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	switch kind {
	case "application/json":
		var body struct{ Token, Name, Perm, Extra, ID string }
		if err := json.Unmarshal(b, &body); err != nil {
			return nil, api.Errorf(api.CodeInvalid, "the request is not a JSON object of strings")
		}
		for k, v := range map[string]string{"token": body.Token, "name": body.Name, "perm": body.Perm, "extra": body.Extra, "id": body.ID} {
			if v != "" {
				p[k] = v
			}
		}
	case "application/x-www-form-urlencoded", "":
		form, err := url.ParseQuery(string(b))
		if err != nil {
			return nil, api.Errorf(api.CodeInvalid, "the request is not a form")
		}
		for k, v := range form {
			p[k] = v[0]
		}
	default:
		return nil, api.Errorf(api.CodeInvalid, "content of the type %q is not understood", kind).WithHint("send a form or JSON")
	}
	return p, nil
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
	case api.CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func writeError(w http.ResponseWriter, status int, err error) {
	e := api.Explain(err)
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(authapi.ErrorBody{Error: e.Message, Code: string(e.Code), Hint: e.Hint}); err != nil {
		log.Debugf("write a refusal: %v", err)
	}
}

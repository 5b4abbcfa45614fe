package auth

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	"github.com/filecoin-venus/venus/internal/clock"
)

const (
	// maxBody bounds a request: a token in a form, or a few thousand addresses.
	maxBody     = 256 << 10
	bodyTimeout = 10 * time.Second
)

// params are a request's parameters, whether they came as query, form or JSON. Names are in lower case, those of nested
// JSON joined by dots, elements of lists by commas.
type params map[string]string

// readParams takes the query, and over it a form or a JSON object.
func readParams(w http.ResponseWriter, r *http.Request) (params, error) {
	p := params{}
	p.values(r.URL.Query())
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
		var body map[string]any
		if err := json.Unmarshal(b, &body); err != nil {
			return nil, api.Errorf(api.CodeInvalid, "the request is not a JSON object")
		}
		return p, p.object("", body)
	case "application/x-www-form-urlencoded", "":
		form, err := url.ParseQuery(string(b))
		if err != nil {
			return nil, api.Errorf(api.CodeInvalid, "the request is not a form")
		}
		p.values(form)
	default:
		return nil, api.Errorf(api.CodeInvalid, "content of the type %q is not understood", kind).WithHint("send a form or JSON")
	}
	return p, nil
}

func (p params) values(v url.Values) {
	for k, vs := range v {
		p[strings.ToLower(k)] = strings.Join(vs, ",")
	}
}

// object flattens JSON, one level deep.
func (p params) object(prefix string, o map[string]any) error {
	for k, v := range o {
		name := prefix + strings.ToLower(k)
		switch v := v.(type) {
		case nil:
		case string:
			p[name] = v
		case bool:
			p[name] = strconv.FormatBool(v)
		case float64:
			p[name] = strconv.FormatFloat(v, 'f', -1, 64)
		case []any:
			texts := make([]string, len(v))
			for i, e := range v {
				s, ok := e.(string)
				if !ok {
					return api.Errorf(api.CodeInvalid, "the list %q is not one of strings", shorten(name))
				}
				texts[i] = s
			}
			p[name] = strings.Join(texts, ",")
		case map[string]any:
			if prefix != "" {
				return api.Errorf(api.CodeInvalid, "the request is nested too deep")
			}
			if err := p.object(name+".", v); err != nil {
				return err
			}
		}
	}
	return nil
}

// list splits a parameter at commas; nil when it is absent.
func (p params) list(name string) []string {
	text, ok := p[name]
	if !ok {
		return nil
	}
	out := []string{}
	for _, s := range strings.Split(text, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// duration reads "90s" or, as the original wrote it, nanoseconds.
func (p params) duration(name string) (time.Duration, error) {
	text := p[name]
	if text == "" {
		return 0, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Duration(n), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, api.Errorf(api.CodeInvalid, "the parameter %s is no duration such as 90s or 720h", name)
	}
	return d, nil
}

func (p params) number(name string) (int, error) {
	if p[name] == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(p[name])
	if err != nil {
		return 0, api.Errorf(api.CodeInvalid, "the parameter %s is not a number", name)
	}
	return n, nil
}

func (p params) page() (q authapi.ListQuery, err error) {
	q = authapi.ListQuery{Search: p["search"], Name: p["name"], Removed: p["removed"] == "true"}
	if q.Skip, err = p.number("skip"); err != nil {
		return q, err
	}
	q.Limit, err = p.number("limit")
	return q, err
}

// scope reads the addresses that a token is narrowed to; nil when neither list is there.
func (p params) scope() (*api.Scope, error) {
	miners, err := p.addresses(KindMiner, "scope.miners")
	if err != nil {
		return nil, err
	}
	signers, err := p.addresses(KindSigner, "scope.signers")
	if err != nil || (miners == nil && signers == nil) {
		return nil, err
	}
	return &api.Scope{Miners: miners, Signers: signers}, nil
}

func (p params) addresses(kind Kind, name string) ([]address.Address, error) {
	texts := p.list(name)
	if texts == nil {
		return nil, nil
	}
	out := []address.Address{}
	for _, t := range texts {
		if err := addTo(&out, kind, t); err != nil {
			return nil, err
		}
	}
	return out, nil
}

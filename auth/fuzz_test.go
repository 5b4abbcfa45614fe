package auth

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/filecoin-venus/venus/api"
)

// FuzzParams reads what callers send before anybody knows who they are.
func FuzzParams(f *testing.F) {
	f.Add("a=b&c=d", "token=x", "application/x-www-form-urlencoded")
	f.Add("", `{"token":"x","scope":{"miners":["f01"]},"ReqLimit":{"Cap":1}}`, "application/json")
	f.Add("%zz", `{"a":{"b":{"c":1}},"l":[1]}`, "application/json; charset=utf-8")
	f.Fuzz(func(t *testing.T, query, body, contentType string) {
		r := httptest.NewRequest("POST", "/x", strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", contentType)
		p, err := readParams(httptest.NewRecorder(), r)
		if err != nil {
			if api.Explain(err).Code != api.CodeInvalid {
				t.Fatalf("a request of a caller's making is not our failure: %v", err)
			}
			return
		}
		for k := range p {
			if k != strings.ToLower(k) {
				t.Fatalf("parameter %q", k)
			}
		}
		_, _ = p.scope()
		_, _ = p.page()
		_, _ = p.user()
		_, _ = p.duration("lifetime")
	})
}

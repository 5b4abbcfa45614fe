package rpc

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
)

// FuzzRequest sends any body as a request: it ends in an answer that is JSON,
// or in none when it was a notification.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"Filecoin.Echo","params":["x"]}`, `[{"id":1,"method":"Filecoin.Boom"}]`, `{"id":[],"method":"x"}`,
		`{"method":"Filecoin.Count","params":[1,2],"id":1}`, `{"meta":{"SpanContext":"AAAA"},"id":1,"method":"Filecoin.Fail","params":[]}`, ``, `[`, `null`,
	} {
		f.Add(s)
	}
	s := NewServer(Options{Anonymous: api.AllPermissions()})
	require.NoError(f, s.Register("/rpc/v0", newToy(), new(toyProxy), "Filecoin"))
	f.Fuzz(func(t *testing.T, body string) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // one method waits until the client leaves
		defer cancel()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/rpc/v0", strings.NewReader(body)))
		if b := strings.TrimSpace(w.Body.String()); b != "" && !strings.HasPrefix(strings.TrimSpace(body), "[") && !json.Valid([]byte(b)) {
			t.Fatalf("%q was answered with %q", body, b)
		}
	})
}

// FuzzFrame feeds any message to a connection's parameter decoder.
func FuzzFrame(f *testing.F) {
	f.Add([]byte(`{"id":1,"method":"Filecoin.Count","params":[1,2]}`))
	f.Add([]byte(`{"id":{},"method":"Filecoin.Count","params":{}}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, msg []byte) {
		_, _ = splitBatch(msg)
		var fr frame
		if json.Unmarshal(msg, &fr) != nil {
			return
		}
		p := new(toyProxy)
		in, err := internals(p)
		if err != nil {
			panic(err)
		}
		_, _ = decodeParams(t.Context(), fr, in.FieldByName("Count").Type())
		_ = callError(fr.ID, ErrBadToken)
	})
}

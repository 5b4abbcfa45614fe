package stored_test

import (
	"reflect"
	"testing"

	"github.com/filecoin-venus/venus/auth/stored"
)

// FuzzStored: what can be read is written the same again.
func FuzzStored(f *testing.F) {
	f.Add([]byte(`{"name":"n","perm":"read","created":"2026-01-02T03:04:05Z","scope":{"miners":["AOgH"],"signers":[]}}`))
	f.Add([]byte(`{"comment":"c","miners":[],"limits":[{"id":"l","cap":1,"per":5}],"created":"2026-01-02T03:04:05Z","updated":"2026-01-02T03:04:05Z","rev":3}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if r, err := stored.ParseToken("id", raw); err == nil {
			b, err := stored.Token(r)
			if err != nil {
				return // a year that JSON cannot write
			}
			again, err := stored.ParseToken("id", b)
			if err != nil || !reflect.DeepEqual(r, again) {
				t.Fatalf("%+v became %+v: %v", r, again, err)
			}
		}
		if u, err := stored.ParseUser("name", raw); err == nil && u.Rev > 0 {
			u.Rev--
			b, err := stored.User(u)
			if err != nil {
				return
			}
			u.Rev++
			again, err := stored.ParseUser("name", b)
			if err != nil || !reflect.DeepEqual(u, again) {
				t.Fatalf("%+v became %+v: %v", u, again, err)
			}
		}
	})
}

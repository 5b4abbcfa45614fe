package token

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
)

func signer(t testing.TB, b byte) *Signer {
	s, err := NewSigner(bytes.Repeat([]byte{b}, 32))
	require.NoError(t, err)
	return s
}

func TestSignAndRead(t *testing.T) {
	s := signer(t, 1)
	c := Claims{ID: "00ff", Name: "miner", Perm: api.PermAdmin, Ext: "x"}
	tok, err := s.Sign(c)
	require.NoError(t, err)
	got, err := s.Read(tok)
	require.NoError(t, err)
	require.Equal(t, c, got)
	head, err := base64.RawURLEncoding.DecodeString(strings.Split(tok, ".")[0])
	require.NoError(t, err)
	require.JSONEq(t, `{"alg":"HS256","typ":"JWT"}`, string(head))
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(tok, ".")[1])
	require.NoError(t, err)
	require.JSONEq(t, `{"name":"miner","perm":"admin","ext":"x","jti":"00ff"}`, string(body))
	again, err := s.Sign(c)
	require.NoError(t, err)
	require.Equal(t, tok, again)
	_, err = NewSigner(make([]byte, 31))
	require.Error(t, err)
	a, err := NewID()
	require.NoError(t, err)
	b, err := NewID()
	require.NoError(t, err)
	require.NotEqual(t, a, b)
	require.Len(t, a, 32)
}

func TestForgeries(t *testing.T) {
	s := signer(t, 1)
	good, err := s.Sign(Claims{ID: "1", Name: "n", Perm: api.PermRead})
	require.NoError(t, err)
	p := payload{Name: "n", Perm: "admin", RegisteredClaims: jwt.RegisteredClaims{ID: "1"}}
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, p).SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)
	other, err := signer(t, 2).Sign(Claims{ID: "1", Name: "n", Perm: api.PermAdmin})
	require.NoError(t, err)
	hs384, err := jwt.NewWithClaims(jwt.SigningMethodHS384, p).SignedString(s.secret)
	require.NoError(t, err)
	noID, err := s.Sign(Claims{Name: "n", Perm: api.PermAdmin})
	require.NoError(t, err)
	noPerm, err := s.Sign(Claims{ID: "1", Name: "n", Perm: "root"})
	require.NoError(t, err)
	parts := strings.Split(good, ".")
	adminBody := base64.RawURLEncoding.EncodeToString([]byte(`{"name":"n","perm":"admin","ext":"","jti":"1"}`))
	for name, bad := range map[string]string{
		"line end": good + "\n", "line end inside": good[:9] + "\r\n" + good[9:],
		"empty": "", "alg none": none, "other secret": other, "other hash": hs384, "no id": noID, "no permission": noPerm,
		"raised": parts[0] + "." + adminBody + "." + parts[2], "cut": good[:len(good)-1], "longer": good + "A", "padded": good + "=",
		"space": " " + good, "two parts": parts[0] + "." + parts[1], "huge": strings.Repeat("a", 1<<20), "dots": "..",
	} {
		_, err := s.Read(bad)
		require.ErrorIs(t, err, ErrInvalid, name)
	}
}

func FuzzRead(f *testing.F) {
	s := signer(f, 1)
	good, err := s.Sign(Claims{ID: "1", Name: "n", Perm: api.PermRead})
	require.NoError(f, err)
	f.Add(good)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, tok string) {
		c, err := s.Read(tok)
		if err != nil {
			return
		}
		if again, err := s.Sign(c); err != nil || again != tok {
			t.Fatalf("%q was read as %+v, which signs as %q, %v", tok, c, again, err)
		}
	})
}

// Package token signs and reads the tokens of venus-auth: JWTs with HS256 whose
// payload is {"name","perm","ext","jti"} (auth-wallet-messager.md 0 and A4).
//
// Start reading at [Signer]. Every token has a random id of 128 bits, so two
// tokens for the same name and permission differ and none can be guessed.
// Reading checks the signature alone: whether a token still counts is for the
// store of venus-auth to say.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"

	"github.com/filecoin-venus/venus/api"
)

// MaxLen bounds a token in bytes: a longer one is refused unread.
const MaxLen = 4096

// minSecret is the least length of a secret, in bytes: that of the hash.
const minSecret = 32

// ErrInvalid is the one answer to every token that was not signed here,
// whatever is wrong with it.
var ErrInvalid = errors.New("token not valid")

// Claims is what a token says.
type Claims struct {
	ID   string
	Name string
	Perm api.Permission
	Ext  string
}

type payload struct {
	Name string `json:"name"`
	Perm string `json:"perm"`
	Ext  string `json:"ext"`
	jwt.RegisteredClaims
}

// Signer makes and reads tokens with one secret.
type Signer struct {
	secret []byte
	parser *jwt.Parser
}

// NewSigner takes a secret of at least 32 bytes.
func NewSigner(secret []byte) (*Signer, error) {
	if len(secret) < minSecret {
		return nil, fmt.Errorf("signing secret of %d bytes: want at least %d", len(secret), minSecret)
	}
	return &Signer{
		secret: append([]byte(nil), secret...),
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithStrictDecoding()),
	}, nil
}

// NewID draws the random id of a new token.
func NewID() (string, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("draw a token id: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// Sign makes the token of c. The same claims give the same token, so nobody
// needs to keep the text of a token to know it again.
func (s *Signer) Sign(c Claims) (string, error) {
	p := payload{Name: c.Name, Perm: string(c.Perm), Ext: c.Ext, RegisteredClaims: jwt.RegisteredClaims{ID: c.ID}}
	t, err := jwt.NewWithClaims(jwt.SigningMethodHS256, p).SignedString(s.secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	if len(t) > MaxLen {
		return "", fmt.Errorf("sign token: longer than %d bytes", MaxLen)
	}
	return t, nil
}

// Read returns what a token says, or ErrInvalid. Signatures are compared in
// constant time.
func (s *Signer) Read(t string) (Claims, error) {
	if !Canonical(t) {
		return Claims{}, ErrInvalid
	}
	var p payload
	if _, err := s.parser.ParseWithClaims(t, &p, func(*jwt.Token) (any, error) { return s.secret, nil }); err != nil {
		return Claims{}, ErrInvalid
	}
	perm, err := api.ParsePermission(p.Perm)
	if err != nil || p.ID == "" {
		return Claims{}, ErrInvalid
	}
	return Claims{ID: p.ID, Name: p.Name, Perm: perm, Ext: p.Ext}, nil
}

// Canonical tells whether a text has a token's alphabet and length. Go's base64
// skips line ends, so that without this a token would have many spellings.
func Canonical(t string) bool {
	for _, c := range []byte(t) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return len(t) <= MaxLen
}

// HashID is the id of a token that was not made by a Signer: the original's
// tokens carry none. It tells nothing about the token.
func HashID(t string) string {
	h := sha256.Sum256([]byte(t))
	return "sha256-" + hex.EncodeToString(h[:])
}

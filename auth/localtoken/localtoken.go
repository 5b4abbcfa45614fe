// Package localtoken makes and checks the tokens that a daemon gives out for its own API: JWTs signed with a secret in
// its directory, carrying the list of permissions (auth-wallet-messager.md 0). They are not the tokens of venus-auth.
//
// Start reading at Open. Invariants: only HS256 with the daemon's own secret is accepted; every refusal is the same
// error, whatever was wrong with the token.
package localtoken

import (
	"context"
	"fmt"

	"github.com/golang-jwt/jwt/v5"

	"github.com/filecoin-venus/venus/api"
	authtoken "github.com/filecoin-venus/venus/auth/token"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
)

// Issuer holds the secret of one daemon.
type Issuer struct{ secret []byte }

// claims is the payload.
type claims struct {
	Allow []api.Permission `json:"Allow"`
	Name  string           `json:"Name,omitempty"`
	jwt.RegisteredClaims
}

// Open takes the secret of a daemon's directory, made on first use, and makes sure that the directory holds an admin
// token (0600) for the local command line.
func Open(r *repo.Repo) (*Issuer, error) {
	secret, err := r.Secret()
	if err != nil {
		return nil, err
	}
	i := &Issuer{secret: secret}
	if have, err := r.Token(); err == nil {
		if _, err := i.Verify(have); err == nil {
			return i, nil
		}
	}
	t, err := i.New(api.AllPermissions())
	if err != nil {
		return nil, err
	}
	if err := r.SetToken(string(t)); err != nil {
		return nil, fmt.Errorf("keep the local admin token: %w", err)
	}
	return i, nil
}

// Unnamed is the name of callers whose token has none.
const Unnamed = "local token"

// New makes a token of exactly these permissions. It does not expire.
func (i *Issuer) New(perms []api.Permission) ([]byte, error) { return i.NewNamed("", perms) }

// NewNamed makes a token with a name, for services that tell their callers apart.
func (i *Issuer) NewNamed(name string, perms []api.Permission) ([]byte, error) {
	t, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{Allow: perms, Name: name}).SignedString(i.secret)
	if err != nil {
		return nil, fmt.Errorf("make token: %w", err)
	}
	return []byte(t), nil
}

// Verify returns the permissions of a token, or rpc.ErrBadToken.
func (i *Issuer) Verify(token string) ([]api.Permission, error) {
	c, err := i.read(token)
	return c.Allow, err
}

func (i *Issuer) read(token string) (c claims, err error) {
	if !authtoken.Canonical(token) {
		return claims{}, rpc.ErrBadToken
	}
	_, err = jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return i.secret, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithStrictDecoding())
	if err != nil {
		return claims{}, rpc.ErrBadToken
	}
	for _, p := range c.Allow {
		if _, err := api.ParsePermission(string(p)); err != nil {
			return claims{}, rpc.ErrBadToken
		}
	}
	return c, nil
}

// Verifier serves an rpc.Server.
func (i *Issuer) Verifier(_ context.Context, token string) (rpc.Caller, error) {
	c, err := i.read(token)
	if err != nil {
		return rpc.Caller{}, err
	}
	if c.Name == "" {
		c.Name = Unnamed
	}
	return rpc.Caller{Name: c.Name, Perms: c.Allow}, nil
}

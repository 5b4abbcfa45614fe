// Package remote lets a daemon ask venus-auth about tokens.
//
// Start reading at [Verifier]. Good answers are believed for less than half a second,
// and open connections are checked again as often, so a removed token works for less
// than a second; while venus-auth is away, tokens
// seen good keep working for five minutes, others are refused (rpc.Cached).
package remote

import (
	"context"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/rpc"
)

// Verifier asks the venus-auth at url, in any form that rpc.ParseEndpoint
// takes. Combine it with the daemon's own tokens through rpc.FirstOf. The
// returned function frees its connections.
func Verifier(url string, clk clock.Clock) (rpc.Verifier, func(), error) {
	base, err := rpc.ParseEndpoint(url, "/")
	if err != nil {
		return nil, nil, err
	}
	c, err := authapi.New(base, "")
	if err != nil {
		return nil, nil, err
	}
	ask := func(ctx context.Context, token string) (rpc.Caller, error) {
		id, err := c.Verify(ctx, token)
		if err != nil {
			switch api.Explain(err).Code {
			case api.CodeUnauthenticated, api.CodeInvalid:
				return rpc.Caller{}, rpc.ErrBadToken
			case api.CodeLimit:
				// It will not say, for a while: the token may be good.
				return rpc.Caller{}, api.Errorf(api.CodeUnavailable, "venus-auth hears too many wrong tokens from this machine")
			}
			return rpc.Caller{}, err
		}
		return rpc.Caller{Name: id.Name, Perms: api.Permission(id.Perm).Expand(), Scope: id.Scope, Limits: id.Limits}, nil
	}
	return rpc.Cached(ask, clk), c.Close, nil
}

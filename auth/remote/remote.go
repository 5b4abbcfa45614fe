// Package remote lets a daemon ask venus-auth about tokens.
//
// Start reading at [Verifier]. Good answers are believed for one second, so a
// removed token works no longer than that; while venus-auth is away, tokens
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
			if code := api.Explain(err).Code; code == api.CodeUnauthenticated || code == api.CodeInvalid {
				return rpc.Caller{}, rpc.ErrBadToken
			}
			return rpc.Caller{}, err
		}
		return rpc.Caller{Name: id.Name, Perms: api.Permission(id.Perm).Expand()}, nil
	}
	return rpc.Cached(ask, clk), c.Close, nil
}

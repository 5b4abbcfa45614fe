// Command venus-auth gives out the tokens of a cluster and checks them. The
// service is package auth, its commands are package cli/auth.
package main

import (
	"context"

	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/badgerstore"
	cliauth "github.com/filecoin-venus/venus/cli/auth"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
)

func main() {
	render.Main(cliauth.App(run))
}

func run(ctx context.Context, p *render.Printer, o cliauth.RunOptions) error {
	return auth.Run(ctx, auth.Options{
		Repo: o.Repo, Config: o.Config, Listen: o.Listen, Clock: clock.Real(),
		OpenStore: func(dir string) (auth.Store, error) { return badgerstore.Open(dir) },
		Ready: func(s auth.Started) {
			for _, w := range s.Warnings {
				p.Warn("%s", w)
			}
			p.Line("server start and listen on %s", s.API)
			p.Fields("  folder", s.Repo, "  configuration", s.Config, "  admin token in", s.TokenFile, "  next", "venus-auth genToken --perm admin NAME")
		},
	})
}

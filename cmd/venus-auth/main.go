// Command venus-auth gives out the tokens of a cluster and checks them. The
// service is package auth, its commands are package cli/auth.
package main

import (
	"context"

	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/stores"
	cliauth "github.com/filecoin-venus/venus/cli/auth"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
)

func main() {
	render.Main(cliauth.App(cliauth.Program{Run: run, Migrate: migrate}))
}

func options(o cliauth.RunOptions) auth.Options {
	return auth.Options{Repo: o.Repo, Config: o.Config, Listen: o.Listen, Clock: clock.Real(), OpenStore: stores.Open}
}

func run(ctx context.Context, p *render.Printer, o cliauth.RunOptions) error {
	opts := options(o)
	opts.Ready = func(s auth.Started) {
		for _, w := range s.Warnings {
			p.Warn("%s", w)
		}
		p.Line("server start and listen on %s", s.API)
		p.Fields("  folder", s.Repo, "  configuration", s.Config, "  admin token in", s.TokenFile, "  next", "venus-auth genToken --perm admin NAME")
	}
	return auth.Run(ctx, opts)
}

func migrate(ctx context.Context, p *render.Printer, o cliauth.RunOptions, to string) error {
	m, err := auth.Migrate(ctx, options(o), to)
	if err != nil {
		return err
	}
	return p.Result(m, func() {
		p.Line("%d tokens, %d users and %d audit entries are in %s now, compared one by one; the configuration names it", m.Tokens, m.Users, m.Entries, to)
	})
}

package auth

import (
	"context"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
)

const (
	// patience is how long a command waits for a service that was started a
	// moment ago, as the guide's first two commands do.
	patience = 10 * time.Second
	retry    = 100 * time.Millisecond
)

// dial finds the service and the admin token: those of --auth-url and
// --token-file, or of the local directory.
func dial(ctx context.Context, cmd *cli.Command) (*authapi.Client, *render.Printer, error) {
	p := render.From(cmd)
	if u := cmd.String("auth-url"); u != "" {
		c, err := remoteClient(u, cmd.String("token-file"))
		return c, p, err
	}
	clk := clock.Real()
	deadline := clk.Now().Add(patience)
	for said := false; ; {
		c, err := localClient(ctx, cmd.String("repo"))
		if err == nil {
			return c, p, nil
		}
		if !clk.Now().Before(deadline) {
			return nil, p, err
		}
		if !said {
			p.Note("waiting for venus-auth to start ...")
			said = true
		}
		if err := clk.Sleep(ctx, retry); err != nil {
			return nil, p, err
		}
	}
}

func localClient(ctx context.Context, dir string) (*authapi.Client, error) {
	fail := func(err error) error {
		return api.Errorf(api.CodeUnavailable, "no venus-auth runs from %s: %w", dir, err).
			WithHint("start it with `venus-auth run`, or choose its folder with --repo")
	}
	r, err := repo.Read(dir)
	if err != nil {
		return nil, fail(err)
	}
	maddr, token, err := connect.Running(r)
	if err != nil {
		return nil, fail(err)
	}
	base, err := rpc.ParseEndpoint(maddr, "/")
	if err != nil {
		return nil, fail(err)
	}
	c, err := authapi.New(base, token)
	if err != nil {
		return nil, err
	}
	if err := c.Healthy(ctx); err != nil {
		c.Close()
		return nil, fail(err)
	}
	return c, nil
}

func remoteClient(u, tokenFile string) (*authapi.Client, error) {
	base, err := rpc.ParseEndpoint(u, "/")
	if err != nil {
		return nil, err
	}
	if tokenFile == "" {
		return nil, render.Usage("managing the service at %s needs an admin token", base).WithHint("pass the file that holds it with --token-file")
	}
	token, err := connect.SecretFile("token-file", tokenFile)
	if err != nil {
		return nil, err
	}
	return authapi.New(base, token)
}

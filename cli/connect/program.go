// Package connect is what the command lines share besides output: they find the
// running daemon, read addresses and secrets from their arguments, and have the
// same commands for log levels and tokens.
//
// Start at [Program]. A command of a Program talks to the daemon that runs from
// its directory, with the admin token that lies there for the same machine.
package connect

import (
	"context"
	"errors"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
)

// Client is a generated client of a daemon.
type Client interface {
	api.Common
	api.Auth
}

// Program is a daemon as its commands see it. C is a pointer to its generated
// proxy.
type Program[C Client] struct {
	// Name is how error messages call it, such as venus-wallet.
	Name string
	// New makes an empty client; Namespace and Path ("" = rpc.DefaultPath) are
	// where its methods are.
	New             func() C
	Namespace, Path string
	// Directory is the flag that names the daemon's directory. URL and Token,
	// if any, are flags that lead to a daemon elsewhere instead.
	Directory, URL, Token string
	// Start tells how to start the daemon and SetUp how to set its directory
	// up, "" = as Start; Absent, with a %s for the directory, replaces the
	// message of one that is not set up.
	Start, SetUp, Absent string
	// PrintAs sets how addresses are printed, as the directory says; nil = as
	// they are.
	PrintAs func(repo.Dir) error
	// NamedToken makes a token with a name, for daemons that tell their callers
	// apart; nil = they do not.
	NamedToken func(ctx context.Context, c C, name string, perms []api.Permission) ([]byte, error)
}

// Action is what a command does with a client.
type Action[C Client] func(ctx context.Context, cmd *cli.Command, c C, p *render.Printer) error

// Call makes a command of its arguments and its action. Arguments in brackets
// may be left out, the last one may end in "..." and be repeated.
func (g Program[C]) Call(cmd *cli.Command, args []string, act Action[C]) *cli.Command {
	cmd.ArgsUsage = strings.Join(args, " ")
	run := g.Action(act)
	cmd.Action = func(ctx context.Context, cmd *cli.Command) error {
		if err := count(cmd, args); err != nil {
			return err
		}
		return run(ctx, cmd)
	}
	return cmd
}

// Action makes an action of the command line of one that needs the daemon.
func (g Program[C]) Action(act Action[C]) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		c, _, stop, err := g.Dial(cmd)
		if err != nil {
			return err
		}
		defer stop()
		return act(ctx, cmd, c, render.From(cmd))
	}
}

func count(cmd *cli.Command, args []string) error {
	least, most := 0, len(args)
	for _, a := range args {
		if !strings.HasPrefix(a, "[") {
			least++
		}
	}
	n := cmd.Args().Len()
	if most > 0 && strings.Contains(args[most-1], "...") {
		most = max(most, n)
	}
	if n >= least && n <= most {
		return nil
	}
	what := "no arguments"
	if len(args) > 0 {
		what = strings.Join(args, " ")
	}
	return render.Usage("%s takes %s, got %d arguments", cmd.Name, what, n).
		WithHint("usage: %s", strings.TrimSpace(cmd.FullName()+" "+strings.Join(args, " ")))
}

// Dir finds the daemon's directory and prints addresses as it says.
func (g Program[C]) Dir(cmd *cli.Command) (repo.Dir, error) {
	path := cmd.String(g.Directory)
	dir, err := repo.Read(path)
	switch {
	case errors.Is(err, repo.ErrAbsent) && g.Absent != "":
		if full, xerr := repo.Expand(path); xerr == nil {
			path = full
		}
		return dir, api.Errorf(api.CodePrecondition, g.Absent, path)
	case errors.Is(err, repo.ErrAbsent) && g.SetUp != "":
		return dir, api.Errorf(api.CodePrecondition, "%w", err).WithHint("%s", g.SetUp)
	case err != nil:
		return dir, api.Errorf(api.CodePrecondition, "%w", err).WithHint("%s", g.Start)
	case g.PrintAs != nil:
		return dir, g.PrintAs(dir)
	}
	return dir, nil
}

// Dial makes a client of the daemon and returns it, the address it is at, and
// the function that ends it. Nothing is asked yet.
func (g Program[C]) Dial(cmd *cli.Command) (c C, address string, stop func(), err error) {
	var token string
	if g.URL != "" && cmd.String(g.URL) != "" {
		address, token = cmd.String(g.URL), cmd.String(g.Token)
	} else {
		dir, err := g.Dir(cmd)
		if err != nil {
			return c, "", nil, err
		}
		if address, token, err = Running(dir); err != nil {
			return c, "", nil, api.Errorf(api.CodePrecondition, "%w", err).WithHint("%s", g.Start)
		}
	}
	c = g.New()
	stop, err = rpc.Dial(address, token, g.Namespace, c, rpc.DialOptions{Service: g.Name, Path: g.Path})
	return c, address, stop, err
}

// Running returns where the daemon of a directory listens, and its token for
// the same machine.
func Running(dir repo.Dir) (address, token string, err error) {
	if address, err = dir.API(); err != nil {
		return "", "", err
	}
	token, err = dir.Token()
	return address, token, err
}

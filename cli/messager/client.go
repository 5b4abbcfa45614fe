package messager

import (
	"context"
	"strings"

	"github.com/filecoin-project/go-address"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
)

// FlagRepo names the flag for the messager's directory.
const FlagRepo = "repo"

// Env is what the commands need from the program around them.
type Env struct {
	// PrintFor sets the address prefix to that of the messager in a directory.
	PrintFor func(repo.Dir) error
}

// Commands are all commands but run.
func Commands(e Env) []*cli.Command {
	all := []*cli.Command{messages(), wallets(), addresses(), sharedParams(), nodes(), logs()}
	for _, c := range all {
		c.Before = func(ctx context.Context, cmd *cli.Command) (context.Context, error) {
			dir, err := repo.Read(cmd.String(FlagRepo))
			if err != nil {
				return ctx, api.Errorf(api.CodePrecondition, "%w", err).WithHint(startFirst)
			}
			return ctx, e.PrintFor(dir)
		}
	}
	return all
}

const startFirst = "start the messager first: venus-messager run"

// client is a connection to the running daemon.
type client struct {
	*msgapi.MessagerProxy
	close func()
}

func dial(cmd *cli.Command) (*client, error) {
	dir, err := repo.Read(cmd.String(FlagRepo))
	if err != nil {
		return nil, api.Errorf(api.CodePrecondition, "%w", err).WithHint(startFirst)
	}
	maddr, err := dir.API()
	if err != nil {
		return nil, api.Errorf(api.CodePrecondition, "%w", err).WithHint(startFirst)
	}
	token, err := dir.Token()
	if err != nil {
		return nil, api.Errorf(api.CodePrecondition, "%w", err).WithHint(startFirst)
	}
	c := &client{MessagerProxy: new(msgapi.MessagerProxy)}
	c.close, err = rpc.Dial(maddr, token, msgapi.Namespace, c.MessagerProxy, rpc.DialOptions{Service: "venus-messager"})
	return c, err
}

// action is what a command does with a connection.
type action func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error

// call makes a command of an action and of the names of its arguments.
func call(cmd *cli.Command, args []string, act action) *cli.Command {
	cmd.ArgsUsage = strings.Join(args, " ")
	cmd.Action = func(ctx context.Context, cmd *cli.Command) error {
		if n := cmd.Args().Len(); n != len(args) {
			return render.Usage("%s takes %d arguments, got %d", cmd.Name, len(args), n).WithHint("usage: %s %s", cmd.FullName(), strings.Join(args, " "))
		}
		c, err := dial(cmd)
		if err != nil {
			return err
		}
		defer c.close()
		return act(ctx, cmd, c, render.From(cmd))
	}
	return cmd
}

func parseAddress(s string) (address.Address, error) {
	a, err := address.NewFromString(s)
	if err != nil {
		return address.Undef, render.Usage("%q is no address: %s", s, err)
	}
	return a, nil
}

// onAddress is a command with one address and nothing to print but a line.
func onAddress(name, usage, done string, f func(ctx context.Context, cmd *cli.Command, c *client, a address.Address) error, flags ...cli.Flag) *cli.Command {
	return call(&cli.Command{Name: name, Usage: usage, Flags: flags}, []string{"ADDRESS"},
		func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			a, err := parseAddress(cmd.Args().First())
			if err != nil {
				return err
			}
			if err := f(ctx, cmd, c, a); err != nil {
				return err
			}
			return p.Result(map[string]any{"address": a, "done": done}, func() { p.Line("%s", done) })
		})
}

func logs() *cli.Command {
	return &cli.Command{Name: "log", Usage: "log levels of the running messager", Commands: []*cli.Command{
		call(&cli.Command{Name: "list", Usage: "print the log systems"}, nil,
			func(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
				systems, err := c.LogList(ctx)
				if err != nil {
					return err
				}
				return p.Result(systems, func() { p.Line("%s", strings.Join(systems, "\n")) })
			}),
		call(&cli.Command{Name: "set-level", Usage: "set the level of all log systems"}, []string{"LEVEL"},
			func(ctx context.Context, cmd *cli.Command, c *client, _ *render.Printer) error {
				return c.LogSetLevel(ctx, "*", cmd.Args().First())
			}),
	}}
}

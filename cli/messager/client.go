package messager

import (
	"context"
	"strings"

	"github.com/filecoin-project/go-address"
	"github.com/urfave/cli/v3"

	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/repo"
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
	all := []*cli.Command{messages(), send(), wallets(), walletAddresses(), addresses(), sharedParams(), feeRules(), nodes(), program().Logs("the running messager")}
	for _, c := range all {
		c.Before = func(ctx context.Context, cmd *cli.Command) (context.Context, error) {
			dir, err := program().Dir(cmd)
			if err != nil {
				return ctx, err
			}
			return ctx, e.PrintFor(dir)
		}
	}
	return all
}

// client asks the running daemon.
type client = msgapi.MessagerProxy

func program() connect.Program[*client] {
	return connect.Program[*client]{
		Name: "venus-messager", New: func() *client { return new(client) }, Namespace: msgapi.Namespace,
		Directory: FlagRepo, Start: "start the messager first: venus-messager run",
	}
}

func call(cmd *cli.Command, args []string, act connect.Action[*client]) *cli.Command {
	return program().Call(cmd, args, act)
}

// onAddress is a command with one address and nothing to print but a line.
func onAddress(name, usage, done string, f func(ctx context.Context, cmd *cli.Command, c *client, a address.Address) error, flags ...cli.Flag) *cli.Command {
	return call(&cli.Command{Name: name, Aliases: underscored(name), Usage: usage, Flags: flags}, []string{"ADDRESS"},
		func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			a, err := connect.Address(cmd.Args().First())
			if err != nil {
				return err
			}
			if err := f(ctx, cmd, c, a); err != nil {
				return err
			}
			return p.Result(map[string]any{"address": a, "done": done}, func() { p.Line("%s", done) })
		})
}

// underscored is a command's name as old scripts write it, none when it is the same.
func underscored(name string) []string {
	if old := strings.ReplaceAll(name, "-", "_"); old != name {
		return []string{old}
	}
	return nil
}

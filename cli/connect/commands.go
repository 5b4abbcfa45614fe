package connect

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/cli/render"
)

// Logs are the commands for log levels. what names the daemon: "the running
// wallet".
func (g Program[C]) Logs(what string) *cli.Command {
	return &cli.Command{Name: "log", Usage: "log levels of " + what, Commands: []*cli.Command{
		g.Call(&cli.Command{Name: "list", Usage: "print the log systems"}, nil,
			func(ctx context.Context, _ *cli.Command, c C, p *render.Printer) error {
				systems, err := c.LogList(ctx)
				if err != nil {
					return err
				}
				return p.Result(systems, func() { p.Line("%s", strings.Join(systems, "\n")) })
			}),
		g.Call(&cli.Command{
			Name: "set-level", Usage: "set a level, debug, info, warn or error, of all log systems or of some",
			Flags: []cli.Flag{&cli.StringSliceFlag{Name: "system", Usage: "limit to this log `SYSTEM`, may be repeated"}},
		}, []string{"LEVEL", "[SYSTEM...]"}, setLevel),
	}}
}

func setLevel[C Client](ctx context.Context, cmd *cli.Command, c C, _ *render.Printer) error {
	systems := append(cmd.StringSlice("system"), cmd.Args().Tail()...)
	if len(systems) == 0 {
		systems = []string{"*"}
	}
	for _, s := range systems {
		if err := c.LogSetLevel(ctx, s, cmd.Args().First()); err != nil {
			return fmt.Errorf("log system %s: %w", s, err)
		}
	}
	return nil
}

// Tokens are the commands that make tokens of the daemon itself.
func (g Program[C]) Tokens(usage string) *cli.Command {
	return &cli.Command{Name: "auth", Usage: usage, Commands: []*cli.Command{
		g.newToken("create-token", "print a new token", func(token, _ string) string { return token }),
		g.newToken("api-info", "print a new token with the address to use it at, TOKEN:ADDRESS",
			func(token, address string) string { return token + ":" + address }),
	}}
}

func (g Program[C]) newToken(name, usage string, form func(token, address string) string) *cli.Command {
	return &cli.Command{
		Name: name, Usage: usage,
		Flags: append([]cli.Flag{&cli.StringFlag{Name: "perm", Usage: "highest permission of the token: read, write, sign or admin"}}, g.tokenFlags()...),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := count(cmd, nil); err != nil {
				return err
			}
			if !cmd.IsSet("perm") {
				return render.Usage("--perm flag not set").WithHint("choose one of read, write, sign, admin")
			}
			perm, err := api.ParsePermission(cmd.String("perm"))
			if err != nil {
				return render.Usage("%w", err)
			}
			c, address, stop, err := g.Dial(cmd)
			if err != nil {
				return err
			}
			defer stop()
			token, err := g.makeToken(ctx, cmd, c, perm.Expand())
			if err != nil {
				return err
			}
			text := form(string(token), address)
			p := render.From(cmd)
			return p.Result(text, func() { p.Line("%s", text) })
		},
	}
}

func (g Program[C]) tokenFlags() []cli.Flag {
	if g.NamedToken == nil {
		return nil
	}
	return []cli.Flag{&cli.StringFlag{Name: "name", Usage: "a name that policies and records know the token by"}}
}

func (g Program[C]) makeToken(ctx context.Context, cmd *cli.Command, c C, perms []api.Permission) ([]byte, error) {
	if g.NamedToken == nil || cmd.String("name") == "" {
		return c.AuthNew(ctx, perms)
	}
	return g.NamedToken(ctx, c, cmd.String("name"), perms)
}

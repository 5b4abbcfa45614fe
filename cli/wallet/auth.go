package wallet

import (
	"context"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
)

func permFlag() []cli.Flag {
	return []cli.Flag{&cli.StringFlag{Name: "perm", Usage: "highest permission of the token: read, write, sign or admin"}}
}

func newToken(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
	if !cmd.IsSet("perm") {
		return "", api.Errorf(api.CodeInvalid, "--perm flag not set").WithHint("choose one of read, write, sign, admin")
	}
	p, err := api.ParsePermission(cmd.String("perm"))
	if err != nil {
		return "", api.Errorf(api.CodeInvalid, "%w", err)
	}
	t, err := w.AuthNew(ctx, p.Expand())
	return string(t), err
}

func (e Env) auth() *cli.Command {
	return &cli.Command{Name: "auth", Usage: "tokens for other programs", Commands: []*cli.Command{
		e.call(&cli.Command{Name: "create-token", Usage: "print a new token", Flags: permFlag()}, newToken),
		e.call(&cli.Command{Name: "api-info", Usage: "print a new token with the address to use it at, TOKEN:ADDRESS", Flags: permFlag()},
			func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
				t, err := newToken(ctx, cmd, w)
				return t + ":" + w.maddr, err
			}),
	}}
}

func (e Env) logs() *cli.Command {
	return &cli.Command{Name: "log", Usage: "log levels of the running wallet", Commands: []*cli.Command{
		e.call(&cli.Command{Name: "list", Usage: "print the log systems"},
			func(ctx context.Context, _ *cli.Command, w *client) (string, error) {
				systems, err := w.LogList(ctx)
				return strings.Join(systems, "\n"), err
			}),
		e.call(&cli.Command{
			Name: "set-level", Usage: "set the level of log systems", ArgsUsage: "LEVEL",
			Flags: []cli.Flag{&cli.StringSliceFlag{Name: "system", Usage: "limit to this log system, may be repeated"}},
		}, func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
			a, err := args(cmd, "LEVEL")
			if err != nil {
				return "", err
			}
			systems := cmd.StringSlice("system")
			if len(systems) == 0 {
				systems = []string{"*"}
			}
			for _, s := range systems {
				if err := w.LogSetLevel(ctx, s, a[0]); err != nil {
					return "", err
				}
			}
			return "", nil
		}),
	}}
}

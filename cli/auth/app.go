package auth

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/cli/render"
)

// RunOptions are what the command line says about a daemon.
type RunOptions struct {
	Repo, Config, Listen string
}

// Program is what the commands start.
type Program struct {
	// Run starts the daemon and returns when it ends.
	Run func(ctx context.Context, p *render.Printer, o RunOptions) error
	// Migrate moves what a stopped daemon keeps into another kind of database.
	Migrate func(ctx context.Context, p *render.Printer, o RunOptions, to string) error
}

// App is the program venus-auth.
func App(prog Program) *cli.Command {
	start := func(ctx context.Context, cmd *cli.Command) error {
		if cmd.Args().Len() > 0 {
			return render.Usage("venus-auth has no command %q", cmd.Args().First()).WithHint("run `venus-auth --help` for the commands")
		}
		o := RunOptions{Repo: cmd.String("repo"), Config: cmd.String("config"), Listen: cmd.String("listen")}
		return prog.Run(ctx, render.From(cmd), o)
	}
	listen := &cli.StringFlag{Name: "listen", Usage: "listen on this address instead of the configured one"}
	gen := genCommand("genToken", "generate")
	nested := genCommand("gen", "add", "generate")
	return &cli.Command{
		Name:  "venus-auth",
		Usage: "gives out and checks the tokens of a cluster; without a command it runs the service",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "repo", Usage: "folder of the service", Value: "~/.venus-auth", Sources: cli.EnvVars("VENUS_AUTH_PATH", "OAUTH_HOME")},
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "configuration file (default: config.toml in the folder)"},
			&cli.StringFlag{Name: "auth-url", Usage: "manage the service at this URL instead of the local one", Sources: cli.EnvVars("VENUS_AUTH_URL")},
			&cli.StringFlag{Name: "token-file", Usage: "file with the admin token for --auth-url", Sources: cli.EnvVars("VENUS_AUTH_TOKEN_FILE")},
			listen,
		},
		Action: start,
		Commands: []*cli.Command{
			{Name: "run", Usage: "run the service", Action: start},
			gen,
			hidden(listCommand("tokens", "listTokens")),
			hidden(removeCommand("rmToken")),
			{
				Name: "token", Usage: "make, list, remove, recover and rotate tokens",
				Commands: []*cli.Command{nested, listCommand("list", "ls"), removeCommand("remove", "rm"), recoverCommand("recover"), rotateCommand()},
			},
			userCommand(),
			auditCommand(),
			{
				Name: "migrate", Usage: "move tokens, users and audit log into the other kind of database; stop the service first",
				Flags: []cli.Flag{&cli.StringFlag{Name: "to", Usage: "badger or mysql", Required: true}},
				Action: func(ctx context.Context, cmd *cli.Command) error {
					o := RunOptions{Repo: cmd.String("repo"), Config: cmd.String("config")}
					return prog.Migrate(ctx, render.From(cmd), o, cmd.String("to"))
				},
			},
		},
	}
}

// hidden keeps an old name working without listing it.
func hidden(c *cli.Command) *cli.Command {
	c.Hidden = true
	return c
}

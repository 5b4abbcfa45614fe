// Command venus-miner makes the blocks of any number of miners. `init` sets it up, `run` is the daemon; every other
// command talks to it.
package main

import (
	"context"

	logging "github.com/ipfs/go-log/v2"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/cli/connect"
	minercli "github.com/filecoin-venus/venus/cli/miner"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/mining"
)

const version = "1.0.0"

func main() { render.Main(app()) }

func app() *cli.Command {
	return &cli.Command{
		Name: "venus-miner", Usage: "block production for a Filecoin cluster", Version: version,
		Flags: []cli.Flag{&cli.StringFlag{
			Name: minercli.FlagRepo, Aliases: []string{"miner-repo", "storagerepo"}, Value: mining.DefaultRepo, Sources: cli.EnvVars(mining.PathEnv),
			Usage: "the `DIR`ectory",
		}},
		Commands: append([]*cli.Command{initCommand(), runCommand()}, minercli.Commands(minercli.Env{PrintFor: mining.PrintFor})...),
	}
}

func initCommand() *cli.Command {
	return &cli.Command{
		Name: "init", Usage: "set up the directory for a node",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "api", Usage: "where the node listens, /ip4/1.2.3.4/tcp/3453", Required: true},
			&cli.StringFlag{Name: "token", Usage: "a token of venus-auth for this program, or @FILE", Sources: cli.EnvVars("VENUS_MINER_NODE_TOKEN"), Required: true},
			&cli.StringFlag{Name: "listen", Usage: "the `multiaddr` to listen on", Value: mining.DefaultListen},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			_ = logging.SetLogLevel("*", "info") // "info" exists
			token, err := connect.Secret("token", cmd.String("token"))
			if err != nil {
				return err
			}
			return mining.Init(ctx, mining.InitOptions{
				Repo: cmd.String(minercli.FlagRepo), API: cmd.String("api"), Token: token, Listen: cmd.String("listen"),
			})
		},
	}
}

func runCommand() *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "mine until interrupted",
		Flags: []cli.Flag{&cli.StringFlag{Name: "miner-api", Usage: "listen on this `multiaddr` instead of the configured one"}},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			_ = logging.SetLogLevel("*", "info") // "info" exists
			return mining.Run(ctx, mining.Options{
				Repo: cmd.String(minercli.FlagRepo), API: cmd.String("miner-api"), Version: version, Clock: clock.Real(),
			})
		},
	}
}

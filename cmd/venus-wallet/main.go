// Command venus-wallet holds keys and signs with them for the other programs of a cluster. `run` is the daemon; every
// other command talks to it.
package main

import (
	"context"

	logging "github.com/ipfs/go-log/v2"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/cli/render"
	walletcli "github.com/filecoin-venus/venus/cli/wallet"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/wallet"
)

const version = "1.0.0"

func main() { render.Main(app()) }

func app() *cli.Command {
	return &cli.Command{
		Name: "venus-wallet", Usage: "keys and signatures for a Filecoin cluster", Version: version,
		Flags: []cli.Flag{&cli.StringFlag{
			Name: walletcli.FlagRepo, Value: wallet.DefaultRepo, Sources: cli.EnvVars(wallet.PathEnv), Usage: "the wallet's `DIR`ectory",
		}},
		Commands: append([]*cli.Command{runCommand()}, walletcli.Commands(walletcli.Env{PrintFor: wallet.PrintFor})...),
	}
}

func runCommand() *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "serve until interrupted",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "network", Usage: "print addresses as on this network: its name, test, main, or a network file"},
			&cli.StringFlag{Name: "api", Usage: "listen on this `PORT or multiaddr` instead of the configured one"},
		}, walletcli.PasswordFlags()...),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			_ = logging.SetLogLevel("*", "info") // "info" exists
			password, err := walletcli.GivenPassword(cmd)
			if err != nil {
				return err
			}
			return wallet.Run(ctx, wallet.Options{
				Repo: cmd.String(walletcli.FlagRepo), API: cmd.String("api"), Network: cmd.String("network"),
				Password: password, Version: version, Clock: clock.Real(),
			})
		},
	}
}

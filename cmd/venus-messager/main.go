// Command venus-messager delivers the messages of a cluster: it gives them nonce
// and gas, has a wallet sign them and follows them until they are on the chain.
// `run` is the daemon; every other command talks to it.
package main

import (
	"context"

	logging "github.com/ipfs/go-log/v2"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/cli/connect"
	msgcli "github.com/filecoin-venus/venus/cli/messager"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/messager"
)

const version = "1.0.0"

func main() { render.Main(app()) }

func app() *cli.Command {
	return &cli.Command{
		Name: "venus-messager", Usage: "message delivery for a Filecoin cluster", Version: version,
		Flags: []cli.Flag{&cli.StringFlag{
			Name: msgcli.FlagRepo, Value: messager.DefaultRepo, Sources: cli.EnvVars(messager.PathEnv), Usage: "the messager's `DIR`ectory",
		}},
		Commands: append([]*cli.Command{runCommand()}, msgcli.Commands(msgcli.Env{PrintFor: messager.PrintFor})...),
	}
}

func runCommand() *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "serve until interrupted",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "auth-url", Usage: "where venus-auth listens, http://1.2.3.4:8989"},
			&cli.StringFlag{Name: "node-url", Usage: "where the venus node listens, /ip4/1.2.3.4/tcp/3453"},
			&cli.StringFlag{Name: "node-token", Usage: "the node's token of this messager, or @FILE", Sources: cli.EnvVars("VENUS_MESSAGER_NODE_TOKEN")},
			&cli.StringFlag{Name: "node-token-file", Usage: "read the node's token from this `FILE`"},
			&cli.StringFlag{Name: "db-type", Usage: "sqlite (default) or mysql"},
			&cli.StringFlag{Name: "mysql-dsn", Usage: "user:password@tcp(host:3306)/database?parseTime=true", Sources: cli.EnvVars("VENUS_MESSAGER_MYSQL_DSN")},
			&cli.StringFlag{Name: "listen", Usage: "listen on this `multiaddr` instead of the configured one"},
		},
		Action: run,
	}
}

func run(ctx context.Context, cmd *cli.Command) error {
	_ = logging.SetLogLevel("*", "info") // "info" exists
	var c messager.Config
	c.API.ListenAddress = cmd.String("listen")
	c.Auth.URL = cmd.String("auth-url")
	c.Node.URL = cmd.String("node-url")
	c.DB.Type, c.DB.DSN = cmd.String("db-type"), cmd.String("mysql-dsn")
	var err error
	if c.Node.Token, err = connect.Given(cmd, "node-token"); err != nil {
		return err
	}
	return messager.Run(ctx, messager.DaemonOptions{Repo: cmd.String(msgcli.FlagRepo), Config: c, Version: version, Clock: clock.Real()})
}

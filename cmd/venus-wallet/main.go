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
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/wallet"
	"github.com/filecoin-venus/venus/wallet/signlog"
)

const version = "1.0.0"

func main() { render.Main(app()) }

func app() *cli.Command {
	return &cli.Command{
		Name: "venus-wallet", Usage: "keys and signatures for a Filecoin cluster", Version: version,
		Flags: []cli.Flag{&cli.StringFlag{
			Name: walletcli.FlagRepo, Value: wallet.DefaultRepo, Sources: cli.EnvVars(wallet.PathEnv), Usage: "the wallet's `DIR`ectory",
		}},
		Commands: append([]*cli.Command{runCommand(), auditCommand()}, walletcli.Commands(walletcli.Env{PrintFor: wallet.PrintFor})...),
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

// auditCommand reads the files of the signature log, with or without a running wallet.
func auditCommand() *cli.Command {
	return &cli.Command{
		Name: "audit", Usage: "show what was signed and what was refused",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "limit", Value: 20, Usage: "at most this many, the newest"},
			&cli.BoolFlag{Name: "verify", Usage: "check the whole log for removed or altered records"},
		},
		Action: func(_ context.Context, cmd *cli.Command) error {
			dir, err := repo.Read(cmd.String(walletcli.FlagRepo))
			if err != nil {
				return err
			}
			if err := wallet.PrintFor(dir); err != nil {
				return err
			}
			if cmd.Bool("verify") {
				n, err := signlog.Verify(wallet.SignLog(dir))
				if err != nil {
					return err
				}
				render.From(cmd).Line("%d records, none missing, none altered", n)
				return nil
			}
			records, err := signlog.Read(wallet.SignLog(dir), cmd.Int("limit"))
			if err != nil {
				return err
			}
			return walletcli.PrintAudit(render.From(cmd), rows(records), records)
		},
	}
}

func rows(records []signlog.Record) []walletcli.AuditRow {
	out := make([]walletcli.AuditRow, len(records))
	for i, r := range records {
		out[i] = walletcli.AuditRow{
			Seq: r.Seq, Time: r.Time, Decision: string(r.Decision), Type: r.Type, Signer: r.Signer, Facts: r.Facts, Reason: r.Reason,
		}
	}
	return out
}

// Command venus-wallet holds keys and signs with them for the other programs of a cluster. `run` is the daemon; every
// other command talks to it.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/filecoin-project/go-address"
	logging "github.com/ipfs/go-log/v2"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/cli/render"
	walletcli "github.com/filecoin-venus/venus/cli/wallet"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/memory"
	"github.com/filecoin-venus/venus/internal/procs"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/wallet"
	"github.com/filecoin-venus/venus/wallet/backup"
	"github.com/filecoin-venus/venus/wallet/keystore"
	"github.com/filecoin-venus/venus/wallet/policy"
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
		Commands: append([]*cli.Command{runCommand(), auditCommand(), backupCommand(), restoreCommand()},
			walletcli.Commands(walletcli.Env{PrintFor: wallet.PrintFor, ParseMethod: policy.ParseMethod})...),
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
			memory.RelaxFew()
			procs.More()
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
			&cli.IntFlag{Name: "skip", Usage: "leave out this many of the newest"},
			&cli.StringFlag{Name: "signer", Usage: "only of this `ADDRESS`"},
			&cli.StringFlag{Name: "type", Usage: "only of this type, such as message or block"},
			&cli.StringFlag{Name: "decision", Usage: "only signed, refused or done"},
			&cli.StringFlag{Name: "token", Usage: "only for the token of this name"},
			&cli.TimestampFlag{Name: "since", Usage: "from this time on, such as 2026-01-02T15:04:05Z", Config: cli.TimestampConfig{Layouts: layouts()}},
			&cli.TimestampFlag{Name: "until", Usage: "before this time", Config: cli.TimestampConfig{Layouts: layouts()}},
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
			q, err := auditQuery(cmd)
			if err != nil {
				return err
			}
			records, err := signlog.Find(wallet.SignLog(dir), q)
			if err != nil {
				return err
			}
			slices.Reverse(records)
			return walletcli.PrintAudit(render.From(cmd), rows(records), records)
		},
	}
}

func layouts() []string { return []string{time.RFC3339, time.DateTime, time.DateOnly} }

func auditQuery(cmd *cli.Command) (signlog.Query, error) {
	q := signlog.Query{
		Type: cmd.String("type"), Token: cmd.String("token"), Decision: signlog.Decision(cmd.String("decision")),
		Since: cmd.Timestamp("since"), Until: cmd.Timestamp("until"), Skip: cmd.Int("skip"), Limit: cmd.Int("limit"),
	}
	if s := cmd.String("signer"); s != "" {
		a, err := address.NewFromString(s)
		if err != nil {
			return q, render.Usage("%q is no address", s)
		}
		q.Signer = hex.EncodeToString(a.Bytes())
	}
	return q, nil
}

// backupCommand reads the wallet's files, with or without a running wallet.
func backupCommand() *cli.Command {
	return &cli.Command{
		Name: "backup", Usage: "write keys, policies and the memory of signed blocks into one encrypted file, under a password of its own", ArgsUsage: "FILE",
		Flags: append(walletcli.PasswordFlags(), &cli.BoolFlag{Name: "check", Usage: "open a backup and tell what is in it instead"}),
		Action: func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Len() != 1 {
				return render.Usage("name the file of the backup")
			}
			password, err := walletcli.AskPassword(cmd, "Password of the backup:", !cmd.Bool("check"))
			if err != nil {
				return err
			}
			defer clear(password)
			var s backup.Summary
			if cmd.Bool("check") {
				s, err = backup.Check(cmd.Args().First(), password)
			} else {
				var dir repo.Dir
				if dir, err = repo.Read(cmd.String(walletcli.FlagRepo)); err != nil {
					return err
				}
				s, err = backup.Write(dir.Root(), cmd.Args().First(), password, keystore.DefaultParams, clock.Real())
			}
			if err != nil {
				return err
			}
			return render.From(cmd).Result(s, func() {
				render.From(cmd).Line("%d keys in %s, made %s, read back and opened", s.Keys, cmd.Args().First(), s.Made.Local().Format(time.DateTime))
			})
		},
	}
}

func restoreCommand() *cli.Command {
	return &cli.Command{
		Name: "restore", Usage: "make a wallet out of a backup, in an empty directory; the keys keep the wallet's password", ArgsUsage: "FILE",
		Flags: walletcli.PasswordFlags(),
		Action: func(_ context.Context, cmd *cli.Command) (err error) {
			if cmd.Args().Len() != 1 {
				return render.Usage("name the file of the backup")
			}
			password, err := walletcli.AskPassword(cmd, "Password of the backup:", false)
			if err != nil {
				return err
			}
			defer clear(password)
			dir, err := repo.Open(cmd.String(walletcli.FlagRepo))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, dir.Close()) }()
			s, err := backup.Restore(dir.Root(), cmd.Args().First(), password, clock.Real())
			if err != nil {
				return err
			}
			return render.From(cmd).Result(s, func() {
				p := render.From(cmd)
				p.Line("%d keys restored into %s", s.Keys, dir.Root())
				p.Note("the wallet they come from must not sign blocks any more; this one signs none of a time before now")
			})
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

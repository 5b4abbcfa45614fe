package sealer

import (
	"context"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v3"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/repo"
)

func backupCommand(d Deps) *cli.Command {
	return &cli.Command{
		Name: "backup", Usage: "save what the running sealer knows to a new file of its machine", ArgsUsage: "FILE",
		Description: "The file holds the database at one moment and the settings, tokens included, but no sector files. Only its owner can read it.",
		Action: action(d, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			file, err := oneFile(cmd)
			if err != nil {
				return err
			}
			rep, err := c.CreateBackup(ctx, file)
			if err != nil {
				return err
			}
			return p.Result(rep, func() { printReport(p, rep) })
		}),
	}
}

func restoreCommand(d Deps) *cli.Command {
	return &cli.Command{
		Name: "restore", Usage: "bring a backup into a directory (--data) that holds no sectors", ArgsUsage: "FILE",
		Description: "The whole file is verified first, and what was written is compared with it. Nothing is overwritten. The next run reserves all sector numbers that may have been used since the backup.",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "check", Usage: "only verify the file"}},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			file, err := oneFile(cmd)
			if err != nil {
				return err
			}
			p := render.From(cmd)
			rep, err := d.Restore(ctx, cmd.String(FlagData), file, cmd.Bool("check"))
			if err != nil {
				return err
			}
			return p.Result(rep, func() {
				printReport(p, rep)
				if cmd.Bool("check") {
					p.Note("the backup is whole")
					return
				}
				p.Note("restored; attach the storage paths if they moved, then start it: venus-sealer run. 'sectors unknown' lists what the chain has and the backup did not")
			})
		},
	}
}

// oneFile reads the only argument of a command as an absolute path.
func oneFile(cmd *cli.Command) (string, error) {
	if cmd.Args().Len() != 1 {
		return "", render.Usage("name one file: %s FILE", cmd.FullName())
	}
	file, err := repo.Expand(cmd.Args().First())
	if err != nil {
		return "", err
	}
	return filepath.Abs(file)
}

func printReport(p *render.Printer, r *sealerapi.BackupReport) {
	p.Line("Miner:    %s", r.Miner)
	p.Line("Made:     %s UTC", r.At.UTC().Format(time.DateTime))
	p.Line("Sectors:  %d", r.Sectors)
	p.Line("Files:    %v", r.Files)
	p.Line("Size:     %s", render.SizeUint(uint64(r.Bytes)))
	p.Line("SHA-256:  %s", r.SHA256)
}

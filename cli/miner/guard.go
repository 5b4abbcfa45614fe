package miner

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

func (e Env) guard() *cli.Command {
	return &cli.Command{Name: "guard", Usage: "the record of signed blocks, which keeps miners from being slashed", Commands: []*cli.Command{
		e.guardShow(), e.guardExport(), e.guardImport(),
	}}
}

func (e Env) guardShow() *cli.Command {
	return e.call(&cli.Command{Name: "show", Usage: "tell up to which epoch nothing is signed, and why"}, []string{"[ADDRESS...]"},
		func(ctx context.Context, cmd *cli.Command, m *client, p *render.Printer) error {
			addrs, err := connect.Addresses(cmd.Args().Slice())
			if err != nil {
				return err
			}
			list, err := m.GuardStatus(ctx, addrs)
			if err != nil {
				return err
			}
			return p.Result(list, func() {
				t := render.NewTable("Miner", ">Last", ">Floor", "Why", "Used")
				for _, s := range list {
					used := "never"
					if !s.Alive.IsZero() {
						used = s.Alive.UTC().Format(time.RFC3339)
					}
					t.Row(s.Addr, s.Last, s.Floor, s.FloorWhy, used)
				}
				p.Table(t)
			})
		})
}

func (e Env) guardExport() *cli.Command {
	return e.call(&cli.Command{
		Name: "export", Usage: "write the record of miners, or of all; stop them first when they are to move",
		Flags: []cli.Flag{&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write to this `FILE`, which must not exist, instead of standard output"}},
	}, []string{"[ADDRESS...]"}, func(ctx context.Context, cmd *cli.Command, m *client, p *render.Printer) error {
		addrs, err := connect.Addresses(cmd.Args().Slice())
		if err != nil {
			return err
		}
		raw, err := m.GuardExport(ctx, addrs)
		if err != nil {
			return err
		}
		out := cmd.String("out")
		if out == "" {
			return p.Value(raw)
		}
		if _, err := os.Stat(out); err == nil {
			return render.Usage("%s exists already", out).WithHint("choose another file")
		}
		var b bytes.Buffer
		if err := json.Indent(&b, raw, "", "\t"); err != nil {
			return fmt.Errorf("the daemon sent no JSON: %w", err)
		}
		if err := fsutil.WriteFileAtomic(out, append(b.Bytes(), '\n'), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", out, err)
		}
		p.Note("wrote %s", out)
		return nil
	})
}

func (e Env) guardImport() *cli.Command {
	return e.call(&cli.Command{Name: "import", Usage: "join an exported record with the one here; nothing is signed until a little above the present epoch"}, []string{"FILE"},
		func(ctx context.Context, cmd *cli.Command, m *client, p *render.Printer) error {
			raw, err := os.ReadFile(cmd.Args().First())
			if err != nil {
				return fmt.Errorf("read the record: %w", err)
			}
			if !json.Valid(raw) {
				return render.Usage("%s is not JSON", cmd.Args().First()).WithHint("give a file that `venus-miner guard export` wrote")
			}
			got, err := m.GuardImport(ctx, raw)
			if err != nil {
				return err
			}
			return p.Result(got, func() {
				p.Line("imported %d blocks of %d miners; nothing is signed up to epoch %d", got.Blocks, len(got.Miners), got.Floor)
			})
		})
}

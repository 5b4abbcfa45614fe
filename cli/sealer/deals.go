package sealer

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
)

func dealsCommand(d Deps) *cli.Command {
	return &cli.Command{Name: "deals", Usage: "bring the data of deals, for sectors that have none", Commands: []*cli.Command{
		{
			Name: "import", Usage: "take the data of a deal in", ArgsUsage: "DEALID FILE",
			Description: "The deal must be on the chain and the file be the one that its client gave: its piece commitment is computed while it is copied to a storage path. FILE lies on the sealer's machine. Ending this command does not end the copying.",
			Action:      action(d, importDeal),
		},
		{Name: "list", Usage: "deals whose data was brought, and their sectors", Action: action(d, func(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
			list, err := c.DealsList(ctx)
			if err != nil {
				return err
			}
			return p.Result(list, func() { printDeals(p, list) })
		})},
	}}
}

func printDeals(p *render.Printer, list []sealerapi.DealInfo) {
	if len(list) == 0 {
		p.Line("No data of deals was brought.")
		return
	}
	t := render.NewTable(">Deal", "State", ">Piece", "Start", ">End", "Sector", "Error")
	for _, i := range list {
		in := "-"
		if i.Sector != nil {
			in = fmt.Sprintf("%d (%s)", *i.Sector, i.SectorState)
		}
		state := i.State
		if i.State == "importing" {
			state = fmt.Sprintf("importing %d %%", 100*i.Done/max(i.Bytes, 1))
		}
		t.Row(i.DealID, state, render.SizeUint(uint64(i.PieceSize)), render.Epoch(i.Start, i.Epoch, i.BlockDelay), i.End, in, i.Err)
	}
	p.Table(t)
}

// importPause lies between two looks at an import, showAfter is from when on its progress is shown.
const (
	importPause = 200 * time.Millisecond
	showAfter   = 2 * time.Second
)

func importDeal(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	if cmd.Args().Len() != 2 {
		return render.Usage("name a deal and the file with its data: deals import DEALID FILE")
	}
	n, err := strconv.ParseUint(cmd.Args().First(), 10, 63)
	if err != nil {
		return render.Usage("%q is no deal's number", cmd.Args().First())
	}
	file, err := filepath.Abs(cmd.Args().Get(1))
	if err != nil {
		return fmt.Errorf("name of the file: %w", err)
	}
	if err := c.DealsImportData(ctx, abi.DealID(n), file); err != nil {
		return err
	}
	i, err := awaitImport(ctx, c, p, abi.DealID(n))
	if err != nil {
		return err
	}
	if i.State == "failed" {
		return api.Errorf(api.CodeInvalid, "deal %d was not imported: %s", n, i.Err)
	}
	return p.Result(i, func() {
		p.Line("deal %d is here: a piece of %s, which must be in a proven sector by epoch %s", n, render.SizeUint(uint64(i.PieceSize)), render.Epoch(i.Start, i.Epoch, i.BlockDelay))
		p.Note("it goes into a sector that is offered ('venus-sealer sectors snap-up NUMBER'); see 'venus-sealer deals list'")
	})
}

func awaitImport(ctx context.Context, c *client, p *render.Printer, id abi.DealID) (sealerapi.DealInfo, error) {
	clk := clock.Real()
	began, g := clk.Now(), p.Progress(1)
	shown := false
	defer g.Done()
	for {
		list, err := c.DealsList(ctx)
		if err != nil {
			return sealerapi.DealInfo{}, err
		}
		at := slices.IndexFunc(list, func(i sealerapi.DealInfo) bool { return i.DealID == id })
		if at < 0 {
			return sealerapi.DealInfo{}, api.Errorf(api.CodeInternal, "the sealer does not know deal %d any more", id)
		}
		if list[at].State != "importing" {
			return list[at], nil
		}
		if !shown && clk.Now().Sub(began) >= showAfter {
			g.Start("copying the data of deal %d", id)
			shown = true
		}
		g.Update("%s of %s", render.SizeUint(uint64(list[at].Done)), render.SizeUint(uint64(list[at].Bytes)))
		if err := clk.Sleep(ctx, importPause); err != nil {
			return sealerapi.DealInfo{}, err
		}
	}
}

// upgradeCommands are those about sectors that take data in.
func upgradeCommands(d Deps) []*cli.Command {
	one := func(name string, aliases []string, usage string, do func(*client) func(context.Context, abi.SectorNumber) error, said string) *cli.Command {
		return &cli.Command{Name: name, Aliases: aliases, Usage: usage, ArgsUsage: "NUMBER", Action: action(d, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			n, err := oneNumber(cmd)
			if err != nil {
				return err
			}
			if err := do(c)(ctx, n); err != nil {
				return err
			}
			p.Note(said+"; see 'venus-sealer sectors why %d'", n, n)
			return nil
		})}
	}
	return []*cli.Command{
		one("snap-up", []string{"mark-for-upgrade"}, "offer a proven sector without data to deals", func(c *client) func(context.Context, abi.SectorNumber) error { return c.SectorMarkForUpgrade }, "sector %d is offered to deals"),
		one("abort-upgrade", nil, "take such a sector back while nothing was sent", func(c *client) func(context.Context, abi.SectorNumber) error { return c.SectorAbortUpgrade }, "sector %d is taken back"),
		one("seal", nil, "let a sector with deals wait for no more of them", func(c *client) func(context.Context, abi.SectorNumber) error { return c.SectorStartSealing }, "sector %d goes on with the deals it has"),
	}
}

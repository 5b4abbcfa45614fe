package sealer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/types"
)

// column is one of the columns that a list of sectors can have.
type column struct {
	name string
	cell func(p *render.Printer, r sealerapi.SectorRow, page *sealerapi.SectorPage) any
}

// columns are all columns; the first seven are shown unless others are asked for.
func columns() []column {
	epoch := func(e abi.ChainEpoch, r sealerapi.SectorRow, page *sealerapi.SectorPage) any {
		if !r.OnChain {
			return "n/a"
		}
		return render.Epoch(e, page.Epoch, page.BlockDelay)
	}
	onChain := func(r sealerapi.SectorRow, v any) any {
		if !r.OnChain {
			return "n/a"
		}
		return v
	}
	return []column{
		{"ID", func(_ *render.Printer, r sealerapi.SectorRow, _ *sealerapi.SectorPage) any {
			return sectorName(r.SectorID)
		}},
		{"State", func(p *render.Printer, r sealerapi.SectorRow, _ *sealerapi.SectorPage) any {
			return stateText(p, r.State)
		}},
		{"OnChain", func(_ *render.Printer, r sealerapi.SectorRow, _ *sealerapi.SectorPage) any { return yesNo(r.OnChain) }},
		{"Active", func(_ *render.Printer, r sealerapi.SectorRow, _ *sealerapi.SectorPage) any { return yesNo(r.Active) }},
		{"Expiration", func(_ *render.Printer, r sealerapi.SectorRow, page *sealerapi.SectorPage) any {
			return epoch(r.Expiration, r, page)
		}},
		{"Deals", func(_ *render.Printer, r sealerapi.SectorRow, _ *sealerapi.SectorPage) any { return deals(r.Deals) }},
		{"Error", func(_ *render.Printer, r sealerapi.SectorRow, _ *sealerapi.SectorPage) any { return r.LastErr }},
		{"Deadline", func(_ *render.Printer, r sealerapi.SectorRow, _ *sealerapi.SectorPage) any {
			return onChain(r, r.Deadline)
		}},
		{"Partition", func(_ *render.Printer, r sealerapi.SectorRow, _ *sealerapi.SectorPage) any {
			return onChain(r, r.Partition)
		}},
		{"Faulty", func(_ *render.Printer, r sealerapi.SectorRow, _ *sealerapi.SectorPage) any { return yesNo(r.Faulty) }},
		{"Activation", func(_ *render.Printer, r sealerapi.SectorRow, page *sealerapi.SectorPage) any {
			return epoch(r.Activation, r, page)
		}},
		{"Pledge", func(_ *render.Printer, r sealerapi.SectorRow, _ *sealerapi.SectorPage) any {
			return onChain(r, types.FIL(orZero(r.Pledge)))
		}},
		{"DealWeight", func(_ *render.Printer, r sealerapi.SectorRow, _ *sealerapi.SectorPage) any {
			return onChain(r, orZero(r.DealWeight))
		}},
		{"Since", func(_ *render.Printer, r sealerapi.SectorRow, _ *sealerapi.SectorPage) any {
			return r.Since.UTC().Format(time.DateTime)
		}},
		{"SealTime", func(_ *render.Printer, r sealerapi.SectorRow, _ *sealerapi.SectorPage) any {
			return render.Span(now().Sub(r.CreatedAt))
		}},
		{"Retries", func(_ *render.Printer, r sealerapi.SectorRow, _ *sealerapi.SectorPage) any { return r.Retries }},
	}
}

func columnNames() string {
	var out []string
	for _, c := range columns() {
		out = append(out, c.name)
	}
	return strings.Join(out, ",")
}

func listCommand(d Deps) *cli.Command {
	return &cli.Command{Name: "list", Usage: "list sectors", Flags: []cli.Flag{
		&cli.BoolFlag{Name: "fast", Usage: "leave out what the chain knows"},
		&cli.StringFlag{Name: "states", Usage: "only `STATES`, separated by commas"},
		&cli.Uint64Flag{Name: "deadline", Usage: "only sectors that are proven in deadline `N`"},
		&cli.IntFlag{Name: "expiring", Usage: "only live sectors that end within `N` days"},
		&cli.BoolFlag{Name: "faulty", Usage: "only sectors that the chain counts as faulty"},
		&cli.BoolFlag{Name: "trouble", Usage: "only sectors that failed or wait for you"},
		&cli.StringFlag{Name: "columns", Usage: "show these `COLUMNS`, separated by commas: " + columnNames()},
		&cli.IntFlag{Name: "limit", Usage: "at most `N` sectors, 1000 at most", Value: 1000},
		&cli.IntFlag{Name: "offset", Usage: "leave out the first `N`"},
		&cli.BoolFlag{Name: "seal-time", Usage: "show how long ago sealing began"},
		&cli.BoolFlag{Name: "show-removed", Usage: "show removed sectors, too"},
	}, Action: action(d, listSectors)}
}

// chosen are the columns that a command line asks for.
func chosen(cmd *cli.Command) ([]column, error) {
	all := columns()
	if text := cmd.String("columns"); text != "" {
		var out []column
		for _, name := range strings.Split(text, ",") {
			i := slices.IndexFunc(all, func(c column) bool { return strings.EqualFold(c.name, strings.TrimSpace(name)) })
			if i < 0 {
				return nil, render.Usage("there is no column %q; there are %s", name, columnNames())
			}
			out = append(out, all[i])
		}
		return out, nil
	}
	out := all[:7]
	if cmd.Bool("fast") {
		out = []column{all[0], all[1], all[6]}
	}
	if cmd.Bool("seal-time") {
		out = slices.Concat(out, all[14:15])
	}
	return out, nil
}

func listSectors(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	cols, err := chosen(cmd)
	if err != nil {
		return err
	}
	f := sealerapi.SectorFilter{
		Faulty: cmd.Bool("faulty"), Trouble: cmd.Bool("trouble"), Offset: cmd.Int("offset"), Limit: cmd.Int("limit"), LocalOnly: cmd.Bool("fast"),
	}
	if s := cmd.String("states"); s != "" {
		f.States = strings.Split(s, ",")
	} else if cmd.Bool("show-removed") {
		f.States = nil
		f.ShowRemoved = true
	}
	if cmd.IsSet("deadline") {
		n := cmd.Uint64("deadline")
		f.Deadline = &n
	}
	if f.LocalOnly && (f.Deadline != nil || f.Faulty || cmd.IsSet("expiring")) {
		return render.Usage("--deadline, --expiring and --faulty ask the chain: leave --fast out")
	}
	if cmd.IsSet("expiring") {
		info, err := c.Info(ctx)
		if err != nil {
			return err
		}
		f.ExpireBefore = info.Epoch + abi.ChainEpoch(time.Duration(cmd.Int("expiring"))*24*time.Hour/info.BlockDelay)
	}
	page, err := c.SectorsPage(ctx, f)
	if err != nil {
		return err
	}
	return p.Result(page, func() {
		printSectors(p, page, cols)
		if len(page.Sectors) < page.Total {
			p.Note("%d of %d sectors shown; see --offset and --limit", len(page.Sectors), page.Total)
		}
	})
}

func printSectors(p *render.Printer, page *sealerapi.SectorPage, cols []column) {
	var titles []string
	for _, c := range cols {
		titles = append(titles, c.name)
	}
	t := render.NewTable(titles...)
	for _, r := range page.Sectors {
		var cells []any
		for _, c := range cols {
			cells = append(cells, c.cell(p, r, page))
		}
		t.Row(cells...)
	}
	p.Table(t)
}

func deals(n int) string {
	if n == 0 {
		return "CC"
	}
	return fmt.Sprint(n)
}

func unknownSectors(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	if cmd.Bool("adopt") {
		adopted, err := c.SectorsAdopt(ctx)
		if err != nil {
			return err
		}
		return p.Result(adopted, func() { p.Note("%d sectors adopted; 'proving check' tells whether their files are here", len(adopted)) })
	}
	list, err := c.SectorsUnknown(ctx)
	if err != nil {
		return err
	}
	return p.Result(list, func() {
		if len(list) == 0 {
			p.Note("this sealer knows every sector that the chain has for its miner")
			return
		}
		t := render.NewTable("ID", "Live", "Faulty", "Deadline", "Partition", "Expiration")
		for _, u := range list {
			t.Row(sectorName(u.SectorID), yesNo(u.Live), yesNo(u.Faulty), u.Deadline, u.Partition, u.Expiration)
		}
		p.Table(t)
	})
}

package sealer

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
)

func moveCommand(d Deps) *cli.Command {
	return &cli.Command{
		Name: "move", Usage: "bring sealed sectors to another storage path", ArgsUsage: "NUMBER...",
		Description: "A sector stays provable throughout: its files arrive under another name, are read back and compared, and only then the source is deleted. An interrupted move goes on where it was, also after a restart of the sealer; ending this command does not end it.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "`ID or PATH` of the storage path (default: the one with most room)"},
			&cli.StringFlag{Name: "from", Usage: "all sectors that have files in the storage path `ID or PATH`, instead of NUMBER..."},
			&cli.BoolFlag{Name: "no-wait", Usage: "begin and do not wait"},
		}, Action: action(d, moveSectors),
	}
}

// moved is what the command tells of one sector.
type moved struct {
	Sector abi.SectorNumber
	Bytes  int64
	Err    string `json:",omitempty"`
}

func moveSectors(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	numbers, err := sectorsToMove(ctx, cmd, c)
	if err != nil {
		return err
	}
	before, err := c.StorageTransfers(ctx)
	if err != nil {
		return err
	}
	seen := map[sealerapi.StorageTransfer]bool{}
	for _, t := range before {
		seen[t] = true
	}
	var (
		out    []moved
		failed int
	)
	for _, n := range numbers {
		if err := c.StorageMove(ctx, n, cmd.String("to")); err != nil {
			if len(numbers) == 1 {
				return err
			}
			p.Note("sector %d stays: %v", n, err)
			out = append(out, moved{Sector: n, Err: err.Error()})
			failed++
		}
	}
	refused := map[abi.SectorNumber]bool{}
	for _, m := range out {
		refused[m.Sector] = true
	}
	numbers = slices.DeleteFunc(numbers, func(n abi.SectorNumber) bool { return refused[n] })
	if cmd.Bool("no-wait") {
		for _, n := range numbers {
			out = append(out, moved{Sector: n})
		}
		return p.Result(out, func() {
			p.Note("%d moves are noted; 'venus-sealer storage find NUMBER' tells where files are", len(numbers))
		})
	}
	ended, err := awaitMoves(ctx, c, p, numbers, seen)
	if err != nil {
		return err
	}
	for _, m := range ended {
		if m.Err != "" {
			failed++
		}
	}
	out = append(out, ended...)
	err = p.Result(out, func() { p.Line("moved %d of %d sectors", len(out)-failed, len(out)) })
	if err == nil && failed > 0 {
		err = api.Errorf(api.CodeUnavailable, "%d sectors were not moved; they are where they were", failed).
			WithHint("a move that failed on its way is tried again every minute; see the sealer's log")
	}
	return err
}

func sectorsToMove(ctx context.Context, cmd *cli.Command, c *client) ([]abi.SectorNumber, error) {
	from := cmd.String("from")
	if from == "" {
		return someNumbers(cmd)
	}
	if cmd.Args().Len() > 0 {
		return nil, render.Usage("name sectors or give --from, not both")
	}
	local, err := c.StorageLocal(ctx)
	if err != nil {
		return nil, err
	}
	list, err := c.StorageList(ctx)
	if err != nil {
		return nil, err
	}
	var out []abi.SectorNumber
	known := false
	for id, decls := range list {
		if id != from && local[id] != from {
			continue
		}
		known = true
		for _, f := range decls {
			out = append(out, f.Number)
		}
	}
	if !known {
		return nil, api.Errorf(api.CodeNotFound, "storage path %s is not attached", from).WithHint("see 'venus-sealer storage list'")
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// lookAgain lies between two looks at moves under way.
const lookAgain = time.Second

// awaitMoves follows moves until each ended once.
func awaitMoves(ctx context.Context, c *client, p *render.Printer, numbers []abi.SectorNumber, seen map[sealerapi.StorageTransfer]bool) ([]moved, error) {
	var out []moved
	g := p.Progress(len(numbers))
	for _, n := range numbers {
		g.Start("sector %d", n)
		for {
			t, waits, err := transferOf(ctx, c, n, seen)
			if err != nil {
				g.Fail()
				return out, err
			}
			if t != nil && !t.Ended.IsZero() {
				out = append(out, moved{Sector: n, Bytes: t.Done, Err: t.Err})
				if t.Err != "" {
					g.Fail()
					p.Note("sector %d: %s", n, t.Err)
				} else {
					g.Done()
				}
				break
			}
			switch {
			case t != nil && t.Total > 0:
				g.Update("%s of %s (%d %%)", render.SizeUint(uint64(t.Done)), render.SizeUint(uint64(t.Total)), t.Done*100/t.Total)
			case waits:
				g.Update("waits for its turn")
			}
			if err := clock.Real().Sleep(ctx, lookAgain); err != nil {
				g.Fail()
				return out, err
			}
		}
	}
	return out, nil
}

// transferOf is a sector's move that was not seen before.
func transferOf(ctx context.Context, c *client, n abi.SectorNumber, seen map[sealerapi.StorageTransfer]bool) (last *sealerapi.StorageTransfer, waits bool, err error) {
	list, err := c.StorageTransfers(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, t := range list {
		switch {
		case t.Sector != n || seen[t]:
		case t.Began.IsZero():
			waits = true
		default:
			last = &t
		}
	}
	return last, waits, nil
}

func verifyCommand(d Deps) *cli.Command {
	return &cli.Command{
		Name: "verify", Usage: "compare sectors' files with their commitments", ArgsUsage: "[NUMBER...]",
		Description: "Without NUMBER all sealed sectors are checked: sizes, p_aux against the commitment on chain, the tree's root, and some opened leaves. --deep reads every byte and builds the replica tree anew, which takes about as long as building it did. Unsealed copies are compared, too: their sizes, with --deep their data with the sector's CommD; a bad one is told and makes no sector bad. Nothing is changed or declared.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "deep", Usage: "read everything"},
			&cli.BoolFlag{Name: "only-bad", Usage: "list bad sectors only"},
			&cli.IntFlag{Name: "parallel", Usage: "check `N` sectors at once", Value: 4},
		}, Action: action(d, verifySectors),
	}
}

func verifySectors(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	named := cmd.Args().Len() > 0
	numbers, err := c.SectorsList(ctx)
	if named {
		numbers, err = someNumbers(cmd)
	}
	if err != nil {
		return err
	}
	var (
		mu   sync.Mutex // guards what follows
		out  = []sealerapi.StorageVerdict{}
		done int
		bad  int
	)
	bar := p.Progress(1)
	bar.Start("checking %d sectors", len(numbers))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(max(int(cmd.Int("parallel")), 1))
	for _, n := range numbers {
		group.Go(func() error {
			v, err := c.StorageVerify(gctx, n, cmd.Bool("deep"))
			if err != nil && !named && api.Explain(err).Code == api.CodePrecondition {
				err, v.Sector, v.Checked = nil, n, "" // not at rest
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			bar.Update("%d of %d, %d bad", done, len(numbers), bad)
			if v.Checked == "" {
				return nil
			}
			if v.Why != "" {
				bad++
			} else if cmd.Bool("only-bad") && v.Unsealed == "" {
				return nil
			}
			out = append(out, v)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		bar.Fail()
		return err
	}
	bar.Done()
	slices.SortFunc(out, func(a, b sealerapi.StorageVerdict) int { return int(a.Sector) - int(b.Sector) })
	err = p.Result(out, func() {
		t := render.NewTable("Sector", "Files", "Reason")
		for _, v := range out {
			how := p.Green("good")
			if v.Why != "" {
				how = p.Red("bad")
			}
			t.Row(sectorName(v.Sector), how, v.Why)
			if v.Unsealed != "" {
				t.Row("", p.Yellow("unsealed copy bad"), v.Unsealed)
			}
		}
		p.Table(t)
	})
	if err == nil && bad > 0 {
		err = api.Errorf(api.CodePrecondition, "%d sectors have bad files", bad).WithHint("mount what is missing, or make a sector's files anew: venus-sealer sectors redo NUMBER")
	}
	return err
}

func gcCommand(d Deps) *cli.Command {
	return &cli.Command{
		Name: "gc", Usage: "list, and with --really delete, what sealing left behind",
		Description: "What is listed is the sealer's own by its name and its records, and not needed: files of removed sectors, copies that were cut short, folders of sealing tasks that are over. Stray files, sectors that this sealer does not know, and sectors of others are never listed.",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "really", Usage: "delete what is listed"}},
		Action: action(d, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			list, err := c.StorageGarbage(ctx)
			if err != nil {
				return err
			}
			var names []string
			for _, w := range list {
				names = append(names, w.Name)
			}
			verb := "can go; nothing was deleted yet: venus-sealer storage gc --really"
			if cmd.Bool("really") {
				if list, err = c.StorageCollect(ctx, names); err != nil {
					return err
				}
				verb = "deleted"
			}
			return p.Result(list, func() {
				t := render.NewTable("Sector", "Size", "Name", "Why")
				for _, w := range list {
					size := ""
					if w.Bytes > 0 {
						size = render.SizeUint(uint64(w.Bytes))
					}
					t.Row(sectorName(w.Sector), size, w.Name, w.Why)
				}
				p.Table(t)
				p.Note("%d things %s", len(list), verb)
			})
		}),
	}
}

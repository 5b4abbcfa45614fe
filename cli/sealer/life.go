package sealer

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/urfave/cli/v3"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/types"
)

// maxRange bounds what a range on the command line may name.
const maxRange = 100_000

// someNumbers reads the arguments of a command as sector numbers and ranges of them: 3 7-9.
func someNumbers(cmd *cli.Command) ([]abi.SectorNumber, error) {
	var out []abi.SectorNumber
	for _, arg := range cmd.Args().Slice() {
		first, last, isRange := strings.Cut(arg, "-")
		from, err := number(first)
		if err != nil {
			return nil, err
		}
		to := from
		if isRange {
			if to, err = number(last); err != nil {
				return nil, err
			}
		}
		if to < from || to-from >= maxRange {
			return nil, render.Usage("%q is no range of sector numbers", arg)
		}
		for n := from; n <= to; n++ {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return nil, render.Usage("name sectors, such as 3 or 7-9: %s NUMBER...", cmd.FullName())
	}
	return out, nil
}

func pledgeCommand(d Deps) *cli.Command {
	return &cli.Command{
		Name: "pledge", Usage: "start sectors without deals, or say how many the sealer shall work towards",
		Description: "With --target the sealer goes on by itself, also after a restart: it begins sectors, --at-once at a time, until so many are proven or under way, and replaces those that end or fail.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "count", Usage: "start `N` sectors", Value: 1},
			&cli.IntFlag{Name: "target", Usage: "work towards `N` sectors; 0 ends that"},
			&cli.IntFlag{Name: "at-once", Usage: "with --target: at most `N` under way", Value: 1},
			&cli.BoolFlag{Name: "show-target", Usage: "show the target and how far it is"},
		}, Action: action(d, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			switch {
			case cmd.Bool("show-target"):
				return showTarget(ctx, c, p)
			case cmd.IsSet("target"):
				if cmd.IsSet("count") {
					return render.Usage("--count starts sectors now, --target has the sealer start them: give one of them")
				}
				if err := c.SectorsSetTarget(ctx, cmd.Int("target"), cmd.Int("at-once")); err != nil {
					return err
				}
				return showTarget(ctx, c, p)
			}
			made, err := c.PledgeSectors(ctx, cmd.Int("count"))
			if err != nil {
				return err
			}
			return p.Result(made, func() {
				for _, id := range made {
					p.Line("Created CC sector:  %d", id.Number)
				}
			})
		}),
	}
}

func showTarget(ctx context.Context, c *client, p *render.Printer) error {
	t, err := c.SectorsTarget(ctx)
	if err != nil {
		return err
	}
	return p.Result(t, func() {
		if t.Total == 0 {
			p.Line("No target: sectors start when they are pledged. %d are proven or under way, %d under way.", t.Have, t.Sealing)
			return
		}
		p.Line("Target: %d sectors, %d at once. %d are proven or under way, %d under way.", t.Total, t.AtOnce, t.Have, t.Sealing)
	})
}

func removeCommand(d Deps) *cli.Command {
	return &cli.Command{Name: "remove", Usage: "delete the files of a sector that the chain does not want proven", ArgsUsage: "NUMBER", Flags: []cli.Flag{
		&cli.BoolFlag{Name: "really-do-it", Usage: "confirm"},
		&cli.BoolFlag{Name: "abandon", Usage: "also if a deposit is lost by it"},
	}, Action: action(d, removeSector)}
}

func redoCommand(d Deps) *cli.Command {
	return &cli.Command{Name: "redo", Usage: "make the files of a proven sector anew, from the ticket it was sealed with", ArgsUsage: "NUMBER", Flags: []cli.Flag{
		&cli.BoolFlag{Name: "really-do-it", Usage: "confirm"},
	}, Action: action(d, redoSector)}
}

func removeSector(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	n, err := oneNumber(cmd)
	if err != nil {
		return err
	}
	if !cmd.Bool("really-do-it") {
		return render.Usage("this deletes the files of sector %d; pass --really-do-it", n)
	}
	remove := c.SectorRemove
	if cmd.Bool("abandon") {
		remove = c.SectorAbandon
	}
	if err := remove(ctx, n); err != nil {
		return err
	}
	p.Note("the files of sector %d are being deleted; see 'sectors why %d'", n, n)
	return nil
}

func redoSector(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	n, err := oneNumber(cmd)
	if err != nil {
		return err
	}
	if !cmd.Bool("really-do-it") {
		return render.Usage("this deletes what is left of the files of sector %d and seals it again, which takes as long as sealing; pass --really-do-it", n)
	}
	if err := c.SectorRedo(ctx, n); err != nil {
		return err
	}
	p.Note("sector %d is sealed again from its old ticket; see 'sectors why %d'", n, n)
	return nil
}

func terminateCommand(d Deps) *cli.Command {
	return &cli.Command{
		Name: "terminate", Usage: "end sectors on the chain before their time, at a fee, and delete their files once that is final", ArgsUsage: "NUMBER...",
		Description: "Sectors that are terminated together share messages (see batching). A sector whose deadline is near its window waits until it is over.",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "really-do-it", Usage: "confirm"}},
		Action: action(d, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			list, err := someNumbers(cmd)
			if err != nil {
				return err
			}
			if !cmd.Bool("really-do-it") {
				pledge := big.Zero()
				for _, n := range list {
					s, err := c.SectorsStatus(ctx, n, true)
					if err != nil {
						return err
					}
					pledge = big.Add(pledge, orZero(s.InitialPledge))
				}
				return render.Usage("this ends %d sectors for good; their pledge is %s, of which the chain keeps a fee of up to the rewards of some 70 days; pass --really-do-it", len(list), types.FIL(pledge))
			}
			if err := c.SectorsTerminate(ctx, list); err != nil {
				return err
			}
			return p.Result(list, func() { p.Note("%d sectors are being terminated; see 'sectors why' and 'sectors batching'", len(list)) })
		}),
	}
}

func extendCommand(d Deps) *cli.Command {
	return &cli.Command{
		Name: "extend", Usage: "let sectors live longer", ArgsUsage: "NUMBER...", Flags: []cli.Flag{
			&cli.Int64Flag{Name: "until", Usage: "until `EPOCH`"},
			&cli.IntFlag{Name: "days", Usage: "until `N` days from now; the chain allows 540 at most"},
		}, Action: action(d, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			list, err := someNumbers(cmd)
			if err != nil {
				return err
			}
			until := abi.ChainEpoch(cmd.Int64("until"))
			if cmd.IsSet("until") == cmd.IsSet("days") {
				return render.Usage("say how long: --until EPOCH or --days N")
			}
			if cmd.IsSet("days") {
				info, err := c.Info(ctx)
				if err != nil {
					return err
				}
				until = info.Epoch + abi.ChainEpoch(time.Duration(cmd.Int("days"))*24*time.Hour/info.BlockDelay)
			}
			ids, err := c.SectorsExtend(ctx, list, until)
			if err != nil {
				return err
			}
			return p.Result(ids, func() {
				for _, id := range ids {
					p.Line("Message:  %s", id)
				}
			})
		}),
	}
}

func compactCommand(d Deps) *cli.Command {
	return &cli.Command{
		Name: "compact-partitions", Usage: "take ended sectors out of partitions of a deadline", ArgsUsage: "DEADLINE PARTITION...",
		Description: "Fewer partitions make cheaper window proofs. The chain allows it while a deadline is far from its window and its proofs can no longer be disputed.",
		Action: action(d, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			var n []uint64
			for _, arg := range cmd.Args().Slice() {
				x, err := strconv.ParseUint(arg, 10, 32)
				if err != nil {
					return render.Usage("%q is no number of a deadline or partition", arg)
				}
				n = append(n, x)
			}
			if len(n) < 2 {
				return render.Usage("name a deadline and partitions of it: %s DEADLINE PARTITION...", cmd.FullName())
			}
			id, err := c.SectorsCompact(ctx, n[0], n[1:])
			if err != nil {
				return err
			}
			return p.Result(id, func() { p.Line("Message:  %s", id) })
		}),
	}
}

func batchingCommand(d Deps) *cli.Command {
	return &cli.Command{
		Name: "batching", Usage: "which sectors wait to share a message, by what rule, and the last messages that concern several",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "flush", Usage: "send what waits of `KIND`: precommit, provecommit, terminate, or all"},
			&cli.IntFlag{Name: "messages", Usage: "show the last `N` messages", Value: 10},
		}, Action: action(d, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			pools, err := c.SectorsBatching(ctx)
			if err != nil {
				return err
			}
			if kind := cmd.String("flush"); kind != "" {
				return flush(ctx, c, p, kind, pools)
			}
			last, err := c.SectorsMessages(ctx, cmd.Int("messages"))
			if err != nil {
				return err
			}
			return p.Result(map[string]any{"Pools": pools, "Messages": last}, func() { printBatching(p, pools, last) })
		}),
	}
}

func flush(ctx context.Context, c *client, p *render.Printer, kind string, pools []sealerapi.Batching) error {
	if kind != "all" {
		if err := c.SectorsFlush(ctx, kind); err != nil {
			return err
		}
	}
	for _, b := range pools {
		if kind == "all" {
			if err := c.SectorsFlush(ctx, b.Kind); err != nil {
				return err
			}
		}
		if kind == "all" || kind == b.Kind {
			p.Note("%d sectors that wait for a %s message go at the next head", len(b.Waiting), b.Kind)
		}
	}
	return nil
}

func printBatching(p *render.Printer, pools []sealerapi.Batching, last []sealerapi.SharedMessage) {
	for _, b := range pools {
		switch {
		case !b.On:
			p.Line("%s: every sector has a message of its own", b.Kind)
		case b.BaseFee.LessThan(b.Above):
			p.Line("%s: the base fee of %s is below %s per unit of gas: messages of their own are cheaper, nobody waits", b.Kind, p.FIL(b.BaseFee), p.FIL(b.Above))
		default:
			p.Line("%s: %d to %d sectors share a message; one waits at most %s, or until %d epochs before its time is over", b.Kind, b.Min, b.Max, b.MaxWait, b.Slack)
		}
		for _, w := range b.Waiting {
			p.Line("\tsector %d waits since %s", w.Number, w.Since.UTC().Format(time.DateTime))
		}
	}
	if len(last) == 0 {
		return
	}
	t := render.NewTable("Message", "Kind", "State", "Sectors", "Made", "Why", "Trouble")
	for _, m := range last {
		state := m.State
		if m.State == "landed" && m.Exit != 0 {
			state = p.Red(state)
		}
		trouble := m.Error
		if m.Exit != 0 {
			trouble = strings.TrimSpace("exit code " + strconv.FormatInt(m.Exit, 10) + " " + trouble)
		}
		t.Row(m.ID, m.Kind, state, len(m.Sectors), m.Created.UTC().Format(time.DateTime), m.Why, trouble)
	}
	p.Line("")
	p.Table(t)
}

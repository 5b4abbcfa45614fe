package sealer

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/urfave/cli/v3"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
)

func provingCommand(d Deps) *cli.Command {
	return &cli.Command{Name: "proving", Usage: "window proofs", Commands: []*cli.Command{
		{Name: "info", Usage: "the current deadline and the miner's faults", Action: action(d, provingInfo)},
		{Name: "deadlines", Usage: "all deadlines and what is proven of them", Action: action(d, deadlines)},
		{Name: "deadline", Usage: "one deadline with its partitions and sectors", ArgsUsage: "INDEX", Action: action(d, deadline)},
		{Name: "rehearse", Usage: "prove a deadline now with its real files, send nothing, and say how long it took and what failed", ArgsUsage: "INDEX", Action: action(d, rehearse)},
		{Name: "forecast", Usage: "time and gas of each deadline of the next proving period", Action: action(d, forecast)},
		{Name: "faults", Usage: "deadlines with faulty sectors, and files that cannot be proven now", Action: action(d, faults)},
		{Name: "check", Usage: "look whether sectors could be proven now", ArgsUsage: "[NUMBER...]", Flags: []cli.Flag{
			&cli.IntFlag{Name: "deadline", Usage: "the sectors of the deadline with this `INDEX`", Value: -1},
			&cli.BoolFlag{Name: "slow", Usage: "also read some of the data"},
			&cli.BoolFlag{Name: "only-bad", Usage: "show bad sectors only"},
		}, Action: action(d, check)},
		{Name: "history", Usage: "the latest window proofs", Flags: []cli.Flag{
			&cli.IntFlag{Name: "limit", Usage: "at most `N`", Value: 20},
		}, Action: action(d, history)},
	}}
}

func provingInfo(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	i, err := c.ProvingInfo(ctx)
	if err != nil {
		return err
	}
	info, err := c.Info(ctx)
	if err != nil {
		return err
	}
	return p.Result(i, func() {
		d := i.Deadline
		at := func(e abi.ChainEpoch) string { return render.Epoch(e, d.CurrentEpoch, info.BlockDelay) }
		boundary := d.PeriodStart % d.WPoStProvingPeriod
		p.Line("Sealer: %s", info.Miner)
		p.Line("Current Epoch:           %d", d.CurrentEpoch)
		p.Line("")
		p.Line("Proving Period Boundary: %d", boundary)
		p.Line("Proving Period Start:    %s", at(d.PeriodStart))
		p.Line("Next Period Start:       %s", at(d.PeriodStart+d.WPoStProvingPeriod))
		p.Line("")
		p.Line("Faults:      %d (%s)", i.Faults, render.Percent(big.NewIntUnsigned(i.Faults), big.NewIntUnsigned(i.Sectors), 2))
		p.Line("Recovering:  %d", i.Recovering)
		p.Line("Deadline Index:       %d", d.Index)
		p.Line("Deadline Sectors:     %d", i.InDeadline)
		p.Line("Deadline Open:        %s", at(d.Open))
		p.Line("Deadline Close:       %s", at(d.Close))
		p.Line("Deadline Challenge:   %s", at(d.Challenge))
		p.Line("Deadline FaultCutoff: %s", at(d.FaultCutoff))
		for _, a := range i.Alerts {
			p.Line("%s", p.Red("Alert until epoch "+at(a.Cutoff)+": "+a.Text))
		}
	})
}

func deadlines(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	list, err := c.ProvingDeadlines(ctx)
	if err != nil {
		return err
	}
	return p.Result(list, func() {
		t := render.NewTable("deadline", "opens", ">partitions", ">sectors (faults)", ">proven partitions", "state")
		for _, d := range list {
			name := fmt.Sprint(d.Index)
			if d.Current {
				name += "\t(current)"
				name = strings.ReplaceAll(name, "\t", " ")
			}
			t.Row(name, int64(d.Open), d.Partitions, fmt.Sprintf("%d (%d)", d.Sectors, d.Faults), d.ProvenPartitions, deadlineState(p, d.State))
		}
		p.Table(t)
	})
}

func deadlineState(p *render.Printer, s string) string {
	switch s {
	case "landed":
		return p.Green(s)
	case "missed":
		return p.Red(s)
	case "proving", "submitted":
		return p.Yellow(s)
	}
	return s
}

func faults(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	list, err := c.ProvingDeadlines(ctx)
	if err != nil {
		return err
	}
	bad, err := c.CheckProvable(ctx, nil, false)
	if err != nil {
		return err
	}
	faulty := []sealerapi.DeadlineInfo{}
	for _, d := range list {
		if d.Faults > 0 {
			faulty = append(faulty, d)
		}
	}
	return p.Result(map[string]any{"Deadlines": faulty, "Unprovable": bad}, func() {
		if len(faulty)+len(bad) == 0 {
			p.Line("no faults")
			return
		}
		t := render.NewTable("deadline", ">faulty", ">recovering", ">sectors")
		for _, d := range faulty {
			t.Row(d.Index, d.Faults, d.Recovering, d.Sectors)
		}
		p.Table(t)
		printBad(p, bad)
	})
}

func printBad(p *render.Printer, bad map[abi.SectorNumber]string) {
	numbers := make([]abi.SectorNumber, 0, len(bad))
	for n := range bad {
		numbers = append(numbers, n)
	}
	sort.Slice(numbers, func(i, j int) bool { return numbers[i] < numbers[j] })
	for _, n := range numbers {
		p.Line("sector %d: %s", n, p.Red(fmt.Sprintf("bad (%s)", bad[n])))
	}
}

func check(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	if cmd.Int("deadline") >= 0 {
		if cmd.Args().Len() > 0 {
			return render.Usage("name sectors or a deadline, not both")
		}
		return checkDeadline(ctx, cmd, c, p)
	}
	var numbers []abi.SectorNumber
	for _, s := range cmd.Args().Slice() {
		n, err := number(s)
		if err != nil {
			return err
		}
		numbers = append(numbers, n)
	}
	bad, err := c.CheckProvable(ctx, numbers, cmd.Bool("slow"))
	if err != nil {
		return err
	}
	return p.Result(bad, func() {
		printBad(p, bad)
		if !cmd.Bool("only-bad") {
			for _, n := range numbers {
				if _, isBad := bad[n]; !isBad {
					p.Line("sector %d: %s", n, p.Green("good"))
				}
			}
			if len(numbers) == 0 && len(bad) == 0 {
				p.Line("%s", p.Green("all sectors can be proven"))
			}
		}
	})
}

// provers names who proved, each once.
func provers(parts []sealerapi.ProofPart) string {
	var out []string
	for _, x := range parts {
		if who := prover(x); !slices.Contains(out, who) {
			out = append(out, who)
		}
	}
	return strings.Join(out, ", ")
}

func prover(x sealerapi.ProofPart) string {
	if x.Host == "" {
		return "this sealer"
	}
	return x.Host
}

func history(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	list, err := c.WindowPoStHistory(ctx, cmd.Int("limit"))
	if err != nil {
		return err
	}
	return p.Result(list, func() {
		t := render.NewTable("deadline", ">opens", "partitions", ">sectors", ">skipped", "state", "took", "by", "message", "error")
		for _, r := range list {
			t.Row(r.Deadline, int64(r.Open), fmt.Sprint(r.Partitions), r.Sectors, r.Skipped, deadlineState(p, r.State), render.Took(r.Took), provers(r.Parts), r.Message, r.Err)
		}
		p.Table(t)
	})
}

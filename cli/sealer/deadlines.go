package sealer

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
)

// oneDeadline reads the only argument as the number of a deadline.
func oneDeadline(cmd *cli.Command) (uint64, error) {
	if cmd.Args().Len() != 1 {
		return 0, render.Usage("name one deadline: %s INDEX", cmd.FullName())
	}
	n, err := strconv.ParseUint(cmd.Args().First(), 10, 8)
	if err != nil {
		return 0, render.Usage("%q is no deadline", cmd.Args().First())
	}
	return n, nil
}

func deadline(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	i, err := oneDeadline(cmd)
	if err != nil {
		return err
	}
	d, err := c.ProvingDeadline(ctx, i)
	if err != nil {
		return err
	}
	return p.Result(d, func() {
		p.Line("Deadline Index:           %d", d.Index)
		p.Line("Deadline Open:            %s", render.Epoch(d.Open, d.Epoch, d.BlockDelay))
		p.Line("Deadline Close:           %s", render.Epoch(d.Close, d.Epoch, d.BlockDelay))
		p.Line("Partitions:               %d", len(d.Partitions))
		p.Line("Proven Partitions:        %d", d.Proven)
		p.Line("Current:                  %v", d.Current)
		for _, x := range d.Partitions {
			p.Line("")
			p.Line("Partition Index:          %d", x.Index)
			p.Line("\tSectors:                %d", len(x.Live))
			p.Line("\tSector Numbers:         %s", ranges(x.Live))
			p.Line("\tFaults:                 %d", len(x.Faulty))
			p.Line("\tFaulty Sectors:         %s", ranges(x.Faulty))
			p.Line("\tRecovering Sectors:     %s", ranges(x.Recovering))
		}
	})
}

// ranges shortens runs of numbers: 1 3-7.
func ranges(list []abi.SectorNumber) string {
	if len(list) == 0 {
		return "none"
	}
	var out []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		if text := fmt.Sprint(list[i]); i == j {
			out = append(out, text)
		} else {
			out = append(out, fmt.Sprintf("%s-%d", text, list[j]))
		}
		i = j + 1
	}
	return strings.Join(out, " ")
}

// rehearse proves a deadline message by message, and fails when a sector would be left out.
func rehearse(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	index, err := oneDeadline(cmd)
	if err != nil {
		return err
	}
	list := []*sealerapi.Rehearsal{}
	var took time.Duration
	bad, failed := 0, 0
	for i := 0; ; i++ {
		r, err := c.ProvingRehearse(ctx, index, i)
		if err != nil {
			return err
		}
		if r.Messages > 0 {
			list = append(list, r)
			took, bad = took+r.Check+r.Prove, bad+len(r.Bad)
			if r.Err != "" {
				failed++
			}
			p.Note("message %d of %d: partitions %v, %d of %d sectors proven, files read in %s, proof made in %s", i+1, r.Messages, r.Partitions, r.Proven, r.Sectors, render.Took(r.Check), render.Took(r.Prove))
			for _, x := range r.Parts {
				p.Note("\t%d sectors by %s in %s", x.Sectors, prover(x), render.Took(x.Took))
				if x.Before != "" {
					p.Note("\t\tnot by %s", x.Before)
				}
			}
		}
		if i+1 >= r.Messages {
			break
		}
	}
	err = p.Result(list, func() {
		if len(list) == 0 {
			p.Line("deadline %d has nothing to prove", index)
			return
		}
		for _, r := range list {
			printBad(p, r.Bad)
			if r.Err != "" {
				p.Line("partitions %v: %s", r.Partitions, p.Red(r.Err))
			}
		}
		share := took.Seconds() / list[0].Window.Seconds()
		text := fmt.Sprintf("%s one after the other, %.0f%% of the %s between challenge and close", render.Took(took), share*100, render.Span(list[0].Window))
		if share > 0.5 {
			text = p.Red(text)
		}
		p.Line("deadline %d would take %s", index, text)
	})
	if err == nil && bad+failed > 0 {
		return api.Errorf(api.CodePrecondition, "%d sectors and %d messages of deadline %d cannot be proven now", bad, failed, index).WithHint("mend the files before its fault cutoff: venus-sealer proving check --deadline %d", index)
	}
	return err
}

func forecast(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	f, err := c.ProvingForecast(ctx)
	if err != nil {
		return err
	}
	return p.Result(f, func() {
		if len(f.Deadlines) == 0 {
			p.Line("nothing has to be proven")
			return
		}
		known := func(n int, text string) string {
			if n == 0 {
				return "?"
			}
			return text
		}
		t := render.NewTable("deadline", ">opens", ">sectors", ">partitions", ">messages", ">time", ">of budget", ">gas", ">fee")
		for _, d := range f.Deadlines {
			share := fmt.Sprintf("%.0f%%", d.Share*100)
			if d.Share > 0.5 {
				share = p.Red(share)
			}
			t.Row(d.Index, int64(d.Open), d.Sectors, d.Partitions, d.Messages, known(f.TimeFrom, render.Took(d.Time)), known(f.TimeFrom, share), known(f.GasFrom, fmt.Sprint(d.Gas)), known(f.GasFrom, p.FIL(d.Fee)))
		}
		p.Table(t)
		p.Line("next period: %s of proving, %s gas, %s burnt at base fee %s", known(f.TimeFrom, render.Took(f.Time)), known(f.GasFrom, fmt.Sprint(f.Gas)), known(f.GasFrom, p.FIL(f.Fee)), p.FIL(f.BaseFee))
		if f.TimeFrom == 0 || f.GasFrom == 0 {
			p.Line("judged by %d proofs and %d messages; ? is not known before the first: try 'venus-sealer proving rehearse'", f.TimeFrom, f.GasFrom)
		}
	})
}

// checkDeadline shows every sector of a deadline, or the bad ones.
func checkDeadline(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	d, err := c.ProvingDeadline(ctx, uint64(max(cmd.Int("deadline"), 0)))
	if err != nil {
		return err
	}
	type row struct {
		Deadline, Partition uint64
		Sector              abi.SectorNumber
		Bad                 string `json:",omitempty"`
	}
	rows, bad := []row{}, 0
	for _, x := range d.Partitions {
		if len(x.Live) == 0 {
			continue
		}
		found, err := c.CheckProvable(ctx, x.Live, cmd.Bool("slow"))
		if err != nil {
			return err
		}
		bad += len(found)
		for _, n := range x.Live {
			if why := found[n]; why != "" || !cmd.Bool("only-bad") {
				rows = append(rows, row{d.Index, x.Index, n, why})
			}
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return int(int64(a.Sector) - int64(b.Sector)) })
	return p.Result(rows, func() {
		t := render.NewTable("deadline", "partition", "sector", "status")
		for _, r := range rows {
			status := p.Green("good")
			if r.Bad != "" {
				status = p.Red("bad (" + r.Bad + ")")
			}
			t.Row(r.Deadline, r.Partition, sectorName(r.Sector), status)
		}
		p.Table(t)
		p.Line("%d bad sectors", bad)
	})
}

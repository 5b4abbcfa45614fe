package venus

import (
	"context"
	"fmt"

	"github.com/filecoin-project/go-bitfield"
	"github.com/urfave/cli/v3"

	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cli/render"
)

// provingCommands tell what miners have to prove, and what they cannot.
func provingCommands() []*cli.Command {
	tip := []cli.Flag{atFlag()}
	return []*cli.Command{
		call(&cli.Command{Name: "deadlines", Usage: "print what a miner has to prove in each deadline", Flags: tip}, []string{"MINER"}, deadlines),
		call(&cli.Command{Name: "faults", Usage: "print a miner's faulty and recovering sectors", Flags: tip}, []string{"MINER"}, faults),
	}
}

// due is one deadline of a miner.
type due struct {
	Index      int
	Open       bool
	Partitions int
	Live       uint64
	Active     uint64
	Faulty     uint64
	Recovering uint64
	Proven     uint64
}

func deadlines(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	miner, key, err := subject(cmd)
	if err != nil {
		return err
	}
	list, err := c.StateMinerDeadlines(ctx, miner, key)
	if err != nil {
		return err
	}
	now, err := c.StateMinerProvingDeadline(ctx, miner, key)
	if err != nil {
		return err
	}
	out := make([]due, len(list))
	for i := range list {
		parts, err := c.StateMinerPartitions(ctx, miner, uint64(i), key)
		if err != nil {
			return err
		}
		if out[i], err = summed(parts); err != nil {
			return fmt.Errorf("deadline %d of %s: %w", i, miner, err)
		}
		out[i].Index, out[i].Open = i, uint64(i) == now.Index
		if out[i].Proven, err = list[i].PostSubmissions.Count(); err != nil {
			return fmt.Errorf("deadline %d of %s: %w", i, miner, err)
		}
	}
	return p.Result(out, func() {
		t := render.NewTable(">deadline", "", ">partitions", ">proven", ">live", ">active", ">faulty", ">recovering")
		for _, d := range out {
			open := ""
			if d.Open {
				open = "open"
			}
			t.Row(d.Index, open, d.Partitions, d.Proven, d.Live, d.Active, d.Faulty, d.Recovering)
		}
		p.Table(t)
	})
}

// summed counts the sectors of a deadline's partitions.
func summed(parts []apinode.Partition) (due, error) {
	d := due{Partitions: len(parts)}
	for _, part := range parts {
		for _, f := range []struct {
			into *uint64
			from bitfield.BitField
		}{{&d.Live, part.LiveSectors}, {&d.Active, part.ActiveSectors}, {&d.Faulty, part.FaultySectors}, {&d.Recovering, part.RecoveringSectors}} {
			n, err := f.from.Count()
			if err != nil {
				return due{}, err
			}
			*f.into += n
		}
	}
	return d, nil
}

func faults(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	miner, key, err := subject(cmd)
	if err != nil {
		return err
	}
	faulty, err := c.StateMinerFaults(ctx, miner, key)
	if err != nil {
		return err
	}
	recovering, err := c.StateMinerRecoveries(ctx, miner, key)
	if err != nil {
		return err
	}
	return p.Result(map[string]any{"faulty": faulty, "recovering": recovering}, func() {
		p.Fields("Faulty", runsOf(faulty), "Recovering", runsOf(recovering))
	})
}

// maxRuns is how many runs of sector numbers one line shows.
const maxRuns = 64

// runsOf is a set of sectors as people read it: 0-4,7.
func runsOf(b bitfield.BitField) string {
	it, err := b.RunIterator()
	if err != nil {
		return err.Error()
	}
	out, at := "", uint64(0)
	for shown := 0; it.HasNext(); {
		r, err := it.NextRun()
		if err != nil {
			return err.Error()
		}
		if r.Val {
			if shown++; shown > maxRuns {
				return out + ",..."
			}
			if out != "" {
				out += ","
			}
			out += fmt.Sprint(at)
			if r.Len > 1 {
				out += fmt.Sprintf("-%d", at+r.Len-1)
			}
		}
		at += r.Len
	}
	if out == "" {
		return "none"
	}
	return out
}

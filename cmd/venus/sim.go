package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/params/policy"
	"github.com/filecoin-venus/venus/sim"
	"github.com/filecoin-venus/venus/types"
)

func simCommand() *cli.Command {
	return &cli.Command{
		Name: "sim", Usage: "mine a chain in one process on a simulated clock, with faked proofs",
		Flags: []cli.Flag{
			&cli.Int64Flag{Name: "epochs", Value: int64(epochs), Usage: "how many epochs"},
			&cli.IntFlag{Name: "miners", Value: 4, Usage: "how many miners"},
			&cli.BoolFlag{Name: "operations", Usage: "miners and people also send messages of all kinds, each with a foretold outcome"},
			&cli.IntFlag{Name: "pace", Value: 1, Usage: "multiplies how often they do so"},
			&cli.BoolFlag{Name: "spot", Usage: "validate one block of each tipset, not all, in half of the time"},
			&cli.Int64Flag{Name: "seed", Value: 1, Usage: "the same seed gives the same final state"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			p := render.From(cmd)
			cfg := sim.Config{
				Epochs: abi.ChainEpoch(cmd.Int64("epochs")), Miners: cmd.Int("miners"), Seed: cmd.Int64("seed"), Operations: cmd.Bool("operations"), Pace: cmd.Int("pace"), Spot: cmd.Bool("spot"),
				Progress: func(epoch abi.ChainEpoch, _ *types.TipSet) { p.Note("epoch %d", epoch) },
			}
			net, err := sim.Network(cfg)
			if err != nil {
				return err
			}
			if err := policy.Apply(net); err != nil {
				return err
			}
			r, err := sim.Run(ctx, cfg)
			if err != nil {
				return err
			}
			if err := p.Result(r, func() { printSim(p, r) }); err != nil {
				return err
			}
			if bad := r.Problems(); len(bad) > 0 {
				return fmt.Errorf("the simulated chain broke its promises: %s", strings.Join(bad, "; "))
			}
			return nil
		},
	}
}

func printSim(p *render.Printer, r *sim.Report) {
	t := render.NewTable("miner", ">sectors", ">wins", ">expected", ">sigma", ">posts landed", ">due", ">faulty")
	for _, m := range r.Miners {
		t.Row(m.Miner, m.Sectors, m.Wins, m.Expected, m.Sigma, m.PostsLanded, m.PostsDue, m.Faulty)
	}
	p.Table(t)
	if len(r.Operations) > 0 {
		t := render.NewTable("operation", ">sent", ">succeeded", ">refused", ">open", "exits")
		for _, op := range r.Operations {
			t.Row(op.Kind, op.Sent, op.Succeeded, op.Refused, op.Open, exitsOf(op))
		}
		p.Table(t)
	}
	p.Fields("Epochs", r.Epochs, "Blocks", r.Blocks, "Null rounds", r.NullRounds, "Messages", r.Messages, "Failed", r.Failed,
		"Checks", r.Checks, "Audits", r.Audits,
		"Total FIL", types.FIL(r.TotalFIL), "Final state", r.FinalRoot)
}

// exitsOf lists the exits of an operation that are not zero, with their counts.
func exitsOf(op sim.OperationReport) string {
	codes := slices.Sorted(maps.Keys(op.Exits))
	out := make([]string, len(codes))
	for i, c := range codes {
		out[i] = fmt.Sprintf("%d×%d", c, op.Exits[c])
	}
	return strings.Join(out, " ")
}

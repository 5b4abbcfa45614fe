package sealer

import (
	"context"
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"
	"github.com/urfave/cli/v3"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

func now() time.Time { return clock.Real().Now() }

func sectorsCommand(d Deps) *cli.Command {
	return &cli.Command{Name: "sectors", Usage: "seal and look at sectors", Commands: append(upgradeCommands(d), []*cli.Command{
		pledgeCommand(d),
		listCommand(d),
		{Name: "unknown", Usage: "sectors that the chain has for the miner and this sealer does not know", Flags: []cli.Flag{
			&cli.BoolFlag{Name: "adopt", Usage: "take the live ones into the sealer's database"},
		}, Action: action(d, unknownSectors)},
		{Name: "status", Usage: "all that is known of a sector", ArgsUsage: "NUMBER", Flags: []cli.Flag{
			&cli.BoolFlag{Name: "log", Usage: "show its event log"},
			&cli.BoolFlag{Name: "on-chain-info", Usage: "show what the chain knows"},
		}, Action: action(d, sectorStatus)},
		{Name: "why", Usage: "what a sector waits for", ArgsUsage: "NUMBER", Action: action(d, sectorWhy)},
		{Name: "retry", Usage: "take up a waiting or failed sector now", ArgsUsage: "NUMBER", Action: action(d, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			n, err := oneNumber(cmd)
			if err != nil {
				return err
			}
			if err := c.SectorRetry(ctx, n); err != nil {
				return err
			}
			p.Note("sector %d is tried again", n)
			return nil
		})},
		removeCommand(d), redoCommand(d), terminateCommand(d), extendCommand(d), compactCommand(d), batchingCommand(d),
		{Name: "update-state", Usage: "force a sector into a state", ArgsUsage: "NUMBER STATE", Flags: []cli.Flag{
			&cli.BoolFlag{Name: "really-do-it", Usage: "confirm"},
		}, Action: action(d, updateState)},
		{Name: "refs", Usage: "count sectors by state", Aliases: []string{"summary"}, Action: action(d, func(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
			m, err := c.SectorsSummary(ctx)
			if err != nil {
				return err
			}
			return p.Result(m, func() { printSummary(p, m) })
		})},
	}...)}
}

func updateState(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	if cmd.Args().Len() != 2 {
		return render.Usage("name a sector and a state: sectors update-state NUMBER STATE")
	}
	n, err := number(cmd.Args().First())
	if err != nil {
		return err
	}
	if !cmd.Bool("really-do-it") {
		return render.Usage("forcing a state can lose a sector; pass --really-do-it")
	}
	if err := c.SectorsUpdate(ctx, n, cmd.Args().Get(1)); err != nil {
		return err
	}
	p.Note("sector %d is in state %s", n, cmd.Args().Get(1))
	return nil
}

func sectorStatus(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	n, err := oneNumber(cmd)
	if err != nil {
		return err
	}
	s, err := c.SectorsStatus(ctx, n, cmd.Bool("on-chain-info"))
	if err != nil {
		return err
	}
	return p.Result(s, func() {
		printStatus(p, s)
		if cmd.Bool("on-chain-info") {
			printOnChain(p, s)
		}
		if cmd.Bool("log") {
			printLog(p, s)
		}
	})
}

func printStatus(p *render.Printer, s sealerapi.SectorInfo) {
	p.Line("SectorID:\t%d", s.SectorID)
	p.Line("Status:\t\t%s", stateText(p, s.State))
	p.Line("CIDcommD:\t%s", cidText(s.CommD))
	p.Line("CIDcommR:\t%s", cidText(s.CommR))
	p.Line("Ticket:\t\t%x", []byte(s.Ticket.Value))
	p.Line("TicketH:\t%d", s.Ticket.Epoch)
	p.Line("Seed:\t\t%x", []byte(s.Seed.Value))
	p.Line("SeedH:\t\t%d", s.Seed.Epoch)
	p.Line("Precommit:\t%s", s.PreCommitMsg)
	p.Line("Commit:\t\t%s", s.CommitMsg)
	p.Line("Proof:\t\t%x", s.Proof)
	p.Line("Deals:\t\t%v", s.Deals)
	p.Line("Retries:\t%d", s.Retries)
	p.Line("Next:\t\t%s", s.NextAction)
	if s.LastErr != "" {
		p.Line("Last Error:\t\t%s", s.LastErr)
	}
}

func cidText(c *cid.Cid) string {
	if c == nil {
		return "<nil>"
	}
	return c.String()
}

func printOnChain(p *render.Printer, s sealerapi.SectorInfo) {
	p.Line("")
	p.Line("Sector On Chain Info")
	p.Line("SealProof:\t\t%d", s.SealProof)
	p.Line("Activation:\t\t%d", s.Activation)
	p.Line("Expiration:\t\t%d", s.Expiration)
	p.Line("DealWeight:\t\t%s", orZero(s.DealWeight))
	p.Line("VerifiedDealWeight:\t%s", orZero(s.VerifiedDealWeight))
	p.Line("InitialPledge:\t\t%s", types.FIL(orZero(s.InitialPledge)))
	p.Line("")
	p.Line("Expiration Info")
	p.Line("OnTime:\t\t%d", s.OnTime)
	p.Line("Early:\t\t%d", s.Early)
}

func orZero(v big.Int) big.Int {
	if v.Int == nil {
		return big.Zero()
	}
	return v
}

func printLog(p *render.Printer, s sealerapi.SectorInfo) {
	p.Line("--------")
	p.Line("Event Log:")
	for i, l := range s.Log {
		p.Line("%d.\t%s:\t[%s]\t%s", i, time.Unix(int64(l.Timestamp), 0).UTC().Format(time.DateTime), l.Kind, l.Message)
		if l.Trace != "" {
			p.Line("\t%s", l.Trace)
		}
	}
}

func sectorWhy(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	n, err := oneNumber(cmd)
	if err != nil {
		return err
	}
	w, err := c.SectorWhy(ctx, n)
	if err != nil {
		return err
	}
	return p.Result(w, func() { printWhy(p, w) })
}

func printWhy(p *render.Printer, w sealerapi.SectorWhy) {
	p.Line("Sector %d is in state %s: %s.", w.SectorID, stateText(p, w.State), w.Means)
	p.Line("Since:      %s (%s)", w.Since.UTC().Format(time.DateTime), render.Span(now().Sub(w.Since)))
	p.Line("Waits for:  %s", w.Waits)
	next := w.Next
	switch {
	case !w.NextAt.IsZero():
		next += fmt.Sprintf(", at %s UTC", w.NextAt.UTC().Format(time.DateTime))
	case w.NextEpoch != 0:
		next += fmt.Sprintf(", epoch %s", render.Epoch(w.NextEpoch, w.Epoch, w.BlockDelay))
	}
	p.Line("Next:       %s", next)
	if w.Limit != "" {
		p.Line("Limit:      from epoch %s on, %s", render.Epoch(w.LimitEpoch, w.Epoch, w.BlockDelay), w.Limit)
	}
	switch {
	case w.LastErr == "":
	case w.Overcome.IsZero():
		p.Line("Last error: %s (%s; %d in a row)", w.LastErr, whoMends(w.ErrClass), w.Retries)
	default:
		p.Line("Overcome:   at %s UTC: %s", w.Overcome.UTC().Format(time.DateTime), w.LastErr)
	}
	if len(w.Options) == 0 {
		return
	}
	p.Line("You can:")
	for _, o := range w.Options {
		p.Line("  %-40s  %s", o.Do, o.Then)
	}
}

// whoMends says a class of errors in plain words.
func whoMends(class string) string {
	switch class {
	case "operator":
		return "wants your hand"
	case "chain":
		return "the chain has decided"
	}
	return "goes away by itself"
}

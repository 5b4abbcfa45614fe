package sealer

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/urfave/cli/v3"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
)

func infoCommand(d Deps) *cli.Command {
	return &cli.Command{
		Name: "info", Usage: "the miner's power, money and sectors",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "hide-sectors-info", Usage: "leave the count of sectors by state out"}},
		Action: action(d, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			i, err := c.Info(ctx)
			if err != nil {
				return err
			}
			return p.Result(i, func() { printInfo(p, i, now(), !cmd.Bool("hide-sectors-info")) })
		}),
	}
}

// printInfo prints the form of the deployment guide.
func printInfo(p *render.Printer, i *sealerapi.Info, at time.Time, sectors bool) {
	p.Line("Chain: [%s] [basefee %s]", syncState(p, i, at), baseFee(p, i.BaseFee))
	p.Line("Sealer: %s (%s sectors)", i.Miner, render.SizeUint(uint64(i.SectorSize)))
	p.Line("Power: %s / %s (%s)", render.Deci(i.QualityPower), render.Deci(i.NetworkQuality), render.Percent(i.QualityPower, i.NetworkQuality, 4))
	p.Line("\tRaw: %s / %s (%s)", render.Size(i.RawPower), render.Size(i.NetworkRaw), render.Percent(i.RawPower, i.NetworkRaw, 4))
	p.Line("\tCommitted: %s", render.SizeUint(i.LiveSectors*uint64(i.SectorSize)))
	proving := fmt.Sprintf("\tProving: %s", render.SizeUint(i.ActiveSectors*uint64(i.SectorSize)))
	if i.FaultySectors > 0 {
		faulty := render.Percent(big.NewIntUnsigned(i.FaultySectors), big.NewIntUnsigned(i.LiveSectors), 2)
		proving += p.Red(fmt.Sprintf(" (%s Faulty, %s)", render.SizeUint(i.FaultySectors*uint64(i.SectorSize)), faulty))
	}
	p.Line("%s", proving)
	if i.HasMinPower {
		perDay := i.ExpectedPerWeek / 7
		every := time.Duration(0)
		if perDay > 0 {
			every = time.Duration(float64(24*time.Hour) / perDay)
		}
		p.Line("Expected block win rate: %.4f/day (every %s)", perDay, every.Truncate(time.Second))
	} else {
		p.Line("Below minimum power threshold, no blocks will be won")
	}
	p.Line("Sealer Balance:    %s", p.FIL(i.ActorBalance))
	p.Line("      PreCommit:  %s", p.FIL(i.PreCommit))
	p.Line("      Pledge:     %s", p.FIL(i.Pledge))
	p.Line("      Vesting:    %s", p.FIL(i.Vesting))
	p.Line("      Available:  %s", p.FIL(i.Available))
	free := big.Sub(i.MarketEscrow, i.MarketLocked)
	p.Line("Market Balance:   %s", p.FIL(i.MarketEscrow))
	p.Line("       Locked:    %s", p.FIL(i.MarketLocked))
	p.Line("       Available: %s", p.FIL(free))
	p.Line("Worker Balance:   %s", p.FIL(i.Worker.Amount))
	spend := big.Sum(i.Available, free, i.Worker.Amount)
	controls := big.Zero()
	for _, b := range i.Controls {
		controls = big.Add(controls, b.Amount)
	}
	if len(i.Controls) > 0 {
		p.Line("       Control:   %s", p.FIL(controls))
	}
	p.Line("Total Spendable:  %s", p.FIL(big.Add(spend, controls)))
	if sectors {
		printSummary(p, i.SectorsByState)
	}
}

// syncState judges the age of the head: below one and a half epochs is well.
func syncState(p *render.Printer, i *sealerapi.Info, at time.Time) string {
	behind := at.Sub(i.HeadTime)
	switch {
	case behind < i.BlockDelay*3/2+time.Second:
		return p.Green("sync ok")
	case behind < i.BlockDelay*5+time.Second:
		return p.Yellow(fmt.Sprintf("sync slow (%s behind)", behind.Truncate(time.Second)))
	}
	return p.Red(fmt.Sprintf("sync behind! (%s behind)", behind.Truncate(time.Second)))
}

// baseFee is coloured by how dear messages are.
func baseFee(p *render.Printer, fee abi.TokenAmount) string {
	text := p.FIL(fee)
	nano := func(tenths int64) big.Int { return big.NewInt(tenths * 10_000_000) }
	switch {
	case fee.GreaterThan(nano(300)):
		return p.Red(text)
	case fee.GreaterThan(nano(75)):
		return p.Yellow(text)
	case fee.GreaterThan(nano(10)):
		return p.Green(text)
	}
	return p.Blue(text)
}

// stateOrder is the order in which states are listed.
var stateOrder = map[string]int{
	"WaitDeals": -1, "AddPiece": 0, "Packing": 1, "GetTicket": 2, "PreCommit1": 3, "PreCommit2": 4, "PreCommitting": 5, "SubmitPreCommitBatch": 6, "PreCommitWait": 7,
	"PreCommitBatchWait": 8, "WaitSeed": 9, "Committing": 10, "SubmitCommit": 11, "SubmitCommitAggregate": 12, "CommitWait": 13,
	"CommitAggregateWait": 14, "FinalizeSector": 15, "Proving": 16,
	"SnapDealsWaitDeals": 17, "SnapDealsAddPiece": 18, "UpdateReplica": 19, "ProveReplicaUpdate": 20, "SubmitReplicaUpdate": 21,
	"ReplicaUpdateWait": 22, "FinalizeReplicaUpdate": 23, "UpdateActivating": 24, "ReleaseSectorKey": 25, "AbortUpgrade": 26,
	"Terminating": 27, "TerminateWait": 28, "TerminateFinality": 29, "Expired": 30, "Removing": 31, "Removed": 32,
}

func orderOf(state string) int {
	if n, ok := stateOrder[state]; ok {
		return n
	}
	return len(stateOrder) + 1
}

func printSummary(p *render.Printer, byState map[string]int) {
	total := 0
	names := make([]string, 0, len(byState))
	for s, n := range byState {
		total += n
		names = append(names, s)
	}
	sort.Slice(names, func(a, b int) bool {
		if orderOf(names[a]) != orderOf(names[b]) {
			return orderOf(names[a]) < orderOf(names[b])
		}
		return names[a] < names[b]
	})
	p.Line("")
	p.Line("Sectors:")
	p.Line("\tTotal: %d", total)
	for _, s := range names {
		p.Line("\t%s: %d", stateText(p, s), byState[s])
	}
}

// stateText colours a state: what proves is well, what failed is not.
func stateText(p *render.Printer, s string) string {
	switch {
	case s == "Proving":
		return p.Green(s)
	case orderOf(s) > len(stateOrder):
		return p.Red(s)
	}
	return p.Yellow(s)
}

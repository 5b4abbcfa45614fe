package venus

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/urfave/cli/v3"

	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cli/render"
)

func netScore(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	list, err := c.NetPubsubScores(ctx)
	if err != nil {
		return err
	}
	slices.SortStableFunc(list, func(a, b apinode.PubsubScore) int { return cmp.Compare(b.Score.Score, a.Score.Score) })
	return p.Result(list, func() {
		t := render.NewTable("peer", ">score", ">first to bring", ">invalid", ">misbehaved", ">crowded", ">from us")
		for _, s := range list {
			var first, invalid float64
			for _, topic := range s.Score.Topics {
				first += topic.FirstMessageDeliveries
				invalid += topic.InvalidMessageDeliveries
			}
			t.Row(s.ID, number(s.Score.Score), number(first), number(invalid), number(s.Score.BehaviourPenalty), number(s.Score.IPColocationFactor), number(s.Score.AppSpecificScore))
		}
		p.Table(t)
	})
}

func number(f float64) string { return fmt.Sprintf("%.1f", f) }

// traffic is the answer of net bandwidth.
type traffic struct {
	Total apinode.Bandwidth
	By    map[string]apinode.Bandwidth `json:",omitempty"`
}

func bandwidthCommand() *cli.Command {
	return call(&cli.Command{Name: "bandwidth", Usage: "print the traffic with peers since the start, and now", Flags: []cli.Flag{
		&cli.BoolFlag{Name: "by-peer", Usage: "of each peer"}, &cli.BoolFlag{Name: "by-protocol", Usage: "of each protocol"},
	}}, nil, netBandwidth)
}

func netBandwidth(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	var out traffic
	var err error
	if out.Total, err = c.NetBandwidthStats(ctx); err != nil {
		return err
	}
	what := "peer"
	switch {
	case cmd.Bool("by-peer") && cmd.Bool("by-protocol"):
		return render.Usage("by peer or by protocol, one at a time")
	case cmd.Bool("by-peer"):
		out.By, err = c.NetBandwidthStatsByPeer(ctx)
	case cmd.Bool("by-protocol"):
		what = "protocol"
		out.By, err = c.NetBandwidthStatsByProtocol(ctx)
	}
	if err != nil {
		return err
	}
	return p.Result(out, func() {
		t := render.NewTable(what, ">in", ">out", ">in per second", ">out per second")
		row := func(name string, b apinode.Bandwidth) {
			t.Row(name, size(float64(b.TotalIn)), size(float64(b.TotalOut)), size(b.RateIn), size(b.RateOut))
		}
		names := slices.Sorted(maps.Keys(out.By))
		slices.SortStableFunc(names, func(a, b string) int {
			return cmp.Compare(out.By[b].TotalIn+out.By[b].TotalOut, out.By[a].TotalIn+out.By[a].TotalOut)
		})
		for _, name := range names {
			row(name, out.By[name])
		}
		row("all", out.Total)
		p.Table(t)
	})
}

func size(bytes float64) string { return render.SizeUint(uint64(max(bytes, 0))) }

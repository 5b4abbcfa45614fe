package miner

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
)

func (e Env) wins() *cli.Command {
	return &cli.Command{Name: "win", Usage: "elections that were won, and what became of them", Commands: []*cli.Command{e.winList("list", "list wins and what became of them, newest first; also blocks whose record was imported"), e.winWhy(), e.winStats()}}
}

func (e Env) winList(name, usage string) *cli.Command {
	return e.call(&cli.Command{
		Name: name, Usage: usage,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "limit", Value: 20, Usage: "at most this many"},
			&cli.Int64Flag{Name: "before", Usage: "only of epochs below this `EPOCH`, for the next page"},
		},
	}, []string{"[ADDRESS]"}, func(ctx context.Context, cmd *cli.Command, m *client, p *render.Printer) error {
		of, err := oneAddress(cmd)
		if err != nil {
			return err
		}
		list, err := m.WinList(ctx, of, abi.ChainEpoch(cmd.Int64("before")), cmd.Int("limit"))
		if err != nil {
			return err
		}
		return p.Result(list, func() {
			t := render.NewTable(">Epoch", "Miner", ">Wins", "State", "Block", "Why")
			for _, w := range list {
				block := ""
				if w.Block.Defined() {
					block = w.Block.String()
				}
				t.Row(w.Epoch, w.Miner, w.WinCount, w.State, block, w.Why)
			}
			p.Table(t)
		})
	})
}

// oneAddress is the address that may be given, undefined when it is not.
func oneAddress(cmd *cli.Command) (address.Address, error) {
	if !cmd.Args().Present() {
		return address.Undef, nil
	}
	return connect.Address(cmd.Args().First())
}

func (e Env) winWhy() *cli.Command {
	return e.call(&cli.Command{Name: "why", Usage: "tell what became of a win, moment by moment"}, []string{"ADDRESS", "EPOCH"},
		func(ctx context.Context, cmd *cli.Command, m *client, p *render.Printer) error {
			addr, err := connect.Address(cmd.Args().First())
			if err != nil {
				return err
			}
			epoch, err := strconv.ParseInt(cmd.Args().Get(1), 10, 64)
			if err != nil {
				return render.Usage("%q is no epoch", cmd.Args().Get(1))
			}
			w, err := m.WinWhy(ctx, addr, abi.ChainEpoch(epoch))
			if err != nil {
				return err
			}
			return p.Result(w, func() {
				p.Line("%s won epoch %d (%d): %s", w.Miner, w.Epoch, w.WinCount, w.State)
				if w.Why != "" {
					p.Line("because %s", w.Why)
				}
				for _, x := range w.Story {
					p.Line("%s  %+8.1fs  %s", x.At.UTC().Format(time.DateTime), x.Seconds, x.What)
				}
			})
		})
}

func (e Env) winStats() *cli.Command {
	return e.call(&cli.Command{
		Name: "stats", Usage: "compare wins with what the miners' power promised",
		Flags: []cli.Flag{&cli.Int64Flag{Name: "epochs", Usage: "only the last `N` epochs, in steps of 2880; 0 = all that is counted"}},
	}, []string{"[ADDRESS...]"}, func(ctx context.Context, cmd *cli.Command, m *client, p *render.Printer) error {
		addrs, err := connect.Addresses(cmd.Args().Slice())
		if err != nil {
			return err
		}
		list, err := m.WinStats(ctx, addrs, abi.ChainEpoch(cmd.Int64("epochs")))
		if err != nil {
			return err
		}
		return p.Result(list, func() {
			t := render.NewTable("Miner", ">Epochs", ">Rounds", ">Won", ">Expected (95 %)", ">Wins", ">Expected (95 %)", ">Landed", ">Orphaned", ">Failed", ">Missed", ">Open")
			for _, w := range list {
				t.Row(w.Miner, fmt.Sprintf("%d-%d", w.From, w.To), w.Rounds, w.Won, fmt.Sprintf("%.1f (%d-%d)", w.Expected, w.Low, w.High),
					w.WinCount, fmt.Sprintf("%.1f (%d-%d)", w.ExpectedWinCount, w.LowWinCount, w.HighWinCount), w.Landed, w.Orphaned, w.Failed, w.Missed, w.Open)
			}
			p.Table(t)
			for _, w := range list {
				p.Note("%s: %s", w.Miner, w.Verdict)
			}
		})
	})
}

func (e Env) nodes() *cli.Command {
	list := e.call(&cli.Command{Name: "list", Usage: "tell of each chain node whether it can be heard, and which is in use"}, nil,
		func(ctx context.Context, _ *cli.Command, m *client, p *render.Printer) error {
			nodes, err := m.NodeStates(ctx)
			if err != nil {
				return err
			}
			return p.Result(nodes, func() {
				t := render.NewTable("Node", ">Head", "Used", "Error")
				for _, n := range nodes {
					used := ""
					if n.Used {
						used = "yes"
					}
					t.Row(n.Node, n.Head, used, n.Err)
				}
				p.Table(t)
			})
		})
	return &cli.Command{Name: "node", Usage: "the chain nodes that are mined with", Commands: []*cli.Command{list}}
}

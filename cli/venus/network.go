package venus

import (
	"context"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/urfave/cli/v3"

	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

func syncCommands() *cli.Command {
	return &cli.Command{Name: "sync", Usage: "how far this node is behind the network", Commands: []*cli.Command{
		call(&cli.Command{Name: "status", Usage: "print head, lag and the last catch-up"}, nil, syncStatus),
		call(&cli.Command{Name: "why", Usage: "explain in plain words why the head is not where the clock is, and what helps"}, nil, syncWhy),
		call(&cli.Command{Name: "wait", Usage: "wait until the head keeps up with the clock"}, nil, syncWait),
		call(&cli.Command{Name: "check-bad", Usage: "print why a block is refused"}, []string{"CID"}, checkBad),
		call(&cli.Command{Name: "mark-bad", Usage: "refuse a block"}, []string{"CID"}, markBad),
		call(&cli.Command{Name: "unmark-bad", Usage: "give a refused block another chance"}, []string{"CID"}, unmarkBad),
	}}
}

var stages = map[int]string{
	apinode.StageIdle: "idle", apinode.StageHeaders: "fetching headers", apinode.StageMessages: "judging blocks",
	apinode.StageComplete: "complete", apinode.StageError: "failed",
}

func syncStatus(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	st, err := c.NodeStatus(ctx, false)
	if err != nil {
		return err
	}
	s, err := c.SyncState(ctx)
	if err != nil {
		return err
	}
	return p.Result(map[string]any{"status": st, "sync": s}, func() {
		p.Fields("Head", st.SyncStatus.Epoch, "Behind", st.SyncStatus.Behind, "Block peers", st.PeerStatus.PeersToPublishBlocks)
		for _, a := range s.ActiveSyncs {
			p.Fields("Last catch-up", stages[a.Stage], "At height", a.Height)
			if a.Message != "" {
				p.Fields("Reason", a.Message)
			}
		}
	})
}

// acceptableLag is how many epochs a head may be behind and still keep up.
const acceptableLag = 2

func syncWait(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	for said := uint64(0); ; {
		st, err := c.NodeStatus(ctx, false)
		if err != nil {
			return err
		}
		if st.SyncStatus.Behind <= acceptableLag {
			return p.Result(st.SyncStatus, func() { p.Line("in sync at epoch %d", st.SyncStatus.Epoch) })
		}
		if said != st.SyncStatus.Epoch {
			p.Note("epoch %d, %d behind", st.SyncStatus.Epoch, st.SyncStatus.Behind)
			said = st.SyncStatus.Epoch
		}
		if err := clock.Real().Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

func checkBad(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	k, err := parseCid(cmd.Args().First())
	if err != nil {
		return err
	}
	reason, err := c.SyncCheckBad(ctx, k)
	if err != nil {
		return err
	}
	return p.Result(map[string]any{"cid": k, "reason": reason}, func() {
		if reason == "" {
			reason = "not marked bad"
		}
		p.Line("%s", reason)
	})
}

func markBad(ctx context.Context, cmd *cli.Command, c *client, _ *render.Printer) error {
	k, err := parseCid(cmd.Args().First())
	if err != nil {
		return err
	}
	return c.SyncMarkBad(ctx, k)
}

func unmarkBad(ctx context.Context, cmd *cli.Command, c *client, _ *render.Printer) error {
	k, err := parseCid(cmd.Args().First())
	if err != nil {
		return err
	}
	return c.SyncUnmarkBad(ctx, k)
}

func netCommands() *cli.Command {
	return &cli.Command{Name: "net", Aliases: []string{"swarm"}, Usage: "peers", Commands: []*cli.Command{
		call(&cli.Command{Name: "id", Usage: "print this node's peer id"}, nil, netID),
		call(&cli.Command{Name: "listen", Usage: "print the addresses other nodes can dial"}, nil, netListen),
		call(&cli.Command{Name: "peers", Usage: "print connected peers"}, nil, netPeers),
		call(&cli.Command{Name: "connect", Usage: "connect to a peer"}, []string{"MULTIADDR"}, netConnect),
		call(&cli.Command{Name: "disconnect", Usage: "disconnect from a peer"}, []string{"PEER"}, func(ctx context.Context, cmd *cli.Command, c *client, _ *render.Printer) error {
			return c.NetDisconnect(ctx, cmd.Args().First())
		}),
		call(&cli.Command{Name: "score", Usage: "print how gossip rates peers, and what for"}, nil, netScore),
		bandwidthCommand(),
		call(&cli.Command{Name: "faults", Usage: "print what peers did that honest ones do not, and who is kept out for it"}, nil, netFaults),
		call(&cli.Command{Name: "forgive", Usage: "forget a peer's faults and let it in again; all for everybody's"}, []string{"PEER|all"}, netForgive),
	}}
}

func netID(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	id, err := c.ID(ctx)
	if err != nil {
		return err
	}
	return p.Result(id, func() { p.Line("%s", id) })
}

func netListen(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	info, err := c.NetAddrsListen(ctx)
	if err != nil {
		return err
	}
	return p.Result(info, func() {
		for _, a := range info.Addrs {
			p.Line("%s/p2p/%s", a, info.ID)
		}
	})
}

func netPeers(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	list, err := c.NetPeers(ctx)
	if err != nil {
		return err
	}
	return p.Result(list, func() {
		t := render.NewTable("peer", "address")
		for _, i := range list {
			t.Row(i.ID, strings.Join(i.Addrs, " "))
		}
		p.Table(t)
	})
}

func netFaults(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	list, err := c.NetFaults(ctx)
	if err != nil {
		return err
	}
	return p.Result(list, func() {
		t := render.NewTable("peer", ">points", "kept out until", "last fault")
		for _, f := range list {
			until := ""
			if f.BannedUntil != nil {
				until = f.BannedUntil.Local().Format(time.DateTime)
			}
			t.Row(f.ID, int(f.Points), until, f.Reason)
		}
		p.Table(t)
	})
}

func netForgive(ctx context.Context, cmd *cli.Command, c *client, _ *render.Printer) error {
	if who := cmd.Args().First(); who != "all" {
		return c.NetForgive(ctx, []string{who})
	}
	return c.NetForgive(ctx, nil)
}

func netConnect(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	info, err := peer.AddrInfoFromString(cmd.Args().First())
	if err != nil {
		return render.Usage("%q is no peer address such as /ip4/10.0.0.1/tcp/1347/p2p/12D3...: %s", cmd.Args().First(), err)
	}
	addrs := apinode.AddrInfo{ID: info.ID.String()}
	for _, a := range info.Addrs {
		addrs.Addrs = append(addrs.Addrs, a.String())
	}
	if err := c.NetConnect(ctx, addrs); err != nil {
		return err
	}
	return p.Result(addrs, func() { p.Line("connected to %s", addrs.ID) })
}

func walletCommands() *cli.Command {
	return &cli.Command{Name: "wallet", Usage: "balances (keys live in venus-wallet)", Commands: []*cli.Command{
		call(&cli.Command{Name: "balance", Usage: "print an address's balance"}, []string{"ADDRESS"}, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			a, err := connect.Address(cmd.Args().First())
			if err != nil {
				return err
			}
			b, err := c.WalletBalance(ctx, a)
			if err != nil {
				return err
			}
			return p.Result(b, func() { p.Line("%s", types.FIL(b)) })
		}),
	}}
}

func stopCommand() *cli.Command {
	return call(&cli.Command{Name: "stop", Usage: "stop the running node in good order"}, nil, func(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
		if err := c.Shutdown(ctx); err != nil {
			return err
		}
		return p.Result("stopping", func() { p.Line("the node is stopping") })
	})
}

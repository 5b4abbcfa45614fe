package venus

import (
	"context"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/ipfs/go-cid"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/types"
)

// chainReading are the commands of chain that read messages and prices.
func chainReading() []*cli.Command {
	return []*cli.Command{
		call(&cli.Command{Name: "messages", Usage: "print the messages of a block, or of all blocks of the head", Flags: []cli.Flag{atFlag()}}, []string{"[BLOCK]"}, chainMessages),
		call(&cli.Command{Name: "gas-price", Usage: "print the base fee, and the premium that gets a message in within some blocks"}, nil, gasPrice),
	}
}

func chainMessages(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	var blocks []cid.Cid
	if cmd.Args().Len() > 0 {
		k, err := parseCid(cmd.Args().First())
		if err != nil {
			return err
		}
		blocks = []cid.Cid{k}
	} else {
		key, err := at(cmd)
		if err != nil {
			return err
		}
		if key.IsEmpty() {
			head, err := c.ChainHead(ctx)
			if err != nil {
				return err
			}
			key = head.Key()
		}
		blocks = key.Cids()
	}
	type row struct {
		Cid     cid.Cid
		Message *types.Message
	}
	var rows []row
	seen := map[cid.Cid]bool{} // blocks of one tipset share messages
	for _, b := range blocks {
		list, err := c.ChainGetBlockMessages(ctx, b)
		if err != nil {
			return err
		}
		all := list.BlsMessages
		for _, m := range list.SecpkMessages {
			all = append(all, &m.Message)
		}
		for i, m := range all {
			if !seen[list.Cids[i]] {
				seen[list.Cids[i]] = true
				rows = append(rows, row{list.Cids[i], m})
			}
		}
	}
	return p.Result(rows, func() {
		t := render.NewTable("cid", "from", ">nonce", "to", ">method", "value", ">gas limit")
		for _, r := range rows {
			t.Row(r.Cid, r.Message.From, r.Message.Nonce, r.Message.To, r.Message.Method, render.FIL(r.Message.Value), r.Message.GasLimit)
		}
		p.Table(t)
	})
}

func gasPrice(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	head, err := c.ChainHead(ctx)
	if err != nil {
		return err
	}
	type price struct {
		Blocks  uint64
		Premium abi.TokenAmount
	}
	out := struct {
		BaseFee  abi.TokenAmount
		Premiums []price
	}{BaseFee: head.ParentBaseFee()}
	const someGas = 10_000_000 // the answer does not depend on it
	for _, n := range []uint64{1, 2, 3, 5, 10, 20} {
		v, err := c.GasEstimateGasPremium(ctx, n, builtin.SystemActorAddr, someGas, head.Key())
		if err != nil {
			return err
		}
		out.Premiums = append(out.Premiums, price{n, v})
	}
	return p.Result(out, func() {
		p.Fields("Base fee", out.BaseFee)
		t := render.NewTable(">within blocks", ">premium (attoFIL per gas)")
		for _, x := range out.Premiums {
			t.Row(x.Blocks, x.Premium)
		}
		p.Table(t)
	})
}

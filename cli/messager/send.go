package messager

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/urfave/cli/v3"

	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/types"
)

// send queues a message that a person wrote.
func send() *cli.Command {
	return call(&cli.Command{
		Name: "send", Usage: "queue a message and print its id", Flags: []cli.Flag{
			&cli.StringFlag{Name: "from", Required: true, Usage: "the sender, an address of a wallet"},
			&cli.StringFlag{Name: "wallet", Aliases: []string{"account", "wallet-name"}, Usage: "the wallet that signs; without it whichever holds the sender's key"},
			&cli.Uint64Flag{Name: "method", Usage: "method number, 0 only moves FIL"},
			&cli.StringFlag{Name: "params-hex", Usage: "parameters in hex, as the actor reads them"},
			&cli.StringFlag{Name: "id", Usage: "an id of your own: the same message is not sent twice under it"},
			overestimation("gas-overestimation"), &cli.StringFlag{Name: "max-fee", Usage: "attoFIL"}, &cli.StringFlag{Name: "max-feecap", Usage: "attoFIL per gas"},
			&cli.Int64Flag{Name: "expire", Usage: "epoch after which it is given up while it is queued"},
		},
	}, []string{"TO", "FIL"}, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
		msg, meta, err := written(cmd)
		if err != nil {
			return err
		}
		var id string
		if own := cmd.String("id"); own != "" {
			id, err = c.PushMessageWithId(ctx, own, msg, meta, cmd.String("wallet"))
		} else {
			id, err = c.PushMessage(ctx, msg, meta, cmd.String("wallet"))
		}
		if err != nil {
			return err
		}
		return p.Result(map[string]string{"id": id}, func() { p.Line("%s", id) })
	})
}

// written is the message that a command line describes.
func written(cmd *cli.Command) (*types.Message, *msgapi.MsgMeta, error) {
	msg := &types.Message{Method: abi.MethodNum(cmd.Uint64("method"))}
	for _, x := range []struct {
		text string
		into *address.Address
	}{{cmd.String("from"), &msg.From}, {cmd.Args().Get(0), &msg.To}} {
		var err error
		if *x.into, err = connect.Address(x.text); err != nil {
			return nil, nil, err
		}
	}
	value, err := types.ParseFIL(cmd.Args().Get(1))
	if err != nil {
		return nil, nil, render.Usage("%s", err)
	}
	msg.Value = value.Atto()
	if msg.Params, err = hex.DecodeString(strings.TrimPrefix(cmd.String("params-hex"), "0x")); err != nil {
		return nil, nil, render.Usage("--params-hex: %s", err)
	}
	meta := &msgapi.MsgMeta{ExpireEpoch: abi.ChainEpoch(cmd.Int64("expire")), GasOverEstimation: cmd.Float64("gas-overestimation"), MaxFee: big.Zero(), MaxFeeCap: big.Zero()}
	for flag, into := range map[string]*big.Int{"max-fee": &meta.MaxFee, "max-feecap": &meta.MaxFeeCap} {
		text := cmd.String(flag)
		if text == "" {
			continue
		}
		if *into, err = big.FromString(text); err != nil || into.Sign() < 0 {
			return nil, nil, render.Usage("--%s %q is not a number of attoFIL", flag, text)
		}
	}
	return msg, meta, nil
}

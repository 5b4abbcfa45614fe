package messager

import (
	"context"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
)

// aboutFlags say which messages a fee rule is about.
func aboutFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "sender", Usage: "only messages of this sender"},
		&cli.StringFlag{Name: "actor", Usage: "only messages to this actor, as the messages name it"},
		&cli.Uint64Flag{Name: "method", Usage: "only calls of this method number"},
	}
}

func about(cmd *cli.Command) (*msgapi.FeeRule, error) {
	r := &msgapi.FeeRule{}
	if s := cmd.String("sender"); s != "" {
		a, err := connect.Address(s)
		if err != nil {
			return nil, err
		}
		r.Sender = &a
	}
	if s := cmd.String("actor"); s != "" {
		a, err := connect.Address(s)
		if err != nil {
			return nil, err
		}
		r.Actor = &a
	}
	if cmd.IsSet("method") {
		m := abi.MethodNum(cmd.Uint64("method"))
		r.Method = &m
	}
	return r, nil
}

func feeRules() *cli.Command {
	set := call(&cli.Command{
		Name: "set", Usage: "limit what messages of a kind may cost",
		Description: "Each limit of a message comes from the first that names it: the message itself; the rules that match it,\n" +
			"those that name the sender before those that name the actor before those that name only the method, the\n" +
			"fuller ones first (a sender's own settings are the rule that names nothing else); the shared limits.",
		Flags: append(aboutFlags(), overestimation("gas-overestimation"), &cli.StringFlag{Name: "max-fee", Usage: "attoFIL"}, &cli.StringFlag{Name: "max-feecap", Usage: "attoFIL per gas"}),
	}, nil, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
		r, err := about(cmd)
		if err != nil {
			return err
		}
		r.GasOverEstimation, r.MaxFee, r.MaxFeeCap = cmd.Float64("gas-overestimation"), cmd.String("max-fee"), cmd.String("max-feecap")
		if err := c.SetFeeRule(ctx, r); err != nil {
			return err
		}
		return p.Result(r, func() { p.Note("rule set") })
	})
	del := call(&cli.Command{Name: "del", Usage: "forget a rule", Flags: aboutFlags()}, nil,
		func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			r, err := about(cmd)
			if err != nil {
				return err
			}
			if err := c.DeleteFeeRule(ctx, r); err != nil {
				return err
			}
			return p.Result(r, func() { p.Note("rule forgotten") })
		})
	list := call(&cli.Command{Name: "list", Usage: "list the rules"}, nil,
		func(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
			rules, err := c.ListFeeRules(ctx)
			if err != nil {
				return err
			}
			return p.Result(rules, func() {
				t := render.NewTable("Sender", "Actor", ">Method", ">Over-estimation", ">Max fee (attoFIL)", ">Max fee cap")
				for _, r := range rules {
					sender, actor, method := any("all"), any("all"), any("all")
					if r.Sender != nil {
						sender = r.Sender
					}
					if r.Actor != nil {
						actor = r.Actor
					}
					if r.Method != nil {
						method = *r.Method
					}
					t.Row(sender, actor, method, r.GasOverEstimation, r.MaxFee, r.MaxFeeCap)
				}
				p.Table(t)
			})
		})
	return &cli.Command{Name: "fee-rule", Usage: "limits by sender, actor and method", Commands: []*cli.Command{list, set, del}}
}

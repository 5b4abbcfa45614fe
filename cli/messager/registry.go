package messager

import (
	"context"
	"strconv"

	"github.com/filecoin-project/go-address"
	"github.com/urfave/cli/v3"

	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
)

// tokenFlags take a secret from a flag, a file or the environment: a flag can be read
// by everyone on the machine while the command runs.
func tokenFlags(usage string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "token", Usage: usage, Sources: cli.EnvVars("VENUS_TOKEN")},
		&cli.StringFlag{Name: "token-file", Usage: "read the token from this `FILE` (- is standard input)"},
	}
}

// overestimation is the flag of a limit that several commands set.
func overestimation(name string) cli.Flag {
	return &cli.Float64Flag{Name: name, Usage: "gas limit in multiples of what a simulation used; 0 leaves it open"}
}

func wallets() *cli.Command {
	list := call(&cli.Command{Name: "list", Usage: "list the wallets"}, nil,
		func(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
			ws, err := c.ListWallet(ctx)
			if err != nil {
				return err
			}
			return p.Result(ws, func() {
				t := render.NewTable("Name", "Url", "State", ">Addresses", "Error")
				for _, w := range ws {
					t.Row(w.Name, w.URL, w.State, w.Addresses, w.Error)
				}
				p.Table(t)
			})
		})
	add := saveWallet("add", "add a wallet", "added", true, (*client).SaveWallet)
	update := saveWallet("update", "give a wallet another URL or token; its messages are kept", "changed", false, (*client).UpdateWallet)
	return &cli.Command{Name: "wallet", Usage: "the wallets that sign", Commands: []*cli.Command{
		add, update, list,
		named("search", "show a wallet", func(ctx context.Context, c *client, p *render.Printer, name string) error {
			w, err := c.GetWalletByName(ctx, name)
			if err != nil {
				return err
			}
			return p.Value(w)
		}),
		named("list-addr", "ask a wallet for its addresses", func(ctx context.Context, c *client, p *render.Printer, name string) error {
			as, err := c.ListRemoteWalletAddress(ctx, name)
			if err != nil {
				return err
			}
			return p.Result(as, func() {
				for _, a := range as {
					p.Line("%s", a)
				}
			})
		}),
		named("del", "stop using a wallet; queued messages of its addresses are given up", func(ctx context.Context, c *client, p *render.Printer, name string) error {
			if err := c.DeleteWallet(ctx, name); err != nil {
				return err
			}
			return p.Result(map[string]string{"name": name}, func() { p.Note("wallet %s is removed once its messages under way have landed", name) })
		}),
	}}
}

// saveWallet is a command that stores what it is told of a wallet and asks the wallet for its keys.
func saveWallet(name, usage, done string, all bool, save func(*client, context.Context, msgapi.WalletSpec) error) *cli.Command {
	return call(&cli.Command{Name: name, Usage: usage, Flags: append(tokenFlags("the wallet's token, or all that 'venus-wallet auth api-info' prints"),
		&cli.StringFlag{Name: "name", Usage: "the `NAME` that messages are pushed with", Required: true},
		&cli.StringFlag{Name: "url", Usage: "where the wallet listens, /ip4/1.2.3.4/tcp/5678/http", Required: all},
	)}, nil, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
		token, err := connect.Given(cmd, "token")
		if err != nil {
			return err
		}
		spec := msgapi.WalletSpec{Name: cmd.String("name"), URL: cmd.String("url"), Token: token}
		if !all && spec.URL == "" && spec.Token == "" {
			return render.Usage("give --url, --token or both")
		}
		if err := save(c, ctx, spec); err != nil {
			return err
		}
		w, err := c.GetWalletByName(ctx, spec.Name)
		if err != nil {
			return err
		}
		if w.Error != "" {
			p.Warn("the wallet is %s, but it cannot be asked for its keys yet: %s", done, w.Error)
		}
		return p.Result(w, func() { p.Note("wallet %s %s, %d addresses", w.Name, done, w.Addresses) })
	})
}

func named(name, usage string, f func(ctx context.Context, c *client, p *render.Printer, name string) error) *cli.Command {
	return call(&cli.Command{Name: name, Usage: usage}, []string{"NAME"}, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
		return f(ctx, c, p, cmd.Args().First())
	})
}

func addresses() *cli.Command {
	list := call(&cli.Command{Name: "list", Usage: "list the senders"}, nil,
		func(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
			as, err := c.ListAddress(ctx)
			if err != nil {
				return err
			}
			return p.Result(as, func() {
				t := render.NewTable("Address", ">Nonce", "State", ">Queued", ">Pending", ">Max pending", ">Max fee (attoFIL)")
				for _, a := range as {
					t.Row(a.Addr, a.Nonce, a.State, a.Queued, a.Pending, orShared(strconv.FormatUint(a.SelMsgNum, 10)), orShared(a.MaxFee))
				}
				p.Table(t)
			})
		})
	search := call(&cli.Command{Name: "search", Usage: "show a sender"}, []string{"ADDRESS"},
		func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			a, err := connect.Address(cmd.Args().First())
			if err != nil {
				return err
			}
			found, err := c.GetAddress(ctx, a)
			if err != nil {
				return err
			}
			return p.Value(found)
		})
	return &cli.Command{Name: "address", Usage: "the senders", Commands: append([]*cli.Command{
		list, search,
		onAddress("del", "forget a sender without messages under way", "deleted",
			func(ctx context.Context, _ *cli.Command, c *client, a address.Address) error {
				return c.DeleteAddress(ctx, a)
			}),
		onAddress("update-nonce", "set the next nonce of a sender", "nonce set",
			func(ctx context.Context, cmd *cli.Command, c *client, a address.Address) error {
				return c.UpdateNonce(ctx, a, cmd.Uint64("nonce"))
			}, &cli.Uint64Flag{Name: "nonce", Required: true}),
		onAddress("set-fee-params", "limit what the messages of a sender may cost", "limits set",
			func(ctx context.Context, cmd *cli.Command, c *client, a address.Address) error {
				return c.SetFeeParams(ctx, a, cmd.Float64("gas-overestimation"), cmd.String("max-fee"), cmd.String("max-feecap"))
			}, overestimation("gas-overestimation"), &cli.StringFlag{Name: "max-fee", Usage: "attoFIL"}, &cli.StringFlag{Name: "max-feecap", Usage: "attoFIL per gas"}),
	}, valves()...)}
}

// valves stop, start and narrow a sender.
func valves(more ...cli.Flag) []*cli.Command {
	return []*cli.Command{
		onAddress("forbidden", "take no more messages of a sender", "forbidden address success!",
			func(ctx context.Context, _ *cli.Command, c *client, a address.Address) error {
				return c.ForbiddenAddress(ctx, a)
			}, more...),
		onAddress("active", "take messages of a sender again", "active address success!",
			func(ctx context.Context, _ *cli.Command, c *client, a address.Address) error {
				return c.ActiveAddress(ctx, a)
			}, more...),
		onAddress("set-sel-msg-num", "limit how many messages of a sender are under way", "limit set",
			func(ctx context.Context, cmd *cli.Command, c *client, a address.Address) error {
				return c.SetSelectMsgNum(ctx, a, cmd.Uint64("num"))
			}, append([]cli.Flag{&cli.Uint64Flag{Name: "num", Required: true, Usage: "0 takes the shared limit"}}, more...)...),
	}
}

// walletAddresses are the original's commands about an address in a wallet. What they change holds for the sender, whichever
// wallet signs.
func walletAddresses() *cli.Command {
	name := func() cli.Flag {
		return &cli.StringFlag{Name: "wallet-name", Aliases: []string{"wallet_name", "name"}, Usage: "the wallet"}
	}
	list := call(&cli.Command{Name: "list", Usage: "list which wallet holds which address"}, nil,
		func(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
			was, err := c.ListWalletAddress(ctx)
			if err != nil {
				return err
			}
			return p.Result(was, func() {
				t := render.NewTable("Wallet", "Address", "State")
				for _, w := range was {
					t.Row(w.WalletName, w.Addr, w.State)
				}
				p.Table(t)
			})
		})
	search := call(&cli.Command{Name: "search", Usage: "tell how a wallet holds an address", Flags: []cli.Flag{name(), &cli.StringFlag{Name: "addr", Required: true}}}, nil,
		func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			a, err := connect.Address(cmd.String("addr"))
			if err != nil {
				return err
			}
			w, err := c.GetWalletAddress(ctx, cmd.String("wallet-name"), a)
			if err != nil {
				return err
			}
			return p.Value(w)
		})
	return &cli.Command{
		Name: "wallet-addr", Aliases: []string{"wallet_addr"}, Usage: "addresses by wallet", Commands: append([]*cli.Command{list, search}, valves(name())...),
	}
}

func orShared(s string) string {
	if s == "0" {
		return "shared"
	}
	return s
}

func sharedParams() *cli.Command {
	return &cli.Command{Name: "share-params", Usage: "limits of all senders that have none of their own", Commands: []*cli.Command{
		call(&cli.Command{Name: "get", Usage: "show them"}, nil, func(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
			sp, err := c.GetSharedParams(ctx)
			if err != nil {
				return err
			}
			return p.Value(sp)
		}),
		call(&cli.Command{Name: "set", Usage: "change those that are given", Flags: []cli.Flag{
			overestimation("gas-over-estimation"), &cli.StringFlag{Name: "max-fee", Usage: "attoFIL"},
			&cli.StringFlag{Name: "max-feecap", Usage: "attoFIL per gas, 0 for none"}, &cli.Uint64Flag{Name: "sel-msg-num"},
			&cli.Uint64Flag{Name: "global-msg-num", Usage: "messages under way of all senders together, 0 for no limit"},
			&cli.StringFlag{Name: "replace-budget", Usage: "what automatic replacements of a sender may add in a day, attoFIL, 0 for no limit"},
		}}, nil, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			sp, err := c.GetSharedParams(ctx)
			if err != nil {
				return err
			}
			if cmd.IsSet("gas-over-estimation") {
				sp.GasOverEstimation = cmd.Float64("gas-over-estimation")
			}
			if cmd.IsSet("max-fee") {
				sp.MaxFee = cmd.String("max-fee")
			}
			if cmd.IsSet("max-feecap") {
				sp.MaxFeeCap = cmd.String("max-feecap")
			}
			if cmd.IsSet("sel-msg-num") {
				sp.SelMsgNum = cmd.Uint64("sel-msg-num")
			}
			if cmd.IsSet("global-msg-num") {
				sp.GlobalMsgNum = cmd.Uint64("global-msg-num")
			}
			if cmd.IsSet("replace-budget") {
				sp.ReplaceBudget = cmd.String("replace-budget")
			}
			if sp, err = c.SetSharedParams(ctx, sp); err != nil {
				return err
			}
			return p.Value(sp)
		}),
		call(&cli.Command{Name: "refresh", Usage: "read them from the database again"}, nil, func(ctx context.Context, _ *cli.Command, c *client, _ *render.Printer) error {
			return c.RefreshSharedParams(ctx)
		}),
	}}
}

func nodes() *cli.Command {
	return &cli.Command{Name: "node", Usage: "nodes that messages are also published through", Commands: []*cli.Command{
		call(&cli.Command{Name: "add", Usage: "add a node", Flags: append(tokenFlags("the node's token"),
			&cli.StringFlag{Name: "name", Required: true, Usage: "what it is called here"}, &cli.StringFlag{Name: "url", Required: true, Usage: "where the node listens, /ip4/1.2.3.4/tcp/3453"},
			&cli.BoolFlag{Name: "gossip", Usage: "it only passes messages on to its peers and keeps none in its pool"},
		)}, nil, func(ctx context.Context, cmd *cli.Command, c *client, _ *render.Printer) error {
			token, err := connect.Given(cmd, "token")
			if err != nil {
				return err
			}
			return c.SaveNode(ctx, msgapi.NodeSpec{Name: cmd.String("name"), URL: cmd.String("url"), Token: token, Gossip: cmd.Bool("gossip")})
		}),
		call(&cli.Command{Name: "list", Usage: "list the nodes"}, nil, func(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
			ns, err := c.ListNode(ctx)
			if err != nil {
				return err
			}
			return p.Result(ns, func() {
				t := render.NewTable("Name", "Url", "Gossip only")
				for _, n := range ns {
					t.Row(n.Name, n.URL, n.Gossip)
				}
				p.Table(t)
			})
		}),
		named("search", "show a node", func(ctx context.Context, c *client, p *render.Printer, name string) error {
			n, err := c.GetNode(ctx, name)
			if err != nil {
				return err
			}
			return p.Value(n)
		}),
		named("del", "forget a node", func(ctx context.Context, c *client, _ *render.Printer, name string) error {
			return c.DeleteNode(ctx, name)
		}),
	}}
}

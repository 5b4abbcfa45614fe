package sealer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/types"
)

func actorCommand(d Deps) *cli.Command {
	return &cli.Command{
		Name: "actor", Usage: "the miner's money, keys and addresses on the chain",
		Description: "Commands that send a message try it on the present state first, then wait until it is deep enough, and fail when the message does. Those that move money or control want --really-do-it.",
		Commands: []*cli.Command{
			{Name: "info", Usage: "who controls the miner, and what it owes", Action: action(d, actorInfo)},
			{Name: "control", Usage: "addresses that may send for the miner", Commands: []*cli.Command{
				{Name: "list", Usage: "list them with their use and balance", Action: action(d, controlList)},
				send(d, deed{name: "set", args: "[ADDRESS...]", usage: "replace the control addresses by these; none clears them", grave: true, describe: describeControls, push: setControls}),
			}},
			send(d, deed{name: "withdraw", args: "[AMOUNT]", usage: "send AMOUNT FIL of the miner's free money to its owner; all of it without an amount", grave: true, push: func(ctx context.Context, cmd *cli.Command, c *client) (string, error) {
				amount, err := optionalFIL(cmd)
				if err != nil {
					return "", err
				}
				return c.ActorWithdraw(ctx, amount)
			}}),
			send(d, deed{name: "repay-debt", args: "[AMOUNT]", usage: "pay AMOUNT FIL of the miner's fee debt; all of it without an amount", grave: true, flags: []cli.Flag{
				&cli.StringFlag{Name: "from", Usage: "`ADDRESS` that pays (default: the worker)"},
			}, push: repayDebt}),
			send(d, deed{name: "set-owner", args: "NEW SENDER", usage: "propose NEW as owner when SENDER is the owner, accept it when SENDER is the new one", grave: true, push: func(ctx context.Context, cmd *cli.Command, c *client) (string, error) {
				a, err := exactly(cmd, 2)
				if err != nil {
					return "", err
				}
				return c.ActorSetOwner(ctx, a[0], a[1])
			}}),
			send(d, deed{name: "propose-change-worker", aliases: []string{"set-worker"}, args: "ADDRESS", usage: "propose a new worker; it can be confirmed 900 epochs later", grave: true, push: func(ctx context.Context, cmd *cli.Command, c *client) (string, error) {
				a, err := exactly(cmd, 1)
				if err != nil {
					return "", err
				}
				return c.ActorProposeWorker(ctx, a[0])
			}}),
			send(d, deed{name: "confirm-change-worker", aliases: []string{"confirm-worker"}, usage: "make the proposed worker the worker", grave: true, push: func(ctx context.Context, cmd *cli.Command, c *client) (string, error) {
				if _, err := exactly(cmd, 0); err != nil {
					return "", err
				}
				return c.ActorConfirmWorker(ctx)
			}}),
			send(d, deed{name: "set-peer-id", args: "PEERID", usage: "tell the network the peer id of the miner's market node", push: func(ctx context.Context, cmd *cli.Command, c *client) (string, error) {
				if cmd.Args().Len() != 1 {
					return "", render.Usage("name one peer id")
				}
				return c.ActorSetPeerID(ctx, cmd.Args().First())
			}}),
			send(d, deed{name: "set-addrs", args: "MULTIADDR...", usage: "tell the network where the miner's market node listens", flags: []cli.Flag{
				&cli.BoolFlag{Name: "clear", Usage: "have none"},
			}, push: func(ctx context.Context, cmd *cli.Command, c *client) (string, error) {
				if cmd.Bool("clear") == (cmd.Args().Len() > 0) {
					return "", render.Usage("give multiaddrs, or --clear to have none")
				}
				return c.ActorSetAddrs(ctx, cmd.Args().Slice())
			}}),
			send(d, deed{name: "compact-allocated", usage: "mark all sector numbers up to one as used, which makes the miner's messages cheaper", grave: true, flags: []cli.Flag{
				&cli.Int64Flag{Name: "up-to", Usage: "the last `NUMBER` to mark", Value: -1},
			}, push: func(ctx context.Context, cmd *cli.Command, c *client) (string, error) {
				if cmd.Int64("up-to") < 0 {
					return "", render.Usage("say which number is the last to mark, with --up-to")
				}
				return c.ActorCompactAllocated(ctx, abi.SectorNumber(cmd.Int64("up-to")))
			}}),
		},
	}
}

// deed is a command that sends a message of the miner.
type deed struct {
	name, args, usage string
	aliases           []string
	flags             []cli.Flag
	grave             bool // money or control moves: it has to be confirmed
	// describe tells what will change, for the operator to read before confirming; nil = the usage says it.
	describe func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error
	push     func(ctx context.Context, cmd *cli.Command, c *client) (string, error)
}

// send makes the command of a deed.
func send(d Deps, e deed) *cli.Command {
	flags := append([]cli.Flag{}, e.flags...)
	flags = append(flags,
		&cli.BoolFlag{Name: "no-wait", Usage: "print the message's id and do not wait for it"},
		&cli.Uint64Flag{Name: "confidence", Usage: "wait until the message is `N` epochs deep", Value: 5},
	)
	if e.grave {
		flags = append(flags, &cli.BoolFlag{Name: "really-do-it", Usage: "confirm"})
	}
	return &cli.Command{Name: e.name, Aliases: e.aliases, Usage: e.usage, ArgsUsage: e.args, Flags: flags, Action: action(d, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
		if e.describe != nil {
			if err := e.describe(ctx, cmd, c, p); err != nil {
				return err
			}
		}
		if e.grave && !cmd.Bool("really-do-it") {
			return render.Usage("nothing was sent: this moves the miner's money or control").WithHint("confirm with --really-do-it")
		}
		id, err := e.push(ctx, cmd, c)
		if err != nil {
			return err
		}
		if cmd.Bool("no-wait") {
			return p.Result(map[string]string{"Message": id}, func() { p.Line("sent as message %s", id) })
		}
		p.Note("sent as message %s; waiting until it is %d epochs deep (interrupt if you like: it goes on, see 'venus-messager msg why %s')", id, cmd.Uint64("confidence"), id)
		return settled(ctx, c, p, id, cmd.Uint64("confidence"))
	})}
}

// settled waits for a message and fails when the message did.
func settled(ctx context.Context, c *client, p *render.Printer, id string, confidence uint64) error {
	m, err := c.MessagerWaitMessage(ctx, id, confidence)
	if err != nil {
		return fmt.Errorf("wait for message %s: %w", id, err)
	}
	switch {
	case m.Error != "" && m.Cid == nil, m.Height == 0:
		return api.Errorf(api.CodeInternal, "message %s was given up (%s): %s", id, m.State, m.Error).WithHint("venus-messager msg why %s", id)
	case m.ExitCode != exitcode.Ok:
		return api.Errorf(api.CodeInternal, "message %s landed at epoch %d and failed with %s", id, m.Height, m.ExitCode).WithHint("venus-messager msg why %s", id)
	}
	return p.Result(m, func() {
		p.Line("message %s landed at epoch %d, gas used %d", id, m.Height, m.GasUsed)
	})
}

func exactly(cmd *cli.Command, n int) ([]address.Address, error) {
	if cmd.Args().Len() != n {
		return nil, render.Usage("%s takes %d addresses: %s", cmd.Name, n, cmd.ArgsUsage)
	}
	return connect.Addresses(cmd.Args().Slice())
}

// optionalFIL reads the only argument as an amount; none is 0.
func optionalFIL(cmd *cli.Command) (abi.TokenAmount, error) {
	if cmd.Args().Len() == 0 {
		return big.Zero(), nil
	}
	v, err := types.ParseFIL(cmd.Args().First())
	if err != nil || cmd.Args().Len() > 1 || v.Atto().Sign() <= 0 {
		return big.Zero(), render.Usage("%q is no amount: such as 1.5", strings.Join(cmd.Args().Slice(), " "))
	}
	return v.Atto(), nil
}

func repayDebt(ctx context.Context, cmd *cli.Command, c *client) (string, error) {
	amount, err := optionalFIL(cmd)
	if err != nil {
		return "", err
	}
	from := address.Undef
	if text := cmd.String("from"); text != "" {
		if from, err = connect.Address(text); err != nil {
			return "", err
		}
	}
	return c.ActorRepayDebt(ctx, amount, from)
}

func setControls(ctx context.Context, cmd *cli.Command, c *client) (string, error) {
	list, err := connect.Addresses(cmd.Args().Slice())
	if err != nil {
		return "", err
	}
	return c.ActorSetControls(ctx, list)
}

// describeControls shows what comes and what goes.
func describeControls(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	next, err := connect.Addresses(cmd.Args().Slice())
	if err != nil {
		return err
	}
	info, err := c.ActorInfo(ctx)
	if err != nil {
		return err
	}
	var stay []address.Address
	for _, x := range info.Controllers {
		if !strings.HasPrefix(x.Name, "control") {
			continue
		}
		if slices.Contains(next, x.ID) || slices.Contains(next, x.Key) {
			stay = append(stay, x.ID, x.Key)
		} else {
			p.Note("Remove %s", x.Key)
		}
	}
	for _, a := range next {
		if !slices.Contains(stay, a) {
			p.Note("Add %s", a)
		}
	}
	return nil
}

func actorInfo(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	i, err := c.ActorInfo(ctx)
	if err != nil {
		return err
	}
	return p.Result(i, func() {
		p.Line("Miner:       %s (%s sectors)", i.Miner, render.SizeUint(uint64(i.SectorSize)))
		for _, x := range i.Controllers {
			p.Line("%-12s %s (%s)", strings.ToUpper(x.Name[:1])+x.Name[1:]+":", x.ID, x.Key)
		}
		if i.NewWorker != address.Undef {
			p.Line("New worker:  %s, to be confirmed from epoch %s on", i.NewWorker, render.Epoch(i.WorkerFrom, i.Epoch, i.BlockDelay))
		}
		p.Line("Available:   %s", p.FIL(i.Available))
		debt := p.FIL(i.FeeDebt)
		if i.FeeDebt.Sign() > 0 {
			debt = p.Red(debt) + ": no sector can be committed or declared recovered until it is paid"
		}
		p.Line("Fee debt:    %s", debt)
		if i.Ineligible >= i.Epoch {
			p.Line("%s", p.Red(fmt.Sprintf("A consensus fault bars the miner until epoch %s", render.Epoch(i.Ineligible, i.Epoch, i.BlockDelay))))
		}
		p.Line("Peer id:     %s", orNone(i.PeerID))
		p.Line("Multiaddrs:  %s", orNone(strings.Join(i.Multiaddrs, " ")))
	})
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func controlList(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	i, err := c.ActorInfo(ctx)
	if err != nil {
		return err
	}
	return p.Result(i.Controllers, func() {
		t := render.NewTable("name", "ID", "key", "use", ">balance", "")
		for _, x := range i.Controllers {
			t.Row(x.Name, x.ID, x.Key, strings.Join(x.Uses, " "), controlBalance(p, x), keyNote(p, x))
		}
		p.Table(t)
	})
}

// controlBalance is red below 10 FIL and yellow below 50.
func controlBalance(p *render.Printer, x sealerapi.Controller) string {
	text := p.FIL(x.Balance)
	switch {
	case x.Balance.LessThan(types.NewFIL(10).Atto()):
		return p.Red(text)
	case x.Balance.LessThan(types.NewFIL(50).Atto()):
		return p.Yellow(text)
	}
	return p.Green(text)
}

func keyNote(p *render.Printer, x sealerapi.Controller) string {
	if x.InWallet {
		return ""
	}
	return p.Yellow("its key is not in the messager's wallet")
}

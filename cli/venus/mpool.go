package venus

import (
	"context"
	"sort"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/types"
)

func mpoolCommands() *cli.Command {
	return &cli.Command{Name: "mpool", Usage: "look at messages that wait for a block", Commands: []*cli.Command{
		call(&cli.Command{Name: "pending", Usage: "print pending messages", Flags: []cli.Flag{&cli.StringFlag{Name: "from", Usage: "of this sender only"}}}, nil, mpoolPending),
		call(&cli.Command{Name: "nonce", Usage: "print a sender's next free nonce"}, []string{"ADDRESS"}, mpoolNonce),
		call(&cli.Command{Name: "config", Usage: "print the pool's limits"}, nil, mpoolConfig),
		call(&cli.Command{Name: "stat", Usage: "count each sender's pending messages: those next in line, behind a gap, below the base fee"}, nil, mpoolStat),
		call(&cli.Command{Name: "find", Usage: "print pending messages that match all that is given", Flags: []cli.Flag{
			&cli.StringFlag{Name: "from", Usage: "of this sender"},
			&cli.StringFlag{Name: "to", Usage: "to this address"},
			&cli.Int64Flag{Name: "method", Value: -1, Usage: "of this method"},
		}}, nil, mpoolFind),
		call(&cli.Command{Name: "sub", Usage: "print messages as they enter and leave the pool, until interrupted"}, nil, mpoolSub),
	}}
}

func mpoolPending(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	list, err := c.MpoolPending(ctx, types.EmptyTSK)
	if err != nil {
		return err
	}
	if from := cmd.String("from"); from != "" {
		a, err := connect.Address(from)
		if err != nil {
			return err
		}
		kept := list[:0]
		for _, m := range list {
			if m.Message.From == a {
				kept = append(kept, m)
			}
		}
		list = kept
	}
	return printPending(p, list)
}

func mpoolNonce(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	a, err := connect.Address(cmd.Args().First())
	if err != nil {
		return err
	}
	n, err := c.MpoolGetNonce(ctx, a)
	if err != nil {
		return err
	}
	return p.Result(n, func() { p.Line("%d", n) })
}

func mpoolConfig(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	cfg, err := c.MpoolGetConfig(ctx)
	if err != nil {
		return err
	}
	return p.Value(cfg)
}

// senderStat is the pool's view of one sender.
type senderStat struct {
	Sender address.Address
	Nonce  uint64
	// Next are in line without a gap, Gap behind one, Past below the chain's nonce.
	Next, Gap, Past int
	// Underpriced have a fee cap below the base fee.
	Underpriced int
	GasLimit    int64
	// Most is what all may cost at most, in attoFIL.
	Most abi.TokenAmount
}

func mpoolStat(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	head, err := c.ChainHead(ctx)
	if err != nil {
		return err
	}
	list, err := c.MpoolPending(ctx, types.EmptyTSK)
	if err != nil {
		return err
	}
	bySender := map[address.Address][]*types.SignedMessage{}
	for _, m := range list {
		bySender[m.Message.From] = append(bySender[m.Message.From], m)
	}
	stats := make([]senderStat, 0, len(bySender))
	for from, msgs := range bySender {
		act, err := c.StateGetActor(ctx, from, head.Key())
		if err != nil {
			return err
		}
		stats = append(stats, statOf(from, act.Nonce, head.ParentBaseFee(), msgs))
	}
	sort.Slice(stats, func(i, j int) bool { return stats[i].Sender.String() < stats[j].Sender.String() })
	return p.Result(stats, func() {
		t := render.NewTable("sender", ">nonce", ">next", ">behind a gap", ">past", ">underpriced", ">gas limit", ">cost at most")
		for _, s := range stats {
			t.Row(s.Sender, s.Nonce, s.Next, s.Gap, s.Past, s.Underpriced, s.GasLimit, render.FIL(s.Most))
		}
		p.Table(t)
		p.Line("%d messages of %d senders, base fee %s", len(list), len(stats), head.ParentBaseFee())
	})
}

// statOf counts a sender's messages, given the nonce that the chain expects.
func statOf(from address.Address, nonce uint64, baseFee abi.TokenAmount, msgs []*types.SignedMessage) senderStat {
	sort.Slice(msgs, func(i, j int) bool { return msgs[i].Message.Nonce < msgs[j].Message.Nonce })
	s := senderStat{Sender: from, Nonce: nonce, Most: big.Zero()}
	next := nonce
	for _, m := range msgs {
		switch {
		case m.Message.Nonce < nonce:
			s.Past++
		case m.Message.Nonce == next:
			next++
			s.Next++
		default:
			s.Gap++
		}
		if m.Message.GasFeeCap.LessThan(baseFee) {
			s.Underpriced++
		}
		s.GasLimit += m.Message.GasLimit
		s.Most = big.Sum(s.Most, m.Message.Value, m.Message.RequiredFunds())
	}
	return s
}

func mpoolFind(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	var from, to address.Address
	for name, into := range map[string]*address.Address{"from": &from, "to": &to} {
		if s := cmd.String(name); s != "" {
			a, err := connect.Address(s)
			if err != nil {
				return err
			}
			*into = a
		}
	}
	method := cmd.Int64("method")
	if from == address.Undef && to == address.Undef && method < 0 {
		return render.Usage("say what to find: --from, --to or --method; `venus mpool pending` prints all")
	}
	list, err := c.MpoolPending(ctx, types.EmptyTSK)
	if err != nil {
		return err
	}
	found := []*types.SignedMessage{}
	for _, m := range list {
		if (from == address.Undef || m.Message.From == from) && (to == address.Undef || m.Message.To == to) &&
			(method < 0 || m.Message.Method == abi.MethodNum(method)) {
			found = append(found, m)
		}
	}
	return printPending(p, found)
}

func mpoolSub(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	updates, err := c.MpoolSub(ctx)
	if err != nil {
		return err
	}
	words := map[int]string{0: "added", 1: "removed"}
	for u := range updates {
		if p.JSON() {
			if err := p.Value(u); err != nil {
				return err
			}
			continue
		}
		m := u.Message.Message
		p.Line("%-7s %s from %s nonce %d to %s method %d", words[u.Type], u.Message.Cid(), m.From, m.Nonce, m.To, m.Method)
	}
	if ctx.Err() == nil {
		return api.Errorf(api.CodeUnavailable, "the node ended the subscription").WithHint("it may have stopped, or this program was too slow")
	}
	return nil
}

func printPending(p *render.Printer, list []*types.SignedMessage) error {
	return p.Result(list, func() {
		t := render.NewTable("cid", "from", ">nonce", "to", ">method", "value", ">fee cap", ">premium")
		for _, m := range list {
			t.Row(m.Cid(), m.Message.From, m.Message.Nonce, m.Message.To, m.Message.Method, render.FIL(m.Message.Value), m.Message.GasFeeCap, m.Message.GasPremium)
		}
		p.Table(t)
	})
}

package messager

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/ipfs/go-cid"
	"github.com/urfave/cli/v3"

	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/types"
)

func messages() *cli.Command {
	return &cli.Command{Name: "msg", Usage: "messages on their way", Commands: []*cli.Command{
		listMessages(), searchMessage(), waitMessage(), whyMessage(), listFailed(), listBlocked(), pushSigned(),
		replaceMessage(), onMessage("republish", "push a message under way to the nodes again", "published", (*client).RepublishMessage),
		markBad(), updateMessages(), onMessage("update-filled-msg", "ask the chain for the fate of a message", "compared with the chain", (*client).UpdateFilledMessageByID),
	}}
}

func onMessage(name, usage, done string, f func(*client, context.Context, string) error) *cli.Command {
	return call(&cli.Command{Name: name, Aliases: underscored(name), Usage: usage}, []string{"ID"},
		func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			id := cmd.Args().First()
			if err := f(c, ctx, id); err != nil {
				return err
			}
			return p.Result(map[string]string{"id": id, "done": done}, func() { p.Line("%s: %s", id, done) })
		})
}

// parseState reads a state's name, an original's name or its number.
func parseState(s string) (msgapi.State, error) {
	low := strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(s))
	names := map[string]msgapi.State{
		"queued": msgapi.StateQueued, "unfill": msgapi.StateQueued, "unfillmsg": msgapi.StateQueued,
		"pending": msgapi.StatePending, "signed": msgapi.StatePending, "fill": msgapi.StatePending, "fillmsg": msgapi.StatePending,
		"onchain": msgapi.StateOnChain, "onchainmsg": msgapi.StateOnChain, "failed": msgapi.StateFailed, "failedmsg": msgapi.StateFailed,
		"conflict": msgapi.StateReplaced, "nonceconflict": msgapi.StateReplaced, "replaced": msgapi.StateReplaced, "replacedmsg": msgapi.StateReplaced,
		"nowallet": msgapi.StateNoWallet, "nowalletmsg": msgapi.StateNoWallet,
	}
	if st, ok := names[low]; ok {
		return st, nil
	}
	if n, err := strconv.Atoi(s); err == nil && n >= int(msgapi.StateQueued) && n <= int(msgapi.StateNoWallet) {
		return msgapi.State(n), nil
	}
	return 0, render.Usage("%q is no message state", s).WithHint("use queued, pending, onchain, failed, conflict or nowallet")
}

func listMessages() *cli.Command {
	return call(&cli.Command{Name: "list", Usage: "list messages, newest first", Flags: []cli.Flag{
		&cli.StringSliceFlag{Name: "from", Usage: "only of this sender, may be repeated"},
		&cli.StringSliceFlag{Name: "state", Usage: "only in this state, may be repeated"},
		&cli.StringFlag{Name: "wallet", Usage: "only of this wallet"},
		&cli.BoolFlag{Name: "failing", Usage: "only with an error"},
		&cli.DurationFlag{Name: "time", Aliases: []string{"t"}, Usage: "only older than this"},
		&cli.IntFlag{Name: "page-index", Value: 1}, &cli.IntFlag{Name: "page-size", Aliases: []string{"count"}, Value: 100},
		&cli.BoolFlag{Name: "asc", Usage: "oldest first"},
		&cli.StringFlag{Name: "output-type", Usage: "table or json", Value: "table"},
		&cli.BoolFlag{Name: "verbose", Usage: "accepted for old scripts: nothing is cut"},
	}}, nil, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
		q := msgapi.MsgQuery{
			Wallet: cmd.String("wallet"), Failing: cmd.Bool("failing"), OlderThan: cmd.Duration("time"),
			PageIndex: cmd.Int("page-index"), PageSize: cmd.Int("page-size"), Ascending: cmd.Bool("asc"),
		}
		for _, s := range cmd.StringSlice("from") {
			a, err := connect.Address(s)
			if err != nil {
				return err
			}
			q.From = append(q.From, a)
		}
		for _, s := range cmd.StringSlice("state") {
			st, err := parseState(s)
			if err != nil {
				return err
			}
			q.States = append(q.States, st)
		}
		msgs, err := c.ListMessage(ctx, q)
		if err != nil {
			return err
		}
		return showMessages(p, msgs, cmd.String("output-type") == "json")
	})
}

func showMessages(p *render.Printer, msgs []*msgapi.Message, asJSON bool) error {
	if asJSON {
		return p.Value(msgs)
	}
	return p.Result(msgs, func() {
		t := render.NewTable("ID", "From", ">Nonce", "To", ">Method", ">Value", "State", ">Exit", ">Height", "Error")
		for _, m := range msgs {
			nonce, exit, height := "", "", ""
			if m.SignedCid != nil {
				nonce = strconv.FormatUint(m.Nonce, 10)
			}
			if m.Receipt != nil {
				exit, height = strconv.FormatInt(int64(m.Receipt.ExitCode), 10), strconv.FormatInt(m.Height, 10)
			}
			t.Row(m.ID, m.From, nonce, m.To, m.Method, p.FIL(m.Value), m.Status, exit, height, m.ErrorMsg)
		}
		p.Table(t)
	})
}

func searchMessage() *cli.Command {
	return call(&cli.Command{Name: "search", Usage: "show one message", Flags: []cli.Flag{
		&cli.StringFlag{Name: "id"}, &cli.StringFlag{Name: "cid", Usage: "signed or unsigned CID"},
		&cli.StringFlag{Name: "signed_cid", Aliases: []string{"s_cid"}}, &cli.StringFlag{Name: "unsigned_cid", Aliases: []string{"u_cid"}},
		&cli.StringFlag{Name: "from", Usage: "sender, together with --nonce"}, &cli.Uint64Flag{Name: "nonce"},
	}}, nil, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
		m, err := find(ctx, cmd, c)
		if err != nil {
			return err
		}
		return p.Value(m)
	})
}

func find(ctx context.Context, cmd *cli.Command, c *client) (*msgapi.Message, error) {
	byCid := map[string]func(context.Context, cid.Cid) (*msgapi.Message, error){
		"cid": c.GetMessageByCid, "signed_cid": c.GetMessageBySignedCid, "unsigned_cid": c.GetMessageByUnsignedCid,
	}
	for flag, get := range byCid {
		if s := cmd.String(flag); s != "" {
			k, err := cid.Decode(s)
			if err != nil {
				return nil, render.Usage("%q is no CID: %s", s, err)
			}
			return get(ctx, k)
		}
	}
	switch {
	case cmd.String("id") != "":
		return c.GetMessageByUid(ctx, cmd.String("id"))
	case cmd.String("from") != "" && cmd.IsSet("nonce"):
		a, err := connect.Address(cmd.String("from"))
		if err != nil {
			return nil, err
		}
		return c.GetMessageByFromAndNonce(ctx, a, cmd.Uint64("nonce"))
	}
	return nil, render.Usage("say which message").WithHint("use --id, --cid, or --from with --nonce")
}

func waitMessage() *cli.Command {
	return call(&cli.Command{Name: "wait", Usage: "wait until a message is final", Flags: []cli.Flag{
		&cli.Uint64Flag{Name: "confidence", Value: 5, Usage: "epochs to wait on top of its execution"},
	}}, []string{"ID"}, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
		m, err := c.WaitMessage(ctx, cmd.Args().First(), cmd.Uint64("confidence"))
		if err != nil {
			return err
		}
		if err := p.Result(m, func() {
			p.Line("state: %s", m.Status)
			if m.SignedCid != nil {
				p.Line("message cid: %s", m.SignedCid)
			}
			if r := m.Receipt; r != nil {
				p.Line("Height: %d\nTipset: %s\nexitcode: %d\ngas_used: %d\nreturn_value: %x", m.Height, m.TipSetKey, r.ExitCode, r.GasUsed, r.Return)
			}
			if m.ErrorMsg != "" {
				p.Line("error: %s", m.ErrorMsg)
			}
		}); err != nil {
			return err
		}
		if m.State != msgapi.StateOnChain || m.Receipt == nil || m.Receipt.ExitCode != 0 {
			return fmt.Errorf("message %s did not succeed: see `venus-messager msg why %s`", m.ID, m.ID)
		}
		return nil
	})
}

func whyMessage() *cli.Command {
	return call(&cli.Command{Name: "why", Usage: "say in plain words what a message waits for"}, []string{"ID"},
		func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			e, err := c.ExplainMessage(ctx, cmd.Args().First())
			if err != nil {
				return err
			}
			return p.Result(e, func() {
				p.Line("%s: %s", e.Status, e.Reason)
				if e.Advice != "" {
					p.Line("What to do: %s", e.Advice)
				}
				p.Line("")
				t := render.NewTable("When", "What", "")
				for _, n := range e.Events {
					t.Row(n.At.Local().Format("2006-01-02 15:04:05.000"), n.Kind, n.Text)
				}
				p.Table(t)
				if len(e.Attempts) == 0 {
					return
				}
				p.Line("")
				t = render.NewTable("Signed form", ">Nonce", ">Gas limit", ">Fee cap", ">Premium", "Fate")
				for _, a := range e.Attempts {
					t.Row(a.Cid, a.Nonce, a.GasLimit, a.GasFeeCap, a.GasPremium, a.Fate)
				}
				p.Table(t)
			})
		})
}

// maxSignedFile is above any message the network takes, in JSON.
const maxSignedFile = 1 << 20

func readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(os.Stdin, maxSignedFile))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, render.Usage("%s", err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSignedFile))
}

func pushSigned() *cli.Command {
	return call(&cli.Command{
		Name: "push-signed", Usage: "deliver a message that was signed elsewhere",
		Description: "FILE holds the signed message as JSON, as nodes and wallets print it; - is standard input.",
	}, []string{"FILE"}, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
		raw, err := readFile(cmd.Args().First())
		if err != nil {
			return err
		}
		var sm types.SignedMessage
		if err := json.Unmarshal(raw, &sm); err != nil {
			return render.Usage("this is no signed message: %s", err)
		}
		id, err := c.PushSignedMessage(ctx, &sm)
		if err != nil {
			return err
		}
		return p.Result(map[string]string{"id": id}, func() { p.Line("%s", id) })
	})
}

func listFailed() *cli.Command {
	return call(&cli.Command{Name: "list-fail", Usage: "list queued messages that meet an obstacle"}, nil,
		func(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
			msgs, err := c.ListFailedMessage(ctx)
			if err != nil {
				return err
			}
			return showMessages(p, msgs, false)
		})
}

func listBlocked() *cli.Command {
	return call(&cli.Command{Name: "list-blocked", Usage: "list messages that wait for long", Flags: []cli.Flag{
		&cli.DurationFlag{Name: "time", Aliases: []string{"t"}, Value: 3 * time.Hour}, &cli.StringFlag{Name: "from"},
	}}, nil, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
		from := address.Undef
		if s := cmd.String("from"); s != "" {
			var err error
			if from, err = connect.Address(s); err != nil {
				return err
			}
		}
		msgs, err := c.ListBlockedMessage(ctx, from, cmd.Duration("time"))
		if err != nil {
			return err
		}
		return showMessages(p, msgs, false)
	})
}

func replaceMessage() *cli.Command {
	return call(&cli.Command{Name: "replace", Usage: "sign a message under way again with a higher price", Flags: []cli.Flag{
		&cli.BoolFlag{Name: "auto", Usage: "take the market's price"}, &cli.StringFlag{Name: "max-fee", Usage: "limit in attoFIL"},
		&cli.Int64Flag{Name: "gas-limit"}, &cli.StringFlag{Name: "gas-premium", Usage: "attoFIL per gas"}, &cli.StringFlag{Name: "gas-feecap", Usage: "attoFIL per gas"},
	}}, []string{"ID"}, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
		k, err := c.ReplaceMessage(ctx, cmd.Args().First(), cmd.Bool("auto"), cmd.String("max-fee"), cmd.Int64("gas-limit"), cmd.String("gas-premium"), cmd.String("gas-feecap"))
		if err != nil {
			return err
		}
		return p.Result(map[string]any{"cid": k}, func() { p.Line("new message cid: %s", k) })
	})
}

func markBad() *cli.Command {
	return call(&cli.Command{Name: "mark-bad", Aliases: []string{"mark_bad"}, Usage: "give up queued messages", Flags: []cli.Flag{
		&cli.BoolFlag{Name: "really-do-it", Usage: "confirm: the messages will not be sent"},
		&cli.StringFlag{Name: "from", Usage: "all queued messages of this sender, instead of IDs"},
	}}, []string{"[ID...]"}, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
		ids := cmd.Args().Slice()
		if s := cmd.String("from"); s != "" {
			from, err := connect.Address(s)
			if err == nil && len(ids) > 0 {
				err = render.Usage("give IDs or --from, not both")
			}
			if err != nil {
				return err
			}
			if ids, err = queuedOf(ctx, c, from); err != nil {
				return err
			}
		} else if len(ids) == 0 {
			return render.Usage("name messages by their IDs, or a sender with --from")
		}
		if !cmd.Bool("really-do-it") {
			return render.Usage("%d messages would never be sent", len(ids)).WithHint("confirm with --really-do-it")
		}
		for _, id := range ids {
			if err := c.MarkBadMessage(ctx, id); err != nil {
				return err
			}
		}
		return p.Result(map[string]any{"ids": ids, "done": "given up"}, func() {
			for _, id := range ids {
				p.Line("%s: given up", id)
			}
		})
	})
}

// queuedOf lists the ids of a sender's queued messages.
func queuedOf(ctx context.Context, c *client, from address.Address) (ids []string, err error) {
	const size = 1000
	for page := 1; ; page++ {
		msgs, err := c.ListMessageByFromState(ctx, from, msgapi.StateQueued, page, size)
		if err != nil {
			return nil, err
		}
		for _, m := range msgs {
			ids = append(ids, m.ID)
		}
		if len(msgs) < size {
			return ids, nil
		}
	}
}

func updateMessages() *cli.Command {
	return call(&cli.Command{Name: "update-all-filled-msg", Aliases: []string{"update_all_filled_msg"}, Usage: "ask the chain for the fate of all messages under way"}, nil,
		func(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
			n, err := c.UpdateAllFilledMessage(ctx)
			if err != nil {
				return err
			}
			return p.Result(map[string]int{"count": n}, func() { p.Line("update message count: %d", n) })
		})
}

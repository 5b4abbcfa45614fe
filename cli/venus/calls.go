package venus

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/ipfs/go-cid"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/types"
)

// callCommands run things on a state without keeping anything, and judge it.
func callCommands() []*cli.Command {
	tip := []cli.Flag{atFlag()}
	return []*cli.Command{
		call(&cli.Command{Name: "check", Usage: "hold the state after a tipset against all invariants of the actors; reads all of it", Flags: tip}, nil, stateCheck),
		call(&cli.Command{Name: "call", Usage: "run a message without fees and print what it would give; PARAMS is the JSON that decode-params prints", Flags: append(tip,
			&cli.StringFlag{Name: "from", Usage: "the sender's address (default: the system actor)"},
			&cli.StringFlag{Name: "value", Value: "0", Usage: "FIL to send along"},
		)}, []string{"TO", "[METHOD]", "[PARAMS]"}, stateCall),
		call(&cli.Command{Name: "compute", Usage: "run a tipset again and print the state root and what each message did", Flags: append(tip,
			&cli.Int64Flag{Name: "height", Value: -1, Usage: "the epoch (default: the head's)"},
		)}, nil, stateCompute),
		call(&cli.Command{Name: "decode-params", Usage: "print the parameters of a method by name; PARAMS is hex or base64", Flags: tip}, []string{"TO", "METHOD", "PARAMS"}, decodeParams),
		call(&cli.Command{Name: "encode-params", Usage: "print the bytes of a method's parameters, given as JSON", Flags: tip}, []string{"TO", "METHOD", "PARAMS"}, encodeParams),
		call(&cli.Command{Name: "deadlines", Usage: "print what a miner has to prove in each deadline", Flags: tip}, []string{"MINER"}, deadlines),
		call(&cli.Command{Name: "faults", Usage: "print a miner's faulty and recovering sectors", Flags: tip}, []string{"MINER"}, faults),
	}
}

func stateCheck(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	key, err := at(cmd)
	if err != nil {
		return err
	}
	p.Note("reading every actor; this takes a while on a large state")
	r, err := c.StateCheck(ctx, key)
	if err != nil {
		return err
	}
	if err := p.Result(r, func() {
		for _, f := range r.Broken {
			p.Line("broken: %s", f)
		}
		if len(r.Broken) == 0 {
			p.Line("state %s after epoch %d: every invariant holds", r.Root, r.Epoch)
		}
	}); err != nil {
		return err
	}
	if n := len(r.Broken); n > 0 {
		return api.Errorf(api.CodeConflict, "%d invariants are broken in state %s after epoch %d", n, r.Root, r.Epoch)
	}
	return nil
}

// parseMethod reads a method number.
func parseMethod(s string) (abi.MethodNum, error) {
	n, err := parseUint("method", s)
	return abi.MethodNum(n), err
}

func stateCall(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	to, key, err := subject(cmd)
	if err != nil {
		return err
	}
	m := &types.Message{To: to, From: builtin.SystemActorAddr, GasFeeCap: big.Zero(), GasPremium: big.Zero()}
	if from := cmd.String("from"); from != "" {
		if m.From, err = connect.Address(from); err != nil {
			return err
		}
	}
	value, err := types.ParseFIL(cmd.String("value"))
	if err != nil {
		return render.Usage("value: %s", err)
	}
	m.Value = value.Atto()
	if cmd.Args().Len() > 1 {
		if m.Method, err = parseMethod(cmd.Args().Get(1)); err != nil {
			return err
		}
	}
	if cmd.Args().Len() > 2 {
		if m.Params, err = encoded(ctx, c, to, key, m.Method, cmd.Args().Get(2)); err != nil {
			return err
		}
	}
	res, err := c.StateCall(ctx, m, key)
	if err != nil {
		return err
	}
	return p.Result(res, func() {
		p.Fields("Exit code", res.MsgRct.ExitCode, "Gas used", res.MsgRct.GasUsed, "Return", hex.EncodeToString(res.MsgRct.Return))
		if res.Error != "" {
			p.Fields("Error", res.Error)
		}
	})
}

// encoded has the node encode parameters for the actor at an address.
func encoded(ctx context.Context, c *client, to address.Address, key types.TipSetKey, method abi.MethodNum, params string) ([]byte, error) {
	if !json.Valid([]byte(params)) {
		return nil, render.Usage("parameters %q are not JSON", params)
	}
	act, err := c.StateGetActor(ctx, to, key)
	if err != nil {
		return nil, err
	}
	return c.StateEncodeParams(ctx, act.Code, method, json.RawMessage(params))
}

func stateCompute(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	key, err := at(cmd)
	if err != nil {
		return err
	}
	if h := cmd.Int64("height"); h >= 0 {
		ts, err := c.ChainGetTipSetByHeight(ctx, abi.ChainEpoch(h), key)
		if err != nil {
			return err
		}
		key = ts.Key()
	}
	ts, err := c.ChainGetTipSet(ctx, key)
	if err != nil {
		return err
	}
	out, err := c.StateCompute(ctx, ts.Height(), nil, key)
	if err != nil {
		return err
	}
	return p.Result(out, func() {
		t := render.NewTable("message", "from", "to", ">method", ">exit", ">gas", "error")
		for _, r := range out.Trace {
			t.Row(r.MsgCid, r.Msg.From, r.Msg.To, r.Msg.Method, int64(r.MsgRct.ExitCode), r.MsgRct.GasUsed, r.Error)
		}
		p.Table(t)
		p.Line("state after epoch %d: %s", ts.Height(), out.Root)
	})
}

// parseBytes reads hex, with or without 0x, or base64.
func parseBytes(s string) ([]byte, error) {
	if len(s) > 1 && s[:2] == "0x" {
		s = s[2:]
	}
	if b, err := hex.DecodeString(s); err == nil {
		return b, nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, render.Usage("%q is neither hex nor base64", s)
	}
	return b, nil
}

func decodeParams(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	to, key, err := subject(cmd)
	if err != nil {
		return err
	}
	method, err := parseMethod(cmd.Args().Get(1))
	if err != nil {
		return err
	}
	raw, err := parseBytes(cmd.Args().Get(2))
	if err != nil {
		return err
	}
	v, err := c.StateDecodeParams(ctx, to, method, raw, key)
	if err != nil {
		return err
	}
	return p.Value(v)
}

func encodeParams(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	to, key, err := subject(cmd)
	if err != nil {
		return err
	}
	method, err := parseMethod(cmd.Args().Get(1))
	if err != nil {
		return err
	}
	raw, err := encoded(ctx, c, to, key, method, cmd.Args().Get(2))
	if err != nil {
		return err
	}
	text := hex.EncodeToString(raw)
	return p.Result(map[string]any{"hex": text, "base64": raw}, func() { p.Line("%s", text) })
}

// due is one deadline of a miner.
type due struct {
	Index      int
	Open       bool
	Partitions int
	Live       uint64
	Active     uint64
	Faulty     uint64
	Recovering uint64
	Proven     uint64
}

func deadlines(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	miner, key, err := subject(cmd)
	if err != nil {
		return err
	}
	list, err := c.StateMinerDeadlines(ctx, miner, key)
	if err != nil {
		return err
	}
	now, err := c.StateMinerProvingDeadline(ctx, miner, key)
	if err != nil {
		return err
	}
	out := make([]due, len(list))
	for i := range list {
		parts, err := c.StateMinerPartitions(ctx, miner, uint64(i), key)
		if err != nil {
			return err
		}
		if out[i], err = summed(parts); err != nil {
			return fmt.Errorf("deadline %d of %s: %w", i, miner, err)
		}
		out[i].Index, out[i].Open = i, uint64(i) == now.Index
		if out[i].Proven, err = list[i].PostSubmissions.Count(); err != nil {
			return fmt.Errorf("deadline %d of %s: %w", i, miner, err)
		}
	}
	return p.Result(out, func() {
		t := render.NewTable(">deadline", "", ">partitions", ">proven", ">live", ">active", ">faulty", ">recovering")
		for _, d := range out {
			open := ""
			if d.Open {
				open = "open"
			}
			t.Row(d.Index, open, d.Partitions, d.Proven, d.Live, d.Active, d.Faulty, d.Recovering)
		}
		p.Table(t)
	})
}

// summed counts the sectors of a deadline's partitions.
func summed(parts []apinode.Partition) (due, error) {
	d := due{Partitions: len(parts)}
	for _, part := range parts {
		for _, f := range []struct {
			into *uint64
			from bitfield.BitField
		}{{&d.Live, part.LiveSectors}, {&d.Active, part.ActiveSectors}, {&d.Faulty, part.FaultySectors}, {&d.Recovering, part.RecoveringSectors}} {
			n, err := f.from.Count()
			if err != nil {
				return due{}, err
			}
			*f.into += n
		}
	}
	return d, nil
}

func faults(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	miner, key, err := subject(cmd)
	if err != nil {
		return err
	}
	faulty, err := c.StateMinerFaults(ctx, miner, key)
	if err != nil {
		return err
	}
	recovering, err := c.StateMinerRecoveries(ctx, miner, key)
	if err != nil {
		return err
	}
	return p.Result(map[string]any{"faulty": faulty, "recovering": recovering}, func() {
		p.Fields("Faulty", runsOf(faulty), "Recovering", runsOf(recovering))
	})
}

// maxRuns is how many runs of sector numbers one line shows.
const maxRuns = 64

// runsOf is a set of sectors as people read it: 0-4,7.
func runsOf(b bitfield.BitField) string {
	it, err := b.RunIterator()
	if err != nil {
		return err.Error()
	}
	out, at := "", uint64(0)
	for shown := 0; it.HasNext(); {
		r, err := it.NextRun()
		if err != nil {
			return err.Error()
		}
		if r.Val {
			if shown++; shown > maxRuns {
				return out + ",..."
			}
			if out != "" {
				out += ","
			}
			out += fmt.Sprint(at)
			if r.Len > 1 {
				out += fmt.Sprintf("-%d", at+r.Len-1)
			}
		}
		at += r.Len
	}
	if out == "" {
		return "none"
	}
	return out
}

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

package venus

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
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

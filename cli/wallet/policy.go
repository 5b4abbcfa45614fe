package wallet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/types"
)

func (e Env) policy() *cli.Command {
	return &cli.Command{
		Name: "policy", Usage: "what may be signed, by key and by token",
		Commands: []*cli.Command{e.setPolicy(), e.removePolicy(), e.listPolicies(), e.bindKey(), e.bindToken()},
	}
}

func (e Env) setPolicy() *cli.Command {
	return e.call(&cli.Command{
		Name: "set", Usage: "add a policy or replace one; a flag that is left out bounds nothing, an empty one (--type \"\") allows nothing",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "type", Usage: "a type of things: message, block, drawrandomparam, dealproposal, signedvoucher, text; unknown allows raw bytes"},
			&cli.StringSliceFlag{Name: "method", Usage: "a method of messages: a number, Send or actor.Name such as miner.SubmitWindowedPoSt"},
			&cli.StringSliceFlag{Name: "to", Usage: "a recipient of messages and vouchers"},
			&cli.StringSliceFlag{Name: "signer", Usage: "a key"},
			&cli.StringFlag{Name: "per-day", Usage: "what the messages of a key may cost in 24 hours, gas included, such as 10 (FIL) or 5000000000attofil"},
		},
	}, []string{"NAME"}, func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
		p, err := e.policyOf(cmd)
		if err != nil {
			return "", err
		}
		return "policy " + p.Name + " set", w.PolicySet(ctx, p)
	})
}

// given is a list flag: nil when it was left out, empty when it was given empty.
func given(cmd *cli.Command, name string) []string {
	if !cmd.IsSet(name) {
		return nil
	}
	return slices.DeleteFunc(append([]string{}, cmd.StringSlice(name)...), func(s string) bool { return s == "" })
}

func (e Env) policyOf(cmd *cli.Command) (p walletapi.Policy, err error) {
	p.Name = cmd.Args().First()
	if texts := given(cmd, "type"); texts != nil {
		p.Types = []walletapi.MsgType{}
		for _, t := range texts {
			p.Types = append(p.Types, walletapi.MsgType(t))
		}
	}
	if texts := given(cmd, "method"); texts != nil {
		p.Methods = []abi.MethodNum{}
		for _, t := range texts {
			n, err := e.ParseMethod(t)
			if err != nil {
				return p, render.Usage("%v", err)
			}
			p.Methods = append(p.Methods, n)
		}
	}
	if p.Recipients, err = addressList(given(cmd, "to")); err != nil {
		return p, err
	}
	if p.Signers, err = addressList(given(cmd, "signer")); err != nil {
		return p, err
	}
	if text := cmd.String("per-day"); text != "" {
		fil, err := types.ParseFIL(text)
		if err != nil {
			return p, render.Usage("--per-day: %v", err)
		}
		amount := fil.Atto()
		p.PerDay = &amount
	}
	return p, nil
}

func addressList(texts []string) ([]address.Address, error) {
	if texts == nil {
		return nil, nil
	}
	out := []address.Address{}
	for _, t := range texts {
		a, err := connect.Address(t)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func (e Env) removePolicy() *cli.Command {
	return e.call(&cli.Command{Name: "remove", Aliases: []string{"rm"}, Usage: "remove a policy that nothing is bound to"}, []string{"NAME"},
		func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
			return "policy removed", w.PolicyRemove(ctx, cmd.Args().First())
		})
}

func (e Env) bindKey() *cli.Command {
	return e.call(&cli.Command{Name: "bind-key", Usage: "bind a key to a policy, or free it"}, []string{"ADDRESS", "[POLICY]"},
		func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
			a, err := connect.Address(cmd.Args().First())
			if err != nil {
				return "", err
			}
			return bound(cmd), w.PolicyBindKey(ctx, a, cmd.Args().Get(1))
		})
}

func (e Env) bindToken() *cli.Command {
	return e.call(&cli.Command{
		Name: "bind-token", Usage: "bind the tokens of a name (auth create-token --name) to a policy, or free them; \"local token\" are those without a name",
	}, []string{"NAME", "[POLICY]"}, func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
		return bound(cmd), w.PolicyBindToken(ctx, cmd.Args().First(), cmd.Args().Get(1))
	})
}

func bound(cmd *cli.Command) string {
	if name := cmd.Args().Get(1); name != "" {
		return fmt.Sprintf("%s is bound to policy %s", cmd.Args().First(), name)
	}
	return cmd.Args().First() + " is free"
}

func (e Env) listPolicies() *cli.Command {
	return e.program().Call(&cli.Command{Name: "list", Aliases: []string{"ls"}, Usage: "show policies and what is bound to them"}, nil,
		func(ctx context.Context, _ *cli.Command, w *client, p *render.Printer) error {
			all, err := w.PolicyList(ctx)
			if err != nil {
				return err
			}
			return p.Result(all, func() {
				t := render.NewTable("Policy", "Types", "Methods", "Recipients", "Keys allowed", "A day", "Bound")
				for _, pol := range all.Policies {
					day := "any"
					if pol.PerDay != nil {
						day = render.FIL(*pol.PerDay)
					}
					t.Row(pol.Name, words(pol.Types, "all but raw"), words(pol.Methods, "all"), words(pol.Recipients, "all"), words(pol.Signers, "all"), day, bindings(all, pol.Name))
				}
				p.Table(t)
			})
		})
}

// words lists values, with a word for an absent list.
func words[T any](values []T, absent string) string {
	switch {
	case values == nil:
		return absent
	case len(values) == 0:
		return "none"
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v)
	}
	return strings.Join(texts, " ")
}

func bindings(all walletapi.Policies, name string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(all.Keys)) {
		if all.Keys[k] == name {
			out = append(out, k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(all.Tokens)) {
		if all.Tokens[k] == name {
			out = append(out, "token "+k)
		}
	}
	return strings.Join(out, " ")
}

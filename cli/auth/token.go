package auth

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
)

func genCommand(name string, aliases ...string) *cli.Command {
	return &cli.Command{
		Name: name, Aliases: aliases, Usage: "make a token and print it", ArgsUsage: "NAME",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "perm", Usage: "read, write, sign or admin; each includes the ones before", Value: "read"},
			&cli.StringFlag{Name: "extra", Usage: "a remark kept with the token"},
			&cli.DurationFlag{Name: "expire", Usage: "the token ends after so long, such as 720h"},
			&cli.StringSliceFlag{Name: "miner", Usage: "only the affairs of this miner"},
			&cli.StringSliceFlag{Name: "signer", Usage: "only messages and signatures of this address"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Len() != 1 {
				return render.Usage("name the one the token is for").WithHint("for example: venus-auth genToken --perm admin miner")
			}
			perm, err := api.ParsePermission(cmd.String("perm"))
			if err != nil {
				return render.Usage("%v", err)
			}
			c, p, err := dial(ctx, cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			r := authapi.GenRequest{Name: cmd.Args().First(), Perm: string(perm), Extra: cmd.String("extra"), Lifetime: cmd.Duration("expire")}
			if r.Scope, err = scopeOf(cmd); err != nil {
				return err
			}
			out, err := c.GenToken(ctx, r)
			if err != nil {
				return err
			}
			return p.Result(map[string]string{"token": out.Token, "id": out.ID, "name": r.Name, "perm": r.Perm}, func() { p.Line("%s", out.Token) })
		},
	}
}

func listCommand(name string, aliases ...string) *cli.Command {
	return &cli.Command{
		Name: name, Aliases: aliases, Usage: "list tokens, oldest first",
		Flags: append(pageFlags("only names that hold this text"), &cli.BoolFlag{Name: "removed", Usage: "also removed ones"}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			c, p, err := dial(ctx, cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			q := page(cmd)
			q.Removed = cmd.Bool("removed")
			list, err := c.Tokens(ctx, q)
			if err != nil {
				return err
			}
			return p.Result(list, func() {
				t := render.NewTable("ID", "Name", "Perm", "Created", "Expires", "Scope", "Extra", "State")
				for _, i := range list {
					t.Row(i.ID, i.Name, i.Perm, i.CreateTime.Local().Format(time.DateTime), expires(i), scopeText(i.Scope), i.Custom, tokenState(p, i))
				}
				p.Table(t)
				more(p, cmd, len(list))
			})
		},
	}
}

func removeCommand(name string, aliases ...string) *cli.Command {
	return changeCommand(name, aliases, "make a token invalid at once", "removed", false, (*authapi.Client).Remove)
}

func recoverCommand(name string) *cli.Command {
	return changeCommand(name, nil, "make a removed token valid again", "recovered", true, (*authapi.Client).Recover)
}

func changeCommand(name string, aliases []string, usage, done string, removed bool, change func(*authapi.Client, context.Context, authapi.TokenRef) error) *cli.Command {
	return &cli.Command{
		Name: name, Aliases: aliases, Usage: usage, ArgsUsage: "ID|NAME|TOKEN|- (- reads it from stdin)",
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Len() != 1 {
				return render.Usage("name one token: by id, by name or by its text").WithHint("`venus-auth token list` shows ids and names")
			}
			c, p, err := dial(ctx, cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			what := cmd.Args().First()
			if what == "-" {
				if what, err = p.Secret("Token: "); err != nil {
					return err
				}
			}
			ref, err := find(ctx, c, strings.TrimSpace(what), removed)
			if err != nil {
				return err
			}
			if err := change(c, ctx, ref); err != nil {
				return err
			}
			return p.Result(map[string]string{"result": done}, func() { p.Line("token %s", done) })
		},
	}
}

var (
	idForm    = regexp.MustCompile(`^([0-9a-f]{32}|sha256-[0-9a-f]{64})$`)
	tokenForm = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)
)

// find turns an id, a token's text or an unambiguous name into a reference.
func find(ctx context.Context, c *authapi.Client, what string, removed bool) (authapi.TokenRef, error) {
	if idForm.MatchString(what) {
		return authapi.TokenRef{ID: what}, nil
	}
	if tokenForm.MatchString(what) {
		return authapi.TokenRef{Token: what}, nil
	}
	list, err := c.Tokens(ctx, authapi.ListQuery{Limit: 1000, Name: what, Removed: removed})
	if err != nil {
		return authapi.TokenRef{}, err
	}
	var found []authapi.TokenInfo
	for _, i := range list {
		if i.Removed == removed {
			found = append(found, i)
		}
	}
	switch len(found) {
	case 0:
		return authapi.TokenRef{}, api.Errorf(api.CodeNotFound, "there is no such token with the name %q", what).WithHint("`venus-auth token list --removed` shows all")
	case 1:
		return authapi.TokenRef{ID: found[0].ID}, nil
	}
	return authapi.TokenRef{}, api.Errorf(api.CodePrecondition, "%d tokens have the name %q", len(found), what).
		WithHint("name one by its id; `venus-auth token list --search %s` shows them", what)
}

func scopeOf(cmd *cli.Command) (*api.Scope, error) {
	miners, err := parseAll(cmd.StringSlice("miner"))
	if err != nil {
		return nil, err
	}
	signers, err := parseAll(cmd.StringSlice("signer"))
	if err != nil || (miners == nil && signers == nil) {
		return nil, err
	}
	return &api.Scope{Miners: miners, Signers: signers}, nil
}

func parseAll(texts []string) (out []address.Address, err error) {
	for _, t := range texts {
		a, err := address.NewFromString(t)
		if err != nil {
			return nil, render.Usage("%q is no address", t)
		}
		out = append(out, a)
	}
	return out, nil
}

func scopeText(s *api.Scope) string {
	var parts []string
	if s != nil && s.Miners != nil {
		parts = append(parts, "miners: "+some(s.Miners))
	}
	if s != nil && s.Signers != nil {
		parts = append(parts, "signers: "+some(s.Signers))
	}
	return strings.Join(parts, "; ")
}

func expires(i authapi.TokenInfo) string {
	if i.ExpireTime.IsZero() {
		return "never"
	}
	return i.ExpireTime.Local().Format(time.DateTime)
}

func tokenState(p *render.Printer, i authapi.TokenInfo) string {
	switch {
	case i.Removed:
		return p.Red("removed")
	case !i.ExpireTime.IsZero() && !clock.Real().Now().Before(i.ExpireTime):
		return p.Red("expired")
	}
	return p.Green("valid")
}

func rotateCommand() *cli.Command {
	return &cli.Command{
		Name: "rotate", Usage: "make a token in place of another one and print it", ArgsUsage: "ID|NAME|TOKEN",
		Flags: []cli.Flag{&cli.DurationFlag{Name: "grace", Usage: "the old one ends after so long instead of at once"}},
		Action: with(1, "one token: its id, its name or its text", func(ctx context.Context, cmd *cli.Command, c *authapi.Client, p *render.Printer) error {
			ref, err := find(ctx, c, cmd.Args().First(), false)
			if err != nil {
				return err
			}
			out, err := c.Rotate(ctx, authapi.RotateRequest{TokenRef: ref, Grace: cmd.Duration("grace")})
			if err != nil {
				return err
			}
			return p.Result(out, func() { p.Line("%s", out.Token) })
		}),
	}
}

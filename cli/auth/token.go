package auth

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	"github.com/filecoin-venus/venus/cli/render"
)

func genCommand(name string, aliases ...string) *cli.Command {
	return &cli.Command{
		Name: name, Aliases: aliases, Usage: "make a token and print it", ArgsUsage: "NAME",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "perm", Usage: "read, write, sign or admin; each includes the ones before", Value: "read"},
			&cli.StringFlag{Name: "extra", Usage: "a remark kept with the token"},
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
			r := authapi.GenRequest{Name: cmd.Args().First(), Perm: string(perm), Extra: cmd.String("extra")}
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
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "skip", Usage: "leave out so many"},
			&cli.IntFlag{Name: "limit", Usage: "at most so many", Value: 100},
			&cli.StringFlag{Name: "search", Usage: "only names that hold this text"},
			&cli.BoolFlag{Name: "removed", Usage: "also removed ones"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			c, p, err := dial(ctx, cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			list, err := c.Tokens(ctx, authapi.ListQuery{
				Skip: cmd.Int("skip"), Limit: cmd.Int("limit"), Search: cmd.String("search"), Removed: cmd.Bool("removed"),
			})
			if err != nil {
				return err
			}
			return p.Result(list, func() {
				t := render.NewTable("ID", "Name", "Perm", "Created", "Extra", "State")
				for _, i := range list {
					state := p.Green("valid")
					if i.Removed {
						state = p.Red("removed")
					}
					t.Row(i.ID, i.Name, i.Perm, i.CreateTime.Local().Format(time.DateTime), i.Custom, state)
				}
				p.Table(t)
				if t.Len() == cmd.Int("limit") {
					p.Note("there may be more: use --skip %d", cmd.Int("skip")+t.Len())
				}
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
	idForm    = regexp.MustCompile(`^[0-9a-f]{32}$`)
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
	const page = 1000
	var found []authapi.TokenInfo
	for skip := 0; ; skip += page {
		list, err := c.Tokens(ctx, authapi.ListQuery{Skip: skip, Limit: page, Search: what, Removed: removed})
		if err != nil {
			return authapi.TokenRef{}, err
		}
		for _, i := range list {
			if i.Name == what && i.Removed == removed {
				found = append(found, i)
			}
		}
		if len(list) < page {
			break
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

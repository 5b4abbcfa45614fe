package auth

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	"github.com/filecoin-venus/venus/cli/render"
)

// free leaves the number of arguments to the command; below it, -n is n or more.
const free = -1

// with makes the action of a command with a number of arguments.
func with(args int, usage string, do func(ctx context.Context, cmd *cli.Command, c *authapi.Client, p *render.Printer) error) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		if (args >= 0 && cmd.Args().Len() != args) || (args < free && cmd.Args().Len() < -args) {
			return render.Usage("this command takes %s", usage)
		}
		c, p, err := dial(ctx, cmd)
		if err != nil {
			return err
		}
		defer c.Close()
		return do(ctx, cmd, c, p)
	}
}

func userCommand() *cli.Command {
	return &cli.Command{
		Name: "user", Usage: "people who have tokens, with their miners, signers and rate limits",
		Commands: []*cli.Command{
			addUser(), updateUser(), listUsers(), getUser(), state("active", "enable", authapi.StateEnabled), state("disable", "", authapi.StateDisabled), hasMiner(),
			addresses("miner"), addresses("signer"), rateLimit(),
		},
	}
}

func addUser() *cli.Command {
	return &cli.Command{
		Name: "add", Usage: "make a user", ArgsUsage: "NAME",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "the name, as the original wants it"},
			&cli.StringFlag{Name: "comment", Usage: "a remark"},
			&cli.StringSliceFlag{Name: "miner", Usage: "a miner of the user"},
		},
		Action: with(free, "the user's name", func(ctx context.Context, cmd *cli.Command, c *authapi.Client, p *render.Printer) error {
			name, err := userName(cmd)
			if err != nil {
				return err
			}
			comment := cmd.String("comment")
			u, err := c.AddUser(ctx, authapi.UserRequest{Name: name, Comment: &comment, Miners: cmd.StringSlice("miner")})
			if err != nil {
				return err
			}
			return p.Result(u, func() { p.Line("user %s added", u.Name) })
		}),
	}
}

// userName takes the name as an argument or, as in the original, as a flag.
func userName(cmd *cli.Command) (string, error) {
	name := cmd.String("name")
	if cmd.Args().Len() == 1 && name == "" {
		return cmd.Args().First(), nil
	}
	if name == "" || cmd.Args().Len() > 0 {
		return "", render.Usage("name one user")
	}
	return name, nil
}

func updateUser() *cli.Command {
	return &cli.Command{
		Name: "update", Usage: "change a user", ArgsUsage: "NAME",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "the name, as the original wants it"},
			&cli.StringFlag{Name: "comment", Usage: "a remark"},
			&cli.IntFlag{Name: "state", Usage: "1 enabled, 0 disabled: the user's tokens do not count"},
			&cli.StringSliceFlag{Name: "miner", Usage: "one more miner of the user"},
		},
		Action: with(free, "the user's name", func(ctx context.Context, cmd *cli.Command, c *authapi.Client, p *render.Printer) error {
			name, err := userName(cmd)
			if err != nil {
				return err
			}
			r := authapi.UserRequest{Name: name, Miners: cmd.StringSlice("miner")}
			if cmd.IsSet("comment") {
				comment := cmd.String("comment")
				r.Comment = &comment
			}
			if cmd.IsSet("state") {
				s := authapi.UserState(cmd.Int("state"))
				r.State = &s
			}
			u, err := c.UpdateUser(ctx, r)
			if err != nil {
				return err
			}
			return p.Result(u, func() { p.Line("update user success") })
		}),
	}
}

func state(name, alias string, to authapi.UserState) *cli.Command {
	c := &cli.Command{
		Name: name, Usage: "let the user's tokens count", ArgsUsage: "NAME",
		Action: with(1, "the user's name", func(ctx context.Context, cmd *cli.Command, c *authapi.Client, p *render.Printer) error {
			u, err := c.UpdateUser(ctx, authapi.UserRequest{Name: cmd.Args().First(), State: &to})
			if err != nil {
				return err
			}
			return p.Result(u, func() { p.Line("%s user success", name) })
		}),
	}
	if alias != "" {
		c.Aliases = []string{alias}
	} else {
		c.Usage = "let the user's tokens count no more, within a second"
	}
	return c
}

func listUsers() *cli.Command {
	return &cli.Command{
		Name: "list", Aliases: []string{"ls"}, Usage: "list users by name", Flags: pageFlags("only names that hold this text"),
		Action: with(0, "no arguments", func(ctx context.Context, cmd *cli.Command, c *authapi.Client, p *render.Printer) error {
			us, err := c.Users(ctx, page(cmd))
			if err != nil {
				return err
			}
			return p.Result(us, func() {
				t := render.NewTable("Name", "State", "Miners", "Signers", ">Limits", "Comment", "Changed")
				for _, u := range us {
					t.Row(u.Name, stateText(p, u.State), some(u.Miners), some(u.Signers), len(u.Limits), u.Comment, time.Unix(u.UpdateTime, 0).Format(time.DateTime))
				}
				p.Table(t)
				more(p, cmd, len(us))
			})
		}),
	}
}

func stateText(p *render.Printer, s authapi.UserState) string {
	if s == authapi.StateEnabled {
		return p.Green("enabled")
	}
	return p.Red("disabled")
}

// some tells of a list in a few words.
func some(as []address.Address) string {
	switch {
	case as == nil:
		return "all"
	case len(as) == 0:
		return "none"
	case len(as) > 3:
		return fmt.Sprintf("%s and %d more", as[0], len(as)-1)
	}
	return every(as)
}

func every(as []address.Address) string {
	if len(as) == 0 {
		return some(as)
	}
	texts := make([]string, len(as))
	for i, a := range as {
		texts[i] = a.String()
	}
	return strings.Join(texts, " ")
}

func printUser(p *render.Printer, u authapi.UserInfo) error {
	return p.Result(u, func() {
		p.Fields("name", u.Name, "state", stateText(p, u.State), "miners", every(u.Miners), "signers", every(u.Signers), "comment", u.Comment,
			"created", time.Unix(u.CreateTime, 0).Format(time.DateTime), "changed", time.Unix(u.UpdateTime, 0).Format(time.DateTime))
		for _, l := range u.Limits {
			p.Fields("limit "+l.ID, limitText(l))
		}
	})
}

func limitText(l api.RateLimit) string {
	what := "calls"
	if l.Method != "" {
		what = "calls of " + l.Method
	}
	if l.Service != "" {
		what += " to " + l.Service
	}
	return fmt.Sprintf("%d %s in %s", l.Cap, what, l.Per)
}

func getUser() *cli.Command {
	return &cli.Command{
		Name: "get", Usage: "show a user, by name or by an address", ArgsUsage: "NAME",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "by-miner", Usage: "the user that has this miner"},
			&cli.StringFlag{Name: "by-signer", Usage: "the users that have this signer"},
		},
		Action: with(free, "a name, --by-miner or --by-signer", func(ctx context.Context, cmd *cli.Command, c *authapi.Client, p *render.Printer) error {
			var us []authapi.UserInfo
			var err error
			switch {
			case cmd.String("by-signer") != "":
				us, err = c.SignerOwners(ctx, cmd.String("by-signer"))
			case cmd.String("by-miner") != "":
				us = make([]authapi.UserInfo, 1)
				us[0], err = c.MinerOwner(ctx, cmd.String("by-miner"))
			case cmd.Args().Len() == 1:
				us = make([]authapi.UserInfo, 1)
				us[0], err = c.User(ctx, cmd.Args().First())
			default:
				return render.Usage("name one user, or use --by-miner or --by-signer")
			}
			if err != nil {
				return err
			}
			for _, u := range us {
				if err := printUser(p, u); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

func hasMiner() *cli.Command {
	return &cli.Command{
		Name: "has", Usage: "tell whether some user has a miner", ArgsUsage: "MINER",
		Action: with(1, "a miner's address", func(ctx context.Context, cmd *cli.Command, c *authapi.Client, p *render.Printer) error {
			_, err := c.MinerOwner(ctx, cmd.Args().First())
			has := err == nil
			if err != nil && api.Explain(err).Code != api.CodeNotFound {
				return err
			}
			return p.Result(has, func() { p.Line("%v", has) })
		}),
	}
}

// addresses are the commands that give addresses of a kind and take them.
func addresses(kind string) *cli.Command {
	one := func(name, usage, done string, do func(*authapi.Client, context.Context, string, string, []string) (authapi.UserInfo, error)) *cli.Command {
		return &cli.Command{
			Name: name, Usage: usage, ArgsUsage: "NAME ADDRESS...",
			Action: with(-2, "the user's name and one address or more", func(ctx context.Context, cmd *cli.Command, c *authapi.Client, p *render.Printer) error {
				u, err := do(c, ctx, cmd.Args().First(), kind, cmd.Args().Tail())
				if err != nil {
					return err
				}
				return p.Result(u, func() { p.Line("%s %s of user %s", kind, done, u.Name) })
			}),
		}
	}
	return &cli.Command{
		Name: kind, Usage: "give a user " + kind + "s and take them; who has some has no others",
		Commands: []*cli.Command{
			one("add", "give", "added", (*authapi.Client).Grant),
			one("remove", "take", "removed", (*authapi.Client).Withdraw),
		},
	}
}

func rateLimit() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "service", Usage: "only calls to this service, such as venus-messager"},
		&cli.StringFlag{Name: "method", Usage: "only calls of this method"},
	}
	set := func(name, usage, args string, n int, flag ...cli.Flag) *cli.Command {
		return &cli.Command{
			Name: name, Usage: usage, ArgsUsage: args, Flags: append(flag, flags...),
			Action: with(n, args, func(ctx context.Context, cmd *cli.Command, c *authapi.Client, p *render.Printer) error {
				a := cmd.Args().Slice()
				l := api.RateLimit{ID: cmd.String("id"), Service: cmd.String("service"), Method: cmd.String("method")}
				if n == 4 {
					l.ID, a = a[1], append(a[:1:1], a[2:]...)
				}
				if _, err := fmt.Sscan(a[1], &l.Cap); err != nil {
					return render.Usage("%q is no number of calls", a[1])
				}
				var err error
				if l.Per, err = time.ParseDuration(a[2]); err != nil {
					return render.Usage("%q is no stretch of time such as 1m or 24h", a[2])
				}
				id, err := c.SetLimit(ctx, a[0], l)
				if err != nil {
					return err
				}
				return p.Result(id, func() { p.Line("upsert user rate limit success: %s", id) })
			}),
		}
	}
	return &cli.Command{
		Name: "rate-limit", Usage: "bound how often a user calls services",
		Commands: []*cli.Command{
			set("add", "add a limit", "NAME CALLS DURATION", 3),
			set("update", "change a limit", "NAME ID CALLS DURATION", 4),
			{Name: "get", Usage: "show the limits of a user", ArgsUsage: "NAME", Action: with(1, "the user's name", func(ctx context.Context, cmd *cli.Command, c *authapi.Client, p *render.Printer) error {
				u, err := c.User(ctx, cmd.Args().First())
				if err != nil {
					return err
				}
				return p.Result(u.Limits, func() {
					if len(u.Limits) == 0 {
						p.Line("user have no request rate limit")
					}
					for _, l := range u.Limits {
						p.Line("%s  %s", l.ID, limitText(l))
					}
				})
			})},
			{Name: "del", Aliases: []string{"remove"}, Usage: "remove a limit", ArgsUsage: "NAME ID", Action: with(2, "the user's name and the limit's id", func(ctx context.Context, cmd *cli.Command, c *authapi.Client, p *render.Printer) error {
				if err := c.DropLimit(ctx, cmd.Args().First(), cmd.Args().Get(1)); err != nil {
					return err
				}
				return p.Result(cmd.Args().Get(1), func() { p.Line("delete rate limit success, %s", cmd.Args().Get(1)) })
			})},
		},
	}
}

func auditCommand() *cli.Command {
	return &cli.Command{
		Name: "audit", Usage: "show who managed what, newest first", Flags: pageFlags("only entries whose caller, action or subject hold this text"),
		Action: with(0, "no arguments", func(ctx context.Context, cmd *cli.Command, c *authapi.Client, p *render.Printer) error {
			es, err := c.Audit(ctx, page(cmd))
			if err != nil {
				return err
			}
			return p.Result(es, func() {
				t := render.NewTable("Time", "Caller", "From", "Action", "Subject", "Result", "Detail")
				for _, e := range es {
					t.Row(e.At.Local().Format(time.DateTime), e.Caller, e.From, e.Action, e.Subject, e.Result, e.Detail)
				}
				p.Table(t)
				more(p, cmd, len(es))
			})
		}),
	}
}

func pageFlags(search string) []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "skip", Usage: "leave out so many"},
		&cli.IntFlag{Name: "limit", Usage: "at most so many", Value: 100},
		&cli.StringFlag{Name: "search", Usage: search},
	}
}

func page(cmd *cli.Command) authapi.ListQuery {
	return authapi.ListQuery{Skip: cmd.Int("skip"), Limit: cmd.Int("limit"), Search: cmd.String("search")}
}

func more(p *render.Printer, cmd *cli.Command, n int) {
	if n > 0 && n == cmd.Int("limit") {
		p.Note("there may be more: use --skip %d", cmd.Int("skip")+n)
	}
}

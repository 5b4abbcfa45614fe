// Package miner is the command line of venus-miner: each command is one call to the running daemon, with the admin token
// that the daemon left in its directory for its own machine.
//
// Start reading at Commands. Tokens may be given as @FILE and are never printed.
package miner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/filecoin-project/go-address"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	miningapi "github.com/filecoin-venus/venus/api/mining"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
)

// FlagRepo names the flag for the directory.
const FlagRepo = "repo"

// Env is what the commands need from the program around them.
type Env struct {
	// PrintFor sets the address prefix to that of the network in a directory, or says that the directory is not set up.
	PrintFor func(repo.Dir) error
}

// Commands are all commands but init and run.
func Commands(e Env) []*cli.Command {
	return []*cli.Command{e.address(), e.records(), e.stop(), e.logs()}
}

// Secret is a token given on the command line: @FILE stands for what the file holds.
func Secret(s string) (string, error) {
	name, ok := strings.CutPrefix(s, "@")
	if !ok {
		return strings.TrimSpace(s), nil
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return "", render.Usage("read token: %w", err)
	}
	t := strings.TrimSpace(string(raw))
	if t == "" {
		return "", render.Usage("%s holds no token", name)
	}
	return t, nil
}

// action is a command's work with a client of the daemon.
type action func(ctx context.Context, cmd *cli.Command, m *miningapi.MiningProxy, p *render.Printer) error

func (e Env) call(c *cli.Command, f action) *cli.Command {
	c.Action = func(ctx context.Context, cmd *cli.Command) error {
		const hint = "start it first: venus-miner run"
		path := cmd.String(FlagRepo)
		dir, err := repo.Read(path)
		if errors.Is(err, repo.ErrAbsent) {
			if full, xerr := repo.Expand(path); xerr == nil {
				path = full
			}
			return api.Errorf(api.CodePrecondition, "repo at '%s' is not initialized, run 'venus-miner init' to set it up", path)
		}
		if err != nil {
			return err
		}
		if err := e.PrintFor(dir); err != nil {
			return err
		}
		maddr, err := dir.API()
		if err != nil {
			return api.Errorf(api.CodePrecondition, "%w", err).WithHint(hint)
		}
		token, err := dir.Token()
		if err != nil {
			return api.Errorf(api.CodePrecondition, "%w", err).WithHint(hint)
		}
		m := new(miningapi.MiningProxy)
		stop, err := rpc.Dial(maddr, token, miningapi.Namespace, m, rpc.DialOptions{Service: "venus-miner"})
		if err != nil {
			return err
		}
		defer stop()
		return f(ctx, cmd, m, render.From(cmd))
	}
	return c
}

func (e Env) address() *cli.Command {
	return &cli.Command{Name: "address", Usage: "the miners that mine here", Commands: []*cli.Command{
		e.add(), e.update(), e.list(), e.state(),
		e.each(&cli.Command{Name: "start", Usage: "let miners produce blocks", ArgsUsage: "ADDRESS..."}, "start mining for: ",
			func(ctx context.Context, m *miningapi.MiningProxy, a address.Address) error {
				return m.Start(ctx, []address.Address{a})
			}),
		e.each(&cli.Command{Name: "stop", Usage: "keep miners from producing blocks", ArgsUsage: "ADDRESS..."}, "stop mining for: ",
			func(ctx context.Context, m *miningapi.MiningProxy, a address.Address) error {
				return m.Stop(ctx, []address.Address{a})
			}),
		e.each(&cli.Command{Name: "del", Aliases: []string{"rm"}, Usage: "stop miners and forget them; the record of their blocks stays", ArgsUsage: "ADDRESS..."}, "remove miner: ",
			func(ctx context.Context, m *miningapi.MiningProxy, a address.Address) error {
				return m.RemoveAddress(ctx, a)
			}),
	}}
}

func endpointFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "addr", Usage: "the miner's `ADDRESS`"},
		&cli.StringFlag{Name: "sealer-listen-api", Usage: "where its sealer listens, /ip4/1.2.3.4/tcp/2345/http"},
		&cli.StringFlag{Name: "sealer-token", Usage: "a token of the sealer, or @FILE", Sources: cli.EnvVars("VENUS_MINER_SEALER_TOKEN")},
		&cli.StringFlag{Name: "wallet-listen-api", Usage: "where the wallet of its worker key listens, /ip4/1.2.3.4/tcp/5678/http"},
		&cli.StringFlag{Name: "wallet-token", Usage: "a token of the wallet, or @FILE", Sources: cli.EnvVars("VENUS_MINER_WALLET_TOKEN")},
	}
}

func spec(cmd *cli.Command, needed ...string) (s miningapi.MinerSpec, err error) {
	for _, name := range append([]string{"addr"}, needed...) {
		if cmd.String(name) == "" {
			return s, render.Usage("--%s is missing", name).WithHint("run `venus-miner address %s --help`", cmd.Name)
		}
	}
	if s.Addr, err = parseAddress(cmd.String("addr")); err != nil {
		return s, err
	}
	s.Sealer.ListenAPI, s.Wallet.ListenAPI = cmd.String("sealer-listen-api"), cmd.String("wallet-listen-api")
	for name, into := range map[string]*string{"sealer-token": &s.Sealer.Token, "wallet-token": &s.Wallet.Token} {
		if *into, err = Secret(cmd.String(name)); err != nil {
			return s, err
		}
	}
	return s, nil
}

func parseAddress(s string) (address.Address, error) {
	a, err := address.NewFromString(s)
	if err != nil {
		return address.Undef, render.Usage("%q is no address: %w", s, err)
	}
	return a, nil
}

func (e Env) add() *cli.Command {
	return e.call(&cli.Command{Name: "add", Usage: "check a miner and its services, and mine for it", Flags: endpointFlags()},
		func(ctx context.Context, cmd *cli.Command, m *miningapi.MiningProxy, p *render.Printer) error {
			s, err := spec(cmd, "sealer-listen-api", "sealer-token", "wallet-listen-api", "wallet-token")
			if err != nil {
				return err
			}
			if err := m.AddAddress(ctx, s); err != nil {
				return err
			}
			p.Line("add miner:  {%s {%s} {%s}}", s.Addr, s.Sealer.ListenAPI, s.Wallet.ListenAPI)
			return nil
		})
}

func (e Env) update() *cli.Command {
	return e.call(&cli.Command{Name: "update", Usage: "replace addresses or tokens of a miner's services; what is not given stays", Flags: endpointFlags()},
		func(ctx context.Context, cmd *cli.Command, m *miningapi.MiningProxy, p *render.Printer) error {
			s, err := spec(cmd)
			if err != nil {
				return err
			}
			if err := m.UpdateAddress(ctx, s); err != nil {
				return err
			}
			p.Line("update miner:  %s", s.Addr)
			return nil
		})
}

func (e Env) list() *cli.Command {
	return e.call(&cli.Command{Name: "list", Usage: "list the miners and their services"},
		func(ctx context.Context, _ *cli.Command, m *miningapi.MiningProxy, p *render.Printer) error {
			miners, err := m.ListAddress(ctx)
			if err != nil {
				return err
			}
			return p.Value(miners)
		})
}

// shortState is the form that the guide shows.
type shortState struct {
	Addr     address.Address
	IsMining bool
	Err      string
}

func (e Env) state() *cli.Command {
	return e.call(&cli.Command{
		Name: "state", Usage: "tell whether miners mine, and if not, why", ArgsUsage: "[ADDRESS...]",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "also the last epoch tried and how that went"}},
	}, func(ctx context.Context, cmd *cli.Command, m *miningapi.MiningProxy, p *render.Printer) error {
		addrs, err := addresses(cmd)
		if err != nil {
			return err
		}
		states, err := m.StatesForMining(ctx, addrs)
		if err != nil {
			return err
		}
		if cmd.Bool("verbose") {
			return p.Value(states)
		}
		short := make([]shortState, len(states))
		for i, s := range states {
			short[i] = shortState{s.Addr, s.IsMining, s.Err}
		}
		if err := p.Value(short); err != nil || p.JSON() {
			return err
		}
		for _, s := range states {
			if s.IsMining && s.LastResult != "" {
				p.Note("%s: epoch %d: %s", s.Addr, s.LastEpoch, s.LastResult)
			}
		}
		return nil
	})
}

func addresses(cmd *cli.Command) ([]address.Address, error) {
	out := make([]address.Address, 0, cmd.Args().Len())
	for _, s := range cmd.Args().Slice() {
		a, err := parseAddress(s)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// each does something to every named miner and says so.
func (e Env) each(c *cli.Command, say string, f func(context.Context, *miningapi.MiningProxy, address.Address) error) *cli.Command {
	return e.call(c, func(ctx context.Context, cmd *cli.Command, m *miningapi.MiningProxy, p *render.Printer) error {
		addrs, err := addresses(cmd)
		if err != nil {
			return err
		}
		if len(addrs) == 0 {
			return render.Usage("usage: venus-miner address %s ADDRESS...", cmd.Name)
		}
		for _, a := range addrs {
			if err := f(ctx, m, a); err != nil {
				return err
			}
			p.Line("%s %s", say, a)
		}
		return nil
	})
}

func (e Env) records() *cli.Command {
	return e.call(&cli.Command{
		Name: "records", Usage: "list the blocks that were made, newest first", ArgsUsage: "[ADDRESS]",
		Flags: []cli.Flag{&cli.IntFlag{Name: "limit", Value: 20, Usage: "at most this many"}},
	}, func(ctx context.Context, cmd *cli.Command, m *miningapi.MiningProxy, p *render.Printer) error {
		addrs, err := addresses(cmd)
		if err != nil {
			return err
		}
		of := address.Undef
		switch len(addrs) {
		case 0:
		case 1:
			of = addrs[0]
		default:
			return render.Usage("usage: venus-miner records [ADDRESS]")
		}
		records, err := m.Records(ctx, of, cmd.Int("limit"))
		if err != nil {
			return err
		}
		return p.Result(records, func() {
			t := render.NewTable(">Epoch", "Miner", ">Wins", "State", "Block", "Error")
			for _, r := range records {
				block := ""
				if r.Block.Defined() {
					block = r.Block.String()
				}
				t.Row(r.Epoch, r.Miner, r.WinCount, r.State, block, r.Err)
			}
			p.Table(t)
		})
	})
}

func (e Env) stop() *cli.Command {
	return e.call(&cli.Command{Name: "stop", Usage: "stop the running venus-miner"},
		func(ctx context.Context, _ *cli.Command, m *miningapi.MiningProxy, _ *render.Printer) error {
			return m.Shutdown(ctx)
		})
}

func (e Env) logs() *cli.Command {
	return &cli.Command{Name: "log", Usage: "log levels of the running venus-miner", Commands: []*cli.Command{
		e.call(&cli.Command{Name: "list", Usage: "print the log systems"},
			func(ctx context.Context, _ *cli.Command, m *miningapi.MiningProxy, p *render.Printer) error {
				systems, err := m.LogList(ctx)
				if err != nil {
					return err
				}
				return p.Result(systems, func() { p.Line("%s", strings.Join(systems, "\n")) })
			}),
		e.call(&cli.Command{
			Name: "set-level", Usage: "set the level of log systems", ArgsUsage: "LEVEL",
			Flags: []cli.Flag{&cli.StringSliceFlag{Name: "system", Usage: "limit to this log system, may be repeated"}},
		}, func(ctx context.Context, cmd *cli.Command, m *miningapi.MiningProxy, _ *render.Printer) error {
			if cmd.Args().Len() != 1 {
				return render.Usage("usage: venus-miner log set-level LEVEL")
			}
			systems := cmd.StringSlice("system")
			if len(systems) == 0 {
				systems = []string{"*"}
			}
			for _, s := range systems {
				if err := m.LogSetLevel(ctx, s, cmd.Args().First()); err != nil {
					return fmt.Errorf("log system %s: %w", s, err)
				}
			}
			return nil
		}),
	}}
}

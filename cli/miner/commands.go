// Package miner is the command line of venus-miner: each command is one call to the running daemon, with the admin token
// that the daemon left in its directory for its own machine.
//
// Start reading at Commands. Tokens may be given as @FILE and are never printed.
package miner

import (
	"context"

	"github.com/filecoin-project/go-address"
	"github.com/urfave/cli/v3"

	miningapi "github.com/filecoin-venus/venus/api/mining"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/repo"
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
	return []*cli.Command{e.address(), e.wins(), e.winList("records", "the same as `win list`"), e.guard(), e.nodes(), e.stop(), e.program().Logs("the running venus-miner")}
}

// client asks the running daemon.
type client = miningapi.MiningProxy

func (e Env) program() connect.Program[*client] {
	return connect.Program[*client]{
		Name: "venus-miner", New: func() *client { return new(client) }, Namespace: miningapi.Namespace,
		Directory: FlagRepo, Start: "start it first: venus-miner run", PrintAs: e.PrintFor,
		Absent: "repo at '%s' is not initialized, run 'venus-miner init' to set it up",
	}
}

func (e Env) call(c *cli.Command, args []string, act connect.Action[*client]) *cli.Command {
	return e.program().Call(c, args, act)
}

func (e Env) address() *cli.Command {
	return &cli.Command{Name: "address", Usage: "the miners that mine here", Commands: []*cli.Command{
		e.add(), e.update(), e.list(), e.state(),
		e.each(&cli.Command{Name: "start", Usage: "let miners produce blocks"}, "start mining for: ",
			func(ctx context.Context, m *client, a address.Address) error {
				return m.Start(ctx, []address.Address{a})
			}),
		e.each(&cli.Command{Name: "stop", Usage: "keep miners from producing blocks"}, "stop mining for: ",
			func(ctx context.Context, m *client, a address.Address) error {
				return m.Stop(ctx, []address.Address{a})
			}),
		e.each(&cli.Command{Name: "del", Aliases: []string{"rm"}, Usage: "stop miners and forget them; the record of their blocks stays"}, "remove miner: ",
			func(ctx context.Context, m *client, a address.Address) error {
				return m.RemoveAddress(ctx, a)
			}),
	}}
}

func endpointFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "addr", Usage: "the miner's `ADDRESS`"},
		&cli.StringSliceFlag{Name: "sealer-listen-api", Usage: "where its sealer listens, /ip4/1.2.3.4/tcp/2345/http; repeated for further ones with the same sectors, used when the first fails or is slow"},
		&cli.StringSliceFlag{Name: "sealer-token", Usage: "a token of the sealer, or @FILE; repeated in the order of the sealers, one is used for all", Sources: cli.EnvVars("VENUS_MINER_SEALER_TOKEN")},
		&cli.StringFlag{Name: "wallet-listen-api", Usage: "where the wallet of its worker key listens, /ip4/1.2.3.4/tcp/5678/http"},
		&cli.StringFlag{Name: "wallet-token", Usage: "a token of the wallet, or @FILE", Sources: cli.EnvVars("VENUS_MINER_WALLET_TOKEN")},
	}
}

func spec(cmd *cli.Command, needed ...string) (s miningapi.MinerSpec, err error) {
	for _, name := range append([]string{"addr"}, needed...) {
		if !cmd.IsSet(name) {
			return s, render.Usage("--%s is missing", name).WithHint("run `venus-miner address %s --help`", cmd.Name)
		}
	}
	if s.Addr, err = connect.Address(cmd.String("addr")); err != nil {
		return s, err
	}
	s.Wallet.ListenAPI = cmd.String("wallet-listen-api")
	if s.Wallet.Token, err = connect.Secret("wallet-token", cmd.String("wallet-token")); err != nil {
		return s, err
	}
	all, err := sealers(cmd.StringSlice("sealer-listen-api"), cmd.StringSlice("sealer-token"))
	if err == nil && len(all) > 0 {
		s.Sealer, s.MoreSealers = all[0], all[1:]
	}
	return s, err
}

// sealers pairs endpoints and tokens. One token alone changes that of the first sealer.
func sealers(urls, tokens []string) ([]miningapi.Endpoint, error) {
	if len(tokens) > max(1, len(urls)) || len(tokens) < len(urls) && len(tokens) > 1 {
		return nil, render.Usage("%d sealers and %d tokens", len(urls), len(tokens)).WithHint("give one token for all, or one for each in the order of the sealers")
	}
	all := make([]miningapi.Endpoint, max(len(urls), len(tokens)))
	for i := range all {
		if i < len(urls) {
			all[i].ListenAPI = urls[i]
		}
		if len(tokens) == 0 {
			continue
		}
		var err error
		if all[i].Token, err = connect.Secret("sealer-token", tokens[min(i, len(tokens)-1)]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// done are the miners that something was done to, as --json shows it.
type done []address.Address

func (e Env) add() *cli.Command {
	return e.call(&cli.Command{Name: "add", Usage: "check a miner and its services, and mine for it", Flags: endpointFlags()}, nil,
		func(ctx context.Context, cmd *cli.Command, m *client, p *render.Printer) error {
			s, err := spec(cmd, "sealer-listen-api", "sealer-token", "wallet-listen-api", "wallet-token")
			if err != nil {
				return err
			}
			if err := m.AddAddress(ctx, s); err != nil {
				return err
			}
			return p.Result(done{s.Addr}, func() { p.Line("add miner:  {%s {%s} {%s}}", s.Addr, s.Sealer.ListenAPI, s.Wallet.ListenAPI) })
		})
}

func (e Env) update() *cli.Command {
	return e.call(&cli.Command{Name: "update", Usage: "replace addresses or tokens of a miner's services; what is not given stays", Flags: endpointFlags()}, nil,
		func(ctx context.Context, cmd *cli.Command, m *client, p *render.Printer) error {
			s, err := spec(cmd)
			if err != nil {
				return err
			}
			if err := m.UpdateAddress(ctx, s); err != nil {
				return err
			}
			return p.Result(done{s.Addr}, func() { p.Line("update miner:  %s", s.Addr) })
		})
}

func (e Env) list() *cli.Command {
	return e.call(&cli.Command{Name: "list", Usage: "list the miners and their services"}, nil,
		func(ctx context.Context, _ *cli.Command, m *client, p *render.Printer) error {
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
		Name: "state", Usage: "tell whether miners mine, and if not, why",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "also the last epoch tried and how that went"}},
	}, []string{"[ADDRESS...]"}, func(ctx context.Context, cmd *cli.Command, m *client, p *render.Printer) error {
		addrs, err := connect.Addresses(cmd.Args().Slice())
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

// each does something to every named miner and says so.
func (e Env) each(c *cli.Command, say string, f func(context.Context, *client, address.Address) error) *cli.Command {
	return e.call(c, []string{"ADDRESS..."}, func(ctx context.Context, cmd *cli.Command, m *client, p *render.Printer) error {
		addrs, err := connect.Addresses(cmd.Args().Slice())
		if err != nil {
			return err
		}
		for _, a := range addrs {
			if err := f(ctx, m, a); err != nil {
				return err
			}
			if !p.JSON() {
				p.Line("%s %s", say, a)
			}
		}
		return p.Result(done(addrs), func() {})
	})
}

func (e Env) stop() *cli.Command {
	return e.call(&cli.Command{Name: "stop", Usage: "stop the running venus-miner"}, nil,
		func(ctx context.Context, _ *cli.Command, m *client, _ *render.Printer) error {
			return m.Shutdown(ctx)
		})
}

package sealer

import (
	"context"
	"fmt"
	"strconv"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/repo"
)

// Names of the flags all commands share.
const (
	FlagData = "data"
	// DataEnv names the directory in the environment.
	DataEnv = "VENUS_SEALER_PATH"
	// DefaultData is the directory unless said otherwise.
	DefaultData = "~/.venussealer"
)

// RunOptions are the flags of run.
type RunOptions struct{ Dir, API string }

// InitOptions are the flags of init.
type InitOptions struct {
	Dir, Actor, Owner, Worker, From, SectorSize, Network string
	NodeURL, NodeToken, MessagerURL, MessagerToken       string
	WalletName, GasPremium, API                          string
	NoLocalStorage, NoSync, Genesis                      bool
	PreSealed, Metadata                                  []string
}

// Deps are what the commands cannot do over the API.
type Deps struct {
	Version string
	Init    func(ctx context.Context, p *render.Printer, o InitOptions) error
	Run     func(ctx context.Context, o RunOptions) error
	// Attach attaches a path to a directory that no sealer runs in.
	Attach func(ctx context.Context, dir string, spec sealerapi.StorageSpec) (sealerapi.StorageInfo, error)
	// Restore verifies a backup and, unless check, brings it into a directory that no sealer runs in.
	Restore func(ctx context.Context, dir, file string, check bool) (*sealerapi.BackupReport, error)
	// Network sets how addresses are printed, as the directory's configuration says.
	Network func(dir string)
}

// App is the command tree of venus-sealer.
func App(d Deps) *cli.Command {
	return &cli.Command{
		Name: "venus-sealer", Usage: "seals and proves the sectors of one miner", Version: d.Version,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: FlagData, Aliases: []string{"repo"}, Usage: "the sealer's `DIR`", Value: DefaultData, Sources: cli.EnvVars(DataEnv)},
		},
		Commands: []*cli.Command{
			initCommand(d), runCommand(d), stopCommand(d), infoCommand(d), sectorsCommand(d), dealsCommand(d), storageCommand(d), provingCommand(d), actorCommand(d), maintenanceCommand(d), sealingCommand(d), tokenCommand(d), backupCommand(d), restoreCommand(d), program(d).Logs("the running sealer"),
		},
	}
}

// client asks the running sealer.
type client = sealerapi.SealerProxy

func program(d Deps) connect.Program[*client] {
	return connect.Program[*client]{
		Name: "venus-sealer", New: func() *client { return new(client) }, Namespace: sealerapi.Namespace,
		Directory: FlagData, Start: "start the sealer first: venus-sealer run", SetUp: "set it up with: venus-sealer init",
		PrintAs: func(dir repo.Dir) error { d.Network(dir.Root()); return nil },
	}
}

// action is a command that asks a running sealer.
func action(d Deps, f connect.Action[*client]) cli.ActionFunc { return program(d).Action(f) }

// number reads a sector number.
func number(s string) (abi.SectorNumber, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, render.Usage("%q is no sector number", s)
	}
	return abi.SectorNumber(n), nil
}

// oneNumber reads the only argument of a command as a sector number.
func oneNumber(cmd *cli.Command) (abi.SectorNumber, error) {
	if cmd.Args().Len() != 1 {
		return 0, render.Usage("name one sector: %s NUMBER", cmd.FullName())
	}
	return number(cmd.Args().First())
}

func initCommand(d Deps) *cli.Command {
	var o InitOptions
	return &cli.Command{
		Name: "init", Usage: "set up the sealer for a new miner, or with --actor for an existing one",
		Description: "Every step is recorded first: after an interruption run the same command again, it goes on where it stopped and creates no second miner.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "actor", Usage: "`ADDRESS` of an existing miner; no miner is created", Destination: &o.Actor},
			&cli.StringFlag{Name: "owner", Aliases: []string{"o"}, Usage: "owner `ADDRESS` of the new miner", Destination: &o.Owner},
			&cli.StringFlag{Name: "worker", Aliases: []string{"w"}, Usage: "worker `ADDRESS` of the new miner (default: the owner)", Destination: &o.Worker},
			&cli.StringFlag{Name: "from", Usage: "`ADDRESS` that pays for the creation (default: the owner)", Destination: &o.From},
			&cli.StringFlag{Name: "sector-size", Usage: "`SIZE` of sectors: 2KiB, 8MiB, 512M, 32GiB, 64GiB", Value: "", Destination: &o.SectorSize},
			&cli.StringFlag{Name: "network", Usage: "the network's name, or a network `FILE`", Value: "mainnet", Destination: &o.Network},
			&cli.StringFlag{Name: "node-url", Usage: "`ADDRESS` of venus, such as /ip4/127.0.0.1/tcp/3453", Destination: &o.NodeURL},
			&cli.StringFlag{Name: "node-token", Usage: "`TOKEN` for venus, or @FILE", Sources: cli.EnvVars("VENUS_SEALER_NODE_TOKEN"), Destination: &o.NodeToken},
			&cli.StringFlag{Name: "messager-url", Usage: "`ADDRESS` of venus-messager, such as http://127.0.0.1:39812/rpc/v0", Destination: &o.MessagerURL},
			&cli.StringFlag{Name: "messager-token", Usage: "`TOKEN` for venus-messager, or @FILE; the node's when not given", Sources: cli.EnvVars("VENUS_SEALER_MESSAGER_TOKEN"), Destination: &o.MessagerToken},
			&cli.StringFlag{Name: "wallet-name", Usage: "`NAME` of the wallet with the miner's keys in the messager", Destination: &o.WalletName},
			&cli.StringFlag{Name: "gas-premium", Usage: "gas premium of the creation in `attoFIL`", Value: "0", Destination: &o.GasPremium},
			&cli.StringFlag{Name: "miner-api", Usage: "`PORT or multiaddr` that run will listen on (default 2345)", Destination: &o.API},
			&cli.BoolFlag{Name: "no-local-storage", Usage: "do not use the sealer's directory itself for sector files", Destination: &o.NoLocalStorage},
			&cli.BoolFlag{Name: "nosync", Usage: "do not wait for the node to be synchronized", Destination: &o.NoSync},
			&cli.BoolFlag{Name: "genesis-miner", Usage: "the miner is of a network's genesis, whose chain may not move yet", Destination: &o.Genesis},
			&cli.StringSliceFlag{Name: "pre-sealed-sectors", Usage: "`DIR` with sectors sealed before; it is attached where it lies", Destination: &o.PreSealed},
			&cli.StringSliceFlag{Name: "pre-sealed-metadata", Usage: "`FILE` that describes them (default: pre-seal-MINER.json in or beside the folder)", Destination: &o.Metadata},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Len() > 0 {
				return render.Usage("init takes no arguments, got %q", cmd.Args().First())
			}
			o.Dir = cmd.String(FlagData)
			return d.Init(ctx, render.From(cmd), o)
		},
	}
}

func runCommand(d Deps) *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "seal and prove until interrupted",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "miner-api", Aliases: []string{"api"}, Usage: "listen on this `PORT or multiaddr` (default: as configured, 2345)"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			return d.Run(ctx, RunOptions{Dir: cmd.String(FlagData), API: cmd.String("miner-api")})
		},
	}
}

func stopCommand(d Deps) *cli.Command {
	return &cli.Command{Name: "stop", Usage: "stop the running sealer", Action: action(d, func(ctx context.Context, _ *cli.Command, c *client, _ *render.Printer) error {
		return c.Shutdown(ctx)
	})}
}

func tokenCommand(d Deps) *cli.Command {
	return &cli.Command{Name: "token", Usage: "print the token that other programs need for this sealer", Action: func(_ context.Context, cmd *cli.Command) error {
		dir, err := program(d).Dir(cmd)
		if err != nil {
			return err
		}
		t, err := dir.Token()
		if err != nil {
			return api.Errorf(api.CodePrecondition, "%w", err).WithHint("start the sealer once: venus-sealer run")
		}
		return render.From(cmd).Result(map[string]string{"token": t}, func() { render.From(cmd).Line("%s", t) })
	}}
}

// yesNo is how tables show a fact.
func yesNo(b bool) string {
	if b {
		return "YES"
	}
	return "NO"
}

func sectorName(n abi.SectorNumber) string { return fmt.Sprintf("%d", n) }

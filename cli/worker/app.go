// Package worker is the command line of venus-worker.
//
// Start at App; what run does, and what measures the machine, is given by the main package.
package worker

import (
	"context"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/proofs/machine"
	"github.com/filecoin-venus/venus/proofs/sdr"
	"github.com/filecoin-venus/venus/worker/bus"
)

// DefaultSealer is where a sealer of the same machine listens.
const DefaultSealer = "/ip4/127.0.0.1/tcp/2345/http"

// RunOptions are the flags of run.
type RunOptions struct {
	Sealer, Token, Name, ParentCache, Proofs string
	Tasks                                    []string
	Limits                                   []string
	Paths                                    []string // sealing paths of its own
	WindowPoSt                               bool     // make window proofs, too
	Slots, Cores                             int
	Memory                                   uint64 // bytes
	NATS                                     bus.Files
}

// NATSFlag is the flag behind a setting of bus.Files.
func NATSFlag(setting string) string {
	return map[string]string{
		"User": "--nats-user", "PasswordFile": "--nats-password-file", "TokenFile": "--nats-token-file", "CredentialsFile": "--nats-creds",
		"NKeyFile": "--nats-nkey", "CAFile": "--nats-ca", "CertFile": "--nats-cert", "KeyFile": "--nats-key",
	}[setting]
}

// Deps are what the commands do.
type Deps struct {
	// Run takes tasks until the context ends.
	Run func(ctx context.Context, o RunOptions) error
	// Detect, Measure and Seal are those of package proofs/machine.
	Detect  func(dir string) (machine.Host, error)
	Measure func(ctx context.Context, o machine.MeasureOptions) (machine.Rates, error)
	Seal    func(ctx context.Context, o machine.SealOptions) (machine.Sealed, error)
}

// App is the command tree of venus-worker.
func App(version string, d Deps) *cli.Command {
	var (
		o      RunOptions
		memory string
	)
	return &cli.Command{
		Name: "venus-worker", Usage: "does proof work for a venus-sealer", Version: version,
		Commands: append([]*cli.Command{{
			Name: "run", Usage: "take tasks from a sealer until interrupted; the first signal lets running tasks finish, the second gives them back",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "sealer", Aliases: []string{"miner-addr"}, Usage: "`ADDRESS` of the sealer, such as /ip4/127.0.0.1/tcp/2345/http", Value: DefaultSealer, Destination: &o.Sealer},
				&cli.StringFlag{Name: "token", Aliases: []string{"miner-token"}, Usage: "the sealer's `TOKEN`, or @FILE (on the sealer's machine: @~/.venussealer/token)", Sources: cli.EnvVars("VENUS_WORKER_TOKEN"), Destination: &o.Token},
				&cli.StringSliceFlag{Name: "tasks", Usage: "only these `TASKS`: AP PC1 PC2 C1 C2 FIN RU PRU (default: all of these), or WDP for window proofs alone", Destination: &o.Tasks},
				&cli.BoolFlag{Name: "window-post", Usage: "also make window proofs of sectors whose files this machine reaches", Destination: &o.WindowPoSt},
				&cli.IntFlag{Name: "slots", Usage: "run at most `N` tasks at once (default: as many as cores and memory allow)", Destination: &o.Slots},
				&cli.StringSliceFlag{Name: "limit", Usage: "run at most so many tasks of a kind at once, `KIND=N` such as PC1=2", Destination: &o.Limits},
				&cli.IntFlag{Name: "cores", Usage: "use `N` cores (default: all, shared with other workers of the machine)", Destination: &o.Cores},
				&cli.StringFlag{Name: "memory", Usage: "use `SIZE` of memory, such as 100GiB (default: all, shared with other workers of the machine)", Destination: &memory},
				&cli.StringFlag{Name: "name", Usage: "`NAME` shown by the sealer (default: the host's)", Destination: &o.Name},
				&cli.StringFlag{Name: "parent-cache", Usage: "`DIR` of parent caches, for sectors above 8 MiB (default: $" + sdr.CacheEnv + ", or where all Filecoin programs look)", Destination: &o.ParentCache},
				&cli.StringSliceFlag{Name: "path", Usage: "seal in `DIR`, a folder that only this machine reaches; finished sectors go to the sealer's storage (repeatable)", Destination: &o.Paths},
				&cli.StringFlag{Name: "nats-ca", Usage: "certificate authorities of a NATS cluster, a `FILE` in PEM (default: as the sealer tells)", Destination: &o.NATS.CAFile},
				&cli.StringFlag{Name: "nats-user", Usage: "`NAME` of a user of its own at the cluster (default: as the sealer tells)", Destination: &o.NATS.User},
				&cli.StringFlag{Name: "nats-password-file", Usage: "`FILE` with that user's password", Destination: &o.NATS.PasswordFile},
				&cli.StringFlag{Name: "nats-token-file", Usage: "`FILE` with a token of its own", Destination: &o.NATS.TokenFile},
				&cli.StringFlag{Name: "nats-creds", Usage: "credentials of its own, a .creds `FILE`", Destination: &o.NATS.CredentialsFile},
				&cli.StringFlag{Name: "nats-nkey", Usage: "`FILE` with the seed of an nkey of its own", Destination: &o.NATS.NKeyFile},
				&cli.StringFlag{Name: "nats-cert", Usage: "client certificate, a `FILE` in PEM, for a cluster that wants one", Destination: &o.NATS.CertFile},
				&cli.StringFlag{Name: "nats-key", Usage: "its key, a `FILE` in PEM", Destination: &o.NATS.KeyFile},
				&cli.StringFlag{Name: "proofs", Usage: "how proofs are made: `BACKEND` trapdoor, or crs with parameter files (default: trapdoor on private networks, crs elsewhere)", Destination: &o.Proofs},
			},
			Action: func(ctx context.Context, cmd *cli.Command) error {
				if cmd.Args().Len() > 0 {
					return render.Usage("run takes no arguments, got %q", cmd.Args().First())
				}
				if err := knownBackend("proofs", o.Proofs); err != nil {
					return err
				}
				if o.Cores < 0 || o.Slots < 0 {
					return render.Usage("--cores and --slots are numbers from 1, or left out")
				}
				if memory != "" {
					var err error
					if o.Memory, err = humanize.ParseBytes(memory); err != nil || o.Memory == 0 {
						return render.Usage("--memory %q: want a size such as 100GiB", memory)
					}
				}
				return d.Run(ctx, o)
			},
		}, proofsCommands(d)}, controlCommands()...),
	}
}

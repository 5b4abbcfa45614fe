package main

import (
	"context"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/genesis/devnet"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
)

func genesisCommand() *cli.Command {
	return &cli.Command{Name: "genesis", Usage: "make a private network", Commands: []*cli.Command{
		{
			Name: "new", Usage: "make keys, sealed sectors, beacon and genesis of a private network",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "network", Value: "local", Usage: "whose parameters to use: local or 2k, or those of nerpa for a private network of the name nerpa-private"},
				&cli.StringFlag{Name: "out", Required: true, Usage: "the `FOLDER` to make"},
				&cli.IntFlag{Name: "miners", Value: 1, Usage: "miners that exist from the start"},
				&cli.IntFlag{Name: "sectors", Value: 4, Usage: "sectors of each miner"},
				&cli.DurationFlag{Name: "block-delay", Usage: "length of an epoch, whole seconds (default: the network's)"},
				&cli.Int64Flag{Name: "timestamp", Usage: "genesis time in Unix seconds (default: when the sectors are sealed)"},
				&cli.Int64Flag{Name: "faucet", Usage: "the faucet's balance in whole FIL (default: 100 million)"},
				&cli.StringSliceFlag{Name: "beacon-url", Usage: "where nodes fetch the beacon; may be repeated (default: http://127.0.0.1:8990)"},
				&cli.StringFlag{Name: "seed", Usage: "derive all keys from this text, for networks that must come out the same; worth nothing as a secret"},
			},
			Action: genesisNew,
		},
		{
			Name: "build", Usage: "make the genesis file again from template.json and network.json of a network's folder", ArgsUsage: "FOLDER",
			Action: genesisBuild,
		},
	}}
}

// rehearsed is up to which size sectors can be sealed for a genesis in minutes: 512 MiB, those of nerpa.
const rehearsed = 512 << 20

const defaultBeaconURL = "http://127.0.0.1:8990"

func genesisNew(ctx context.Context, cmd *cli.Command) error {
	p := render.From(cmd)
	net, err := params.ByName(cmd.String("network"))
	if err != nil {
		return render.Usage("%s", err)
	}
	if net.SectorSizes[0] <= rehearsed {
		net = net.Private()
	}
	if d := cmd.Duration("block-delay"); d != 0 {
		net.BlockDelay = d
		if net.PropagationDelay >= d {
			net.PropagationDelay = d / 4
		}
	}
	if err := net.Validate(); err != nil {
		return render.Usage("%s", err)
	}
	address.CurrentNetwork = net.AddressNetwork()
	servers := cmd.StringSlice("beacon-url")
	if len(servers) == 0 {
		servers = []string{defaultBeaconURL}
	}
	var seed []byte
	if cmd.IsSet("seed") {
		seed = []byte(cmd.String("seed"))
	}
	l := devnet.Layout{Dir: cmd.String("out")}
	net, err = devnet.New(ctx, devnet.Options{
		Network: net, Dir: l.Dir, Timestamp: uint64(cmd.Int64("timestamp")), Clock: clock.Real(), Miners: cmd.Int("miners"), SectorsPerMiner: cmd.Int("sectors"),
		FaucetFIL: cmd.Int64("faucet"), BeaconServers: servers, Seed: seed, Progress: func(s string) { p.Note("%s", s) },
	})
	if err != nil {
		return err
	}
	return p.Result(net, func() {
		p.Line("network %s, genesis %s", net.Name, net.GenesisCID)
		p.Fields("  genesis file", l.Genesis(), "  network file", l.Network(), "  beacon key", l.BeaconKey(), "  faucet key", l.FaucetKey())
		for i := range cmd.Int("miners") {
			id, err := address.NewIDAddress(uint64(1000 + i))
			if err != nil {
				continue
			}
			p.Fields("  miner "+id.String(), l.MinerDir(id), "  its key", l.MinerKey(id))
		}
		p.Line("next: venus beacon run --dir %s, then venus daemon --genesisfile %s", l.Dir, l.Genesis())
	})
}

func genesisBuild(ctx context.Context, cmd *cli.Command) error {
	if cmd.Args().Len() != 1 {
		return render.Usage("build takes the folder of a network")
	}
	net, err := devnet.Rebuild(ctx, cmd.Args().First())
	if err != nil {
		return err
	}
	p := render.From(cmd)
	return p.Result(net, func() { p.Line("genesis %s", net.GenesisCID) })
}

// epochs is the default length of a simulation: a day of the public network.
const epochs = abi.ChainEpoch(24 * time.Hour / (30 * time.Second))

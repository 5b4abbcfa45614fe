package main

import (
	"context"
	"errors"

	"github.com/filecoin-project/go-address"
	logging "github.com/ipfs/go-log/v2"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	clivenus "github.com/filecoin-venus/venus/cli/venus"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/memory"
	"github.com/filecoin-venus/venus/internal/procs"
	"github.com/filecoin-venus/venus/node"
	"github.com/filecoin-venus/venus/snapshot"
)

func daemonCommand() *cli.Command {
	return &cli.Command{
		Name: "daemon", Usage: "run the node until interrupted",
		Description: "The first start needs a genesis: --genesisfile names its CAR. Files made by `venus genesis new`\n" +
			"carry their network's parameters, so nothing else is needed to join. Network, genesis and\n" +
			"configuration are kept in the repo; later starts need no flags.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "network", Usage: "local, 2k, nerpa, calibnet, mainnet or a network `FILE`"},
			&cli.StringFlag{Name: "genesisfile", Usage: "genesis CAR `FILE`"},
			&cli.StringFlag{Name: "import-snapshot", Usage: "take in the chain of this `FILE|URL` before the start, as `venus chain import` does; nothing happens when it holds nothing new"},
			&cli.StringFlag{Name: "import-chain", Usage: "take in the chain of this `FILE|URL` before the start, judging every block and executing every message; it must hold all messages"},
			&cli.StringFlag{Name: "auth-url", Aliases: []string{"authURL"}, Usage: "venus-auth that judges the cluster's tokens, http://HOST:8989"},
			&cli.StringFlag{Name: "api", Usage: "listen here instead of api.apiAddress of config.json, a `MULTIADDR`"},
			&cli.StringFlag{Name: "swarm", Aliases: []string{"swarmlisten"}, Usage: "listen for peers here, a `MULTIADDR`"},
			&cli.StringSliceFlag{Name: "announce", Usage: "tell peers that we are reached here, a `MULTIADDR`, instead of where we listen; may be repeated"},
			&cli.StringSliceFlag{Name: "bootstrap-peers", Usage: "peers to start from, `MULTIADDR`s with /p2p/ID; may be repeated"},
			&cli.StringSliceFlag{Name: "beacon-url", Usage: "drand servers to use instead of the network's; may be repeated"},
			&cli.StringFlag{Name: "wallet-url", Usage: "venus-wallet that signs for callers of this node, a `MULTIADDR`"},
			&cli.StringFlag{Name: "wallet-token", Usage: "token for it, or @FILE; what it may do there bounds what callers can ask for", Sources: cli.EnvVars("VENUS_WALLET_TOKEN")},
			&cli.BoolFlag{Name: "offline", Usage: "stay away from peers"},
			&cli.DurationFlag{Name: "clock-offset", Hidden: true, Usage: "go by a clock that is wrong by so much, for tests; devnets only"},
			&cli.StringFlag{Name: "log-level", Value: "info", Usage: "debug, info, warn or error"},
		},
		Action: runDaemon,
	}
}

func runDaemon(ctx context.Context, cmd *cli.Command) error {
	if err := logging.SetLogLevel("*", cmd.String("log-level")); err != nil {
		return render.Usage("log level: %s", err)
	}
	for _, noisy := range []string{"dht", "dht/RtRefreshManager", "dht.pb", "pubsub", "swarm2", "basichost", "net/identify", "connmgr", "canonical-log", "rpc"} {
		_ = logging.SetLogLevel(noisy, "error") // a name that does not exist yet is not noisy
	}
	walletToken, err := connect.Secret("wallet-token", cmd.String("wallet-token"))
	if err != nil {
		return err
	}
	memory.Relax()
	procs.More()
	p := render.From(cmd)
	bar := newBar(p)
	n, err := node.New(ctx, node.Options{
		Repo: cmd.String(clivenus.FlagRepo), Network: cmd.String("network"), GenesisFile: cmd.String("genesisfile"), AuthURL: cmd.String("auth-url"),
		API: cmd.String("api"), Swarm: cmd.String("swarm"), Announce: cmd.StringSlice("announce"), Bootstrap: cmd.StringSlice("bootstrap-peers"), BeaconServers: cmd.StringSlice("beacon-url"),
		Chain:     node.SnapshotOptions{From: cmd.String("import-chain"), Progress: bar.tell, Done: func(i snapshot.Imported) { bar.done(); p.Note("executed the chain, head is %d", i.Height) }},
		Snapshot:  node.SnapshotOptions{From: cmd.String("import-snapshot"), Progress: bar.tell, Done: func(i snapshot.Imported) { bar.done(); p.Note("imported %d blocks, head is %d", i.Blocks, i.Height) }},
		WalletURL: cmd.String("wallet-url"), WalletToken: walletToken, Offline: cmd.Bool("offline"), Version: version, Clock: clock.Real(),
		ClockOffset: cmd.Duration("clock-offset"),
	})
	if err != nil {
		return err
	}
	address.CurrentNetwork = n.Network.AddressNetwork()
	head, err := n.API.ChainHead(ctx)
	if err != nil {
		return errors.Join(err, n.Close())
	}
	p.Note("venus %s serves network %s on %s, head %d, genesis %s", version, n.Network.Name, n.Address, head.Height(), n.Network.GenesisCID)
	return errors.Join(n.Wait(ctx), n.Close())
}

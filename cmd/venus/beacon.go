package main

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/beacon"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/genesis/devnet"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
)

func beaconCommand() *cli.Command {
	return &cli.Command{Name: "beacon", Usage: "randomness of a private network", Commands: []*cli.Command{{
		Name: "run", Usage: "serve the network's beacon over drand's HTTP API until interrupted",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "dir", Required: true, Usage: "the network's `FOLDER`, as `venus genesis new` made it"},
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:8990", Usage: "`HOST:PORT`"},
		},
		Action: beaconRun,
	}}}
}

func loadBeacon(dir string) (*beacon.Server, error) {
	l := devnet.Layout{Dir: dir}
	n, err := params.Load(l.Network())
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(l.BeaconKey())
	if err != nil {
		return nil, api.Errorf(api.CodePrecondition, "read beacon key: %w", err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, api.Errorf(api.CodePrecondition, "%s is not a beacon key: %w", l.BeaconKey(), err)
	}
	key, err := beacon.KeyFromBytes(raw)
	if err != nil {
		return nil, err
	}
	b, err := n.BeaconAt(0)
	if err != nil {
		return nil, err
	}
	info := key.Info(n.GenesisName, b.GenesisTime, b.Period)
	if info.HashHex() != b.ChainHash {
		return nil, api.Errorf(api.CodePrecondition, "%s is not the key of this network's beacon", l.BeaconKey())
	}
	return beacon.NewServer(key, info, clock.Real())
}

func beaconRun(ctx context.Context, cmd *cli.Command) error {
	handler, err := loadBeacon(cmd.String("dir"))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", cmd.String("listen"))
	if err != nil {
		return api.Errorf(api.CodePrecondition, "listen on %s: %w", cmd.String("listen"), err).WithHint("stop what uses the port, or choose another with --listen")
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	render.From(cmd).Note("beacon %s on http://%s", handler.Info().HashHex(), l.Addr())
	context.AfterFunc(ctx, func() {
		stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = srv.Shutdown(stop) // Serve returns either way
	})
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

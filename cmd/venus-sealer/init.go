package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	clisealer "github.com/filecoin-venus/venus/cli/sealer"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params/policy"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/rpc/daemon"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/setup"
)

// setUp is the command init.
func setUp(ctx context.Context, _ *render.Printer, o clisealer.InitOptions) error {
	logUp()
	log.Info("Initializing venus sealer")
	req, err := request(o)
	if err != nil {
		return err
	}
	address.CurrentNetwork = req.Network.AddressNetwork()
	if err := policy.Apply(req.Network); err != nil {
		return err
	}
	dir, err := repo.Open(o.Dir)
	if err != nil {
		return api.Errorf(api.CodePrecondition, "%w", err).WithHint("another venus-sealer uses this directory; choose another with --data")
	}
	defer dir.Close()
	log.Info("Trying to connect to full node RPC")
	full, msgs := new(node.FullNodeProxy), new(messager.MessagerProxy)
	stopNode, err := rpc.Dial(req.Config.Node.URL, req.Config.Node.Token, node.Namespace, full, rpc.DialOptions{Service: "venus", Path: "/rpc/v1"})
	if err != nil {
		return fmt.Errorf("--node-url: %w", err)
	}
	defer stopNode()
	stopMsgs, err := rpc.Dial(req.Config.Messager.URL, req.Config.Messager.Token, messager.Namespace, msgs, rpc.DialOptions{Service: "venus-messager"})
	if err != nil {
		return fmt.Errorf("--messager-url: %w", err)
	}
	defer stopMsgs()
	_, err = setup.Run(ctx, req, setup.Parts{
		Repo: dir, Node: full, Messager: msgs, Clock: clock.Real(),
		Log:  func(format string, args ...any) { log.Infof(format, args...) },
		Wait: func(format string, args ...any) { log.Infof(format, args...) },
	})
	if errors.Is(err, context.Canceled) {
		return api.Errorf(api.CodePrecondition, "interrupted: %w", err).WithHint("run the same command again; it goes on where it stopped")
	}
	return err
}

// request turns flags into what is wanted; nothing is asked of anyone yet.
func request(o clisealer.InitOptions) (setup.Request, error) {
	req := setup.Request{NoLocalStorage: o.NoLocalStorage, NoSync: o.NoSync, Genesis: o.Genesis, PreSealed: o.PreSealed, Metadata: o.Metadata, Config: config.Default()}
	var err error
	req.Config.Network = config.NetworkOf(o.Network)
	if req.Config.Network.File != "" {
		if req.Config.Network.File, err = repo.Expand(o.Network); err != nil {
			return req, err
		}
	}
	if req.Network, err = req.Config.Network.Params(); err != nil {
		return req, api.Errorf(api.CodeInvalid, "--network: %w", err)
	}
	if err := addresses(&req, o); err != nil {
		return req, err
	}
	return req, services(&req.Config, o)
}

// addresses parses the flags that name accounts and sizes.
func addresses(req *setup.Request, o clisealer.InitOptions) error {
	for _, f := range []struct {
		flag, text string
		into       *address.Address
	}{
		{"--actor", o.Actor, &req.Actor}, {"--owner", o.Owner, &req.Owner}, {"--worker", o.Worker, &req.Worker}, {"--from", o.From, &req.From},
	} {
		if f.text == "" {
			continue
		}
		a, err := address.NewFromString(f.text)
		if err != nil {
			return render.Usage("%s %q is no address: %v", f.flag, f.text, err)
		}
		*f.into = a
	}
	if req.Actor != address.Undef && (o.Owner != "" || o.Worker != "") {
		return render.Usage("--actor names an existing miner: leave --owner and --worker out")
	}
	premium, err := big.FromString(o.GasPremium)
	if err != nil {
		return render.Usage("--gas-premium %q is no number of attoFIL", o.GasPremium)
	}
	req.GasPremium = premium
	switch {
	case o.SectorSize != "":
		if req.SectorSize, err = parseSize(o.SectorSize); err != nil {
			return err
		}
	case req.Actor == address.Undef:
		req.SectorSize = req.Network.SectorSizes[0]
	}
	return nil
}

// sizeUnits are the accepted spellings of units, all powers of 1024.
var sizeUnits = []struct {
	suffix string
	shift  uint
}{{"KIB", 10}, {"MIB", 20}, {"GIB", 30}, {"KB", 10}, {"MB", 20}, {"GB", 30}, {"K", 10}, {"M", 20}, {"G", 30}, {"B", 0}}

// parseSize reads a sector size: 2KiB, 8MiB, 512M, 32GiB.
func parseSize(text string) (abi.SectorSize, error) {
	up := strings.ToUpper(strings.ReplaceAll(text, " ", ""))
	shift := uint(0)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(up, u.suffix); ok {
			up, shift = rest, u.shift
			break
		}
	}
	n, err := strconv.ParseUint(up, 10, 32)
	if err != nil || n == 0 {
		return 0, render.Usage("--sector-size %q is no size; write 2KiB, 8MiB, 512M, 32GiB or 64GiB", text)
	}
	return abi.SectorSize(n << shift), nil
}

// services fills the addresses and tokens of other programs in.
func services(c *config.Config, o clisealer.InitOptions) error {
	var err error
	if o.NodeURL != "" {
		c.Node.URL = o.NodeURL
	}
	if o.MessagerURL == "" {
		return render.Usage("--messager-url is missing; write for example http://127.0.0.1:39812/rpc/v0")
	}
	if c.Node.Token, err = connect.Secret("node-token", o.NodeToken); err != nil {
		return err
	}
	c.Messager.URL, c.Messager.Wallet = o.MessagerURL, o.WalletName
	if c.Messager.Token, err = connect.Secret("messager-token", o.MessagerToken); err != nil {
		return err
	}
	if c.Messager.Token == "" {
		c.Messager.Token = c.Node.Token // both are venus-auth's
	}
	if o.API != "" {
		c.API.ListenAddress = daemon.PortAlone(o.API)
	}
	return nil
}

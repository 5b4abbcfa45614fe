// Command venus-sealer seals the sectors of one miner and proves them. The
// daemon is package sealer/service, its commands are package cli/sealer.
package main

import (
	"context"

	"github.com/filecoin-project/go-address"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	clisealer "github.com/filecoin-venus/venus/cli/sealer"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/params/policy"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/service"
	"github.com/filecoin-venus/venus/sealer/store"
)

const version = "1.0.0"

var log = logging.Logger("main")

func main() {
	render.Main(clisealer.App(clisealer.Deps{Version: version, Init: setUp, Run: run, Attach: attach, Restore: restore, Network: printAs}))
}

// logUp shows what the daemon does unless the environment says otherwise.
func logUp() {
	if logging.GetConfig().Level > logging.LevelInfo {
		_ = logging.SetLogLevel("*", "info") // "info" exists
	}
}

func run(ctx context.Context, o clisealer.RunOptions) error {
	logUp()
	printAs(o.Dir)
	network, err := networkOf(o.Dir)
	if err == nil {
		err = policy.Apply(network)
	}
	if err != nil && api.Explain(err).Code != api.CodePrecondition {
		return err
	}
	return service.Run(ctx, service.Options{Dir: o.Dir, API: o.API, Version: version, Clock: clock.Real()})
}

// networkOf reads which network a directory was set up for.
func networkOf(dir string) (params.Network, error) {
	d, err := repo.Read(dir)
	if err != nil {
		return params.Network{}, api.Errorf(api.CodePrecondition, "%w", err)
	}
	cfg, err := config.Load(d.Path(config.FileName))
	if err != nil {
		return params.Network{}, api.Errorf(api.CodePrecondition, "%w", err)
	}
	return cfg.Network.Params()
}

// printAs sets the prefix of printed addresses. A directory that is not set up
// keeps the default; the command itself tells what is wrong with it.
func printAs(dir string) {
	address.CurrentNetwork = address.Testnet
	if n, err := networkOf(dir); err == nil {
		address.CurrentNetwork = n.AddressNetwork()
	}
}

// restore brings a backup into a directory that no sealer runs in.
func restore(ctx context.Context, dir, file string, check bool) (*sealerapi.BackupReport, error) {
	return service.Restore(ctx, service.Options{Dir: dir, Clock: clock.Real()}, file, check)
}

// attach edits the list of storage paths of a sealer that does not run.
func attach(_ context.Context, dir string, spec sealerapi.StorageSpec) (sealerapi.StorageInfo, error) {
	if _, err := repo.Read(dir); err != nil {
		return sealerapi.StorageInfo{}, api.Errorf(api.CodePrecondition, "%w", err).WithHint("set it up with: venus-sealer init")
	}
	r, err := repo.Open(dir)
	if err != nil {
		return sealerapi.StorageInfo{}, api.Errorf(api.CodePrecondition, "%w", err).WithHint("init or run uses the directory at this moment; try again when it answers")
	}
	defer r.Close()
	st, err := store.Open(r.Path(store.FileName))
	if err != nil {
		return sealerapi.StorageInfo{}, err
	}
	p, err := st.Attach(service.StoreSpec(spec))
	if err != nil {
		return sealerapi.StorageInfo{}, api.Errorf(api.CodeInvalid, "%w", err)
	}
	return service.StorageInfo(p), nil
}
